//! What a request would scan, and which rules say so.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::{Asker, Permitted, options};
use crate::request::ScanRequest;
use crate::resolve::Resolved;

/// What a request would scan.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    domain: String,
    from_port: u16,
    to_port: u16,
    allowed: bool,
    addresses: Vec<AddressExplanation>,
    probes: u64,
    worst_case_ms: u64,
}

#[derive(Debug, Serialize)]
struct AddressExplanation {
    address: IpAddr,
    allowed: bool,
    rule: String,
}

impl Explanation {
    /// Unlike a scan, it goes on after the first address that is refused.
    pub(super) fn new(asker: &Asker, request: &ScanRequest, resolved: Resolved) -> Self {
        let explain = |&address: &IpAddr| {
            let decision = asker.policy.judge(address, &request.ports);
            let (allowed, rule) = (decision.is_allowed(), decision.rule());
            AddressExplanation { address, allowed, rule }
        };
        let addresses = resolved.addresses.iter().chain(&resolved.left_out);
        let addresses: Vec<AddressExplanation> = addresses.map(explain).collect();
        let permitted = asker.judge(resolved, &request.ports).ok();
        let (probes, worst_case) = permitted
            .as_ref()
            .map_or((0, Duration::ZERO), |permitted| cost(asker, request, permitted));
        Self {
            domain: request.domain.clone(),
            from_port: request.ports.first(),
            to_port: request.ports.last(),
            allowed: permitted.is_some(),
            addresses,
            probes,
            worst_case_ms: u64::try_from(worst_case.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// How many probes the scan would take, and how much time at worst.
fn cost(asker: &Asker, request: &ScanRequest, permitted: &Permitted) -> (u64, Duration) {
    let plan = permitted.plan(options(request, request.deadline));
    let probes = u64::from(plan.ports.len()) * plan.addresses.len() as u64;
    (probes, asker.scanner.worst_case(&plan))
}
