"""The race that scripts/race starts, which prepares what it needs."""

import argparse
import signal
import sys

import report
from cases import CASES, Skipped
from measure import adopt_orphans, run
from peers import WAYS, find, version
from rounds import LIMIT, entries_of, race, tell


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/race", description="Races open-ports against other port scanners.")
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--goroutines", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES))
    parser.add_argument("--peers", type=lambda text: text.split(","))
    parser.add_argument("--out", default="benches/RACE.md")
    args = parser.parse_args()
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    names = {way.program for way in WAYS} | {way.name for way in WAYS}
    if unknown := set(args.peers or []) - names:
        parser.error(f"no such scanner: {', '.join(unknown)}; there are {', '.join(sorted(names))}")
    args.rounds = args.rounds or (3 if args.quick else 7)
    return args


def main():
    args = arguments()
    adopt_orphans()
    # So that a scanner does not outlive the race.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    programs = find(args.program, args.goroutines)
    machine = report.machine()
    versions = {name: version(name, programs) for name in programs}
    floor = run(["true"], LIMIT).memory
    results = []
    for name in args.cases:
        tell(f"{name}:")
        try:
            with CASES[name]() as case:
                entries = entries_of(case, args, programs)
                race(case, entries, args.rounds)
                results.append((name, case, entries, ""))
        except Skipped as reason:
            tell(f"  skipped: {reason}")
            results.append((name, None, [], str(reason)))
    missing = sorted({way.program for way in WAYS} - set(programs))
    text = report.document(args, machine, versions, missing, floor, results)
    print(text, end="")
    if args.out != "-":
        with open(args.out, "w") as out:
            out.write(text)
        tell(f"written to {args.out}")


if __name__ == "__main__":
    main()
