//! Namespaces of the kernel, for what loopback cannot show: a machine without
//! routes, and names that resolve as a test wants them to.
//!
//! Not every user may make them, and not in every container. What needs them
//! then says so and is left out.

use std::env;
use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

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
    // It has mounted the files once it says where it listens.
    with_hosts(hosts, &on_any_port()).map(|(command, _files)| Service::spawn(command))
}

/// The same for any command, and the folder of the files, which has to last
/// until the command has mounted them.
pub(crate) fn with_hosts(hosts: &str, command: &Command) -> Option<(Command, TempDir)> {
    // An address that is local, and where nobody listens.
    with_resolver(hosts, "nameserver 127.255.255.254\n", command)
}

/// The same, with `resolver` for /etc/resolv.conf.
pub(crate) fn with_resolver(
    hosts: &str,
    resolver: &str,
    command: &Command,
) -> Option<(Command, TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let mount = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        format!("mount --bind '{}' /etc/{name}", file.display())
    };
    let mounts = [mount("hosts", hosts), mount("resolv.conf", resolver)].join(" && ");
    let mut confined = unshared("--mount", &mounts)?;
    confined.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => confined.env(name, value),
            None => confined.env_remove(name),
        };
    }
    Some((confined, folder))
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
const INSIDE: &str = "TEST_IN_OWN_NETWORK";
