"""kubectl with a bound on every call, and what the proof leaves in the cluster."""

import json
import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager

# Namespaces of the overlays, and the proof's own.
PROD, DEV, OWN = "open-ports", "open-ports-dev", "open-ports-proof"

# On everything that the proof makes and that belongs to no namespace, so that a later
# run can remove what a killed one left.
LABEL = "open-ports-proof=yes"
LABELLED = "namespaces,priorityclasses,customresourcedefinitions"

# The pods of the service, in each overlay.
OF_SERVICE = "app.kubernetes.io/name=open-ports"

# Seconds for a call that does not wait for anything, on a machine that is busy.
PATIENCE = 60

# What `wait` gets in addition to the time that it tells kubectl to wait.
MARGIN = 15


class Failed(Exception):
    """A check that failed, or a command of one."""


def run(words, *, timeout=PATIENCE, **options):
    """Runs a program; returns what it printed."""
    what = " ".join(words)
    if len(what) > 200:
        what = what[:200] + "…"
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout, **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: not done after {timeout} s") from None
    if done.returncode:
        raise Failed(f"{what}: exit status {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def kubectl(*words, namespace=None, **options):
    inside = ["-n", namespace] if namespace else []
    return run(["kubectl", *inside, *words], **options)


def apply(*objects, namespace=OWN):
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    kubectl("apply", "-f", "-", namespace=namespace, input=text)


def wait(*words, seconds, namespace=OWN):
    """`kubectl wait` or `kubectl rollout status`, with a bound."""
    return kubectl(*words, f"--timeout={seconds}s", namespace=namespace, timeout=seconds + MARGIN)


def get(*words, namespace=OWN):
    return json.loads(kubectl("get", *words, "-o", "json", namespace=namespace))


def pods(selector, namespace):
    return get("pods", "-l", selector, namespace=namespace)["items"]


def until(what, seconds, check):
    """Calls `check` until it returns something, for what kubectl cannot wait for."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not after {seconds} s")
        time.sleep(1)
    return found


@contextmanager
def forwarded(namespace, target, port):
    """The URL at a port of this machine of a Service's or a pod's port."""
    process = subprocess.Popen(
        ["kubectl", "-n", namespace, "port-forward", target, f":{port}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
        line = os.read(process.stdout.fileno(), 4096).decode() if readable else ""
        words = line.split()
        if words[:2] != ["Forwarding", "from"]:
            raise Failed(f"kubectl port-forward: {line.strip() or 'nothing came'}")
        yield f"http://{words[2]}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def prepare():
    """Removes what an earlier run left, and makes the proof's own namespace."""
    remove()
    there = kubectl("get", "namespaces", PROD, DEV, "--ignore-not-found", "-o", "name").split()
    if there:
        sys.exit(f"this cluster has {' and '.join(there)} already; the proof would change it")
    kubectl("create", "namespace", OWN)
    kubectl("label", "namespace", OWN, LABEL, "pod-security.kubernetes.io/enforce=restricted")


def mark(*things):
    """Makes things of the overlays removable by `remove`."""
    for thing in things:
        kubectl("label", "--overwrite", thing, LABEL)


def remove():
    for name in kubectl("get", "namespaces", "-l", LABEL, "-o", "jsonpath={.items[*].metadata.name}").split():
        # A namespace takes half of the longest grace period of its pods to go. So pods go
        # first, and what would make new ones before them.
        kubectl("delete", "cronjobs,jobs,deployments,daemonsets,replicasets", "--all", "--cascade=orphan",
                "--timeout=60s", namespace=name, timeout=90)
        kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=60s", namespace=name, timeout=90)
    kubectl("delete", LABELLED, "-l", LABEL, "--timeout=120s", timeout=150)


def explain():
    """Pods, events and logs, for a failure."""
    for namespace in (PROD, DEV, OWN):
        for words in (["get", "pods,jobs", "-o", "wide"], ["get", "events", "--sort-by=.lastTimestamp"]):
            show(namespace, *words)
        names = attempt("get", "pods", "-o", "name", namespace=namespace).split()
        for name in (name for name in names if name.startswith("pod/")):
            show(namespace, "logs", "--all-containers", "--tail=30", name)


def show(namespace, *words):
    print(f"-- {namespace}: kubectl {' '.join(words)}", file=sys.stderr)
    print(attempt(*words, namespace=namespace), end="", file=sys.stderr)


def attempt(*words, namespace):
    try:
        return kubectl(*words, namespace=namespace)
    except Failed as error:
        return f"{error}\n"
