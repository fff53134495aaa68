//! Namespaces of the kernel, for tests that need more than loopback: a machine without
//! routes, or names that resolve as the test says.
//!
//! Not every user may make them, and not in every container: tests that need them
//! say so to `trials.rs`, which asks here whether they can be had.

use std::env;
use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::service::{Service, on_any_port};

/// Runs the test called `name` again, in a process that reaches nothing but
/// loopback. Its standard error is the same as ours, so a panic's text is shown.
pub(crate) fn run_in_own_network(name: &str) -> Result<(), String> {
    let mut command = own_network().ok_or("no network namespace")?;
    command.arg(env::current_exe().unwrap()).args(["--exact", name]).env(INSIDE, "yes");
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // A name that no test has would end well.
    if text.contains("1 passed") { Ok(()) } else { Err(text.into_owned()) }
}

/// Whether this process was started by [`run_in_own_network`].
pub(crate) fn is_in_own_network() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Whether this user may have a network namespace.
pub(crate) fn can_have_network() -> bool {
    own_network().is_some()
}

/// Whether this user may mount files over those that names are read from.
pub(crate) fn can_have_names() -> bool {
    unshared("--mount", "mount --bind /etc/hosts /etc/hosts").is_some()
}

/// A service for which names resolve as in `hosts`, in the format of /etc/hosts,
/// and no name server answers.
pub(crate) fn service_with_hosts(hosts: &str) -> Service {
    let (command, _files) = with_hosts(hosts, &on_any_port());
    // It has mounted the files once it says where it listens.
    Service::spawn(command)
}

/// The same for any command, and the folder of the files, which has to last
/// until the command has mounted them.
pub(crate) fn with_hosts(hosts: &str, command: &Command) -> (Command, TempDir) {
    // A local address where nothing listens.
    with_resolver(hosts, "nameserver 127.255.255.254\n", command)
}

/// The same, with `resolver` for /etc/resolv.conf.
pub(crate) fn with_resolver(hosts: &str, resolver: &str, command: &Command) -> (Command, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mount = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        format!("mount --bind '{}' /etc/{name}", file.display())
    };
    let mounts = [mount("hosts", hosts), mount("resolv.conf", resolver)].join(" && ");
    let mut confined = unshared("--mount", &mounts).expect("a mount namespace");
    confined.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => confined.env(name, value),
            None => confined.env_remove(name),
        };
    }
    (confined, folder)
}

/// A command in a network namespace, which runs what is added to its arguments.
fn own_network() -> Option<Command> {
    unshared("--net", "ip link set lo up")
}

/// A command that prepares its own namespaces, and then executes what is added to its
/// arguments; `None` if this user may not.
fn unshared(namespaces: &str, preparation: &str) -> Option<Command> {
    let script = format!("{preparation} && exec \"$@\"");
    // Root needs no user namespace, and may not be permitted one.
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

/// Set in the process that [`run_in_own_network`] starts.
const INSIDE: &str = "TEST_IN_OWN_NETWORK";
