"""One run of a scanner: how long it took, and what it held meanwhile."""

import contextlib
import ctypes
import os
import pathlib
import select
import shlex
import signal
import subprocess
import tempfile
import time
from typing import NamedTuple, Optional

# How often the descriptors are counted. A count costs some 10 µs.
GLANCE = 0.003
# What a scanner has between being told to end and being killed.
GRACE = 2.0

# The kernel counts as a process's memory also that of the process it was before
# exec, and a child of Python would never seem smaller than Python. So a shell
# forks it, waits for the word to start, and leaves it to us.
LAUNCHER = """
out=$1 err=$2 limit=$3
shift 3
[ -z "$limit" ] || ulimit -n "$limit" || exit
exec 3<&0
{ read -r start <&3 || exit; exec "$@" 3<&- >"$out" 2>"$err"; } &
echo $!
"""

PR_SET_CHILD_SUBREAPER = 36


class Run(NamedTuple):
    seconds: float
    # Whether the limit ended it.
    cut: bool
    status: int
    memory: int
    descriptors: int
    stdout: str
    stderr: str


def adopt_orphans():
    """Makes processes whose parent ended children of this one."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def run(command, limit, descriptors: Optional[int] = None, enter=()):
    """Runs `command`, for `limit` seconds at most and with that limit on
    descriptors, on the host that `enter` leads to."""
    with tempfile.TemporaryDirectory(prefix="race-") as folder:
        out, err = pathlib.Path(folder, "out"), pathlib.Path(folder, "err")
        shell = ["sh", "-c", LAUNCHER, "sh", str(out), str(err), str(descriptors or "")]
        launcher = subprocess.Popen(
            [*enter, *shell, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=folder,
        )
        with launcher:
            pid = launcher.stdout.readline()
            if not pid or launcher.wait() != 0:
                raise OSError(f"cannot start {shlex.join(command)}")
            try:
                seconds, cut, status, usage, most = watch(int(pid), launcher, limit)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(launcher.pid, signal.SIGKILL)
                raise
        texts = [path.read_text(errors="replace") if path.exists() else "" for path in (out, err)]
        code = os.waitstatus_to_exitcode(status)
        return Run(seconds, cut, code, usage.ru_maxrss * 1024, most, *texts)


def watch(pid, launcher, limit):
    ended = select.poll()
    pidfd = os.pidfd_open(pid)
    try:
        ended.register(pidfd, select.POLLIN)
        most, cut = 0, False
        start = time.monotonic()
        launcher.stdin.write("start\n")
        launcher.stdin.flush()
        while not ended.poll(GLANCE * 1000):
            most = max(most, descriptors_of(pid))
            if time.monotonic() - start > limit:
                cut = True
                # The launcher's group outlives it, as long as the scanner does.
                os.killpg(launcher.pid, signal.SIGTERM)
                if not ended.poll(GRACE * 1000):
                    os.killpg(launcher.pid, signal.SIGKILL)
                    ended.poll()
                break
        seconds = time.monotonic() - start
    finally:
        os.close(pidfd)
    _, status, usage = os.wait4(pid, 0)
    return seconds, cut, status, usage, most


def descriptors_of(pid):
    """What a process and its children have open; 0 if it is gone."""
    try:
        # Since Linux 6.2 that is the directory's size.
        count = os.stat(f"/proc/{pid}/fd").st_size or len(os.listdir(f"/proc/{pid}/fd"))
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return 0
    return count + sum(descriptors_of(child) for child in children.split())
