//! `explain` of a sweep: what it would take. Nothing is looked up and nothing is sent.

use tokio::task::yield_now;

use super::audit::Outcome;
use super::scan_reply;
use super::sweep_audit::SweepAudit;
use crate::ask::SweepEntry;
use crate::http::exchange::problems;
use crate::http::exchange::reply::Reply;
use crate::machine::descriptors::descriptor_limits;
use crate::machine::doctor::Machine;
use crate::request::Layout;
use crate::request::sweep::{SweepRequest, Targets, list_fault};
use crate::sweep::estimate::{Ground, Load};
use crate::sweep::forecast::{Attached, Forecast};
use crate::targets::HostListError;

/// Replies with what the sweep would take, however large it is.
pub(super) async fn reply(
    request: &SweepRequest,
    targets: &Targets,
    entry: &SweepEntry,
    mut audit: SweepAudit,
) -> Reply {
    match load(request, targets).await {
        Ok(load) => {
            audit.counted(load.hosts);
            audit.not_started(Outcome::Explained);
            let scanner = entry.scanner();
            let room = Machine::observe(descriptor_limits(), scanner.fanouts()).room();
            let ground = Ground { scanner, room: &room };
            let shard = request.shard.unwrap_or_default();
            let forecast = Forecast::new(load, shard, Some(request.deadline), ground);
            scan_reply::explanation(&forecast.document(), Layout::Line)
        }
        Err(error) => {
            audit.not_started(Outcome::Invalid);
            problems::invalid_list(list_fault(&error))
        }
    }
}

/// Reads the list of hosts to its end.
async fn load(request: &SweepRequest, targets: &Targets) -> Result<Load, HostListError> {
    let attached = Attached::observe();
    let mut load = Load::none(request.ports.len(), request.timeout, request.rate);
    let mut list = request.list(targets, 0);
    while let Some(set) = list.next_set()? {
        attached.count(&set, &mut load);
        // A part of a long list takes some milliseconds.
        yield_now().await;
    }
    Ok(load)
}
