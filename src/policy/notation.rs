//! How rules are written: parsing and printing them.
//!
//! A list that does not mean what it seems to mean is worse than none, so text that
//! can be read in two ways is an error that says what to write instead. There is one
//! exception: `fd00::1:22` is an address, not a port of `fd00::1`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

use super::destination::MAPPED;
use super::rules::{Addresses, Rule, Rules};
use crate::ports::{PortSet, parse_port};

/// A rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{item:?} {fault}")]
pub struct RuleError {
    /// The rule as written.
    pub item: String,
    /// What is wrong with it.
    pub fault: RuleFault,
}

/// Why a rule cannot be read. The message says what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleFault {
    /// There is no text between two commas, or none at all.
    #[error("is empty; write rules like 10.0.0.0/8,fd00::/8, or none")]
    Empty,
    /// It is no address, network or known word.
    #[error(
        "is not an address (10.0.0.5, fd00::1), a network (10.0.0.0/8, fd00::/8), any, private, \
         link-local or loopback, with or without ports (10.0.0.0/8:22, [fd00::/8]:8000-8100)"
    )]
    NotARule,
    /// `none` beside other rules.
    #[error("means that there are no rules; remove it, or the other rules")]
    NoneAmongOthers,
    /// What follows the slash is not a prefix length.
    #[error("must have a prefix length of 0 to {0} after the slash")]
    Prefix(u8),
    /// The address has bits below the prefix.
    #[error("is an address with a prefix; write {network} or {address}")]
    HostBits {
        /// The network that the address is in.
        network: IpNet,
        /// The address alone.
        address: IpAddr,
    },
    /// IPv4 in IPv6 notation.
    #[error("is an IPv4 network; write {0}")]
    Mapped(Ipv4Net),
    /// IPv6 with ports but without brackets, which looks like an address.
    #[error("needs brackets around the IPv6 address before the ports; write {0}")]
    Unbracketed(String),
    /// What follows the colon is neither a port nor a range.
    #[error(
        "must have a port (22) or a range (8000-8100) within 1 to 65535 after the colon; for \
         several, repeat the address"
    )]
    Ports,
}

impl FromStr for Rules {
    type Err = RuleError;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        // Spaces are what YAML's folded lists leave behind.
        let items = || list.split(',').map(|item| item.trim_matches([' ', '\t', '\n', '\r']));
        if items().eq([NONE]) {
            return Ok(Self::none());
        }
        let read = |item: &str| {
            parse_rule(item).map_err(|fault| RuleError { item: item.to_owned(), fault })
        };
        items().map(read).collect::<Result<_, _>>().map(Self)
    }
}

fn parse_rule(item: &str) -> Result<Rule, RuleFault> {
    let (addresses, ports) = match (item.strip_prefix('['), item.split_once(':')) {
        _ if item.is_empty() => return Err(RuleFault::Empty),
        _ if item == NONE => return Err(RuleFault::NoneAmongOthers),
        (Some(rest), _) => parse_bracketed(rest)?,
        (None, Some((addresses, ports))) if !ports.contains(':') => {
            (parse_addresses(addresses)?, Some(ports))
        }
        (None, Some(_)) => (parse_unbracketed(item)?, None),
        (None, None) => (parse_addresses(item)?, None),
    };
    let ports = ports.map_or_else(|| Ok(PortSet::all()), parse_ports)?;
    Ok(Rule { addresses, ports })
}

/// Reads what follows an opening bracket: an IPv6 address, and ports if there are any.
fn parse_bracketed(rest: &str) -> Result<(Addresses, Option<&str>), RuleFault> {
    let (inner, after) = rest.split_once(']').ok_or(RuleFault::NotARule)?;
    let addresses = parse_addresses(inner)?;
    let ports = after.strip_prefix(':');
    match addresses {
        Addresses::Net(IpNet::V6(_)) if after.is_empty() || ports.is_some() => {
            Ok((addresses, ports))
        }
        _ => Err(RuleFault::NotARule),
    }
}

/// Reads IPv6 without brackets, where a final `:22` belongs to the address if that
/// makes a valid one.
fn parse_unbracketed(item: &str) -> Result<Addresses, RuleFault> {
    let whole = parse_addresses(item);
    if let Err(RuleFault::NotARule | RuleFault::Prefix(_)) = whole
        && let Some((before, after)) = item.rsplit_once(':')
        && parse_addresses(before) != Err(RuleFault::NotARule)
    {
        return Err(RuleFault::Unbracketed(format!("[{before}]:{after}")));
    }
    whole
}

