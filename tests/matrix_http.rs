//! `GET /matrix`: several instances, each as a process of its own.

#![allow(clippy::unwrap_used, reason = "a reply that is not as it should be has to fail the test")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use serde_json::{Value, json};

use support::client::Connection;
use support::own_address;
use support::service::{Service, open_ports};
use support::targets::{Listeners, Refused};

/// An instance at this address, with these settings.
fn serve(settings: &[&str]) -> Service {
    let listen = ["--listen", "127.0.0.1:0", "--allow", "loopback"];
    Service::spawn(open_ports(&[&listen[..], settings].concat()))
}

/// The query for an open port.
fn about(target: &Listeners) -> String {
    format!("/matrix?domain={}&ports={}", target.address, target.list())
}

fn target() -> Listeners {
    Listeners::bind(own_address(), 1)
}

#[track_caller]
fn only_row(matrix: &Value) -> &Value {
    let rows = matrix["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{matrix}");
    &rows[0]
}

#[test]
fn a_peer_says_what_it_sees_and_where_it_is() {
    let target = target();
    let place = ["--pod", "a-1", "--namespace", "shop", "--node", "node1", "--zone", "z"];
    let peer = serve(&place);
    let asked = serve(&["--peers", &peer.address.to_string()]);
    let reply = asked.get(&format!("{}&from=peers", about(&target)));
    assert_eq!(reply.status, 200);
    let matrix = reply.json();
    assert_eq!(matrix["complete"], json!(true));
    let row = only_row(&matrix);
    let expected = json!({
        "address": "127.0.0.1", "pod": "a-1", "namespace": "shop", "node": "node1", "zone": "z",
    });
    assert_eq!(row["vantage"], expected);
    let address = &row["addresses"][0];
    assert_eq!(address["open"], json!(target.list()));
    peer.wait_for_log("\"outcome\":\"complete\"");
}

#[test]
fn ports_are_told_by_their_state() {
    let target = target();
    let service = serve(&[]);
    let refused = Refused::bind(target.address).port;
    let matrix = service.get(&format!("{},{refused}&from=self", about(&target))).json();
    let address = &only_row(&matrix)["addresses"][0];
    assert_eq!(address["open"], json!(target.list()));
    assert_eq!(address["refused"], json!(refused.to_string()));
    assert_eq!(address.get("filtered"), None);
}

#[test]
fn an_instance_that_is_its_own_peer_does_not_ask_for_ever() {
    let target = target();
    // Without a port, peers listen where this one does.
    let service = serve(&["--peers", "127.0.0.1"]);
    let matrix = service.get(&about(&target)).json();
    assert_eq!(matrix["complete"], json!(true), "{matrix}");
    only_row(&matrix);
    service.wait_for_log("\"matrix\"");
    let scans = service.log().iter().filter(|line| line.contains("\"outcome\"")).count();
    assert_eq!(scans, 1);
}

#[test]
fn a_peer_that_does_not_answer_is_not_asked() {
    let target = target();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let asked = serve(&["--peers", &gone.to_string()]);
    let matrix = asked.get(&about(&target)).json();
    assert_eq!(matrix["complete"], json!(false));
    let reason = only_row(&matrix)["not_asked"].as_str().unwrap();
    assert!(reason.starts_with("it cannot be reached"), "{reason}");
}

/// A peer that answers every request with these bytes, and closes.
fn answering(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn an_answer_that_is_not_whole_or_foreign_does_not_count() {
    let target = target();
    let ok = |length: usize, body: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let other = "{\"domain\":\"other\",\"complete\":true,\"rows\":[]}";
    for (answer, reason) in [
        (ok(99, "{\"domain"), "its answer broke off"),
        (ok(2, "{}"), "its answer cannot be read"),
        (ok(other.len(), other), "its answer is to another question"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into(), "it answered 404"),
        ("SSH-2.0-OpenSSH_9.9\r\n".into(), "it broke off"),
    ] {
        let asked = serve(&["--peers", &answering(answer.clone()).to_string()]);
        let matrix = asked.get(&about(&target)).json();
        let told = only_row(&matrix)["not_asked"].as_str().unwrap();
        assert!(told.starts_with(reason), "{answer:?}: {told}");
        assert_eq!(matrix["complete"], json!(false));
    }
}

#[test]
fn the_callers_token_goes_along() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, token: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("ci:{token}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, theirs) = (format!("{:032}", 1), format!("{:032}", 2));
    let (same, other) = (file("same", &ours), file("other", &theirs));
    let target = target();
    for (tokens, complete) in [(&same, true), (&other, false)] {
        let peer = serve(&["--tokens", tokens]);
        let asked = serve(&["--tokens", &same, "--peers", &peer.address.to_string()]);
        let mut connection = Connection::open(asked.address);
        connection.send(format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ours}\r\n\r\n",
            about(&target)
        ));
        let matrix = connection.reply().json();
        assert_eq!(matrix["complete"], json!(complete), "{matrix}");
        if !complete {
            let reason = only_row(&matrix)["not_asked"].as_str().unwrap();
            assert!(reason.starts_with("it answered 401"), "{reason}");
        }
    }
}

#[test]
fn without_peers_none_can_be_asked() {
    let service = serve(&[]);
    let reply = service.get("/matrix?domain=127.0.0.1&ports=1");
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("--peers"), "{}", reply.body);
}
