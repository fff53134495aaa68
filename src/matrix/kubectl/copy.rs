//! Short-lived pods that network policies take for those of a workload.
//!
//! A copy has the namespace, the labels and the service account of a pod of the workload,
//! by which network plugins select. It must be nothing else of it:
//!
//! - A ReplicaSet adopts each pod that has its labels and no controller. A Deployment's
//!   ReplicaSets want the label `pod-template-hash` as well, so a copy does not have it. A
//!   StatefulSet wants its own names. Other controllers want nothing more than labels, so
//!   their workloads are not copied.
//! - A Service sends to pods that are ready. A copy never is: it has a readiness gate that
//!   nobody opens. Of a Service that publishes pods that are not ready, none is copied.
//! - A disruption budget and an autoscaler count it for nothing, because it is not ready.
//!
//! If nobody removes it, its record goes with the controller of the workload.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::made::Manifest;
use super::objects::{Metadata, Owner, Pod, Service};
use super::{LABEL, Shared};
use crate::matrix::answers::NotAsked;

/// A copy of `pod`.
///
/// # Errors
/// When it could become more than a copy.
pub(super) fn manifest(
    pod: &Pod,
    services: &[Service],
    shared: &Shared,
) -> Result<Manifest, NotAsked> {
    let name = pod.name();
    let no = |why: &str| Err(NotAsked::new(format!("{name} is not copied: {why}")));
    if pod.spec.host_network {
        return no("it uses the network of its node, where no policy applies");
    }
    if let Some(Owner { kind, .. }) = pod.controller().filter(|owner| adopts(owner, pod)) {
        return no(&format!("its {kind} would adopt the copy"));
    }
    let mut labels: BTreeMap<String, String> = pod.metadata.labels.clone();
    labels.retain(|key, _| key != LABEL && !of_controllers(key));
    let publishes = services.iter().find(|service| {
        let copied = Metadata { labels: labels.clone(), ..pod.metadata.clone() };
        service.spec.publish_not_ready_addresses && service.selects(&copied)
    });
    if let Some(service) = publishes {
        let service = &service.metadata.name;
        return no(&format!("the Service {service} publishes pods that are not ready"));
    }
    let spec = json!({
        "serviceAccountName": pod.spec.service_account_name,
        "readinessGates": [{ "conditionType": LABEL }],
        "nodeSelector": pod.spec.node_selector,
        "tolerations": pod.spec.tolerations,
        "imagePullSecrets": pod.spec.image_pull_secrets,
    });
    let owners: Vec<Value> = pod.controller().map(owned_by).into_iter().collect();
    let namespace = &pod.metadata.namespace;
    let made = Manifest::try_new(shared, namespace, format!("a pod like {name}"), spec)?;
    Ok(made.with_metadata(labels.iter(), owners))
}

/// Whether a controller takes a pod for its own that has the labels of `pod` but those
/// that [`of_controllers`] tells.
fn adopts(owner: &Owner, pod: &Pod) -> bool {
    match owner.kind.as_str() {
        "ReplicaSet" => !pod.metadata.labels.keys().any(|key| key.ends_with("pod-template-hash")),
        "StatefulSet" | "Job" => false,
        _ => true,
    }
}

/// Labels that controllers give the pods, beside those of the template.
fn of_controllers(key: &str) -> bool {
    const KEYS: [&str; 6] = [
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "controller-uid",
        "job-name",
    ];
    key.ends_with("pod-template-hash")
        || key.starts_with("batch.kubernetes.io/")
        || KEYS.contains(&key)
}

/// For the garbage collector alone: not as a controller.
fn owned_by(owner: &Owner) -> Value {
    json!({
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    })
}
