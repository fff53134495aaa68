"""Deploys both overlays by the commands of kustomize/README.md alone, and runs the
examples of the README against them."""

import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from .cluster import (
    DEV, LABEL, OF_SERVICE, PROD, Failed, apply, forwarded, kubectl, mark, pods, run, until, wait)
from .images import PROD_NAME

# A pod starts within seconds; a busy node may take longer.
STARTING = 180

# The digest in the overlay, which everybody has to change.
NO_DIGEST = "sha256:" + 64 * "0"

# Kinds of the Prometheus operator, for clusters without it.
OPERATOR = {
    "servicemonitors": "ServiceMonitor", "probes": "Probe", "prometheusrules": "PrometheusRule"}


def check(report, scratch, digest):
    """Deploys both at once, because most of the time they wait."""
    set_digest(scratch, digest)
    add_vantages(scratch)
    define_operator_kinds()
    follow(scratch, commands("Deploying open-ports")[:1])
    mark(f"namespace/{DEV}")
    # Even if a command fails half way.
    try:
        follow(scratch, commands("Production"))
    finally:
        mark_prod()
    wait("rollout", "status", "deployment/open-ports", namespace=DEV, seconds=STARTING)
    report.passed("overlay dev: rolled out")
    with forwarded(DEV, "service/open-ports", 80) as url:
        smoke(report, "dev", url)
        check_vantages(report, url)
    # The autoscaler's least number. Without metrics-server it does nothing else.
    wait("wait", "deployment/open-ports", "--for=jsonpath={.status.readyReplicas}=3",
         namespace=PROD, seconds=STARTING)
    report.passed("overlay prod: 3 pods are ready, after the steps of kustomize/README.md")
    # It scans itself: the policy hides most ports of the other pods, so that they take long.
    pod = pods(OF_SERVICE, PROD)[0]
    with forwarded(PROD, f"pod/{pod['metadata']['name']}", 8080) as url:
        status = status_of(f"{url}/open-ports?domain=localhost&toPort=1")
        report.equal(status, 401, "overlay prod: status of a request without a token")
        token = (scratch / "tokens").read_text().strip().partition(":")[2]
        smoke(report, "prod", url, TOKEN=token, DOMAIN=pod["status"]["podIP"])


def set_digest(scratch, digest):
    """Changes what README says that one has to change."""
    path = scratch / "kustomize/overlays/prod/kustomization.yaml"
    text = path.read_text()
    if text.count(NO_DIGEST) != 1 or PROD_NAME not in text:
        raise Failed(f"{path} does not have the image {PROD_NAME}@{NO_DIGEST}")
    path.write_text(text.replace(NO_DIGEST, digest))


def add_vantages(scratch):
    """The component is usable with any overlay."""
    path = scratch / "kustomize/overlays/dev/kustomization.yaml"
    path.write_text(f"{path.read_text()}\ncomponents:\n  - ../../components/vantages\n")


def check_vantages(report, url):
    """Each node has a vantage, which says where it is."""
    wait("rollout", "status", "daemonset/open-ports-vantages", namespace=DEV, seconds=STARTING)
    target = pods(OF_SERVICE, DEV)[0]["status"]["podIP"]

    def asked():
        # A name server keeps an answer from before the pods were ready for some seconds.
        try:
            with urllib.request.urlopen(f"{url}/matrix?domain={target}&ports=1,8080", timeout=60) as reply:
                matrix = json.load(reply)
        except urllib.error.HTTPError as error:
            if error.code != 422:
                raise
            return None
        return matrix if matrix["complete"] else None
    rows = until("the vantages answer", 60, asked)["rows"]
    found = {(row["vantage"].get("node"), row["vantage"].get("namespace")) for row in rows}
    items = pods("app.kubernetes.io/name=open-ports-vantages", DEV)
    report.equal(found, {(item["spec"]["nodeName"], DEV) for item in items}, "overlay dev: vantages of GET /matrix")
    seen = {row["addresses"][0]["open"] for row in rows}
    report.equal(seen, {"8080"}, "overlay dev: what they see")


def commands(heading):
    """The commands of a section of kustomize/README.md."""
    text = Path("kustomize/README.md").read_text()
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)[1]
    found = re.findall(r"^ *\$ (.*)$", section, re.MULTILINE)
    if not found:
        raise Failed(f"no commands under {heading!r} in kustomize/README.md")
    return found


def follow(folder, lines):
    run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], cwd=folder, timeout=120)


def define_operator_kinds():
    made = []
    for plural, kind in OPERATOR.items():
        name = f"{plural}.monitoring.coreos.com"
        if kubectl("get", "crd", name, "--ignore-not-found", "-o", "name"):
            continue
        made.append(name)
        apply(custom_kind(name, plural, kind), namespace=None)
    for name in made:
        wait("wait", f"crd/{name}", "--for=condition=Established", namespace=None, seconds=60)


def custom_kind(name, plural, kind):
    label, _, value = LABEL.partition("=")
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "labels": {label: value}},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def mark_prod():
    """Whatever of the overlay is there by now."""
    for thing in (f"namespace/{PROD}", "priorityclass/open-ports"):
        if kubectl("get", thing, "--ignore-not-found", "-o", "name"):
            mark(thing)


def smoke(report, name, url, **environment):
    done = subprocess.run(
        ["scripts/smoke", url], env={**os.environ, **environment}, timeout=600,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode:
        raise Failed(f"overlay {name}: scripts/smoke:\n{done.stdout}")
    report.passed(f"overlay {name}: the examples of the README: {last}")


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
