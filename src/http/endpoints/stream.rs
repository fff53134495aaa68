//! Replies that grow while the scan runs: NDJSON and server-sent events.
//!
//! A stream is a position in the scan's list of findings, and at the end in the
//! report. It holds back one chunk at most, however slowly it is read; the scan
//! itself does not wait.

use std::mem;
use std::time::{Duration, Instant};

use futures_util::stream;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::audit::Audit;
use super::report_text::Chunks;
use super::stream_states::StateRecords;
use crate::ask::Running;
use crate::http::exchange::reply::{ReplyBody, growing};
use crate::limits;
use crate::report::{End, Meter, Record};
use crate::scan::Milestone;

/// How records are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A JSON object a line.
    Lines,
    /// `event` and `data` fields, as the HTML Standard has them.
    Events,
}

/// The body of a reply that follows `running` until it ends.
pub(super) fn body(running: Running, framing: Framing, audit: Audit) -> ReplyBody {
    let now = Instant::now();
    let interval =
        if running.request().states { limits::STATES_INTERVAL } else { limits::PROGRESS_INTERVAL };
    let follower = Follower {
        milestones: running.scan().milestones(),
        running,
        framing,
        audit: Some(audit),
        end: None,
        written: 0,
        states: None,
        drawn: 0,
        interval,
        progress_at: now + interval,
        meter: Meter::new(now),
    };
    growing(stream::unfold(follower, |mut follower| async move {
        Some((follower.next_chunk().await?, follower))
    }))
}

/// A client that follows a scan.
struct Follower {
    running: Running,
    milestones: watch::Receiver<Milestone>,
    framing: Framing,
    /// Taken when the last record is written.
    audit: Option<Audit>,
    /// The rest of the last record, once it has begun.
    end: Option<Chunks>,
    /// Findings written so far.
    written: usize,
    /// Records of states that are being written.
    states: Option<StateRecords>,
    /// Of how many targets something was known when such records were last written.
    drawn: u64,
    /// How often there is a record of progress.
    interval: Duration,
    progress_at: Instant,
    meter: Meter,
}

impl Follower {
    /// Waits until there is something to write; `None` after the end.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        let rest = self.rest();
        if rest.is_some() || self.end.is_some() {
            return rest;
        }
        let mut is_over = false;
        loop {
            if Instant::now() >= self.progress_at {
                return Some(self.progress());
            }
            let milestone = *self.milestones.borrow_and_update();
            if milestone.found > self.written {
                return Some(self.findings());
            }
            if milestone.finished || is_over {
                return self.begin_end();
            }
            tokio::select! {
                // The scan lives as long as `self`.
                _ = self.milestones.changed() => {}
                () = sleep_until(self.progress_at.into()) => {}
                // What has been found so far comes before the end.
                () = self.running.ended() => is_over = true,
            }
        }
    }

    /// The next chunk of what has begun.
    fn rest(&mut self) -> Option<Bytes> {
        self.state_chunk().or_else(|| self.end.as_mut()?.next())
    }

    /// Records of the next findings.
    fn findings(&mut self) -> Bytes {
        let scan = self.running.scan();
        let findings = scan.findings(self.written, limits::FINDINGS_A_CHUNK);
        self.written += findings.len();
        let mut chunk = Vec::new();
        for finding in &findings {
            self.framing.write(&mut chunk, &Record::port(finding));
        }
        chunk.into()
    }

    fn progress(&mut self) -> Bytes {
        let (scan, now) = (self.running.scan(), Instant::now());
        let progress = scan.progress();
        let look = self.meter.look(&progress, Some(progress.total), scan.elapsed(), now);
        self.progress_at = now + self.interval;
        let known = progress.done + progress.silent;
        if self.running.request().states && mem::replace(&mut self.drawn, known) != known {
            self.states = Some(StateRecords::so_far(self.framing, scan.addresses()));
        }
        let mut chunk = Vec::new();
        self.framing.write(&mut chunk, &Record::Progress(look));
        chunk.into()
    }

    /// The next chunk of the records of states that have begun.
    fn state_chunk(&mut self) -> Option<Bytes> {
        let chunk = self.states.as_mut()?.next(self.running.scan());
        if chunk.is_none() {
            self.states = None;
        }
        chunk
    }

    /// The first chunk of what is left: findings, states and the last record.
    fn begin_end(&mut self) -> Option<Bytes> {
        // Without its last record, a stream is not whole.
        let (report, found, states) = self.running.report_and_states().ok()?;
        if let Some(audit) = self.audit.take() {
            audit.reported(&report);
        }
        // A scan that goes on for others may have found more meanwhile.
        let left = self.running.scan().findings(self.written, found - self.written);
        let mut ports = Vec::new();
        for finding in &left {
            self.framing.write(&mut ports, &Record::port(finding));
        }
        let request = self.running.request();
        if request.states {
            let addresses = self.running.scan().addresses();
            self.states = Some(StateRecords::in_the_end(self.framing, addresses, states));
        }
        self.end = Some(Chunks::new(report, request.expectation.as_ref(), |report| {
            let mut text = Vec::new();
            self.framing.write(&mut text, &Record::End(End::Report(report)));
            text
        }));
        if ports.is_empty() { self.rest() } else { Some(ports.into()) }
    }
}

impl Framing {
    pub(super) fn write(self, chunk: &mut Vec<u8>, record: &Record<'_>) {
        self.write_as(chunk, record.name(), record);
    }

    /// Writes any record, whose type is called `name`.
    pub(super) fn write_as(self, chunk: &mut Vec<u8>, name: &str, record: &impl Serialize) {
        self.open(chunk, name);
        serde_json::to_writer(&mut *chunk, record).expect("records have string keys");
        self.close(chunk);
    }

    /// Writes what comes before a record whose type is called `name`.
    pub(super) fn open(self, chunk: &mut Vec<u8>, name: &str) {
        if self == Self::Events {
            chunk.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
        }
    }

    /// Writes what comes after a record.
    pub(super) fn close(self, chunk: &mut Vec<u8>) {
        chunk.extend_from_slice(match self {
            Self::Lines => b"\n",
            Self::Events => b"\n\n",
        });
    }
}
