"""The matrix: network policies of every kind against a truth table written by hand, the
denials that prove nothing, what a run leaves behind, and what it asks of the API server."""

import json
import os
import subprocess
import time
from pathlib import Path

from . import matrix_routes
from .cluster import LABEL, Failed, apply, get, kubectl, run, until, wait
from .images import DEV_NAME
from .matrix_truth import (
    ENDPOINTS, NAMESPACES, PODS, PORTS, deny_all, isolated, policies, rules, truth)
from .pods import ready_at, restricted

# For pods without open-ports. By this name the nodes have it.
IMAGE = DEV_NAME.rpartition("/")[2]

# Seconds for nine pods to start, on a machine that is busy.
STARTING = 120


def pod(name, image=DEV_NAME, **container):
    """A pod that listens on both ports."""
    if image == DEV_NAME:
        container.setdefault("args", [
            "serve", f"--listen=0.0.0.0:{PORTS[0]}", f"--metrics-listen=0.0.0.0:{PORTS[1]}",
            "--allow=any", "--grace=0"])
    probe = ready_at(PORTS[0])
    return restricted(name, {"app": name}, {"name": "main", "image": image, "readinessProbe": probe, **container})


def start_namespaces():
    for namespace in NAMESPACES:
        kubectl("create", "namespace", namespace)
        kubectl("label", "namespace", namespace, LABEL, "pod-security.kubernetes.io/enforce=restricted")


def start_pods():
    """Early, because they take a while."""
    start_namespaces()
    for namespace in NAMESPACES:
        apply(*[pod(name) for name in PODS], namespace=namespace)


def wait_for_pods():
    for namespace in NAMESPACES:
        wait("wait", "pods", "--all", "--for=condition=Ready", namespace=namespace, seconds=STARTING)


