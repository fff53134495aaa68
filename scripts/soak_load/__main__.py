"""Runs the soak: see scripts/soak."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from . import side, tokens
from .cgroup import Cgroup
from .network import Network
from .service import MEMORY, Service, knows_its_limit, pipe_without_reader, unread_pipe
from .summary import Outcome
from .tally import Tally

# How long the service may take to release what the load left behind: it gives up a
# reply that nobody reads after 60 s.
SETTLING = 90

# The grace period of 30 s, and some seconds.
STOPPING = 35

# The modules that each make a part of the load.
KINDS = ["scans", "hostile", "big", "tokens", "side", "health"]


def python(network, *words, first=(), **options):
    """A process of the load in the near namespace, or in the one that `words` names."""
    namespace = network.far if words[-1] == "far" else network.near
    return subprocess.Popen(
        [*first, "setpriv", "--pdeathsig", "KILL", *network.inside(namespace),
         sys.executable, "-B", "-m", *words], start_new_session=True, **options)


def ended(process):
    if process.poll() is None:
        process.kill()
    process.wait()


def start_targets(network, stack):
    for place in ("near", "far"):
        process = python(network, "soak_load.targets", place, stdout=subprocess.PIPE, text=True)
        stack.callback(ended, process)
        if process.stdout.readline() != "ready\n":
            sys.exit(f"the {place} targets do not start")


def start_services(options, network, token_file, stack):
    def start(name, address, stderr, *arguments):
        cgroup = stack.enter_context(Cgroup(name, MEMORY))
        service = Service(options.binary, address, network.inside(network.near), cgroup, stderr, *arguments)
        stack.callback(service.kill)
        return service

    if options.log:
        writer = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        reader = os.open(options.log, os.O_RDONLY)
    else:
        reader, writer = unread_pipe()
    stack.callback(os.close, reader)
    loaded = start("load", "127.0.0.1", writer, "--tokens", token_file, "--deny", "192.0.2.0/24")
    os.close(writer)
    stderrs = [os.open("/dev/full", os.O_WRONLY), pipe_without_reader()]
    beside = {}
    for (log, address), stderr in zip(side.SERVERS.items(), stderrs):
        beside[log] = start(f"side-{stderr}", address, stderr)
        os.close(stderr)
    if python(network, "soak_load.worker", "warm-up", "0", "").wait():
        sys.exit(1)
    # From now on nobody reads it.
    if not knows_its_limit(os.read(reader, 4096)):
        sys.exit("the service does not know how much memory it has")
    return loaded, beside


def load(options, network, token_file, scratch, stack, watch):
    """Runs half of the load; every second `watch` decides whether it goes on."""
    workers = []
    seconds = options.minutes * 60 / 2
    for kind in KINDS:
        if kind in options.without:
            continue
        # In reality health checks come from another machine, which does not wait for
        # this one's processors.
        first = ["nice", "-n", "-10"] if kind == "health" else []
        output = open(scratch / f"{kind}.json", "w")
        worker = python(network, "soak_load.worker", kind, str(seconds), token_file,
                        first=first, stdout=output)
        stack.callback(ended, worker)
        workers.append((kind, worker))
    going_on = True
    while any(worker.poll() is None for _, worker in workers):
        time.sleep(1)
        if going_on and not watch():
            going_on = False
            for _, worker in workers:
                worker.send_signal(signal.SIGTERM)
    tally = Tally()
    for kind, worker in workers:
        text = (scratch / f"{kind}.json").read_text()
        if worker.returncode or not text:
            tally.fail("the load", f"its process for {kind} ended with {worker.returncode}")
        else:
            tally.add(text)
    return tally


def settle(service, before):
    """Waits until the service holds no more than before; returns what it holds then."""
    begun = time.monotonic()
    while service.running():
        now, waited = service.holdings(), time.monotonic() - begun
        back = now and now.descriptors <= before.descriptors and now.threads <= before.threads
        if back or waited > SETTLING:
            return now
        time.sleep(1)
    return None


def soak(options, stack):
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="open-ports-soak-")))
    network = stack.enter_context(Network(scratch))
    token_file = str(scratch / "tokens")
    tokens.write(token_file, 1)
    start_targets(network, stack)
    loaded, beside = start_services(options, network, token_file, stack)
    outcome = Outcome(options.minutes, options.without, loaded.holdings())

    def watch():
        now = loaded.holdings()
        if now and loaded.running():
            outcome.see(now)
        return loaded.running()

    # Two halves, each with a rest: memory that is only cached is cached once, but a
    # leak grows again in the second half.
    for _ in range(2):
        if loaded.running():
            outcome.tally.add(load(options, network, token_file, scratch, stack, watch).dump())
            outcome.rests.append(settle(loaded, outcome.before))
    outcome.peak, outcome.kills = loaded.cgroup.peak(), loaded.cgroup.kills()
    for log, service in {options.log or "a pipe that nobody reads": loaded, **beside}.items():
        alive = service.running()
        outcome.ends[log] = (alive, *service.stop(STOPPING))
    return outcome


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--binary", type=os.path.abspath, required=True)
    parser.add_argument("--log")
    parser.add_argument("--without", default=[], type=lambda text: text.split(","))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("scripts/soak needs root")
    # Whatever stops it, it removes what it made.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with ExitStack() as stack:
        outcome = soak(options, stack)
    text = outcome.text()
    print(text)
    if options.write:
        Path("benches/SOAK.md").write_text(text)
    sys.exit(1 if outcome.problems() else 0)


main()
