"""A service in a cgroup, and what it holds."""

import fcntl
import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

MEMORY = 128 << 20
DESCRIPTORS = 1024


@dataclass
class Holdings:
    rss: int
    descriptors: int
    threads: int


class Service:
    """Runs in `cgroup`, and where the words `inside` put it; its standard error
    goes to `stderr`."""

    def __init__(self, binary, address, inside, cgroup, stderr, *arguments):
        def limit():
            cgroup.enter()
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

        self.cgroup = cgroup
        # It ends with this program, even if that is killed. Each command replaces the
        # one before, in the same process.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *inside, binary, "serve",
             "--listen", f"{address}:8080", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            env={"PATH": os.environ["PATH"]}, preexec_fn=limit,
            # Ctrl-C must reach this program only.
            start_new_session=True)

    def holdings(self):
        """What it holds now; `None` if it has ended."""
        proc = Path("/proc", str(self.process.pid))
        try:
            status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
            descriptors = len(list((proc / "fd").iterdir()))
            return Holdings(int(status["VmRSS"].split()[0]) << 10, descriptors,
                            int(status["Threads"]))
        except (OSError, KeyError):
            return None

    def running(self):
        return self.process.poll() is None

    def stop(self, patience):
        """Its exit status after SIGTERM, and how long that took; `None` if killed."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience), time.monotonic() - begun
        except subprocess.TimeoutExpired:
            self.kill()
            return None, time.monotonic() - begun

    def kill(self):
        if self.running():
            self.process.kill()
        self.process.wait()


def knows_its_limit(log):
    """Whether the first page of the log says how much memory there is."""
    return f'"memory":{MEMORY}' in log.decode()


def unread_pipe():
    """Both ends of a pipe that holds a page, so that it is full at once."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    return reader, writer


def pipe_without_reader():
    reader, writer = os.pipe()
    os.close(reader)
    return writer
