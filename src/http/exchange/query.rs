//! The parser of the query strings of `/open-ports`, `/sweep`, `/sd`, `/probe` and `/watch`.
//!
//! The format is `application/x-www-form-urlencoded` of the URL Standard, read
//! strictly: a broken escape, bytes that are not UTF-8, and a name that is unknown or
//! repeated are errors. A lenient parser would accept or repair them, and a scan of
//! something other than was meant is worse than none.

use std::borrow::Cow;

use crate::fields::FieldErrors;
use crate::request::ScanParams;
use crate::request::parameters::Parameter;

/// Reads the parameters of a scan of one host.
///
/// The parameters hold what could be read even if there are errors, so that later
/// checks can add theirs with `FieldErrors::then`.
#[must_use]
pub fn parse(query: &str) -> (ScanParams, FieldErrors) {
    read(query, ScanParams::default())
}

/// `query` without the parameters that have no value.
pub(crate) fn without_empty(query: &str) -> String {
    let is_filled = |pair: &&str| !matches!(pair.split_once('='), Some((_, "")));
    query.split('&').filter(is_filled).collect::<Vec<_>>().join("&")
}

/// The text of `name` in `query`, as it stands there: for words that need no decoding.
pub(crate) fn word<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Reads the parameters in `table`. The rest is as for [`parse`].
pub(crate) fn parse_as(query: &str, table: &'static [Parameter]) -> (ScanParams, FieldErrors) {
    read(query, ScanParams::of(table))
}

fn read(query: &str, mut params: ScanParams) -> (ScanParams, FieldErrors) {
    let mut errors = FieldErrors::default();
    let mut unknown = 0_usize;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A name that cannot be decoded is shown as it is: it is unknown anyway.
        let name = decode(name).unwrap_or(Cow::Borrowed(name));
        let Some(slot) = params.slot(&name) else {
            unknown += 1;
            if unknown <= SHOWN_NAMES {
                let known = params.names().collect::<Vec<_>>().join(", ");
                let message = format!("is not a parameter; the parameters are {known}");
                errors.add(&shown(&name), message);
            }
            continue;
        };
        match decode(value) {
            // It counts as given, so that it is not reported as missing as well.
            Err(error) => {
                slot.get_or_insert_default();
                errors.add(&name, error);
            }
            Ok(_) if slot.is_some() => errors.add(&name, "is given more than once"),
            Ok(value) => *slot = Some(value.into_owned()),
        }
    }
    if unknown > SHOWN_NAMES {
        let more = unknown - SHOWN_NAMES;
        errors.add("query", format!("holds {more} more names that are not parameters"));
    }
    (params, errors)
}

/// Decodes one name or value.
fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = bytes.next().and_then(hex).zip(bytes.next().and_then(hex));
                let (high, low) = digits.ok_or(BROKEN_ESCAPE)?;
                high << 4 | low
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| NOT_UTF8)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// An unknown name as the reply shows it: enough of it to be recognised, and no
/// character that a terminal would act on. JSON does not escape DEL, the C1 controls
/// and the marks that change the direction of text.
fn shown(name: &str) -> String {
    let (start, rest) = match name.char_indices().nth(SHOWN_CHARS) {
        None => (name, ""),
        Some((end, _)) => (&name[..end], "…"),
    };
    format!("{}{rest}", start.escape_debug())
}

/// The limit of unknown names in a reply. A query full of them would make the reply a
/// hundred times as long as the request.
const SHOWN_NAMES: usize = 8;

const SHOWN_CHARS: usize = 40;

const BROKEN_ESCAPE: &str = "has a broken percent-escape; write % as %25";

