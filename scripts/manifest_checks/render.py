"""From kustomizations to objects."""

import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path("kustomize")


def all_renderings(findings, scratch):
    """Both overlays, the base, and the base with each component alone, by name."""
    sources = {f"overlay {path.name}": path for path in sorted((ROOT / "overlays").iterdir())}
    sources["base"] = ROOT / "base"
    # kustomize takes no absolute paths, and wants everything below one root.
    tree = scratch / "kustomize"
    shutil.copytree(ROOT, tree)
    for component in sorted((ROOT / "components").iterdir()):
        alone = tree / f"alone-{component.name}"
        alone.mkdir()
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../base"],
            "components": [f"../components/{component.name}"],
        }
        (alone / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        sources[f"component {component.name}"] = alone
    # This one needs no base.
    alone = tree / "sweep-only"
    alone.mkdir()
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "open-ports-sweep",
        "components": ["../components/sweep"],
    }
    (alone / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    sources["sweep without the base"] = alone
    renderings = {}
    for name, path in sources.items():
        findings.look_at(f"render {name}")
        renderings[name] = render(findings, path)
    return renderings


def render(findings, path):
    build = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    run = subprocess.run([*build, str(path)], capture_output=True, text=True)
    findings.equal(run.returncode, 0, "exit status of kustomize")
    # Deprecated fields are warned of, here.
    findings.equal(run.stderr, "", "warnings of kustomize")
    objects = [loaded for loaded in yaml.safe_load_all(run.stdout) if loaded]
    findings.expect(objects, "nothing was rendered")
    names = [(thing["apiVersion"], thing["kind"], thing["metadata"]["name"]) for thing in objects]
    findings.equal(len(set(names)), len(names), "different objects")
    return objects


def check_overlays(findings, renderings):
    """What each overlay is there for."""
    for name in ("overlay dev", "overlay prod"):
        findings.look_at(name)
        objects = renderings[name]
        namespace = one(objects, "Namespace")
        labels = namespace["metadata"]["labels"]
        findings.equal(labels.get("pod-security.kubernetes.io/enforce"), "restricted", "enforced")
        for thing in objects:
            if thing["kind"] not in ("Namespace", "PriorityClass"):
                where = thing["metadata"].get("namespace")
                findings.equal(where, namespace["metadata"]["name"], f"{thing['kind']}'s namespace")

    findings.look_at("overlay dev")
    dev = one(renderings["overlay dev"], "Deployment")
    findings.equal(dev["spec"]["replicas"], 1, "replicas")
    findings.expect(image(dev).endswith(":dev"), f"not tagged dev: {image(dev)}")

    findings.look_at("overlay prod")
    objects = renderings["overlay prod"]
    prod = one(objects, "Deployment")
    findings.expect("@sha256:" in image(prod), f"not pinned by digest: {image(prod)}")
    findings.expect("replicas" not in prod["spec"], "replicas fight with the autoscaler")
    autoscaler = one(objects, "HorizontalPodAutoscaler")
    findings.equal(autoscaler["spec"]["minReplicas"], 3, "replicas at least")
    for kind in ("PodDisruptionBudget", "ServiceMonitor", "PrometheusRule", "PriorityClass"):
        one(objects, kind)
    findings.expect(
        any("OPEN_PORTS_TOKENS" in thing.get("data", {}) for thing in objects), "no tokens wanted"
    )


def one(objects, kind):
    found = [thing for thing in objects if thing["kind"] == kind]
    if len(found) != 1:
        raise SystemExit(f"expected one {kind}, found {len(found)}")
    return found[0]


def image(deployment):
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]
