//! A vantage in a pod.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::Mutex;

use super::call::Calls;
use super::made::Manifest;
use super::objects::Pod;
use super::session::Session;
use super::{OURS, Shared, debug};
use crate::matrix::answers::{Answers, NotAsked, Question};
use crate::matrix::vantage::Vantage;

/// How a pod is made to ask.
#[derive(Debug)]
pub(super) enum Route {
    /// A container of the pod has open-ports.
    Exec { pod: Arc<Pod>, container: String },
    /// The pod gets an ephemeral container of this image.
    Debug { pod: Arc<Pod>, image: String },
    /// A pod is made.
    Made(Box<Manifest>),
}

/// A pod that asks, under one name.
pub(super) struct PodVantage {
    name: String,
    group: Option<String>,
    asks: Arc<OfPod>,
}

/// What asks from a pod. All questions of the run go through one session.
pub(super) struct OfPod {
    route: Route,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// Whether a pod was made, or may have been.
    is_made: AtomicBool,
    /// Whether it was said what it changes in the cluster.
    is_announced: AtomicBool,
}

enum State {
    New,
    Open(Box<Session>),
    /// It is of no use any more, and why.
    Over(NotAsked),
}

impl Route {
    /// How to ask from `pod`, without a change of it if that is possible.
    ///
    /// # Errors
    /// When there is no image for what it would take.
    pub(super) fn of(pod: &Arc<Pod>, image: Option<&str>) -> Result<Self, NotAsked> {
        let mut containers = pod.spec.containers.iter();
        let has_it = containers.find(|container| {
            let is_running =
                pod.container(&container.name).is_some_and(|state| state.running.is_some());
            let is_ours = image == Some(&*container.image) || repository(&container.image) == OURS;
            is_running && is_ours
        });
        let own = Arc::clone(pod);
        match (has_it, image) {
            (Some(container), _) => Ok(Self::Exec { pod: own, container: container.name.clone() }),
            (None, Some(image)) => Ok(Self::Debug { pod: own, image: image.to_owned() }),
            (None, None) => Err(NotAsked::new(format!(
                "{} has no open-ports; name the image of an ephemeral container with --image",
                pod.name()
            ))),
        }
    }

    /// Where it asks.
    fn namespace(&self) -> &str {
        match self {
            Self::Exec { pod, .. } | Self::Debug { pod, .. } => &pod.metadata.namespace,
            Self::Made(manifest) => &manifest.namespace,
        }
    }
}

impl PodVantage {
    /// A workload, which folds with those of its namespace.
    pub(super) fn of_workload(name: String, asks: Arc<OfPod>) -> Self {
        let group = Some(asks.route.namespace().to_owned());
        Self { name, group, asks }
    }

    /// A node, which belongs to no namespace.
    pub(super) fn of_node(name: &str, asks: Arc<OfPod>) -> Self {
        Self { name: format!("node/{name}"), group: None, asks }
    }
}

impl OfPod {
    pub(super) fn new(route: Route, shared: &Arc<Shared>) -> Self {
        Self {
            route,
            shared: Arc::clone(shared),
            state: Mutex::new(State::New),
            is_made: AtomicBool::new(false),
            is_announced: AtomicBool::new(false),
        }
    }

    /// Says once what happens to the cluster when this is asked.
    pub(super) fn announce(&self) {
        let text = match &self.route {
            Route::Exec { .. } => return,
            Route::Debug { pod, image } => format!(
                "{} gets an ephemeral container of {image}, which stays in the pod's record",
                pod.name()
            ),
            Route::Made(manifest) => format!("{} is made, and removed at the end", manifest.what),
        };
        if !self.is_announced.swap(true, Ordering::Relaxed) {
            (self.shared.say)(&text);
        }
    }

    async fn start(&self) -> Result<Session, NotAsked> {
        self.announce();
        let Shared { calls, run, watcher, made, .. } = &*self.shared;
        let namespace = self.route.namespace();
        match &self.route {
            Route::Exec { pod, container } => {
                let pod = &pod.metadata.name;
                let words = ["exec", "--stdin", "--quiet", "--namespace", namespace, pod];
                let command = ["--container", container, "--", "/open-ports", "vantage"];
                Session::start(calls, &[&words[..], &command].concat())
            }
            Route::Debug { pod, image } => {
                let container = format!("{OURS}-{run}");
                let following = watcher.follow(namespace);
                debug::add(calls, pod, &container, image).await?;
                following.runs(&pod.key(), &container).await?;
                attach(calls, (namespace, &pod.metadata.name), &container)
            }
            Route::Made(manifest) => {
                let following = watcher.follow(namespace);
                self.is_made.store(true, Ordering::Relaxed);
                let name = made.make(calls, manifest).await?;
                let key = (namespace.to_owned(), name);
                following.runs(&key, OURS).await?;
                attach(calls, (namespace, &key.1), OURS)
            }
        }
    }

    async fn ask(&self, question: &Question) -> Result<Answers, NotAsked> {
        let mut state = self.state.lock().await;
        // Without it, a session whose answer nobody read to its end would answer again.
        let over = State::Over(NotAsked::new("an earlier question was broken off"));
        let mut session = match std::mem::replace(&mut *state, over) {
            State::Open(session) => session,
            State::New => match self.start().await {
                Ok(session) => Box::new(session),
                Err(error) => {
                    *state = State::Over(error.clone());
                    return Err(error);
                }
            },
            State::Over(error) => {
                *state = State::Over(error.clone());
                return Err(error);
            }
        };
        let answers = session.ask(question).await;
        *state = match &answers {
            Ok(_) => State::Open(session),
            Err(error) => State::Over(error.clone()),
        };
        answers
    }

    /// Ends it, once.
    async fn end(&self) {
        let before = {
            let mut state = self.state.lock().await;
            std::mem::replace(&mut *state, State::Over(NotAsked::new("the run is over")))
        };
        if let State::Open(session) = before {
            session.close().await;
        }
        if self.is_made.swap(false, Ordering::Relaxed) {
            let Shared { calls, run, made, say, .. } = &*self.shared;
            if let Err(error) = made.leave(calls, self.route.namespace(), run).await {
                say(&format!("a pod was not removed: {error}"));
            }
        }
    }
}

impl Vantage for PodVantage {
    fn name(&self) -> &str {
        &self.name
    }

    fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answers, NotAsked>> {
        self.asks.ask(question).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.asks.end().boxed()
    }
}

fn attach(
    calls: &Calls,
    (namespace, pod): (&str, &str),
    container: &str,
) -> Result<Session, NotAsked> {
    let words = ["attach", "--stdin", "--quiet", "--namespace", namespace, pod];
    Session::start(calls, &[&words[..], &["--container", container]].concat())
}

/// The last part of an image's name, without tag and digest.
fn repository(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split(['@', ':']).next().unwrap_or(last)
}
