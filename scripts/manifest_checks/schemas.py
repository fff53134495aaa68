"""Every object against the schema of its kind: those of Kubernetes itself from
kubernetes-validate, those of others from custom-kinds.yaml."""

from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

# The oldest with every field used on by default (preStop.sleep), one from the
# middle of what clusters run, and the newest known.
VERSIONS = ("1.30", "1.34", "1.37")

CUSTOM = yaml.safe_load(Path(__file__).with_name("custom-kinds.yaml").read_text())


def check(findings, objects):
    for thing in objects:
        name = f"{thing['kind']} {thing['metadata']['name']}"
        kind = f"{thing['apiVersion']}/{thing['kind']}"
        if kind in CUSTOM:
            errors = jsonschema.Draft202012Validator(CUSTOM[kind]).iter_errors(thing["spec"])
            problems = [f"{error.json_path}: {error.message}" for error in errors]
            findings.expect(not problems, f"{name}: {problems}")
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
                problem = None
            except kubernetes_validate.ValidationError as error:
                problem = f"{'.'.join(map(str, error.path))}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError as error:
                problem = str(error)
            findings.expect(problem is None, f"{name}, Kubernetes {version}: {problem}")
