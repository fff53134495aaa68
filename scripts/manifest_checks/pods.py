"""Every pod: the Pod Security Standard *restricted*, probes and times."""

# https://kubernetes.io/docs/concepts/security/pod-security-standards/
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"}
VOLUMES |= {"persistentVolumeClaim", "projected", "secret"}


def check(findings, objects):
    for thing in objects:
        template = pod_template(thing)
        if template:
            check_pod(findings, thing, template["spec"], settings_of(objects))


def pod_template(thing):
    if thing["kind"] == "Deployment" or thing["apiVersion"].startswith("serving.knative.dev/"):
        return thing["spec"]["template"]
    return None


def settings_of(objects):
    """The environment that ConfigMaps give to the service."""
    maps = [thing.get("data", {}) for thing in objects if thing["kind"] == "ConfigMap"]
    return {key: value for data in maps for key, value in data.items() if key.isupper()}


def check_pod(findings, thing, pod, settings):
    name = f"{thing['kind']} {thing['metadata']['name']}"
    of_pod = pod.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        findings.expect(not pod.get(key), f"{name}: {key}")
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        findings.expect(kinds <= VOLUMES, f"{name}: volume of kind {kinds}")
    findings.equal(pod.get("automountServiceAccountToken"), False, f"{name}: token mounted")
    findings.equal(pod.get("enableServiceLinks"), False, f"{name}: service links")
    containers = pod.get("initContainers", []) + pod["containers"]
    for container in containers:
        check_restricted(findings, f"{name}, {container['name']}", container, of_pod)
        # The pod of a job ends by itself.
        if pod.get("restartPolicy", "Always") == "Always":
            check_probes(findings, f"{name}, {container['name']}", container)
        resources = container.get("resources", {})
        for kind, needed in (("requests", {"cpu", "memory"}), ("limits", {"memory"})):
            findings.expect(needed <= set(resources.get(kind, {})), f"{name}: {kind}")
    if thing["kind"] == "Deployment":
        check_times(findings, name, pod, settings)


def check_restricted(findings, name, container, of_pod):
    own = container.get("securityContext", {})
    both = {**of_pod, **own}
    findings.equal(own.get("allowPrivilegeEscalation"), False, f"{name}: escalation")
    findings.equal(own.get("readOnlyRootFilesystem"), True, f"{name}: read-only root")
    findings.equal(own.get("capabilities"), {"drop": ["ALL"]}, f"{name}: capabilities")
    findings.expect(not own.get("privileged"), f"{name}: privileged")
    findings.expect("procMount" not in own, f"{name}: procMount")
    findings.equal(both.get("runAsNonRoot"), True, f"{name}: runAsNonRoot")
    findings.equal(both.get("runAsUser"), 65532, f"{name}: user")
    findings.equal(both.get("seccompProfile"), {"type": "RuntimeDefault"}, f"{name}: seccomp")
    findings.expect("hostPort" not in str(container.get("ports")), f"{name}: hostPort")


def check_probes(findings, name, container):
    ports = container.get("ports", [])
    known = {port.get("name") for port in ports} | {port["containerPort"] for port in ports}
    paths = {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    for probe, path in paths.items():
        get = container.get(probe, {}).get("httpGet")
        if get is None:
            # Knative has no start-up probe of the user's.
            findings.expect(probe == "startupProbe" and len(ports) == 1, f"{name}: no {probe}")
            continue
        findings.equal(get.get("path"), path, f"{name}: path of the {probe}")
        port = get.get("port", next(iter(known)))
        findings.expect(port in known, f"{name}: {probe} asks port {port!r}, which is none")


def check_times(findings, name, pod, settings):
    pre_stop = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    keys = [f"OPEN_PORTS_{key}" for key in ("DRAIN_DELAY", "GRACE", "MAX_DEADLINE")]
    if not findings.expect(settings.keys() >= set(keys), f"{name}: not all of {keys} are set"):
        return
    drain, grace, longest = (int(settings[key]) for key in keys)
    findings.expect(grace > longest, f"{name}: the longest scan ({longest} s) outlives the grace")
    needed = pre_stop + drain + grace
    findings.expect(
        pod["terminationGracePeriodSeconds"] > needed, f"{name}: killed before {needed} s are over"
    )
