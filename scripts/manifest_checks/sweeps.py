"""The Job and the CronJob that sweep networks in shards: what Kubernetes repeats, and
whether the binary takes their command line."""

import ipaddress
import os
import re
import subprocess

from manifest_checks.pods import check_pod

# What the command says of itself with its status: another scan would not change it.
RESULTS = {2, 3, 4, 5}

LABEL = "app.kubernetes.io/name"
NAME = "open-ports-sweep"


def is_of_sweep(policy):
    return policy["spec"]["podSelector"].get("matchLabels", {}).get(LABEL) == NAME


def check(findings, objects, binary, scratch):
    jobs = {thing["kind"]: job for thing in objects if (job := job_spec(thing))}
    if not jobs:
        return
    if not findings.equal(sorted(jobs), ["CronJob", "Job"], "kinds of jobs"):
        return
    findings.equal(jobs["Job"], jobs["CronJob"], "the Job and what the CronJob starts")
    cron = next(thing for thing in objects if thing["kind"] == "CronJob")
    findings.equal(cron["spec"]["suspend"], True, "suspended until somebody says when")
    job = jobs["Job"]
    check_pod(findings, cron, job["template"]["spec"], {})
    check_repeats(findings, job)
    check_objects(findings, objects, job)
    check_command(findings, objects, job, binary, scratch)


def job_spec(thing):
    return {
        "Job": lambda: thing["spec"],
        "CronJob": lambda: thing["spec"]["jobTemplate"]["spec"],
    }.get(thing["kind"], lambda: None)()


def check_repeats(findings, job):
    """A lost pod repeats its shard alone, and a result is never repeated."""
    findings.equal(job["completionMode"], "Indexed", "completion mode")
    findings.expect(job["backoffLimitPerIndex"] > 0, "a lost shard is not repeated")
    findings.expect("backoffLimit" not in job, "shards share a limit")
    findings.expect(0 < job["parallelism"] <= job["completions"], "pods at a time")
    findings.equal(job["template"]["spec"]["restartPolicy"], "Never", "restart policy")
    shards = environment(job)["OPEN_PORTS_SHARDS"]
    findings.equal(int(shards), job["completions"], "OPEN_PORTS_SHARDS and completions")
    repeated = [rule for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "Ignore"]
    types = [condition["type"] for rule in repeated for condition in rule["onPodConditions"]]
    findings.equal(types, ["DisruptionTarget"], "conditions that count as no failure")
    final = [rule for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailIndex"]
    names = {container["name"] for container in job["template"]["spec"]["containers"]}
    values = set()
    for rule in final:
        findings.equal(rule["onExitCodes"]["operator"], "In", "statuses that are results")
        findings.expect(rule["onExitCodes"]["containerName"] in names, "no such container")
        values |= set(rule["onExitCodes"]["values"])
    findings.equal(values, RESULTS, "statuses that are results")


def check_objects(findings, objects, job):
    by_kind = {}
    for thing in objects:
        by_kind.setdefault(thing["kind"], {})[thing["metadata"]["name"]] = thing
    pod, labels = job["template"]["spec"], job["template"]["metadata"]["labels"]
    findings.equal(labels[LABEL], NAME, "label of the pods")
    for kind in ("Deployment", "PodDisruptionBudget"):
        for thing in by_kind.get(kind, {}).values():
            selector = thing["spec"]["selector"]["matchLabels"]
            findings.expect(not selector.items() <= labels.items(), f"{kind} selects the pods")
    for service in by_kind.get("Service", {}).values():
        selector = service["spec"].get("selector")
        findings.expect(not selector or not selector.items() <= labels.items(), "Service selects the pods")
    account = by_kind["ServiceAccount"].get(pod["serviceAccountName"], {})
    findings.equal(account.get("automountServiceAccountToken"), False, "token of the account")
    policies = list(filter(is_of_sweep, by_kind["NetworkPolicy"].values()))
    if not findings.equal(len(policies), 1, "network policies of the pods"):
        return
    spec = policies[0]["spec"]
    findings.equal(sorted(spec["policyTypes"]), ["Egress", "Ingress"], "denied by default")
    findings.equal(spec.get("ingress") or [], [], "who may come in")
    open_to = [
        ipaddress.ip_network(peer["ipBlock"]["cidr"])
        for rule in spec["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    for network in networks(objects, job):
        inside = any(
            network.version == wide.version and network.subnet_of(wide) for wide in open_to
        )
        findings.expect(inside, f"NetworkPolicy: {network} is swept and not let through")


def check_command(findings, objects, job, binary, scratch):
    """The binary itself takes the command line and the list, and sends nothing."""
    (container,) = job["template"]["spec"]["containers"]
    findings.expect("command" not in container, "the image has an entry point")
    path = scratch / "networks.txt"
    path.write_text(list_of(objects, job))
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    arguments, replaced = [], 0
    for argument in container["args"]:
        listed = re.fullmatch(r"--targets=(.*)/networks\.txt", argument)
        if listed:
            findings.expect(listed[1] in mounts, f"{argument} is not mounted")
            replaced += 1
        arguments.append(f"--targets={path}" if listed else argument)
    findings.equal(replaced, 1, "lists of networks")
    findings.expect("--shard=auto" in arguments, "all pods scan the same")
    findings.expect("--format=ndjson" in arguments, "logs that cannot be merged")
    for index in range(job["completions"]):
        run = subprocess.run(
            [binary.path, *arguments, "--dry-run"],
            env={**os.environ, **environment(job), "JOB_COMPLETION_INDEX": str(index)},
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )
        findings.equal((run.returncode, run.stderr), (0, ""), f"dry run of shard {index}")


def environment(job):
    (container,) = job["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def list_of(objects, job):
    """The list that the pods read."""
    names = [
        volume["configMap"]["name"]
        for volume in job["template"]["spec"]["volumes"]
        if "configMap" in volume
    ]
    maps = {thing["metadata"]["name"]: thing for thing in objects if thing["kind"] == "ConfigMap"}
    return maps[names[0]]["data"]["networks.txt"]


def networks(objects, job):
    lines = (line.split("#")[0].split() for line in list_of(objects, job).splitlines())
    return [ipaddress.ip_network(word) for words in lines for word in words]
