//! The scenarios: first those of the table, then those that only tests run.

use super::scenario::{Family, Goal, Host, Limits, Rest, Rtt, Scenario, Wall, Way, Wire};

/// The rows of the table that `scripts/lab-bench` measures.
pub(crate) const TABLE: &[Scenario] = &[
    Scenario {
        name: "10,000 filtered, 10 open, 5 closed, 0.1 ms rtt",
        ports: 10_015,
        goal: in_seconds(0.45, 5),
        ..SILENT
    },
    Scenario { name: "65,535 filtered, 10 open, 5 closed", goal: in_seconds(1.3, 5), ..SILENT },
    Scenario {
        name: "65,535 filtered, 10 open, 5 closed, 1,024 descriptors, the command",
        descriptors: 1024,
        by: Way::Command,
        goal: in_seconds(15.0, 5),
        ..SILENT
    },
    Scenario {
        name: "200 open in 10,000 filtered, 5 % loss each way",
        ports: 10_000,
        open: 200,
        closed: 0,
        wire: Wire::both("loss=5%"),
        goal: Goal { seconds: None, runs: 20 },
        ..SILENT
    },
    Scenario {
        name: "200 open in 65,535 closed, 1 % loss each way, 50 ms rtt ± 10",
        open: 200,
        wire: Wire::both("delay=25ms,jitter=5ms,loss=1%"),
        goal: in_seconds(4.0, 10),
        ..PLAIN
    },
    Scenario {
        name: "SYNs policed at 20,000 a second, 65,535 closed, 200 open",
        open: 200,
        rest: Rest::NotOpen,
        limits: Limits { syns: Some("20000/2000"), ..NO_LIMITS },
        // 1.5 times as long as the policer takes to pass 65,535 SYNs.
        goal: in_seconds(4.9, 5),
        ..PLAIN
    },
    Scenario {
        name: "rtt 300 ms, jitter 100 ms, 1,000 ports, 20 open",
        ports: 1000,
        open: 20,
        wire: Wire::both("delay=150ms,jitter=50ms"),
        goal: in_seconds(2.0, 5),
        ..PLAIN
    },
    Scenario {
        name: "RSTs limited to 250 a second, 10,000 closed, 20 open",
        ports: 10_020,
        open: 20,
        rest: Rest::NotOpen,
        limits: Limits { rsts: Some("250/250"), ..NO_LIMITS },
        goal: in_seconds(30.0, 5),
        ..PLAIN
    },
    reject("reject with RST", "reject-tcp-reset", Rest::Closed),
    reject("reject with port-unreach", "reject-port-unreach", PORT_UNREACH),
    reject("reject with host-unreach", "reject-host-unreach", HOST_UNREACH),
    reject("reject with net-unreach", "reject-net-unreach", NET_UNREACH),
    reject("reject with proto-unreach", "reject-proto-unreach", PROTO_UNREACH),
    reject("reject with admin-prohibited", "reject-admin-prohibited", PROHIBITED),
    reject("reject with net-prohibited", "reject-net-prohibited", PROHIBITED),
    reject("reject with host-prohibited", "reject-host-prohibited", PROHIBITED),
    limited("reject, 1,000 ICMP errors a second, 1 open", "1000/100", 1),
    limited("reject, 1,000 ICMP errors a second, none open", "1000/100", 0),
    limited("reject, 50 ICMP errors a second, 1 open", "50/50", 1),
    limited("reject, 50 ICMP errors a second, none open", "50/50", 0),
    on_v6(reject("reject with RST, IPv6", "reject-tcp-reset", Rest::Closed)),
    on_v6(reject("reject with port-unreach, IPv6", "reject-port-unreach", PORT_UNREACH)),
    on_v6(reject("reject with addr-unreach, IPv6", "reject-host-unreach", HOST_UNREACH)),
    on_v6(reject("reject with no-route, IPv6", "reject-net-unreach", NET_UNREACH)),
    on_v6(reject("reject with admin-prohibited, IPv6", "reject-admin-prohibited", PROHIBITED)),
    on_v6(reject("reject with policy-fail, IPv6", "reject-host-prohibited", PROHIBITED)),
    far("near reject with RST, rtt 160 ms", RTT_160, NEAR_RST),
    far("near reject with RST, rtt 300 ms", RTT_300, NEAR_RST),
    far("near reject with RST, rtt 900 ms", RTT_900, NEAR_RST),
    far("near reject with admin-prohibited, rtt 160 ms", RTT_160, NEAR_ICMP),
    far("near reject with admin-prohibited, rtt 300 ms", RTT_300, NEAR_ICMP),
    far("near reject with admin-prohibited, rtt 900 ms", RTT_900, NEAR_ICMP),
    far("near proxy that accepts, rtt 160 ms", RTT_160, NEAR_PROXY),
    far("near proxy that accepts, rtt 300 ms", RTT_300, NEAR_PROXY),
    far("near proxy that accepts, rtt 900 ms", RTT_900, NEAR_PROXY),
    TARPIT,
    on_v6(Scenario { name: "tarpit, 65,535 ports, IPv6", ..TARPIT }),
];

