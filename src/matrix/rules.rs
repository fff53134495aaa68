//! The rules of `reach.txt`: what each vantage ought to reach.
//!
//! The notation is that of np-guard's netpol-analyzer, so that what it predicts can be
//! checked: `shop/web[Deployment] => shop/db[Deployment] : TCP 5432`.

use std::fmt;

use thiserror::Error;

use super::peer::{Peer, PeerError, Target};
use crate::ports::{PortListError, PortSet};
use crate::targets::{HostAndPort, HostSpec};

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// In the order written.
    pub(crate) rules: Vec<Rule>,
    /// What it says that cannot be judged, in words.
    pub(crate) notes: Vec<String>,
}

/// What some vantages ought to reach of some targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The number of its line, from 1.
    pub(crate) line: usize,
    /// `None` is `*`: every vantage that other rules name.
    pub(crate) from: Option<Peer>,
    /// `None` is `*`: every target that other rules name.
    pub(crate) to: Option<Target>,
    /// What ought to be so.
    pub(crate) claim: Claim,
}

/// What ought to be so of some ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Whether they are open.
    pub(crate) expected: Expected,
    /// `None`: all ports that are asked of the target in any case.
    pub(crate) ports: Option<PortSet>,
}

/// What a port ought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Expected {
    Open,
    Denied,
}

/// A line that cannot be understood. The message follows the file's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub(crate) struct LineError {
    pub(crate) line: usize,
    pub(crate) fault: LineFault,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum LineFault {
    #[error("write a rule like \"shop/web => db.internal : TCP 5432\"; {0}")]
    Form(&'static str),
    #[error("{word:?} {error}")]
    Peer { word: String, error: PeerError },
    #[error("{0}")]
    Ports(PortListError),
    #[error("{0:?} is not what may be reached; write TCP and ports (TCP 80,8000-8010), or none")]
    Connections(String),
    #[error("the ports are behind the target and behind the colon; write them behind the colon")]
    PortsTwice,
}

impl Rules {
    /// Reads lines that each have a rule. A comment starts with `#`.
    ///
    /// # Errors
    /// Every line that cannot be understood.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<LineError>> {
        // Some editors begin a file with a byte-order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (mut rules, mut errors) = (Self::default(), Vec::new());
        for (index, text) in text.lines().enumerate() {
            let line = index + 1;
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            if let Err(fault) = rules.read_line(line, text) {
                errors.push(LineError { line, fault });
            }
        }
        if errors.is_empty() { Ok(rules) } else { Err(errors) }
    }

    fn read_line(&mut self, line: usize, text: &str) -> Result<(), LineFault> {
        let (from, rest) = text.split_once("=>").ok_or(LineFault::Form("\"=>\" is missing"))?;
        let (to, connections) = split_at_colon(rest)?;
        let (from, to) = (from.trim(), to.trim());
        // The analyser has lines about the world outside of its cluster.
        if is_addresses(from) {
            self.notes.push(format!("line {line}: nothing can be asked from {from}"));
            return Ok(());
        }
        if is_everything(to) {
            self.notes.push(format!("line {line}: not every address there is can be asked"));
            return Ok(());
        }
        let peer = |word: &str, error| LineFault::Peer { word: word.into(), error };
        let from = match from {
            ANY => None,
            _ => Some(from.parse().map_err(|error| peer(from, error))?),
        };
        let to = match to {
            ANY => None,
            _ => Some(to.parse().map_err(|error| peer(to, error))?),
        };
        let Connections { expected, mut ports, others } = connections.parse()?;
        if let Some(Target::Hosts(HostAndPort { port: Some(port), .. })) = &to {
            if ports.is_some() {
                return Err(LineFault::PortsTwice);
            }
            ports = PortSet::from_ports([*port]);
        }
        for protocol in others {
            self.notes.push(format!("line {line}: {protocol} is not asked, only TCP"));
        }
        if let Some(expected) = expected {
            self.rules.push(Rule { line, from, to, claim: Claim { expected, ports } });
        }
        Ok(())
    }
}

