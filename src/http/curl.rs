//! HTTPS by `curl` as a child process.
//!
//! A TLS library would make this program nearly half as large again: 8.2 MB instead of
//! 5.7. Certificates are then those that the system's curl trusts, and what else it
//! needs (a proxy, a bundle of certificates in `CURL_CA_BUNDLE`) is in its environment.

use std::fmt::Write as _;
use std::process::Stdio;

use hyper::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::matrix::NotAsked;

/// What is posted.
pub(super) struct Post<'a> {
    pub(super) url: &'a str,
    /// Names and values, which are never seen in the list of processes.
    pub(super) fields: Vec<(&'a str, &'a str)>,
    pub(super) body: &'a str,
}

/// An answer that came whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Post<'_> {
    /// Sends it, and reads the answer to its end. Dropping the future ends the child.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub(super) async fn send(&self) -> Result<Answer, NotAsked> {
        let mut child = Command::new("curl")
            .args(ARGUMENTS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| NotAsked::new(format!("https needs curl: {error}")))?;
        let mut stdin = child.stdin.take().expect("piped above");
        let settings = self.settings();
        let write = async move {
            // A curl that does not read them says why, and fails.
            let _ = stdin.write_all(settings.as_bytes()).await;
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        let output = output.map_err(|error| NotAsked::new(format!("curl: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("curl failed").trim();
            return Err(NotAsked::new(said));
        }
        posted(output.stdout).ok_or_else(|| NotAsked::new("curl said nothing"))
    }

    /// In the form that curl reads with `--config`.
    fn settings(&self) -> String {
        let mut settings = format!("url = {}\n", quoted(self.url));
        for (name, value) in &self.fields {
            writeln!(settings, "header = {}", quoted(&format!("{name}: {value}")))
                .expect("to a string");
        }
        settings + &format!("data-binary = {}\n", quoted(self.body))
    }
}

/// The answer, behind which curl has written the status and the type.
fn posted(mut output: Vec<u8>) -> Option<Answer> {
    let end = output.iter().rposition(|&byte| byte == b'\n')?;
    let last = output.split_off(end).split_off(1);
    let mut words = last.splitn(2, |&byte| byte == b' ');
    let status = StatusCode::from_bytes(words.next()?).ok()?;
    let content_type = words.next().unwrap_or_default().to_vec();
    Some(Answer { status, content_type, body: output })
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n"))
}

/// `-q` comes first: then no file of settings is read. Everything that differs is on
/// standard input.
const ARGUMENTS: [&str; 9] = [
    "-q",
    "--silent",
    "--show-error",
    "--proto",
    "=https",
    "--config",
    "-",
    "--write-out",
    "\\n%{http_code} %{content_type}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_curl_reads_is_quoted() {
        let post = Post {
            url: "https://a/sweep",
            fields: vec![("Authorization", "Bearer a\"b\\c")],
            body: "10.0.0.1\nweb\n",
        };
        assert_eq!(
            post.settings(),
            "url = \"https://a/sweep\"\n\
             header = \"Authorization: Bearer a\\\"b\\\\c\"\n\
             data-binary = \"10.0.0.1\\nweb\\n\"\n"
        );
    }

    #[test]
    fn the_status_and_the_type_come_last() {
        let read = posted(b"a\nb\n\n200 application/x-ndjson".to_vec()).unwrap();
        assert_eq!((read.status, read.body), (StatusCode::OK, b"a\nb\n".to_vec()));
        assert_eq!(read.content_type, b"application/x-ndjson");
        let empty = posted(b"\n502 ".to_vec()).unwrap();
        assert_eq!((empty.status.as_u16(), empty.content_type), (502, Vec::new()));
        assert!(posted(b"nonsense".to_vec()).is_none());
    }
}
