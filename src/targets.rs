//! Which hosts a sweep visits: as typed, as lines of a file, and in which order.
//!
//! Networks and ranges are kept as ranges, and a list of hosts is read in parts, so
//! that memory grows neither with the number of addresses nor with the length of the
//! list. Within a part, every host comes once, in a shuffled order.

mod addresses;
mod order;
mod shard;
mod word;

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use thiserror::Error;

pub(crate) use self::addresses::{AddressRange, AddressSet};
pub(crate) use self::order::{HostPosition, TypedOrder};
pub(crate) use self::shard::{SHARED_SEED, Shard, ShardError};
pub(crate) use self::word::{HostAndPort, HostSpec, HostSpecError};
use crate::host::Host;
use crate::ports::PortSet;
use crate::shuffle::Shuffle;

/// What becomes of the ports behind the hosts of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListedPorts {
    /// They are errors.
    #[default]
    Refused,
    /// They mean nothing, because others are scanned.
    Ignored,
    /// They are gathered, to be scanned. These were read so far.
    Gathered(BTreeSet<u16>),
    /// Those that are not among these are errors.
    Among(PortSet),
}

/// Why the rest of a list of hosts cannot be read.
#[derive(Debug, Error)]
pub(crate) enum HostListError {
    /// A word that names no hosts.
    #[error("line {line}: {word:?} {error}")]
    Word {
        /// The number of its line, from 1.
        line: u64,
        /// The word.
        word: String,
        /// What is wrong with it.
        error: HostSpecError,
    },
    /// A line that is too long, or not text.
    #[error("line {0} is not a list of hosts: longer than {MAX_LINE_BYTES} bytes, or not UTF-8")]
    Line(u64),
    /// The file or pipe cannot be read.
    #[error("line {line}: {source}")]
    Read {
        /// The number of the line, from 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
}

/// All hosts of a sweep, part by part.
pub(crate) struct HostList {
    /// Read, but not part of a set yet.
    waiting: Vec<HostSpec>,
    list: Option<Box<dyn BufRead + Send>>,
    line: u64,
    exclude: AddressSet,
    ports: ListedPorts,
    seed: u64,
    shard: Shard,
    /// Of what is excluded and of the words so far.
    checksum: u64,
    has_begun: bool,
    /// The limit of words that are shuffled together.
    words_a_set: usize,
}

/// Some hosts, each once, in a shuffled order.
#[derive(Clone, Debug)]
pub(crate) struct HostSet {
    addresses: AddressSet,
    names: Vec<String>,
    order: Shuffle,
    /// Which positions of the order to visit.
    shard: Shard,
    /// How many hosts there are in all shards.
    listed: u64,
    /// How many hosts were taken out.
    next: u64,
}

/// How a set is divided among shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Division {
    /// By position: the sizes differ by one host at most.
    ByPosition,
    /// By host: a host that several sets have is in the same shard each time.
    ByHost,
}

impl HostList {
    /// The hosts `typed`, and then those in the lines of `list`: words separated by
    /// blanks, and comments after `#`. Addresses in `exclude` are left out.
    #[must_use]
    pub(crate) fn new(
        typed: Vec<HostSpec>,
        list: Option<Box<dyn BufRead + Send>>,
        exclude: AddressSet,
        seed: u64,
    ) -> Self {
        let checksum = exclude.checksum(0);
        Self {
            waiting: typed,
            list,
            line: 0,
            exclude,
            ports: ListedPorts::default(),
            seed,
            shard: Shard::WHOLE,
            checksum,
            has_begun: false,
            words_a_set: WORDS_A_SET,
        }
    }

    /// The same list, of which only the hosts of `shard` come. All shards of a list
    /// have to have the same seed.
    // Hosts by position would be in two shards if two sets had them, and the sets of a
    // long list may. A list of one set has each host once.
    #[must_use]
    pub(crate) fn in_shard(self, shard: Shard) -> Self {
        Self { shard, ..self }
    }

    /// The same list, whose hosts may have ports.
    #[must_use]
    pub(crate) fn with_ports(self, ports: ListedPorts) -> Self {
        Self { ports, ..self }
    }

    /// What became of the ports so far.
    pub(crate) fn ports(&self) -> &ListedPorts {
        &self.ports
    }

    /// Makes errors of ports that are not among these, unless ports are ignored.
    pub(crate) fn keep_to(&mut self, ports: &PortSet) {
        if self.ports != ListedPorts::Ignored {
            self.ports = ListedPorts::Among(ports.clone());
        }
    }

    /// The next part of the hosts; `None` after the last.
    ///
    /// # Errors
    /// When the list cannot be read or understood.
    pub(crate) fn next_set(&mut self) -> Result<Option<HostSet>, HostListError> {
        let mut specs = std::mem::take(&mut self.waiting);
        while specs.len() < self.words_a_set && self.read_line(&mut specs)? {}
        if specs.is_empty() {
            return Ok(None);
        }
        self.seed = self.seed.wrapping_add(1);
        self.checksum = specs.iter().fold(self.checksum, HostSpec::checksum);
        let is_only_one = !self.has_begun && self.is_exhausted();
        self.has_begun = true;
        let division = if is_only_one { Division::ByPosition } else { Division::ByHost };
        let order = (self.seed, self.shard, division);
        Ok(Some(HostSet::new(specs, &self.exclude, order)))
    }

