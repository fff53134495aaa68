//! The matrix: which vantages reach which targets, compared with what rules expect.
//!
//! Only the middle step meets the network:
//!
//! ```text
//! rules, peers ─► vantages, targets, cells ─► one question, asked of all ─► verdicts ─► causes, records
//! rules, peer     resolve, plan               run, vantage, answers         verdict     causes, records
//! ```
//!
//! A kind of vantage implements [`Vantage`]; what a cluster knows comes through
//! [`Cluster`]. Neither knows rules or verdicts.

mod answers;
mod causes;
mod kubectl;
mod local;
mod peer;
mod plan;
mod records;
mod resolve;
mod rules;
mod run;
mod vantage;
mod verdict;

pub(crate) use self::answers::{Answers, NotAsked, Question, State, read_answers};
pub(crate) use self::kubectl::{DONE, Kubectl, Options as ClusterOptions};
pub(crate) use self::local::Local;
pub(crate) use self::peer::Peer;
pub(crate) use self::plan::{Plan, Wanted};
pub(crate) use self::records::{CellRecord, MatrixRecord, MatrixSummary};
pub(crate) use self::resolve::World;
pub(crate) use self::rules::{Expected, Rules};
pub(crate) use self::run::{Ended, Patience, Terms, close, run};
pub(crate) use self::vantage::Vantage;
pub(crate) use self::verdict::{Cell, Judged, Verdict};
#[cfg(test)]
pub(crate) use self::{
    peer::Target,
    plan::{Column, Resolved, Seat},
    verdict::Round,
};
