"""Network policies of every kind, and by hand what they let through."""

from .cluster import Failed, get

NAMESPACES = ["open-ports-red", "open-ports-green", "open-ports-blue"]
PODS = ["web", "api", "db"]

# Both are listeners of open-ports itself: the service's, and that of its metrics.
PORTS = [8080, 8081]

ENDPOINTS = [(namespace, name) for namespace in NAMESPACES for name in PODS]

# What lets whom in, by hand: for each target the vantages (rows of letters, in the order
# of ENDPOINTS) that reach its first and its second port. "x" is open, "." is denied.
# Everybody reaches itself, which no policy can forbid.
#
# red:   web takes anybody. api takes its own namespace alone. db takes red/api alone, on
#        8080 alone.
# green: nobody comes in, except to web from the namespace blue, and to db on 8081 from
#        anybody but red (an address block with exceptions).
# blue:  anybody comes in. Out of web goes only what is for blue/db on 8080; out of api
#        nothing; out of db everything.
TRUTH = """
                  red      green    blue
                  w a d    w a d    w a d
red/web    8080   x x x    x x x    . . x
red/web    8081   x x x    x x x    . . x
red/api    8080   x x x    . . .    . . .
red/api    8081   x x x    . . .    . . .
red/db     8080   . x x    . . .    . . .
red/db     8081   . . x    . . .    . . .
green/web  8080   . . .    x . .    . . x
green/web  8081   . . .    x . .    . . x
green/api  8080   . . .    . x .    . . .
green/api  8081   . . .    . x .    . . .
green/db   8080   . . .    . . x    . . .
green/db   8081   . . .    x x x    . . x
blue/web   8080   x x x    x x x    x . x
blue/web   8081   x x x    x x x    x . x
blue/api   8080   x x x    x x x    . x x
blue/api   8081   x x x    x x x    . x x
blue/db    8080   x x x    x x x    x . x
blue/db    8081   x x x    x x x    . . x
"""


def truth():
    """What each vantage reaches: {(vantage, target, port): whether it is open}."""
    expected = {}
    for line in TRUTH.splitlines():
        words = line.split()
        if not words or "/" not in words[0]:
            continue
        target, port, letters = f"open-ports-{words[0]}", int(words[1]), words[2:]
        if len(letters) != len(ENDPOINTS):
            raise Failed(f"the truth table: {line!r}")
        for (namespace, name), letter in zip(ENDPOINTS, letters):
            expected[f"{namespace}/{name}", target, port] = letter == "x"
    if len(expected) != len(ENDPOINTS) ** 2 * len(PORTS):
        raise Failed(f"the truth table has {len(expected)} cells")
    return expected


def isolated():
    """The same if nobody comes in anywhere and nothing goes out: only oneself is left."""
    return {cell: cell[0] == cell[1] for cell in truth()}


def rules(expected):
    """A file of rules that says of every cell what it ought to be."""
    by_pair = {}
    for (vantage, target, port), is_open in expected.items():
        by_pair.setdefault((vantage, target, is_open), []).append(str(port))
    return "".join(
        f"{vantage}[Pod] => {target}[Pod] : {'TCP' if is_open else 'none TCP'} {','.join(ports)}\n"
        for (vantage, target, is_open), ports in by_pair.items())


def policies():
    """The policies that the table is about."""
    def policy(namespace, name, pod=None, **spec):
        selector = {"matchLabels": {"app": pod}} if pod else {}
        kinds = [kind for key, kind in (("ingress", "Ingress"), ("egress", "Egress")) if key in spec]
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"podSelector": selector, "policyTypes": kinds, **spec},
        }

    def of(namespace):
        return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}

    red, green, blue = NAMESPACES
    pods = {
        f"{namespace}/{name}": get("pod", name, namespace=namespace)["status"]["podIP"]
        for namespace, name in ENDPOINTS
    }
    blocked = [f"{address}/32" for name, address in pods.items() if name.startswith(f"{red}/")]
    return [
        policy(red, "own-namespace", "api", ingress=[{"from": [{"podSelector": {}}]}]),
        policy(red, "one-pod-one-port", "db", ingress=[{
            "from": [{"podSelector": {"matchLabels": {"app": "api"}}}],
            "ports": [{"port": PORTS[0]}],
        }]),
        policy(green, "default-deny", ingress=[]),
        policy(green, "from-a-namespace", "web", ingress=[{"from": [of(blue)]}]),
        policy(green, "all-but-some", "db", ingress=[{
            "from": [{"ipBlock": {"cidr": "10.244.0.0/16", "except": blocked}}],
            "ports": [{"port": PORTS[1]}],
        }]),
        policy(blue, "out-to-one", "web", egress=[{
            "to": [{"podSelector": {"matchLabels": {"app": "db"}}}],
            "ports": [{"port": PORTS[0]}],
        }]),
        policy(blue, "no-way-out", "api", egress=[]),
    ]


def deny_all():
    """Nothing comes in and nothing goes out, DNS included."""
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "deny-all", "namespace": namespace},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        }
        for namespace in NAMESPACES
    ]
