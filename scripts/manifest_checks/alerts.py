"""Alerts by promtool, and the names of metrics in alerts and dashboard against
those that the binary has."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from manifest_checks.render import one
from manifest_checks.settings import listen_address, stop

COMPONENT = Path("kustomize/components/monitoring")


def check(findings, objects, binary, scratch):
    groups = one(objects, "PrometheusRule")["spec"]
    (scratch / "alerts.rules.yaml").write_text(yaml.safe_dump(groups))
    shutil.copy(COMPONENT / "alerts-test.yaml", scratch)
    for arguments in (["check", "rules", "alerts.rules.yaml"], ["test", "rules", "alerts-test.yaml"]):
        run = subprocess.run(["promtool", *arguments], cwd=scratch, capture_output=True, text=True)
        findings.equal(run.returncode, 0, f"promtool {' '.join(arguments)}: {run.stdout}{run.stderr}")
    tested = (COMPONENT / "alerts-test.yaml").read_text()
    for rule in groups["groups"][0]["rules"]:
        raised = re.search(rf"alertname: {rule['alert']}\n\s+eval_time: \w+\n\s+exp_alerts:", tested)
        findings.expect(raised, f"no test raises {rule['alert']}")

    dashboards = [
        json.loads(text)
        for thing in objects
        if thing["kind"] == "ConfigMap"
        for name, text in thing["data"].items()
        if name.endswith(".json")
    ]
    findings.equal(len(dashboards), 1, "dashboards")
    expressions = [rule["expr"] for rule in groups["groups"][0]["rules"]]
    for panel in dashboards[0]["panels"]:
        findings.expect(panel["title"] and panel["targets"], f"panel {panel['id']} is empty")
        expressions += [target["expr"] for target in panel["targets"]]
    check_expressions(findings, expressions, scratch)

    exposed = metrics_of(binary, scratch)
    for expression in expressions:
        for name in re.findall(r"\b(?:open_ports|probe)_\w+", expression):
            findings.expect(name in exposed, f"the binary has no metric {name}")


def check_expressions(findings, expressions, scratch):
    """Whether Prometheus can read them, Grafana's variables filled in."""
    rules = [
        {"record": f"expression:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions)
    ]
    path = scratch / "expressions.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "expressions", "rules": rules}]}))
    run = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True)
    findings.equal(run.returncode, 0, f"expressions: {run.stdout}{run.stderr}")


def metrics_of(binary, scratch):
    """The names of the series that a running service exposes after some work."""
    token = "manifests-0123456789"
    (scratch / "tokens").write_text(f"manifests:{token}\n")
    process, line = binary.start({
        "OPEN_PORTS_LISTEN": "127.0.0.1:0",
        "OPEN_PORTS_DENY": "127.0.0.9",
        "OPEN_PORTS_TOKENS": str(scratch / "tokens"),
    })
    url = f"http://{listen_address(line)}"

    def ask(path):
        request = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {token}"})
        return urllib.request.urlopen(request, timeout=60).read().decode()

    try:
        for path in ("/open-ports?domain=127.0.0.1&ports=1", "/open-ports?domain=127.0.0.9&ports=1"):
            try:
                ask(path)
            except urllib.error.HTTPError as refusal:
                assert refusal.code == 403, refusal
        # An expectation makes every metric of a probe appear.
        text = ask("/metrics") + ask("/probe?target=127.0.0.1:1")
    finally:
        stop(process)
    # A family without a series yet has its TYPE all the same.
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    histograms = [name for name, kind in types.items() if kind == "histogram"]
    parts = {name + part for name in histograms for part in ("_bucket", "_count", "_sum")}
    return set(types) | parts
