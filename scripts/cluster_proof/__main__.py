"""Runs the proof: see scripts/cluster-proof."""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import cluster, images, matrix, overlays, pods, rollout, sweep
from .cluster import DEV, OWN, PROD, Failed

PARTS = ["overlays", "rollout", "sweep", "matrix"]

PROGRAMS = Path(__file__).parent / "programs"


class Report:
    """A line for each check, with the time since the start."""

    def __init__(self):
        self.count, self.begun = 0, time.monotonic()
        self.turn = threading.Lock()

    def passed(self, what):
        with self.turn:
            self.count += 1
            print(f"ok: {what} ({time.monotonic() - self.begun:.0f} s)", flush=True)

    def equal(self, found, expected, what):
        if found != expected:
            raise Failed(f"{what}: expected {expected!r}, got {found!r}")
        self.passed(f"{what}: {found!r}")


def load_images(options, scratch):
    """Takes the images to the nodes; returns open-ports' own."""
    folder = scratch / "image"
    cluster.run(["buildah", "push", "--quiet", options.image, f"oci:{folder}"], timeout=120)
    image = images.OpenPorts(folder)
    archives = {images.DEV_NAME: scratch / "open-ports.tar", images.PYTHON_NAME: scratch / "python.tar"}
    image.archive(archives[images.DEV_NAME])
    images.python_archive(archives[images.PYTHON_NAME], sorted(PROGRAMS.glob("*.py")))
    for name, archive in archives.items():
        cluster.run([*options.load, name, str(archive)], timeout=180)
    return image


def prove(options, report, scratch):
    image = load_images(options, scratch)
    report.passed("both images are on the nodes")
    # In which they are changed as their READMEs ask for.
    shutil.copytree("kustomize", scratch / "kustomize")
    parts = [part for part in PARTS if part in options.only]
    if "sweep" in parts:
        pods.share_programs(PROGRAMS, [OWN])
        sweep.start_targets()
    if "matrix" in parts:
        matrix.start_pods()
    binary = scratch / "open-ports"
    image.extract(binary)
    # Side by side, because most of the time they wait. If one fails or is stopped, nobody
    # waits for the other: it fails when what it uses is removed.
    pool = ThreadPoolExecutor()
    try:
        swept = pool.submit(sweep.check, report, scratch, binary) if "sweep" in parts else None
        if "overlays" in parts:
            overlays.check(report, scratch, image.digest)
        if "rollout" in parts:
            pods.share_programs(PROGRAMS, [DEV, PROD])
            rollout.check(report)
        if swept:
            swept.result()
    finally:
        pool.shutdown(wait=False)
    # Alone, because it counts what is asked of the API server.
    if "matrix" in parts:
        matrix.check(report, scratch, binary, options.runs)


def main():
    parser = argparse.ArgumentParser(prog="scripts/cluster-proof")
    parser.add_argument("--image", required=True)
    parser.add_argument("--load", default=["../shared/cluster/image"], type=shlex.split)
    parser.add_argument("--only", default=PARTS, type=lambda text: text.split(","))
    parser.add_argument("--runs", default=5, type=int)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    # Whatever stops it, it removes what it made.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    report, failed = Report(), 0
    try:
        cluster.prepare()
        with tempfile.TemporaryDirectory(prefix="open-ports-proof-") as folder:
            prove(options, report, Path(folder))
    except Failed as error:
        failed = 1
        print(f"FAILED: {error}", file=sys.stderr, flush=True)
        cluster.explain()
    finally:
        if not options.keep:
            cluster.remove()
    print(f"{report.count} passed, {failed} failed")
    sys.exit(failed)


main()
