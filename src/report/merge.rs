//! Which reports of shards make up the report on a whole sweep.
//!
//! Decides by what each file was found to hold, without reading any. Every shard counts
//! once; what is missing, cut or there twice is named.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{IncompleteReason, ShardLabel, Summary};
use crate::ports::PortSet;

/// What a file holds.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The name of the file.
    pub(crate) name: String,
    /// The summary at its end; `None` if it is cut.
    pub(crate) summary: Option<Summary>,
}

/// How several files become one report.
#[derive(Debug)]
pub(crate) struct Merge {
    /// What the shards have in common.
    pub(crate) label: ShardLabel,
    /// The files that count, by index, in the order of their shards.
    pub(crate) whole: Vec<usize>,
    /// Files that are cut, while shards are missing. What they have counts if no other
    /// has it.
    pub(crate) cut: Vec<usize>,
    /// What to know about the files.
    pub(crate) remarks: Vec<String>,
    /// The sum of what counts, without cut files.
    pub(crate) summary: Summary,
}

/// Why files do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum MergeError {
    /// Nothing says which shards there are.
    #[error("none of the reports has an end, which would say what it is about")]
    NoEnd,
    /// A report that is no shard's.
    #[error("{0} is no report on a shard: it was written without --shard")]
    NoShard(String),
    /// A number that no shard has.
    #[error("{name} says that it is shard {number} of {count}")]
    Number {
        /// The name of the file.
        name: String,
        /// The shard that it names.
        number: u32,
        /// How many there are.
        count: u32,
    },
    /// Shards of different sweeps.
    #[error("{name} and {other} are not of one sweep: {what}")]
    Differs {
        /// The name of the file.
        name: String,
        /// The name of the first file.
        other: String,
        /// In what they differ.
        what: String,
    },
}

impl Merge {
    /// Decides what becomes of each file.
    ///
    /// # Errors
    /// When the files do not belong together.
    pub(crate) fn try_new(sources: &[Source]) -> Result<Self, MergeError> {
        let whole = labelled(sources)?;
        let (first, label) = whole.first().map(|&(at, label, _)| (at, label.clone())).ok_or(
            // Files that are cut could be shards of any sweep.
            MergeError::NoEnd,
        )?;
        for &(at, other, _) in &whole[1..] {
            same_sweep((sources, first, &label), at, other)?;
        }
        let mut shards: BTreeMap<u32, Vec<(usize, &Summary)>> = BTreeMap::new();
        for &(at, label, summary) in &whole {
            shards.entry(label.number).or_default().push((at, summary));
        }
        let list = whole.iter().find_map(|(_, label, _)| label.list.clone());
        let ports = Some(label.ports.clone());
        let mut merge = Self {
            label: ShardLabel { list, ..label },
            whole: Vec::with_capacity(shards.len()),
            cut: Vec::new(),
            remarks: Vec::new(),
            summary: Summary { ports, nothing_open: Some(Vec::new()), ..Summary::default() },
        };
        let missing = merge.note_missing(&shards);
        for (at, source) in sources.iter().enumerate() {
            if source.summary.is_none() {
                merge.note_cut(at, &source.name, missing);
            }
        }
        for (&number, reports) in &shards {
            merge.take(number, reports, sources);
        }
        merge.summary.complete = merge.summary.reason.is_none();
        Ok(merge)
    }

    /// Names the shards that no file has; returns whether there are any.
    fn note_missing(&mut self, shards: &BTreeMap<u32, Vec<(usize, &Summary)>>) -> bool {
        let count = self.label.count;
        let missing = u64::from(count) - shards.len() as u64;
        if missing == 0 {
            return false;
        }
        self.because(IncompleteReason::MissingShard);
        let absent = (1..=count).filter(|number| !shards.contains_key(number));
        let named: Vec<String> =
            absent.take(MAX_NAMED).map(|number| format!("{number}/{count}")).collect();
        let more = match missing.saturating_sub(named.len() as u64) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (plural, verb) = if missing == 1 { ("", "is") } else { ("s", "are") };
        self.remarks.push(format!("shard{plural} {}{more} {verb} missing", named.join(", ")));
        true
    }

    fn note_cut(&mut self, at: usize, name: &str, missing: bool) {
        if missing {
            self.cut.push(at);
            self.remarks.push(format!("{name} is cut; what it has is merged"));
        } else {
            // It was scanned again.
            let why = "no shard is missing without it, so it is left out";
            self.remarks.push(format!("{name} is cut; {why}"));
        }
    }

