//! The real binary on a pseudo-terminal, and what its screen shows.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::wait_for;

/// A process on a pseudo-terminal, and everything that it has written there.
pub(crate) struct OnTerminal {
    child: Child,
    keyboard: pty_process::blocking::Pty,
    written: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

/// How a process on a terminal ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: ExitStatus,
    /// The screen at the end.
    pub(crate) screen: String,
    /// Everything that was written.
    pub(crate) bytes: String,
}

impl OnTerminal {
    /// Starts the binary on a screen of 24 lines of 100 columns.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let command = [&[env!("CARGO_BIN_EXE_open-ports")], arguments].concat();
        Self::start_program(&command, environment, None)
    }

    /// Starts any program on such a screen, in `folder` if one is named.
    pub(crate) fn start_program(
        command: &[&str],
        environment: &[(&str, &str)],
        folder: Option<&Path>,
    ) -> Self {
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(pty_process::Size::new(LINES.get(), COLUMNS.get())).unwrap();
        let child = pty_process::blocking::Command::new(command[0])
            .args(&command[1..])
            .current_dir(folder.unwrap_or(Path::new(".")))
            .env_clear()
            .env("TERM", "xterm")
            .envs(environment.iter().copied())
            .spawn(pts)
            .unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (log, mut screen) = (Arc::clone(&written), dup(&pty));
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // EIO is the end: the process was the last to hold the terminal.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                log.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keyboard: pty, written, reader: Some(reader) }
    }

    /// Makes the screen so many columns wide.
    pub(crate) fn resize(&self, columns: u16) {
        self.keyboard.resize(pty_process::Size::new(LINES.get(), columns)).unwrap();
    }

    /// Everything that was written so far.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Types `text`, which may contain control characters.
    pub(crate) fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the screen, as a person would see it, meets `condition`.
    #[track_caller]
    pub(crate) fn wait_for_screen(&self, what: &str, condition: impl Fn(&str) -> bool) {
        wait_for(what, || condition(&self.screen()).then_some(()));
    }

    /// The present screen.
    pub(crate) fn screen(&self) -> String {
        let mut screen = vt100::Parser::new(LINES, COLUMNS, 0);
        screen.process(&self.written.lock().unwrap());
        screen.screen().contents()
    }

    /// Waits for the process to end.
    pub(crate) fn end(mut self) -> Seen {
        let status = wait_for("the process to end", || self.child.try_wait().unwrap());
        self.reader.take().unwrap().join().unwrap();
        let bytes = String::from_utf8(self.written.lock().unwrap().clone()).unwrap();
        Seen { status, screen: self.screen(), bytes }
    }
}

impl Seen {
    /// Whether the screen met `condition` at any time.
    pub(crate) fn ever(&self, condition: impl Fn(&str) -> bool) -> bool {
        let mut screen = vt100::Parser::new(LINES, COLUMNS, 0);
        // One drawing ends where the cursor moves elsewhere.
        self.bytes.split_inclusive(['\r', '\x1b']).any(|drawn| {
            screen.process(drawn.as_bytes());
            condition(&screen.screen().contents())
        })
    }
}

/// The lines of progress in `bytes`, each as it was drawn, without escape sequences.
pub(crate) fn progress_lines(bytes: &str) -> Vec<String> {
    let mut text = String::new();
    let mut rest = bytes.chars();
    while let Some(c) = rest.next() {
        match c {
            // Up to its last character, a letter (ECMA-48, section 5.4).
            '\x1b' => drop(rest.by_ref().skip(1).find(char::is_ascii_alphabetic)),
            c => text.push(c),
        }
    }
    let is_progress = |line: &&str| line.contains("% ");
    text.split(['\r', '\n']).filter(is_progress).map(str::to_owned).collect()
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dup(pty: &pty_process::blocking::Pty) -> std::fs::File {
    pty.as_fd().try_clone_to_owned().unwrap().into()
}

const LINES: NonZeroU16 = NonZeroU16::new(24).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(100).unwrap();