const NOT_UTF8: &str = "is not UTF-8 once its percent-escapes are decoded";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::parameters::PARAMETERS;
    use crate::request::probe::parameters::OF_PROBE;
    use crate::request::sweep::parameters::{OF_DISCOVERY, OF_SWEEP, of_list};
    use crate::request::watch::parameters::OF_WATCH;

    fn only_error(query: &str) -> String {
        let (_, errors) = parse(query);
        assert_eq!(errors.iter().count(), 1, "{query}: {errors}");
        errors.to_string()
    }

    #[test]
    fn values_are_decoded() {
        let (params, errors) = parse("domain=%6c%6Fcalhost&toPort=80&&ports=22%2C80&family=a+b");
        assert!(errors.is_empty(), "{errors}");
        assert_eq!(params.get("domain"), Some("localhost"));
        assert_eq!(params.get("ports"), Some("22,80"));
        assert_eq!(params.get("family"), Some("a b"));
    }

    #[test]
    fn an_encoded_name_is_still_that_name() {
        assert_eq!(parse("%64omain=x").0.get("domain"), Some("x"));
    }

    #[test]
    fn a_name_without_a_value_is_an_empty_value() {
        for query in ["domain", "domain="] {
            assert_eq!(parse(query).0.get("domain"), Some(""));
        }
    }

    #[test]
    fn repeated_and_unknown_names_and_broken_escapes_are_errors() {
        assert_eq!(only_error("domain=a&domain=a"), "domain is given more than once");
        assert!(
            only_error("toport=80")
                .starts_with("toport is not a parameter; the parameters are domain,")
        );
        assert!(only_error("=1").starts_with(" is not a parameter"));
        for broken in ["%", "%4", "%zz", "a%2", "%%25", "%+1"] {
            assert_eq!(only_error(&format!("domain={broken}")), format!("domain {BROKEN_ESCAPE}"));
        }
        for bytes in ["%ff", "%c3", "%ed%a0%80"] {
            assert_eq!(only_error(&format!("domain={bytes}")), format!("domain {NOT_UTF8}"));
        }
    }

    #[test]
    fn errors_do_not_add_up_to_a_long_reply() {
        for query in ["a&".repeat(4_000), "domain&".repeat(1_000), "domain=%&".repeat(900)] {
            let (_, errors) = parse(&query);
            assert!(errors.to_string().len() < 1_000, "{errors}");
        }
        let names: Vec<String> = (0..2_000).map(|number| format!("n{number}")).collect();
        let (_, errors) = parse(&names.join("&"));
        assert_eq!(errors.iter().count(), SHOWN_NAMES + 1);
        assert!(
            errors.to_string().ends_with("query holds 1992 more names that are not parameters")
        );
    }

    #[test]
    fn unknown_names_are_shown_in_part_and_escaped() {
        assert!(only_error(&"é".repeat(30_000)).len() < 400);
        for (name, shown) in [("%7f", "\\u{7f} is"), ("a%1b[", "a\\u{1b}[ is"), ("é", "é is")] {
            assert!(only_error(name).starts_with(shown), "{}", only_error(name));
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_still_given() {
        let (params, _) = parse("ports=%&domain=%ff");
        assert_eq!((params.get("ports"), params.get("domain")), (Some(""), Some("")));
    }

    #[test]
    fn fields_that_were_left_empty_are_left_out() {
        for (query, filled) in [
            ("domain=a&timeoutMs=&expect=&ports=22", "domain=a&ports=22"),
            ("domain=", ""),
            ("domain=a%3D&x", "domain=a%3D&x"),
            ("expect==", "expect=="),
            ("", ""),
        ] {
            assert_eq!(without_empty(query), filled);
        }
        assert_eq!(word("domain=a&format=html", "format"), Some("html"));
        assert_eq!(word("formats=html&format", "format"), None);
    }

    fn encode(text: &str) -> String {
        text.bytes().fold(String::new(), |encoded, byte| match byte {
            b' ' => encoded + "+",
            b'a'..=b'z' | b'0'..=b'9' => encoded + &char::from(byte).to_string(),
            byte => encoded + &format!("%{byte:02x}"),
        })
    }

    #[test]
    fn every_parameter_of_a_table_is_read() {
        let tables: [&'static [Parameter]; 6] =
            [&PARAMETERS, &OF_SWEEP, of_list(), &OF_DISCOVERY, &OF_PROBE, &OF_WATCH];
        for table in tables {
            for Parameter { name, .. } in table {
                let (params, errors) = parse_as(&format!("{name}=x"), table);
                assert!(errors.is_empty() && params.get(name) == Some("x"), "{name}");
            }
        }
    }

    #[test]
    fn the_names_of_another_table_are_unknown() {
        let (_, errors) = parse_as("domain=x&targets=y", of_list());
        let names: Vec<&str> = errors.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["domain", "targets"]);
    }

    proptest! {
        #[test]
        fn any_value_survives_encoding(domain in any::<String>(), ports in any::<String>()) {
            let query = format!("ports={}&domain={}", encode(&ports), encode(&domain));
            let (params, errors) = parse(&query);
            prop_assert!(errors.is_empty());
            prop_assert_eq!(params.get("domain"), Some(&*domain));
            prop_assert_eq!(params.get("ports"), Some(&*ports));
        }

        #[test]
        fn no_query_makes_the_parser_panic(query in "[%&=+a-fdomain0-9é\\PC]{0,80}") {
            let (params, errors) = parse(&query);
            prop_assert!(errors.is_empty() || errors.iter().all(|(_, messages)| !messages.is_empty()));
            prop_assert!(params.get("domain").is_none_or(|domain| domain.len() <= query.len()));
        }
    }
}
