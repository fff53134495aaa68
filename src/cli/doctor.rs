//! `open-ports doctor`: what limits scans on this machine.

use argh::{ArgsInfo, FromArgs};

use super::{Exit, cores, failed, print};
use crate::machine::descriptors::{descriptor_limits, raise_descriptor_limit};
use crate::machine::doctor::Machine;
use crate::ports::PortSet;
use crate::scan::{ScanPlan, Scanner};

/// Print what limits scans on this machine, and what to change.
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(subcommand, name = "doctor", help_triggers("-h", "--help", "help"))]
pub(super) struct DoctorArgs {}

pub(super) fn run(_: &DoctorArgs) -> Exit {
    let limits = descriptor_limits();
    // What a scan would have: raising the limit may fail.
    let raised = u64::try_from(raise_descriptor_limit()).ok();
    let cores = cores();
    let silent_host = |descriptors| {
        let plan = ScanPlan::new(vec![[192, 0, 2, 1].into()], PortSet::all());
        Scanner::new(descriptors, cores).worst_case(&plan)
    };
    let machine = Machine::observe((limits.0, limits.1.and(raised)), cores);
    match machine.diagnosis(silent_host) {
        Ok(diagnosis) => print(diagnosis.to_string().trim_end()),
        Err(error) => failed(&error.to_string()),
    }
}
