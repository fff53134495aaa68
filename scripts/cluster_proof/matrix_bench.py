"""Measures the matrix on a cluster, beside the loop that it replaces: see
scripts/matrix-bench."""

import argparse
import os
import platform
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import cluster, matrix, matrix_truth
from .cluster import Failed, get, kubectl, run
from .images import DEV_NAME
from .matrix_truth import ENDPOINTS, NAMESPACES, PORTS

NC_IMAGE = "docker.io/library/open-ports-bench-nc:1"

# What a run of each may take, in seconds, and how much slower the loop has to be.
GOALS = {"162": 4.0, "81000": 15.0}
TIMES = 10

# As people write it: any error of kubectl counts as denied, too. The kernel sends a lost
# SYN again after a second. So with 1 s, one lost packet makes an open port denied; with
# 2 s it does not, nor does it here, where a silent port is asked twice in its second.
LOOP = """xargs -P15 -L1 sh -c '
    if kubectl exec -n "$0" "$1" -c nc -- /busybox nc -w WAIT "$2" "$3" -e /busybox true </dev/null >/dev/null 2>&1
    then echo "$0/$1 $2 $3 open"; else echo "$0/$1 $2 $3 denied"; fi'"""
WAITS = [2, 1]


def start_pods():
    """Those of the proof, with a container that has nc."""
    matrix.start_namespaces()
    for namespace in NAMESPACES:
        items = []
        for name in matrix_truth.PODS:
            pod = matrix.pod(name)
            (main,) = pod["spec"]["containers"]
            nc = {key: main[key] for key in ("imagePullPolicy", "resources", "securityContext")}
            nc |= {"name": "nc", "image": NC_IMAGE, "command": ["/busybox", "sleep", "100000"]}
            pod["spec"]["containers"].append(nc)
            items.append(pod)
        cluster.apply(*items, namespace=namespace)
    matrix.wait_for_pods()


def loop(wait):
    """Seconds, and whether it was right."""
    addresses = {
        f"{namespace}/{name}": get("pod", name, namespace=namespace)["status"]["podIP"]
        for namespace, name in ENDPOINTS
    }
    lines = [
        f"{namespace} {name} {address} {port}\n"
        for namespace, name in ENDPOINTS for address in addresses.values() for port in PORTS
    ]
    begun = time.monotonic()
    done = subprocess.run(["bash", "-c", LOOP.replace("WAIT", str(wait))], input="".join(lines), capture_output=True, text=True, timeout=900)
    took = time.monotonic() - begun
    found = {tuple(line.split()[:3]) for line in done.stdout.splitlines() if line.endswith("open")}
    expected = {
        (vantage, addresses[target], str(port))
        for (vantage, target, port), is_open in matrix_truth.isolated().items() if is_open
    }
    return took, found == expected and len(done.stdout.splitlines()) == len(lines)


def few(tool, expected):
    """162 cells: seconds, and whether they are right."""
    begun = time.monotonic()
    result = tool.ask(matrix_truth.rules(expected))
    took = time.monotonic() - begun
    matrix.compare(result, expected, "162 cells")
    return took


def many(tool):
    """9 × 9 × 1,000 cells, all but a vantage's own silent."""
    names = [f"{namespace}/{name}[Pod]" for namespace, name in ENDPOINTS]
    text = "".join(f"{vantage} => {target} : none\n" for vantage in names for target in names)
    begun = time.monotonic()
    cells, summary, status, said = tool.ask(text, "-p", "1-1000", seconds=300)
    took = time.monotonic() - begun
    states = {}
    for cell in cells:
        kind = (cell["vantage"] == cell["target"], cell["state"])
        states[kind] = states.get(kind, 0) + 1
    expected = {(False, "filtered"): 72_000, (True, "refused"): 9_000}
    if states != expected or status != 4:
        raise Failed(f"81,000 cells: status {status}, {states}: {summary}\n{said}")
    return took


