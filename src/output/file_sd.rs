//! Open ports as targets that Prometheus reads from a file (`file_sd_configs`), with the
//! labels that `GET /sd` gives them.
//!
//! Prometheus takes a file for the whole truth, and drops the targets that are not in it.
//! So an incomplete scan writes nothing: whoever replaces files keeps the one that is
//! there, and an empty file is one that Prometheus cannot read and does not take over.

use std::io::{self, Write};

use crate::report::{Summary, TargetGroup};

pub(super) fn end(
    out: &mut impl Write,
    mut groups: Vec<TargetGroup>,
    summary: &Summary,
) -> io::Result<()> {
    if !summary.complete {
        return Ok(());
    }
    groups.sort_unstable();
    serde_json::to_writer(&mut *out, &groups)?;
    writeln!(out)
}
