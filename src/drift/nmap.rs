//! Reads nmap's XML (-oX), as nmap and this program write it.
//!
//! A file from elsewhere is not to be trusted: entities of its own are refused, and
//! nothing that it names is opened.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use roxmltree::{Document, Node, ParsingOptions};

use super::facts::{Fact, Gap, HostFacts, PortFacts, State, Survey};
use super::read::{CUT, line_at};
use crate::ports::{PortSet, parse_port};
use crate::report::IncompleteReason;

/// Reads a document.
///
/// # Errors
/// Says what is wrong with it, and where.
pub(super) fn read(text: &str) -> Result<Survey, String> {
    let text = text.trim_start();
    if let Some(at) = text.find("<!ENTITY") {
        let line = line_at(text.as_bytes(), at);
        return Err(format!("line {line}: declares an entity, which no scan needs"));
    }
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| format!("line {}: {error}", error.pos().row))?;
    let root = document.root_element();
    if root.tag_name().name() != "nmaprun" {
        let (line, name) = (line_of(root), root.tag_name().name());
        return Err(format!("line {line}: is <{name}>, not <nmaprun> as nmap writes it"));
    }
    let run = Run::of(root);
    let mut survey = Survey::new();
    for node in root.children().filter(Node::is_element) {
        match node.tag_name().name() {
            "host" => run.host(node, &mut survey)?,
            "target" if node.attribute("status") == Some("skipped") => {
                let host = node.attribute("specification").unwrap_or_default();
                survey.add(
                    host,
                    HostFacts::unknown(Gap::NotScanned(run.failure.unwrap_or("skipped"))),
                );
            }
            _ => {}
        }
    }
    match (run.is_whole, run.failure) {
        (false, _) => survey.leave_out(CUT),
        (true, Some(failure)) => survey.leave_out(Gap::NotScanned(failure)),
        (true, None) => {}
    }
    Ok(survey)
}

/// What a document says of all hosts.
struct Run {
    /// The ports that were to be scanned, if it says so.
    asked: Option<Arc<PortSet>>,
    /// Whether other protocols were scanned, too, so that counts mix them.
    is_mixed: bool,
    /// Whether it has its end.
    is_whole: bool,
    /// Why not everything was scanned.
    failure: Option<&'static str>,
}

impl Run {
    fn of(root: Node<'_, '_>) -> Self {
        let infos = || root.children().filter(|node| node.has_tag_name("scaninfo"));
        let is_tcp = |node: &Node<'_, '_>| node.attribute("protocol") == Some("tcp");
        let lists = infos().filter(is_tcp).map(|node| node.attribute("services").and_then(ports));
        let asked: Option<Vec<PortSet>> = lists.collect();
        let asked = asked.and_then(|lists| lists.into_iter().reduce(|one, two| one.union(&two)));
        let end = root.descendants().find(|node| node.has_tag_name("finished"));
        let failure = end.filter(|end| end.attribute("exit") == Some("error"));
        Self {
            asked: asked.map(Arc::new),
            is_mixed: !infos().all(|node| is_tcp(&node)),
            is_whole: end.is_some(),
            failure: failure.map(|end| known(end.attribute("errormsg").unwrap_or_default())),
        }
    }

    fn host(&self, node: Node<'_, '_>, survey: &mut Survey) -> Result<(), String> {
        let children =
            |name: &'static str| node.children().filter(move |child| child.has_tag_name(name));
        let mut address = None;
        for child in children("address").filter(|child| child.attribute("addrtype") != Some("mac"))
        {
            let text = child.attribute("addr").unwrap_or_default();
            let read = text.parse::<IpAddr>();
            address =
                Some(read.map_err(|_| format!("line {}: {text:?} is no address", line_of(child)))?);
        }
        let address =
            address.ok_or_else(|| format!("line {}: a host without an address", line_of(node)))?;
        let names = children("hostnames").flat_map(|names| names.children());
        let mut typed = names.filter(|name| name.attribute("type") == Some("user"));
        let typed = typed.find_map(|name| name.attribute("name").map(str::to_owned));
        let host = typed.unwrap_or_else(|| address.to_string());
        let state = children("status").find_map(|status| status.attribute("state"));
        let facts = match (state, children("ports").next()) {
            (Some("down"), _) => Err(Gap::NotScanned("host-down")),
            (_, _) if node.attribute("timedout") == Some("true") => {
                Err(Gap::NotScanned("host-timeout"))
            }
            (_, None) => Err(Gap::NotScanned("no-port-scan")),
            (_, Some(ports)) => Ok(self.ports(ports)?),
        };
        survey.add(
            &host,
            match facts {
                Ok(facts) => {
                    HostFacts { addresses: [(address, facts)].into(), ..HostFacts::default() }
                }
                Err(gap) => HostFacts::unknown(gap),
            },
        );
        Ok(())
    }