/// Scenarios that are not in the table.
pub(crate) const BEYOND: &[Scenario] = &[
    Scenario { name: "200 open in 65,535 closed", open: 200, ..PLAIN },
    on_v6(Scenario { name: "200 open in 65,535 closed, IPv6", open: 200, ..PLAIN }),
    Scenario {
        name: "a third of the frames overtake others",
        ports: 10_000,
        open: 50,
        wire: Wire::both("delay=5ms,reorder=33%"),
        ..PLAIN
    },
    Scenario {
        name: "a line of 5,000 frames a second with a queue of 50",
        ports: 10_000,
        open: 50,
        wire: Wire { there: "delay=5ms,rate=5000,queue=50", back: "delay=5ms" },
        ..PLAIN
    },
    // The answer arrives before `connect` returns.
    OWN_FILTER,
    on_v6(Scenario { name: "reject by the scanner's own filter, IPv6", ..OWN_FILTER }),
    Scenario {
        name: "reject with port-unreach within Linux's own ICMP limits",
        ports: 1000,
        open: 10,
        rule: "reject-port-unreach",
        rest: Rest::NotOpen,
        limits: Limits { icmp: true, ..NO_LIMITS },
        ..PLAIN
    },
];

/// A near host with all ports closed, and a scan of all of them.
pub(crate) const PLAIN: Scenario = Scenario {
    name: "all closed",
    family: Family::V4,
    ports: 65_535,
    open: 0,
    closed: 0,
    rule: "closed",
    ruled_by: Host::Target,
    rest: Rest::Closed,
    wire: Wire::both(""),
    least_rtt: 0.0,
    wall: None,
    limits: NO_LIMITS,
    descriptors: 20_000,
    by: Way::Service,
    goal: Goal { seconds: None, runs: 1 },
};

const SILENT: Scenario =
    Scenario { open: 10, closed: 5, rule: "drop", rest: Rest::Filtered("no-response"), ..PLAIN };

const TARPIT: Scenario = Scenario {
    name: "tarpit, 65,535 ports",
    rule: "tarpit",
    rest: Rest::Open,
    goal: in_seconds(3.0, 5),
    ..PLAIN
};

const OWN_FILTER: Scenario = Scenario {
    name: "reject by the scanner's own filter",
    ports: 10_000,
    open: 50,
    closed: 500,
    rule: "reject-port-unreach",
    ruled_by: Host::Scanner,
    rest: PORT_UNREACH,
    ..PLAIN
};

const RTT_160: Rtt = Rtt { milliseconds: 160.0, wire: Wire::both("delay=80ms") };
const RTT_300: Rtt = Rtt { milliseconds: 300.0, wire: Wire::both("delay=150ms") };
const RTT_900: Rtt = Rtt { milliseconds: 900.0, wire: Wire::both("delay=450ms") };

const NEAR_RST: Wall = Wall { rule: "reject-tcp-reset", finds: Rest::Closed };
const NEAR_ICMP: Wall = Wall { rule: "reject-admin-prohibited", finds: PROHIBITED };
const NEAR_PROXY: Wall = Wall { rule: "tarpit", finds: Rest::Open };

const NO_LIMITS: Limits = Limits { syns: None, rsts: None, icmp: false, icmp_errors: None };

// nmap's reasons, of which this program has some: a rule that prohibits a host, a
// network or everything is `admin-prohibited`.
const PORT_UNREACH: Rest = Rest::Filtered("port-unreach");
const PROTO_UNREACH: Rest = Rest::Filtered("proto-unreach");
const HOST_UNREACH: Rest = Rest::Filtered("host-unreach");
const NET_UNREACH: Rest = Rest::Filtered("net-unreach");
const PROHIBITED: Rest = Rest::Filtered("admin-prohibited");

const fn reject(name: &'static str, rule: &'static str, rest: Rest) -> Scenario {
    Scenario { name, rule, rest, goal: in_seconds(2.0, 5), ..PLAIN }
}

/// A host that rejects 10,000 ports with few ICMP errors, of which hardly any is
/// open. It takes as long as one that drops, within 1.5 times: 2 s and the time to
/// send, because so few answers are weak evidence.
const fn limited(name: &'static str, errors: &'static str, open: usize) -> Scenario {
    Scenario {
        name,
        ports: 10_000,
        open,
        rule: "reject-port-unreach",
        rest: Rest::NotOpen,
        limits: Limits { icmp_errors: Some(errors), ..NO_LIMITS },
        goal: in_seconds(3.3, 5),
        ..PLAIN
    }
}

/// A far host with mostly filtered ports, behind a firewall that answers for one of
/// them at once.
const fn far(name: &'static str, rtt: Rtt, wall: Wall) -> Scenario {
    Scenario {
        name,
        ports: 1000,
        open: 20,
        closed: 0,
        wire: rtt.wire,
        least_rtt: rtt.milliseconds,
        wall: Some(wall),
        goal: Goal { seconds: None, runs: 10 },
        ..SILENT
    }
}

const fn in_seconds(seconds: f64, runs: usize) -> Goal {
    Goal { seconds: Some(seconds), runs }
}

const fn on_v6(scenario: Scenario) -> Scenario {
    Scenario { family: Family::V6, ..scenario }
}
