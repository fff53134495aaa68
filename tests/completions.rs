//! The completion scripts in the shells that they are for, each on a terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs;
use std::path::Path;

use support::service::{open_ports, run};
use support::terminal::OnTerminal;
use support::trials;
use tempfile::TempDir;

trials::main!(
    bash_completes_commands_options_values_and_files: Shells,
    fish_completes_commands_options_values_and_files: Shells,
    zsh_completes_commands_options_values_and_files: Shells,
);

fn bash_completes_commands_options_values_and_files() {
    let home = home();
    fs::write(home.path().join("script"), script("bash")).unwrap();
    let mut shell = start(&home, &["bash", "--norc", "--noprofile", "-i"]);
    shell.type_in("source ./script; PS1='rea''dy> '; clear\n");
    completes(&mut shell, "\t\t");
}

fn fish_completes_commands_options_values_and_files() {
    let home = home();
    let folder = home.path().join(".config/fish/completions");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("open-ports.fish"), script("fish")).unwrap();
    let mut shell = start(&home, &["fish", "--private"]);
    shell.type_in("function fish_prompt; echo -n 'rea''dy> '; end; clear\n");
    completes(&mut shell, "\t");
}

fn zsh_completes_commands_options_values_and_files() {
    let home = home();
    fs::write(home.path().join("_open-ports"), script("zsh")).unwrap();
    let mut shell = start(&home, &["zsh", "-f"]);
    shell.type_in(
        "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u; PS1='rea''dy> '; clear\n",
    );
    completes(&mut shell, "\t");
}

/// Types what a person would, with Tab in place of most of it. `list` are the keys
/// that list what is possible.
fn completes(shell: &mut OnTerminal, list: &str) {
    // The prompt is typed in two pieces, so that only the prompt itself looks like this.
    shell.wait_for_screen("an empty screen with a prompt", |screen| screen.trim() == "ready>");
    type_and_see(shell, "open-ports sc\t", &["open-ports scan"]);
    type_and_see(shell, "--fam\t", &["open-ports scan --family"]);
    type_and_see(shell, list, &["any", "ipv4", "ipv6"]);
    type_and_see(shell, "ipv6\t", &["ipv6"]);
    type_and_see(shell, " --form\t", &["--format"]);
    type_and_see(shell, "gre\t", &["grepable"]);
    type_and_see(shell, " --output fou\t", &["--output found.json"]);
    type_and_see(shell, " --no-such-option-", &["--no-such-option-"]);
    // What went wrong in a script is printed around the command line.
    let screen = shell.screen();
    for word in ["rror", "nknown", "not found"] {
        assert!(!screen.contains(word), "{screen}");
    }
}

fn type_and_see(shell: &mut OnTerminal, keys: &str, seen: &[&str]) {
    shell.type_in(keys);
    shell.wait_for_screen(&format!("{seen:?} after {keys:?}"), |screen| {
        // Shells break a long line at the edge of the screen.
        let screen = screen.replace('\n', "");
        seen.iter().all(|text| screen.contains(text))
    });
}

/// A folder with a file whose name can be completed.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("found.json"), "").unwrap();
    home
}

fn start(home: &TempDir, command: &[&str]) -> OnTerminal {
    let program = Path::new(env!("CARGO_BIN_EXE_open-ports")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.display());
    let folder = home.path().to_str().unwrap();
    OnTerminal::start_program(command, &[("PATH", &path), ("HOME", folder)], Some(home.path()))
}

fn script(shell: &str) -> String {
    let ended = run(open_ports(&["completions", shell]));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    ended.stdout
}
