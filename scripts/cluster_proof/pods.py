"""Pods that run a program of this package, as restricted as those of open-ports."""

import json

from .cluster import OWN, apply, kubectl, wait
from .images import PYTHON_NAME

# Seconds for the pods of the proof to start, all together.
STARTING = 180

# The programs listen here when they are ready.
READY_PORT = 7000


def share_programs(folder, namespaces):
    """The programs, as a ConfigMap in each of the namespaces."""
    for namespace in namespaces:
        kubectl("create", "configmap", "programs", f"--from-file={folder}", namespace=namespace)


def restricted(name, labels, container, **spec):
    """A pod with one container, as the Pod Security Standard `restricted` wants it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "imagePullPolicy": "IfNotPresent",
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                **container,
            }],
            **spec,
        },
    }


def ready_at(port):
    return {"tcpSocket": {"port": port}, "periodSeconds": 1}


def pod(name, program, *, labels=None, env=()):
    """A pod that runs scripts/cluster_proof/programs/PROGRAM."""
    container = {
        "name": "program",
        "image": PYTHON_NAME,
        "command": ["python3", "-I", "-S", f"/programs/{program}"],
        "env": list(env),
        "readinessProbe": ready_at(READY_PORT),
        "volumeMounts": [{"name": "programs", "mountPath": "/programs", "readOnly": True}],
    }
    volume = {"name": "programs", "configMap": {"name": "programs"}}
    labels = {"app": program.partition(".")[0], **(labels or {})}
    return restricted(name, labels, container, restartPolicy="Never", volumes=[volume])


def start(*things, namespace=OWN):
    apply(*things, namespace=namespace)


def wait_until_ready(selector, namespace=OWN):
    wait("wait", "pods", "-l", selector, "--for=condition=Ready", namespace=namespace, seconds=STARTING)


def finish(name, namespace, seconds):
    """Asks a program to end; returns the JSON of its last line."""
    # It has no shell, and is process 1.
    stop = "import os, signal; os.kill(1, signal.SIGTERM)"
    kubectl("exec", name, "--", "python3", "-I", "-S", "-c", stop, namespace=namespace)
    wait("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded",
         namespace=namespace, seconds=seconds)
    return json.loads(kubectl("logs", name, namespace=namespace).strip().rpartition("\n")[2])
