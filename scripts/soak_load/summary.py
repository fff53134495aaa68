"""The results of a soak, and whether they are as they have to be."""

import os
import platform
from pathlib import Path

from .service import MEMORY
from .tally import Tally

# The promise is 100 ms. A run of a few minutes may be on a machine that also does
# other work; it only has to show that a busy service still answers.
P99_PROMISED, P99_OF_A_SHORT_RUN, LONG = 0.1, 5.0, 30

# An allocator keeps some freed memory: glibc kept 30 MiB of a peak of 35 MiB. This is
# low enough for the memory plan to hold.
RSS_KEPT = MEMORY // 4

# It may not grow from one rest to the next. Of two short halves, the second may have
# had a higher peak, and so keep more.
RSS_GROWN = 8 << 20

# These have to have some successful answers: refusals alone prove nothing.
ANSWERED = {
    "answering hosts": "right",
    "answering hosts, as text": "right",
    "silent hosts": "right",
    "silent hosts, 300 ms to do so": "incomplete: deadline",
    "rejecting hosts, details": "right",
    "names in /etc/hosts": "right",
    "names that nobody has": "422",
    "refused hosts": "403",
    "token in both files": "200",
    "token taken out": "401",
}


class Outcome:
    def __init__(self, minutes, without, before):
        self.minutes, self.before = minutes, before
        self.left_out = f", without {' and '.join(without)}," if without else ""
        # The maximum during the load, and the value at rest after each half.
        self.most, self.rests = before, []
        self.tally, self.peak, self.kills = Tally(), 0, 0
        # For each service, by what it logs to: whether it ran until SIGTERM, its exit
        # status, and how long it took to end.
        self.ends = {}

    def see(self, now):
        """Notes what the service holds during the load."""
        pairs = zip(vars(self.most).values(), vars(now).values())
        self.most = type(now)(*(max(pair) for pair in pairs))

    def latency(self, share):
        every = sorted(self.tally.latencies)
        return every[int((len(every) - 1) * share)] if every else 0.0

    def problems(self):
        """Everything that is wrong."""
        every = []
        for asker, count in sorted(self.tally.failures.items()):
            examples = "; ".join(self.tally.examples[asker])
            every.append(f"{asker}: {count} times wrong, such as: {examples}")
        for asker, answer in ANSWERED.items():
            if not self.tally.answers[asker, answer]:
                every.append(f"{asker}: never answered {answer}")
        bound = P99_PROMISED if self.minutes >= LONG else P99_OF_A_SHORT_RUN
        if self.latency(0.99) > bound:
            every.append(f"/livez: p99 is {self.latency(0.99):.3f} s, above {bound} s")
        return every + self.service_problems()

    def service_problems(self):
        every = []
        if self.kills:
            every.append(f"{self.kills} processes were killed for want of memory")
        for log, (ran, status, seconds) in self.ends.items():
            if not ran:
                every.append(f"the service with its log to {log} ended by itself, with {status}")
            elif status is None:
                every.append(f"the service with its log to {log} did not stop in {seconds:.0f} s")
            elif status != 0:
                every.append(f"the service with its log to {log} stopped with {status}")
        return every + self.holding_problems()

    def holding_problems(self):
        every, rests = [], [rest for rest in self.rests if rest]
        for rest in rests:
            for name, slack in [("descriptors", 0), ("threads", 0), ("rss", RSS_KEPT)]:
                before, after = getattr(self.before, name), getattr(rest, name)
                if after > before + slack:
                    every.append(f"{name}: {after:,} after the load, {before:,} before")
        if self.minutes >= LONG and len(rests) == 2 and rests[1].rss > rests[0].rss + RSS_GROWN:
            every.append(f"rss: {rests[0].rss:,} after half of the load, {rests[1].rss:,} after all")
        return every

    def text(self):
        problems = self.problems()
        lines = [
            "# The soak", "",
            "Written by `scripts/soak --write`; do not edit. `open-ports serve` with 128 MiB of memory",
            "(cgroup) and 1,024 descriptors. Nobody reads its log, a pipe; its token file is replaced every",
            "few seconds; and all clients below load it at once. An answer is right if it reports the true",
            "state of every port. Replies with 429 or 503 have to say when to come back, and incomplete",
            "reports have to say why.", "",
            f"{self.minutes:g} minutes{self.left_out} on {machine()}.", "",
            "Nothing was wrong." if not problems else f"{len(problems)} things were wrong:",
            "", *(f"- {problem}" for problem in problems), *([""] if problems else []),
            "| client | requests | answers |", "|---|---|---|",
            *(self.row(asker, answers) for asker, answers in self.tally.askers()), "",
            *self.figures(), "",
        ]
        return "\n".join(lines)

    def row(self, asker, answers):
        wrong = self.tally.failures[asker]
        kinds = ", ".join(f"{answer}: {count:,}" for answer, count in answers)
        cell = kinds + (f"; **wrong: {wrong:,}**" if wrong else "")
        return f"| {asker} | {sum(count for _, count in answers):,} | {cell} |"

    def figures(self):
        ms = {share: f"{self.latency(share) * 1000:.1f} ms" for share in (0.5, 0.99, 1)}
        stops = ", ".join(
            f"{'killed' if status is None else status} after {seconds:.1f} s"
            for _, status, seconds in self.ends.values())
        lines = [
            f"`/livez`, {len(self.tally.latencies):,} times: "
            f"p50 {ms[0.5]}, p99 {ms[0.99]}, most {ms[1]}.", "",
            "| | before the load | most | at rest after half of it | after all |",
            "|---|---|---|---|---|",
        ]
        for name, label, unit in [
                ("rss", "resident memory, MiB", 1 << 20), ("descriptors", "descriptors", 1),
                ("threads", "threads", 1)]:
            columns = [self.before, self.most, *self.rests, None, None][:4]
            cells = [f"{getattr(held, name) / unit:.{unit > 1:d}f}" if held else "none"
                     for held in columns]
            lines.append(f"| {label} | {' | '.join(cells)} |")
        return [
            *lines, "",
            f"The cgroup was charged {self.peak / (1 << 20):.0f} MiB at most, and {self.kills} of its processes were killed.",
            f"Exit status after SIGTERM, with each kind of log: {stops}.",
        ]


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    # Not every processor has a name.
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} × {model}, Linux {platform.release()}"
