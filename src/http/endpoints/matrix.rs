//! `GET /matrix`: what several instances of this service see of one host, each from where
//! it runs.
//!
//! An instance that is asked for peers asks each of them for itself, so that none of them
//! asks any further. Each counts its own row as one scan of the caller, whose token goes
//! along.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::future::join_all;
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::audit::Audit;
use super::scan_reply;
use crate::admission::NotAdmitted;
use crate::ask::Outcome;
use crate::caller::Caller;
use crate::config::Place;
use crate::http::app::App;
use crate::http::exchange::identity::Exchange;
use crate::http::exchange::negotiation::media_type;
use crate::http::exchange::reply::{Reply, json_line, uncached, with_body};
use crate::http::exchange::{problems, query};
use crate::http::peers::{self, Peer};
use crate::ports::PortSet;
use crate::report::{AddressFacts, IncompleteReason, Report};
use crate::request::matrix::parameters::OF_MATRIX;
use crate::request::matrix::{MatrixRequest, Who};
use crate::request::{Format, Layout};
use crate::scan::{PortState, Reason};

/// The reply.
#[derive(Debug, Serialize, Deserialize)]
struct Matrix {
    domain: String,
    /// Whether every vantage answered, and knows the state of every port.
    complete: bool,
    /// Addresses of peers that were not asked because there are too many.
    #[serde(default, skip_serializing_if = "is_default")]
    peers_left_out: usize,
    rows: Vec<Row>,
}

/// What one vantage says.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    vantage: Vantage,
    #[serde(flatten)]
    answer: Answer,
}

/// Where it is.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Vantage {
    /// Where its peer reached it.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(flatten)]
    place: Place,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Answer {
    Asked {
        complete: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<IncompleteReason>,
        addresses: Vec<AddressAnswer>,
    },
    NotAsked {
        not_asked: String,
    },
}

/// The ports of an address by their state, each as a list in the notation of `ports`.
#[derive(Debug, Serialize, Deserialize)]
struct AddressAnswer {
    address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<Ports>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Ports>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    filtered: BTreeMap<Reason, Ports>,
    /// Ports of unknown state.
    #[serde(default, skip_serializing_if = "is_default")]
    not_scanned: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    accepts_everything: bool,
}

/// A list of ports.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Ports(PortSet);

/// Answers what `GET` asks.
pub(crate) async fn get(
    app: &App,
    exchange: &Exchange,
    caller: &Caller,
    query: &str,
    headers: &HeaderMap,
) -> Reply {
    let request = match valid(app, query) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    match (request.from, &app.peers) {
        (Who::Peers, Some(peers)) => {
            let peer = Peer {
                token: headers.get(AUTHORIZATION).cloned(),
                request_id: exchange.id.as_str().to_owned(),
                query: query_of(&request),
                patience: request.scan.deadline.saturating_add(peers::MARGIN),
            };
            ask_all(app, caller, &request, peers, &peer).await
        }
        _ => ask_self(app, exchange, caller, request).await,
    }
}

/// Answers what `HEAD` asks: the same checks, but nobody is asked.
pub(crate) fn head(app: &App, query: &str) -> Reply {
    match valid(app, query) {
        Ok(_) => scan_reply::head(media_type(Format::Json)),
        Err(refusal) => *refusal,
    }
}

fn valid(app: &App, query: &str) -> Result<MatrixRequest, Box<Reply>> {
    let (params, errors) = query::parse_as(query, &OF_MATRIX);
    let knows_peers = app.peers.is_some();
    let request = errors.then(MatrixRequest::try_new(&params, &app.ceilings, knows_peers));
    request.map_err(|errors| Box::new(problems::invalid_parameters(errors)))
}

/// The row of this instance.
async fn ask_self(
    app: &App,
    exchange: &Exchange,
    caller: &Caller,
    MatrixRequest { scan, .. }: MatrixRequest,
) -> Reply {
    let mut audit = Audit::new(&app.metrics, &exchange.id, caller, &scan);
    let (domain, ports) = (scan.domain.clone(), scan.ports.clone());
    let asked = app.asker.ask(scan, &caller.account()).await;
    audit.asked(&asked);
    let running = match asked.outcome {
        Ok(Outcome::Running(running)) => running,
        Err(reason) => return scan_reply::not_started(&reason),
        Ok(Outcome::Explained(explanation)) => {
            return scan_reply::explanation(&explanation, Layout::Line);
        }
    };
    let report = match audit.finished(&running).await {
        Ok(report) => report,
        Err(error) => return problems::not_admitted(&NotAdmitted::no_memory(error)),
    };
    let vantage = Vantage { address: None, place: app.place.clone() };
    let row = Row { vantage, answer: Answer::of(&report, &ports) };
    reply(&Matrix::new(domain, vec![row], 0))
}

