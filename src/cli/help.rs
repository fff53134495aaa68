//! What `--help` prints. argh's own help has no names of values, and a usage that lists
//! every option.

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality, PositionalInfo};

use super::words;

/// The help of a command, which is called as `name`.
pub(super) fn help(name: &str, info: &CommandInfoWithArgs) -> String {
    let mut text = format!("Usage: {name}");
    if !info.commands.is_empty() {
        text += " [COMMAND]";
    }
    text += " [OPTIONS]";
    for positional in info.positionals {
        text += &format!(" {}", value(positional));
    }
    text += "\n\n";
    text += &lines("", info.description);
    if !info.commands.is_empty() {
        text += "\nCommands:\n";
        for command in &info.commands {
            text += &entry(&format!("  {}", command.name), command.command.description);
        }
    }
    if !info.positionals.is_empty() {
        text += "\nArguments:\n";
        for positional in info.positionals {
            text += &entry(&format!("  {}", value(positional)), positional.description);
        }
    }
    text += "\nOptions:\n";
    let (help, others): (Vec<_>, Vec<_>) =
        info.flags.iter().filter(|flag| !flag.hidden).partition(|flag| flag.long == "--help");
    for flag in others.into_iter().chain(help) {
        text += &entry(&spellings(flag), flag.description);
    }
    for (title, texts) in [("Examples", info.examples), ("Notes", info.notes)] {
        if !texts.is_empty() {
            text += &format!("\n{title}:\n");
        }
        for each in texts {
            text += &lines("  ", &each.replace("{command_name}", name));
        }
    }
    if !info.error_codes.is_empty() {
        text += "\nExit status:\n";
        text += &format!("  {:>3}  {}\n", 0, whole(info));
        for code in info.error_codes {
            text += &format!("  {:>3}  {}\n", code.code, code.description);
        }
    }
    text
}

/// How an option can be written, and what its value is called.
fn spellings(flag: &FlagInfo<'_>) -> String {
    let short = match flag.short {
        Some(short) => format!("-{short},"),
        None if flag.long == "--help" => "-h,".to_owned(),
        None => words::spelling(flag.long).map(|other| format!("{other},")).unwrap_or_default(),
    };
    let value = match flag.kind {
        FlagInfoKind::Switch => String::new(),
        FlagInfoKind::Option { arg_name } => format!(" <{arg_name}>"),
    };
    format!("{short:>5} {}{value}", flag.long)
}

fn value(PositionalInfo { name, optionality, .. }: &PositionalInfo<'_>) -> String {
    match optionality {
        Optionality::Required => format!("<{name}>"),
        Optionality::Optional => format!("[{name}]"),
        Optionality::Repeating | Optionality::Greedy => format!("[{name}...]"),
    }
}

/// `left`, and `description` in a column beside or below it.
fn entry(left: &str, description: &str) -> String {
    let column = " ".repeat(COLUMN);
    let described = lines(&column, description);
    // A long list of values goes on below its first.
    if left.len() > WIDTH
        && let Some((first, more)) = left.split_at(WIDTH).0.rsplit_once('|')
    {
        let more = format!("{more}{}", left.split_at(WIDTH).1);
        let below = left.find('<').map_or(COLUMN, |at| at + 1);
        return format!("{first}|\n{}{more}\n{described}", " ".repeat(below));
    }
    if left.len() + 2 > COLUMN {
        return format!("{left}\n{described}");
    }
    format!("{left:COLUMN$}{}", &described[COLUMN..])
}

/// `text` in lines that begin with `indent` and fit a terminal of 80 columns.
fn lines(indent: &str, text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH {
            lines += &format!("{indent}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines + &format!("{indent}{line}\n")
}

/// What exit status 0 of a command means, where others have a meaning.
pub(super) fn whole(info: &CommandInfoWithArgs) -> &'static str {
    match info.name {
        "watch" => "the ports have the states of --until, and had them for --settle",
        "matrix" => "everything was asked, and is as the rules say",
        _ => "everything was scanned",
    }
}

const COLUMN: usize = 28;

const WIDTH: usize = 80;
