//! What this machine allows a scan: descriptors, memory, and the neighbour table that
//! scans share with everything else on it.

#[cfg(feature = "server")]
pub(crate) mod attached;
pub mod descriptors;
#[cfg(feature = "server")]
pub(crate) mod doctor;
pub mod memory;
mod neighbour;
pub mod neighbours;
mod netlink;
mod table;
