"""Sweeps networks of the lab, and compares the times with those of a dry run."""

import ipaddress
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

PORTS = "22,80,443,3306,8080"
OPEN = "22,80,443"

# Prefix length, and how many hosts answer.
NETWORKS = [(24, 0), (24, 4), (22, 16), (20, 0), (20, 64), (18, 128), (16, 512)]


def main():
    program, out = Path(sys.argv[1]).resolve(), sys.argv[2]
    rows = [measured(program, prefix, alive) for prefix, alive in NETWORKS]
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    text = page(rows, version.stdout.strip())
    Path(out).write_text(text, encoding="utf-8")
    print(f"written to {out}")


def measured(program, prefix, alive):
    """The dry run and the sweep of a network, as rows of their JSON."""
    network = ipaddress.ip_network(f"10.92.0.0/{prefix}")
    draws = random.Random(prefix)
    hosts = draws.sample(range(1, network.num_addresses - 1), alive)
    # The lab wants a host; if nobody is to answer, it is outside of the network.
    routed = ",".join(str(network[host]) for host in hosts) or "10.92.255.254"
    with tempfile.TemporaryDirectory() as folder:
        scan = f"{program} scan {network} -p {PORTS} --format json"
        words = f"{scan} --dry-run >{folder}/dry; {scan} >{folder}/run"
        lab = ["scripts/lab", "run", "--routed", routed, "--open", OPEN, "--rule", "closed", "--", "bash", "-c", words]
        subprocess.run(lab, stdout=subprocess.DEVNULL, check=True)
        dry, run = (json.loads(Path(folder, name).read_text()) for name in ("dry", "run"))
    if not run["complete"] or run["open"] != 3 * alive:
        sys.exit(f"/{prefix}: {run['open']} open of {3 * alive}, complete: {run['complete']}")
    print(f"/{prefix} {alive}: {dry} {run['elapsed_ms']}", file=sys.stderr)
    return prefix, alive, dry, run


def page(rows, version):
    lines = "\n".join(map(line, rows))
    return f"""\
# The dry run and the clock

Written by `scripts/scale-bench`; do not edit. `open-ports scan --dry-run` says how long a sweep takes at best, where
every address answers at once, and where all are silent and nothing is lost; the last column is how long the same sweep
took. Five ports of each address, behind a router ({version}).

| network | addresses that answer | at best | all silent | measured | what bound it, as planned and as measured |
|---------|-----------------------|---------|------------|----------|-------------------------------------------|
{lines}
"""


def line(row):
    prefix, alive, dry, run = row
    cells = [
        f"/{prefix}",
        f"{alive} of {1 << (32 - prefix):,}",
        seconds(dry["best_ms"]),
        seconds(dry["silent_ms"]),
        seconds(run["elapsed_ms"]),
        f"{dry['bound_by']}; {run.get('bound_by', 'nothing')}",
    ]
    return f"| {' | '.join(cells)} |"


def seconds(ms):
    return f"{ms / 1000:.2f} s"


if __name__ == "__main__":
    main()
