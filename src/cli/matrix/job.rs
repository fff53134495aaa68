//! From the flags of `open-ports matrix` to a valid matrix.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::MatrixArgs;
use crate::cli::exit::Refusal;
use crate::cli::scan::{flags, policy};
use crate::cli::stop::waiting;
use crate::cli::words::STANDARD_INPUT;
use crate::fields::{self, FieldErrors};
use crate::http::Token;
use crate::limits;
use crate::matrix::{ClusterOptions, Patience, Peer, Rules, Terms, Wanted};
use crate::output::MatrixFormat;
use crate::policy::Policy;
use crate::ports::PortSet;

/// A valid matrix.
pub(super) struct Job {
    /// The file of the rules, as named in messages.
    pub(super) file: Option<String>,
    pub(super) wanted: Wanted,
    pub(super) terms: Terms,
    pub(super) patience: Patience,
    pub(super) policy: Policy,
    /// How the cluster is reached.
    pub(super) cluster: ClusterOptions,
    pub(super) format: MatrixFormat,
    pub(super) output: Option<PathBuf>,
    pub(super) is_quiet: bool,
    /// The token of every URL, and those of some.
    token: Option<Token>,
    tokens: HashMap<String, Token>,
}

impl Job {
    /// Checks all flags and every line of the rules, so that one error names everything
    /// that is wrong.
    pub(super) fn try_new(
        args: &MatrixArgs,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Refusal> {
        let mut errors = FieldErrors::default();
        let file = args.file.as_ref().map(|file| match file.as_str() {
            STANDARD_INPUT => "standard input".to_owned(),
            file => file.to_owned(),
        });
        let rules = rules(args.file.as_deref(), file.as_deref(), &mut errors)?;
        let from = peers(&args.from, "--from", &mut errors);
        let to = peers(&args.to, "--to", &mut errors);
        let ports = args.ports.as_deref().and_then(|list| match PortSet::typed(list) {
            Ok(ports) => Some(ports),
            Err(error) => errors.reject("-p", error.to_string()),
        });
        if args.file.is_none() && (args.from.is_empty() || args.to.is_empty()) {
            let missing = "is missing; name a file of rules, or --from and --to";
            errors.add("reach.txt", missing);
        }
        if args.strict && args.file.is_none() {
            errors.add("--strict", "needs a file of rules");
        }
        let terms = terms(args, &mut errors);
        let patience = patience(args, &mut errors);
        let format = args.format.as_deref().unwrap_or("table");
        let format = MatrixFormat::named(format).or_else(|| {
            let names = MatrixFormat::ALL.map(|(name, _)| name).join(", ");
            errors.reject("--format", format!("must be one of {names}"))
        });
        let policy =
            policy((args.allow.as_deref(), args.deny.as_deref()), environment, &mut errors);
        let (token, tokens) = tokens(&args.token_file, &mut errors)?;
        let wanted = Wanted { rules, from, to, ports, is_strict: args.strict };
        let cluster = ClusterOptions {
            context: args.context.clone(),
            image: args.image.clone(),
            namespaces: wanted.namespaces(),
        };
        let valid = || {
            let policy = policy?;
            Some(Self {
                file,
                wanted,
                cluster,
                terms: terms?,
                patience: patience?,
                policy: if args.ask_cloud_metadata { policy.with_metadata() } else { policy },
                format: format?,
                output: args.output.as_ref().map(PathBuf::from),
                is_quiet: args.quiet,
                token,
                tokens,
            })
        };
        let is_valid = errors.is_empty();
        let job = if is_valid { valid() } else { None };
        job.ok_or_else(|| Refusal::Usage(errors.to_string()))
    }

    /// The token for a URL.
    pub(super) fn token(&self, url: &str) -> Option<&Token> {
        self.tokens.get(url).or(self.token.as_ref())
    }

    /// What the rules say that cannot be judged.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> + '_ {
        let notes = self.wanted.rules.notes.clone();
        self.in_file(&notes).into_iter()
    }

    /// Messages about lines of the rules, with the name of their file.
    pub(super) fn in_file(&self, messages: &[String]) -> Vec<String> {
        let file = self.file.as_deref().unwrap_or_default();
        let named = |message: &String| match message.starts_with("line ") {
            true => format!("{file} {message}"),
            false => message.clone(),
        };
        messages.iter().map(named).collect()
    }
}

fn rules(
    path: Option<&str>,
    name: Option<&str>,
    errors: &mut FieldErrors,
) -> Result<Rules, Refusal> {
    let (Some(path), Some(name)) = (path, name) else { return Ok(Rules::default()) };
    // A pipe waits for its writer.
    let text = waiting(|| fs::read_to_string(path));
    let text = text.map_err(|error| Refusal::Failure(format!("{name}: {error}")))?;
    match Rules::read(&text) {
        Ok(rules) if rules.rules.is_empty() => {
            errors.add(name, "has no rule");
            Ok(rules)
        }
        Ok(rules) => Ok(rules),
        Err(lines) => {
            lines.iter().for_each(|error| errors.add(name, error.to_string()));
            Ok(Rules::default())
        }
    }
}

/// Vantages or targets, separated by commas.
fn peers<T: std::str::FromStr<Err: std::fmt::Display>>(
    lists: &[String],
    flag: &str,
    errors: &mut FieldErrors,
) -> Vec<T> {
    let words = lists.iter().flat_map(|list| list.split(','));
    let words = words.map(str::trim).filter(|word| !word.is_empty());
    let read = |word: &str| match word.parse() {
        Ok(peer) => Some(peer),
        Err(error) => errors.reject(flag, format!("{word:?} {error}")),
    };
    words.filter_map(read).collect()
}

