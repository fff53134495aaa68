"""Sweeps pods by kustomize/components/sweep, deletes one of its pods half way, and compares
the merged reports with those of one scan."""

import json
import os
import re
from pathlib import Path

from . import pods
from .cluster import OWN, Failed, apply, get, kubectl, run, until

README = Path("kustomize/components/sweep/README.md")

JOB = "open-ports-sweep"
OF_JOB = f"batch.kubernetes.io/job-name={JOB}"

SHARDS = 4

# The ports that are asked for, and a rate at which a shard of two hosts takes a quarter
# of a minute, so that it can be stopped half way.
PORTS = range(5000, 5300)
RATE = 40

# Each of the targets: its open ports, and those which its network policy lets through, or
# `None` without a policy. What it does not let through is filtered.
TARGETS = [
    ([5000, 5007, 5299], None), ([5001], None), ([5002, 5123, 5200, 5201], None), ([5003, 5250], None),
    ([5004, 5100], [5004, 5005]), ([5005, 5010, 5020], [5010, 5011, 5012]),
    ([5006], []), ([5030, 5031], []),
]

# Seconds until all shards are done, one of them twice, on a machine that is busy. The Job
# waits 10 s before it repeats one.
SWEEPING = 240


def start_targets():
    """Early, because they take a while."""
    for number, (ports, let_through) in enumerate(TARGETS):
        name = f"target-{number}"
        env = [{"name": "PORTS", "value": ",".join(map(str, ports))}]
        pods.start(pods.pod(name, "targets.py", labels={"target": name}, env=env))
        if let_through is not None:
            apply(policy(name, let_through))


def policy(name, ports):
    ingress = [{"ports": [{"port": port} for port in ports]}] if ports else []
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": {"target": name}},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }


def truth(addresses):
    """What is open and what is filtered on each address."""
    expected = {}
    for address, (ports, let_through) in zip(addresses, TARGETS):
        reached = PORTS if let_through is None else let_through
        states = {port: "filtered" for port in PORTS if port not in reached}
        expected[address] = {**states, **{port: "open" for port in ports if port in reached}}
    return expected


def check(report, scratch, binary):
    pods.wait_until_ready("app=targets")
    addresses = [target_address(number) for number in range(len(TARGETS))]
    expected = truth(addresses)
    wait_for_policies(addresses)
    deploy(scratch, addresses)
    apply(unsharded())
    victim = until("a shard is half way", 120, half_way)
    kubectl("delete", f"pod/{victim}", "--wait=false", namespace=OWN)
    until("one scan has ended", SWEEPING, unsharded_ended)
    whole = states(kubectl("logs", "unsharded", namespace=OWN), addresses)
    compare(whole, expected, "one scan finds what is there")
    report.passed(f"one scan finds what is open, closed and filtered on {len(addresses)} pods")
    until("the Job has ended", SWEEPING, job_ended)
    if get("job", JOB)["status"].get("failed", 0) < 1:
        raise Failed(f"{victim} was deleted half way, and the Job knows of no failure")
    report.passed(f"the Job has repeated the shard of {victim}, which was deleted half way")
    merged = states(collect(scratch, binary), addresses)
    compare(merged, whole, "the shards find what one scan finds")
    report.passed(f"{SHARDS} shards, merged, find the same")


def target_address(number):
    return get("pod", f"target-{number}")["status"]["podIP"]


def wait_for_policies(addresses):
    """A new network policy takes a while."""
    filtered = [
        (address, port)
        for address, (ports, let_through) in zip(addresses, TARGETS) if let_through is not None
        for port in ports if port not in let_through
    ]

    def hold():
        done = kubectl("exec", "target-0", "--", "python3", "-I", "-S", "-c", TRY, json.dumps(filtered),
                       namespace=OWN)
        return done.strip() == "[]"
    until("the network policies hold", 60, hold)


# Prints which of some addresses and ports can be reached.
TRY = """
import json, socket, sys
def reached(address, port):
    try:
        socket.create_connection((address, port), 1).close()
        return True
    except OSError:
        return False
print(json.dumps([pair for pair in json.loads(sys.argv[1]) if reached(*pair)]))
"""


