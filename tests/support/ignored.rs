//! What becomes of a test that cannot run on this machine.

use std::env;

use libtest_mimic::{Completion, Failed};

/// Ignores a test, and says why. Where every test has to run, it fails instead.
pub(crate) fn cannot_run(why: &str) -> Result<Completion, Failed> {
    match env::var_os(ALL) {
        None => Ok(Completion::ignored_with(why)),
        Some(_) => Err(format!("{ALL} is set, but this test {why}").into()),
    }
}

/// Set by `.ci/run`. Its name does not start with `OPEN_PORTS_`: the program under
/// test would warn about a setting that it does not know.
const ALL: &str = "TEST_ALL";
