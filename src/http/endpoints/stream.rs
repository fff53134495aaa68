//! Replies that grow while the scan runs: NDJSON and server-sent events.
//!
//! A stream is a position in the scan's list of findings, and at the end in the
//! report. It holds back one chunk at most, however slowly it is read; the scan
//! itself does not wait.

use std::convert::Infallible;
use std::time::Instant;

use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::audit::Audit;
use super::report_text::Chunks;
use crate::ask::Running;
use crate::http::exchange::reply::ReplyBody;
use crate::limits;
use crate::report::PortReport;
use crate::scan::{Finding, Milestone};

/// How records are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A JSON object a line.
    Lines,
    /// `event` and `data` fields, as the HTML Standard has them.
    Events,
}

/// The body of a reply that tells of `running` until it ends.
pub(super) fn body(running: Running, framing: Framing, audit: Audit) -> ReplyBody {
    let now = Instant::now();
    let follower = Follower {
        milestones: running.scan().milestones(),
        running,
        framing,
        audit: Some(audit),
        end: None,
        told: 0,
        progress_at: now + limits::PROGRESS_INTERVAL,
        last_progress: (now, 0),
    };
    ReplyBody::new(StreamBody::new(stream::unfold(follower, |mut follower| async move {
        let chunk = follower.next_chunk().await?;
        Some((Ok::<_, Infallible>(Frame::data(chunk)), follower))
    })))
}

/// A client following a scan.
struct Follower {
    running: Running,
    milestones: watch::Receiver<Milestone>,
    framing: Framing,
    /// Taken when the end is told.
    audit: Option<Audit>,
    /// What is left of the last record, once it is begun.
    end: Option<Chunks>,
    /// Findings told of.
    told: usize,
    progress_at: Instant,
    /// When progress was last told, and how many targets were done then.
    last_progress: (Instant, u64),
}

/// What a stream tells.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Record {
    Port {
        address: std::net::IpAddr,
        #[serde(flatten)]
        port: PortReport,
    },
    Progress {
        done: u64,
        total: u64,
        /// Targets a second since the last such record.
        rate: u64,
    },
}

impl Follower {
    /// Waits until there is something to tell; `None` after the end.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some(end) = &mut self.end {
            return end.next();
        }
        let mut is_over = false;
        loop {
            if Instant::now() >= self.progress_at {
                return Some(self.tell_progress());
            }
            let milestone = *self.milestones.borrow_and_update();
            if milestone.found > self.told {
                return Some(self.tell_findings());
            }
            if milestone.finished || is_over {
                return self.tell_end();
            }
            tokio::select! {
                // The scan lives as long as `self`.
                _ = self.milestones.changed() => {}
                () = sleep_until(self.progress_at.into()) => {}
                // What was found by then comes before the end.
                () = self.running.ended() => is_over = true,
            }
        }
    }

    fn tell_findings(&mut self) -> Bytes {
        let scan = self.running.scan();
        let findings = scan.findings(self.told, limits::FINDINGS_A_CHUNK);
        self.told += findings.len();
        let mut chunk = Vec::new();
        for finding in &findings {
            let Finding { address, .. } = *finding;
            self.write(&mut chunk, &Record::Port { address, port: PortReport::new(finding) });
        }
        chunk.into()
    }

    fn tell_progress(&mut self) -> Bytes {
        let (progress, now) = (self.running.scan().progress(), Instant::now());
        let (then, before) = self.last_progress;
        let seconds = now.duration_since(then).as_secs_f64();
        let rate = progress.done.saturating_sub(before) as f64 / seconds;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let rate = rate.round() as u64;
        self.last_progress = (now, progress.done);
        self.progress_at = now + limits::PROGRESS_INTERVAL;
        let mut chunk = Vec::new();
        let (done, total) = (progress.done, progress.total);
        self.write(&mut chunk, &Record::Progress { done, total, rate });
        chunk.into()
    }

    fn tell_end(&mut self) -> Option<Bytes> {
        // Without its last record, a stream is not whole.
        let (report, found) = self.running.report().ok()?;
        if let Some(audit) = self.audit.take() {
            audit.reported(&report);
        }
        let mut last = Vec::new();
        // A scan that goes on for others may have found more meanwhile.
        for finding in self.running.scan().findings(self.told, found - self.told) {
            let port = PortReport::new(&finding);
            self.write(&mut last, &Record::Port { address: finding.address, port });
        }
        let (before, after) = match self.framing {
            Framing::Lines => ("", "}\n"),
            Framing::Events => ("event: end\ndata: ", "}\n\n"),
        };
        let last = String::from_utf8(last).expect("JSON is UTF-8");
        let before = format!("{last}{before}{{\"type\":\"end\",\"report\":");
        let chunks = Chunks::json(&before, report, self.running.expectation(), after);
        self.end.insert(chunks).next()
    }

    fn write(&self, chunk: &mut Vec<u8>, record: &Record) {
        if self.framing == Framing::Events {
            let event = match record {
                Record::Port { .. } => "port",
                Record::Progress { .. } => "progress",
            };
            chunk.extend_from_slice(format!("event: {event}\ndata: ").as_bytes());
        }
        serde_json::to_writer(&mut *chunk, record).expect("records have string keys");
        chunk.extend_from_slice(match self.framing {
            Framing::Lines => b"\n",
            Framing::Events => b"\n\n",
        });
    }
}
