use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::host::HostError;

fn hosts(word: &str) -> Result<Vec<String>, HostSpecError> {
    let spec: HostSpec = word.parse()?;
    let set = set_of(spec);
    Ok(sorted(set))
}

fn set_of(spec: HostSpec) -> HostSet {
    let mut list = HostList::new(vec![spec], None, AddressSet::default(), 0);
    list.next_set().unwrap().unwrap()
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
    assert_eq!(set_of(all).remaining(), 1 << 32);
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
fn a_word_may_have_a_port_and_a_last_comma() {
    for (word, hosts, port) in [
        ("10.0.0.1:22", "10.0.0.1", Some(22)),
        ("[::1]:65535", "::1", Some(65_535)),
        ("web.internal:443,", "web.internal", Some(443)),
        ("10.0.0.0/24:80", "10.0.0.0/24", Some(80)),
        ("10.0.0.1-9:80", "10.0.0.1-9", Some(80)),
        ("[fd00::]/126:80", "fd00::/126", Some(80)),
        ("10.0.0.1,", "10.0.0.1", None),
        ("[::1]", "::1", None),
        // An address, which has no port without brackets.
        ("::1:22", "::1:22", None),
    ] {
        let expected = HostAndPort { hosts: hosts.parse().unwrap(), port };
        assert_eq!(word.parse(), Ok(expected), "{word}");
    }
    use HostSpecError::*;
    for (word, error) in [
        ("10.0.0.1:0", NoPort),
        ("10.0.0.1:65536", NoPort),
        ("10.0.0.1:", NoPort),
        ("10.0.0.1:ssh", Port),
        (":22", Host(HostError::Empty)),
        ("http://example.org:80", Host(HostError::Url)),
        ("10.0.0.1,10.0.0.2:80", Range),
        ("10.0.0.1,,", Range),
    ] {
        assert_eq!(word.parse::<HostAndPort>(), Err(error), "{word}");
    }
}

#[test]
fn ports_in_a_list_are_gathered_or_ignored_or_checked() {
    let read = |ports: ListedPorts| {
        let mut hosts = hosts_of("\u{feff}10.0.0.2:80\n[::1]:22,\n10.0.0.2:443", "");
        hosts = hosts.with_ports(ports);
        let set = hosts.next_set().map_err(|error| error.to_string())?;
        Ok::<_, String>((sorted(set.unwrap()), hosts.ports().clone()))
    };
    let all = ["10.0.0.1", "10.0.0.2", "::1"].map(str::to_owned).to_vec();
    let gathered = ListedPorts::Gathered(BTreeSet::from([22, 80, 443]));
    assert_eq!(read(ListedPorts::Gathered(BTreeSet::new())), Ok((all.clone(), gathered)));
    let ignored = ListedPorts::Ignored;
    assert_eq!(read(ignored.clone()), Ok((all.clone(), ignored)));
    let among = ListedPorts::Among("22,80,443".parse().unwrap());
    assert_eq!(read(among.clone()), Ok((all, among)));
    assert_eq!(
        read(ListedPorts::Among("1-80".parse().unwrap())),
        Err("line 3: \"10.0.0.2:443\" names a port that is not to be scanned; \
             give all ports with -p"
            .into())
    );
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

/// A list as it is typed, in words of a small network.
fn words() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        (0u8..12).prop_map(|number| format!("host-{number}.lan")),
        (0u8..40).prop_map(|last| format!("10.0.0.{last}")),
        (0u8..40, 0u8..40).prop_map(|(a, b)| format!("10.0.0.{}-{}", a.min(b), a.max(b))),
        (0u8..4, 28u8..=32).prop_map(|(net, length)| format!("10.0.{net}.8/{length}")),
        (0u16..40).prop_map(|last| format!("fd00::{last:x}")),
    ];
    prop::collection::vec(word, 1..30)
}

