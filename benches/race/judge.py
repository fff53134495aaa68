"""Who was right: what a scanner reported, against who listened.

A place is an address and a port. A listener on all addresses has the address
`ANY`.
"""

import ipaddress
import re
import socket
import unittest
from typing import NamedTuple

ANY = "*"
LISTENING = "0A"


class Verdict(NamedTuple):
    missed: int
    phantom: int


def judge(reported, ours, others):
    """What `reported` says of the places where we listened, `ours`, and of
    those where nobody did. Where `others` listen nothing is held against it:
    they may have come or gone meanwhile."""
    wrong = {place for place in reported - ours - others if (ANY, place[1]) not in others}
    return Verdict(missed=len(ours - reported), phantom=len(wrong))


def listening(table):
    """The places that /proc/net/tcp or tcp6 says somebody listens on and that
    IPv4 may reach."""
    places = set()
    for line in table.splitlines():
        words = line.split()
        if len(words) > 3 and words[3] == LISTENING:
            address, port = words[1].split(":")
            if address := ipv4(address):
                places.add((address, int(port, 16)))
    return places


def ipv4(digits):
    """The address behind the kernel's 32-bit words, each as the host has it in
    memory."""
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    if not any(words):
        return ANY
    if len(words) > 1 and words[:3] != [0, 0, socket.htonl(0xFFFF)]:
        return None
    return str(ipaddress.ip_address(socket.htonl(words[-1])))


# --- what scanners print, each in its form for programs -------------------------


def plain(text):
    """`127.0.0.1:80`, a line each."""
    return {(host, int(port)) for host, port in re.findall(r"^([\d.]+):(\d+)\s*$", text, re.M)}


def grepable(text):
    """nmap -oG: `Host: 127.0.0.1 ()<tab>Ports: 80/open/tcp//http///, …`."""
    places = set()
    for host, ports in re.findall(r"^Host: ([\d.]+) .*?\tPorts: ([^\t\n]*)", text, re.M):
        places |= {(host, int(port)) for port in re.findall(r"\b(\d+)/open/tcp", ports)}
    return places


def masscan_list(text):
    """masscan -oL: `open tcp 80 127.0.0.1 1700000000`."""
    return {(host, int(port)) for port, host in re.findall(r"^open tcp (\d+) ([\d.]+) ", text, re.M)}


def rustscan_greppable(text):
    """rustscan -g: `127.0.0.1 -> [80,443]`."""
    places = set()
    for host, ports in re.findall(r"^([\d.]+) -> \[([\d, ]*)\]", text, re.M):
        places |= {(host, int(port)) for port in re.findall(r"\d+", ports)}
    return places


def zmap_csv(text):
    """zmap -f saddr,sport: `127.0.0.1,80`."""
    return {(host, int(port)) for host, port in re.findall(r"^([\d.]+),(\d+)\s*$", text, re.M)}


class Judging(unittest.TestCase):
    OURS = {("127.0.0.1", 80), ("127.0.0.1", 443)}

    def check(self, reported, verdict, others=frozenset()):
        self.assertEqual(judge(set(reported), self.OURS, set(others)), verdict)

    def test_the_exact_answer_has_no_fault(self):
        self.check(self.OURS, (0, 0))

    def test_what_was_not_reported_is_missed(self):
        self.check([("127.0.0.1", 80)], (1, 0))
        self.check([], (2, 0))

    def test_what_nobody_listens_on_is_a_phantom(self):
        self.check([*self.OURS, ("127.0.0.1", 81)], (0, 1))

    def test_one_fault_does_not_make_up_for_another(self):
        self.check([("127.0.0.1", 80), ("127.0.0.1", 81)], (1, 1))

    def test_the_right_port_of_the_wrong_host_is_both(self):
        self.check([("127.0.0.2", 80), ("127.0.0.1", 443)], (1, 1))

    def test_listeners_of_others_are_neither_missed_nor_phantom(self):
        others = [("127.0.0.1", 22), (ANY, 25)]
        self.check(self.OURS, (0, 0), others)
        self.check([*self.OURS, ("127.0.0.1", 22), ("127.0.0.1", 25)], (0, 0), others)
        self.check([*self.OURS, ("127.0.0.2", 22)], (0, 1), others)

    def test_the_kernels_table_is_read(self):
        def row(address, state):
            return f"   0: {address}:0050 00000000:0000 {state} 00000000:00000000"

        def word(address):
            return f"{socket.htonl(int(ipaddress.ip_address(address))):08X}"

        mapped = "0" * 16 + f"{socket.htonl(0xFFFF):08X}" + word("127.0.0.2")
        rows = [
            "  sl  local_address rem_address   st",
            row(word("127.0.0.1"), LISTENING),
            row(word("127.0.0.3"), "01"),
            row(mapped, LISTENING),
            row("0" * 24 + f"{socket.htonl(1):08X}", LISTENING),
            row("0" * 32, LISTENING),
        ]
        self.assertEqual(
            listening("\n".join(rows)), {("127.0.0.1", 80), ("127.0.0.2", 80), (ANY, 80)}
        )

    def test_a_socket_that_listens_is_in_the_table(self):
        with socket.create_server(("127.0.0.1", 0)) as listener, open("/proc/net/tcp") as table:
            self.assertIn(listener.getsockname(), listening(table.read()))

    def test_only_open_ports_are_read_from_what_scanners_print(self):
        nmap = "Host: 127.0.0.1 (localhost)\tPorts: 80/open/tcp//http///, 81/filtered/tcp/////, "
        nmap += "443/open/tcp//https///\tIgnored State: closed (3)\n"
        for text, parse in [
            ("127.0.0.1:80\n127.0.0.1:443\n", plain),
            ("# Nmap 7\nHost: 127.0.0.1 (localhost)\tStatus: Up\n" + nmap, grepable),
            ("#masscan\nopen tcp 443 127.0.0.1 17\nopen tcp 80 127.0.0.1 17\n# end\n", masscan_list),
            ("127.0.0.1 -> [443,80]\n", rustscan_greppable),
            ("saddr,sport\n127.0.0.1,80\n127.0.0.1,443\n", zmap_csv),
        ]:
            self.assertEqual(parse(text), self.OURS, parse.__name__)
            self.assertEqual(parse(""), set(), parse.__name__)
