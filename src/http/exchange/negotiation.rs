//! Which format of a reply a client wants: content negotiation by the Accept
//! header, RFC 9110, section 12.5.1.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING};

use crate::request::Format;

/// The client accepts none of the formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAcceptable;

/// The format in the query or, without one, the best of those on `offer` that the `Accept`
/// fields allow. Without such fields, it is the first. A client that wants pages alone is
/// a browser, and gets that one too.
///
/// # Errors
/// When the fields allow none of the formats.
pub(crate) fn negotiate(
    named: Option<Format>,
    headers: &HeaderMap,
    offer: &[Format],
) -> Result<Format, NotAcceptable> {
    if let Some(format) = named {
        return Ok(format);
    }
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return offer.first().copied().ok_or(NotAcceptable);
    }
    let formats = offer.iter().copied();
    let weighed = formats.clone().map(|format| (format, weight(&ranges, media_type(format))));
    // Of formats with equal weights the first on offer wins.
    let best = weighed.reduce(|best, next| if next.1 > best.1 { next } else { best });
    let best = best.filter(|&(_, weight)| weight > Some(0)).map(|(format, _)| format);
    // A browser shows also what is no page.
    let for_pages = || {
        let wants_pages = weight(&ranges, HTML) > Some(0);
        formats.clone().find(|&format| wants_pages && weight(&ranges, media_type(format)).is_none())
    };
    best.or_else(for_pages).ok_or(NotAcceptable)
}

/// The weight that the `Accept` fields give a media type, in thousandths; 0 if they do not
/// name it.
pub(crate) fn weight_of(headers: &HeaderMap, media_type: &str) -> u16 {
    weight(&ranges(headers), media_type).unwrap_or(0)
}

/// Whether the client prefers a page to plain text, as browsers do.
pub(crate) fn prefers_pages(headers: &HeaderMap) -> bool {
    negotiate(None, headers, &OF_HELP) == Ok(Format::Html)
}

/// Whether the `Accept-Encoding` fields allow a content coding: RFC 9110, section 12.5.3.
pub(crate) fn allows_coding(headers: &HeaderMap, coding: &str) -> bool {
    let fields = headers.get_all(ACCEPT_ENCODING);
    let weight_of = |wanted: &str| {
        let texts = fields.iter().filter_map(|field| field.to_str().ok());
        texts.flat_map(|text| text.split(',')).find_map(|text| {
            let mut parts = text.split(';').map(str::trim);
            let is_it = parts.next()?.eq_ignore_ascii_case(wanted);
            is_it.then(|| quality(parts).unwrap_or(0))
        })
    };
    weight_of(coding).or_else(|| weight_of("*")).is_some_and(|weight| weight > 0)
}

/// The media type of a format.
pub(crate) fn media_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
        Format::Sse => "text/event-stream",
        Format::Text => "text/plain; charset=utf-8",
        Format::Html => "text/html; charset=utf-8",
    }
}

fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    let fields = headers.get_all(ACCEPT).iter();
    // A field that is not text matches no format.
    let texts = fields.map(|field| field.to_str().unwrap_or("-/-"));
    texts.flat_map(|text| text.split(',')).filter_map(Range::read).collect()
}

/// A media range, with its weight in thousandths.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    weight: u16,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        Some(Self { kind, subtype, weight: quality(parts)? })
    }

    /// How precisely the range matches `media_type`; 0: it does not.
    fn fit(&self, media_type: &str) -> u8 {
        let essence = media_type.split(';').next().unwrap_or_default();
        let (kind, subtype) = essence.split_once('/').unwrap_or_default();
        match (self.kind, self.subtype) {
            ("*", "*") => 1,
            (own, "*") if own.eq_ignore_ascii_case(kind) => 2,
            (own, sub) if own.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => 3,
            _ => 0,
        }
    }
}

/// The weight among these parameters, in thousandths; 1000 if none is there, `None` if it
/// is no number.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> Option<u16> {
    let quality = parameters.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let quality = quality.map_or(Some(1.0), |quality| quality.parse::<f32>().ok())?;
    // A weight has at most three decimals.
    let thousandths = (quality.clamp(0.0, 1.0) * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    Some(thousandths as u16)
}

