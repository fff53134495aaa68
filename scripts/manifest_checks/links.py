"""What objects say of each other: selectors, names and ports."""

import ipaddress
import re

from manifest_checks.pods import pod_template, settings_of
from manifest_checks.sweeps import is_of_sweep
from manifest_checks.vantages import is_of_vantages

# As src/policy/rules.rs has them.
PRIVATE = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"}

# Secrets that the user makes.
SECRETS = {"open-ports-tokens"}


def check(findings, objects):
    by_kind = {}
    for thing in objects:
        by_kind.setdefault(thing["kind"], []).append(thing)
    pods = [template for template in map(pod_template, objects) if template]
    findings.equal(len(pods), 1, "kinds of pods")
    pod = pods[0]
    labels = pod["metadata"]["labels"]
    ports = pod["spec"]["containers"][0]["ports"]
    names = {port.get("name") for port in ports}
    core = [thing for thing in by_kind.get("Service", []) if thing["apiVersion"] == "v1"]

    for kind in ("Deployment", "PodDisruptionBudget"):
        for thing in by_kind.get(kind, []):
            selects(findings, kind, thing["spec"]["selector"]["matchLabels"], labels)
    for spread in pod["spec"].get("topologySpreadConstraints", []):
        selects(findings, "topology spread", spread["labelSelector"]["matchLabels"], labels)
    for service in core:
        if is_of_vantages(service):
            continue
        selects(findings, "Service", service["spec"]["selector"], labels)
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            findings.expect(target in names, f"Service: target port {target!r} is none")
    for policy in by_kind.get("NetworkPolicy", []):
        if is_of_sweep(policy):
            continue
        check_network_policy(findings, policy, labels, ports, settings_of(objects))
    for monitor in by_kind.get("ServiceMonitor", []):
        match = monitor["spec"]["selector"]["matchLabels"]
        found = [service for service in core if match.items() <= service["metadata"]["labels"].items()]
        findings.expect(found, "ServiceMonitor: selects no Service")
        named = {port["name"] for service in found for port in service["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            findings.expect(endpoint["port"] in named, f"ServiceMonitor: no port {endpoint['port']}")
    for probe in by_kind.get("Probe", []):
        check_probe(findings, probe, core, settings_of(objects))
    for autoscaler in by_kind.get("HorizontalPodAutoscaler", []):
        target = autoscaler["spec"]["scaleTargetRef"]
        exists(findings, by_kind, target["kind"], target["name"])
        # A number there would undo the autoscaler's with every apply.
        numbers = [thing["spec"].get("replicas") for thing in by_kind.get(target["kind"], [])]
        findings.equal(numbers, [None], "numbers of pods beside an autoscaler")
        least = autoscaler["spec"]["minReplicas"]
        findings.expect(least >= 2, f"HorizontalPodAutoscaler: {least} pods at least")
    for route in by_kind.get("HTTPRoute", []):
        check_route(findings, route, core, settings_of(objects))

    exists(findings, by_kind, "ServiceAccount", pod["spec"]["serviceAccountName"])
    for account in by_kind["ServiceAccount"]:
        findings.equal(account.get("automountServiceAccountToken"), False, "token of the account")
    if priority := pod["spec"].get("priorityClassName"):
        exists(findings, by_kind, "PriorityClass", priority)
    for source in pod["spec"]["containers"][0].get("envFrom", []):
        name = source["configMapRef"]["name"]
        exists(findings, by_kind, "ConfigMap", name)
        findings.expect(re.search(r"-[a-z0-9]{10}$", name), f"ConfigMap {name} has no hash")
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    for mount in pod["spec"]["containers"][0].get("volumeMounts", []):
        findings.expect(mount["name"] in volumes, f"no volume {mount['name']}")
    for volume in volumes.values():
        if secret := volume.get("secret"):
            findings.expect(secret["secretName"] in SECRETS, f"Secret {secret['secretName']}")
    for thing in objects:
        own = thing["metadata"].get("labels", {})
        if thing["kind"] not in ("Namespace", "PriorityClass"):
            name = own.get("app.kubernetes.io/name")
            findings.equal(name, "open-ports", f"{thing['kind']}: app.kubernetes.io/name")


def selects(findings, what, selector, labels):
    findings.expect(selector and selector.items() <= labels.items(), f"{what}: selects no pod")


def exists(findings, by_kind, kind, name):
    names = [thing["metadata"]["name"] for thing in by_kind.get(kind, [])]
    findings.expect(name in names, f"there is no {kind} {name}, only {names}")


def check_network_policy(findings, policy, labels, ports, settings):
    spec = policy["spec"]
    selects(findings, "NetworkPolicy", spec["podSelector"]["matchLabels"], labels)
    findings.equal(sorted(spec["policyTypes"]), ["Egress", "Ingress"], "denied by default")
    names = {port.get("name") for port in ports}
    for rule in spec["ingress"]:
        findings.expect(rule.get("from"), "NetworkPolicy: anybody may come in")
        for port in rule["ports"]:
            known = isinstance(port["port"], int) or port["port"] in names
            findings.expect(known, f"NetworkPolicy: port {port['port']!r} is none")
    peers = [peer for rule in spec["egress"] for peer in rule["to"]]
    # Pods of another namespace: those of its own are other instances.
    others = [peer for peer in peers if "podSelector" in peer and "namespaceSelector" in peer]
    dns = [peer["podSelector"]["matchLabels"] for peer in others]
    findings.equal(dns, [{"k8s-app": "kube-dns"}], "NetworkPolicy: pods that answer DNS")
    networks = {peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer}
    for network in networks:
        ipaddress.ip_network(network)
    # What the service may scan, the network has to let through, and no more.
    allowed = set(filter(None, settings.get("OPEN_PORTS_ALLOW", "").split(",")))
    expanded = set()
    for rule in allowed - {"loopback"}:
        expanded |= PRIVATE if rule == "private" else {rule}
    findings.equal(networks - {"169.254.20.10/32"}, expanded, "networks open and networks allowed")


def check_probe(findings, probe, services, settings):
    """Whether Prometheus, in its own namespace, finds the service and may ask it."""
    host, port = probe["spec"]["prober"]["url"].split(":")
    name, namespace, _ = host.split(".")
    found = [service for service in services if service["metadata"]["name"] == name]
    ports = [known["port"] for service in found for known in service["spec"]["ports"] if known["name"] == "http"]
    findings.equal(ports, [int(port)], "Probe: ports of the service")
    for service in found:
        where = service["metadata"].get("namespace", namespace)
        findings.equal(namespace, where, "Probe: namespace of the service")
    wants_token = "OPEN_PORTS_TOKENS" in settings
    findings.equal("authorization" in probe["spec"], wants_token, "Probe: a token")


def check_route(findings, route, services, settings):
    for rule in route["spec"]["rules"]:
        seconds = int(re.fullmatch(r"(\d+)s", rule["timeouts"]["request"])[1])
        longest = int(settings.get("OPEN_PORTS_MAX_DEADLINE", 300))
        findings.expect(seconds > longest, "HTTPRoute: the longest scan outlives the request")
        for backend in rule["backendRefs"]:
            ports = [
                port["port"]
                for service in services
                if service["metadata"]["name"] == backend["name"]
                for port in service["spec"]["ports"]
            ]
            findings.expect(backend["port"] in ports, f"HTTPRoute: no such backend: {backend}")
