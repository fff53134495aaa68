//! Adds an ephemeral container to a pod.

use serde_json::{Value, json};

use super::call::{Calls, namespaced};
use super::objects::Pod;
use crate::matrix::answers::NotAsked;

/// Adds it, with one call.
// `kubectl debug` asks six times. A list of containers without one that is there is refused,
// so that a container that somebody else added meanwhile is not lost.
pub(super) async fn add(
    calls: &Calls,
    pod: &Pod,
    container: &str,
    image: &str,
) -> Result<(), NotAsked> {
    let mut containers = pod.spec.ephemeral_containers.clone();
    let mut own = asking(container, image);
    own["terminationMessagePolicy"] = "FallbackToLogsOnError".into();
    containers.push(own);
    let (namespace, name) = pod.key();
    let body = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": &name, "namespace": &namespace },
        "spec": { "ephemeralContainers": containers },
    });
    let path = namespaced(&namespace, &format!("pods/{name}/ephemeralcontainers"));
    calls.raw("replace", &path, Some(body.to_string().as_bytes())).await.map(drop)
}

/// A container that answers questions on its standard input, as *restricted* as Kubernetes'
/// pod security standards know it.
pub(super) fn asking(name: &str, image: &str) -> Value {
    json!({
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["vantage"],
        "stdin": true,
        // Its input ends with the first who attaches, and it with its input.
        "stdinOnce": true,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            // As the image has it: the pod may say another, which owns its files.
            "runAsUser": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    })
}