def measure(options, scratch):
    # In its image it has the name of its file.
    program = scratch / "open-ports"
    shutil.copy(options.program, program)
    for name, file in ((DEV_NAME, program), (NC_IMAGE, options.busybox)):
        run([*options.load, name, str(file)], timeout=180)
    start_pods()
    tool = matrix.Matrix(scratch, program)
    expected = matrix_truth.isolated()
    matrix.apply_all(matrix_truth.deny_all())
    matrix.compare(tool.ask(matrix_truth.rules(expected), *matrix.SETTLING), expected, "deny-all")
    ours = [few(tool, expected) for _ in range(options.runs)]
    loops = {wait: [loop(wait) for _ in range(options.loops)] for wait in WAITS}
    # Again, so that neither has the machine in a better state.
    ours += [few(tool, expected) for _ in range(options.runs)]
    lots = [many(tool) for _ in range(options.runs)]
    return ours, loops, lots


def of(times):
    return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"


def loop_row(wait, runs, ours):
    times = [took for took, _ in runs]
    slower = statistics.median(times) / ours
    right = sum(is_right for _, is_right in runs)
    # With less patience it is no equal, whatever it takes.
    goal = f"{TIMES} times slower or worse" if wait == WAITS[0] else ""
    return (f"the 162 cells by `xargs -P15 kubectl exec … nc -w {wait}`", goal,
            f"{of(times)}, {slower:.1f} times; right in {right} of {len(runs)}",
            slower >= TIMES if goal else None)


def report(program, ours, loops, lots):
    version = run([program, "--version"]).strip()
    model = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    server = run(["kubectl", "version"]).splitlines()[-1]
    rows = [
        ("162 cells: 9 pods, 9 pods, 2 ports", f"{GOALS['162']:.0f} s", of(ours),
         statistics.median(ours) <= GOALS["162"]),
        ("81,000 cells: 9 pods, 9 pods, 1,000 ports", f"{GOALS['81000']:.0f} s", of(lots),
         statistics.median(lots) <= GOALS["81000"]),
        *(loop_row(wait, loops[wait], statistics.median(ours)) for wait in WAITS),
    ]
    lines = [
        "# The matrix",
        "",
        "Written by `scripts/matrix-bench`, which measured every row; do not edit. Nine pods in three namespaces under",
        "deny-all in both directions; each asks all nine, and only itself is open. A run counts if every cell is right.",
        "Times are medians of whole commands, with the range.",
        "",
        f"Measured on {len(model)} × {model[0] if model else platform.machine()}, Linux {platform.release()}, {version}; "
        f"{server}, on one node of the same machine.",
        "",
        "| cells | goal | measured | |",
        "|---|---|---|---|",
        *(f"| {what} | {goal} | {measured} | { {True: 'pass', False: '**fail**', None: ''}[good] } |" for what, goal, measured, good in rows),
        "",
        "The loop starts a process in a pod for each cell, and takes any error for a denial; here there is one for each",
        "vantage. A port has a second to answer here (`--timeout-ms 1000`), and is asked twice in it. `nc -w 2` is the equal of",
        "that: the kernel repeats a lost SYN after a second, so that `nc -w 1` takes one lost packet for a denial.",
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="scripts/matrix-bench")
    parser.add_argument("--program", required=True)
    parser.add_argument("--busybox", default="/bin/busybox")
    parser.add_argument("--load", default=["../shared/cluster/image"], type=shlex.split)
    parser.add_argument("--runs", default=5, type=int)
    parser.add_argument("--loops", default=3, type=int)
    parser.add_argument("--out", default="benches/MATRIX.md")
    options = parser.parse_args()
    if not os.path.exists(options.busybox):
        sys.exit(f"scripts/matrix-bench: there is no {options.busybox}; install busybox-static")
    # Whatever stops it, it removes what it made.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        cluster.prepare()
        with tempfile.TemporaryDirectory(prefix="open-ports-bench-") as folder:
            text = report(options.program, *measure(options, Path(folder)))
    except Failed as error:
        sys.exit(f"FAILED: {error}")
    finally:
        cluster.remove()
    print(text, end="")
    if options.out != "-":
        Path(options.out).write_text(text)


if __name__ == "__main__":
    main()
