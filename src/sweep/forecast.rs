//! What a sweep would take, for whoever asks before a probe is sent: a dry run of the
//! command, and `explain` over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use super::estimate::{Bound, Estimate, Ground, Load, Shards};
use crate::machine::attached::attached_networks;
use crate::targets::{AddressRange, AddressSet, HostSet, Shard};

/// What a sweep would take.
#[derive(Debug)]
pub(crate) struct Forecast {
    pub(crate) load: Load,
    pub(crate) estimate: Estimate,
    /// The time that it may take, and how many shards that wants.
    pub(crate) shards: Option<(Duration, Shards)>,
}

/// The networks that this machine is attached to, of IPv4 and of IPv6.
#[derive(Debug)]
pub(crate) struct Attached([AddressSet; 2]);

impl Forecast {
    /// What a sweep of `load` would take, which is that of `shard`.
    pub(crate) fn new(
        load: Load,
        shard: Shard,
        deadline: Option<Duration>,
        ground: Ground<'_>,
    ) -> Self {
        let whole = load.whole(shard.count().into());
        let shards = deadline.map(|time| (time, Shards::within(time, &whole, ground)));
        Self { estimate: Estimate::new(&load, ground), shards, load }
    }

    /// One JSON document.
    pub(crate) fn document(&self) -> Value {
        let Self { load, estimate, shards } = self;
        let bounds = estimate.bounds.iter().map(|Bound { name, allows, takes }| {
            json!({"name": name, "allows": allows, "takes_ms": milliseconds(*takes)})
        });
        let mut document = json!({
            "dry_run": true,
            "hosts": load.hosts,
            "names": load.names,
            "ports": load.ports,
            "targets": estimate.targets,
            "packets": estimate.packets,
            "best_ms": milliseconds(estimate.best),
            "silent_ms": milliseconds(estimate.silent),
            "worst_ms": milliseconds(estimate.worst),
            "bound_by": estimate.binds(),
            "bounds": bounds.collect::<Vec<Value>>(),
        });
        if let Some((time, Shards { silent, worst })) = shards {
            document["deadline_ms"] = milliseconds(*time).into();
            document["shards"] = json!({"silent": silent, "worst": worst});
        }
        document
    }
}

impl Attached {
    /// Asks the kernel for them.
    pub(crate) fn observe() -> Self {
        let attached = attached_networks().into_iter();
        let (v4, v6): (Vec<_>, Vec<_>) = attached.partition(|(first, _)| first.is_ipv4());
        Self([v4, v6].map(|networks| {
            let ranges = networks.into_iter();
            let ranges = ranges.filter_map(|(first, last)| AddressRange::try_new(first, last));
            AddressSet::new(ranges.collect(), &AddressSet::default())
        }))
    }

    /// Adds the hosts of `set` to `load`.
    pub(crate) fn count(&self, set: &HostSet, load: &mut Load) {
        load.hosts = load.hosts.saturating_add(set.remaining());
        load.names = load.names.saturating_add(set.names());
        for (networks, attached) in self.0.iter().zip(&mut load.attached) {
            *attached = attached.saturating_add(set.addresses_in(networks));
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
