//! Replies that grow while the scan runs: NDJSON and server-sent events.
//!
//! A stream is a position in the scan's list of findings, and at the end in the
//! report. It holds back one chunk at most, however slowly it is read; the scan
//! itself does not wait.

use std::time::Instant;

use futures_util::stream;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::audit::Audit;
use super::report_text::Chunks;
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
    let follower = Follower {
        milestones: running.scan().milestones(),
        running,
        framing,
        audit: Some(audit),
        end: None,
        written: 0,
        progress_at: now + limits::PROGRESS_INTERVAL,
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
    progress_at: Instant,
    meter: Meter,
}

impl Follower {
    /// Waits until there is something to write; `None` after the end.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some(end) = &mut self.end {
            return end.next();
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
        self.progress_at = now + limits::PROGRESS_INTERVAL;
        let mut chunk = Vec::new();
        self.framing.write(&mut chunk, &Record::Progress(look));
        chunk.into()
    }

    /// The first chunk of the findings that are left and the last record.
    fn begin_end(&mut self) -> Option<Bytes> {
        // Without its last record, a stream is not whole.
        let (report, found) = self.running.report().ok()?;
        if let Some(audit) = self.audit.take() {
            audit.reported(&report);
        }
        // A scan that goes on for others may have found more meanwhile.
        let left = self.running.scan().findings(self.written, found - self.written);
        let expectation = self.running.request().expectation.as_ref();
        let chunks = Chunks::new(report, expectation, |report| {
            let mut text = Vec::new();
            for finding in &left {
                self.framing.write(&mut text, &Record::port(finding));
            }
            self.framing.write(&mut text, &Record::End(End::Report(report)));
            text
        });
        self.end.insert(chunks).next()
    }
}

impl Framing {
    pub(super) fn write(self, chunk: &mut Vec<u8>, record: &Record<'_>) {
        self.write_as(chunk, record.name(), record);
    }

    /// Writes any record, whose type is called `name`.
    pub(super) fn write_as(self, chunk: &mut Vec<u8>, name: &str, record: &impl Serialize) {
        if self == Self::Events {
            chunk.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
        }
        serde_json::to_writer(&mut *chunk, record).expect("records have string keys");
        chunk.extend_from_slice(match self {
            Self::Lines => b"\n",
            Self::Events => b"\n\n",
        });
    }
}
