//! Two traits. A [`Vantage`] scans hosts for the matrix. A [`Cluster`] finds the vantages and
//! the hosts that the names of workloads and nodes stand for.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::answers::{Answers, NotAsked, Question};
use super::peer::Workload;
use crate::host::Host;
use crate::ports::PortSet;

/// Something that can scan: this process, another open-ports, a pod.
pub(crate) trait Vantage: Send + Sync {
    /// The name in the table, the same in every run: `local`, `shop/frontend`.
    fn name(&self) -> &str;

    /// What it is folded with in a long table: its namespace.
    fn group(&self) -> Option<&str> {
        None
    }

    /// Scans all of `question` once. What is returned came whole; anything else is not
    /// asked, with the reason. It may be called again, to see whether an answer holds.
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answers, NotAsked>>;

    /// Removes what was made for asking. It is called once, however the run ends, also
    /// if it was never asked.
    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// One host to ask about.
#[derive(Clone)]
pub(crate) struct TargetHost {
    /// The name in the table: `shop/backend`, `db.internal`, `10.0.0.53`. Several hosts may
    /// have the same name, like the pods of a workload; each has its own cells.
    pub(crate) name: String,
    /// What it is folded with in a long table: its namespace.
    pub(crate) group: Option<String>,
    /// What is asked.
    pub(crate) host: Host,
    /// The ports that it is known to have, like those of a Service. `none` is about these
    /// too.
    pub(crate) ports: Option<PortSet>,
    /// Who is asked, at the end, whether a denied port can be opened at all: the target
    /// itself, or its node.
    pub(crate) witness: Option<Arc<dyn Vantage>>,
}

/// From the names of workloads to what they stand for now.
pub(crate) trait Cluster: Send + Sync {
    /// The vantages that `workload` stands for: several with a `*`. With `is_copy`, a
    /// short-lived pod that looks like the workload. It may not make anything yet:
    /// that is for [`Vantage::ask`].
    fn vantages<'a>(
        &'a self,
        workload: &'a Workload,
        is_copy: bool,
    ) -> BoxFuture<'a, Result<Vec<Arc<dyn Vantage>>, NotAsked>>;

    /// The nodes with this name: several with a `*`, of those that run pods of the
    /// namespaces that are named. Like [`Cluster::vantages`], it makes nothing yet.
    fn nodes<'a>(&'a self, name: &'a str)
    -> BoxFuture<'a, Result<Vec<Arc<dyn Vantage>>, NotAsked>>;

    /// The hosts that `workload` stands for: all its ready pods, or its Service.
    fn targets<'a>(
        &'a self,
        workload: &'a Workload,
    ) -> BoxFuture<'a, Result<Vec<TargetHost>, NotAsked>>;
}
