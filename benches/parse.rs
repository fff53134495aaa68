//! Reading what comes from outside: port lists and query strings, as they are
//! meant to be and as an attacker would write them, at the length that is read
//! at most.

use std::fmt::Write;
use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use open_ports::http::parse_query;
use open_ports::limits::MAX_TARGET_BYTES;
use open_ports::ports::PortSet;

fn port_lists(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("port_list");
    let mut accepted = |name: &str, list: &str| {
        assert!(list.parse::<PortSet>().is_ok(), "{name} is accepted");
        parse_list(&mut group, name, list);
    };
    accepted("one_port", "22");
    accepted("ports_and_a_range", "22,80,8000-8100");
    accepted("top1000", "top1000");
    accepted("700_ranges", &ranges(0..700));
    // Sorting is what could be made slow.
    accepted("700_ranges_backwards", &ranges((0..700).rev()));

    let mut refused = |name: &str, list: &str| {
        assert!(list.parse::<PortSet>().is_err(), "{name} is refused");
        parse_list(&mut group, &format!("hostile/{name}"), list);
    };
    refused("commas", &filled("", ","));
    refused("digits", &filled("", "9"));
    refused("a_bad_end", &(ranges(0..700) + ",x"));
    refused("the_same_port", &filled("80", ",80"));
    refused("overlap", &filled("1-65535", ",1-65535"));
    // No number is written twice, so all of these are merged.
    let named = filled("top1000", ",top1000");
    assert!(named.parse::<PortSet>().is_ok(), "named sets may overlap");
    parse_list(&mut group, "hostile/top1000_again_and_again", &named);
    group.finish();
}

fn queries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("query");
    let mut accepted = |name: &str, query: &str| {
        assert!(parse_query(query).1.is_empty(), "{name} is accepted");
        read_query(&mut group, name, query);
    };
    accepted("typical", "domain=localhost&toPort=65535");
    accepted(
        "every_parameter",
        "domain=scan%2Dme.example.org&fromPort=1&toPort=1024&ports=22%2C80%2C8000-8100\
         &timeoutMs=1500&family=ipv4&details=true",
    );
    accepted("hostile/escaped_percent_signs", &filled("domain=", "%25"));
    accepted("hostile/ampersands", &filled("", "&"));

    let mut refused = |name: &str, query: &str| {
        assert!(!parse_query(query).1.is_empty(), "{name} is refused");
        read_query(&mut group, &format!("hostile/{name}"), query);
    };
    refused("one_unknown_name_again_and_again", &filled("a", "&a"));
    refused("many_unknown_names", &unknown_names());
    refused("one_long_unknown_name", &filled("", "é"));
    refused("repeated_name", &filled("domain", "&domain"));
    refused("equals_signs", &filled("", "="));
    refused("not_utf8_at_the_end", &(filled("domain=", "a") + "%ff"));
    refused("broken_escape_at_the_end", &(filled("domain=", "%25") + "%2"));
    group.finish();
}

fn parse_list(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, list: &str) {
    group.throughput(Throughput::Bytes(list.len() as u64));
    group.bench_function(name, |bencher| bencher.iter(|| black_box(list).parse::<PortSet>()));
}

fn read_query(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, query: &str) {
    group.throughput(Throughput::Bytes(query.len() as u64));
    group.bench_function(name, |bencher| bencher.iter(|| parse_query(black_box(query))));
}

/// `start`, and `piece` again and again up to the length that is read.
fn filled(start: &str, piece: &str) -> String {
    let times = (MAX_TARGET_BYTES - start.len()) / piece.len();
    start.to_owned() + &piece.repeat(times)
}

/// Disjoint ranges, about as many as fit a request.
fn ranges(numbers: impl Iterator<Item = u32>) -> String {
    let ranges = numbers.map(|number| format!("{}-{}", number * 90 + 1, number * 90 + 45));
    ranges.collect::<Vec<_>>().join(",")
}

fn unknown_names() -> String {
    let mut query = String::new();
    for number in 0.. {
        if query.len() + 8 > MAX_TARGET_BYTES {
            break;
        }
        write!(query, "{number:x}&").expect("a String takes everything");
    }
    query
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    port_lists(&mut criterion);
    queries(&mut criterion);
    criterion.final_summary();
}
