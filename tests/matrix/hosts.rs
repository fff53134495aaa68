//! A small network: hosts in network namespaces of their own, and a router between them,
//! which is the test's own network namespace. nft on the router is the policy.

use std::fs::{self, File};
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::support::service::{Service, open_ports};
use crate::support::targets::Listeners;

/// A host with a service that scans, at port 8080.
pub(crate) struct Host {
    pub(crate) address: IpAddr,
    namespace: File,
    service: Option<Service>,
}

/// Turns the test's network into a router.
pub(crate) fn router() {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
}

impl Host {
    /// The host 10.77.`number`.2, where a service lets everybody scan anything.
    pub(crate) fn start(number: u8) -> Self {
        let ours = std::process::id();
        let outside = format!("router{number}");
        let inside = [
            "link set lo up".to_owned(),
            format!("link add eth0 type veth peer name {outside} netns {ours}"),
            format!("address add 10.77.{number}.2/24 dev eth0"),
            "link set eth0 up".to_owned(),
            format!("route add default via 10.77.{number}.1"),
        ];
        let namespace = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            inside.iter().for_each(|command| ip(command));
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let namespace = namespace.join().unwrap();
        ip(&format!("address add 10.77.{number}.1/24 dev {outside}"));
        ip(&format!("link set {outside} up"));
        let address = IpAddr::from([10, 77, number, 2]);
        let mut host = Self { address, namespace, service: None };
        let listen = format!("{address}:8080");
        let serve = || {
            let allow = ["--allow", "10.77.0.0/16,127.0.0.0/8"];
            let listen = ["--listen", &listen];
            Service::spawn(open_ports(&[&listen[..], &allow].concat()))
        };
        host.service = Some(host.on(serve));
        host
    }

    /// Does `work` there.
    pub(crate) fn on<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            there.join().unwrap()
        })
    }

    /// Listens at a port.
    pub(crate) fn listen(&self, port: u16) -> Listeners {
        self.on(|| Listeners::bind_at(self.address, port).unwrap())
    }

    /// The vantage.
    pub(crate) fn url(&self) -> String {
        format!("http://{}:8080", self.address)
    }

    /// Ends the service.
    pub(crate) fn kill(&mut self) {
        self.service = None;
    }
}

/// Replaces the rules for what the router forwards.
pub(crate) fn forward(rules: &str) {
    nft(&format!(
        "table inet walls\n\
         delete table inet walls\n\
         table inet walls {{ chain forward {{\n\
         type filter hook forward priority 0; policy accept;\n\
         ct state established,related accept\n\
         {rules}\n\
         }}\n}}\n"
    ));
}

fn nft(script: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
}

fn ip(command: &str) {
    let status = Command::new("ip").args(command.split(' ')).status().unwrap();
    assert!(status.success(), "ip {command}");
}
