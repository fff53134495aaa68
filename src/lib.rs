//! Finds the open TCP ports of hosts and networks, and reports honestly: every port
//! asked for ends as open, closed or filtered, or is counted as not scanned, with
//! the reason.
//!
//! # The engine alone
//!
//! Without the features `server` and `cli`, which are on by default, this library is
//! the scan engine. A [`Scanner`](scan::Scanner) holds what the scans of a process
//! share; a [`ScanPlan`](scan::ScanPlan) says what one of them probes.
//!
//! ```
//! use std::net::{Ipv4Addr, TcpListener};
//! use std::num::NonZeroUsize;
//!
//! use open_ports::ports::PortSet;
//! use open_ports::scan::{ScanPlan, Scanner};
//!
//! let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
//! let port = listener.local_addr()?.port();
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let tallies = runtime.block_on(async {
//!     // 64 descriptors, and one task for each scan.
//!     let scanner = Scanner::new(64, NonZeroUsize::MIN);
//!     let plan = ScanPlan::new(vec![Ipv4Addr::LOCALHOST.into()], PortSet::all());
//!     scanner.scan(&plan).await
//! });
//! assert!(tallies[0].findings.open_ports().any(|open| open == port));
//! assert_eq!(tallies[0].not_scanned, 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The flow
//!
//! A request takes one route through the modules, over HTTP or at the prompt. No
//! module imports one to its right.
//!
//! ```text
//! typed words ─► valid request ─► addresses ─► policy ─► admission ─► running scan ─► facts ─► reply, table, metrics
//! http, cli      request, fields  resolve,     policy    admission    scan, sweep     report,  http, output, metrics
//!                                 targets                                             expect, drift, results
//!                                 └───────────────────── ask ────────────────────┘
//! ```
//!
//! `ask` is the only module that starts a scan for a request, and it can start one only
//! for addresses that policy has allowed: an endpoint that forgets policy does not
//! compile.
//!
//! # The modules
//!
//! | module      | owns                                                                  |
//! |-------------|-----------------------------------------------------------------------|
//! | `cli`       | the command line: one file for each command                           |
//! | `config`    | the settings of the service: flags over environment over defaults     |
//! | `http`      | `server` (bytes: accepting, connections, draining), `exchange` (HTTP: routes, negotiation, problems), `endpoints` |
//! | `request`   | the parameters of a scan as typed, and a request that is valid        |
//! | `fields`    | errors by field, and the readers that HTTP and the command line share |
//! | `host`, `targets` | a host as typed; lists of them, and their shards                  |
//! | `resolve`   | the addresses of a host                                               |
//! | `policy`    | which addresses and ports may be scanned                              |
//! | `admission` | how many requests and scans may run, for each caller and in all       |
//! | `caller`, `tokens` | who sent a request                                             |
//! | `ask`       | from a valid request to a running scan: resolve, judge, admit, start  |
//! | `scan`      | the engine: plans, passes, fan-outs, sockets, findings                |
//! | `sweep`     | scans of many hosts, in batches                                       |
//! | `report`    | what a scan found (facts), separate from what it took (effort)           |
//! | `watch`     | from the news of a watch to its records; whether a condition has come true and held |
//! | `expect`, `drift` | how facts differ from what ought to be open, and from an earlier report |
//! | `matrix`    | which vantages reach which targets: rules, vantages, verdicts, causes |
//! | `results`   | from the news of a sweep to the report on each host, and the summary       |
//! | `output`    | the formats of the command: one file for each                         |
//! | `metrics`   | what is counted, for Prometheus                                       |
//! | `machine`   | what this host allows: descriptors, memory, neighbours; `doctor`      |
//! | `ports`, `services`, `shuffle` | sets of ports, their names, and random orders      |
//! | `limits`    | every default and limit, with its reason                              |
//! | `log`, `printable`, `shutdown`, `healthcheck` | a log that never blocks; text that is safe on a terminal; signals; the health check of an image without a shell |
//!
//! # Words
//!
//! | word | meaning |
//! |------|---------|
//! | host | what was typed: a name or an address |
//! | target | an address and a port |
//! | probe, attempt | the work on one target, and one try of it; at `/probe` it is Prometheus' word for the scrape of a host |
//! | outcome | how a probe ended: a port state with nmap's reason, or not scanned |
//! | pass | one attempt at each target that is still silent |
//! | fan-out | one task's probes in flight; their number at most is its window |
//! | rtt, loss | the time between an attempt and its answer; the share of attempts that got none although the port answers |
//! | scan, sweep | the work on one host; on many |
//! | facts, effort, report | what was found; what it took; both |
//! | timeout, deadline | a duration for each probe; the latest end of a scan |
//! | drain, grace period | the end of a service: no new clients; how long running requests may still take |
//! | shard | one of several disjoint parts of a sweep, found by arithmetic alone |
//! | expectation | which ports ought to be open |
//! | baseline, drift | an earlier report; what differs from it |
//! | claim | one thing that ought to be so; it holds, is broken, unknown or not judged |
//! | watch, round | ports asked again and again; one probe of each of them |
//! | standing, run | what is known of a port while a scan runs; successive ports of which the same is known |
//! | condition | the states that ports of a watch are to have |
//! | vantage, matrix, cell | where a scan is made from; vantages by targets; a port of a target as a vantage sees it |
//! | witness, proof | who is asked whether a denied port can be opened at all; that somebody could open it in the same run |
#![forbid(unsafe_code)]

#[cfg(feature = "server")]
mod admission;
#[cfg(feature = "server")]
pub mod ask;
#[cfg(feature = "server")]
mod caller;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
mod drift;
#[cfg(feature = "server")]
mod expect;
#[cfg(feature = "server")]
mod fields;
#[cfg(feature = "server")]
mod healthcheck;
#[cfg(feature = "server")]
mod host;
#[cfg(feature = "server")]
pub mod http;
pub mod limits;
#[cfg(feature = "server")]
mod log;
pub mod machine;
#[cfg(feature = "server")]
mod matrix;
#[cfg(feature = "server")]
mod metrics;
#[cfg(feature = "server")]
mod output;
#[cfg(feature = "server")]
pub mod policy;
pub mod ports;
#[cfg(feature = "server")]
mod printable;
#[cfg(feature = "server")]
mod report;
#[cfg(feature = "server")]
mod request;
#[cfg(feature = "server")]
pub mod resolve;
#[cfg(feature = "server")]
mod results;
pub mod scan;
pub mod services;
mod shuffle;
#[cfg(feature = "server")]
mod shutdown;
#[cfg(feature = "server")]
mod sweep;
#[cfg(feature = "server")]
mod targets;
#[cfg(feature = "server")]
mod tokens;
#[cfg(feature = "server")]
mod watch;