fn parse_addresses(text: &str) -> Result<Addresses, RuleFault> {
    if let Some((_, named)) = Addresses::NAMED.iter().find(|(name, _)| *name == text) {
        return Ok(*named);
    }
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| RuleFault::NotARule)?;
    let longest = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
    let longest = u8::try_from(longest).expect("128 at most");
    let length = match prefix {
        Some(prefix) => parse_prefix(prefix).ok_or(RuleFault::Prefix(longest))?,
        None => longest,
    };
    let net = IpNet::new(address, length).map_err(|_| RuleFault::Prefix(longest))?;
    let network = net.trunc();
    match (network, network.addr().to_canonical()) {
        (IpNet::V6(mapped), IpAddr::V4(host)) if MAPPED.contains(&mapped) => {
            let length = length - MAPPED.prefix_len();
            Err(RuleFault::Mapped(Ipv4Net::new(host, length).expect("32 at most")))
        }
        _ if network != net => Err(RuleFault::HostBits { network, address }),
        _ => Ok(Addresses::Net(net)),
    }
}

fn parse_prefix(text: &str) -> Option<u8> {
    // `u8::from_str` alone would take "+8" and "08".
    text.parse().ok().filter(|length: &u8| length.to_string() == text)
}

fn parse_ports(text: &str) -> Result<PortSet, RuleFault> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = parse_port(first).zip(parse_port(last)).ok_or(RuleFault::Ports)?;
    PortSet::try_range(first, last).map_err(|_| RuleFault::Ports)
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str(NONE);
        }
        for (i, rule) in self.iter().enumerate() {
            write!(f, "{}{rule}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addresses, ports } = self;
        if *ports == PortSet::all() {
            write!(f, "{addresses}")
        } else if matches!(addresses, Addresses::Net(IpNet::V6(_))) {
            write!(f, "[{addresses}]:{ports}")
        } else {
            write!(f, "{addresses}:{ports}")
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Net(net) => net.fmt(f),
            named => {
                let name = Self::NAMED.iter().find(|(_, addresses)| addresses == named);
                f.write_str(name.expect("every word is listed").0)
            }
        }
    }
}