    /// Whether there is no further part.
    #[must_use]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.list.is_none() && self.waiting.is_empty()
    }

    /// A number that other lists do not have, once this one is exhausted.
    #[must_use]
    pub(crate) fn checksum(&self) -> u64 {
        self.checksum
    }

    /// The number of the last line read, from 1.
    #[must_use]
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Adds the hosts of the next line; `false` when there is none.
    fn read_line(&mut self, specs: &mut Vec<HostSpec>) -> Result<bool, HostListError> {
        let Some(list) = &mut self.list else { return Ok(false) };
        self.line += 1;
        let line = self.line;
        let mut bytes = Vec::new();
        let read = list.take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes);
        let read = read.map_err(|source| HostListError::Read { line, source })?;
        if read == 0 {
            self.list = None;
            return Ok(false);
        }
        let whole =
            read < usize::try_from(MAX_LINE_BYTES).unwrap_or(usize::MAX) || bytes.ends_with(b"\n");
        let text = String::from_utf8(bytes).ok().filter(|_| whole);
        let text = text.ok_or(HostListError::Line(line))?;
        // Some editors begin a file with a byte-order mark.
        let text = text.strip_prefix('\u{feff}').filter(|_| line == 1).unwrap_or(&text);
        let text = text.split('#').next().unwrap_or_default();
        for word in text.split_whitespace() {
            let failed = |error| HostListError::Word { line, word: word.to_owned(), error };
            let HostAndPort { hosts, port } = word.parse().map_err(failed)?;
            port.map_or(Ok(()), |port| self.ports.take(port)).map_err(failed)?;
            specs.push(hosts);
        }
        Ok(true)
    }
}

impl ListedPorts {
    fn take(&mut self, port: u16) -> Result<(), HostSpecError> {
        match self {
            Self::Refused => return Err(HostSpecError::Port),
            Self::Among(ports) if !ports.contains(port) => return Err(HostSpecError::OtherPort),
            Self::Gathered(ports) => {
                ports.insert(port);
            }
            Self::Ignored | Self::Among(_) => {}
        }
        Ok(())
    }
}

impl HostSet {
    fn new(
        specs: Vec<HostSpec>,
        exclude: &AddressSet,
        (seed, shard, division): (u64, Shard, Division),
    ) -> Self {
        let (mut ranges, mut names) = (Vec::new(), Vec::new());
        for spec in specs {
            match spec {
                HostSpec::Name(name) => names.push(name),
                HostSpec::Addresses(range) => ranges.push(range),
            }
        }
        names.sort_unstable();
        names.dedup();
        let mut addresses = AddressSet::new(ranges, exclude);
        let listed = addresses.len() + names.len() as u64;
        let shard = match division {
            Division::ByPosition => shard,
            Division::ByHost => {
                names.retain(|name| shard.has_name(name));
                addresses = addresses.in_shard(shard);
                Shard::WHOLE
            }
        };
        let order = Shuffle::new(addresses.len() + names.len() as u64, seed);
        Self { addresses, names, order, shard, listed, next: 0 }
    }

    /// How many hosts are left.
    #[must_use]
    pub(crate) fn remaining(&self) -> u64 {
        self.shard.positions(self.order.len()) - self.next
    }

    /// How many hosts there are in all shards.
    #[must_use]
    pub(crate) fn listed(&self) -> u64 {
        self.listed
    }

    /// How many of the hosts that are left are names, about.
    #[must_use]
    pub(crate) fn names(&self) -> u64 {
        self.left_of(self.names.len() as u64)
    }

    /// How many of the hosts that are left are addresses in `networks`, about.
    #[must_use]
    pub(crate) fn addresses_in(&self, networks: &AddressSet) -> u64 {
        self.left_of(self.addresses.len() - self.addresses.without(networks).len())
    }

    /// The share that is left of so many hosts.
    fn left_of(&self, count: u64) -> u64 {
        let left = u128::from(count) * u128::from(self.remaining());
        u64::try_from(left.div_ceil(self.order.len().max(1).into())).unwrap_or(u64::MAX)
    }
}

impl Iterator for HostSet {
    type Item = Host;

    fn next(&mut self) -> Option<Host> {
        if self.remaining() == 0 {
            return None;
        }
        let index = self.order.at(self.shard.position(self.next));
        self.next += 1;
        if let Some(address) = self.addresses.nth(index) {
            return Some(Host::Address(address));
        }
        let name = usize::try_from(index - self.addresses.len()).ok()?;
        self.names.get(name).cloned().map(Host::Name)
    }
}

/// The limit of words that are shuffled together: enough to spread the load widely,
/// and at most 2 MB of names of usual length.
const WORDS_A_SET: usize = 16_384;

/// The longest line of a list that is read.
const MAX_LINE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests;
