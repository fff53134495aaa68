//! Namespaces of the kernel, for what loopback cannot show: a machine without
//! routes, and names that resolve as a test wants them to.
//!
//! Not every user may make them, and not in every container. What needs them
//! then says so and is left out.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::service::{Service, on_any_port};

/// Runs `body` with nothing but loopback to reach, by running the test called
/// `test` again in a process of its own.
pub(crate) fn in_own_network(test: &str, body: impl FnOnce()) {
    match network_of(test) {
        Network::Own => body(),
        Network::Other => {}
        Network::Shared => eprintln!("no network namespaces here: {test} is left out"),
    }
}

/// Like [`in_own_network`], but runs `body` also where that cannot be had.
pub(crate) fn rather_in_own_network(test: &str, body: impl FnOnce()) {
    match network_of(test) {
        Network::Own | Network::Shared => body(),
        Network::Other => {}
    }
}

/// Whose network a test runs in.
enum Network {
    /// Nobody else's.
    Own,
    /// Its body did run, in another process.
    Other,
    /// The machine's.
    Shared,
}

fn network_of(test: &str) -> Network {
    if env::var_os(INSIDE).is_some() {
        return Network::Own;
    }
    let Some(mut command) = unshared("--net", "ip link set lo up") else { return Network::Shared };
    command.arg(env::current_exe().unwrap()).args(["--exact", test]).env(INSIDE, "yes");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // Without this a misspelt name would pass.
    assert!(text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Network::Other
}

/// A service to which names mean what `hosts`, in the format of /etc/hosts,
/// says, and for which no name server answers; `None` where this user may not
/// mount files.
pub(crate) fn service_with_hosts(hosts: &str) -> Option<Service> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let hosts_file = folder.join(format!("hosts-{}", std::process::id()));
    let resolver_file = folder.join(format!("resolv.conf-{}", std::process::id()));
    fs::write(&hosts_file, hosts).unwrap();
    // An address that is local, and where nobody listens.
    fs::write(&resolver_file, "nameserver 127.255.255.254\n").unwrap();
    let mount = |file: &Path, over: &str| format!("mount --bind '{}' {over}", file.display());
    let mounts =
        [mount(&hosts_file, "/etc/hosts"), mount(&resolver_file, "/etc/resolv.conf")].join(" && ");
    let binary = on_any_port();
    let service = unshared("--mount", &mounts).map(|mut command| {
        command.arg(binary.get_program()).args(binary.get_args());
        for (name, _) in binary.get_envs() {
            command.env_remove(name);
        }
        Service::spawn(command)
    });
    // The mounts keep them.
    fs::remove_file(hosts_file).unwrap();
    fs::remove_file(resolver_file).unwrap();
    service
}

/// A command that prepares namespaces of its own, and runs what is added to
/// its arguments there, as the same process.
fn unshared(namespaces: &str, preparation: &str) -> Option<Command> {
    let script = format!("{preparation} && exec \"$@\"");
    // Root needs no user namespace, and may not be allowed one.
    for extra in [&[][..], &["--map-root-user"]] {
        let command = || {
            let mut command = Command::new("unshare");
            command.args(extra).args([namespaces, "sh", "-c", &script, "sh"]);
            command
        };
        let trial = command().arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if trial.is_ok_and(|status| status.success()) {
            return Some(command());
        }
    }
    None
}

/// Set in the process that `in_own_network` starts.
const INSIDE: &str = "OPEN_PORTS_TEST_IN_OWN_NETWORK";
