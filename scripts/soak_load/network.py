"""The network of the soak: two namespaces and the wire between them.

`near` has the service, its clients and the hosts 127.0.0.x; `far` has one network
for each kind of answer.
"""

import os
import subprocess
from pathlib import Path

# A far host has every address of these networks.
SILENT, ICMP, RESET, FEW = "10.78.0.", "10.78.1.", "10.78.2.", "10.78.3."
FAR_OPEN = [22, 443, 8443]

GATEWAY, GATEWAY_MAC = "10.77.0.2", "02:00:00:00:78:02"
OWN, OWN_MAC = "10.77.0.1", "02:00:00:00:78:01"

# The service scans at most sixteen addresses of a name.
HOSTS = {
    "localhost": ["127.0.0.1"],
    "web.soak": ["127.0.0.11"],
    "pair.soak": ["127.0.0.14", "127.0.0.15"],
    "sixteen.soak": [f"{ICMP}{last}" for last in range(100, 116)],
    "metadata.soak": ["169.254.169.254"],
}

# Hosts that drop everything, that drop all except three ports, and that reject all
# except three, each in a different manner.
RULES = f"""
table ip soak {{
    chain incoming {{
        type filter hook input priority filter; policy accept
        ip daddr {SILENT}0/24 drop
        tcp dport {{ {", ".join(map(str, FAR_OPEN))} }} accept
        ip daddr {ICMP}0/24 meta l4proto tcp reject with icmp type port-unreachable
        ip daddr {RESET}0/24 meta l4proto tcp reject with tcp reset
        ip daddr {FEW}0/24 drop
    }}
}}
"""


def run(*command, **options):
    subprocess.run(command, check=True, **options)


class Network:
    """Exists while its `with` block runs. `scratch` is a directory that lasts as long."""

    def __init__(self, scratch):
        name = f"op-soak-{os.getpid()}"
        self.near, self.far = f"{name}-near", f"{name}-far"
        self.files = Path(scratch, "etc")

    def __enter__(self):
        self.remove_stale()
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def remove_stale(self):
        """Removes what a killed soak left behind."""
        for namespace in Path("/run/netns").glob("op-soak-*-*"):
            if not Path("/proc", namespace.name.split("-")[2]).exists():
                run("ip", "netns", "del", namespace.name)

    def build(self):
        self.files.mkdir()
        lines = [f"{address} {name}" for name, every in HOSTS.items() for address in every]
        (self.files / "hosts").write_text("\n".join(lines) + "\n")
        (self.files / "resolv.conf").write_text("nameserver 127.0.0.53\n")
        for namespace in (self.near, self.far):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.near, "link", "add", "eth0", "address", OWN_MAC, "type", "veth",
            "peer", "name", "eth0", "address", GATEWAY_MAC, "netns", self.far)
        self.join(self.near, OWN, GATEWAY, GATEWAY_MAC)
        self.join(self.far, GATEWAY, OWN, OWN_MAC)
        run("ip", "-n", self.near, "route", "add", "10.78.0.0/16", "via", GATEWAY)
        # Every address of these is the far host's own.
        run("ip", "-n", self.far, "route", "add", "local", "10.78.0.0/22", "dev", "lo")
        # With Linux's limits on ICMP errors, rejecting hosts would seem silent.
        run(*self.inside(self.far), "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0",
            "net.ipv4.icmp_msgs_per_sec=2147483647", "net.ipv4.icmp_msgs_burst=2147483647")
        run(*self.inside(self.far), "nft", "-f", "-", input=RULES, text=True)

    def join(self, namespace, own, other, other_mac):
        run("ip", "-n", namespace, "link", "set", "eth0", "up")
        run("ip", "-n", namespace, "address", "add", f"{own}/24", "dev", "eth0")
        # No probe waits for ARP.
        run("ip", "-n", namespace, "neighbour", "add", other, "lladdr", other_mac,
            "dev", "eth0", "nud", "permanent")

    def inside(self, namespace):
        """The words before a command that is to run in `namespace`. It gets the
        process of the first of them."""
        # `ip netns exec` would hide /sys/fs/cgroup, where the service reads its memory
        # limit.
        bind = 'mount --bind "$0/hosts" /etc/hosts; mount --bind "$0/resolv.conf" /etc/resolv.conf'
        return ["nsenter", f"--net=/run/netns/{namespace}", "unshare", "--mount",
                "sh", "-ec", f'{bind}; exec "$@"', str(self.files)]

    def __exit__(self, *_):
        for namespace in (self.near, self.far):
            # Removing the first also removes the wire.
            subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL)
