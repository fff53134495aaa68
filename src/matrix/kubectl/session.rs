//! A conversation with `open-ports vantage` in a container, through `kubectl`.

use std::io::{self, Cursor};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::call::{Calls, reason};
use crate::matrix::answers::{Answers, NotAsked, Question, read_answers};

/// A running `kubectl exec` or `kubectl attach`. Dropping it ends both sides.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The end of what it printed on standard error.
    said: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

impl Session {
    pub(super) fn start(calls: &Calls, words: &[&str]) -> Result<Self, NotAsked> {
        let mut child = calls.start(words, true)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(mut stderr)) = pipes else {
            return Err(NotAsked::new("kubectl has no pipes"));
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        let listener = tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..count]);
                let surplus = kept.len().saturating_sub(MOST_SAID);
                kept.drain(..surplus);
            }
        });
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), said, listener })
    }

    /// Asks, and reads the answer to its end. After an error the session is of no use.
    ///
    /// # Errors
    /// When the answer is not whole.
    pub(super) async fn ask(&mut self, question: &Question) -> Result<Answers, NotAsked> {
        let mut line = serde_json::to_vec(&words(question))
            .map_err(|error| NotAsked::new(error.to_string()))?;
        line.push(b'\n');
        // If it cannot be written, the other side has ended, and says why.
        let asked = self.stdin.write_all(&line).await.is_ok() && self.stdin.flush().await.is_ok();
        let patience = question.deadline.saturating_add(MARGIN);
        let answer = match timeout(patience, self.answer()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Err(self.farewell(asked).await),
            Err(_) => {
                let seconds = patience.as_secs();
                return Err(NotAsked::new(format!("its answer did not end within {seconds} s")));
            }
        };
        if let Some(refusal) = answer.refusal {
            return Err(NotAsked::new(format!("{refusal}: {}", self.reason(None))));
        }
        read_answers(Cursor::new(answer.records), question)
    }

    /// Everything up to the line that ends an answer.
    async fn answer(&mut self) -> io::Result<Answer> {
        let mut records = Vec::new();
        loop {
            let begin = records.len();
            if self.stdout.read_until(b'\n', &mut records).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if records.len() > MOST_ANSWER {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let line = &records[begin..];
            if !line.starts_with(DONE.as_bytes()) {
                continue;
            }
            let status = String::from_utf8_lossy(&line[DONE.len()..]);
            let status = status.trim_end().trim_end_matches('}').to_owned();
            records.truncate(begin);
            // 4 is incomplete, which the records say; so is 3, and no name resolved.
            let is_answer = ["0", "3", "4"].contains(&status.as_str());
            let refusal = (!is_answer).then(|| format!("its scan ended with status {status}"));
            return Ok(Answer { records, refusal });
        }
    }

    /// Why the other side has ended.
    async fn farewell(&mut self, asked: bool) -> NotAsked {
        let status = timeout(FAREWELL, self.child.wait()).await.ok().and_then(Result::ok);
        // Its standard error ends with it.
        let _ = timeout(FAREWELL, &mut self.listener).await;
        let what = if asked { "its answer was cut off" } else { "it cannot be asked" };
        NotAsked::new(format!("{what}: {}", self.reason(status)))
    }

    /// What it said last, or how it ended.
    fn reason(&self, status: Option<ExitStatus>) -> String {
        reason(&self.said.lock().unwrap_or_else(PoisonError::into_inner), status)
    }

    /// Lets the other side end.
    pub(super) async fn close(self: Box<Self>) {
        let Self { mut child, stdin, .. } = *self;
        drop(stdin);
        let _ = timeout(FAREWELL, child.wait()).await;
    }
}

struct Answer {
    records: Vec<u8>,
    refusal: Option<String>,
}

/// The scan that answers a question, as `open-ports vantage` wants it.
fn words(question: &Question) -> Vec<String> {
    let hosts = question.list();
    let mut words: Vec<String> = hosts.lines().map(str::to_owned).collect();
    let timeout = question.timeout.as_millis().to_string();
    let deadline = question.deadline.as_millis().to_string();
    let ports = question.ports.to_string();
    words.extend(
        ["--ports", &ports, "--timeout-ms", &timeout, "--deadline-ms", &deadline]
            .map(str::to_owned),
    );
    words.extend(question.metadata.then(|| "--ask-cloud-metadata".to_owned()));
    words.extend(["--details", "--quiet", "--format", "ndjson"].map(str::to_owned));
    words
}

/// How the line begins that ends an answer; the exit status of the scan follows.
// The same as in `cli::vantage`.
pub(crate) const DONE: &str = "{\"type\":\"done\",\"status\":";

/// What is kept of standard error: some lines.
const MOST_SAID: usize = 4096;

/// The largest answer that is kept. A filtered port is a record of 200 bytes, so this is
/// room for a million of them.
const MOST_ANSWER: usize = 256 << 20;

/// What starting a process in a pod and the way there and back may take on a busy node,
/// besides the scan.
const MARGIN: Duration = Duration::from_secs(30);

/// How long `kubectl` may take to end when it has nothing to do any more.
const FAREWELL: Duration = Duration::from_secs(3);
