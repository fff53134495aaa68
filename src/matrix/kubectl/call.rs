//! Calls of `kubectl`.
//!
//! Most of them are raw requests to the API, because the commands for people ask for
//! more: which kinds there are, and each object once more before they change it.

use std::collections::BTreeSet;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::objects::{List, RawList};
use crate::matrix::answers::NotAsked;
use crate::printable::Printable;

/// How `kubectl` is called.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    context: Option<String>,
    /// Whether it takes a list for each namespace.
    is_apart: Arc<AtomicBool>,
}

impl Calls {
    pub(super) fn new(context: Option<String>) -> Self {
        Self { context, is_apart: Arc::default() }
    }

    /// The namespace of the context, which the kubeconfig alone says.
    pub(super) async fn current_namespace(&self) -> Result<String, NotAsked> {
        let words = ["config", "view", "--minify", "--output=jsonpath={..namespace}"];
        let namespace = self.run(&words, None).await?;
        let namespace = String::from_utf8_lossy(&namespace).trim().to_owned();
        Ok(if namespace.is_empty() { "default".into() } else { namespace })
    }

    /// The objects of these namespaces that the API calls `plural`, and perhaps of others,
    /// with one call if that is allowed.
    // Of several namespaces, one list of all of them is one call. Who may not see all has
    // to ask for each.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        plural: &str,
        namespaces: &BTreeSet<String>,
    ) -> Result<List<T>, NotAsked> {
        if namespaces.len() == 1 {
            self.is_apart.store(true, Ordering::Relaxed);
        }
        if !self.is_apart.load(Ordering::Relaxed) {
            let all = self.list_at(&format!("/api/v1/{plural}")).await;
            let Err(error) = all else { return all };
            if !error.reason().contains("Forbidden") {
                return Err(error);
            }
            self.is_apart.store(true, Ordering::Relaxed);
        }
        let mut version = String::new();
        let mut items = Vec::new();
        for name in namespaces {
            let list = self.list_at::<T>(&namespaced(name, plural)).await?;
            // Those of one cluster are in the order of time, and the first misses nothing.
            if version.is_empty() {
                version = list.version;
            }
            items.extend(list.items);
        }
        Ok(List { version, items })
    }

    async fn list_at<T: DeserializeOwned>(&self, path: &str) -> Result<List<T>, NotAsked> {
        let text = self.raw("get", path, None).await?;
        let list: RawList<T> = serde_json::from_slice(&text)
            .map_err(|error| NotAsked::new(format!("kubectl get {path}: {error}")))?;
        Ok(List { version: list.metadata.version, items: list.items })
    }

    /// Where the pods of a namespace are listed, alone or with all others.
    pub(super) fn pods_path(&self, namespace: &str) -> String {
        if self.is_apart.load(Ordering::Relaxed) {
            namespaced(namespace, "pods")
        } else {
            "/api/v1/pods".into()
        }
    }

    /// One request: `get`, `create` (POST), `replace` (PUT) or `delete`.
    pub(super) async fn raw(
        &self,
        verb: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Vec<u8>, NotAsked> {
        match body {
            None => self.run(&[verb, "--raw", path], None).await,
            Some(_) => self.run(&[verb, "--raw", path, "--filename=-"], body).await,
        }
    }

    /// Runs it to its end, and returns what it printed.
    async fn run(&self, words: &[&str], input: Option<&[u8]>) -> Result<Vec<u8>, NotAsked> {
        let work = async {
            let mut child = self.start(words, input.is_some())?;
            if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
                // What it does not read it does not want; its status says why.
                let _ = stdin.write_all(input).await;
            }
            child.wait_with_output().await.map_err(|error| failed(words, &error.to_string()))
        };
        let output = timeout(PATIENCE, work)
            .await
            .map_err(|_| failed(words, &format!("no answer within {} s", PATIENCE.as_secs())))??;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failed(words, &reason(&output.stderr, Some(output.status))))
    }

    /// Starts it, with pipes.
    // A group of its own: Ctrl-C at the prompt would end it before what it made is removed.
    pub(super) fn start(&self, words: &[&str], has_input: bool) -> Result<Child, NotAsked> {
        let context = self.context.iter().map(|context| format!("--context={context}"));
        Command::new("kubectl")
            .args(context)
            .args(words)
            .stdin(if has_input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| NotAsked::new(format!("cannot run kubectl: {error}")))
    }
}

/// The path of objects in a namespace.
pub(super) fn namespaced(namespace: &str, rest: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{rest}")
}

/// Why it failed, from what it printed: its last line, without what each begins with.
pub(super) fn reason(stderr: &[u8], status: Option<ExitStatus>) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let Some(line) = line else {
        return status.map_or_else(|| "no reason given".into(), |status| status.to_string());
    };
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = line.strip_prefix("Error from server ").unwrap_or(line);
    Printable(line).to_string()
}

fn failed(words: &[&str], reason: &str) -> NotAsked {
    NotAsked::new(format!("kubectl {}: {reason}", words.first().unwrap_or(&"")))
}

/// How long a call may take that waits for nothing: a large cluster takes seconds to list
/// its pods.
const PATIENCE: Duration = Duration::from_secs(60);
