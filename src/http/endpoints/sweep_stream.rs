//! The reply about a sweep, which grows while the sweep runs: records, or one JSON
//! document.
//!
//! Whatever the form, a host is written when it is done and then dropped. News are
//! taken from the sweep only when the client has read what came before: a sweep whose
//! reply is not read starts no further batch.

use std::iter::Peekable;
use std::time::{Instant, SystemTime};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use hyper::body::Bytes;
use tokio::task::yield_now;
use tokio::time::sleep_until;

use super::report_text::Chunks;
use super::scan_reply;
use super::stream::Framing;
use super::sweep_run::{EVENTS_A_TURN, Event, RunningSweep};
use crate::http::exchange::etag::{Known, Tag};
use crate::http::exchange::negotiation::media_type;
use crate::http::exchange::reply::{Reply, ReplyBody, growing};
use crate::limits;
use crate::report::{End, FactsDigest, HostRecord, Meter, Record};
use crate::request::{Format, Layout};
use crate::results::HostResult;
use crate::sweep::Found;

/// How a reply about a sweep is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Records, as things are found.
    Records(Framing),
    /// One JSON document with the report on each host, and the summary at its end.
    Document,
}

/// The body of a reply that follows `sweep` until it ends.
pub(super) fn body(sweep: RunningSweep, form: Form) -> ReplyBody {
    growing(Follower::new(sweep, form).into_chunks())
}

/// The reply with one JSON document. If it is short and done soon, it has a tag over what
/// was found, or is 304 to a client that has that already. Any other begins before it is
/// known what the tag would be.
pub(super) async fn document(sweep: RunningSweep, known: &Known) -> Reply {
    let begun = Instant::now();
    let mut follower = Follower::new(sweep, Form::Document);
    follower.facts = Some(Vec::new());
    let (mut chunks, mut length) = (Vec::new(), 0);
    let is_whole = loop {
        let Some(chunk) = follower.next_chunk().await else { break true };
        length += chunk.len();
        chunks.push(chunk);
        if length > limits::MAX_TAGGED_BYTES || begun.elapsed() > limits::TAG_PATIENCE {
            break false;
        }
    };
    let tag = follower.tag.take().filter(|_| is_whole);
    let body = growing(stream::iter(chunks).chain(follower.into_chunks()));
    let reply = scan_reply::stream(media_type(Format::Json), body);
    match tag {
        Some(tag) => known.answer(&tag, reply),
        None => reply,
    }
}

/// A client that follows a sweep.
struct Follower {
    sweep: RunningSweep,
    form: Form,
    /// Taken when it is written.
    opening: Option<&'static str>,
    /// Reports written so far.
    hosts: u64,
    /// The rest of a long report.
    rest: Option<Peekable<Chunks>>,
    is_over: bool,
    progress_at: Instant,
    meter: Meter,
    /// What was found on each host; `None` if that is too much to keep, or not wanted.
    facts: Option<Vec<FactsDigest>>,
    /// The tag of the document, once it is known and if the sweep is complete.
    tag: Option<Tag>,
}

impl Follower {
    fn new(sweep: RunningSweep, form: Form) -> Self {
        let now = Instant::now();
        Self {
            sweep,
            form,
            opening: (form == Form::Document).then_some(r#"{"hosts":["#),
            hosts: 0,
            rest: None,
            is_over: false,
            progress_at: now + limits::PROGRESS_INTERVAL,
            meter: Meter::new(now),
            facts: None,
            tag: None,
        }
    }

    /// What is still to be written.
    fn into_chunks(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut follower| async move {
            Some((follower.next_chunk().await?, follower))
        })
    }

    /// Waits until there is something to write; `None` after the end.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some(chunk) = self.rest.as_mut().and_then(Iterator::next) {
            return Some(chunk);
        }
        self.rest = None;
        if self.is_over {
            return None;
        }
        let mut chunk: Vec<u8> = self.opening.take().unwrap_or_default().into();
        for turn in 1_u64.. {
            if turn.is_multiple_of(EVENTS_A_TURN) {
                yield_now().await;
            }
            if self.is_over || self.rest.is_some() || chunk.len() + ROOM > limits::REPLY_CHUNK {
                return Some(chunk.into());
            }
            if Instant::now() >= self.progress_at {
                // Sent at once, even if there is always more to write.
                self.write_progress(&mut chunk);
                return Some(chunk.into());
            }
            let event = match self.sweep.next().now_or_never() {
                Some(event) => event,
                None if !chunk.is_empty() => return Some(chunk.into()),
                None => tokio::select! {
                    event = self.sweep.next() => event,
                    () = sleep_until(self.progress_at.into()) => continue,
                },
            };
            match event {
                Some(Event::Found(found)) => self.write_found(&found, &mut chunk),
                Some(Event::Host(result)) => self.write_host(*result, &mut chunk),
                None => self.write_end(&mut chunk),
            }
        }
        None
    }

    fn write_found(&self, Found { host, finding, .. }: &Found, chunk: &mut Vec<u8>) {
        if let Form::Records(framing) = self.form {
            framing.write(chunk, &Record::port_of(host, finding, SystemTime::now()));
        }
    }

    fn write_host(&mut self, HostResult { report, fault }: HostResult, chunk: &mut Vec<u8>) {
        match self.form {
            Form::Records(framing) => {
                if let Some(record) = HostRecord::of(&report, fault.as_deref()) {
                    framing.write(chunk, &Record::Host(record));
                }
            }
            Form::Document => {
                let separator: &[u8] = if self.hosts == 0 { b"\n" } else { b",\n" };
                self.hosts += 1;
                chunk.extend_from_slice(separator);
                self.facts = self.facts.take().filter(|facts| facts.len() < MOST_TAGGED_HOSTS);
                self.facts.iter_mut().for_each(|facts| facts.push(report.facts_digest()));
                let host = report.facts.domain.clone();
                let written = Chunks::new(report, self.sweep.expected_of(&host), |report| {
                    serde_json::to_vec(report).expect("reports have string keys")
                });
                let mut written = written.peekable();
                chunk.extend(written.next().into_iter().flatten());
                self.rest = written.peek().is_some().then_some(written);
            }
        }
    }

    fn write_progress(&mut self, chunk: &mut Vec<u8>) {
        let now = Instant::now();
        let look = self.sweep.look(&mut self.meter, now);
        self.progress_at = now + limits::PROGRESS_INTERVAL;
        match self.form {
            Form::Records(framing) => framing.write(chunk, &Record::Progress(look)),
            // JSON allows it between hosts. Only a write finds out that a client has left.
            Form::Document => chunk.push(b'\n'),
        }
    }

    fn write_end(&mut self, chunk: &mut Vec<u8>) {
        self.is_over = true;
        let summary = self.sweep.end();
        // Hosts are written in the order in which they were done.
        self.tag = self.facts.take().filter(|_| summary.complete).map(|mut facts| {
            facts.sort_unstable();
            Tag::of(Layout::Line, &facts)
        });
        match self.form {
            Form::Records(framing) => framing.write(chunk, &Record::End(End::Summary(&summary))),
            Form::Document => {
                let summary = serde_json::to_vec(&summary).expect("a summary has string keys");
                let members = summary.strip_prefix(b"{").expect("a struct is an object");
                chunk.extend_from_slice(b"\n],");
                chunk.extend_from_slice(members);
                chunk.push(b'\n');
            }
        }
    }
}

/// More hosts than a document with a tag has room for.
const MOST_TAGGED_HOSTS: usize = limits::MAX_TAGGED_BYTES / 128;

/// What a chunk has left for the next record, or the beginning of the next report.
const ROOM: usize = 1024;
