//! What the service does: a file for each route, and for what several share.

pub(super) mod audit;
pub(super) mod health;
pub(super) mod help;
mod indent;
pub(super) mod matrix;
pub(super) mod metrics;
pub(super) mod open_ports;
pub(super) mod openapi;
pub(super) mod page;
pub(super) mod probe;
mod probe_metrics;
mod probe_text;
mod report_text;
pub(super) mod result_page;
mod scan_reply;
pub(super) mod sd;
mod stream;
mod stream_states;
pub(super) mod sweep;
mod sweep_audit;
mod sweep_explain;
mod sweep_list;
mod sweep_run;
mod sweep_stream;
pub(super) mod watch;
mod watch_audit;
