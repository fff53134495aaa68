//! This process as a vantage.

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use futures_util::future::{BoxFuture, FutureExt};

use super::answers::{Answers, Gathered, NotAsked, Question};
use super::vantage::Vantage;
use crate::ask::Asker;
use crate::expect::Expectations;
use crate::host::{Family, Host};
use crate::report::IncompleteReason;
use crate::results::{HostResult, Results};
use crate::scan::Keep;
use crate::sweep::{News, Sweep, SweepPlan};
use crate::targets::{AddressRange, AddressSet, HostList, HostSpec};

/// The engine of this process. It scans what policy allows.
pub(crate) struct Local {
    asker: Asker,
}

impl Local {
    pub(crate) fn new(asker: Asker) -> Self {
        Self { asker }
    }

    async fn scan(&self, question: &Question) -> Result<Answers, NotAsked> {
        let begun = Instant::now();
        let seed = RandomState::new().hash_one(0);
        let specs = question.hosts.iter().map(|host| match host {
            Host::Address(address) => HostSpec::Addresses(AddressRange::single(*address)),
            Host::Name(name) => HostSpec::Name(name.clone()),
        });
        let mut rest = HostList::new(specs.collect(), None, AddressSet::default(), seed);
        let first = rest.next_set().ok().flatten();
        let first = first.ok_or_else(|| NotAsked::new("there is no host"))?;
        let plan = SweepPlan {
            ports: question.ports.clone(),
            family: Family::Any,
            exclude: AddressSet::default(),
            timeout: question.timeout,
            until: Some(begun + question.deadline),
            keep: Keep::NotClosed,
            seed,
        };
        let mut sweep = Sweep::new(self.asker.clone(), plan, first, rest);
        let mut results = Results::new(question.ports.clone(), true, Expectations::default());
        let mut gathered = Gathered::new(question);
        while let Some(news) = sweep.next().await {
            if let News::Ended(end) = news {
                let HostResult { report, fault } = results.of(end);
                results.count(&report);
                gathered.take_report(&report, fault);
            }
        }
        let summary = results.summary(&sweep, IncompleteReason::Deadline, begun.elapsed());
        gathered.end(&summary)
    }
}

impl Vantage for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answers, NotAsked>> {
        self.scan(question).boxed()
    }
}
