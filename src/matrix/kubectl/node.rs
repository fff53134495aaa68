//! Short-lived pods in the network of a node.
//!
//! No network policy applies to such a pod, and a node reaches the pods that it runs. So it
//! is a witness where the pods themselves cannot be asked. A namespace that enforces the
//! *baseline* or the *restricted* pod security standard refuses it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::Shared;
use super::made::Manifest;
use super::objects::Pod;
use crate::matrix::answers::NotAsked;
use crate::matrix::peer::is_like;

/// A pod in the network of the node `name`, made in `namespace`.
pub(super) fn manifest(name: &str, namespace: &str, shared: &Shared) -> Result<Manifest, NotAsked> {
    let what = format!("a pod of {namespace} in the network of node/{name}");
    let spec = json!({
        "hostNetwork": true,
        // Without it, names of Services are unknown there.
        "dnsPolicy": "ClusterFirstWithHostNet",
        // Past the scheduler, and whatever keeps other pods away from the node.
        "nodeName": name,
        "tolerations": [{ "operator": "Exists" }],
    });
    Manifest::try_new(shared, namespace, what, spec)
}

/// The nodes that run pods and have a name like `pattern`. A name without a `*` is taken
/// as it is: who may not list nodes can still name one.
pub(super) fn names<'a>(pods: &'a [Arc<Pod>], pattern: &'a str) -> BTreeSet<&'a str> {
    if !pattern.contains('*') {
        return BTreeSet::from([pattern]);
    }
    let nodes = pods.iter().filter_map(|pod| pod.spec.node_name.as_deref());
    nodes.filter(|name| is_like(name, pattern)).collect()
}
