//! The command `open-ports`.

use std::process::ExitCode;

fn main() -> ExitCode {
    open_ports::cli::run(std::env::args_os())
}