/// The hosts of one shard, those of each set together, and how many hosts the sets
/// have in all shards.
fn hosts_of_shard(
    words: &[String],
    exclude: &AddressSet,
    (words_a_set, shard): (usize, Shard),
) -> (Vec<String>, u64) {
    let list: Box<dyn BufRead + Send> = Box::new(Cursor::new(words.join("\n")));
    let mut list = HostList::new(Vec::new(), Some(list), exclude.clone(), 1).in_shard(shard);
    list.words_a_set = words_a_set;
    let (mut hosts, mut listed) = (Vec::new(), 0);
    while let Some(set) = list.next_set().unwrap() {
        let remaining = set.remaining();
        listed += set.listed();
        let of_set = sorted(set);
        assert_eq!(of_set.len() as u64, remaining);
        hosts.extend(of_set);
    }
    (hosts, listed)
}

proptest! {
    #[test]
    fn shards_are_disjoint_and_together_the_whole(
        words in words(),
        exclude in prop::collection::vec(0u8..40, 0..6),
        count in 1u32..9,
        words_a_set in prop_oneof![1usize..12, Just(1000)],
    ) {
        let exclude = exclude.into_iter().map(|last| AddressRange::single([10, 0, 0, last].into()));
        let exclude = AddressSet::new(exclude.collect(), &AddressSet::default());
        let (mut whole, listed) = hosts_of_shard(&words, &exclude, (words_a_set, Shard::WHOLE));
        prop_assert_eq!(whole.len() as u64, listed);
        let mut union = Vec::new();
        let mut owners = BTreeMap::new();
        let mut sizes = BTreeSet::new();
        for number in 1..=count {
            let shard = Shard::try_new(number, count).unwrap();
            let (hosts, in_all) = hosts_of_shard(&words, &exclude, (words_a_set, shard));
            prop_assert_eq!(in_all, listed);
            sizes.insert(hosts.len());
            for host in &hosts {
                let owner = *owners.entry(host.clone()).or_insert(number);
                prop_assert_eq!(owner, number, "{} is in two shards", host);
            }
            union.extend(hosts);
        }
        whole.sort_unstable();
        union.sort_unstable();
        prop_assert_eq!(union, whole);
        // In a list of one set.
        if words_a_set == 1000 {
            prop_assert!(sizes.last().unwrap() - sizes.first().unwrap() <= 1);
        }
    }
}

#[test]
fn a_host_that_a_long_list_has_twice_is_in_one_shard() {
    // Further apart than what is shuffled together.
    let list: String =
        (0..40_000u32).map(|i| format!("{}\n", Ipv4Addr::from(i % 20_000))).collect();
    let list = list + "twice.lan\n" + &"0.0.0.1\n".repeat(20_000) + "twice.lan\n";
    let mut seen: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    let mut visits = 0;
    for number in 1..=4 {
        let shard = Shard::try_new(number, 4).unwrap();
        let mut hosts = hosts_of(&list, "").in_shard(shard);
        while let Some(set) = hosts.next_set().unwrap() {
            for host in set {
                visits += 1;
                seen.entry(format!("{host:?}")).or_default().insert(number);
            }
        }
    }
    assert_eq!(seen.len(), 20_002, "with 10.0.0.1, which was typed");
    assert!(visits > 40_000, "as often as without shards");
    assert!(seen.values().all(|shards| shards.len() == 1));
}

#[test]
fn lists_that_differ_have_different_checksums() {
    let checksum = |list: &str, exclude: &str| {
        let mut list = hosts_of(list, exclude);
        while list.next_set().unwrap().is_some() {}
        list.checksum()
    };
    let lists = [
        ("", ""),
        ("10.0.0.0/30", ""),
        ("10.0.0.0/31", ""),
        ("10.0.0.0/30", "10.0.0.1"),
        ("10.0.0.0/30 one.lan", ""),
        ("one.lan 10.0.0.0/30", ""),
        ("10.0.0.0/30 two.lan", ""),
    ];
    let different: BTreeSet<u64> =
        lists.iter().map(|(list, exclude)| checksum(list, exclude)).collect();
    assert_eq!(different.len(), lists.len());
    // Comments and lines make no difference.
    assert_eq!(checksum("# all\n10.0.0.0/30\none.lan", ""), checksum("10.0.0.0/30 one.lan", ""));
}
