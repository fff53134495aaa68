//! From vantages and targets as written to what they stand for now.

use std::sync::Arc;

use super::answers::NotAsked;
use super::peer::{Peer, Target, Workload};
use super::plan::{Column, Resolved, Seat, Wanted};
use super::vantage::{Cluster, TargetHost, Vantage};

/// What knows vantages and targets.
pub(crate) struct World<'a> {
    /// This process.
    pub(crate) local: Arc<dyn Vantage>,
    /// Makes the vantage of a URL.
    pub(crate) remote: &'a (dyn Fn(&str) -> Arc<dyn Vantage> + Sync),
    pub(crate) cluster: &'a dyn Cluster,
}

impl World<'_> {
    /// Looks up all vantages and targets. What is not there has its reason, and its cells
    /// are not asked.
    ///
    /// # Errors
    /// Every target that cannot be one.
    pub(crate) async fn resolve(&self, wanted: &Wanted) -> Result<Resolved, Vec<String>> {
        let (from, to) = wanted.peers();
        let (mut resolved, mut errors) = (Resolved::default(), Vec::new());
        for peer in from {
            let seats = self.seats(&peer).await;
            resolved.seats.push((peer, seats));
        }
        for target in to {
            match &target {
                Target::Hosts(hosts) => match Column::of_hosts(hosts) {
                    Ok(columns) => resolved.columns.push((target, columns)),
                    Err(error) => errors.push(error),
                },
                Target::Workload(workload) => {
                    let columns = self.columns(workload).await;
                    resolved.columns.push((target, columns));
                }
            }
        }
        if errors.is_empty() { Ok(resolved) } else { Err(errors) }
    }

    async fn seats(&self, peer: &Peer) -> Vec<Seat> {
        let found = match peer {
            Peer::Local => return vec![Seat::of(Arc::clone(&self.local))],
            Peer::Http(url) => return vec![Seat::of((self.remote)(url))],
            Peer::Workload(workload) => self.cluster.vantages(workload, false).await,
            Peer::Copy(workload) => self.cluster.vantages(workload, true).await,
            Peer::Node(name) => self.cluster.nodes(name).await,
        };
        let reason = match found {
            Ok(vantages) if !vantages.is_empty() => {
                return vantages.into_iter().map(Seat::of).collect();
            }
            Ok(_) => nothing_there(),
            Err(reason) => reason,
        };
        vec![Seat {
            name: peer.to_string(),
            group: peer.workload().and_then(|workload| workload.namespace.clone()),
            vantage: Err(reason),
        }]
    }

    async fn columns(&self, workload: &Workload) -> Vec<Column> {
        let reason = match self.cluster.targets(workload).await {
            Ok(targets) if !targets.is_empty() => {
                return targets.into_iter().map(Column::of).collect();
            }
            Ok(_) => nothing_there(),
            Err(reason) => reason,
        };
        let (name, group) = (workload.to_string(), workload.namespace.clone());
        vec![Column { name, group, host: Err(reason) }]
    }
}

impl Seat {
    fn of(vantage: Arc<dyn Vantage>) -> Self {
        let (name, group) = (vantage.name().to_owned(), vantage.group().map(str::to_owned));
        Self { name, group, vantage: Ok(vantage) }
    }
}

impl Column {
    fn of(target: TargetHost) -> Self {
        Self { name: target.name.clone(), group: target.group.clone(), host: Ok(target) }
    }
}

fn nothing_there() -> NotAsked {
    NotAsked::new("nothing there matches, or is ready")
}
