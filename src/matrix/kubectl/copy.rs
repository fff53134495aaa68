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
//! Copies are removed by a label, with one call for all of a namespace, even if making one
//! failed half way. If this process is killed, a copy ends with its input or after
//! [`MOST_SECONDS`], and its record goes with the controller of the workload.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::call::{Calls, namespaced};
use super::debug::asking;
use super::objects::{Metadata, Owner, Pod, Service};
use super::pod_vantage::OURS;
use super::{LABEL, Shared};
use crate::matrix::answers::NotAsked;

/// What is posted.
#[derive(Debug)]
pub(super) struct Manifest(Value);

impl Manifest {
    /// A copy of `pod`.
    ///
    /// # Errors
    /// When it could become more than a copy.
    pub(super) fn try_new(
        pod: &Pod,
        services: &[Service],
        shared: &Shared,
    ) -> Result<Self, NotAsked> {
        let name = pod.name();
        let no = |why: &str| Err(NotAsked::new(format!("{name} is not copied: {why}")));
        let Some(image) = &shared.image else {
            return no("name the image of the copy with --image");
        };
        if pod.spec.host_network {
            return no("it uses the network of its node, where no policy applies");
        }
        if let Some(Owner { kind, .. }) = pod.controller().filter(|owner| adopts(owner, pod)) {
            return no(&format!("its {kind} would adopt the copy"));
        }
        let mut labels: BTreeMap<String, String> = pod.metadata.labels.clone();
        labels.retain(|key, _| !of_controllers(key));
        labels.insert(LABEL.into(), shared.run.clone());
        let publishes = services.iter().find(|service| {
            let copied = Metadata { labels: labels.clone(), ..pod.metadata.clone() };
            service.spec.publish_not_ready_addresses && service.selects(&copied)
        });
        if let Some(service) = publishes {
            let service = &service.metadata.name;
            return no(&format!("the Service {service} publishes pods that are not ready"));
        }
        let mut container = asking(OURS, image);
        container["resources"] = json!({
            "requests": { "cpu": "10m", "memory": "32Mi" },
            "limits": { "memory": "128Mi" },
        });
        let owners: Vec<Value> = pod.controller().map(owned_by).into_iter().collect();
        Ok(Self(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": format!("{OURS}-{}-", shared.run),
                "namespace": pod.metadata.namespace,
                "labels": labels,
                "ownerReferences": owners,
            },
            "spec": {
                "restartPolicy": "Never",
                "activeDeadlineSeconds": MOST_SECONDS,
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "serviceAccountName": pod.spec.service_account_name,
                "readinessGates": [{ "conditionType": LABEL }],
                "nodeSelector": pod.spec.node_selector,
                "tolerations": pod.spec.tolerations,
                "imagePullSecrets": pod.spec.image_pull_secrets,
                "containers": [container],
            },
        })))
    }
}

/// The copies that are there, by namespace.
#[derive(Debug, Default)]
pub(super) struct Copies(Mutex<HashMap<String, usize>>);

impl Copies {
    /// Makes one; returns its name.
    pub(super) async fn make(
        &self,
        calls: &Calls,
        namespace: &str,
        manifest: &Manifest,
    ) -> Result<String, NotAsked> {
        // Before the call, which may be cut off when the pod is made.
        self.change(namespace, |count| count + 1);
        let body = manifest.0.to_string();
        let path = namespaced(namespace, "pods");
        let made = calls.raw("create", &path, Some(body.as_bytes())).await?;
        let made: Pod = serde_json::from_slice(&made)
            .map_err(|error| NotAsked::new(format!("kubectl create: {error}")))?;
        Ok(made.metadata.name)
    }

    /// Notes that a copy is not needed any more. With the last one, all are removed.
    pub(super) async fn leave(
        &self,
        calls: &Calls,
        namespace: &str,
        run: &str,
    ) -> Result<(), NotAsked> {
        if self.change(namespace, |count| count.saturating_sub(1)) > 0 {
            return Ok(());
        }
        let path = namespaced(namespace, &format!("pods?labelSelector={LABEL}%3D{run}"));
        calls.raw("delete", &path, None).await.map(drop)
    }

    fn change(&self, namespace: &str, to: impl FnOnce(usize) -> usize) -> usize {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(namespace.to_owned()).or_default();
        *count = to(*count);
        *count
    }
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

/// The longest that a copy runs: longer than a run of hundreds of vantages takes.
const MOST_SECONDS: u32 = 3600;