/// The weight of `media_type`, from the range that matches it most precisely.
fn weight(ranges: &[Range<'_>], media_type: &str) -> Option<u16> {
    let fits = ranges.iter().map(|range| (range.fit(media_type), range.weight));
    fits.filter(|&(fit, _)| fit > 0).max_by_key(|&(fit, _)| fit).map(|(_, weight)| weight)
}

/// The formats of the help, the preferred one first.
const OF_HELP: [Format; 2] = [Format::Text, Format::Html];

/// The formats of a scan of one host, the preferred one first.
pub(crate) const OF_SCAN: [Format; 5] =
    [Format::Json, Format::Text, Format::Ndjson, Format::Sse, Format::Html];

/// Those of them for programs.
pub(crate) const OF_SCAN_DATA: [Format; 4] =
    [Format::Json, Format::Text, Format::Ndjson, Format::Sse];

/// The formats of a sweep, the preferred one first.
pub(crate) const OF_SWEEP: [Format; 3] = [Format::Ndjson, Format::Json, Format::Sse];

/// The formats of a watch, the preferred one first.
pub(crate) const OF_WATCH: [Format; 2] = [Format::Ndjson, Format::Sse];

/// The media type of pages.
const HTML: &str = "text/html";

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiated(accept: &str) -> Result<Format, NotAcceptable> {
        let headers = [(ACCEPT, accept.parse().unwrap())].into_iter().collect();
        negotiate(None, &headers, &OF_SCAN)
    }

    #[test]
    fn the_heaviest_format_on_offer_is_chosen() {
        for (accept, format) in [
            ("*/*", Format::Json),
            ("", Format::Json),
            ("text/plain", Format::Text),
            ("TEXT/Plain", Format::Text),
            ("text/*", Format::Text),
            ("text/event-stream", Format::Sse),
            ("application/x-ndjson", Format::Ndjson),
            ("application/*;q=0.5, text/plain;q=0.4", Format::Json),
            ("application/json;q=0.3, text/plain;q=0.4", Format::Text),
            ("application/json;q=0, */*;q=0.1", Format::Text),
            ("text/html, application/xhtml+xml, */*;q=0.8", Format::Html),
            ("text/html, text/plain; charset=utf-8; q=0.9", Format::Html),
            ("text/html;q=0.9, text/plain", Format::Text),
            ("text/html, application/json", Format::Json),
            ("text/html", Format::Html),
            ("text/html, application/xhtml+xml, image/webp", Format::Html),
        ] {
            assert_eq!(negotiated(accept), Ok(format), "{accept}");
        }
    }

    #[test]
    fn a_browser_gets_the_first_format_that_it_does_not_refuse_where_no_page_is_on_offer() {
        for (accept, format) in [
            ("text/html, application/xhtml+xml, */*;q=0.8", Format::Json),
            ("text/html, text/plain; charset=utf-8; q=0.9", Format::Text),
            ("text/html", Format::Json),
            ("text/html, application/xhtml+xml, image/webp", Format::Json),
            ("text/html, application/json;q=0", Format::Text),
        ] {
            let headers = [(ACCEPT, accept.parse().unwrap())].into_iter().collect();
            assert_eq!(negotiate(None, &headers, &OF_SCAN_DATA), Ok(format), "{accept}");
        }
    }

    #[test]
    fn a_client_that_accepts_no_format_on_offer_is_refused() {
        for accept in
            ["image/*", "application/json;q=0", "*/*;q=0", "text/html;q=0", "image/*, */*;q=0"]
        {
            assert_eq!(negotiated(accept), Err(NotAcceptable), "{accept}");
        }
    }

    #[test]
    fn a_format_in_the_query_takes_precedence_over_the_fields() {
        let headers = [(ACCEPT, "image/png".parse().unwrap())].into_iter().collect();
        assert_eq!(negotiate(Some(Format::Sse), &headers, &OF_SCAN), Ok(Format::Sse));
        assert_eq!(negotiate(None, &HeaderMap::new(), &OF_SCAN), Ok(Format::Json));
    }

    #[test]
    fn who_prefers_a_page_is_a_browser() {
        for (accept, is_page) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", true),
            ("text/html, text/*;q=0.5, image/*", true),
            ("text/html", true),
            ("TEXT/HTML;q=0.2", true),
            ("text/html;q=0.4, text/plain;q=0.5", false),
            ("text/html, text/plain, */*;q=0.01", false),
            ("*/*", false),
            ("text/*", false),
            ("", false),
            ("application/json", false),
            ("text/html;q=0, */*", false),
        ] {
            let headers = [(ACCEPT, accept.parse().unwrap())].into_iter().collect();
            assert_eq!(prefers_pages(&headers), is_page, "{accept}");
        }
        assert!(!prefers_pages(&HeaderMap::new()));
    }

    #[test]
    fn a_coding_is_used_if_the_client_allows_it() {
        for (fields, is_allowed) in [
            (&["gzip, deflate, br, zstd"][..], true),
            (&["br", "GZIP;q=0.5"], true),
            (&["*"], true),
            (&["gzip;q=0, *"], false),
            (&["gzip;q=x"], false),
            (&["br, *;q=0"], false),
            (&["identity"], false),
            (&["x-gzip"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(ACCEPT_ENCODING, field.parse().unwrap());
            }
            assert_eq!(allows_coding(&headers, "gzip"), is_allowed, "{fields:?}");
        }
    }

    #[test]
    fn a_sweep_is_streamed_unless_its_client_prefers_another_format() {
        let negotiated = |accept: &str| {
            let headers = [(ACCEPT, accept.parse().unwrap())].into_iter().collect();
            negotiate(None, &headers, &OF_SWEEP)
        };
        assert_eq!(negotiate(None, &HeaderMap::new(), &OF_SWEEP), Ok(Format::Ndjson));
        assert_eq!(negotiated("*/*"), Ok(Format::Ndjson));
        assert_eq!(negotiated("application/json"), Ok(Format::Json));
        assert_eq!(negotiated("text/plain"), Err(NotAcceptable));
    }
}
