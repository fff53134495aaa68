//! `GET /` for browsers: the page, which scans and shows.
//!
//! The page is one document without any request of its own but those to this service.
//! Its files are in `page/`: HTML, a style sheet, and a script for each subject. The build
//! script leaves out comments and indentation, and joins the scripts. The rest is put
//! together here: in `page.html`, `{style}` and `{script}` stand for the other two, and
//! `{facts}` for what the service tells the page about itself.
//!
//! | fact          | is `true` if                        |
//! |---------------|-------------------------------------|
//! | `data-tokens` | requests that scan have to have a token |
//! | `data-peers`  | there are peers that can be asked   |
//!
//! The page itself tells nothing about anybody's network, so it needs no token.

use std::io::Write;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, HeaderValue, VARY};
use hyper::{HeaderMap, StatusCode};

use crate::http::exchange::content_policy::{Content, confine, content_policy};
use crate::http::exchange::etag::{Known, Tag};
use crate::http::exchange::negotiation::{allows_coding, media_type};
use crate::http::exchange::reply::{Reply, with_body};
use crate::request::Format;

/// What the page knows about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether requests that scan have to have a token.
    pub(crate) tokens: bool,
    /// Whether there are peers that can be asked.
    pub(crate) peers: bool,
}

/// The page, as it is sent.
#[derive(Debug)]
pub(crate) struct Page {
    facts: Facts,
    // Made for the first browser: a service without one need not hold it.
    sent: OnceLock<Sent>,
}

#[derive(Debug)]
struct Sent {
    policy: HeaderValue,
    plain: Variant,
    gzipped: Variant,
}

/// A body and its tag.
#[derive(Debug)]
struct Variant {
    body: Bytes,
    tag: Tag,
}

impl Page {
    /// The page of a service with these facts.
    pub(crate) fn new(facts: Facts) -> Self {
        Self { facts, sent: OnceLock::new() }
    }

    /// The page, or 304 if the client has it already.
    pub(crate) fn reply(&self, headers: &HeaderMap) -> Reply {
        let Sent { policy, plain, gzipped } = self.sent.get_or_init(|| Sent::new(self.facts));
        let is_gzipped = allows_coding(headers, "gzip");
        let Variant { body, tag } = if is_gzipped { gzipped } else { plain };
        let mut reply = with_body(StatusCode::OK, media_type(Format::Html), body.clone());
        let fields = reply.headers_mut();
        confine(fields, policy.clone());
        // A browser asks each time whether it has the page of this service's version.
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        fields.insert(VARY, VARIES);
        if is_gzipped {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Known::of(headers).answer(tag, reply)
    }
}

impl Sent {
    fn new(facts: Facts) -> Self {
        let text = text(facts);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).expect("a vector takes all");
        let gzipped = encoder.finish().expect("a vector takes all");
        let policy = content_policy(&Content { style: STYLE, script: Some(SCRIPT) });
        Self { policy, plain: Variant::new(text.into()), gzipped: Variant::new(gzipped.into()) }
    }
}

impl Variant {
    fn new(body: Bytes) -> Self {
        let tag = Tag::of_body(&body);
        Self { body, tag }
    }
}

/// The whole document.
fn text(facts: Facts) -> String {
    let Facts { tokens, peers } = facts;
    let facts = format!("data-tokens=\"{tokens}\" data-peers=\"{peers}\"");
    TEMPLATE.replace("{facts}", &facts).replace("{style}", STYLE).replace("{script}", SCRIPT)
}

const TEMPLATE: &str = include_str!("page/page.html");

/// The style of the page, and of results for browsers without scripts.
pub(super) const STYLE: &str = include_str!(concat!(env!("OUT_DIR"), "/page.css"));

const SCRIPT: &str = include_str!(concat!(env!("OUT_DIR"), "/page.js"));

/// What the reply to `GET /` depends on.
pub(super) const VARIES: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parameters::{PARAMETERS, find};

    #[test]
    fn the_page_is_put_together_as_its_files_say() {
        for part in ["{facts}", "{style}", "{script}"] {
            assert_eq!(TEMPLATE.matches(part).count(), 1, "{part}");
            assert!(!STYLE.contains(part) && !SCRIPT.contains(part), "{part}");
        }
        let text = text(Facts { tokens: true, peers: false });
        assert!(text.contains("<html lang=\"en\" data-tokens=\"true\" data-peers=\"false\">"));
        // A browser would end the elements there, and hash other text than we do.
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</script") && !SCRIPT.contains("<!--"));
        assert!(!text.contains('\r'));
        assert_eq!(text.matches("<style").count() + text.matches("<script").count(), 2);
    }

    #[test]
    fn the_page_is_small_and_smaller_compressed() {
        let Sent { plain, gzipped, .. } = Sent::new(Facts { tokens: false, peers: false });
        assert!(plain.body.len() <= 40 << 10, "{} bytes", plain.body.len());
        assert!(gzipped.body.len() < plain.body.len() / 2 + 1024, "{}", gzipped.body.len());
        assert_ne!(plain.tag, gzipped.tag);
    }

    #[test]
    fn the_fields_of_the_form_are_parameters_of_a_scan() {
        let (form, _) = TEMPLATE.split_once("</form>").unwrap();
        let (_, form) = form.split_once("<form action=\"/open-ports\"").unwrap();
        let names = form.split(" name=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let names: Vec<&str> = names.collect();
        assert!(names.contains(&"domain") && names.contains(&"ports"), "{names:?}");
        for name in names {
            assert!(find(&PARAMETERS, name).is_some(), "{name}");
        }
    }
}