/// What stands behind the colon.
struct Connections {
    /// `None`: nothing is said of TCP.
    expected: Option<Expected>,
    ports: Option<PortSet>,
    /// Protocols other than TCP.
    others: Vec<&'static str>,
}

impl std::str::FromStr for Connections {
    type Err = LineFault;

    fn from_str(text: &str) -> Result<Self, LineFault> {
        let text = text.trim();
        let all = |expected| Ok(Self { expected: Some(expected), ports: None, others: Vec::new() });
        let is = |words: &str| text.eq_ignore_ascii_case(words);
        if is("none") || is("no connections") {
            return all(Expected::Denied);
        }
        if is("all connections") {
            return all(Expected::Open);
        }
        let foreign = || LineFault::Connections(text.into());
        let mut words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).peekable();
        let expected = match words.next_if(|word| word.eq_ignore_ascii_case("none")) {
            Some(_) => Expected::Denied,
            None => Expected::Open,
        };
        let (mut protocol, mut items, mut others) = (None, Vec::new(), Vec::new());
        for word in words {
            let named = PROTOCOLS.iter().find(|name| word.eq_ignore_ascii_case(name));
            match (named, protocol) {
                (Some(name), _) => {
                    protocol = Some(*name);
                    if *name != TCP {
                        others.push(*name);
                    }
                }
                (None, None) => return Err(foreign()),
                (None, Some(TCP)) => items.push(word),
                (None, Some(_)) => drop(PortSet::typed(word).map_err(LineFault::Ports)?),
            }
        }
        let ports = match items.is_empty() {
            true => None,
            false => Some(PortSet::typed(&items.join(",")).map_err(LineFault::Ports)?),
        };
        if protocol.is_none() || (ports.is_none() && others.is_empty()) {
            return Err(foreign());
        }
        let expected = ports.is_some().then_some(expected);
        Ok(Self { expected, ports, others })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Denied => "denied",
        })
    }
}

/// Splits at the last colon that ends a word: others belong to an address or a port.
fn split_at_colon(text: &str) -> Result<(&str, &str), LineFault> {
    let mut colons = text.rmatch_indices(':').map(|(at, _)| at);
    let at = colons.find(|at| text[at + 1..].is_empty() || text[at + 1..].starts_with([' ', '\t']));
    match at.map(|at| (&text[..at], &text[at + 1..])) {
        Some((_, after)) if after.trim().is_empty() => {
            Err(LineFault::Form("behind the colon there is nothing"))
        }
        Some((before, _)) if before.trim().is_empty() => {
            Err(LineFault::Form("the target is missing"))
        }
        Some(parts) => Ok(parts),
        None => Err(LineFault::Form("\":\" and what may be reached are missing")),
    }
}

/// Whether it is an address, a network or a range.
fn is_addresses(word: &str) -> bool {
    matches!(word.parse(), Ok(HostSpec::Addresses(_)))
}

fn is_everything(word: &str) -> bool {
    matches!(word, "0.0.0.0-255.255.255.255" | "0.0.0.0/0" | "::/0")
}

