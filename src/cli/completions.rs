//! `open-ports completions`: for shells, generated from what can be typed.

use argh::{ArgsInfo, FromArgs};
use argh_complete::{Generator, bash, fish, nushell, zsh};

use super::{Args, Exit, NAME, print, print_error};

/// Print a completion script for a shell.
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "completions",
    help_triggers("-h", "--help", "help"),
    example = "{command_name} bash > /etc/bash_completion.d/open-ports"
)]
pub(super) struct CompletionsArgs {
    /// bash, fish, nushell or zsh
    #[argh(positional)]
    shell: String,
}

pub(super) fn run(args: &CompletionsArgs) -> Exit {
    let commands = Args::get_args_info();
    let script = match &*args.shell {
        "bash" => bash::Bash::generate(NAME, &commands),
        "fish" => fish::Fish::generate(NAME, &commands),
        "nushell" => nushell::Nushell::generate(NAME, &commands),
        "zsh" => zsh::Zsh::generate(NAME, &commands),
        other => {
            print_error(&format!("{other:?} is not bash, fish, nushell or zsh"));
            return Exit::Usage;
        }
    };
    print(script.trim_end())
}
