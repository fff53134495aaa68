//! Bearer tokens (RFC 6750) and the callers that they belong to.
//!
//! Only SHA-256 digests of tokens are kept, so neither a memory dump nor a careless
//! `{:?}` can show a token.
//!
//! A token is looked up by its digest. How long that takes depends on the digest
//! alone, and the digest of a guess says nothing about how near the guess is: no
//! comparison in constant time is needed.

mod file;

use std::collections::HashMap;
use std::fmt;
use std::str;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

pub(crate) use file::{Change, TokenFile, TokenFileError};

/// Tokens and the callers that they belong to.
pub(crate) struct Tokens {
    callers: HashMap<Digest, CallerName>,
}

/// The name of the caller that sent a request. Unlike the token, it may be logged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallerName(Arc<str>);

/// Why a list of tokens was refused.
//
// No part of the line is shown, not even the name: in a line `token:name`, what
// stands for the name is the token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TokensError {
    /// A line is malformed.
    #[error("line {line} {fault}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// There is no token. Most likely the file is just being written.
    #[error("holds no token; write lines of name:token")]
    Empty,
}

/// What is wrong with a line. The message says what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum LineFault {
    /// There is no colon.
    #[error("is not of the form name:token")]
    NoColon,
    /// The name is missing, too long, or has other characters.
    #[error("has no name of 1 to 64 letters, digits, '_', '.' and '-' before the colon")]
    Name,
    /// The token could not be sent in a header field.
    #[error(
        "has no bearer token after the colon: letters, digits and any of -._~+/ with '=' only at \
         the end, and no spaces"
    )]
    NotAToken,
    /// The token is so short that it could be guessed.
    #[error("has a token of fewer than {MIN_TOKEN_LENGTH} characters")]
    TooShort,
    /// Two callers would share a name.
    #[error("has the same name as line {0}")]
    NameAgain(usize),
    /// Two callers would share a token.
    #[error("has the same token as line {0}")]
    TokenAgain(usize),
}

/// Why a request has no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum AuthError {
    /// It has no `Authorization`.
    #[error("a token is required; send Authorization: Bearer TOKEN")]
    Missing,
    /// Its `Authorization` is of another scheme.
    #[error("Authorization is not of the scheme Bearer; send Authorization: Bearer TOKEN")]
    OtherScheme,
    /// What it sends cannot be a token.
    #[error("the bearer token is malformed")]
    Malformed,
    /// No caller has this token.
    #[error("the bearer token is not known")]
    Unknown,
}

impl Tokens {
    /// Reads lines of `name:token`. Blank lines and lines that start with `#` are
    /// skipped.
    ///
    /// # Errors
    /// The first malformed line, or that no line has a token.
    pub(crate) fn try_new(content: &[u8]) -> Result<Self, TokensError> {
        let mut callers = HashMap::new();
        let mut lines_of_names = HashMap::new();
        let mut lines_of_tokens = HashMap::new();
        for (line, text) in (1..).zip(content.split(|&byte| byte == b'\n')) {
            let bare = text.trim_ascii();
            if bare.is_empty() || bare.starts_with(b"#") {
                continue;
            }
            let refused = |fault| TokensError::Line { line, fault };
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let (digest, name) = parse_line(text).map_err(refused)?;
            if let Some(earlier) = lines_of_names.insert(name.clone(), line) {
                return Err(refused(LineFault::NameAgain(earlier)));
            }
            if let Some(earlier) = lines_of_tokens.insert(digest, line) {
                return Err(refused(LineFault::TokenAgain(earlier)));
            }
            callers.insert(digest, name);
        }
        if callers.is_empty() {
            return Err(TokensError::Empty);
        }
        Ok(Self { callers })
    }

    /// No token is valid.
    fn none() -> Self {
        Self { callers: HashMap::new() }
    }

    /// How many callers have a token.
    pub(crate) fn len(&self) -> usize {
        self.callers.len()
    }

    /// Whether no token is valid. This happens only once the file has been missing or
    /// empty for a while.
    pub(crate) fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    /// The caller whose token is in the value of `Authorization`.
    ///
    /// # Errors
    /// When there is none; the reply then carries [`AuthError::challenge`].
    pub(crate) fn authenticate(
        &self,
        authorization: Option<&[u8]>,
    ) -> Result<CallerName, AuthError> {
        let token = bearer_token(authorization.ok_or(AuthError::Missing)?)?;
        self.callers.get(&digest(token)).cloned().ok_or(AuthError::Unknown)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AuthError {
    /// Its name in the log and in metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::OtherScheme => "other-scheme",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
        }
    }

