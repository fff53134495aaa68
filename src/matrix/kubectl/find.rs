//! From the name of a workload to its pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::Pod;
use crate::matrix::answers::NotAsked;
use crate::matrix::peer::{Kind, Workload};

/// A workload and its pods.
#[derive(Debug)]
pub(super) struct Found {
    /// The namespace and the name, and the kind if the name alone means several.
    pub(super) name: String,
    /// Those that have not ended, by name.
    pods: Vec<Arc<Pod>>,
}

impl Found {
    /// The pod that asks for the workload: a ready one if there is one.
    pub(super) fn asks(&self) -> Option<&Arc<Pod>> {
        let ready = self.pods.iter().find(|pod| pod.is_ready());
        ready.or_else(|| self.pods.iter().find(|pod| pod.is_running()))
    }

    pub(super) fn ready(&self) -> Vec<&Arc<Pod>> {
        self.pods.iter().filter(|pod| pod.is_ready()).collect()
    }
}

/// The workloads of a namespace that are meant. Without a kind, a name is that of a pod or,
/// if there is none, of the one workload that has it; a pattern is of all workloads, and of
/// pods that belong to none.
///
/// # Errors
/// When a name could mean several.
pub(super) fn find(
    pods: &[Arc<Pod>],
    namespace: &str,
    workload: &Workload,
) -> Result<Vec<Found>, NotAsked> {
    let has_ended = |pod: &Pod| ["Succeeded", "Failed"].contains(&pod.status.phase.as_str());
    let own = pods.iter().filter(|pod| pod.metadata.namespace == namespace && !has_ended(pod));
    let own: Vec<&Arc<Pod>> =
        own.filter(|pod| !pod.metadata.labels.contains_key(super::LABEL)).collect();
    let mut groups = Groups::new();
    let is_exact = workload.kind.is_none() && !workload.is_pattern();
    if let Some(pod) = own.iter().find(|pod| is_exact && pod.metadata.name == workload.name) {
        groups.insert((&pod.metadata.name, Kind::Pod), vec![Arc::clone(pod)]);
        return Ok(named(groups, &own, namespace));
    }
    for pod in &own {
        let owners = pod.owners();
        let meant = match workload.kind {
            Some(Kind::Pod) => Some(pod.itself()),
            Some(kind) => owners.into_iter().find(|(owner, _)| *owner == kind),
            None => Some(owners.last().copied().unwrap_or_else(|| pod.itself())),
        };
        if let Some((kind, name)) = meant.filter(|(_, name)| workload.has_name(name)) {
            groups.entry((name, kind)).or_default().push(Arc::clone(pod));
        }
    }
    if is_exact && groups.len() > 1 {
        let kinds: Vec<&str> = groups.keys().map(|(_, kind)| kind.name()).collect();
        let first = kinds.first().copied().unwrap_or_default();
        return Err(NotAsked::new(format!(
            "{workload} is a {}; say which, like {namespace}/{}[{first}]",
            kinds.join(" and a "),
            workload.name
        )));
    }
    Ok(named(groups, &own, namespace))
}

/// Pods by the name and the kind of what they belong to.
type Groups<'a> = BTreeMap<(&'a str, Kind), Vec<Arc<Pod>>>;

/// With their names, which say the kind only where the name alone means several.
fn named(groups: Groups<'_>, all: &[&Arc<Pod>], namespace: &str) -> Vec<Found> {
    let kinds = |name: &str| {
        let known = all.iter().flat_map(|pod| pod.owners().into_iter().chain([pod.itself()]));
        let kinds = known.filter(|(_, other)| *other == name).map(|(kind, _)| kind);
        kinds.collect::<BTreeSet<Kind>>().len()
    };
    let found = groups.into_iter().map(|((name, kind), mut pods)| {
        pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let kind = if kinds(name) > 1 { format!("[{}]", kind.name()) } else { String::new() };
        Found { name: format!("{namespace}/{name}{kind}"), pods }
    });
    found.collect()
}
