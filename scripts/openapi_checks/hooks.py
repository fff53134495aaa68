"""Makes queries that the document allows into scans that make sense.

A schema speaks of one parameter at a time. What only holds between parameters
(ports or a range, a range that does not run backwards, a family that the domain
has, an expectation for a status of failure) is in descriptions, so that a query
can follow every schema and yet be refused. Here such a query becomes one that has
to be taken, of a host that can be scanned. Queries that break a schema are sent as
they are.
"""

import json
import re
import zlib

import schemathesis

# The last is a name that nobody has (RFC 6761).
DOMAINS = ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "::ffff:127.0.0.1", "localhost", "a.invalid"]

# Those with a port need no ports.
PROBED = ["127.0.0.1:22", "[::1]:1", "localhost:65535", "127.0.0.9", "::1", "a.invalid", "a.invalid:80"]

# Few addresses: each may have all ports. The last leads nowhere.
TARGETS = ["127.0.0.1", "127.0.0.0/31", "localhost,127.0.0.2-3", "::1,[::ffff:127.0.0.4]", "a.invalid"]

EXCLUDES = ["127.0.0.1", "127.0.0.2/31,::2", "10.0.0.1-50"]

LISTS = ["127.0.0.1\n", "# hosts\nlocalhost 127.0.0.2\n\n127.0.0.3-4 # two\n", "a.invalid"]

CONDITIONS = ["open", "22=closed", "1-3,8=not-open,80=filtered"]

# What scripts/openapi gives the service as --max-deadline.
MAX_DEADLINE_MS = 1000


@schemathesis.deserializer("application/x-ndjson")
def records(context, response):
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive:
        return
    if case.path in ("/sweep", "/sd"):
        case.query = sensible_sweep(case.query or {})
        if case.path == "/sd":
            quick(case.query)
        if case.method == "POST":
            case.body = LISTS[zlib.crc32(repr(case.body).encode()) % len(LISTS)]
    elif case.path == "/probe" and "target" in (case.query or {}):
        case.query = sensible_probe(case.query)
    elif case.path == "/watch":
        case.query = sensible_watch(case.query or {})
    elif "domain" in (case.query or {}):
        case.query = sensible(case.query)


def sensible(query):
    query = dict(query)
    # The same query is the same again when a failure is repeated.
    chosen = zlib.crc32(repr(sorted(query.items())).encode())
    if query["domain"] not in DOMAINS:
        query["domain"] = DOMAINS[chosen % len(DOMAINS)]
    if query["domain"] not in ("localhost", "a.invalid"):
        query.pop("family", None)
    # An explanation is JSON whatever the format; leave most streams to be streams.
    if "format" in query and chosen % 4:
        query.pop("explain", None)
    # A stream has states.
    if str(query.get("states")).lower() == "true":
        if "expectFailStatus" in query:
            del query["states"]
        else:
            query["format"] = ("ndjson", "sse")[chosen % 2]
    # A gate waits for the end of a scan that it can judge.
    if "expectFailStatus" in query:
        query.setdefault("expect", "none")
        query.pop("explain", None)
        if query.get("format") in ("ndjson", "sse"):
            del query["format"]
    # Only JSON is indented; an explanation always is JSON.
    if query.get("format", "json") != "json" and str(query.get("explain")).lower() != "true":
        query.pop("pretty", None)
    if "deadlineMs" in query:
        query["deadlineMs"] = min(int(query["deadlineMs"]), MAX_DEADLINE_MS)
    sensible_ports(query, chosen)
    return query


def sensible_sweep(query):
    query = dict(query)
    chosen = zlib.crc32(repr(sorted(query.items())).encode())
    if "targets" in query:
        query["targets"] = TARGETS[chosen % len(TARGETS)]
    if "exclude" in query:
        query["exclude"] = EXCLUDES[chosen % len(EXCLUDES)]
    if "deadlineMs" in query:
        query["deadlineMs"] = min(int(query["deadlineMs"]), MAX_DEADLINE_MS)
    if "shard" in query:
        query["shard"] = f"{chosen % 3 + 1}/3"
    sensible_ports(query, chosen)
    return query


def sensible_probe(query):
    query = dict(query)
    chosen = zlib.crc32(repr(sorted(query.items())).encode())
    query["target"] = PROBED[chosen % len(PROBED)]
    if query["target"][0] in "1:[":
        query.pop("family", None)
    if re.search("[a-z0-9]]?:[0-9]+$", query["target"]) and query["target"] != "::1":
        query.pop("ports", None)
    else:
        query["ports"] = port_list(query.get("ports", "1-64"))
    if query.get("expect", "none") != "none":
        query["expect"] = port_list(query["expect"])
    return query


def sensible_watch(query):
    """Makes a watch of few ports that ends: within is over after a moment."""
    query = dict(query)
    chosen = zlib.crc32(repr(sorted(query.items())).encode())
    query["until"] = CONDITIONS[chosen % len(CONDITIONS)]
    query["within"] = "300ms"
    if "settle" in query:
        query["settle"] = "100ms"
    if "every" in query:
        query["every"] = "20ms"
    for name in ("ports", "toPort", "fromPort"):
        query.pop(name, None)
    query["ports"] = "1-16"
    if query.get("domain") not in DOMAINS:
        query["domain"] = DOMAINS[chosen % len(DOMAINS)]
    if query["domain"] not in ("localhost", "a.invalid"):
        query.pop("family", None)
    return query


def quick(query):
    """Leaves a sweep that ends in time and whose hosts all resolve: others are a 503, as documented."""
    if "ports" in query:
        query["ports"] = "1-64"
    else:
        query["toPort"] = 64
        query["fromPort"] = min(int(query.get("fromPort", 1)), 64)
    query.pop("rate", None)
    query.pop("deadlineMs", None)
    query.pop("family", None)


def sensible_ports(query, chosen):
    for name in ("ports", "expect"):
        if name in query and query[name] != "none":
            query[name] = port_list(query[name])
    # What is expected has to be scanned.
    if query.get("expect", "none") != "none":
        query["ports"] = query["expect"]
    # Both ways to say which ports have their turn.
    if "ports" in query and "toPort" in query and chosen % 2 and "expect" not in query:
        del query["ports"]
    if "ports" in query:
        query.pop("fromPort", None)
        query.pop("toPort", None)
    else:
        first = int(query.get("fromPort", 1))
        last = int(query.setdefault("toPort", 65535))
        if first > last:
            query["fromPort"], query["toPort"] = last, first


def port_list(text):
    """The list with numbers that are ports, each of them once."""
    items, free = [], 1
    for item in text.split(","):
        numbers = [int(number) for number in re.findall("[0-9]+", item)]
        if item.startswith("top"):
            items.append(f"top{numbers[0] % 1000 + 1}")
        elif numbers:
            # Ascending from item to item, so that none overlaps another.
            bounds = sorted(min(free + number % 1000, 65535) for number in numbers)
            if bounds[0] < free:
                continue
            items.append("-".join(map(str, bounds)))
            free = bounds[-1] + 1
        else:
            items.append(item)
    return ",".join(items)