fn terms(args: &MatrixArgs, errors: &mut FieldErrors) -> Option<Terms> {
    let timeouts = (limits::MIN_TIMEOUT, limits::MAX_TIMEOUT);
    let timeout = match args.timeout_ms.as_deref() {
        None => Some(limits::DEFAULT_TIMEOUT),
        Some(text) => flags::duration(text, "--timeout-ms", timeouts, errors),
    };
    let deadlines = (limits::MIN_DEADLINE, limits::MAX_MAX_DEADLINE);
    let deadline = match args.deadline_ms.as_deref() {
        None => Some(DEADLINE),
        Some(text) => flags::duration(text, "--deadline-ms", deadlines, errors),
    };
    let parallel = match args.parallel.as_deref() {
        None => Some(PARALLEL),
        Some(text) => text
            .parse()
            .ok()
            .filter(|count| (1..=MOST_PARALLEL).contains(count))
            .or_else(|| errors.reject("--parallel", format!("must be 1 to {MOST_PARALLEL}"))),
    };
    let metadata = args.ask_cloud_metadata;
    Some(Terms { parallel: parallel?, timeout: timeout?, deadline: deadline?, metadata })
}

fn patience(args: &MatrixArgs, errors: &mut FieldErrors) -> Option<Patience> {
    let times = (Duration::from_millis(1), limits::MAX_WITHIN);
    let mut read = |text: Option<&str>, flag| match text {
        None => Some(None),
        Some(text) => fields::duration(text, flag, times, errors).map(Some),
    };
    let settle = read(args.settle.as_deref(), "--settle");
    let within = read(args.within.as_deref(), "--within");
    let (settle, within) = (settle?, within?);
    if let (Some(settle), Some(within)) = (settle, within)
        && within < settle
    {
        return errors.reject("--settle", "must not be above --within");
    }
    Some(Patience { settle, within })
}

/// The token for every URL, and those for some.
type Tokens = (Option<Token>, HashMap<String, Token>);

fn tokens(files: &[String], errors: &mut FieldErrors) -> Result<Tokens, Refusal> {
    let (mut every, mut some) = (None, HashMap::new());
    for word in files {
        let (url, path) = match word.split_once('=') {
            Some((url, path)) if word.contains("://") => (Some(url), path),
            _ => (None, word.as_str()),
        };
        let content = fs::read_to_string(path)
            .map_err(|error| Refusal::Failure(format!("--token-file {path}: {error}")))?;
        let token = match Token::try_new(&content) {
            Ok(token) => token,
            Err(error) => {
                errors.add("--token-file", format!("{path} {error}"));
                continue;
            }
        };
        match url.map(str::parse) {
            None if every.is_some() => {
                errors.add("--token-file", "is given twice without a URL");
            }
            None => every = Some(token),
            Some(Ok(Peer::Http(url))) => drop(some.insert(url, token)),
            Some(_) => errors.add("--token-file", format!("{word:?} begins with no URL")),
        }
    }
    Ok((every, some))
}

/// Enough that a few slow vantages do not keep the others waiting.
const PARALLEL: usize = 16;

/// Each takes some descriptors, and a child process where a cluster is asked.
const MOST_PARALLEL: usize = 256;

/// Longer than a thousand silent ports on a hundred hosts take.
const DEADLINE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn job(change: impl FnOnce(&mut MatrixArgs)) -> Result<Job, String> {
        let mut args = MatrixArgs::default();
        change(&mut args);
        Job::try_new(&args, &|_| None).map_err(|refusal| match refusal {
            Refusal::Usage(text) | Refusal::Failure(text) => text,
        })
    }

    fn listed(args: &mut MatrixArgs) {
        args.from = vec!["local,http://10.0.0.7:8080".into()];
        args.to = vec!["db:5432,".into(), "10.0.0.0/30".into()];
        args.ports = Some("ssh".into());
    }

    #[test]
    fn vantages_and_targets_are_lists() {
        let job = job(listed).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((job.wanted.from.len(), job.wanted.to.len()), (2, 2));
        assert_eq!(job.wanted.ports, Some("22".parse().unwrap()));
        assert_eq!(job.terms.parallel, PARALLEL);
        assert_eq!(job.patience, Patience::default());
        assert_eq!(job.format, MatrixFormat::Table);
        assert!(job.token("http://10.0.0.7:8080").is_none());
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let error = |change: fn(&mut MatrixArgs)| job(change).err().unwrap_or_default();
        assert_eq!(error(|_| ()), "reach.txt is missing; name a file of rules, or --from and --to");
        let several = error(|args| {
            listed(args);
            args.from.push("web".into());
            args.to.push("10.0.0.0/33".into());
            args.ports = Some("nothing".into());
            args.settle = Some("2s".into());
            args.within = Some("1s".into());
            args.parallel = Some("0".into());
            args.format = Some("xml".into());
            args.strict = true;
        });
        for part in [
            "--from \"web\" is no vantage",
            "--to \"10.0.0.0/33\" must have a prefix length",
            "-p \"nothing\" is not a port",
            "--settle must not be above --within",
            "--parallel must be 1 to 256",
            "--format must be one of table, json, ndjson, junit",
            "--strict needs a file of rules",
        ] {
            assert!(several.contains(part), "{part}: {several}");
        }
        assert!(error(|args| args.file = Some("/nowhere".into())).starts_with("/nowhere: "));
    }
}
