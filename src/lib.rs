//! Which TCP ports of a host are open, told over HTTP and honestly: every port
//! asked for ends as open, closed or filtered, or is counted as not scanned
//! with the reason.
//!
//! One request goes one way through the modules, and none knows those before it:
//!
//! ```text
//! query string -> ScanParams -> ScanRequest -> addresses -> probes -> outcomes -> Report -> response
//!   http::query     request::request            resolve      scan::scan           report     http::reply
//! ```
//!
//! | module       | owns                                                         |
//! |--------------|--------------------------------------------------------------|
//! | [`cli`]      | the command line, and the start of the service               |
//! | [`config`]   | flags over environment over defaults                         |
//! | [`healthcheck`] | whether the service here lives, for images without a shell  |
//! | [`limits`]   | every default and ceiling, each with its reason              |
//! | [`log`]      | a log that never blocks and never fails                      |
//! | [`shutdown`] | the signals to stop                                          |
//! | [`http`]     | accepting, routing, reading queries, replying, draining      |
//! | [`request`]  | a scan as typed, and a scan that makes sense                 |
//! | `expect`     | which ports ought to be open                                 |
//! | [`resolve`]  | from a host to its addresses                                 |
//! | [`tokens`]   | who may ask: bearer tokens                                   |
//! | [`caller`]   | who asks, and on whose account it goes                       |
//! | [`policy`]   | which addresses and ports may be scanned                     |
//! | [`machine`]  | what this machine allows, and shares with others              |
//! | [`scan`]     | the engine: descriptors, probes, outcomes                    |
//! | [`sweep`]    | scans of many hosts, batch by batch                          |
//! | `report`     | what a scan found, in the shape its readers get it           |
//! | `output`     | the formats that a sweep is told in                          |
//! | [`ports`]    | sets of ports                                                |
//! | [`printable`] | typed words, fit for a terminal                             |
//! | [`targets`]  | the hosts of a sweep, and their order                        |
//! | [`services`] | what is known about port numbers                             |
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
