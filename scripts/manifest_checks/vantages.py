"""The DaemonSet of vantages: pods beside those of the service, under its network policy,
with its settings, and found by the name that the settings have."""

from manifest_checks.pods import check_pod, settings_of

LABEL = "app.kubernetes.io/name"
NAME = "open-ports-vantages"

# What a row of the matrix says, and where the downward API has it.
PLACE = {
    "OPEN_PORTS_POD": "metadata.name",
    "OPEN_PORTS_NAMESPACE": "metadata.namespace",
    "OPEN_PORTS_NODE": "spec.nodeName",
    "OPEN_PORTS_ZONE": "metadata.labels['topology.kubernetes.io/zone']",
}


def is_of_vantages(service):
    return service["spec"].get("selector", {}).get(LABEL) == NAME


def check(findings, objects, binary):
    sets = [thing for thing in objects if thing["kind"] == "DaemonSet"]
    if not sets:
        return
    findings.equal(len(sets), 1, "DaemonSets")
    template = sets[0]["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    settings = settings_of(objects)
    check_pod(findings, sets[0], pod, settings)
    selector = sets[0]["spec"]["selector"]["matchLabels"]
    findings.expect(selector.items() <= labels.items(), "DaemonSet: selects no pod")
    for kind in ("Deployment", "PodDisruptionBudget"):
        for thing in (thing for thing in objects if thing["kind"] == kind):
            other = thing["spec"]["selector"]["matchLabels"]
            findings.expect(not other.items() <= labels.items(), f"{kind} selects the vantages")
    (container,) = pod["containers"]
    found = {
        entry["name"]: entry["valueFrom"]["fieldRef"]["fieldPath"]
        for entry in container["env"] if "valueFrom" in entry
    }
    findings.equal(found, PLACE, "what a vantage says of itself")
    findings.expect(found.keys() <= binary.variables(), "the binary does not know it")
    maps = [thing["metadata"]["name"] for thing in objects if thing["kind"] == "ConfigMap"]
    for source in container["envFrom"]:
        findings.expect(source["configMapRef"]["name"] in maps, "no such ConfigMap")
    check_name(findings, objects, labels, container, settings)
    policies = [thing for thing in objects if thing["kind"] == "NetworkPolicy"]
    over = [
        policy for policy in policies
        if policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()
    ]
    findings.expect(over, "no network policy is over the vantages")
    named = {port["name"] for port in container["ports"]}
    for policy in over:
        lets = [
            port["port"]
            for rule in policy["spec"]["egress"]
            for peer in rule["to"]
            if peer.get("podSelector", {}).get("matchLabels") == selector
            for port in rule["ports"]
        ]
        findings.equal(lets, ["http"], "ports of vantages that the service may ask")
        findings.expect(set(lets) <= named, "NetworkPolicy: no such port")


def check_name(findings, objects, labels, container, settings):
    """The peers are a headless Service over these pods."""
    host, _, port = settings["OPEN_PORTS_PEERS"].partition(":")
    services = [
        thing for thing in objects
        if thing["kind"] == "Service" and thing["metadata"]["name"] == host
    ]
    if not findings.equal(len(services), 1, "Services that are the peers"):
        return
    spec = services[0]["spec"]
    findings.equal(spec.get("clusterIP"), "None", "an address that hides the peers")
    findings.expect(spec["selector"].items() <= labels.items(), "Service: selects no vantage")
    ports = {known["name"]: known["containerPort"] for known in container["ports"]}
    findings.equal(ports.get("http"), int(port), "port of the peers")
    for known in spec["ports"]:
        findings.equal(ports.get(known["targetPort"]), known["port"], "port of the headless Service")
