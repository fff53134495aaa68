//! A JSON object a line and finding: the fields of naabu's lines and more.

use std::io::{self, Write};
use std::time::SystemTime;

use super::Row;
use crate::sweep::Found;

pub(super) fn found(out: &mut impl Write, found: &Found, at: SystemTime) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Row::new(found, at))?;
    writeln!(out)
}
