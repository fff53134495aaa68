//! The matrix: which vantages reach which targets, compared with what rules expect.
//!
//! Three steps, of which only the middle one meets the network:
//!
//! ```text
//! rules, peers ─► vantages and targets ─► one question, asked of every vantage ─► cells ─► verdicts
//! rules, peer     cluster, target         vantage, answers                        cell     verdict
//! ```
//!
//! A kind of vantage implements [`Vantage`]; what a cluster knows comes through
//! [`Cluster`]. Neither knows rules or verdicts.

pub(crate) mod answers;
pub(crate) mod peer;
pub(crate) mod vantage;

pub(crate) use self::answers::{Answers, NotAsked, Question, State, read_answers};
pub(crate) use self::peer::{Kind, Peer, PeerError, Target, Workload};
pub(crate) use self::vantage::{Cluster, NoCluster, TargetHost, Vantage};
