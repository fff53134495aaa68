"""Who takes part in a case, and the rounds."""

import statistics
import sys
import time
from dataclasses import dataclass, field

from judge import judge
from measure import run
from peers import DEFAULT, OURS, SPARSE, WAYS

# How long a run may take, and how long a scanner has to show that it can do a
# case at all, in seconds.
LIMIT, TRIAL_LIMIT = 120, 8
# A scanner that has had that many seconds in a case gets no further round.
PATIENCE = 25
# Between two runs, for the kernel to be done with the last one's sockets.
PAUSE = 0.2


@dataclass
class Entry:
    """A scanner in a case."""

    way: object
    words: list
    cannot: str = ""
    runs: list = field(default_factory=list)
    verdicts: list = field(default_factory=list)

    @property
    def cut(self):
        return any(one.cut for one in self.runs)

    @property
    def spent(self):
        return sum(one.seconds for one in self.runs)

    @property
    def median(self):
        return statistics.median(one.seconds for one in self.runs) if self.runs else None


def entries_of(case, args, programs):
    """Who takes part in a case; who cannot is there with the reason."""
    entries, tried = [], {}
    for way in WAYS:
        asked_for = not args.peers or way.program in args.peers or way.name in args.peers
        if way.program not in programs or not (asked_for or way.name == OURS):
            continue
        # Those are the slow ones; in a sparse network they take minutes a round.
        if (args.quick or case.name in SPARSE) and way.settings == DEFAULT and way.name != OURS:
            continue
        if way.only and case.name not in way.only:
            continue
        if way.name not in tried:
            tell(f"  {way.name}: try")
            tried[way.name] = trial(way, case, programs)
        entries.append(Entry(way, way.words(case, programs), cannot=tried[way.name]))
    return entries


def trial(way, case, programs):
    """Why a scanner cannot do a case: it has to find one of three open ports.
    How well it does is for the race to tell."""
    host, ports, places = case.some(3)
    words = way.words(case, programs, host, ports)
    tried = run(words, TRIAL_LIMIT, case.descriptors, case.enter)
    if way.parse(tried.stdout) & places:
        return ""
    said = [line for line in tried.stderr.splitlines() if line.strip() and not line.startswith("Warning")]
    if tried.status > 0 and said:
        return said[0].replace("[-] FAIL: ", "")[:100].strip()
    ended = f"; it was still running after {TRIAL_LIMIT} s" if tried.cut else ""
    return f"finds none of {len(places)} open ports{ended}"


def race(case, entries, rounds):
    """Interleaved rounds, each starting with another scanner."""
    racing = [entry for entry in entries if not entry.cannot]
    for number in range(rounds):
        first = number % len(racing)
        for entry in racing[first:] + racing[:first]:
            if entry.cut or entry.spent > PATIENCE:
                continue
            tell(f"  round {number + 1}, {entry.way.name} ({entry.way.settings}): ", end="")
            others = case.others()
            one = run(entry.words, LIMIT, case.descriptors, case.enter)
            others |= case.others()
            verdict = judge(entry.way.parse(one.stdout), case.ours, others)
            entry.runs.append(one)
            entry.verdicts.append(verdict)
            tell(f"{one.seconds:.2f} s, {verdict.missed} missed, {verdict.phantom} phantom")
            time.sleep(PAUSE)


def tell(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)