    fn ports(&self, node: Node<'_, '_>) -> Result<PortFacts, String> {
        let mut listed: BTreeMap<Fact, Vec<PortSet>> = BTreeMap::new();
        let (mut rest, mut count) = (None, 0_u32);
        for child in node.children().filter(Node::is_element) {
            match child.tag_name().name() {
                "port" if child.attribute("protocol") == Some("tcp") => {
                    let number = child.attribute("portid").unwrap_or_default();
                    let Some(port) = parse_port(number) else {
                        return Err(format!("line {}: {number:?} is no port", line_of(child)));
                    };
                    let mut states = child.children().filter(|state| state.has_tag_name("state"));
                    let state = states.find_map(|state| state.attribute("state"));
                    let state = state.ok_or_else(|| {
                        format!("line {}: a port without a state", line_of(child))
                    })?;
                    listed.entry(self.fact(state)).or_default().extend(PortSet::from_ports([port]));
                    count += 1;
                }
                "extraports" => {
                    let fact = self.fact(child.attribute("state").unwrap_or_default());
                    let number = child.attribute("count").and_then(|count| count.parse().ok());
                    count = count.saturating_add(number.unwrap_or(0));
                    match listed_extras(child, number) {
                        Some(ports) => listed.entry(fact).or_default().push(ports),
                        None => rest = Some(rest.map_or(fact, |rest| either(rest, fact))),
                    }
                }
                _ => {}
            }
        }
        let is_all = self.is_mixed || self.asked.as_ref().is_none_or(|asked| count >= asked.len());
        Ok(PortFacts {
            asked: self.asked.clone(),
            count: (!self.is_mixed).then_some(count),
            listed: super::facts::disjoint(listed),
            rest: match rest {
                Some(rest) if is_all => rest,
                Some(_) | None => Err(Gap::NotScanned(self.failure.unwrap_or("not-listed"))),
            },
        })
    }

    fn fact(&self, state: &str) -> Fact {
        match state {
            "not-scanned" => Err(Gap::NotScanned(self.failure.unwrap_or(super::report::UNKNOWN))),
            state => fact(state),
        }
    }
}

/// The ports of an `extraports`, which newer versions of nmap list.
fn listed_extras(node: Node<'_, '_>, count: Option<u32>) -> Option<PortSet> {
    let reasons = node.children().filter(|child| child.has_tag_name("extrareasons"));
    let lists: Option<Vec<PortSet>> = reasons
        .filter(|reason| reason.attribute("proto").is_none_or(|proto| proto == "tcp"))
        .map(|reason| reason.attribute("ports").and_then(ports))
        .collect();
    let ports = lists?.into_iter().reduce(|one, other| one.union(&other))?;
    (Some(ports.len()) == count).then_some(ports)
}

/// What a state of nmap says.
pub(super) fn fact(state: &str) -> Fact {
    match state {
        "open" => Ok(State::Open),
        "closed" => Ok(State::Closed),
        "filtered" => Ok(State::Filtered),
        "closed|filtered" => Ok(State::NotOpen),
        _ => Err(Gap::Undecided),
    }
}

/// What is known of a port that is in one of two sets.
pub(super) fn either(one: Fact, other: Fact) -> Fact {
    match (one, other) {
        (one, other) if one == other => one,
        (Ok(one), Ok(other)) if one != State::Open && other != State::Open => Ok(State::NotOpen),
        (Ok(_), Ok(_)) => Err(Gap::Undecided),
        (Err(gap), _) | (_, Err(gap)) => Err(gap),
    }
}

/// A list of ports as nmap writes it, which may have port 0.
pub(super) fn ports(list: &str) -> Option<PortSet> {
    let list = match list.strip_prefix('0') {
        Some(rest) if rest.starts_with('-') => format!("1{rest}"),
        Some(rest) if rest.starts_with(',') => rest[1..].to_owned(),
        _ => list.to_owned(),
    };
    list.parse().ok()
}

/// The reason of ours that has this name.
pub(super) fn known(reason: &str) -> &'static str {
    let named = serde_json::from_value::<IncompleteReason>(reason.into());
    named.map_or("error", IncompleteReason::name)
}

fn line_of(node: Node<'_, '_>) -> u32 {
    node.document().text_pos_at(node.range().start).row
}
