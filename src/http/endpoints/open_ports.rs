//! `GET /open-ports`: from the query to a report, a stream or a refusal.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::HeaderMap;

use super::audit::Audit;
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
            let known = Known::of(headers);
            answer(app, (exchange, caller), request, format, &known).await
        }
        Err(refusal) => *refusal,
    }
}

/// Answers what `HEAD` asks: the same checks, but nothing is looked up.
pub(crate) fn head(app: &App, query: &str, headers: &HeaderMap) -> Reply {
    scan_reply::head_of(checked(app, query, headers))
}

fn checked(
    app: &App,
    query: &str,
    headers: &HeaderMap,
) -> Result<(ScanRequest, Format), Box<Reply>> {
    let (params, errors) = query::parse(query);
    let invalid = |errors| Box::new(problems::invalid_parameters(errors));
    let request = errors.then(ScanRequest::try_new(&params, &app.ceilings)).map_err(invalid)?;
    let format = scan_reply::format(request.format, headers, &negotiation::OF_SCAN)?;
    request.check_format(format).map_err(invalid)?;
    Ok((request, format))
}

async fn answer(
    app: &App,
    (exchange, caller): (&Exchange, &Caller),
    request: ScanRequest,
    format: Format,
    known: &Known,
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
        Ok(Outcome::Running(running)) => match format {
            Format::Ndjson => streamed(running, format, Framing::Lines, audit),
            Format::Sse => streamed(running, format, Framing::Events, audit),
            Format::Json | Format::Text | Format::Html => {
                whole(running, format, audit, (known, &mut steps)).await
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
    format: Format,
    audit: Audit,
    (known, steps): (&Known, &mut Vec<(&str, Duration)>),
) -> Reply {
    running.ended().await;
    let report = match running.report() {
        Ok((report, _)) => report,
        Err(error) => {
            audit.not_reported();
            return problems::not_admitted(&NotAdmitted::no_memory(error));
        }
    };
    audit.reported(&report);
    steps.push(("scan", running.scan().elapsed()));
    let reply = match format {
        Format::Text => scan_reply::open_ports_text(&report, running.request()),
        _ => scan_reply::report(report, running.request(), known),
    };
    // Until the body is taken, the request counts among the caller's.
    let entry = running.into_entry();
    reply.map(|body| Held::new(body, entry).boxed_unsync())
}
