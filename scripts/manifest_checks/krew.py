"""The manifest for krew: by the rules of its format, and installed as krew does it."""

import re
import subprocess
import tarfile
from pathlib import Path

import jsonschema
import yaml

# Of archives that are nowhere.
URL = "https://example.com/releases/"

TEXT = {"type": "string", "minLength": 1}

# https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/, and what krew's own
# validation asks for (internal/index/validation).
SCHEMA = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "krew.googlecontainertools.github.com/v1alpha2"},
        "kind": {"const": "Plugin"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string", "pattern": "^[a-z0-9-]+$"}},
        },
        "spec": {
            "type": "object",
            "required": ["version", "shortDescription", "platforms"],
            "additionalProperties": False,
            "properties": {
                "version": {"type": "string", "pattern": r"^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$"},
                # Of one line in `kubectl krew search`.
                "shortDescription": {"type": "string", "pattern": "^[^\r\n]{1,60}$"},
                "description": TEXT,
                "caveats": TEXT,
                "homepage": {"type": "string", "pattern": "^https://"},
                "platforms": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["selector", "uri", "sha256", "files", "bin"],
                        "additionalProperties": False,
                        "properties": {
                            "selector": {
                                "type": "object",
                                "required": ["matchLabels"],
                                "additionalProperties": False,
                                "properties": {
                                    "matchLabels": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "os": {"enum": ["linux", "darwin", "windows"]},
                                            "arch": {"enum": ["amd64", "arm64", "arm", "386"]},
                                        },
                                    },
                                },
                            },
                            "uri": {"type": "string", "pattern": r"^https://.+\.(tar\.gz|zip)$"},
                            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                            "files": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "object",
                                    "required": ["from", "to"],
                                    "additionalProperties": False,
                                    "properties": {"from": TEXT, "to": TEXT},
                                },
                            },
                            "bin": TEXT,
                        },
                    },
                },
            },
        },
    },
}


def check(findings, scratch):
    folder = scratch / "krew"
    folder.mkdir()
    version = re.search(r'^version = "(.*)"', Path("Cargo.toml").read_text(), re.MULTILINE)[1]
    contents = files_of_dist()
    for architecture in ("amd64", "arm64"):
        root = f"open-ports-{version}-linux-{architecture}"
        with tarfile.open(folder / f"{root}.tar.gz", "w:gz") as tar:
            for name in contents:
                tar.addfile(tarfile.TarInfo(f"{root}/{name}"))
    run = subprocess.run(["scripts/krew", str(folder), URL], capture_output=True, text=True)
    findings.equal((run.returncode, run.stderr), (0, ""), "scripts/krew")
    manifest = yaml.safe_load((folder / "open-ports.yaml").read_text())
    errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(manifest)
    problems = [f"{error.json_path}: {error.message}" for error in errors]
    findings.expect(not problems, f"the manifest: {problems}")
    platforms = manifest["spec"]["platforms"]
    findings.equal(len(platforms), 2, "platforms")
    for platform in platforms:
        findings.expect(platform["uri"].startswith(URL), f"another place: {platform['uri']}")
        with tarfile.open(folder / platform["uri"].rsplit("/", 1)[1]) as tar:
            there = tar.getnames()
        installed = set()
        for rule in platform["files"]:
            findings.expect(rule["from"] in there, f"the archive has no {rule['from']}")
            findings.equal(rule["to"], ".", "where it goes")
            installed.add(rule["from"].rsplit("/", 1)[1])
        findings.expect(platform["bin"] in installed, "the program is not installed")
        findings.expect({"LICENSE-MIT", "LICENSE-APACHE"} <= installed, "no licence is installed")


def files_of_dist():
    """What scripts/dist puts into an archive."""
    copied = re.search(r'^ *cp (.*) "\$work/\$name"$',
                       Path("scripts/dist").read_text(), re.MULTILINE)
    return ["open-ports", *copied[1].split()]
