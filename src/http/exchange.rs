//! Requests and replies, whatever they are about.

pub(super) mod authorization;
pub(super) mod held;
pub(super) mod identity;
pub(super) mod negotiation;
pub(super) mod problems;
pub(super) mod query;
pub(super) mod reply;
pub(super) mod site;
