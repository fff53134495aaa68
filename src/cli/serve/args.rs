//! The flags of `open-ports serve`: one for each setting.
//!
//! argh derives the other commands' flags from structs. Here they come from the
//! table of settings, so that a setting is said once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use argh::{
    ArgsInfo, CommandInfo, CommandInfoWithArgs, EarlyExit, FlagInfo, FlagInfoKind, FromArgs,
    Optionality, SubCommand,
};

use crate::config::settings::{SETTINGS, Setting};
use crate::fields::plain;

/// The settings that were given as flags, by name.
#[derive(Debug)]
pub(in crate::cli) struct ServeArgs(BTreeMap<&'static str, String>);

impl ServeArgs {
    /// The value of the flag of a setting.
    pub(super) fn flag(&self, setting: &str) -> Option<String> {
        self.0.get(setting).cloned()
    }
}

impl FromArgs for ServeArgs {
    fn from_args(_: &[&str], words: &[&str]) -> Result<Self, EarlyExit> {
        let mut given = BTreeMap::new();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            if HELP_TRIGGERS.contains(&word) {
                return Err(EarlyExit { output: String::new(), status: Ok(()) });
            }
            let named = |setting: &&Setting| word.strip_prefix("--") == Some(setting.name);
            let Some(setting) = SETTINGS.iter().find(named) else {
                return Err(format!("Unrecognized argument: {word}\n").into());
            };
            let Some(value) = words.next() else {
                return Err(format!("No value provided for option '{word}'.\n").into());
            };
            if given.insert(setting.name, value.to_owned()).is_some() {
                return Err(format!("Option '{word}' is given more than once.\n").into());
            }
        }
        Ok(Self(given))
    }
}

impl SubCommand for ServeArgs {
    const COMMAND: &'static CommandInfo =
        &CommandInfo { name: "serve", short: &'\0', description: DESCRIPTION };
}

impl ArgsInfo for ServeArgs {
    fn get_args_info() -> CommandInfoWithArgs {
        CommandInfoWithArgs {
            name: Self::COMMAND.name,
            description: DESCRIPTION,
            flags: &FLAGS,
            ..CommandInfoWithArgs::default()
        }
    }
}

/// Each flag with its description.
static TEXTS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let text = |Setting { meaning, omitted, .. }: &Setting| {
        plain(&format!("{meaning} (default: {omitted})"))
    };
    SETTINGS.iter().map(|setting| (format!("--{}", setting.name), text(setting))).collect()
});

static FLAGS: LazyLock<Vec<FlagInfo<'_>>> = LazyLock::new(|| {
    let flag =
        |(setting, (long, description)): (&'static Setting, &'static (String, String))| FlagInfo {
            kind: FlagInfoKind::Option { arg_name: setting.value },
            optionality: Optionality::Optional,
            long,
            short: None,
            description,
            hidden: false,
        };
    let help = FlagInfo {
        kind: FlagInfoKind::Switch,
        optionality: Optionality::Optional,
        long: "--help",
        short: Some('h'),
        description: "display usage information",
        hidden: false,
    };
    SETTINGS.iter().zip(TEXTS.iter()).map(flag).chain([help]).collect()
});

const DESCRIPTION: &str = "Answer GET /open-ports over HTTP. Every option is also an \
                           environment variable: --max-scans is OPEN_PORTS_MAX_SCANS.";

const HELP_TRIGGERS: [&str; 3] = ["-h", "--help", "help"];
