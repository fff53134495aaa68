"""The scanners: how each is found, called and read."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Callable

import judge

# Silent ports are asked once if it is to be fast, and by open-ports twice.
DEFAULT, FAST, TWICE = "defaults", "fast", "fast, asks twice"


@dataclass(frozen=True)
class Way:
    """A scanner in one of its ways, with one choice of settings."""

    name: str
    settings: str
    command: str
    parse: Callable
    # Other commands for cases where those serve it better.
    in_case: dict = field(default_factory=dict)
    # The only cases that it makes sense in.
    only: tuple = ()

    @property
    def program(self):
        return self.name.split()[0]

    def words(self, case, programs, hosts=None, ports=None):
        hosts, ports = hosts or case.hosts, ports or case.ports
        # Some for the program itself.
        places = max(16, case.most_descriptors - 56)
        return shlex.split(
            self.in_case.get(case.name, self.command).format(
                program=programs[self.program],
                hosts=hosts,
                ports=ports,
                # RustScan has an option for each form.
                range_or_list=f"-r {ports}" if "-" in ports else f"-p {ports}",
                first=ports.replace(",", "-").split("-")[0],
                last=ports.replace(",", "-").split("-")[-1],
                list=ports.replace(",", " "),
                most=places,
                way=self.name.split()[-1],
                interface=case.interface,
                source=case.source,
                source_mac=case.source_mac,
                router_mac=case.router_mac,
            )
        )


OURS = "open-ports"
# The names of the hosts are nobody's business, so nmap's defaults are with -n.
NMAP_DEFAULT = "{program} {way} -n -p {ports} -oG - {hosts}"
NMAP_FAST = "{program} {way} -Pn -n -T5 -p {ports} -oG - {hosts} --max-retries 0"
NMAP_TWICE = NMAP_FAST.replace("retries 0", "retries 1 --min-parallelism 1000")
MASSCAN = (
    "{program} {hosts} -p{ports} -e {interface} --adapter-ip {source} --source-mac {source_mac} "
    "--router-mac {router_mac} -oL -"
)
RUSTSCAN = "{program} -a {hosts} {range_or_list} -g --no-config"
NAABU = "{program} -host {hosts} -p {ports} -silent -duc"
ZMAP = (
    "sh -c 'for port in $(seq {first} {last}); do {program} -p $port -b /dev/null -i {interface} -S {source} "
    "-G {router_mac} -r 100000 -c 1 -q -O csv -f saddr,sport {hosts}; done'"
)

ZMAP_LIST = ZMAP.replace("$(seq {first} {last})", "{list}")
SPARSE = ("sparse-20", "sparse-16")
SILENT = ("filtered", *SPARSE, "attached-20")
NMAP_SPARSE = NMAP_FAST + " --min-parallelism 1000 --min-hostgroup 4096"


def in_cases(cases, command):
    return dict.fromkeys(cases, command)


# Fast is what was the fastest, in each case, of what was tried and found all.
WAYS = [
    Way(OURS, DEFAULT, "{program} scan {hosts} -p {ports}", judge.plain),
    Way(
        "nmap -sT",
        FAST,
        NMAP_FAST,
        judge.grepable,
        in_case={
            "filtered": NMAP_FAST + " --min-parallelism 1000",
            **in_cases(SPARSE, NMAP_SPARSE),
        },
    ),
    Way(
        "nmap -sT",
        TWICE,
        NMAP_TWICE,
        judge.grepable,
        in_case=in_cases(SPARSE, NMAP_SPARSE.replace("retries 0", "retries 1")),
        only=SILENT,
    ),
    Way("nmap -sT", DEFAULT, NMAP_DEFAULT, judge.grepable),
    Way(
        "nmap -sS",
        FAST,
        NMAP_FAST + " --min-parallelism 1000",
        judge.grepable,
        in_case=in_cases(("filtered", *SPARSE), NMAP_FAST + " --min-rate 100000"),
    ),
    Way("nmap -sS", TWICE, NMAP_TWICE, judge.grepable, only=SILENT),
    Way("nmap -sS", DEFAULT, NMAP_DEFAULT, judge.grepable),
    Way("masscan", FAST, MASSCAN + " --rate 100000 --wait 1", judge.masscan_list),
    Way("masscan", DEFAULT, MASSCAN, judge.masscan_list),
    Way(
        "rustscan",
        FAST,
        RUSTSCAN + " -t 500 -b 200",
        judge.rustscan_greppable,
        in_case=in_cases(SILENT, RUSTSCAN + " -t 500 -b {most}"),
    ),
    Way("rustscan", DEFAULT, RUSTSCAN, judge.rustscan_greppable),
    Way("naabu", FAST, NAABU + " -s c -c 1000 -rate 100000 -retries 1", judge.plain),
    Way("naabu", DEFAULT, NAABU, judge.plain),
    Way("masscan", TWICE, MASSCAN + " --rate 100000 --wait 1 --retries 1", judge.masscan_list, only=SPARSE),
    Way("zmap", FAST, ZMAP, judge.zmap_csv, in_case=in_cases(SPARSE, ZMAP_LIST), only=("many-hosts", *SPARSE)),
    Way(
        "goroutines",
        FAST,
        "{program} -timeout 500ms -at-once 100 {hosts} {ports}",
        judge.plain,
        in_case=in_cases(SILENT, "{program} -timeout 500ms -at-once {most} {hosts} {ports}"),
    ),
    Way("goroutines", DEFAULT, "{program} {hosts} {ports}", judge.plain),
]

VERSIONS = {
    OURS: ["--version"],
    "nmap": ["--version"],
    "masscan": ["--version"],
    "rustscan": ["--version"],
    "naabu": ["-version"],
    "zmap": ["--version"],
}


def find(ours, goroutines):
    """The programs that are here, by name."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = {name: shutil.which(name, path=path) for name in VERSIONS}
    found.update({OURS: ours, "goroutines": goroutines})
    return {name: os.path.abspath(program) for name, program in found.items() if program}


def version(name, programs):
    """What a program says that it is."""
    if name == "goroutines":
        words = ["go", "version"]
    else:
        words = [programs[name], *VERSIONS[name]]
    said = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    # naabu has a banner before it, and colours.
    lines = re.sub(r"\x1b\[[\d;]*m", "", said.stdout).splitlines()
    numbered = [line.strip() for line in lines if re.search(r"\d\.\d", line)]
    return re.sub(r" \(? ?https?://\S+ ?\)?", "", numbered[0]) if numbered else "unknown"
