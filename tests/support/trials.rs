//! Tests that need something that not every machine has. Where it is missing, the
//! test is ignored and says why; see `ignored.rs` for where it fails instead.
//!
//! The compiler's test harness cannot ignore a test at run time, so a file with
//! such tests uses libtest-mimic: it has `harness = false` in Cargo.toml, and lists
//! its tests in [`main!`] instead of marking them with `#[test]`. A test that is not
//! in the list is dead code, which the compiler reports.

use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::cgroup::Cgroup;
use super::ignored::cannot_run;
use super::kernel::has_ipv6;
use super::namespace::{self, is_in_own_network, run_in_own_network};

/// What a test needs from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// IPv6 on loopback.
    Ipv6,
    /// A network namespace with nothing but loopback. The test runs in one of its
    /// own, in a process of its own.
    OwnNetwork,
    /// The same where it can be had, and the machine's network elsewhere.
    OwnNetworkIfAny,
    /// Its own /etc/hosts and /etc/resolv.conf for the programs that it starts.
    OwnNames,
    /// A limit on memory for the programs that it starts.
    Cgroup,
    /// To become another user.
    Root,
    /// The shells that there are completions for, except nushell.
    Shells,
    /// git.
    Git,
    /// blackbox_exporter, as Debian calls it.
    BlackboxExporter,
    /// ndiff.
    Ndiff,
    /// nmap.
    Nmap,
    /// nft.
    Nft,
    /// curl.
    Curl,
}

/// A test of this program.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) body: fn(),
}

/// The `main` of a test program: its tests, each with what it needs.
macro_rules! main {
    ($($name:ident $(: $need:ident $(| $more:ident)*)?),+ $(,)?) => {
        fn main() -> std::process::ExitCode {
            use $crate::support::trials::{Need, Test, run};
            const TESTS: &[Test] = &[$(Test {
                name: stringify!($name),
                needs: &[$(Need::$need $(, Need::$more)*)?],
                body: $name,
            }),+];
            run(TESTS, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", file!())))
        }
    };
}
pub(crate) use main;

/// Runs those of `tests` that the command line asks for. `source` is their file.
pub(crate) fn run(tests: &'static [Test], source: &str) -> ExitCode {
    let is_marked = source.lines().any(|line| line.trim() == "#[test]");
    assert!(!is_marked, "#[test] has no effect in this file; list the test in trials::main!");
    let trials = tests.iter().map(|test| Trial::ignorable_test(test.name, || test.run()));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

impl Test {
    fn run(&self) -> Result<Completion, Failed> {
        if !is_in_own_network() {
            if let Some(why) = self.needs.iter().find_map(|need| need.lack()) {
                return cannot_run(why);
            }
            if self.needs.iter().any(|need| need.is_met_by_own_network()) {
                run_in_own_network(self.name)?;
                return Ok(Completion::Completed);
            }
        }
        (self.body)();
        Ok(Completion::Completed)
    }
}

impl Need {
    /// Why a test with this need cannot run here, and what would help.
    fn lack(self) -> Option<&'static str> {
        let (is_met, why) = match self {
            Self::Ipv6 => (has_ipv6(), "needs IPv6 on loopback"),
            Self::OwnNetwork => (
                namespace::can_have_network(),
                "needs a network namespace: run as root, or allow user namespaces",
            ),
            Self::OwnNetworkIfAny => (true, ""),
            Self::OwnNames => (
                namespace::can_have_names(),
                "needs a mount namespace: run as root, or allow user namespaces",
            ),
            Self::Cgroup => {
                (Cgroup::try_with_memory(1 << 30).is_some(), "needs a cgroup: run as root")
            }
            Self::Shells => (
                ["bash", "fish", "zsh"].iter().all(|shell| is_installed(shell)),
                "needs the shells bash, fish and zsh: install them",
            ),
            Self::Git => (is_installed("git"), "needs git: install it"),
            Self::BlackboxExporter => (
                is_installed("prometheus-blackbox-exporter"),
                "needs prometheus-blackbox-exporter: install it",
            ),
            Self::Ndiff => (is_installed("ndiff"), "needs ndiff: install it"),
            Self::Nmap => (is_installed("nmap"), "needs nmap: install it"),
            Self::Curl => (is_installed("curl"), "needs curl: install it"),
            Self::Nft => (is_installed("nft"), "needs nft: install nftables"),
            Self::Root => (rustix::process::getuid().is_root(), "needs to run as root"),
        };
        (!is_met).then_some(why)
    }

    fn is_met_by_own_network(self) -> bool {
        match self {
            Self::OwnNetwork => true,
            Self::OwnNetworkIfAny => namespace::can_have_network(),
            _ => false,
        }
    }
}

fn is_installed(program: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).is_file())
}
