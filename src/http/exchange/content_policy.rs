//! What a browser may do with a document of this service (Content Security Policy,
//! level 3): run its own script, use its own style, ask this service, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY};
use sha2::{Digest as _, Sha256};

/// What a document has in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    /// The text of its style element.
    pub(crate) style: &'a str,
    /// The text of its script element, if it has one.
    pub(crate) script: Option<&'a str>,
}

/// The `Content-Security-Policy` of a document with this content, and no other.
pub(crate) fn content_policy(content: &Content<'_>) -> HeaderValue {
    let style = source(content.style);
    let script = content.script.map(|script| {
        // Only a script asks this service for anything but its form.
        format!("script-src {}; connect-src 'self'; ", source(script))
    });
    let policy = format!(
        "default-src 'none'; {}style-src {style}; img-src data:; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
        script.unwrap_or_default(),
    );
    HeaderValue::from_str(&policy).expect("hashes are ASCII")
}

/// Sends a document with its policy. What it links to does not learn where it is.
pub(crate) fn confine(fields: &mut HeaderMap, policy: HeaderValue) {
    fields.insert(CONTENT_SECURITY_POLICY, policy);
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// The text of an element, as a policy allows it.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_allows_only_what_the_document_has() {
        // Of an empty text, by `openssl dgst -sha256 -binary | base64`.
        let empty = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='";
        assert_eq!(source(""), empty);
        let policy = content_policy(&Content { style: "", script: None });
        let text = policy.to_str().unwrap();
        assert!(!text.contains("script-src") && !text.contains("connect-src"), "{text}");
        let policy = content_policy(&Content { style: "a", script: Some("") });
        let text = policy.to_str().unwrap();
        assert!(text.starts_with("default-src 'none'; "), "{text}");
        assert!(text.contains(&format!("script-src {empty}; connect-src 'self'; ")), "{text}");
        assert!(!text.contains("unsafe"), "{text}");
    }
}