def deploy(scratch, addresses):
    """An overlay as the component's README has it, and the changes that it asks for."""
    component = scratch / "kustomize/components/sweep"
    (component / "networks.txt").write_text("".join(f"{address}\n" for address in addresses))
    change(component / "cron-job.yaml", {
        r"completions: \d+": f"completions: {SHARDS}",
        r'value: "\d+"': f'value: "{SHARDS}"',
        r"--top=\d+": f"--ports={PORTS.start}-{PORTS.stop - 1}",
        r"--rate=\d+": f"--rate={RATE}\n                - --details",
    })
    overlay = scratch / "kustomize/overlays/sweep"
    overlay.mkdir()
    example = re.search(r"^```yaml\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)[1]
    (overlay / "kustomization.yaml").write_text(example)
    change(overlay / "kustomization.yaml", {
        "namespace: open-ports-sweep": f"namespace: {OWN}",
        "registry.example.com/open-ports": "open-ports",
        "newTag: 1.2.3": "newTag: dev",
    })
    kubectl("apply", "-k", str(overlay))


def change(path, changes):
    """Replaces patterns, each of which is to be there once."""
    text = path.read_text()
    for pattern, new in changes.items():
        text, count = re.subn(pattern, new, text)
        if count != 1:
            raise Failed(f"{path} has {count} times {pattern!r}, not once")
    path.write_text(text)


def unsharded():
    """A pod like those of the Job that scans all of the list, as fast as it can."""
    template = get("job", JOB)["spec"]["template"]
    spec = template["spec"]
    container = spec["containers"][0]
    kept = [word for word in container["args"] if not word.startswith(("--shard", "--rate"))]
    if len(kept) != len(container["args"]) - 2:
        raise Failed(f"no --shard or no --rate: {container['args']}")
    container["args"] = kept
    # Only labels of the manifests: with those of the Job, it would belong to it.
    labels = {
        name: value for name, value in template["metadata"]["labels"].items() if name.startswith("app.")
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unsharded", "labels": labels}, "spec": spec}


def unsharded_ended():
    phase = get("pod", "unsharded")["status"]["phase"]
    if phase == "Failed":
        raise Failed("one scan without shards failed")
    return phase == "Succeeded"


def job_ended():
    conditions = get("job", JOB)["status"].get("conditions", [])
    held = {condition["type"] for condition in conditions if condition["status"] == "True"}
    if "Failed" in held:
        raise Failed(f"the Job has failed: {conditions}")
    return "Complete" in held


def half_way():
    """A pod of the Job that has printed something and is not done."""
    try:
        log = kubectl("logs", "-l", OF_JOB, "--prefix", "--tail=-1", namespace=OWN)
    except Failed:
        # A container does not run yet.
        return None
    begun, done = set(), set()
    for line in log.splitlines():
        name = line.split("/")[1]
        (done if '"type":"end"' in line else begun).add(name)
    return min(begun - done, default=None)


def collect(scratch, binary):
    """Collects and merges as the README of the component says; returns the merged report."""
    folder = scratch / "reports"
    folder.mkdir()
    config = folder / "kubeconfig"
    config.write_text(kubectl("config", "view", "--raw", "--flatten"))
    kubectl("config", "set-context", "--current", f"--namespace={OWN}", f"--kubeconfig={config}")
    section = README.read_text().partition("## Collecting and merging\n")[2]
    lines = re.findall(r"^\$ (.*)$", section, re.MULTILINE)
    environment = {**os.environ, "KUBECONFIG": str(config), "PATH": f"{binary.parent}:{os.environ['PATH']}"}
    run(["bash", "-euo", "pipefail", "-c", "\n".join(lines[:3])], cwd=folder, env=environment, timeout=120)
    return (folder / "found.ndjson").read_text()


def states(text, addresses):
    """The ports of each address that are not closed, in a complete report."""
    found = {address: {} for address in addresses}
    # A pod's log has lines of standard error too, such as on hosts that gave no answer.
    records = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    summary = records[-1].get("summary") if records else None
    if not summary or not summary["complete"]:
        raise Failed(f"the report is not complete: {summary}")
    for record in records[:-1]:
        # There may be others, on progress.
        if record["type"] != "port":
            continue
        ports = found[record["host"]]
        if record["port"] in ports:
            raise Failed(f"there twice: {record}")
        ports[record["port"]] = record["state"]
    counts = {state: sum(list(ports.values()).count(state) for ports in found.values())
              for state in ("open", "filtered")}
    counts["closed"] = len(addresses) * len(PORTS) - sum(counts.values())
    wrong = {state: summary[state] for state, count in counts.items() if summary[state] != count}
    if wrong or summary["not_scanned"]:
        raise Failed(f"the summary does not fit the findings, {counts}: {summary}")
    return found


def compare(found, expected, what):
    for address, states_expected in expected.items():
        if found[address] != states_expected:
            differ = sorted(set(found[address].items()) ^ set(states_expected.items()))
            raise Failed(f"{what}: {address} differs: {differ[:10]}")