const ANY: &str = "*";
const TCP: &str = "TCP";
const PROTOCOLS: [&str; 3] = [TCP, "UDP", "SCTP"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Rules {
        Rules::read(text).unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    fn claims(text: &str) -> Vec<(Expected, String)> {
        let claim = |rule: &Rule| {
            let ports = rule.claim.ports.as_ref().map(ToString::to_string);
            (rule.claim.expected, ports.unwrap_or_default())
        };
        read(text).rules.iter().map(claim).collect()
    }

    #[test]
    fn a_rule_has_a_vantage_a_target_and_ports() {
        let text = "\u{feff}# who reaches what\n\n\
                    shop/web[Deployment] => shop/db[Deployment] : TCP 5432 # the database\n\
                    shop/* => 10.0.0.53:TCP 53\n\
                    https://probe.example\t=>\tweb.internal : TCP 80,443,8000-8010\n\
                    as shop/deploy/web => [::1]:22 : none\n\
                    * => * : none\n";
        let error = Rules::read(text).unwrap_err();
        assert_eq!(error[0].line, 4, "{error:?}");
        let rules = read(&text.replace("53:TCP", "53 : TCP")).rules;
        let lines: Vec<usize> = rules.iter().map(|rule| rule.line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7]);
        assert_eq!(rules[0].from, Some("shop/web[Deployment]".parse().unwrap()));
        assert_eq!(rules[0].to, Some("shop/db[Deployment]".parse().unwrap()));
        assert_eq!(rules[2].claim.ports, Some("80,443,8000-8010".parse().unwrap()));
        let denied = |ports: Option<&str>| Claim {
            expected: Expected::Denied,
            ports: ports.map(|ports| ports.parse().unwrap()),
        };
        assert_eq!(rules[3].claim, denied(Some("22")));
        assert_eq!((&rules[4].from, &rules[4].to), (&None, &None));
        assert_eq!(rules[4].claim, denied(None));
    }

    #[test]
    fn the_words_of_the_analyser_are_known() {
        use Expected::*;
        for (connections, expected) in [
            ("No Connections", Some((Denied, ""))),
            ("none", Some((Denied, ""))),
            ("All Connections", Some((Open, ""))),
            ("TCP 80", Some((Open, "80"))),
            ("tcp https", Some((Open, "443"))),
            ("TCP 1-8079,8081-65535,UDP 1-65535", Some((Open, "1-8079,8081-65535"))),
            ("SCTP 1-65535,TCP 80,UDP 53", Some((Open, "80"))),
            ("TCP 80, 443", Some((Open, "80,443"))),
            ("UDP 53", None),
            ("none TCP 22,80", Some((Denied, "22,80"))),
        ] {
            let expected = expected.map(|(expected, ports)| (expected, ports.to_owned()));
            let found = claims(&format!("local => db : {connections}"));
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{connections}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_named() {
        let text = "0.0.0.0-255.255.255.255 => shop/web[Deployment] : TCP 80\n\
                    shop/web[Deployment] => 0.0.0.0-255.255.255.255 : All Connections\n\
                    local => db : UDP 53\n\
                    local => db : TCP 53,UDP 53\n";
        let Rules { rules, notes } = read(text);
        assert_eq!(rules.len(), 1);
        assert_eq!(
            notes,
            [
                "line 1: nothing can be asked from 0.0.0.0-255.255.255.255",
                "line 2: not every address there is can be asked",
                "line 3: UDP is not asked, only TCP",
                "line 4: UDP is not asked, only TCP",
            ]
        );
    }

    #[test]
    fn every_malformed_line_is_named_with_what_was_expected() {
        let lines = [
            ("shop/web -> db : TCP 1", "\"=>\" is missing"),
            ("local => db", "\":\" and what may be reached are missing"),
            ("local => db:5432", "\":\" and what may be reached are missing"),
            ("local => db :", "behind the colon there is nothing"),
            ("local => : none", "the target is missing"),
            ("web => db : none", "\"web\" is no vantage"),
            (" => db : none", "\"\" is no vantage"),
            ("local => shop/web[Thing] : none", "\"shop/web[Thing]\" is no kind of workload"),
            ("local => d_b! : none", "\"d_b!\" is not a host name"),
            ("local => db : 80", "\"80\" is not what may be reached; write TCP and ports"),
            ("local => db : TCP", "\"TCP\" is not what may be reached"),
            ("local => db : some", "\"some\" is not what may be reached"),
            ("local => db : TCP 0", "\"0\" is not a port (1 to 65535)"),
            ("local => db : TCP 80,80", "80 is listed more than once"),
            ("local => db:80 : TCP 80", "the ports are behind the target and behind the colon"),
        ];
        let text = lines.map(|(line, _)| line).join("\n");
        let errors = Rules::read(&text).unwrap_err();
        assert_eq!(errors.len(), lines.len(), "{errors:?}");
        for (error, (line, expected)) in errors.iter().zip(lines) {
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
        assert!(errors[3].to_string().starts_with("line 4: write a rule like"), "{}", errors[3]);
    }
}
