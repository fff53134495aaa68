//! What may be sent to a terminal, as the environment says.

use std::env;

use crate::output::Colour;

/// Whether to use colours in output to a terminal, or to something else.
///
/// <https://no-color.org> and <https://bixense.com/clicolors> have the variables.
/// Refusing colours takes precedence.
pub(in crate::cli) fn colour(is_terminal: bool) -> Colour {
    let value = |name| env::var_os(name).filter(|value| !value.is_empty());
    let is_off = |name| value(name).is_some_and(|value| value == "0");
    let is_forced = value("CLICOLOR_FORCE").is_some() && !is_off("CLICOLOR_FORCE");
    let is_usual = is_terminal && !is_dumb() && !is_off("CLICOLOR");
    if value("NO_COLOR").is_none() && (is_forced || is_usual) { Colour::Yes } else { Colour::No }
}

/// Whether the terminal knows no escape sequences.
pub(super) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}
