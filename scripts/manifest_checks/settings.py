"""Flags and environment variables: what the manifests and docs/service.md say of
them, against the binary and src/limits.rs."""

import json
import os
import re
import subprocess
from pathlib import Path

from manifest_checks.pods import pod_template, settings_of

# What the environment of a pod may hold beside settings.
OTHERS = {"PORT"}


class Binary:
    """The service as built, asked what it knows."""

    def __init__(self):
        self.path = os.environ["OPEN_PORTS"]
        run = subprocess.run([self.path, "serve", "--help"], capture_output=True, text=True)
        options = run.stdout.split("Options:")[1]
        entries = re.findall(r"^ {2,6}(?:-., )?--([a-z-]+)(?: <[^>]*>)?\s+(.*(?:\n {20,}.*)*)", options, re.MULTILINE)
        self.help = {flag: " ".join(text.split()) for flag, text in entries if flag != "help"}
        assert len(self.help) > 10, run.stdout + run.stderr

    def variables(self):
        return {variable(flag) for flag in self.help}

    def start(self, environment):
        """Starts the service; the process and its first line of log."""
        process = subprocess.Popen(
            [self.path], env={"OPEN_PORTS_LOG_FORMAT": "json", **environment},
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )
        return process, process.stderr.readline()

    def first_line(self, environment):
        process, line = self.start(environment)
        stop(process)
        return line


def stop(process):
    process.kill()
    process.wait()
    process.stderr.close()


def variable(flag):
    return "OPEN_PORTS_" + flag.upper().replace("-", "_")


def check(findings, objects, binary):
    """Settings of the rendered objects: known, and accepted with their values."""
    settings = settings_of(objects)
    containers = [
        container
        for template in map(pod_template, objects)
        if template
        for container in template["spec"]["containers"]
    ]
    given = {entry["name"]: entry["value"] for container in containers for entry in container.get("env", [])}
    for name in {**settings, **given}:
        known = name in binary.variables() | OTHERS
        findings.expect(known, f"the binary does not know the variable {name}")
    for container in containers:
        for argument in container.get("args", []):
            flag = re.match(r"--([a-z-]+)", argument)
            findings.expect(flag and flag[1] in binary.help, f"unknown flag {argument}")
        # A name in the image's own configuration cannot be wrong here.
        findings.expect("command" not in container, "the image has an entry point")
    tokens = settings.pop("OPEN_PORTS_TOKENS", None)
    if tokens:
        mounts = [mount for container in containers for mount in container["volumeMounts"]]
        folder = str(Path(tokens).parent)
        findings.expect(folder in [mount["mountPath"] for mount in mounts], f"{tokens} not mounted")
    environment = {"PORT": "8080", **given, **settings}
    if "OPEN_PORTS_ALLOW" not in environment:
        # Without an overlay nobody says what may be scanned; that has to stop it.
        line = binary.first_line(environment)
        findings.expect("say what they may scan" in line, f"starts without an allow list: {line}")
        environment["OPEN_PORTS_ALLOW"] = "loopback"
    # The values: the binary itself is to take them, on ports that are free here.
    for name in ("OPEN_PORTS_LISTEN", "OPEN_PORTS_METRICS_LISTEN"):
        environment[name] = "127.0.0.1:0"
    line = binary.first_line(environment)
    findings.expect("serving" in line, f"the binary does not start: {line}")


def check_documentation(findings, binary):
    """The table of docs/service.md against --help, and both against src/limits.rs."""
    findings.look_at("docs/service.md")
    text = Path("docs/service.md").read_text()
    table = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", text, re.DOTALL)
    if not findings.expect(table, "no table between <!-- settings --> and <!-- /settings -->"):
        return
    rows = {}
    for line in table[1].splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        flag, name, meaning, default = cells
        flag = flag.strip("`").removeprefix("--")
        rows[flag] = default.replace("`", "")
        findings.equal(name.strip("`"), variable(flag), f"variable of --{flag}")
        findings.expect(meaning, f"--{flag} has no meaning")
    findings.equal(sorted(rows), sorted(binary.help), "flags in docs/service.md")
    limits = Path("src/limits.rs").read_text()
    for flag in rows.keys() & binary.help.keys():
        told = defaults_in(binary.help[flag])
        constant = default_in(limits, flag)
        documented = rows[flag]
        if constant is not None:
            findings.equal(documented, constant, f"default of --{flag} in docs/service.md")
            findings.expect(constant in told, f"--help of --{flag} does not say (default: {constant}): {told}")
        elif documented and documented[0].isdigit():
            findings.expect(documented in told, f"--help of --{flag} does not say (default: {documented})")


def defaults_in(text):
    """The default at the end of a flag's help: `most concurrent scans (default: 16)`."""
    return re.findall(r"\(default: ([^)]*)\)", text)


def default_in(limits, flag):
    """The default of a setting in src/limits.rs, as people write it."""
    name = "DEFAULT_" + flag.upper().replace("-", "_")
    found = re.search(rf"pub const {name}: \w+ =\s*([^;]+);", limits)
    if not found:
        return None
    value = found[1]
    if seconds := re.fullmatch(r"Duration::from_secs\((\d+)\)", value):
        return seconds[1]
    if milliseconds := re.fullmatch(r"Duration::from_millis\((\d+)\)", value):
        return str(int(milliseconds[1]) / 1000)
    if port := re.search(r"Ipv4Addr::LOCALHOST\), (\d+)\)", value):
        return f"127.0.0.1:{port[1]}"
    return value.replace("_", "")


def listen_address(line):
    return json.loads(line)["listen"]
