//! `GET /sweep` and `POST /sweep`: many hosts, from the query or from a list.

use std::error::Error;
use std::pin::pin;

use hyper::HeaderMap;
use hyper::body::{Body, Bytes};

use super::audit::Outcome;
use super::stream::Framing;
use super::sweep_audit::SweepAudit;
use super::sweep_run::{self, Hosts};
use super::sweep_stream::{self, Form};
use super::{scan_reply, sweep_explain, sweep_list};
use crate::ask::SweepEntry;
use crate::caller::Caller;
use crate::http::app::App;
use crate::http::exchange::etag::Known;
use crate::http::exchange::identity::Exchange;
use crate::http::exchange::negotiation::{OF_SWEEP as FORMATS, media_type};
use crate::http::exchange::reply::Reply;
use crate::http::exchange::{problems, query};
use crate::request::Format;
use crate::request::parameters::Parameter;
use crate::request::sweep::parameters::{OF_SWEEP, of_list};
use crate::request::sweep::{SweepRequest, Targets, first_words};

/// Answers what `GET` asks.
pub(crate) async fn get(
    app: &App,
    exchange: &Exchange,
    caller: &Caller,
    query: &str,
    headers: &HeaderMap,
) -> Reply {
    let (request, format) = match checked(app, query, &OF_SWEEP, headers) {
        Ok(checked) => checked,
        Err(refusal) => return *refusal,
    };
    let (entry, audit) = match enter(app, (exchange, "/sweep"), caller, &request) {
        Ok(entered) => entered,
        Err(refusal) => return *refusal,
    };
    let hosts = Hosts { targets: Targets::Typed(request.typed.clone()), memory: None };
    if format == Format::Json {
        let known = Known::of(headers);
        return match sweep_run::start(app, request, hosts, entry, audit).await {
            Ok(running) => sweep_stream::document(running, &known).await,
            Err(refusal) => *refusal,
        };
    }
    answer(app, request, format, hosts, entry, audit).await
}

/// Answers what `POST` asks, whose body is a list of hosts.
pub(crate) async fn post<B>(
    app: &App,
    exchange: &Exchange,
    caller: &Caller,
    query: &str,
    headers: &HeaderMap,
    body: B,
) -> Reply
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let begun = async {
        let (request, format) = checked(app, query, of_list(), headers)?;
        sweep_list::check(headers, &*body)?;
        let (entry, mut audit) = enter(app, (exchange, "/sweep"), caller, &request)?;
        let list = sweep_list::read(body.as_mut(), &entry).await.map_err(|(outcome, reply)| {
            audit.not_started(outcome);
            reply
        })?;
        audit.targets(&first_words(&list.text));
        let hosts = Hosts { targets: Targets::Listed(list.text), memory: Some(list.memory) };
        Ok::<_, Box<Reply>>((request, format, hosts, entry, audit))
    };
    match begun.await {
        Ok((request, format, hosts, entry, audit)) => {
            answer(app, request, format, hosts, entry, audit).await
        }
        Err(refusal) => {
            sweep_list::discard(body, headers).await;
            *refusal
        }
    }
}

/// Answers what `HEAD` asks: the same checks as of `GET`, but nothing is looked up.
pub(crate) fn head(app: &App, query: &str, headers: &HeaderMap) -> Reply {
    scan_reply::head_of(checked(app, query, &OF_SWEEP, headers))
}

/// A valid request, from a query with the parameters in `table`.
pub(super) fn valid(
    app: &App,
    query: &str,
    table: &'static [Parameter],
) -> Result<SweepRequest, Box<Reply>> {
    let (params, errors) = query::parse_as(query, table);
    let request = errors.then(SweepRequest::try_new(&params, &app.ceilings));
    request.map_err(|errors| Box::new(problems::invalid_parameters(errors)))
}

fn checked(
    app: &App,
    query: &str,
    table: &'static [Parameter],
    headers: &HeaderMap,
) -> Result<(SweepRequest, Format), Box<Reply>> {
    let request = valid(app, query, table)?;
    let format = scan_reply::format(request.format, headers, &FORMATS)?;
    Ok((request, format))
}

/// Lets the request in, and begins its record.
pub(super) fn enter(
    app: &App,
    (exchange, route): (&Exchange, &'static str),
    caller: &Caller,
    request: &SweepRequest,
) -> Result<(SweepEntry, SweepAudit), Box<Reply>> {
    let mut audit = SweepAudit::new(&app.metrics, (route, exchange.id.as_str()), caller, request);
    match app.asker.enter(&caller.account()) {
        Ok(entry) => Ok((entry, audit)),
        Err(refusal) => {
            audit.not_started(Outcome::NotAdmitted);
            Err(Box::new(problems::not_admitted(&refusal)))
        }
    }
}

async fn answer(
    app: &App,
    request: SweepRequest,
    format: Format,
    hosts: Hosts,
    entry: SweepEntry,
    audit: SweepAudit,
) -> Reply {
    let form = match format {
        Format::Sse => Form::Records(Framing::Events),
        Format::Json => Form::Document,
        // No sweep is written as text.
        Format::Ndjson | Format::Text | Format::Html => Form::Records(Framing::Lines),
    };
    if request.explain {
        return sweep_explain::reply(&request, &hosts.targets, &entry, audit).await;
    }
    match sweep_run::start(app, request, hosts, entry, audit).await {
        Ok(running) => scan_reply::stream(media_type(format), sweep_stream::body(running, form)),
        Err(refusal) => *refusal,
    }
}
