//! Waits until containers run, with one watch for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::call::Calls;
use super::objects::{Condition, Pod};
use crate::matrix::answers::NotAsked;

/// Follows the pods that are waited for.
pub(super) struct Watcher {
    calls: Calls,
    /// The version of the list of pods.
    begin: OnceLock<String>,
    watches: Arc<Watches>,
}

/// What is known of pods, by the path that is watched. Each watch lasts as long as
/// somebody follows it: a child that nobody reads might outlive this process.
type Watches = Mutex<HashMap<String, Arc<watch::Sender<Seen>>>>;

/// The latest of each pod, by namespace and name.
#[derive(Default)]
struct Seen {
    pods: HashMap<(String, String), Arc<Latest>>,
    /// Why nothing more is seen.
    ended: Option<NotAsked>,
}

struct Latest {
    pod: Pod,
    is_gone: bool,
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    object: serde_json::Value,
}

impl Watcher {
    pub(super) fn new(calls: Calls) -> Self {
        Self { calls, begin: OnceLock::new(), watches: Arc::default() }
    }

    /// Has watches begin at the version of a list, which then miss nothing.
    pub(super) fn begin_at(&self, version: String) {
        let _ = self.begin.set(version);
    }

    /// Begins to follow the pods of a namespace. To be called before what is waited for is
    /// made.
    pub(super) fn follow(&self, namespace: &str) -> Following {
        let path = self.calls.pods_path(namespace);
        let mut watches = lock(&self.watches);
        if let Some(seen) = watches.get(&path) {
            return Following(seen.subscribe());
        }
        let (sender, receiver) = watch::channel(Seen::default());
        let sender = Arc::new(sender);
        watches.insert(path.clone(), Arc::clone(&sender));
        let watching = Watching {
            calls: self.calls.clone(),
            path,
            seen: sender,
            watches: Arc::clone(&self.watches),
        };
        tokio::spawn(watching.run(self.begin.get().cloned()));
        Following(receiver)
    }
}

fn lock(watches: &Watches) -> MutexGuard<'_, HashMap<String, Arc<watch::Sender<Seen>>>> {
    watches.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a vantage sees of its pod.
pub(super) struct Following(watch::Receiver<Seen>);

impl Following {
    /// Waits until a container runs.
    ///
    /// # Errors
    /// When it does not, or cannot.
    pub(super) async fn runs(
        mut self,
        key: &(String, String),
        container: &str,
    ) -> Result<(), NotAsked> {
        let mut last = None;
        let wait = async {
            loop {
                let known = {
                    let seen = self.0.borrow_and_update();
                    match (seen.pods.get(key), &seen.ended) {
                        (Some(latest), _) => Some(Arc::clone(latest)),
                        (None, Some(error)) => return Err(error.clone()),
                        (None, None) => None,
                    }
                };
                if let Some(latest) = known {
                    match latest.phase(container) {
                        Phase::Running => return Ok(()),
                        Phase::Never(reason) => return Err(NotAsked::new(reason)),
                        Phase::NotYet(reason) => last = reason,
                    }
                }
                if self.0.changed().await.is_err() {
                    return Err(NotAsked::new("the watch of pods has ended"));
                }
            }
        };
        let Ok(ended) = timeout(PATIENCE, wait).await else {
            let why = last.map(|reason| format!(": {reason}")).unwrap_or_default();
            let seconds = PATIENCE.as_secs();
            return Err(NotAsked::new(format!("its container did not start in {seconds} s{why}")));
        };
        ended
    }
}

/// How far a container is.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Running,
    NotYet(Option<String>),
    Never(String),
}

impl Latest {
    fn phase(&self, container: &str) -> Phase {
        if self.is_gone || self.pod.metadata.deletion_timestamp.is_some() {
            return Phase::Never("its pod was deleted".into());
        }
        let Some(state) = self.pod.container(container) else {
            // Nobody has taken it up so far. A scheduler says why.
            return Phase::NotYet(self.pod.status.conditions.iter().find_map(unscheduled));
        };
        match (&state.running, &state.waiting, &state.terminated) {
            (Some(_), ..) => Phase::Running,
            (_, _, Some(why)) => {
                let why = if why.message.is_empty() { &why.reason } else { &why.message };
                Phase::Never(format!("its container has ended: {why}"))
            }
            (_, Some(why), _) if FINAL.contains(&why.reason.as_str()) => {
                Phase::Never(format!("its container cannot start: {}: {}", why.reason, why.message))
            }
            (_, Some(why), _) => Phase::NotYet(Some(why.reason.clone())),
            _ => Phase::NotYet(None),
        }
    }
}

fn unscheduled(condition: &Condition) -> Option<String> {
    let Condition { r#type, status, reason, message } = condition;
    let is_it = r#type == "PodScheduled" && status == "False";
    is_it.then(|| message.clone().or_else(|| reason.clone()).unwrap_or_default())
}

/// One watch.
struct Watching {
    calls: Calls,
    path: String,
    seen: Arc<watch::Sender<Seen>>,
    watches: Arc<Watches>,
}

impl Watching {
    /// Watches as long as somebody follows. The API server ends watches as it likes.
    async fn run(self, version: Option<String>) {
        let mut version = version;
        let mut failures = 0;
        loop {
            // Only the first begins at a version. Any other begins with what is there.
            let work = self.once(version.take());
            let failure = tokio::select! {
                failure = work => failure,
                () = self.seen.closed() => {
                    // Nobody begins to follow while this is locked.
                    let mut watches = lock(&self.watches);
                    if self.seen.is_closed() {
                        watches.remove(&self.path);
                        return;
                    }
                    None
                }
            };
            failures = if failure.is_some() { failures + 1 } else { 0 };
            if let Some(failure) = failure.filter(|_| failures >= MOST_FAILURES) {
                self.seen.send_modify(|seen| seen.ended = Some(failure));
                lock(&self.watches).remove(&self.path);
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Watches until the watch ends. Returns why, unless it has seen anything.
    async fn once(&self, version: Option<String>) -> Option<NotAsked> {
        let since = version.filter(|version| !version.is_empty());
        let since = since.map(|version| format!("&resourceVersion={version}")).unwrap_or_default();
        let path = format!("{}?watch=1{since}", self.path);
        let mut child = match self.calls.start(&["get", "--raw", &path], false) {
            Ok(child) => child,
            Err(error) => return Some(error),
        };
        let stdout = child.stdout.take()?;
        let mut lines = BufReader::new(stdout).lines();
        let mut any = false;
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(Event { r#type, object }) = serde_json::from_str(&line) else { continue };
            if r#type == "ERROR" {
                break;
            }
            let Ok(pod) = Pod::deserialize(object) else { continue };
            any = true;
            let latest = Arc::new(Latest { pod, is_gone: r#type == "DELETED" });
            self.seen.send_modify(|seen| drop(seen.pods.insert(latest.pod.key(), latest)));
        }
        (!any).then(|| NotAsked::new("kubectl cannot watch pods"))
    }
}

/// Reasons why a container waits that waiting does not end: an image that is not there, a
/// security context that the node refuses.
const FINAL: [&str; 6] = [
    "ErrImagePull",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
];

/// How long a container may take to start: an image of 3 MB is pulled in seconds, and a
/// busy node takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Watches in a row that fail at once before nobody waits any longer.
const MOST_FAILURES: usize = 3;

/// Between two watches.
const PAUSE: Duration = Duration::from_millis(500);
