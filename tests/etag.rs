//! Entity tags over what was found, and 304 for a client that has that already.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use support::ask::{request_head, serve};
use support::client::{Connection, Reply};
use support::own_address;
use support::service::Service;
use support::targets::{Listeners, Silent, free_port};

/// The head of the reply to a `GET`. After 304, the connection goes on.
fn get(service: &Service, target: &str, fields: &[(&str, &str)]) -> Reply {
    let mut connection = Connection::open(service.address);
    connection.send(request_head("GET", target, fields));
    let reply = connection.reply_to_head();
    if reply.status == 304 {
        for field in ["content-length", "content-type", "transfer-encoding"] {
            assert_eq!(reply.header(field), None, "{reply:?}");
        }
        // A body would be taken for the start of the next reply.
        let next = connection.get("/livez");
        assert_eq!(next.status, 200, "{next:?}");
    }
    reply
}

fn tag(reply: &Reply) -> Option<String> {
    let tag = reply.header("etag")?.to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 34, "{tag}");
    Some(tag)
}

#[test]
fn a_client_that_has_the_findings_gets_304_until_they_change() {
    let service = Service::start();
    let (listeners, free) = (Listeners::bind(own_address(), 2), free_port());
    let (address, ports) = (listeners.address, format!("{},{free}", listeners.list()));
    for target in [
        format!("/open-ports?domain={address}&ports={ports}&format=json"),
        format!("/open-ports?domain={address}&ports={ports}&details=true&pretty=true"),
        format!("/sweep?targets={address}&ports={ports}&format=json"),
        format!("/sweep?targets={address}&ports={ports}&details=true&format=json"),
    ] {
        let first = get(&service, &target, &[]);
        assert_eq!(first.status, 200, "{first:?}");
        let known = tag(&first).unwrap();
        let second = get(&service, &target, &[("If-None-Match", "\"0\"")]);
        assert_eq!((second.status, tag(&second)), (200, Some(known.clone())), "{target}");
        for condition in
            [known.clone(), format!("W/{known}"), format!("\"0\", {known}"), "*".into()]
        {
            let same = get(&service, &target, &[("If-None-Match", &condition)]);
            assert_eq!((same.status, tag(&same)), (304, Some(known.clone())), "{target}");
            assert_eq!(same.header("vary"), Some("Accept"));
            assert_eq!(same.header("cache-control"), Some("no-store"));
        }
        // Another port is open.
        let opened = Listeners::bind_at(address, free).unwrap();
        let changed = get(&service, &target, &[("If-None-Match", &known)]);
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_ne!(tag(&changed), Some(known.clone()));
        drop(opened);
        let back = get(&service, &target, &[("If-None-Match", &known)]);
        assert_eq!(back.status, 304, "{back:?}");
    }
}

#[test]
fn a_reply_that_is_incomplete_or_no_document_has_no_tag() {
    let service = serve(&["--max-deadline", "1"]);
    let silent = Silent::bind(own_address(), 3);
    let (address, ports) = (silent.address, silent.list());
    for target in [
        format!("/open-ports?domain={address}&ports={ports}&deadlineMs=100&format=json"),
        format!("/sweep?targets={address}&ports={ports}&deadlineMs=100&format=json"),
        format!("/sweep?targets={address},no-such-host.invalid&ports=1&format=json"),
        format!("/open-ports?domain={address}&ports=1&format=text"),
        format!("/open-ports?domain={address}&ports=1&format=ndjson"),
        format!("/sweep?targets={address}&ports=1&format=ndjson"),
        format!("/open-ports?domain={address}&ports=1&explain=true"),
        "/open-ports?domain=no-such-host.invalid&ports=1".to_owned(),
    ] {
        let mut connection = Connection::open(service.address);
        connection.send(request_head("GET", &target, &[("If-None-Match", "*")]));
        let reply = connection.reply_to_head();
        assert_ne!(reply.status, 304, "{target}: {reply:?}");
        assert_eq!(tag(&reply), None, "{target}");
    }
}

#[test]
fn other_statuses_and_head_come_before_the_condition() {
    let service = Service::start();
    let listeners = Listeners::bind(own_address(), 1);
    let target = format!(
        "/open-ports?domain={}&ports={}&expect=none&expectFailStatus=409",
        listeners.address,
        listeners.list()
    );
    let mut connection = Connection::open(service.address);
    connection.send(request_head("GET", &target, &[("If-None-Match", "*")]));
    let reply = connection.reply();
    assert_eq!((reply.status, tag(&reply)), (409, None), "{reply:?}");
    // HEAD scans nothing, so it knows no tag.
    connection.send(request_head("HEAD", &target, &[("If-None-Match", "*")]));
    let reply = connection.reply_to_head();
    assert_eq!((reply.status, tag(&reply)), (200, None), "{reply:?}");
}

#[test]
fn the_order_in_which_hosts_are_done_makes_no_other_tag() {
    let service = Service::start();
    let hosts: Vec<Listeners> = (0..6).map(|_| Listeners::bind(own_address(), 1)).collect();
    let names: Vec<String> = hosts.iter().map(|host| host.address.to_string()).collect();
    let target = |names: Vec<String>| {
        format!("/sweep?targets={}&ports={}&format=json", names.join(","), hosts[0].list())
    };
    let first = tag(&service.get(&target(names.clone()))).unwrap();
    let reversed = names.into_iter().rev().collect();
    assert_eq!(tag(&service.get(&target(reversed))), Some(first));
}
