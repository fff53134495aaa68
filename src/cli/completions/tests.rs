//! Makes the completion scripts and the manual pages from what argh knows of the
//! command line, and compares them with the files. With `UPDATE_FILES=1` in the
//! environment it writes the files instead:
//!
//! ```console
//! $ UPDATE_FILES=1 cargo test --lib completions
//! ```
//!
//! The scripts and pages are the work of clap's generators, which shells have
//! been tried with for years. They want clap's own description of a command line:
//! `command` translates argh's into it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;

use argh::{
    ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality, PositionalInfo,
    SubCommandInfo,
};
use clap::{Arg, ArgAction, ValueHint};
use clap_complete::{Generator, Shell};
use clap_complete_nushell::Nushell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::super::{Args, NAME, help, words};

#[test]
fn the_files_are_what_the_command_line_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut outdated = Vec::new();
    for (name, text) in files() {
        let path = root.join(&name);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if env::var_os("UPDATE_FILES").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        } else {
            outdated.push(name);
        }
    }
    assert!(outdated.is_empty(), "run this test with UPDATE_FILES=1 to renew {outdated:?}");
}

/// Every file by its path in the project.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::from([
        ("src/cli/completions/open-ports.bash".to_owned(), bash()),
        ("src/cli/completions/open-ports.fish".to_owned(), script(Shell::Fish, NAME)),
        ("src/cli/completions/open-ports.nu".to_owned(), script(Nushell, NAME)),
        ("src/cli/completions/_open-ports".to_owned(), script(Shell::Zsh, NAME)),
    ]);
    let info = Args::get_args_info();
    files.insert(format!("docs/man/{NAME}.1"), page(NAME, &info));
    for SubCommandInfo { name, command } in &info.commands {
        let name = format!("{NAME}-{name}");
        files.insert(format!("docs/man/{name}.1"), page(&name, command));
    }
    files
}

fn script(shell: impl Generator, name: &str) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program(), name.to_owned(), &mut script);
    String::from_utf8(script).unwrap()
}

/// The script for bash, which the generator does not get right for a program with
/// a hyphen in its name: it looks for commands by one name and offers them by
/// another.
fn bash() -> String {
    let name = NAME.replace('-', "_");
    script(Shell::Bash, &name).replace(&format!(" {name}\n"), &format!(" {NAME}\n"))
}

/// A manual page. clap's generator has no sections EXIT STATUS, NOTES and EXAMPLES.
fn page(name: &str, info: &CommandInfoWithArgs) -> String {
    let described = if name == NAME { program() } else { command(name, info) };
    let source = format!("{NAME} {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(described).title(name).source(source);
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    if !info.commands.is_empty() {
        man.render_subcommands_section(&mut page).unwrap();
    }
    let mut more = Roff::new();
    if !info.error_codes.is_empty() {
        more.control("SH", ["EXIT STATUS"]);
        more.control("TP", []).text([roman("0")]).text([roman(help::whole(info))]);
        for code in info.error_codes {
            let (number, meaning) = (code.code.to_string(), code.description);
            more.control("TP", []).text([roman(number)]).text([roman(meaning)]);
        }
    }
    if !info.notes.is_empty() {
        more.control("SH", ["NOTES"]);
    }
    for note in info.notes {
        more.control("PP", []).text([roman(*note)]);
    }
    if !info.examples.is_empty() {
        more.control("SH", ["EXAMPLES"]);
        let typed = name.replacen("open-ports-", "open-ports ", 1);
        for example in info.examples {
            let example = example.replace("{command_name}", &typed);
            more.control("PP", []).text([roman(example)]);
        }
    }
    more.to_writer(&mut page).unwrap();
    String::from_utf8(page).unwrap()
}

fn program() -> clap::Command {
    let program = command(NAME, &Args::get_args_info()).version(env!("CARGO_PKG_VERSION"));
    program.disable_help_subcommand(true)
}

fn command(name: &str, info: &CommandInfoWithArgs) -> clap::Command {
    let flags = info.flags.iter().filter(|flag| !HELP_AND_VERSION.contains(&flag.long));
    let positionals = info.positionals.iter().zip(1..);
    let commands = info.commands.iter().map(|it| command(it.name, &it.command));
    clap::Command::new(name.to_owned())
        .about(info.description.to_owned())
        .args(flags.map(option))
        .args(positionals.map(|(info, index)| positional(info, index)))
        .subcommands(commands)
}

fn option(flag: &FlagInfo<'_>) -> Arg {
    let name = flag.long.trim_start_matches('-').to_owned();
    let help = match words::spelling(flag.long) {
        Some(spelling) => format!("{} (also {spelling})", flag.description),
        None => flag.description.to_owned(),
    };
    let arg = Arg::new(name.clone()).long(name).help(help);
    let arg = match flag.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    match flag.kind {
        FlagInfoKind::Switch => arg.action(ArgAction::SetTrue),
        FlagInfoKind::Option { arg_name } => {
            let arg = arg.action(match flag.optionality {
                Optionality::Repeating => ArgAction::Append,
                _ => ArgAction::Set,
            });
            with_value(arg, arg_name)
        }
    }
}

fn positional(info: &PositionalInfo<'_>, index: usize) -> Arg {
    let arg = Arg::new(info.name.to_owned()).index(index).help(info.description.to_owned());
    let arg = match info.optionality {
        Optionality::Required => arg.required(true),
        Optionality::Optional => arg,
        _ => arg.num_args(0..).action(ArgAction::Append),
    };
    with_value(arg, info.name)
}

/// The name of a value says what may be typed: `a|b` is one of these.
fn with_value(arg: Arg, name: &str) -> Arg {
    let values: Vec<String> = name.split('|').map(str::to_owned).collect();
    if values.len() > 1 {
        return arg.value_name(name.to_owned()).value_parser(values).hide_possible_values(true);
    }
    arg.value_name(name.to_owned()).value_hint(match name {
        "file" => ValueHint::FilePath,
        "host" => ValueHint::Hostname,
        _ => ValueHint::Other,
    })
}

/// clap has its own.
const HELP_AND_VERSION: [&str; 2] = ["--help", "--version"];
