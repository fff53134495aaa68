//! Which addresses and ports may be scanned.
//!
//! An intruder would like a scanner that others can reach, so an operator limits
//! what it scans. Policy is checked against addresses, never against names. Three
//! layers decide, the strongest first: built-in rules about what is never scanned,
//! the operator's deny rules, and the operator's allow rules. What no rule allows
//! is refused. An IPv6 address that stands for an IPv4 host is checked as both.

mod destination;
mod never;
mod notation;
mod rules;

use std::fmt;
use std::net::IpAddr;

pub use notation::{RuleError, RuleFault};
pub use rules::{Rule, Rules};

use crate::ports::PortSet;
use destination::Destination;

/// The rules of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    allow: Rules,
    deny: Rules,
    /// Whether the cloud's metadata may be asked, as far as the rules allow it.
    metadata: bool,
}

/// Whether ports of an address may be scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// All of them may be scanned.
    Allowed {
        /// The rules that allow it together, in the order written. Each allows ports
        /// that those before it do not; mostly there is one.
        rules: Vec<Rule>,
    },
    /// At least one of them may not be scanned, so none is.
    Refused(Refusal),
}

/// What is refused, and by which rule.
///
/// It prints as a sentence for people. Programs read [`Self::rule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that decided.
    pub rule: RefusingRule,
    /// The address that the rule matches: the requested one, or the IPv4 host that
    /// it stands for.
    pub address: IpAddr,
    /// The requested ports that the rule refuses.
    pub ports: PortSet,
}

/// The rule behind a refusal, from the strongest layer down.
///
/// It prints as a name that stays the same in later versions: `cloud-metadata`,
/// `deny 10.0.0.0/8`, `not-allowed`. There are no more names than rules, so that a
/// name can label a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusingRule {
    /// A built-in rule, by its name. No rule of the operator overrides it.
    Never(&'static str),
    /// A deny rule of the operator.
    Deny(Rule),
    /// No rule allows it.
    NotAllowed,
}

impl Policy {
    /// A policy of these rules. [`Rules::any`] and [`Rules::none`] together allow
    /// everything except what is never scanned.
    #[must_use]
    pub fn new(allow: Rules, deny: Rules) -> Self {
        Self { allow, deny, metadata: false }
    }

    /// The same policy, but the addresses of cloud metadata services may be asked. Only a
    /// person at a prompt can want that: a service that did it would hand out the
    /// credentials of its node.
    #[must_use]
    pub(crate) fn with_metadata(self) -> Self {
        Self { metadata: true, ..self }
    }

    /// What is allowed.
    #[must_use]
    pub(crate) fn allow(&self) -> &Rules {
        &self.allow
    }

    /// What is denied.
    #[must_use]
    pub(crate) fn deny(&self) -> &Rules {
        &self.deny
    }

    /// Checks a scan of `ports` of `address`.
    #[must_use]
    pub(crate) fn judge(&self, address: IpAddr, ports: &PortSet) -> Decision {
        let destination = Destination::of(address);
        let refused = |rule, address, ports| Decision::Refused(Refusal { rule, address, ports });
        if let Some((name, face)) = never::find(&destination, self.metadata) {
            return refused(RefusingRule::Never(name), face, ports.clone());
        }
        for rule in self.deny.iter() {
            if let Some(face) = rule.denies(&destination)
                && let Some(denied) = ports.intersection(rule.ports())
            {
                return refused(RefusingRule::Deny(rule.clone()), face, denied);
            }
        }
        let mut rules = Vec::new();
        let mut left = ports.clone();
        for rule in self.allow.iter().filter(|rule| rule.allows(&destination)) {
            let rest = left.difference(rule.ports());
            if rest.as_ref() != Some(&left) {
                rules.push(rule.clone());
            }
            match rest {
                Some(rest) => left = rest,
                None => return Decision::Allowed { rules },
            }
        }
        refused(RefusingRule::NotAllowed, destination.end(), left)
    }
}

impl Decision {
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// The rules that decided, as an audit line names them: `allow 10.0.0.0/8`,
    /// `not-allowed`.
    pub(crate) fn rule(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.rule.to_string(),
            Self::Allowed { rules } => {
                let rules: Vec<String> = rules.iter().map(|rule| format!("allow {rule}")).collect();
                rules.join(", ")
            }
        }
    }
}

impl fmt::Display for RefusingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never(name) => f.write_str(name),
            Self::Deny(rule) => write!(f, "deny {rule}"),
            Self::NotAllowed => f.write_str("not-allowed"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, address, ports } = self;
        let ports = match ports.to_string() {
            list if list.len() <= LONGEST_LIST => format!("ports {list}"),
            _ => format!("{} ports from {} to {}", ports.len(), ports.first(), ports.last()),
        };
        match rule {
            RefusingRule::Never(name) => write!(f, "{address} is never scanned ({name})"),
            RefusingRule::Deny(rule) => write!(f, "{address} is denied by {rule} ({ports})"),
            RefusingRule::NotAllowed => write!(f, "{address} is not in the allow list ({ports})"),
        }
    }
}

/// The longest list of ports in a sentence: what a person reads at a glance.
const LONGEST_LIST: usize = 40;

#[cfg(test)]
mod tests;
