"""The service and listeners, for scripts/page.py."""

import contextlib
import http.server
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PROGRAM, SCRATCH, PICTURES = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

# One with 101 open ports, one with two and a firewall, one that never answers.
HOST, WALLED, SILENT = "127.0.0.20", "127.0.0.32", "127.0.0.33"
OPEN = sorted({22, 80, 443, 5432, 6379, 8080} | {4001 + 613 * n for n in range(95)})
# What the pictures show.
NODE = [22, 80, 443, 5432, 8080, 9100, 10250]
BOTH = {"127.0.0.21": [22, 8443], "::1": [22, 9100]}

# A step takes a second or two; on a busy machine it may take longer.
PATIENCE = 60


class Service:
    """A service that runs."""

    def __init__(self, url):
        self.url = url

    def get(self, path, **parameters):
        url = f"{self.url}{path}?{urllib.parse.urlencode(parameters)}"
        return json.load(urllib.request.urlopen(url, timeout=PATIENCE))

    def problem(self, path, **parameters):
        try:
            return self.get(path, **parameters)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def metric(self, pattern):
        """The sum of the metrics that match."""
        text = urllib.request.urlopen(f"{self.url}/metrics", timeout=PATIENCE).read().decode()
        return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))

    def probes(self):
        return self.metric("open_ports_probes_in_flight")

    def requests(self, status=r"\d+"):
        """How many scans and watches were asked for, and had a reply with this status."""
        labels = rf'route="/(?:open-ports|watch|sweep)",status="{status}"'
        return self.metric(rf"open_ports_http_requests_total\{{{labels}\}}")


@contextlib.contextmanager
def serving(name, *more, listen="127.0.0.1:0"):
    """A service that runs."""
    log = SCRATCH / f"{name}.log"
    command = [PROGRAM, "serve", "--listen", listen, "--log-format", "json", *more]
    with log.open("w") as stderr:
        process = subprocess.Popen(command, env={}, stderr=stderr)
    try:
        found = []
        begun = re.compile(r'"message":"serving","listen":"([^"]*)"')
        wait_until("the service", lambda: found.extend(begun.findall(log.read_text())) or found)
        yield Service(f"http://{found[0]}")
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def listener(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024):
        yield


@contextlib.contextmanager
def hosting(host, html):
    """A site with one page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer((host, 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://{host}:{server.server_port}/"
        finally:
            server.shutdown()


def wait_until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {PATIENCE} s: {what}")
        time.sleep(0.02)
