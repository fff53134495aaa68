"""The true state of each host, and whether a report agrees with it."""

from .network import FAR_OPEN, FEW, HOSTS, ICMP, RESET, SILENT
from .targets import NEAR_OPEN

# Where the service listens, on 127.0.0.1.
PORT = 8080


def of(address):
    """The open ports of `address`, and what its other ports are: `closed`, or
    the reason for which they are filtered."""
    if address == "127.0.0.1":
        return [PORT], "closed"
    if address in NEAR_OPEN:
        return NEAR_OPEN[address], "closed"
    network = address[:address.rindex(".") + 1]
    return {
        SILENT: ([], "no-response"),
        FEW: (FAR_OPEN, "no-response"),
        ICMP: (FAR_OPEN, "port-unreach"),
        RESET: (FAR_OPEN, "closed"),
    }[network]


class Truth:
    """Of the ports `first` to `last` of a host."""

    def __init__(self, host, first, last):
        self.addresses = HOSTS.get(host, [host])
        self.first, self.last = first, last
        self.count = last - first + 1

    def open_on(self, address):
        return [port for port in of(address)[0] if self.first <= port <= self.last]

    def open_ports(self):
        return sorted({port for a in self.addresses for port in self.open_on(a)})

    def rows(self):
        """How many ports are not closed."""
        return sum(
            len(self.open_on(a)) if of(a)[1] == "closed" else self.count for a in self.addresses)

    def judge(self, report, details=False):
        """What is wrong with a report; None if nothing."""
        if not report["complete"]:
            return self.judge_part(report)
        if report["open_ports"] != self.open_ports():
            return differs("open_ports", report["open_ports"], self.open_ports())
        if [each["address"] for each in report["addresses"]] != self.addresses:
            return differs("addresses", report["addresses"], self.addresses)
        for each in report["addresses"]:
            opened, other = self.open_on(each["address"]), of(each["address"])[1]
            rest = self.count - len(opened)
            closed, reasons = (rest, {}) if other == "closed" else (0, {other: rest})
            found = [each["open_ports"], each["closed"], each.get("filtered_by", {})]
            if found != [opened, closed, reasons if rest else {}]:
                return differs(each["address"], found, [opened, closed, reasons])
            rows = len(opened) + sum(reasons.values())
            if details and len(each["ports"]) != rows:
                return differs("rows", len(each["ports"]), rows)
        return None

    def judge_part(self, report):
        """The same for a report that says it is incomplete."""
        if not report.get("reason"):
            return "not complete, and no reason"
        phantoms = set(report["open_ports"]) - set(self.open_ports())
        if phantoms:
            return f"not complete, and phantom ports {sorted(phantoms)}"
        for each in report["addresses"]:
            wrong = "filtered" if of(each["address"])[1] == "closed" else "closed"
            if each[wrong]:
                return f"not complete, and {each[wrong]} ports {wrong} on {each['address']}"
        return None


def differs(what, found, expected):
    def short(value):
        text = str(value)
        return text if len(text) < 160 else f"{text[:160]}…"
    return f"{what}: {short(found)}, not {short(expected)}"
