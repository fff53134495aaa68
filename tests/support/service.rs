//! The real binary as a process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};

use super::client::{self, Reply};
use super::wait_for;

/// A service that has logged where it listens.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    child: Owned,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// The exit status and output of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary, without settings in its environment, and with SIGHUP not ignored:
/// tests that run under nohup(1) inherit that, and would pass it on.
pub(crate) fn open_ports(arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_open-ports")]).args(arguments);
    without_settings(command)
}

/// The binary on a port that the system chooses.
pub(crate) fn on_any_port() -> Command {
    open_ports(&["--listen", "127.0.0.1:0"])
}

/// The same with a limit on descriptors.
pub(crate) fn with_descriptors(limit: usize) -> Command {
    with_limit(&format!("ulimit -n {limit}"))
}

/// The same under limits that a shell sets.
pub(crate) fn with_limit(ulimit: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{ulimit} && exec \"$0\" \"$@\"")]).args([
        env!("CARGO_BIN_EXE_open-ports"),
        "--listen",
        "127.0.0.1:0",
    ]);
    without_settings(command)
}

/// Runs a command that ends by itself.
pub(crate) fn run(mut command: Command) -> Ended {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Owned(command.spawn().unwrap());
    let status = wait_for("the process to end", || child.0.try_wait().unwrap());
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    Ended { status, stdout, stderr }
}

impl Service {
    /// The service with default settings.
    pub(crate) fn start() -> Self {
        Self::spawn(on_any_port())
    }

    /// Runs `command` and waits until it logs where it listens.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = Owned(command.spawn().unwrap());
        let stderr = BufReader::new(child.0.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let address = wait_for("the log line with the address", || {
            let lines = log.lock().unwrap();
            let ended = child.0.try_wait().unwrap();
            assert!(ended.is_none(), "ended at once: {ended:?}, {lines:?}");
            lines.iter().find_map(|line| setting(line, "listen")?.parse().ok())
        });
        Self { address, child, log, reader: Some(reader) }
    }

    /// Sends one `GET` on a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Reply {
        client::get(self.address, target)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child.0)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The lines that it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of the log that contains `text`.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        wait_for(text, || self.log().into_iter().find(|line| line.contains(text)))
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.0.id())).unwrap().count()
    }

    /// A number from /proc/PID/status; memory is in kB.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(name, _)| *name == field).expect("a field of that name");
        value.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until the process ends by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = wait_for("the service to end", || self.child.0.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }
}

/// The value of `name=value`, or of `"name":value`, in a line of the log.
pub(crate) fn setting(line: &str, name: &str) -> Option<String> {
    match serde_json::from_str::<serde_json::Value>(line) {
        Ok(record) => match record.get(name)? {
            serde_json::Value::String(text) => Some(text.clone()),
            value => Some(value.to_string()),
        },
        Err(_) => {
            let mut words = line.split(' ');
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        }
    }
}

/// A child that is killed on drop, so that it does not outlive a failed test.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Fails if it has ended already, which does not matter.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars() {
        if name.starts_with("OPEN_PORTS_") || name == "PORT" {
            command.env_remove(name);
        }
    }
    command
}
