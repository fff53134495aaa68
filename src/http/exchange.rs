//! What all requests and replies have in common.

pub(super) mod authorization;
pub(super) mod content_policy;
pub(super) mod etag;
pub(super) mod held;
pub(super) mod identity;
pub(super) mod negotiation;
pub(super) mod problems;
pub(super) mod query;
pub(super) mod reply;
pub(super) mod site;