    /// The value of `WWW-Authenticate` in the 401 that answers it.
    pub(crate) fn challenge(self) -> &'static str {
        // RFC 6750, section 3.1: a request without a token gets no error code.
        match self {
            Self::Missing | Self::OtherScheme => "Bearer realm=\"open-ports\"",
            Self::Malformed | Self::Unknown => {
                "Bearer realm=\"open-ports\", error=\"invalid_token\""
            }
        }
    }
}

type Digest = [u8; 32];

fn digest(secret: &[u8]) -> Digest {
    Sha256::digest(secret).into()
}

fn parse_line(line: &[u8]) -> Result<(Digest, CallerName), LineFault> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(LineFault::NoColon)?;
    let (name, token) = (&line[..colon], &line[colon + 1..]);
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    if !(1..=MAX_NAME_LENGTH).contains(&name.len()) || !name.iter().all(in_name) {
        return Err(LineFault::Name);
    }
    if !is_bearer_token(token) {
        return Err(LineFault::NotAToken);
    }
    if token.len() < MIN_TOKEN_LENGTH {
        return Err(LineFault::TooShort);
    }
    let name = str::from_utf8(name).expect("ASCII alone");
    Ok((digest(token), CallerName(name.into())))
}

/// The token of credentials such as `Bearer abc`, RFC 9110, section 11.4.
fn bearer_token(authorization: &[u8]) -> Result<&[u8], AuthError> {
    let space = authorization.iter().position(|&byte| byte == b' ');
    let (scheme, mut token) = authorization.split_at(space.unwrap_or(authorization.len()));
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(AuthError::OtherScheme);
    }
    while let Some(rest) = token.strip_prefix(b" ") {
        token = rest;
    }
    if is_bearer_token(token) { Ok(token) } else { Err(AuthError::Malformed) }
}

/// Whether it is a `b64token`, RFC 6750, section 2.1.
fn is_bearer_token(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let body = &text[..text.len() - padding];
    let in_body = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    !body.is_empty() && body.iter().all(in_body)
}

/// Short enough for a label of a metric or a column of a log.
const MAX_NAME_LENGTH: usize = 64;

