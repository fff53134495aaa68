//! The share of the service that one caller can use, so that others have theirs.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use support::ask::{Streamed, sample, serve};
use support::client::{Connection, Reply};
use support::service::{Service, open_ports, with_limit};
use support::targets::Silent;
use support::{own_address, wait_for};

support::trials::main! {
    a_joined_scan_counts_towards_the_limit_of_the_caller,
    clients_in_one_ipv6_network_share_one_limit: OwnNetwork | Ipv6,
    unread_replies_keep_nobody_out_once_their_scan_has_ended: OwnNetwork,
    one_caller_can_have_half_of_the_requests_and_no_more,
}

/// Runs `ip` and expects it to work.
#[track_caller]
fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn get_from(client: IpAddr, service: SocketAddr, target: &str) -> Reply {
    Connection::open_from(client, service).get(target)
}

/// The reply says that the caller has reached its limit, and when to retry.
#[track_caller]
fn assert_over_quota(reply: &Reply) {
    assert_eq!(reply.problem(429)["type"], "urn:open-ports:problem:quota-used-up");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
}

fn hold(client: IpAddr, service: &Service, target: &str) -> Streamed {
    let stream = Streamed::open_narrow_from(client, service.address, target);
    assert_eq!(stream.reply().status, 200, "{}", stream.head);
    stream
}

fn a_joined_scan_counts_towards_the_limit_of_the_caller() {
    let service = serve(&["--max-scans-per-caller", "2"]);
    let silent = Silent::bind(own_address(), 1);
    let long = |ms: u32| {
        let (address, port) = (silent.address, silent.list());
        format!("/open-ports?domain={address}&ports={port}&timeoutMs={ms}&format=sse")
    };
    let [caller, other] = ["127.0.0.7", "127.0.0.8"].map(|address| address.parse().unwrap());
    let first = hold(caller, &service, &long(30_000));
    let second = hold(caller, &service, &long(30_000));
    assert_eq!(sample(&service, "open_ports_scans_running"), 1.0);
    assert_over_quota(&get_from(caller, service.address, &long(30_000)));
    // Other callers are not refused, neither this scan nor another.
    let joined = hold(other, &service, &long(30_000));
    let port = format!("/open-ports?domain={}&ports=1", own_address());
    get_from(other, service.address, &port).report();
    drop((first, second));
    wait_for("the caller's share to be free", || {
        (get_from(caller, service.address, &port).status == 200).then_some(())
    });
    drop(joined);
}

fn clients_in_one_ipv6_network_share_one_limit() {
    for address in ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"] {
        ip(&format!("addr add {address}/128 dev lo nodad"));
    }
    let one = ["--allow", "loopback", "--max-scans-per-caller", "1"];
    let mut command = open_ports(&["--listen", "[::]:0"]);
    command.args(one);
    let service = Service::spawn(command);
    let at: SocketAddr = (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), service.address.port()).into();
    let silent = Silent::bind(own_address(), 1);
    let (address, port) = (silent.address, silent.list());
    let long = format!("/open-ports?domain={address}&ports={port}&timeoutMs=30000&format=sse");
    let [first, neighbour, other] = ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"]
        .map(|address| address.parse().unwrap());
    let held = Streamed::open_narrow_from(first, at, &long);
    assert_eq!(held.reply().status, 200, "{}", held.head);
    let brief = "/open-ports?domain=127.0.0.1&ports=1";
    assert_over_quota(&get_from(neighbour, at, brief));
    get_from(other, at, brief).report();
    drop(held);
}

fn unread_replies_keep_nobody_out_once_their_scan_has_ended() {
    // Every port of the address is filtered at once, and each is a record: more than
    // the kernel buffers for a client.
    ip("route add prohibit 192.0.2.1");
    // 12 connections, and 9 requests at once.
    let service = Service::spawn(with_limit("ulimit -n 64"));
    let callers = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|text| text.parse().unwrap());
    let query = "/open-ports?domain=192.0.2.1&ports=all&details=true&format=ndjson";
    let unread: Vec<Streamed> =
        (0..9).map(|count| hold(callers[count % 3], &service, query)).collect();
    wait_for("the scans to end", || {
        (sample(&service, "open_ports_scans_running") == 0.0).then_some(())
    });
    let ended = sample(&service, "open_ports_scans_total{outcome=\"complete\"}");
    assert_eq!(ended, 0.0, "the replies were not read");
    let other = "127.0.0.5".parse().unwrap();
    let brief = "/open-ports?domain=127.0.0.1&ports=1";
    get_from(other, service.address, brief).report();
    drop(unread);
}

fn one_caller_can_have_half_of_the_requests_and_no_more() {
    let service = Service::spawn(with_limit("ulimit -n 64"));
    // Of nine requests at once, five.
    let silent = Silent::bind(own_address(), 1);
    let (address, port) = (silent.address, silent.list());
    let long = format!("/open-ports?domain={address}&ports={port}&timeoutMs=30000&format=sse");
    let [caller, other] = ["127.0.0.7", "127.0.0.8"].map(|address| address.parse().unwrap());
    let held: Vec<Streamed> = (0..5).map(|_| hold(caller, &service, &long)).collect();
    assert_over_quota(&get_from(caller, service.address, &long));
    let others: Vec<Streamed> = (0..4).map(|_| hold(other, &service, &long)).collect();
    let third = get_from("127.0.0.9".parse().unwrap(), service.address, &long);
    assert_eq!(third.problem(503)["type"], "urn:open-ports:problem:full");
    assert!(third.header("retry-after").is_some(), "{third:?}");
    // A request that is not for a scan is still answered.
    assert_eq!(service.get("/livez").status, 200);
    drop((held, others));
}
