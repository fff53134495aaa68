//! Which part of a sweep a report is about.

use serde::{Deserialize, Serialize};

use crate::ports::PortSet;
use crate::targets::Shard;

/// The part of a sweep that was scanned, and what all parts must have in common to be
/// merged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardLabel {
    /// The shard's number, from 1.
    pub(crate) number: u32,
    /// How many shards there are.
    pub(crate) count: u32,
    /// The seed of the order that was divided.
    pub(crate) seed: u64,
    /// The ports of each host.
    #[serde(with = "as_list")]
    pub(crate) ports: PortSet,
    /// A checksum of the list of hosts; `None` if the list was not read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) list: Option<String>,
}

impl ShardLabel {
    /// The label of reports on `shard`.
    pub(crate) fn new(shard: Shard, seed: u64, ports: PortSet) -> Self {
        Self { number: shard.number(), count: shard.count(), seed, ports, list: None }
    }

    /// The same for a list of hosts with that checksum.
    #[must_use]
    pub(crate) fn of_list(self, checksum: Option<u64>) -> Self {
        Self { list: checksum.map(|checksum| format!("{checksum:016x}")), ..self }
    }
}

/// Ports as they are typed.
mod as_list {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::ports::PortSet;

    pub(super) fn serialize<S: Serializer>(ports: &PortSet, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(ports)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PortSet, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|error| de::Error::custom(format_args!("ports: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_which_shard_of_which_sweep_and_is_read_back() {
        let shard = Shard::try_new(3, 16).unwrap();
        let label = ShardLabel::new(shard, 7, "22,8000-8100".parse().unwrap());
        let text = serde_json::to_string(&label).unwrap();
        assert_eq!(text, "{\"number\":3,\"count\":16,\"seed\":7,\"ports\":\"22,8000-8100\"}");
        assert_eq!(serde_json::from_str::<ShardLabel>(&text).unwrap(), label);
        let label = label.of_list(Some(0xabc));
        let text = serde_json::to_string(&label).unwrap();
        assert!(text.ends_with(",\"list\":\"0000000000000abc\"}"), "{text}");
        assert_eq!(serde_json::from_str::<ShardLabel>(&text).unwrap(), label);
        let wrong = text.replace("8000-8100", "8100-8000");
        assert!(serde_json::from_str::<ShardLabel>(&wrong).is_err());
    }
}
