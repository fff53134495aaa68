//! `GET /watch`: the changes of a host's ports, as a stream.
//!
//! The stream ends when its condition has come true or its time is over, and when the
//! service is to stop; then, too, its last record says so. A client that leaves ends the
//! watch: once a second there is a record, and only a write finds out.

use std::time::{Duration, Instant};

use futures_util::stream;
use hyper::HeaderMap;
use hyper::body::Bytes;
use tokio::sync::watch;

use super::scan_reply::{self, with_timing};
use super::stream::Framing;
use super::watch_audit::WatchAudit;
use crate::admission::Entry;
use crate::ask::RunningWatch;
use crate::caller::Caller;
use crate::http::app::App;
use crate::http::exchange::identity::Exchange;
use crate::http::exchange::negotiation::{OF_WATCH as FORMATS, media_type};
use crate::http::exchange::reply::{Reply, ReplyBody, growing};
use crate::http::exchange::{problems, query};
use crate::request::Format;
use crate::request::watch::WatchRequest;
use crate::request::watch::parameters::OF_WATCH;
use crate::watch::{Story, Subject, WatchRecord, WatchedHost};

/// Answers what `GET` asks.
pub(crate) async fn get(
    app: &App,
    exchange: &Exchange,
    caller: &Caller,
    query: &str,
    headers: &HeaderMap,
) -> Reply {
    let (request, format) = match checked(app, query, headers) {
        Ok(checked) => checked,
        Err(refusal) => return *refusal,
    };
    let begun = Instant::now();
    let mut audit = WatchAudit::new(&app.metrics, &exchange.id, caller, &request);
    let asked = app.asker.watch(&request, &caller.account()).await;
    audit.asked(&asked);
    let mut steps: Vec<(&str, Duration)> = Vec::new();
    steps.extend(asked.checks.resolving.map(|resolving| ("resolve", resolving)));
    let reply = match asked.outcome {
        Err(reason) => scan_reply::not_started(&reason),
        Ok(RunningWatch { watch, entry }) => {
            let host =
                WatchedHost { name: request.domain.clone(), addresses: asked.checks.addresses };
            let (ports, until) = (&request.ports, request.until.as_ref());
            let follower = Follower {
                story: Story::new(watch, Subject { hosts: &[host], ports, until }, begun),
                framing: if format == Format::Sse { Framing::Events } else { Framing::Lines },
                stopping: app.stopping.subscribe(),
                audit,
                _entry: entry,
            };
            scan_reply::stream(media_type(format), body(follower))
        }
    };
    with_timing(reply, &steps)
}

/// Answers what `HEAD` asks: the same checks, but nothing is looked up.
pub(crate) fn head(app: &App, query: &str, headers: &HeaderMap) -> Reply {
    scan_reply::head_of(checked(app, query, headers))
}

fn checked(
    app: &App,
    query: &str,
    headers: &HeaderMap,
) -> Result<(WatchRequest, Format), Box<Reply>> {
    let (params, errors) = query::parse_as(query, &OF_WATCH);
    let request = errors.then(WatchRequest::try_new(&params, &app.ceilings));
    let request = request.map_err(|errors| Box::new(problems::invalid_parameters(errors)))?;
    let format = scan_reply::format(request.format, headers, &FORMATS)?;
    Ok((request, format))
}

/// A client that follows a watch.
struct Follower {
    story: Story,
    framing: Framing,
    /// Whether the service is to stop.
    stopping: watch::Receiver<bool>,
    audit: WatchAudit,
    /// The watch counts as a scan of its caller until this is dropped.
    _entry: Entry,
}

fn body(follower: Follower) -> ReplyBody {
    growing(stream::unfold(follower, |mut follower| async move {
        Some((follower.next_chunk().await?, follower))
    }))
}

impl Follower {
    /// Waits until there is a record to write; `None` after the last.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        let stopping = &mut self.stopping;
        let stops = async {
            // The sender lives as long as the service.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let record = tokio::select! {
            biased;
            record = self.story.next() => record?,
            () = stops => {
                self.story.stop();
                self.story.next().await?
            }
        };
        if let WatchRecord::End { outcome, .. } = &record {
            self.audit.ended(*outcome);
        }
        self.audit.counted(self.story.counts());
        let mut chunk = Vec::new();
        self.framing.write_as(&mut chunk, record.name(), &record);
        Some(chunk.into())
    }
}
