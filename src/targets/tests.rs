use std::collections::BTreeSet;
use std::io::Cursor;

use super::*;

fn hosts(word: &str) -> Result<Vec<String>, HostSpecError> {
    let spec: HostSpec = word.parse()?;
    let set = HostSet::new(vec![spec], &AddressSet::default(), 1);
    Ok(sorted(set))
}

fn sorted(set: HostSet) -> Vec<String> {
    let text = |host| match host {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name,
    };
    let mut hosts: Vec<String> = set.map(text).collect();
    hosts.sort_unstable();
    hosts
}

fn hosts_of(list: &str, exclude: &str) -> HostList {
    let exclude = exclude.split_whitespace().map(|word| match word.parse() {
        Ok(HostSpec::Addresses(range)) => range,
        other => panic!("{other:?}"),
    });
    let exclude = AddressSet::new(exclude.collect(), &AddressSet::default());
    let list: Box<dyn BufRead + Send> = Box::new(Cursor::new(list.to_owned()));
    HostList::new(vec!["10.0.0.1".parse().unwrap()], Some(list), exclude, 1)
}

#[test]
fn a_word_is_a_name_an_address_a_network_or_a_range() {
    for (word, expected) in [
        ("example.org", "example.org"),
        ("my-host", "my-host"),
        ("3com-10.example", "3com-10.example"),
        ("10.0.0.5", "10.0.0.5"),
        ("[fd00::1]", "fd00::1"),
        ("10.0.0.5/30", "10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7"),
        ("10.0.0.5/32", "10.0.0.5"),
        ("fd00::4/126", "fd00::4 fd00::5 fd00::6 fd00::7"),
        ("10.0.0.254-10.0.1.1", "10.0.0.254 10.0.0.255 10.0.1.0 10.0.1.1"),
        ("10.0.0.8-11", "10.0.0.10 10.0.0.11 10.0.0.8 10.0.0.9"),
        ("fd00::1-fd00::2", "fd00::1 fd00::2"),
    ] {
        let expected: Vec<String> = expected.split(' ').map(str::to_owned).collect();
        assert_eq!(hosts(word).as_ref(), Ok(&expected), "{word}");
    }
    let all: HostSpec = "0.0.0.0/0".parse().unwrap();
    assert_eq!(HostSet::new(vec![all], &AddressSet::default(), 1).remaining(), 1 << 32);
}

#[test]
fn a_word_that_names_no_hosts_is_an_error_that_says_what_to_write() {
    use HostSpecError::*;
    for (word, error) in [
        ("10.0.0.0/33", Prefix(32)),
        ("10.0.0.0/+8", Prefix(32)),
        ("fd00::/129", Prefix(128)),
        ("10.0.0.0/", Prefix(32)),
        ("10.0.0.9-10.0.0.1", Range),
        ("10.0.0.9-1", Range),
        ("10.0.0.9-256", Range),
        ("10.0.0.9-fd00::1", Range),
        ("10.0.0-3.1", Range),
        ("10.0.0.1,10.0.0.2", Range),
        ("fd00::/64", TooMany),
        ("10.0.0.1:80", Port),
        ("http://example.org", Host(HostError::Url)),
        ("10.0.0.*", Host(HostError::Malformed)),
    ] {
        assert_eq!(word.parse::<HostSpec>(), Err(error), "{word}");
    }
}

#[test]
fn a_list_has_words_and_comments_and_every_host_comes_once() {
    let mut hosts = hosts_of(
        "# all of them\n10.0.0.0/30 example.org\n\n  10.0.0.2-5 # again\texample.org\nlast",
        "10.0.0.2 10.0.0.4/31",
    );
    let set = hosts.next_set().unwrap().unwrap();
    assert_eq!(sorted(set), ["10.0.0.0", "10.0.0.1", "10.0.0.3", "example.org", "last"]);
    assert!(hosts.is_exhausted() && hosts.next_set().unwrap().is_none());
}

#[test]
fn an_error_in_a_list_names_the_line() {
    let error = |list: &str| hosts_of(list, "").next_set().unwrap_err().to_string();
    assert_eq!(
        error("10.0.0.2\n10.0.0.3 10.0.0.4:80\n"),
        "line 2: \"10.0.0.4:80\" holds a port; give the host alone, and ports with -p"
    );
    assert!(error(&"a".repeat(5000)).starts_with("line 1 is not a list of hosts"));
    let full = "a".repeat(4095) + "\n";
    assert!(error(&full).starts_with("line 1: \"aaa"), "as long as a line may be");
}

#[test]
fn a_long_list_comes_in_parts() {
    let list: String = (0..40_000u32).map(|i| format!("{}\n", Ipv4Addr::from(i << 8))).collect();
    let mut hosts = hosts_of(&list, "");
    let (mut parts, mut seen) = (Vec::new(), BTreeSet::new());
    while let Some(set) = hosts.next_set().unwrap() {
        parts.push(set.remaining());
        seen.extend(set.map(|host| format!("{host:?}")));
    }
    assert_eq!(parts, [16_384, 16_384, 7_233]);
    assert_eq!(seen.len(), 40_001);
}

#[test]
fn a_seed_determines_the_order() {
    let order = |seed| {
        let spec: HostSpec = "10.0.0.0/24".parse().unwrap();
        let mut list = HostList::new(vec![spec], None, AddressSet::default(), seed);
        list.next_set().unwrap().unwrap().collect::<Vec<Host>>()
    };
    assert_eq!(order(5), order(5));
    assert_ne!(order(5), order(6));
}
