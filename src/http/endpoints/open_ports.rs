//! `GET /open-ports`: from the query to a report, a stream or a refusal.

use std::borrow::Cow;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::HeaderMap;

use super::audit::Audit;
use super::result_page;
use super::scan_reply::{self, with_timing};
use super::stream::{self, Framing};
use crate::admission::NotAdmitted;
use crate::ask::{Outcome, Running};
use crate::caller::Caller;
use crate::http::app::App;
use crate::http::exchange::etag::Known;
use crate::http::exchange::held::Held;
use crate::http::exchange::identity::Exchange;
use crate::http::exchange::negotiation::{self, media_type};
use crate::http::exchange::reply::Reply;
use crate::http::exchange::{problems, query};
use crate::request::{Format, ScanRequest};

/// Answers what `GET` asks.
pub(crate) async fn get(
    app: &App,
    exchange: &Exchange,
    caller: &Caller,
    query: &str,
    headers: &HeaderMap,
) -> Reply {
    match checked(app, query, headers) {
        Ok((request, format)) => {
            let wanted = Wanted { format, known: Known::of(headers), query };
            answer(app, (exchange, caller), request, &wanted).await
        }
        Err(refusal) => *refusal,
    }
}

/// Answers what `HEAD` asks: the same checks, but nothing is looked up.
pub(crate) fn head(app: &App, query: &str, headers: &HeaderMap) -> Reply {
    let checked = checked(app, query, headers);
    let is_page = matches!(checked, Ok((_, Format::Html)));
    let reply = scan_reply::head_of(checked);
    if is_page { result_page::with_policy(reply) } else { reply }
}

/// Whether this is a browser that is to be shown a page, also if there is a problem.
pub(crate) fn prefers_page(query: &str, headers: &HeaderMap) -> bool {
    matches!(query::word(query, "format"), None | Some("" | "html"))
        && negotiation::negotiate(None, headers, offer(query)) == Ok(Format::Html)
}

/// The formats for `query`. JSON that is indented, and an explanation, are no page: a
/// browser whose user asks for them shows JSON.
fn offer(query: &str) -> &'static [Format] {
    let is_set = |name| query::word(query, name) == Some("true");
    if is_set("pretty") || is_set("explain") {
        &negotiation::OF_SCAN_DATA
    } else {
        &negotiation::OF_SCAN
    }
}

/// What a reply depends on besides its scan.
struct Wanted<'a> {
    format: Format,
    known: Known,
    query: &'a str,
}

fn checked(
    app: &App,
    query: &str,
    headers: &HeaderMap,
) -> Result<(ScanRequest, Format), Box<Reply>> {
    // A form without scripts sends also the fields that were left empty.
    let filled = if prefers_page(query, headers) {
        Cow::Owned(query::without_empty(query))
    } else {
        Cow::Borrowed(query)
    };
    let (params, errors) = query::parse(&filled);
    let invalid = |errors| Box::new(problems::invalid_parameters(errors));
    let request = errors.then(ScanRequest::try_new(&params, &app.ceilings)).map_err(invalid)?;
    let format = scan_reply::format(request.format, headers, offer(query))?;
    request.check_format(format).map_err(invalid)?;
    Ok((request, format))
}

async fn answer(
    app: &App,
    (exchange, caller): (&Exchange, &Caller),
    request: ScanRequest,
    to: &Wanted<'_>,
) -> Reply {
    let layout = request.layout;
    let mut audit = Audit::new(&app.metrics, &exchange.id, caller, &request);
    let asked = app.asker.ask(request, &caller.account()).await;
    audit.asked(&asked);
    let mut steps: Vec<(&str, Duration)> = Vec::new();
    steps.extend(asked.checks.resolving.map(|resolving| ("resolve", resolving)));
    let reply = match asked.outcome {
        Err(reason) => scan_reply::not_started(&reason),
        Ok(Outcome::Explained(explanation)) => scan_reply::explanation(&explanation, layout),
        Ok(Outcome::Running(running)) => match to.format {
            Format::Ndjson => streamed(running, to.format, Framing::Lines, audit),
            Format::Sse => streamed(running, to.format, Framing::Events, audit),
            Format::Json | Format::Text | Format::Html => {
                whole(running, audit, (to, &mut steps)).await
            }
        },
    };
    with_timing(reply, &steps)
}

/// Replies at once, and goes on until the scan has ended.
fn streamed(running: Running, format: Format, framing: Framing, audit: Audit) -> Reply {
    scan_reply::stream(media_type(format), stream::body(running, framing, audit))
}

/// Replies once the scan has ended.
async fn whole(
    running: Running,
    audit: Audit,
    (to, steps): (&Wanted<'_>, &mut Vec<(&str, Duration)>),
) -> Reply {
    let report = match audit.finished(&running).await {
        Ok(report) => report,
        Err(error) => return problems::not_admitted(&NotAdmitted::no_memory(error)),
    };
    steps.push(("scan", running.scan().elapsed()));
    let reply = match to.format {
        Format::Text => scan_reply::open_ports_text(&report, running.request()),
        Format::Html => scan_reply::page(report, running.request(), to.query),
        _ => scan_reply::report(report, running.request(), &to.known),
    };
    // Until the body is taken, the request counts among the caller's.
    let entry = running.into_entry();
    reply.map(|body| Held::new(body, entry).boxed_unsync())
}
