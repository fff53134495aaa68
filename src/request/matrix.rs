//! A matrix of `GET /matrix` as typed becomes a valid scan, and who makes it.

pub(crate) mod parameters;

use super::read::Base;
use super::{Ceilings, ScanParams, ScanRequest};
use crate::fields::FieldErrors;

/// A valid matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MatrixRequest {
    /// The scan that each vantage makes.
    pub(crate) scan: ScanRequest,
    /// Who makes it.
    pub(crate) from: Who,
}

/// Who scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// All instances that are known.
    Peers,
    /// This one.
    Itself,
}

impl MatrixRequest {
    /// Checks the parameters, for a service that knows peers or not.
    ///
    /// # Errors
    /// Everything that is wrong with them, by parameter.
    pub(crate) fn try_new(
        params: &ScanParams,
        ceilings: &Ceilings,
        knows_peers: bool,
    ) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let base = Base::read(params, ceilings, &mut errors);
        let from = match params.get("from") {
            Some("self") => Some(Who::Itself),
            None | Some("peers") if knows_peers => Some(Who::Peers),
            None | Some("peers") => {
                errors.reject("from", "must be self: this service was given no --peers")
            }
            Some(_) => errors.reject("from", params.choices("from")),
        };
        // Without an error, each of them is there.
        let valid = || {
            let scan = ScanRequest { details: true, ..base.request(params)? };
            Some(Self { scan, from: from? })
        };
        if errors.is_empty() { valid().ok_or(errors) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parameters::OF_MATRIX;
    use super::*;
    use crate::fields::tests::assert_in_readme;
    use crate::request::parameters::Parameter;

    const CEILINGS: Ceilings =
        Ceilings { deadline: Duration::from_secs(300), rate: None, sweep_targets: 1 };

    fn read(pairs: &[(&str, &str)], knows_peers: bool) -> Result<MatrixRequest, String> {
        let mut params = ScanParams::of(&OF_MATRIX);
        for &(name, text) in [("domain", "web"), ("ports", "1")].iter().chain(pairs) {
            *params.slot(name).unwrap() = Some(text.to_owned());
        }
        let request = MatrixRequest::try_new(&params, &CEILINGS, knows_peers);
        request.map_err(|errors| errors.to_string())
    }

    #[test]
    fn peers_are_asked_where_they_are_known() {
        for (pairs, knows_peers, from) in [
            (&[][..], true, Ok(Who::Peers)),
            (&[("from", "peers")], true, Ok(Who::Peers)),
            (&[("from", "self")], true, Ok(Who::Itself)),
            (&[("from", "self")], false, Ok(Who::Itself)),
            (&[], false, Err("from must be self: this service was given no --peers")),
            (&[("from", "all")], true, Err("from must be peers or self")),
        ] {
            let read = read(pairs, knows_peers);
            let read = read.as_ref().map(|request| request.from).map_err(String::as_str);
            assert_eq!(read, from, "{pairs:?}");
        }
    }

    #[test]
    fn the_docs_have_the_table_of_matrices() {
        let rows =
            OF_MATRIX.each_ref().map(|Parameter { name, meaning, values, omitted, .. }| {
                format!("| `{name}` | {meaning} | {values} | {omitted} |\n")
            });
        let head = "| parameter | meaning | values | default |\n\
                    |-----------|---------|--------|---------|\n";
        assert_in_readme("matrix parameters", &format!("{head}{}", rows.concat()));
    }
}
