//! `open-ports completions`: scripts that complete commands, options and values
//! in shells.
//!
//! The scripts are files, which a test makes from what the command line takes:
//! see `completions/tests.rs`.

use argh::{ArgsInfo, FromArgs};

use super::{Exit, print, refused};

/// Print a completion script for a shell.
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "completions",
    help_triggers("-h", "--help", "help"),
    example = "{command_name} bash > /etc/bash_completion.d/open-ports",
    example = "{command_name} fish > ~/.config/fish/completions/open-ports.fish",
    example = "{command_name} zsh > /usr/local/share/zsh/site-functions/_open-ports"
)]
pub(super) struct CompletionsArgs {
    /// the shell
    #[argh(positional, arg_name = "bash|fish|nushell|zsh")]
    shell: String,
}

pub(super) fn run(args: &CompletionsArgs) -> Exit {
    match SCRIPTS.iter().find(|(shell, _)| *shell == args.shell) {
        Some((_, script)) => print(script.trim_end()),
        None => refused(&format!("{:?} is not bash, fish, nushell or zsh", args.shell)),
    }
}

const SCRIPTS: [(&str, &str); 4] = [
    ("bash", include_str!("completions/open-ports.bash")),
    ("fish", include_str!("completions/open-ports.fish")),
    ("nushell", include_str!("completions/open-ports.nu")),
    ("zsh", include_str!("completions/_open-ports")),
];

#[cfg(test)]
mod tests;
