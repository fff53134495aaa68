//! `open-ports healthcheck`: the health check of an image that has no shell and no
//! `curl`.

use argh::{ArgsInfo, FromArgs};

use super::environment::Environment;
use super::{Exit, failed, refused};
use crate::config::{self, Sources};
use crate::healthcheck;

/// Check that the service on this host is alive: exit status 0 if so, 1 if not, 2 if
/// a setting is invalid. The flag and the variables are those of serve.
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(subcommand, name = "healthcheck", help_triggers("-h", "--help", "help"))]
pub(super) struct HealthcheckArgs {
    /// address and port that the service listens on (default: 127.0.0.1:8080, or
    /// the port in PORT)
    #[argh(option, arg_name = "address")]
    listen: Option<String>,
}

pub(super) fn run(args: &HealthcheckArgs) -> Exit {
    let flags = |name: &str| args.listen.clone().filter(|_| name == "listen");
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(error) => return refused(&error.to_string()),
    };
    let environment = |name: &str| environment.get(name);
    let addresses = match config::listen_addresses(&Sources::new(&flags, &environment)) {
        Ok(addresses) => addresses,
        Err(error) => return refused(&error.to_string()),
    };
    match healthcheck::ask(&addresses) {
        Ok(()) => Exit::Whole,
        Err(error) => failed(&error.to_string()),
    }
}