/// The rows of all peers, those that did not answer among them.
async fn ask_all(
    app: &App,
    caller: &Caller,
    request: &MatrixRequest,
    peers: &peers::Peers,
    peer: &Peer,
) -> Reply {
    // What it costs is counted where it scans. Here, it is a request.
    let _entry = match app.asker.enter(&caller.account()) {
        Ok(entry) => entry,
        Err(refusal) => return problems::not_admitted(&refusal),
    };
    let found = match peers.find(app.asker.resolver(), &caller.account()).await {
        Ok(found) => found,
        Err(error) => return problems::not_resolved(&error),
    };
    let domain = &request.scan.domain;
    let rows = found.asked.iter().map(|&address| async move {
        match peer.ask::<Matrix>(address).await.and_then(|matrix| matrix.only_row(domain)) {
            Ok(mut row) => {
                row.vantage.address = Some(address.ip());
                row
            }
            Err(reason) => Row {
                vantage: Vantage { address: Some(address.ip()), place: Place::default() },
                answer: Answer::NotAsked { not_asked: reason },
            },
        }
    });
    let rows = join_all(rows).await;
    let not_asked = rows.iter().filter(|row| matches!(row.answer, Answer::NotAsked { .. })).count();
    let matrix = Matrix::new(domain.clone(), rows, found.left_out);
    tracing::info!(
        request_id = peer.request_id,
        %caller,
        domain,
        ports = %request.scan.ports,
        peers = found.asked.len(),
        not_asked,
        complete = matrix.complete,
        "matrix"
    );
    reply(&matrix)
}

/// The query for a peer.
fn query_of(MatrixRequest { scan, .. }: &MatrixRequest) -> String {
    let family = scan.family.name();
    let (domain, ports) = (&scan.domain, &scan.ports);
    let (timeout, deadline) = (scan.timeout.as_millis(), scan.deadline.as_millis());
    // Brackets of an address are no letters of a query.
    let domain = domain.replace('[', "%5B").replace(']', "%5D");
    let rate = scan.rate.map(|rate| format!("&rate={rate}")).unwrap_or_default();
    format!(
        "domain={domain}&from=self&ports={ports}&family={family}&timeoutMs={timeout}\
         &deadlineMs={deadline}{rate}"
    )
}

fn reply(matrix: &Matrix) -> Reply {
    uncached(with_body(StatusCode::OK, media_type(Format::Json), json_line(matrix)))
}

impl Matrix {
    fn new(domain: String, rows: Vec<Row>, peers_left_out: usize) -> Self {
        let is_complete = |row: &Row| matches!(row.answer, Answer::Asked { complete: true, .. });
        let complete = peers_left_out == 0 && !rows.is_empty() && rows.iter().all(is_complete);
        Self { domain, complete, peers_left_out, rows }
    }

    /// The row of a peer that was asked for itself.
    fn only_row(self, domain: &str) -> Result<Row, String> {
        let mut rows = self.rows.into_iter();
        match (rows.next(), rows.next()) {
            (Some(row @ Row { answer: Answer::Asked { .. }, .. }), None)
                if self.domain == domain =>
            {
                Ok(row)
            }
            _ => Err("its answer is to another question".into()),
        }
    }
}

impl Answer {
    fn of(report: &Report, ports: &PortSet) -> Self {
        let facts = &report.facts;
        Self::Asked {
            complete: facts.is_complete(),
            reason: facts.reason,
            addresses: facts
                .addresses
                .iter()
                .map(|address| AddressAnswer::of(address, ports))
                .collect(),
        }
    }
}

impl AddressAnswer {
    fn of(facts: &AddressFacts, ports: &PortSet) -> Self {
        let mut open = Vec::new();
        let mut filtered: BTreeMap<Reason, Vec<u16>> = BTreeMap::new();
        for row in facts.rows() {
            match row.state {
                PortState::Open => open.push(row.port),
                PortState::Filtered => filtered.entry(row.reason).or_default().push(row.port),
                PortState::Closed => {}
            }
        }
        let others = open.iter().chain(filtered.values().flatten()).copied();
        // What has no row is closed, or was not scanned.
        let refused = match PortSet::from_ports(others) {
            _ if facts.not_scanned > 0 => None,
            Some(others) => ports.difference(&others),
            None => Some(ports.clone()),
        };
        let list = |(reason, ports)| Some((reason, Ports(PortSet::from_ports(ports)?)));
        Self {
            address: facts.address,
            open: PortSet::from_ports(open).map(Ports),
            refused: refused.map(Ports),
            filtered: filtered.into_iter().filter_map(list).collect(),
            not_scanned: facts.not_scanned,
            accepts_everything: facts.accepts_everything,
        }
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> Self {
        ports.0.to_string()
    }
}

impl TryFrom<String> for Ports {
    type Error = crate::ports::PortListError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// Whether it is what it is without anything to say.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
