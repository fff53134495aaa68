//! Sweeps in shards, for the tests of `open-ports scan --shard` and `open-ports merge`.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::service::{Ended, open_ports, run};
use super::targets::{Listeners, free_port};
use super::{own_address, wait_for};

/// A /26 with three hosts that listen at one port.
pub(crate) struct Network {
    pub(crate) network: String,
    pub(crate) port: String,
    pub(crate) listeners: [Listeners; 3],
}

impl Network {
    pub(crate) fn new() -> Self {
        let IpAddr::V4(own) = own_address() else { unreachable!("loopback of IPv4") };
        let [_, b, c, _] = own.octets();
        // The second octet of `own_address` is 128 or more, and of these less.
        let listeners = wait_for("a port that is free on three addresses", || {
            let port = free_port();
            let at = |d| Listeners::bind_at([127, b & 0x7f, c, d].into(), port).ok();
            Some([at(5)?, at(30)?, at(61)?])
        });
        let network = format!("127.{}.{c}.0/26", b & 0x7f);
        Self { network, port: listeners[0].list(), listeners }
    }

    pub(crate) fn scan(&self, more: &[&str]) -> Ended {
        run(open_ports(&[&["scan", &self.network, "-p", &self.port], more].concat()))
    }

    /// The lines of the plain format.
    pub(crate) fn plain(&self) -> BTreeSet<String> {
        let line = |listeners: &Listeners| format!("{}:{}", listeners.address, self.port);
        self.listeners.iter().map(line).collect()
    }
}

/// The reports of all shards of a sweep.
pub(crate) struct Shards {
    pub(crate) folder: TempDir,
    pub(crate) paths: Vec<PathBuf>,
}

impl Shards {
    pub(crate) fn of(port: &str, hosts: &str, count: u32, format: &str) -> Self {
        Self::with(&[hosts, "-p", port], count, format)
    }

    pub(crate) fn with(scan: &[&str], count: u32, format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: u32| {
            let path = folder.path().join(number.to_string());
            let shard = format!("{number}/{count}");
            let output = path.to_str().unwrap();
            let more = ["--shard", &shard, "--format", format, "--output", output];
            let ended = run(open_ports(&[&["scan"], scan, &more].concat()));
            assert!(matches!(ended.status.code(), Some(0 | 4)), "{ended:?}");
            path
        };
        let paths = (1..=count).map(path).collect();
        Self { folder, paths }
    }

    pub(crate) fn path(&self, index: usize) -> &str {
        self.paths[index].to_str().unwrap()
    }

    pub(crate) fn merge(&self, more: &[&str]) -> Ended {
        let paths = (0..self.paths.len()).map(|index| self.path(index));
        let arguments: Vec<&str> =
            ["merge"].into_iter().chain(paths).chain(more.iter().copied()).collect();
        run(open_ports(&arguments))
    }
}

pub(crate) fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
