//! What was probably meant by a command or an option that does not exist.

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind};

use super::{NAME, words};
use crate::targets::HostAndPort;

/// What is wrong with the command or with the names of its options, if something is.
/// `typed` is the command line, and `words` is what argh is going to read of it.
pub(super) fn objection(
    info: &CommandInfoWithArgs,
    typed: &[String],
    words: &[&str],
) -> Option<String> {
    let (name, arguments) = words.split_first()?;
    if words::TOP_LEVEL.contains(name) {
        return None;
    }
    let commands = || info.commands.iter();
    let Some(command) = commands().find(|command| command.name == *name) else {
        let names: Vec<String> = commands().map(|command| command.name.to_owned()).collect();
        let arguments: Vec<String> = match typed {
            [first, arguments @ ..] if first == name => arguments.to_vec(),
            // After `help`.
            _ => arguments.iter().map(|word| (*word).to_owned()).collect(),
        };
        let meant = command_meant(name, &names, &arguments);
        return Some(format!("{name} is not a command; {meant}"));
    };
    let unknown = unknown_options(&command.command, arguments);
    let is_implied = typed.first().is_none_or(|first| first != name);
    let scan = commands().find(|command| command.name == "scan").filter(|_| is_implied);
    if let (Some(scan), Some(first)) = (scan, unknown.first()) {
        let words = words::for_argh(&[&["scan".to_owned()], typed].concat());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if unknown_options(&scan.command, &words).is_empty() {
            let meant = command_line("scan", typed);
            return Some(format!("{first} is an option of scan; did you mean: {meant}"));
        }
    }
    let known = known_options(&command.command, name);
    let objections = unknown.into_iter().map(|word| {
        let meant = match nearest(word, &known) {
            Some(option) => format!("did you mean {option}?"),
            None => format!("see {NAME} {name} --help"),
        };
        format!("{word} is not an option of {name}; {meant}")
    });
    let objections: Vec<String> = objections.collect();
    (!objections.is_empty()).then(|| objections.join("; "))
}

fn command_meant(word: &str, names: &[String], arguments: &[String]) -> String {
    if let Some(command) = nearest(word, names) {
        return format!("did you mean: {}", command_line(command, arguments));
    }
    if word.parse::<HostAndPort>().is_ok() {
        let words = [&[word.to_owned()], arguments].concat();
        return format!("did you mean: {}", command_line("scan", &words));
    }
    format!("the commands are {}", names.join(", "))
}

/// A command line as a shell would take it.
fn command_line(command: &str, words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    let words = words.iter().map(|word| match word.as_str() {
        word if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        word => format!("'{}'", word.replace('\'', "'\\''")),
    });
    [NAME.to_owned(), command.to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// The words that look like options of a command and are not.
fn unknown_options<'a>(info: &CommandInfoWithArgs, arguments: &[&'a str]) -> Vec<&'a str> {
    let mut unknown = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(&word) = arguments.next() {
        if word == "--" {
            break;
        }
        if !word.starts_with('-') || word == "-h" {
            continue;
        }
        let mut short = word.chars().skip(1);
        let short = short.next().filter(|_| short.next().is_none());
        let is_it =
            |flag: &&FlagInfo<'_>| flag.long == word || (short.is_some() && flag.short == short);
        match info.flags.iter().find(is_it) {
            // Its value may look like an option.
            Some(flag) if flag.kind != FlagInfoKind::Switch => {
                arguments.next();
            }
            Some(_) => {}
            None => unknown.push(word),
        }
    }
    unknown
}

/// Everything that can be typed as an option of the command called `name`.
fn known_options(info: &CommandInfoWithArgs, name: &str) -> Vec<String> {
    let names = info.flags.iter().map(|flag| flag.long.to_owned());
    let short = info.flags.iter().filter_map(|flag| Some(format!("-{}", flag.short?)));
    let spellings = words::SPELLINGS.iter().filter(|_| name == "scan");
    names.chain(short).chain(spellings.map(|(spelling, _)| (*spelling).to_owned())).collect()
}

/// The word of `known` that `word` was probably meant to be: it differs by a slip or
/// two, or is longer.
fn nearest<'a>(word: &str, known: &'a [String]) -> Option<&'a str> {
    let bare = |word: &str| word.trim_start_matches('-').to_ascii_lowercase();
    let word = bare(word);
    let slips = match word.chars().count() {
        // Any other letter would be as near.
        ..=1 => 0,
        2..=5 => 1,
        count => count / 3,
    };
    let distance = |known: &String| {
        let known = bare(known);
        let comparable = (known.len() == 1) == (word.len() == 1);
        if comparable { strsim::osa_distance(&word, &known) } else { usize::MAX }
    };
    let near = known.iter().min_by_key(|known| distance(known));
    let near = near.filter(|known| distance(known) <= slips);
    let longer = || known.iter().find(|known| word.len() > 2 && bare(known).starts_with(&word));
    near.or_else(longer).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_of(word: &str) -> Option<&'static str> {
        static KNOWN: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
            let known = "--ports --to-port --timeout-ms --output --output-xml -p -v -oX";
            known.split(' ').map(str::to_owned).collect()
        });
        nearest(word, &KNOWN)
    }

    #[test]
    fn a_slip_another_case_and_a_beginning_are_near() {
        for (word, near) in [
            ("--prots", "--ports"),
            ("--port", "--ports"),
            ("--toport", "--to-port"),
            ("--timeout", "--timeout-ms"),
            ("--out", "--output"),
            ("-P", "-p"),
            ("-ox", "-oX"),
        ] {
            assert_eq!(nearest_of(word), Some(near), "{word}");
        }
        for word in ["--colour", "-x", "-sV", "-T4", "-", "--"] {
            assert_eq!(nearest_of(word), None, "{word}");
        }
    }

    #[test]
    fn a_command_line_is_quoted_where_a_shell_needs_that() {
        let words = ["web", "-p", "22,80", "[::1]", "it's", ""].map(str::to_owned);
        assert_eq!(
            command_line("scan", &words),
            "open-ports scan web -p 22,80 '[::1]' 'it'\\''s' ''"
        );
    }
}
