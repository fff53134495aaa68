//! What this machine allows a scan, and what scans have to share with all that
//! runs on it.

pub mod descriptors;
#[cfg(feature = "cli")]
pub(crate) mod doctor;
pub mod memory;
pub mod neighbours;
mod netlink;
mod table;
