//! A digest of facts: equal for reports that found the same, whatever it took.

use sha2::{Digest as _, Sha256};

use super::{Facts, Report};

/// The digest of some facts.
pub(crate) type FactsDigest = [u8; 32];

impl Report {
    /// The digest of what was found, and of how that differs from what was expected.
    pub(crate) fn facts_digest(&self) -> FactsDigest {
        let mut digest = Feed(Sha256::new());
        let Facts { domain, from_port, to_port, open_ports, reason, rule, addresses, left_out } =
            &self.facts;
        digest.text(domain);
        digest.ports([*from_port, *to_port].into_iter());
        digest.ports(open_ports.iter().copied());
        digest.text(reason.map_or("", |reason| reason.name()));
        digest.text(rule.as_deref().unwrap_or_default());
        digest.number(u64::from(self.comparison.is_some()));
        if let Some(comparison) = &self.comparison {
            digest.number(u64::from(comparison.as_expected));
            digest.ports(comparison.unexpected.iter().copied());
            digest.ports(comparison.missing.iter().copied());
        }
        digest.number(addresses.len() as u64);
        for address in addresses {
            digest.text(&address.address.to_string());
            digest.ports(address.open_ports.iter());
            let counts = [address.closed, address.filtered, address.not_scanned];
            counts.into_iter().for_each(|count| digest.number(count.into()));
            digest.number(address.filtered_by.len() as u64);
            for (reason, &count) in &address.filtered_by {
                digest.text(reason.name());
                digest.number(count.into());
            }
            digest.number(u64::from(address.accepts_everything));
            digest.number(u64::from(address.ports.is_some()));
            for row in address.rows() {
                digest.ports([row.port].into_iter());
                digest.text(row.state.name());
                digest.text(row.reason.name());
            }
            digest.text("");
        }
        digest.number(left_out.len() as u64);
        left_out.iter().for_each(|address| digest.text(&address.to_string()));
        digest.0.finalize().into()
    }
}

/// Takes values so that no two series of them look alike.
struct Feed(Sha256);

impl Feed {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    /// No port is 0, which ends the list.
    fn ports(&mut self, ports: impl Iterator<Item = u16>) {
        ports.chain([0]).for_each(|port| self.0.update(port.to_be_bytes()));
    }
}
