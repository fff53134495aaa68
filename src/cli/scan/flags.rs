//! The flags of `open-ports scan` that can be read without its lists of hosts.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ScanArgs;
use crate::fields::{self, FieldErrors};
use crate::host::Family;
use crate::limits;
use crate::output::{Format, JudgeForm};
use crate::ports::{PortSet, parse_port};
use crate::targets::SHARED_SEED;

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    /// What a flag or the end of the file's name says.
    pub(super) format: Option<Format>,
    /// `-` is standard output.
    pub(super) path: PathBuf,
}

/// How much is printed on standard error besides errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verbosity {
    Quiet,
    /// Progress on a terminal, and notes on what is remarkable.
    Usual,
    /// The plan and every host, too.
    Verbose,
}

/// The values of these flags.
pub(super) struct Flags {
    /// Those of `-p`, `--to-port` or `--top`.
    pub(super) ports: Option<PortSet>,
    pub(super) family: Family,
    pub(super) timeout: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) rate: Option<NonZeroU32>,
    pub(super) seed: u64,
    pub(super) format: Option<Format>,
    pub(super) outputs: Vec<Output>,
    pub(super) verbosity: Verbosity,
}

impl Flags {
    pub(super) fn read(args: &ScanArgs, errors: &mut FieldErrors) -> Option<Self> {
        let ports = ports(args, errors);
        let family = family((args.ipv4, args.ipv6), args.family.as_deref(), errors);
        let timeouts = (limits::MIN_TIMEOUT, limits::MAX_TIMEOUT);
        let timeout = match args.timeout_ms.as_deref() {
            None => Some(limits::DEFAULT_TIMEOUT),
            Some(text) => duration(text, "--timeout-ms", timeouts, errors),
        };
        let deadlines = (limits::MIN_DEADLINE, limits::MAX_MAX_DEADLINE);
        let deadline = match args.deadline_ms.as_deref() {
            None => Some(None),
            Some(text) => duration(text, "--deadline-ms", deadlines, errors).map(Some),
        };
        let rate = match args.rate.as_deref() {
            None => Some(None),
            Some(text) => fields::rate(text, "--rate", None, errors).map(Some),
        };
        let seed = match args.seed.as_deref() {
            None if args.shard.is_some() => Some(SHARED_SEED),
            None => Some(RandomState::new().hash_one(0)),
            Some(text) => text.parse().ok().or_else(|| {
                errors.reject("--seed", format!("must be a number, 0 to {}", u64::MAX))
            }),
        };
        let format = match args.format.as_deref() {
            None => Some(None),
            Some(name) => Format::named(name).map(Some).or_else(|| {
                let names = Format::ALL.map(|(name, _)| name).join(", ");
                errors.reject("--format", format!("must be one of {names}"))
            }),
        };
        let verbosity = match (args.quiet, args.verbose) {
            (true, true) => errors.reject("--quiet", "excludes --verbose"),
            (true, false) => Some(Verbosity::Quiet),
            (false, true) => Some(Verbosity::Verbose),
            (false, false) => Some(Verbosity::Usual),
        };
        let outputs = outputs(args, format.flatten(), errors);
        Some(Self {
            ports: ports?,
            family: family?,
            timeout: timeout?,
            deadline: deadline?,
            rate: rate?,
            seed: seed?,
            format: format?,
            outputs: outputs?,
            verbosity: verbosity?,
        })
    }

    /// The name of the format that judges open ports, if one does.
    pub(super) fn judged(&self) -> Option<&'static str> {
        let formats = self.outputs.iter().filter_map(|output| output.format).chain(self.format);
        formats.into_iter().find(|format| format.is_judged()).map(Format::name)
    }
}

/// Reads milliseconds, or a number with a unit: `500ms`, `2s` or `5m`.
pub(in crate::cli) fn duration(
    text: &str,
    flag: &str,
    bounds: (Duration, Duration),
    errors: &mut FieldErrors,
) -> Option<Duration> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[number.len()..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse::<u64>().ok().filter(|_| digits);
    let milliseconds = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    match milliseconds {
        Some(number) => fields::milliseconds(&number.to_string(), flag, bounds, errors),
        None => fields::milliseconds(text, flag, bounds, errors),
    }
}

