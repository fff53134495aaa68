//! Common ways to write a command line that argh does not accept.

/// Options of scan as nmap spells them, with one dash and several letters, and their
/// names here.
pub(super) const SPELLINGS: [(&str, &str); 5] = [
    ("-iL", "--targets"),
    ("-oX", "--output-xml"),
    ("-oG", "--output-grepable"),
    ("-oJ", "--output-json"),
    ("-vv", "--verbose"),
];

/// Options of nmap's scan that ask for what this one always does.
const IGNORED: [&str; 1] = ["-Pn"];

/// First words that do not imply `serve`.
pub(super) const TOP_LEVEL: [&str; 5] = ["-h", "--help", "help", "--version", "-V"];

const HELP: [&str; 3] = ["-h", "--help", "help"];

/// What argh is to read if `typed` was typed.
pub(super) fn for_argh(typed: &[String]) -> Vec<String> {
    let mut words = typed.to_vec();
    // Serving is the default command, so its flags can stand alone.
    let names_a_command = |word: &String| !word.starts_with('-') || TOP_LEVEL.contains(&&**word);
    if !words.first().is_some_and(names_a_command) {
        words.insert(0, "serve".to_owned());
    }
    // argh would give scan the word `help`, which is a host there.
    if let [first, command, ..] = &words[..]
        && HELP.contains(&&**first)
        && !command.starts_with('-')
    {
        words = vec![command.clone(), "--help".to_owned()];
    }
    split_values(words)
}

/// Another spelling of the option called `name`.
pub(super) fn spelling(name: &str) -> Option<&'static str> {
    SPELLINGS.iter().find(|(_, known)| *known == name).map(|&(spelling, _)| spelling)
}

/// Turns `--name=value` into two words, `-p80` too, and other spellings of options into
/// their names. What follows `--` is no option.
fn split_values(words: Vec<String>) -> Vec<String> {
    let is_scan = words.first().is_some_and(|command| command == "scan");
    let mut split = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    for word in words.by_ref() {
        if word == "--" {
            split.push(word);
            break;
        }
        if is_scan && IGNORED.contains(&&*word) {
            continue;
        }
        // Of `--expect-file=a=b`, the file is `a=b`.
        let long = word.starts_with("--").then(|| word.split_once('=')).flatten();
        let short = word.strip_prefix("-p").filter(|ports| !ports.is_empty());
        let name = SPELLINGS.iter().find(|(spelling, _)| is_scan && *spelling == word);
        match (long, short, name) {
            (Some((name, value)), ..) => split.extend([name.to_owned(), value.to_owned()]),
            (None, Some(ports), _) => split.extend(["-p".to_owned(), ports.to_owned()]),
            (None, None, Some((_, name))) => split.push((*name).to_owned()),
            (None, None, None) => split.push(word),
        }
    }
    split.extend(words);
    split
}

/// The words for argh, which takes a lone `-` for an option: where a command takes files,
/// it becomes [`STANDARD_INPUT`].
pub(super) fn with_standard_input(words: &[String]) -> Vec<&str> {
    let mut named = Vec::with_capacity(words.len());
    for word in words {
        let is_value = named.last().is_some_and(|before: &&str| before.starts_with('-'));
        let is_file = word == "-"
            && !is_value
            && named.first().is_some_and(|command| OF_FILES.contains(command));
        named.push(if is_file { STANDARD_INPUT } else { word.as_str() });
    }
    named
}

/// The commands that take files.
const OF_FILES: [&str; 3] = ["merge", "diff", "matrix"];

/// The file that is standard input, on Linux.
pub(super) const STANDARD_INPUT: &str = "/dev/stdin";

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        split_values(words(text))
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_command_line_without_a_command_serves_and_help_may_come_first() {
        for (typed, read) in [
            ("--listen a", "serve --listen a"),
            ("scan web", "scan web"),
            ("help", "help"),
            ("--help", "--help"),
            ("help scan", "scan --help"),
            ("-h scan web", "scan --help"),
        ] {
            assert_eq!(for_argh(&words(typed)), words(read), "{typed}");
        }
        assert_eq!(for_argh(&[]), ["serve"]);
    }

    #[test]
    fn values_may_follow_an_equals_sign_or_the_p() {
        assert_eq!(
            split("scan -p80 -p- --seed=1 --targets - --output=a=b -p 22 a=b"),
            words("scan -p 80 -p - --seed 1 --targets - --output a=b -p 22 a=b")
        );
    }

    #[test]
    fn options_may_be_spelt_as_nmap_spells_them() {
        assert_eq!(
            split("scan -iL hosts -oX a.xml -oG a.gnmap -oJ a.json"),
            words(
                "scan --targets hosts --output-xml a.xml --output-grepable a.gnmap --output-json a.json"
            )
        );
        assert_eq!(split("scan -Pn -vv web"), words("scan --verbose web"));
        assert_eq!(split("serve -Pn -oX"), words("serve -Pn -oX"));
    }

    #[test]
    fn words_behind_two_dashes_stay() {
        assert_eq!(split("scan -p80 -- -p80 -oX --a=b"), words("scan -p 80 -- -p80 -oX --a=b"));
    }

    #[test]
    fn a_lone_hyphen_is_standard_input_where_files_are_merged() {
        let named = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            with_standard_input(&words).join(" ")
        };
        assert_eq!(named("merge - a"), "merge /dev/stdin a");
        assert_eq!(named("merge --output - a -"), "merge --output - a /dev/stdin");
        assert_eq!(named("scan a --targets -"), "scan a --targets -");
    }
}
