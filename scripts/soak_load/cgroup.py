"""A cgroup with a memory limit, in version 1 or 2, and what it measured."""

import os
import sys
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class Cgroup:
    """Exists while its `with` block runs. Version 2 if that limits memory here."""

    def __init__(self, name, limit):
        self.limit = limit
        self.version = 1 if (ROOT / "memory/memory.limit_in_bytes").exists() else 2
        parent = ROOT / "memory" if self.version == 1 else ROOT
        self.path = parent / f"open-ports-soak-{os.getpid()}-{name}"

    def __enter__(self):
        if self.version == 2:
            control = ROOT / "cgroup.subtree_control"
            if "memory" not in control.read_text().split():
                try:
                    control.write_text("+memory")
                except OSError as error:
                    # EBUSY in a container whose processes are in its top group:
                    # cgroups(7), "no internal processes".
                    sys.exit(f"cannot limit memory with {control}: {error.strerror}")
        self.remove_stale()
        self.path.mkdir()
        if self.version == 1:
            self.write("memory.limit_in_bytes", self.limit)
        else:
            self.write("memory.max", self.limit)
            if (self.path / "memory.swap.max").exists():
                self.write("memory.swap.max", 0)
        return self

    def remove_stale(self):
        """Removes what a killed soak left behind."""
        for group in self.path.parent.glob("open-ports-soak-*-*"):
            if not Path("/proc", group.name.split("-")[3]).exists():
                group.rmdir()

    def write(self, file, value):
        (self.path / file).write_text(f"{value}\n")

    def enter(self):
        """Puts the calling process into the group."""
        self.write("cgroup.procs", os.getpid())

    def peak(self):
        """The most memory that was charged, in bytes; 0 if unknown."""
        path = self.path / ("memory.max_usage_in_bytes" if self.version == 1 else "memory.peak")
        return int(path.read_text()) if path.exists() else 0

    def kills(self):
        """How many processes were killed because memory ran out."""
        file = "memory.oom_control" if self.version == 1 else "memory.events"
        fields = dict(line.split() for line in (self.path / file).read_text().splitlines())
        return int(fields["oom_kill"])

    def __exit__(self, *_):
        deadline = time.monotonic() + 10
        while self.path.exists():
            try:
                self.path.rmdir()
            except OSError:
                # The last process is still exiting.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