/// Reads `-4`, `-6` and `--family`, of which one may be given.
pub(in crate::cli) fn family(
    (ipv4, ipv6): (bool, bool),
    family: Option<&str>,
    errors: &mut FieldErrors,
) -> Option<Family> {
    let short = [(ipv4, "-4", "ipv4"), (ipv6, "-6", "ipv6")];
    let mut given: Vec<&str> = short.iter().filter(|flag| flag.0).map(|flag| flag.2).collect();
    given.extend(family);
    if given.len() > 1 {
        let (_, flag, _) = short.iter().find(|flag| flag.0).expect("--family is one at most");
        return errors.reject(flag, "excludes the other family and --family; give one of them");
    }
    let named = given.first().map_or(Some(Family::Any), |name| Family::named(name));
    named.or_else(|| errors.reject("--family", "must be any, ipv4 or ipv6"))
}

fn ports(args: &ScanArgs, errors: &mut FieldErrors) -> Option<Option<PortSet>> {
    let given = [&args.ports, &args.to_port, &args.top];
    if given.iter().filter(|given| given.is_some()).count() > 1 {
        return errors.reject("-p", "excludes --to-port and --top; give one of them");
    }
    if let Some(list) = &args.ports {
        return match PortSet::typed(list) {
            Ok(ports) => Some(Some(ports)),
            Err(error) => errors.reject("-p", format!("{error}")),
        };
    }
    if let Some(last) = &args.to_port {
        let ports = parse_port(last).and_then(|last| PortSet::try_range(1, last).ok());
        return ports.map(Some).or_else(|| errors.reject("--to-port", "must be 1 to 65535"));
    }
    let Some(count) = &args.top else { return Some(None) };
    let ports = parse_port(count).and_then(|count| PortSet::most_common(count.into()));
    ports.map(Some).or_else(|| errors.reject("--top", "must be 1 to 1000"))
}

/// The files to write. `format` is the value of `--format`, which goes before what the
/// end of a file's name says.
fn outputs(
    args: &ScanArgs,
    format: Option<Format>,
    errors: &mut FieldErrors,
) -> Option<Vec<Output>> {
    let given = [
        ("--output", None, &args.output),
        ("--output-xml", Some(Format::Xml), &args.output_xml),
        ("--output-grepable", Some(Format::Grepable), &args.output_grepable),
        ("--output-json", Some(Format::Json), &args.output_json),
    ];
    let mut outputs: Vec<Output> = Vec::new();
    let mut fine = true;
    for (flag, of_flag, paths) in given {
        for path in paths.iter().map(PathBuf::from) {
            if outputs.iter().any(|output| output.path == path) {
                errors.add(flag, format!("{} is given twice", path.display()));
                fine = false;
            }
            let format = of_flag.or(format).or_else(|| format_of(&path));
            outputs.push(Output { format, path });
        }
    }
    fine.then_some(outputs)
}

/// The format that the end of a file's name says.
fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?;
    // Many call the file junit.xml, and a name of a single word has no ending.
    let has = |ending: &str| match name.strip_suffix(ending) {
        Some("") => ending.contains('.'),
        Some(before) => before.ends_with('.') && before != ".",
        None => false,
    };
    ENDINGS.iter().find(|(ending, _)| has(ending)).map(|&(_, format)| format)
}

/// Of two that fit, the longer one is first.
const ENDINGS: [(&str, Format); 10] = [
    ("junit.xml", Format::Judged(JudgeForm::Junit)),
    ("sarif.json", Format::Judged(JudgeForm::Sarif)),
    ("sarif", Format::Judged(JudgeForm::Sarif)),
    ("tap", Format::Judged(JudgeForm::Tap)),
    ("txt", Format::Plain),
    ("json", Format::Json),
    ("ndjson", Format::Ndjson),
    ("csv", Format::Csv),
    ("gnmap", Format::Grepable),
    ("xml", Format::Xml),
];

#[cfg(test)]
mod tests {
    use argh::{ArgsInfo, FlagInfoKind};

    use super::*;
    use crate::cli::merge::MergeArgs;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn read(args: &ScanArgs) -> Result<Flags, String> {
        let mut errors = FieldErrors::default();
        Flags::read(args, &mut errors).ok_or_else(|| errors.to_string())
    }

    fn files(format: Option<&str>, output: &str, xml: &str) -> Result<Vec<Output>, String> {
        let args = ScanArgs {
            format: format.map(str::to_owned),
            output: words(output),
            output_xml: words(xml),
            ..ScanArgs::default()
        };
        read(&args).map(|flags| flags.outputs)
    }