/// A list without rules. Empty text is an error instead: an unset variable in
/// `--deny "$NETWORKS"` must not turn a rule off unnoticed.
const NONE: &str = "none";

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rules_print_as_they_are_written() {
        for list in [
            "none",
            "any",
            "any:22",
            "private,link-local:1-1024,loopback",
            "10.0.0.0/8,10.0.0.5,10.0.0.5:22,10.0.0.5:8000-8100",
            "0.0.0.0/0,::/0",
            "fd00::/8,fd00::1,[fd00::1]:22,[fd00::/8]:1-1024",
            "64:ff9b::/96,::1,[::]:80",
            "fd00::1:22",
        ] {
            assert_eq!(list.parse::<Rules>().unwrap().to_string(), list);
        }
        for (list, printed) in [
            (" 10.0.0.0/8 ,\n any:22 ", "10.0.0.0/8,any:22"),
            ("10.0.0.5/32,[fd00::1/128]", "10.0.0.5,fd00::1"),
            ("any:1-65535,any:22-22", "any,any:22"),
            ("FD00:0::/8,[0::fffe:0:0/95]", "fd00::/8,::fffe:0:0/95"),
            (" none ", "none"),
        ] {
            assert_eq!(list.parse::<Rules>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn an_error_names_the_rule_and_what_to_write() {
        let not_a_rule = RuleFault::NotARule.to_string();
        let ports = RuleFault::Ports.to_string();
        let address =
            |network, address| format!("is an address with a prefix; write {network} or {address}");
        let brackets =
            |rule| format!("needs brackets around the IPv6 address before the ports; write {rule}");
        let prefix =
            |longest| format!("must have a prefix length of 0 to {longest} after the slash");
        for (item, message) in [
            ("", RuleFault::Empty.to_string()),
            ("none", RuleFault::NoneAmongOthers.to_string()),
            ("10.0.0.5/8", address("10.0.0.0/8", "10.0.0.5")),
            ("fd00::5/8:22", brackets("[fd00::5/8]:22")),
            ("[fd00::5/8]:22", address("fd00::/8", "fd00::5")),
            ("fd00::/8:22", brackets("[fd00::/8]:22")),
            ("2001:db8:0:0:0:0:0:1:22", brackets("[2001:db8:0:0:0:0:0:1]:22")),
            ("::ffff:10.0.0.0/104", "is an IPv4 network; write 10.0.0.0/8".into()),
            ("[::ffff:10.0.0.1]:22", "is an IPv4 network; write 10.0.0.1/32".into()),
            ("10.0.0.0/33", prefix(32)),
            ("10.0.0.0/08", prefix(32)),
            ("10.0.0.0/", prefix(32)),
            ("10.0.0.0/+8", prefix(32)),
            ("fd00::/129", prefix(128)),
            ("10.0.0.0/8:0", ports.clone()),
            ("10.0.0.0/8:65536", ports.clone()),
            ("10.0.0.0/8:", ports.clone()),
            ("any:9-5", ports.clone()),
            ("any:+5", ports.clone()),
            ("any:top100", ports.clone()),
            ("[fd00::1]:", ports),
            ("[fd00::1]22", not_a_rule.clone()),
            ("[fd00::]/8:22", not_a_rule.clone()),
            ("[fd00::1", not_a_rule.clone()),
            ("[10.0.0.1]:22", not_a_rule.clone()),
            ("[any]:22", not_a_rule.clone()),
            ("10.0.0.1:22:23", not_a_rule.clone()),
            ("22", not_a_rule.clone()),
            ("10.1/16", not_a_rule.clone()),
            ("010.0.0.1", not_a_rule.clone()),
            ("2130706433", not_a_rule.clone()),
            ("fe80::1%eth0", not_a_rule.clone()),
            ("db.example", not_a_rule.clone()),
            ("db.example:5432", not_a_rule.clone()),
            ("Any", not_a_rule),
            ("10.0.0.0/8 any", prefix(32)),
        ] {
            let error = format!("any,{item},loopback").parse::<Rules>().unwrap_err();
            assert_eq!(error.to_string(), format!("{item:?} {message}"));
        }
        for list in ["", "any,", ",any"] {
            let error = list.parse::<Rules>().unwrap_err();
            assert_eq!((error.item.as_str(), error.fault), ("", RuleFault::Empty), "{list:?}");
        }
    }

    /// A port or a range, few enough ports to try each.
    pub(in crate::policy) fn some_ports() -> impl Strategy<Value = PortSet> {
        let range = (1..=40u16, 0..=40u16);
        range.prop_map(|(first, more)| PortSet::try_range(first, first + more).unwrap())
    }

    pub(in crate::policy) fn some_rule() -> impl Strategy<Value = Rule> {
        let net = (any::<IpAddr>(), any::<u8>()).prop_filter_map("IPv4-mapped", |(address, n)| {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let net = IpNet::new(address, n % (longest + 1)).unwrap().trunc();
            let mapped = matches!(net, IpNet::V6(net) if MAPPED.contains(&net));
            (!mapped).then_some(Addresses::Net(net))
        });
        let named = prop::sample::select(Addresses::NAMED.to_vec());
        let ports = prop_oneof![
            Just(PortSet::all()),
            some_ports(),
            (1..=u16::MAX).prop_map(|first| PortSet::try_range(first, u16::MAX).unwrap()),
        ];
        (prop_oneof![net, named.prop_map(|(_, named)| named)], ports)
            .prop_map(|(addresses, ports)| Rule { addresses, ports })
    }

    pub(in crate::policy) fn some_rules() -> impl Strategy<Value = Rules> {
        prop::collection::vec(some_rule(), 0..6).prop_map(Rules)
    }

    proptest! {
        #[test]
        fn parse_of_print_is_identity(rules in some_rules()) {
            prop_assert_eq!(rules.to_string().parse::<Rules>(), Ok(rules));
        }

        #[test]
        fn no_text_makes_the_parser_panic(
            text in r"([0-9a-f.:/\[\], -]|any|none|private|::ffff:|/8|\PC){0,24}",
        ) {
            match text.parse::<Rules>() {
                Ok(rules) => prop_assert_eq!(rules.to_string().parse::<Rules>(), Ok(rules)),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
