"""The part of scripts/probe that runs in the namespace: a service, a Prometheus, listeners."""

import contextlib
import json
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

PROMETHEUS = "127.0.0.9:9099"

MONITORING = Path("kustomize/components/monitoring")

# What the scrape config of docs/service.md expects.
EXPECTED = [("db.internal", 22), ("db.internal", 5432), ("web.internal", 22), ("web.internal", 443)]

# Every step takes seconds; on a busy machine it may take longer.
PATIENCE = 120


def main():
    program, scratch = sys.argv[1], Path(sys.argv[2])
    with contextlib.ExitStack() as stack:
        for host, port in EXPECTED:
            stack.enter_context(listener(host, port))
        service = [program, "serve", "--listen", "127.0.0.8:8080"]
        service += ["--host", "open-ports", "--allow", "loopback", "--log", "error"]
        stack.enter_context(running(service, env={}))
        wait_for("the service", lambda: can_connect("open-ports", 8080))
        prometheus = stack.enter_context(running(write_config(scratch, documented())))
        wait_for("Prometheus", lambda: ask("query", query="1"))

        wait_for("every probe to succeed", lambda: values("probe_success") == dict.fromkeys(TARGETS, 1.0))
        assert not firing(), firing()
        with listener("db.internal", 4444):
            wait_for("the alert", lambda: firing() == [("OpenPortsUnexpected", "db.internal")])
            named = ask("query", query="probe_unexpected_port")
            assert [found["metric"]["port"] for found in named] == ["4444"], named
        wait_for("the end of the alert", lambda: not firing())
        print("an alert fired when a listener opened, and ended when it closed")

        queries = dashboard()
        for query in queries:
            wait_for(f"a result of {query}", lambda: traffic() and ask("query", query=query))
        print(f"all {len(queries)} queries of the dashboard found something")

        stack.enter_context(accepting("127.0.0.1", 7))
        # One at a time, so that each has the machine to itself.
        for target, state in RANGES:
            write_config(scratch, of_all_ports(target))
            prometheus.send_signal(signal.SIGHUP)
            wait_for(f"a scrape of {target}", lambda: values("probe_complete").get(target) is not None)
            complete, ports = values("probe_complete")[target], values(f'probe_ports{{state="{state}"}}')[target]
            took = values("scrape_duration_seconds")[target]
            print(f"65,535 ports of {target}: {took:.2f} s, {ports:.0f} {state}, complete {complete:.0f}")
            assert (complete, ports) == (1, 65535), target
            assert values("scrape_samples_scraped")[target] <= 100


TARGETS = ["db.internal", "db.internal:5432", "web.internal", "web.internal:443"]

RANGES = [
    ("refusing.internal", "closed"),
    ("accepting.internal", "open"),
    ("silent.internal", "filtered"),
]


def documented():
    """The scrape config of docs/service.md, with shorter intervals."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", Path("docs/service.md").read_text(), re.MULTILINE | re.DOTALL)
    [block] = [block for block in blocks if "metrics_path: /probe" in block]
    jobs = yaml.safe_load(block)["scrape_configs"]
    for job in jobs:
        if job.get("scrape_interval") == "1m":
            job["scrape_interval"] = job["scrape_timeout"]
        # As the operator does it.
        for group in job["static_configs"]:
            group.setdefault("labels", {})["namespace"] = "scan"
    found = {target for job in jobs for group in job["static_configs"] for target in group["targets"]}
    assert found == set(TARGETS), found
    return jobs


def of_all_ports(host):
    """The documented job that scrapes all ports, of this host."""
    [job] = [job for job in documented() if job["job_name"] == "ports"]
    return [{**job, "static_configs": [{"targets": [host]}]}]


def write_config(scratch, jobs):
    """Writes the config, and returns the command of a Prometheus that reads it."""
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]
    (scratch / "alerts.rules.yaml").write_text(yaml.safe_dump(rules))
    labels = {"namespace": "scan", "pod": "a"}
    own = {"job_name": "open-ports", "static_configs": [{"targets": ["open-ports:8080"], "labels": labels}]}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.rules.yaml"],
        "scrape_configs": [own, *jobs],
    }
    (scratch / "prometheus.yml").write_text(yaml.safe_dump(config))
    arguments = [f"--config.file={scratch}/prometheus.yml", f"--storage.tsdb.path={scratch}/data"]
    return ["prometheus", *arguments, f"--web.listen-address={PROMETHEUS}", "--log.level=error"]


def dashboard():
    """The queries of all panels, Grafana's variables filled in."""
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    filled = [query.replace("$namespace", "scan").replace("$__rate_interval", "20s") for query in queries]
    assert not any("$" in query for query in filled), filled
    return filled


def traffic():
    """Gives every metric of the service something to count."""
    for target in ("domain=127.0.0.1&ports=1-100", "domain=192.0.2.1&ports=1"):
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://open-ports:8080/open-ports?{target}", timeout=60).read()
    return True


def values(query):
    """The values of a query by instance."""
    return {found["metric"].get("instance"): float(found["value"][1]) for found in ask("query", query=query)}


def firing():
    alerts = ask("alerts")["alerts"]
    return [
        (alert["labels"]["alertname"], alert["labels"].get("instance"))
        for alert in alerts
        if alert["state"] == "firing"
    ]


def ask(what, **parameters):
    """What Prometheus replies; nothing while it starts."""
    url = f"http://{PROMETHEUS}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
    try:
        reply = json.load(urllib.request.urlopen(url, timeout=60))
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return []
        raise SystemExit(f"{what} {parameters}: {error.read().decode()}") from error
    except OSError:
        return []
    assert reply["status"] == "success", reply
    data = reply["data"]
    return data["result"] if what == "query" else data


def wait_for(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {PATIENCE} s: {what}\nprobes: {values('probe_success')}, alerts: {firing()}")
        time.sleep(0.1)


def can_connect(host, port):
    with contextlib.suppress(OSError), socket.create_connection((host, port)):
        return True
    return False


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def listener(host, port):
    with socket.create_server((host, port), backlog=1024):
        yield


@contextlib.contextmanager
def accepting(host, port):
    """A listener that accepts all connections, so that its queue is never full."""
    with socket.create_server((host, port), backlog=4096) as server:
        server.setblocking(False)
        stop, stopped = socket.socketpair()
        thread = threading.Thread(target=accept_all, args=(server, stopped))
        thread.start()
        try:
            yield
        finally:
            stop.send(b".")
            thread.join()


def accept_all(server, stopped):
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        selector.register(stopped, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is stopped:
                    return
                with contextlib.suppress(OSError):
                    while True:
                        server.accept()[0].close()


main()