    fn file(format: Option<Format>, name: &str) -> Output {
        Output { format, path: name.into() }
    }

    #[test]
    fn a_file_has_the_format_of_its_flag_or_of_format_or_of_its_ending() {
        assert_eq!(
            files(None, "a.txt a.json a.ndjson a.csv a.gnmap a.xml a a.old", "b.txt").unwrap(),
            [
                file(Some(Format::Plain), "a.txt"),
                file(Some(Format::Json), "a.json"),
                file(Some(Format::Ndjson), "a.ndjson"),
                file(Some(Format::Csv), "a.csv"),
                file(Some(Format::Grepable), "a.gnmap"),
                file(Some(Format::Xml), "a.xml"),
                file(None, "a"),
                file(None, "a.old"),
                file(Some(Format::Xml), "b.txt"),
            ]
        );
        assert_eq!(
            files(Some("csv"), "a.txt a", "b.txt -").unwrap(),
            [
                file(Some(Format::Csv), "a.txt"),
                file(Some(Format::Csv), "a"),
                file(Some(Format::Xml), "b.txt"),
                file(Some(Format::Xml), "-"),
            ]
        );
    }

    #[test]
    fn files_for_ci_systems_have_the_names_that_these_look_for() {
        let of = |name: &str| format_of(Path::new(name));
        for name in ["junit.xml", "ports.junit.xml", "a/b/junit.xml"] {
            assert_eq!(of(name), Some(Format::Judged(JudgeForm::Junit)), "{name}");
        }
        for name in ["ports.sarif", "ports.sarif.json", "sarif.json"] {
            assert_eq!(of(name), Some(Format::Judged(JudgeForm::Sarif)), "{name}");
        }
        assert_eq!(of("ports.tap"), Some(Format::Judged(JudgeForm::Tap)));
        assert_eq!(of("notjunit.xml"), Some(Format::Xml));
        for name in ["tap", ".tap", "xml", "sarif", "a.xml/b", "..", ""] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn help_has_every_format() {
        let names = Format::ALL.map(|(name, _)| name).join("|");
        for info in [ScanArgs::get_args_info(), MergeArgs::get_args_info()] {
            let flag = info.flags.iter().find(|flag| flag.long == "--format").unwrap();
            assert_eq!(flag.kind, FlagInfoKind::Option { arg_name: &names });
        }
    }

    #[test]
    fn a_time_is_in_milliseconds_unless_it_has_a_unit() {
        let timeout = |text: &str| {
            let timeout_ms = Some(text.to_owned());
            read(&ScanArgs { timeout_ms, ..ScanArgs::default() }).map(|flags| flags.timeout)
        };
        for (text, milliseconds) in [("500", 500), ("500ms", 500), ("2s", 2000), ("30s", 30_000)] {
            assert_eq!(timeout(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "ms", "+2s", "2 s", "2h", "1m", "0s", "999999999999999999999s", "2é"]
        {
            let error = "--timeout-ms must be 50 to 30000 ms".to_owned();
            assert_eq!(timeout(text), Err(error), "{text}");
        }
        let deadline_ms = Some("5m".to_owned());
        let flags = read(&ScanArgs { deadline_ms, ..ScanArgs::default() }).unwrap();
        assert_eq!(flags.deadline, Some(Duration::from_secs(300)));
    }

    #[test]
    fn a_family_is_given_once() {
        let family = |ipv4, ipv6, family: Option<&str>| {
            let family = family.map(str::to_owned);
            read(&ScanArgs { ipv4, ipv6, family, ..ScanArgs::default() }).map(|flags| flags.family)
        };
        assert_eq!(family(false, false, None), Ok(Family::Any));
        assert_eq!(family(true, false, None), Ok(Family::Ipv4));
        assert_eq!(family(false, true, None), Ok(Family::Ipv6));
        assert_eq!(family(false, false, Some("ipv6")), Ok(Family::Ipv6));
        let rest = "excludes the other family and --family; give one of them";
        assert_eq!(family(true, true, None), Err(format!("-4 {rest}")));
        assert_eq!(family(false, true, Some("any")), Err(format!("-6 {rest}")));
    }

    #[test]
    fn no_file_is_written_twice() {
        let error = files(None, "a.xml", "a.xml").unwrap_err();
        assert_eq!(error, "--output-xml a.xml is given twice");
    }
}
