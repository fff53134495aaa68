"""Renders the manifests and runs every check on them."""

import sys
import tempfile
from pathlib import Path

from manifest_checks import alerts, krew, links, pods, render, schemas, settings, sweeps, vantages
from manifest_checks.findings import Findings


def main():
    findings = Findings()
    binary = settings.Binary()
    settings.check_documentation(findings, binary)
    with tempfile.TemporaryDirectory() as scratch:
        renderings = render.all_renderings(findings, Path(scratch))
        for name, objects in renderings.items():
            findings.look_at(name)
            schemas.check(findings, objects)
            pods.check(findings, objects)
            # Not all have the service.
            if any(map(pods.pod_template, objects)):
                links.check(findings, objects)
                settings.check(findings, objects, binary)
            sweeps.check(findings, objects, binary, Path(scratch))
            vantages.check(findings, objects, binary)
        render.check_overlays(findings, renderings)
        findings.look_at("krew")
        krew.check(findings, Path(scratch))
        findings.look_at("monitoring")
        alerts.check(findings, renderings["component monitoring"], binary, Path(scratch))
    return findings.conclude()


sys.exit(main())