    /// Counts one of the reports on a shard.
    fn take(&mut self, number: u32, reports: &[(usize, &Summary)], sources: &[Source]) {
        // A scan that was stopped and made again has left two; otherwise nobody knows
        // which is the right one.
        let of_whole = reports.iter().filter(|(_, summary)| summary.complete);
        let is_sure = reports.len() == 1 || of_whole.clone().count() == 1;
        let most = || reports.iter().rev().max_by_key(|(_, summary)| summary.hosts);
        let &(taken, summary) = of_whole.clone().next().or_else(most).expect("a report");
        for &(at, _) in reports.iter().filter(|&&(at, _)| at != taken) {
            let (count, name, other) = (self.label.count, &sources[taken].name, &sources[at].name);
            let why = if is_sure { "is complete" } else { "counts" };
            self.remarks.push(format!(
                "shard {number}/{count} is there twice, in {name} and {other}: {name} {why}, \
                 {other} is left out"
            ));
        }
        if !is_sure {
            self.because(IncompleteReason::RepeatedShard);
        }
        self.whole.push(taken);
        self.summary.add(summary);
    }

    fn because(&mut self, reason: IncompleteReason) {
        self.summary.reason.get_or_insert(reason);
    }
}

impl Summary {
    /// Adds another part of the same sweep, which was scanned at the same time.
    fn add(&mut self, other: &Self) {
        self.reason = self.reason.or(other.reason);
        self.hosts += other.hosts;
        self.addresses += other.addresses;
        self.up += other.up;
        self.open += other.open;
        self.closed += other.closed;
        self.filtered += other.filtered;
        self.not_scanned += other.not_scanned;
        self.unvisited_hosts += other.unvisited_hosts;
        self.elapsed = self.elapsed.max(other.elapsed);
        let both = self.nothing_open.take().zip(other.nothing_open.clone());
        self.nothing_open = both.map(|(one, other)| [one, other].concat());
    }
}

type Labelled<'a> = (usize, &'a ShardLabel, &'a Summary);

/// The files that have an end.
fn labelled(sources: &[Source]) -> Result<Vec<Labelled<'_>>, MergeError> {
    let mut whole = Vec::new();
    for (at, Source { name, summary }) in sources.iter().enumerate() {
        let Some(summary) = summary else { continue };
        let label = summary.shard.as_ref().ok_or_else(|| MergeError::NoShard(name.clone()))?;
        let ShardLabel { number, count, .. } = *label;
        if number == 0 || number > count {
            return Err(MergeError::Number { name: name.clone(), number, count });
        }
        whole.push((at, label, summary));
    }
    Ok(whole)
}

fn same_sweep(
    (sources, first, label): (&[Source], usize, &ShardLabel),
    at: usize,
    other: &ShardLabel,
) -> Result<(), MergeError> {
    let mut what = Vec::new();
    if other.count != label.count {
        what.push(format!("{} shards and {}", other.count, label.count));
    }
    if other.seed != label.seed {
        what.push(format!("--seed {} and {}", other.seed, label.seed));
    }
    if other.ports != label.ports {
        what.push(format!("ports {} and {}", short(&other.ports), short(&label.ports)));
    }
    // A scan that was stopped early does not know the whole list.
    if let (Some(other), Some(list)) = (&other.list, &label.list)
        && other != list
    {
        what.push("their lists of hosts differ".into());
    }
    if what.is_empty() {
        return Ok(());
    }
    let (name, other) = (sources[at].name.clone(), sources[first].name.clone());
    Err(MergeError::Differs { name, other, what: what.join("; ") })
}

/// A list of ports that fits into a message.
fn short(ports: &PortSet) -> String {
    let list = ports.to_string();
    match list.char_indices().nth(MAX_LIST) {
        Some((end, _)) => format!("{}… ({} ports)", &list[..end], ports.len()),
        None => list,
    }
}

/// Missing shards that are named one by one.
const MAX_NAMED: usize = 10;

