"""The ways into pods without open-ports: an ephemeral container, and a copy of a workload
that is nothing else of it. And the way to a node."""

import signal
import time

from . import matrix as proof
from .cluster import Failed, apply, get, kubectl, run, until, wait
from .images import PYTHON_NAME

# Under deny-all, like all of them.
NAMESPACE, NAME = "open-ports-red", "plain"

# A workload, and a Service that sends to it.
WORKLOAD = "copied"

# What the runs leave on copies.
LABEL = "open-ports-matrix"

LISTEN = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listener = socket.create_server(("", 8080))
while True:
    listener.accept()[0].close()
"""


def check(report, matrix):
    command = ["python3", "-I", "-S", "-c", LISTEN]
    proof.replace(proof.pod(NAME, image=PYTHON_NAME, command=command), NAMESPACE)
    deploy(command)
    try:
        check_ephemeral(report, matrix)
        check_copy(report, matrix)
        check_interrupted(report, matrix)
        check_node(report, matrix)
    finally:
        kubectl("delete", f"pod/{NAME}", f"deployment/{WORKLOAD}", f"service/{WORKLOAD}",
                "--grace-period=1", namespace=NAMESPACE)
    until("the pods are gone", 60, lambda: not [
        name for name in proof.names()[NAMESPACE] if name.startswith((NAME, WORKLOAD))])


def deploy(command):
    template = proof.pod(WORKLOAD, image=PYTHON_NAME, command=command)
    labels = template["metadata"]["labels"]
    apply(
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": WORKLOAD},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
            },
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": WORKLOAD},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        namespace=NAMESPACE)
    wait("rollout", "status", f"deployment/{WORKLOAD}", namespace=NAMESPACE, seconds=proof.STARTING)


def rule(vantage):
    """One that holds: all is denied, and the target itself shows that it listens."""
    return f"{vantage} => open-ports-blue/web[Pod] : none TCP 8080,8081\n"


def check_ephemeral(report, matrix):
    """One container, said beforehand, restricted, and not running afterwards."""
    vantage = f"{NAMESPACE}/{NAME}[Pod]"
    calls, (cells, summary, status, said) = proof.count_calls(
        matrix, rule(vantage) + f"{vantage} => {NAMESPACE}/{NAME}[Pod] : TCP 8080\n")
    if status or len(cells) < 2:
        raise Failed(f"an ephemeral container: status {status}: {summary}\n{cells}\n{said}")
    if "ephemeral container" not in said:
        raise Failed(f"nobody said that a pod gets an ephemeral container: {said!r}")
    pod = get("pod", NAME, namespace=NAMESPACE)
    (container,) = pod["spec"]["ephemeralContainers"]
    context = container["securityContext"]
    if context["capabilities"] != {"drop": ["ALL"]} or not context["runAsNonRoot"]:
        raise Failed(f"the ephemeral container is not restricted: {context}")

    def ended():
        statuses = get("pod", NAME, namespace=NAMESPACE)["status"]["ephemeralContainerStatuses"]
        return "terminated" in statuses[0]["state"]
    until("the ephemeral container ends with its run", 30, ended)
    report.passed("a pod without open-ports is asked through one ephemeral container, which ends with the run")
    if calls is not None:
        # Of the pod itself: the others are of its target and of the whole run.
        own = [call for call in calls if f"/pods/{NAME}" in call]
        report.equal(len(own), 3, "calls for the ephemeral container")


def copies():
    items = get("pods", "-l", LABEL, namespace=NAMESPACE)["items"]
    return [item for item in items if item["status"]["phase"] == "Running"]


def start_copy(matrix):
    """A run that takes ten seconds, once its copy is there."""
    process = matrix.start(
        rule(f"as {NAMESPACE}/{WORKLOAD}[Deployment]"), "-p", "1-1000", timeout=5000)
    found = until("the copy runs", 60, lambda: copies() or process.poll() is not None)
    if found is True:
        raise Failed(f"the run ended without a copy: {matrix.finish(process)}")
    return process, found[0]


def check_copy(report, matrix):
    process, copy = start_copy(matrix)
    owners = copy["metadata"].get("ownerReferences", [])
    if any(owner.get("controller") for owner in owners):
        raise Failed(f"the copy was adopted: {owners}")
    # Long enough for controllers to see it.
    time.sleep(2)
    status = get("deployment", WORKLOAD, namespace=NAMESPACE)["status"]
    sets = get("replicasets", "-l", f"app={WORKLOAD}", namespace=NAMESPACE)["items"]
    counts = [status["replicas"], *(item["status"]["replicas"] for item in sets)]
    if set(counts) != {1}:
        raise Failed(f"the workload has other pods beside a copy: {counts}")
    slices = get("endpointslices", "-l", f"kubernetes.io/service-name={WORKLOAD}", namespace=NAMESPACE)
    ready = [
        endpoint["targetRef"]["name"] for item in slices["items"]
        for endpoint in item.get("endpoints") or [] if endpoint["conditions"].get("ready")
    ]
    if copy["metadata"]["name"] in ready or len(ready) != 1:
        raise Failed(f"the Service sends to {ready}")
    cells, summary, status, said = matrix.finish(process)
    if not cells or "is made" not in said:
        raise Failed(f"a copy: status {status}: {summary}\n{said}")
    report.equal(left(), [], "copies that are left after a run")
    # A new pod is subject to policies after a moment.
    cells, summary, status, said = matrix.ask(
        rule(f"as {NAMESPACE}/{WORKLOAD}[Deployment]"), *proof.SETTLING)
    if status or {cell["state"] for cell in cells} != {"filtered"}:
        raise Failed(f"a copy under policies: status {status}: {summary}\n{cells}\n{said}")
    report.passed("a copy of a workload is not adopted, gets nothing from its Service, and is under its policies")


def check_interrupted(report, matrix):
    process, _ = start_copy(matrix)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    report.equal(left(), [], "copies that are left after SIGTERM")


def check_node(report, matrix):
    """A node reaches its own pods, whatever the policies say of other pods."""
    target = f"{NAMESPACE}/{NAME}[Pod]"
    cells, summary, status, said = matrix.ask(
        f"node/* => {target} : TCP 8080\nopen-ports-blue/web[Pod] => {target} : none TCP 8080\n")
    found = {cell["vantage"].partition("/")[0]: cell["state"] for cell in cells}
    if status or found != {"node": "open", "open-ports-blue": "filtered"}:
        raise Failed(f"a node as a vantage: status {status}: {summary}\n{cells}\n{said}")
    if "in the network of node/" not in said:
        raise Failed(f"nobody said that a pod is made for a node: {said!r}")
    namespace = run(["kubectl", "config", "view", "--minify", "--output=jsonpath={..namespace}"])
    report.equal(left(namespace.strip() or "default"), [], "pods that are left after a node was asked")
    report.passed("a node is a witness under deny-all, through a pod that is removed")


def left(namespace=NAMESPACE):
    """Pods of a run that nobody removes."""
    items = get("pods", "-l", LABEL, namespace=namespace)["items"]
    return [item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"]]
