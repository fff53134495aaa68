"""What the race found, as Markdown."""

import os
import pathlib
import platform
import resource
import shlex
import subprocess
import textwrap
import time

from measure import GLANCE
from peers import OURS
from rounds import LIMIT, PATIENCE

# How many times our time a scanner has to take in the case `loopback`, at its
# fastest.
RATIOS = {"nmap -sT": 5, "nmap -sS": 3, "rustscan": 10, "goroutines": 5}
MEMORY = 16_000_000


def machine():
    """What is true of this machine before the race."""

    def of_proc(path, key):
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
        return "unknown"

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    memory = int(of_proc("/proc/meminfo", "MemTotal").split()[0]) / 1024**2
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": of_proc("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release(),
        "descriptors": f"{soft}, at most {hard}",
        "user": "as root" if os.geteuid() == 0 else "without root",
        "busy": busy_share(seconds=3),
    }


def busy_share(seconds):
    """How much of the processors others use just now: a load average would
    remember the build before the race for minutes."""

    def idle_and_all():
        times = [int(ticks) for ticks in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return times[3] + times[4], sum(times)

    idle, every = idle_and_all()
    time.sleep(seconds)
    idle_then, every_then = idle_and_all()
    return 1 - (idle_then - idle) / max(every_then - every, 1)


def document(args, machine, versions, missing, floor, results):
    parts = [
        head(args, machine, floor),
        *(section(case, entries) if case else skipped(name, why) for name, case, entries, why in results),
        goals(results),
        tail(versions, missing, results),
    ]
    return "\n".join(part for part in parts if part)


def head(args, machine, floor):
    # More than that can be felt in the figures.
    busy = machine["busy"] > 0.1
    started = "scripts/race" + " --quick" * args.quick
    alone = "Loopback is that of a network namespace without other programs." if machine["user"] == "as root" else ""
    paragraphs = [
        "# The race",
        f"`open-ports scan` and other port scanners on one machine, as `{started}` found it on {machine['date']}.",
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory']}; Linux {machine['kernel']}; "
        f"descriptors: {machine['descriptors']}; {machine['user']}. {alone}",
        f"Just before the race other programs used {machine['busy']:.0%} of the processors. "
        + "**The machine was busy: these figures are worth little.**" * busy,
        f"Up to {args.rounds} rounds, interleaved, each starting with another scanner. One that has had {PATIENCE} s "
        f"in a case gets no further round, and a run ends after {LIMIT} s. Times are medians, and *ratio* is to the "
        "time of `open-ports`. *Missed* are open ports that were not reported, *phantom* are reported ports that "
        "nobody listened on, by the race's own listeners and `/proc/net/tcp` before and after each run; where runs "
        "differ, both are of the best and the worst. *Memory* is the peak of the resident set (`ru_maxrss` of the "
        f"scanner alone; that of `true` is {megabytes(floor)}), *descriptors* the most that were open at a glance at "
        f"`/proc/PID/fd` every {GLANCE * 1000:.0f} ms, both of the worst run.",
    ]
    return "\n\n".join(map(wrapped, paragraphs)) + "\n"


def wrapped(text):
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def section(case, entries):
    ours = next(entry for entry in entries if entry.way.name == OURS)
    rows = [row(entry, ours.median) for entry in entries]
    return f"""\
## {case.title}

{wrapped(case.about)}

| scanner | settings | time | ratio | missed | phantom | memory | descriptors | runs |
|---------|----------|------|-------|--------|---------|--------|-------------|------|
{chr(10).join(rows)}

{wrapped(outcome(entries, ours))}

```
{chr(10).join(command(entry) for entry in entries if not entry.cannot)}
```
"""


def row(entry, ours):
    way = entry.way
    if entry.cannot:
        return f"| {way.name} | {way.settings} | cannot: {entry.cannot} | | | | | | |"
    missed = [verdict.missed for verdict in entry.verdicts]
    phantom = [verdict.phantom for verdict in entry.verdicts]
    cells = [
        way.name,
        way.settings,
        f"over {LIMIT} s" if entry.cut else seconds(entry.median),
        f"over {ratio(LIMIT / ours)}" if entry.cut else ratio(entry.median / ours),
        spread(missed),
        spread(phantom),
        megabytes(max(one.memory for one in entry.runs)),
        max(one.descriptors for one in entry.runs),
        len(entry.runs),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def outcome(entries, ours):
    """The table in words; a loss is told as plainly as a win."""
    racing = [entry for entry in entries if not entry.cannot and entry is not ours]
    faster = [entry for entry in racing if not entry.cut and entry.median < ours.median]
    told = []
    if faster:
        told.append(f"**Faster than open-ports: {', '.join(label(entry) + faults(entry) for entry in faster)}.**")
    elif racing:
        told.append("Nobody was faster than open-ports.")
    if worst(ours) != (0, 0):
        told.append(f"**open-ports was not exact**{faults(ours)}.")
    exact = [label(entry) for entry in racing if not entry.cut and worst(entry) == (0, 0)]
    told.append(f"Besides it, exact in every run: {', '.join(exact) or 'none'}." if racing else "")
    return " ".join(told).strip()


def faults(entry):
    missed, phantom = worst(entry)
    words = [f"{missed} missed"] * bool(missed) + [f"{phantom} phantom"] * bool(phantom)
    return f" ({', '.join(words)})" if words else ""


def worst(entry):
    return tuple(map(max, zip(*entry.verdicts)))


def label(entry):
    return f"{entry.way.name} ({entry.way.settings})"


def command(entry):
    return shlex.join([os.path.basename(entry.words[0]), *entry.words[1:]])


def skipped(name, why):
    return f"## Case `{name}`\n\nSkipped: {why}.\n"


def goals(results):
    """What the project asks of itself, and whether this race bears it out."""
    lines = []
    for name, case, entries, _ in results:
        if not case:
            continue
        ours = next(entry for entry in entries if entry.way.name == OURS)
        if name == "loopback":
            lines += [ratio_goal(scanner, times, entries, ours) for scanner, times in RATIOS.items()]
        missed, phantom = worst(ours)
        exact = verdict(missed == phantom == 0)
        lines.append(f"{case.title}: nothing missed, no phantom: {exact}{faults(ours)}")
        memory = max(one.memory for one in ours.runs)
        lines.append(f"{case.title}: under {megabytes(MEMORY)}: {verdict(memory < MEMORY)}, {megabytes(memory)}")
    return "## Goals\n\n" + "\n".join(f"- {line}" for line in lines) + "\n" if lines else ""


def ratio_goal(scanner, times, entries, ours):
    reached = [entry.median / ours.median for entry in entries if entry.way.name == scanner and entry.runs]
    goal = f"All ports of loopback: at least {times} times as fast as {scanner} at its fastest"
    if not reached:
        return f"{goal}: not tried"
    return f"{goal}: {verdict(min(reached) >= times)}, {ratio(min(reached))}"


def verdict(met):
    return "met" if met else "**not met**"


def tail(versions, missing, results):
    known = "\n".join(f"- {name}: {text}" for name, text in versions.items())
    absent = f"\n\nNot found here: {', '.join(missing)}." if missing else ""
    return f"## Versions\n\n{known}\n- source: {revision()}{absent}\n"


def revision():
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return said.stdout.strip() or "unknown"


def seconds(value):
    return f"{value:.3f} s" if value < 1 else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def ratio(value):
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def megabytes(count):
    return f"{count / 1e6:.1f} MB"


def spread(counts):
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
