//! Entity tags over what was found, and requests that want a reply only if that is
//! different (RFC 9110, sections 8.8.3 and 13.1.2).
//!
//! A tag is the same for the same facts in the same layout: how long a scan took, and
//! how often it asked, is no part of what it found. An incomplete reply has no tag. A
//! reply that scans nothing has the tag of its body.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};

use super::reply::Reply;
use crate::report::FactsDigest;
use crate::request::Layout;

/// A strong entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(String);

/// What a client has already, by its `If-None-Match` fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Vec<String>);

impl Tag {
    /// The tag of a reply in this layout about these facts, in their order.
    pub(crate) fn of<'a>(layout: Layout, facts: impl IntoIterator<Item = &'a FactsDigest>) -> Self {
        let mut digest = Sha256::new();
        // Another version may write the same facts with other members.
        digest.update(env!("CARGO_PKG_VERSION"));
        digest.update([0, u8::from(layout == Layout::Indented)]);
        facts.into_iter().for_each(|facts| digest.update(facts));
        Self::from_digest(&digest.finalize())
    }

    /// The tag of a reply that has always this body.
    pub(crate) fn of_body(body: &[u8]) -> Self {
        Self::from_digest(&Sha256::digest(body))
    }

    fn from_digest(digest: &[u8]) -> Self {
        let hex: String = digest[..TAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("\"{hex}\""))
    }

    fn value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("hexadecimal digits in quotes")
    }
}

impl Known {
    /// What the fields say.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
        // A tag of ours has no comma in it.
        let tags = fields.flat_map(|field| field.split(',')).map(str::trim);
        Self(tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag).to_owned()).collect())
    }

    /// Whether the client has what the tag stands for.
    fn has(&self, tag: &Tag) -> bool {
        self.0.iter().any(|known| *known == tag.0 || known == "*")
    }

    /// `reply` with its tag, or 304 without a body if the client has that already. Only a
    /// reply of success has a tag.
    pub(crate) fn answer(&self, tag: &Tag, mut reply: Reply) -> Reply {
        if reply.status() != StatusCode::OK {
            return reply;
        }
        if self.has(tag) {
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            *reply.body_mut() = Full::new(Bytes::new()).boxed_unsync();
            reply.headers_mut().remove(CONTENT_TYPE);
            reply.headers_mut().remove(CONTENT_ENCODING);
        }
        reply.headers_mut().insert(ETAG, tag.value());
        reply
    }
}

/// Enough that no two facts have the same by chance.
const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::reply::{uncached, with_body};

    fn answered(status: StatusCode, fields: &[&str]) -> Reply {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(IF_NONE_MATCH, field.parse().unwrap());
        }
        let reply = uncached(with_body(status, "application/json", Bytes::from_static(b"{}\n")));
        Known::of(&headers).answer(&Tag("\"1\"".into()), reply)
    }

    #[test]
    fn a_client_that_has_the_facts_gets_304() {
        for (fields, status) in [
            (&["\"1\""][..], 304),
            (&["W/\"1\""], 304),
            (&["\"0\", \"1\""], 304),
            (&["\"0\"", "\"1\""], 304),
            (&["*"], 304),
            (&[], 200),
            (&["\"0\""], 200),
            (&["1"], 200),
            (&[""], 200),
        ] {
            let reply = answered(StatusCode::OK, fields);
            assert_eq!(reply.status(), status, "{fields:?}");
            assert_eq!(reply.headers()[ETAG], "\"1\"");
            assert_eq!(reply.headers()["vary"], "Accept");
            assert_eq!(reply.headers().contains_key(CONTENT_TYPE), status == 200);
        }
        // RFC 9110, section 13.2.1: other statuses come first.
        let conflict = answered(StatusCode::CONFLICT, &["*"]);
        assert_eq!((conflict.status(), conflict.headers().get(ETAG)), (StatusCode::CONFLICT, None));
    }

    #[test]
    fn a_tag_stands_for_facts_in_a_layout() {
        let (one, other) = ([1; 32], [2; 32]);
        let tag = |layout, facts: &[FactsDigest]| Tag::of(layout, facts);
        assert_eq!(tag(Layout::Line, &[one]), tag(Layout::Line, &[one]));
        assert_ne!(tag(Layout::Line, &[one]), tag(Layout::Indented, &[one]));
        assert_ne!(tag(Layout::Line, &[one]), tag(Layout::Line, &[other]));
        assert_ne!(tag(Layout::Line, &[one]), tag(Layout::Line, &[one, other]));
        assert_eq!(tag(Layout::Line, &[]).0.len(), 2 + 2 * TAG_BYTES);
    }
}