class Matrix:
    """`kubectl open-ports matrix`, by a plugin on PATH."""

    def __init__(self, scratch, binary):
        self.folder = scratch / "matrix"
        self.folder.mkdir()
        (self.folder / "kubectl-open_ports").symlink_to(binary)
        self.environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}

    def start(self, text, *options, timeout=1000):
        path = self.folder / "reach.txt"
        path.write_text(text)
        return subprocess.Popen(
            ["kubectl", "open-ports", "matrix", str(path), "--format", "ndjson", "--parallel", "9",
             "--timeout-ms", str(timeout), "--image", IMAGE, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)

    def ask(self, text, *options, seconds=120):
        """The cells, the summary, the exit status and what it said of a run."""
        return self.finish(self.start(text, *options), seconds)

    def finish(self, process, seconds=120):
        try:
            out, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, said = process.communicate()
            raise Failed(f"the matrix was not done after {seconds} s\n{said}") from None
        records = [json.loads(line) for line in out.splitlines()]
        if not records or records[-1]["type"] != "end":
            raise Failed(f"the matrix has no end: status {process.returncode}\n{said}\n{out[-2000:]}")
        cells = [record for record in records if record["type"] == "cell"]
        return cells, records[-1]["summary"], process.returncode, said


def check(report, scratch, binary, runs):
    wait_for_pods()
    matrix = Matrix(scratch, binary)
    listed = run(["kubectl", "plugin", "list", "--name-only"], env=matrix.environment)
    if "kubectl-open_ports" not in listed.split():
        raise Failed(f"kubectl plugin list: {listed}")
    before = names()
    check_truth(report, matrix, runs)
    check_calls(report, matrix)
    check_isolated(report, matrix, runs)
    check_unproved(report, matrix)
    check_deleted(report, matrix)
    matrix_routes.check(report, matrix)
    report.equal(names(), before, "pods before and after all that")


def names():
    """The pods that are there."""
    return {
        namespace: sorted(
            item["metadata"]["name"] for item in get("pods", namespace=namespace)["items"]
            if "deletionTimestamp" not in item["metadata"])
        for namespace in NAMESPACES
    }


def compare(run_of_it, expected, what):
    """Each cell, and the verdict on all."""
    cells, summary, status, said = run_of_it
    found = {(cell["vantage"], cell["target"], cell["port"]): cell["state"] for cell in cells}
    wrong = [
        (cell, found.get(cell)) for cell, is_open in expected.items()
        if (found.get(cell) == "open") != is_open or found.get(cell) in (None, "not-asked")
    ]
    if wrong or len(found) != len(expected) or status:
        raise Failed(f"{what}: status {status}, {len(found)} cells, {len(wrong)} wrong: "
                     f"{wrong[:5]}\n{summary}\n{said}")


# What a run waits for after something was changed.
SETTLING = ["--settle", "1s", "--within", "60s"]


def check_truth(report, matrix, runs):
    """Straight after the policies were applied, and once they hold."""
    expected, items, times = truth(), policies(), []
    text, everything = rules(expected), rules(dict.fromkeys(expected, True))
    for _ in range(runs):
        # Otherwise what an earlier turn applied might hold still.
        compare(matrix.ask(everything, "--within", "60s"), dict.fromkeys(expected, True), "without policies")
        apply_all(items)
        begun = time.monotonic()
        compare(matrix.ask(text, *SETTLING), expected, "straight after kubectl apply")
        times.append(time.monotonic() - begun)
        compare(matrix.ask(text), expected, "policies of every kind")
        if len(times) < runs:
            remove_all(items)
    report.passed(f"{len(expected)} cells under policies of every kind are as the truth table has them, "
                  f"{runs} of {runs} times")
    report.passed(f"so they are straight after kubectl apply, with --settle, {runs} of {runs} times: "
                  f"within {min(times):.1f} to {max(times):.1f} s")


def apply_all(items):
    """With one command: they name their namespaces."""
    apply(*items, namespace=None)


def remove_all(items):
    for namespace in NAMESPACES:
        own = [item["metadata"]["name"] for item in items if item["metadata"]["namespace"] == namespace]
        kubectl("delete", "networkpolicies", *own, namespace=namespace)


def audit_log():
    """The API server's own record, where it keeps one on this machine."""
    path = Path(os.environ.get("CLUSTER_DIR", "/var/tmp/open-ports-cluster")) / "log/audit.log"
    return path if path.exists() else None


def calls_since(path, offset):
    """What was asked of the API server, without the question for its version that some
    distributions of kubectl put before each command."""
    with open(path) as file:
        file.seek(offset)
        records = [json.loads(line) for line in file]
    calls = {
        record["auditID"]: f"{record['verb']} {record['requestURI'].partition('?')[0]}"
        for record in records if not record["requestURI"].startswith("/version")
    }
    return list(calls.values())


def count_calls(matrix, text):
    """The calls of one run, or None where nobody keeps a record of them."""
    path = audit_log()
    offset = path.stat().st_size if path else 0
    result = matrix.ask(text)
    if path is None:
        return None, result
    # The last one is written when it has ended.
    time.sleep(0.5)
    return calls_since(path, offset), result


def check_calls(report, matrix):
    calls, result = count_calls(matrix, rules(truth()))
    compare(result, truth(), "while calls are counted")
    if calls is None:
        print("skipped: the audit log of the API server is not here", flush=True)
        return
    if len(calls) > 3 * len(ENDPOINTS):
        raise Failed(f"{len(calls)} calls for {len(ENDPOINTS)} vantages:\n" + "\n".join(calls))
    report.passed(f"{len(calls)} calls of the API server for {len(ENDPOINTS)} vantages")


def check_isolated(report, matrix, runs):
    expected, items = isolated(), policies()
    apply_all(deny_all())
    # A policy only adds to what others let through.
    remove_all(items)
    compare(matrix.ask(rules(expected), *SETTLING), expected, "deny-all in both directions, soon")
    for _ in range(runs):
        compare(matrix.ask(rules(expected)), expected, "deny-all in both directions")
    report.passed(f"{len(expected)} cells under deny-all in both directions, DNS included, "
                  f"{runs} of {runs} times")


def replace(item, namespace):
    """Another pod of the same name."""
    name = item["metadata"]["name"]
    kubectl("delete", "pod", name, "--grace-period=1", "--ignore-not-found", namespace=namespace)
    apply(item, namespace=namespace)
    wait("wait", f"pod/{name}", "--for=condition=Ready", namespace=namespace, seconds=STARTING)


def check_unproved(report, matrix):
    """Nobody listens on a port any more: that it is denied was not shown."""
    namespace, name = ENDPOINTS[0]
    gone = (f"{namespace}/{name}", PORTS[1])
    replace(pod(name, args=["serve", f"--listen=0.0.0.0:{PORTS[0]}", "--allow=any", "--grace=0"]), namespace)
    expected = {cell: is_open and cell[1:] != gone for cell, is_open in isolated().items()}

    def held():
        # A new pod is subject to policies after a moment.
        cells, summary, status, said = matrix.ask(rules(expected))
        verdicts = {cell["verdict"] for cell in cells}
        return (cells, summary, status, said) if verdicts <= {"ok", "unproved"} else None
    cells, summary, status, said = until("policies hold for a new pod", 60, held)
    unproved = [cell for cell in cells if cell["verdict"] == "unproved"]
    about = {(cell["target"], cell["port"]) for cell in unproved}
    if status != 4 or about != {gone} or len(unproved) != len(ENDPOINTS):
        raise Failed(f"a listener is gone: status {status}, {len(unproved)} unproved of {about}: "
                     f"{summary}\n{said}")
    report.passed(f"a listener is gone: the {len(unproved)} cells of its port are unproved, exit status 4")
    replace(pod(name), namespace)


def check_deleted(report, matrix):
    """A vantage goes while it asks."""
    namespace, name = ENDPOINTS[-1]
    victim = f"{namespace}/{name}"
    # All of these ports are silent, so that it takes ten seconds.
    target = "/".join(ENDPOINTS[0])
    text = "".join(f"{of}/{vantage}[Pod] => {target}[Pod] : none\n" for of, vantage in ENDPOINTS)
    process = matrix.start(text, "-p", "1-1000", timeout=5000)
    until("the vantage is asked", 60, lambda: asks(namespace, name) or process.poll() is not None)
    kubectl("delete", "pod", name, "--grace-period=1", "--wait=false", namespace=namespace)
    cells, summary, status, said = matrix.finish(process)
    own = [cell for cell in cells if cell["vantage"] == victim]
    others = {cell["vantage"] for cell in cells if cell["state"] != "not-asked"}
    if {cell["state"] for cell in own} != {"not-asked"} or status != 4 or len(others) != len(ENDPOINTS) - 1:
        raise Failed(f"a vantage was deleted: status {status}, asked: {others}: {summary}\n{said}")
    report.passed(f"a vantage that is deleted while it asks is not asked: {own[0]['reason']!r}")
    kubectl("wait", f"pod/{name}", "--for=delete", "--timeout=60s", namespace=namespace, timeout=90)
    replace(pod(name), namespace)


def asks(namespace, name):
    """Whether kubectl runs something in the pod."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if "exec" in words and namespace in words and name in words:
            return True
    return False
