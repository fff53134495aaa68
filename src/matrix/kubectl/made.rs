//! Short-lived pods that a run makes, and removes at its end.
//!
//! They have a label with the run. One call removes all of a namespace that have it, even
//! if making one failed half way. If this process is killed, a pod ends with its input, or
//! after [`MOST_SECONDS`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::call::{Calls, namespaced};
use super::debug::asking;
use super::objects::Pod;
use super::{LABEL, OURS, Shared};
use crate::matrix::answers::NotAsked;

/// A pod to make.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) namespace: String,
    /// What it is, for people: `a pod like shop/web-1`.
    pub(super) what: String,
    pod: Value,
}

impl Manifest {
    /// A pod in `namespace` that asks, of the run's image. `spec` says what else it has.
    ///
    /// # Errors
    /// When there is no image for it.
    pub(super) fn try_new(
        shared: &Shared,
        namespace: &str,
        what: String,
        spec: Value,
    ) -> Result<Self, NotAsked> {
        let Some(image) = &shared.image else {
            let why = format!("{what} would be made; name its image with --image");
            return Err(NotAsked::new(why));
        };
        let mut container = asking(OURS, image);
        container["resources"] = json!({
            "requests": { "cpu": "10m", "memory": "32Mi" },
            "limits": { "memory": "128Mi" },
        });
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": format!("{OURS}-{}-", shared.run),
                "namespace": namespace,
                "labels": { LABEL: shared.run },
            },
            "spec": {
                "restartPolicy": "Never",
                "activeDeadlineSeconds": MOST_SECONDS,
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "containers": [container],
            },
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut pod["spec"], spec) {
            all.extend(more);
        }
        Ok(Self { namespace: namespace.to_owned(), what, pod })
    }

    /// Has the pod look like one of a workload.
    pub(super) fn with_metadata<'a>(
        mut self,
        labels: impl Iterator<Item = (&'a String, &'a String)>,
        owners: Vec<Value>,
    ) -> Self {
        let metadata = &mut self.pod["metadata"];
        for (key, value) in labels {
            metadata["labels"][key] = value.as_str().into();
        }
        metadata["ownerReferences"] = owners.into();
        self
    }
}

/// How many pods of the run are needed, by namespace.
#[derive(Debug, Default)]
pub(super) struct Made(Mutex<HashMap<String, usize>>);

impl Made {
    /// Makes one; returns its name.
    pub(super) async fn make(
        &self,
        calls: &Calls,
        manifest: &Manifest,
    ) -> Result<String, NotAsked> {
        // Before the call, which may be cut off when the pod is made.
        self.change(&manifest.namespace, |count| count + 1);
        let body = manifest.pod.to_string();
        let path = namespaced(&manifest.namespace, "pods");
        let made = calls.raw("create", &path, Some(body.as_bytes())).await?;
        let made: Pod = serde_json::from_slice(&made)
            .map_err(|error| NotAsked::new(format!("kubectl create: {error}")))?;
        Ok(made.metadata.name)
    }

    /// Notes that one is not needed any more. With the last one, all are removed.
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

/// The longest that a pod runs: longer than a run of hundreds of vantages takes.
const MOST_SECONDS: u32 = 3600;