/// 16 characters of base64 are 96 random bits, too many to guess over a network.
const MIN_TOKEN_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALICE: &str = "alice-token-0123456789";
    const BOB: &str = "QmFzZTY0/with+both~ends==";

    fn tokens() -> Tokens {
        let list = format!("# callers\n\nalice:{ALICE}\r\n  # and\nteam.bob_2-x:{BOB}");
        Tokens::try_new(list.as_bytes()).unwrap()
    }

    fn authenticate(authorization: &str) -> Result<String, AuthError> {
        let caller = tokens().authenticate(Some(authorization.as_bytes()));
        caller.map(|name| name.to_string())
    }

    #[test]
    fn a_token_belongs_to_its_caller() {
        assert_eq!(tokens().len(), 2);
        for scheme in ["Bearer ", "bearer ", "BEARER    "] {
            assert_eq!(authenticate(&format!("{scheme}{ALICE}")), Ok("alice".into()));
            assert_eq!(authenticate(&format!("{scheme}{BOB}")), Ok("team.bob_2-x".into()));
        }
    }

    #[test]
    fn a_request_without_a_valid_token_gets_the_reason() {
        use AuthError::*;
        assert_eq!(tokens().authenticate(None), Err(Missing));
        for (authorization, error) in [
            (String::new(), OtherScheme),
            (ALICE.into(), OtherScheme),
            ("Basic YWxpY2U6c2VjcmV0".into(), OtherScheme),
            (format!("Bearer{ALICE}"), OtherScheme),
            (format!("Bearer\t{ALICE}"), OtherScheme),
            (format!(" Bearer {ALICE}"), OtherScheme),
            ("Bearer".into(), Malformed),
            ("Bearer ".into(), Malformed),
            ("Bearer =".into(), Malformed),
            (format!("Bearer {ALICE} "), Malformed),
            (format!("Bearer {ALICE}, Bearer {BOB}"), Malformed),
            (format!("Bearer \"{ALICE}\""), Malformed),
            ("Bearer a=b".into(), Malformed),
            (format!("Bearer {ALICE}x"), Unknown),
            (format!("Bearer {}", &ALICE[1..]), Unknown),
            (format!("Bearer {}", ALICE.to_uppercase()), Unknown),
            (format!("Bearer {}", BOB.trim_end_matches('=')), Unknown),
            ("Bearer alice".into(), Unknown),
        ] {
            assert_eq!(authenticate(&authorization), Err(error), "{authorization}");
        }
        assert_eq!(Missing.challenge(), r#"Bearer realm="open-ports""#);
        let unknown = r#"Bearer realm="open-ports", error="invalid_token""#;
        assert_eq!(Unknown.challenge(), unknown);
    }

    #[test]
    fn a_refused_line_is_named_and_not_shown() {
        let secret = "sesame-sesame-sesame";
        let long = "n".repeat(64);
        for (line, message) in [
            (secret.to_owned(), "line 3 is not of the form name:token".to_owned()),
            (format!(":{secret}"), format!("line 3 {}", LineFault::Name)),
            (format!("a b:{secret}"), format!("line 3 {}", LineFault::Name)),
            (format!(" a:{secret}"), format!("line 3 {}", LineFault::Name)),
            (format!("ä:{secret}"), format!("line 3 {}", LineFault::Name)),
            (format!("{long}n:{secret}"), format!("line 3 {}", LineFault::Name)),
            ("a:".into(), format!("line 3 {}", LineFault::NotAToken)),
            (format!("a: {secret}"), format!("line 3 {}", LineFault::NotAToken)),
            (format!("a:{secret} "), format!("line 3 {}", LineFault::NotAToken)),
            (format!("a:b:{secret}"), format!("line 3 {}", LineFault::NotAToken)),
            (format!("a:={secret}"), format!("line 3 {}", LineFault::NotAToken)),
            (format!("a:{secret}é"), format!("line 3 {}", LineFault::NotAToken)),
            (format!("{secret}:alice"), "line 3 has a token of fewer than 16 characters".into()),
            (format!("first:{secret}"), "line 3 has the same name as line 2".into()),
            (format!("a:{ALICE}"), "line 3 has the same token as line 2".into()),
        ] {
            let list = format!("# callers\nfirst:{ALICE}\n{line}\nlast:{BOB}\n");
            let error = Tokens::try_new(list.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), message);
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(!shown.contains("sesame") && !shown.contains(ALICE), "{shown}");
            }
        }
        let sixteen = format!("{long}:{}", "t".repeat(16));
        assert_eq!(Tokens::try_new(sixteen.as_bytes()).unwrap().len(), 1);
        for nothing in ["", "\n\n", "# alice:0123456789abcdef"] {
            assert_eq!(Tokens::try_new(nothing.as_bytes()).unwrap_err(), TokensError::Empty);
        }
    }

    #[test]
    fn debug_output_shows_no_token() {
        assert_eq!(format!("{:?}", tokens()), "Tokens { len: 2, .. }");
    }

    proptest! {
        #[test]
        fn every_caller_is_known_by_its_token_alone(
            secrets in prop::collection::btree_set("[-a-zA-Z0-9._~+/]{16,80}={0,2}", 1..20),
            other in "[-a-zA-Z0-9._~+/]{1,80}={0,2}",
        ) {
            let list: String = (0..).zip(&secrets).map(|(i, s)| format!("c{i}:{s}\n")).collect();
            let tokens = Tokens::try_new(list.as_bytes()).unwrap();
            for (i, secret) in (0..).zip(&secrets) {
                let caller = tokens.authenticate(Some(format!("Bearer {secret}").as_bytes()));
                let caller = caller.unwrap();
                prop_assert_eq!(caller.to_string(), format!("c{i}"));
            }
            let caller = tokens.authenticate(Some(format!("Bearer {other}").as_bytes()));
            prop_assert_eq!(caller.is_ok(), secrets.contains(&other));
        }

        #[test]
        fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let list = Tokens::try_new(&bytes);
            prop_assert!(list.is_err() || !list.unwrap().is_empty());
            prop_assert!(tokens().authenticate(Some(&bytes)).is_err());
            let bearer = [b"Bearer ".as_slice(), &bytes].concat();
            prop_assert!(tokens().authenticate(Some(&bearer)).is_err());
        }
    }
}