/// Characters of a list of ports in a message.
const MAX_LIST: usize = 40;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::targets::Shard;

    fn label(shard: &str) -> ShardLabel {
        let shard: Shard = shard.parse().unwrap();
        ShardLabel::new(shard, 0, "22,80".parse().unwrap()).of_list(Some(7))
    }

    /// A report on a shard with one host, which has one open port.
    fn summary(shard: &str) -> Summary {
        Summary {
            complete: true,
            hosts: 1,
            addresses: 1,
            up: 1,
            open: 1,
            closed: 1,
            elapsed: Duration::from_secs(2),
            shard: Some(label(shard)),
            ..Summary::default()
        }
    }

    fn incomplete(shard: &str, hosts: u64) -> Summary {
        let reason = Some(IncompleteReason::Interrupted);
        Summary { complete: false, reason, hosts, ..summary(shard) }
    }

    /// Files of the names a, b, and so on.
    fn sources(summaries: Vec<Option<Summary>>) -> Vec<Source> {
        let names = ('a'..).map(String::from);
        names.zip(summaries).map(|(name, summary)| Source { name, summary }).collect()
    }

    fn merge(summaries: Vec<Option<Summary>>) -> Result<Merge, MergeError> {
        Merge::try_new(&sources(summaries))
    }

    #[test]
    fn all_shards_in_any_order_are_the_whole() {
        let late = Summary { elapsed: Duration::from_secs(9), ..summary("2/3") };
        let merged = merge(vec![Some(summary("3/3")), Some(summary("1/3")), Some(late)]).unwrap();
        assert_eq!((merged.whole, merged.remarks), (vec![1, 2, 0], Vec::<String>::new()));
        let Summary { complete, reason, hosts, open, closed, elapsed, .. } = merged.summary;
        assert_eq!((complete, reason, hosts, open, closed), (true, None, 3, 3, 3));
        // They were scanned at the same time.
        assert_eq!(elapsed, Duration::from_secs(9));
    }

    #[test]
    fn a_missing_shard_is_named_and_what_a_cut_file_has_is_merged() {
        let merged = merge(vec![Some(summary("3/4")), None, Some(summary("1/4"))]).unwrap();
        assert_eq!((merged.whole, merged.cut), (vec![2, 0], vec![1]));
        assert_eq!(merged.summary.reason, Some(IncompleteReason::MissingShard));
        assert!(!merged.summary.complete);
        assert_eq!(
            merged.remarks,
            ["shards 2/4, 4/4 are missing", "b is cut; what it has is merged"]
        );
        let merged = merge(vec![Some(summary("7/1000"))]).unwrap();
        assert!(merged.remarks[0].ends_with("10/1000, 11/1000 and 989 more are missing"));
    }

    #[test]
    fn a_cut_file_whose_shard_was_scanned_again_is_left_out() {
        let merged = merge(vec![None, Some(summary("1/1"))]).unwrap();
        assert_eq!((merged.whole, merged.cut), (vec![1], vec![]));
        assert!(merged.summary.complete);
        assert!(merged.remarks[0].starts_with("a is cut; "));
    }

    #[test]
    fn a_shard_that_is_there_twice_is_named_and_counts_once() {
        let merged = merge(vec![Some(summary("1/1")), Some(summary("1/1"))]).unwrap();
        assert_eq!((merged.whole, merged.summary.open), (vec![0], 1));
        assert_eq!(merged.summary.reason, Some(IncompleteReason::RepeatedShard));
        assert_eq!(
            merged.remarks,
            ["shard 1/1 is there twice, in a and b: a counts, b is left out"]
        );
        // An incomplete one was repeated.
        let merged = merge(vec![Some(incomplete("1/1", 1)), Some(summary("1/1"))]).unwrap();
        assert_eq!((merged.whole, merged.summary.complete), (vec![1], true));
        assert_eq!(
            merged.remarks,
            ["shard 1/1 is there twice, in b and a: b is complete, a is left out"]
        );
        // Of incomplete ones, that with the most hosts.
        let twice = vec![Some(incomplete("1/1", 1)), Some(incomplete("1/1", 5))];
        let merged = merge(twice).unwrap();
        assert_eq!((merged.whole, merged.summary.hosts), (vec![1], 5));
    }

    #[test]
    fn an_incomplete_shard_makes_the_whole_incomplete() {
        let merged = merge(vec![Some(summary("1/2")), Some(incomplete("2/2", 3))]).unwrap();
        assert_eq!(merged.summary.reason, Some(IncompleteReason::Interrupted));
        assert_eq!((merged.summary.complete, merged.summary.hosts), (false, 4));
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused_with_what_differs() {
        let with = |change: fn(&mut ShardLabel)| {
            let mut other = label("2/2");
            change(&mut other);
            let other = Summary { shard: Some(other), ..summary("2/2") };
            merge(vec![Some(summary("1/2")), Some(other)]).unwrap_err().to_string()
        };
        for (error, what) in [
            (with(|label| label.count = 3), "3 shards and 2"),
            (with(|label| label.seed = 1), "--seed 1 and 0"),
            (with(|label| label.ports = "22".parse().unwrap()), "ports 22 and 22,80"),
            (with(|label| label.list = Some("8".into())), "their lists of hosts differ"),
        ] {
            assert_eq!(error, format!("b and a are not of one sweep: {what}"));
        }
        let unknown = Summary { shard: Some(label("2/2").of_list(None)), ..incomplete("2/2", 1) };
        assert!(merge(vec![Some(unknown), Some(summary("1/2"))]).is_ok());
        let whole = Summary { shard: None, ..summary("1/1") };
        assert_eq!(merge(vec![Some(whole)]).unwrap_err(), MergeError::NoShard("a".into()));
        assert_eq!(merge(vec![None, None]).unwrap_err(), MergeError::NoEnd);
        let mut none = label("1/1");
        none.number = 2;
        let none = Summary { shard: Some(none), ..summary("1/1") };
        assert_eq!(
            merge(vec![Some(none)]).unwrap_err().to_string(),
            "a says that it is shard 2 of 1"
        );
    }
}
