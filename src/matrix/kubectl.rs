//! A Kubernetes cluster, through `kubectl` as a child process.
//!
//! What `kubectl` needs to reach the cluster (a kubeconfig, a context, plugins that log
//! in) is its own business. The API server is asked as little as possible: all pods come
//! with one list for the whole run, and a vantage costs three calls at most.
//!
//! | vantage | calls |
//! |---------|-------|
//! | a container with open-ports | get and exec, both by `kubectl exec` |
//! | an ephemeral container | put, and get and attach by `kubectl attach` |
//! | a pod that is made: a copy of a workload, or one in a node's network | post, get and attach; one delete for all of a namespace |
//!
//! Questions and answers go through the streams of `exec` and `attach`, which no network
//! policy can cut: the kubelet starts them on the node. `open-ports vantage` is at the
//! other end. It takes any number of questions, and ends when its input does, so that
//! nothing keeps running in a pod when this process is gone.

mod call;
mod copy;
mod debug;
mod find;
mod made;
mod node;
mod objects;
mod pod_vantage;
mod session;
mod started;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::OnceCell;

use self::call::Calls;
use self::made::Manifest;
use self::objects::{List, Pod, Service};
use self::pod_vantage::{OfPod, PodVantage, Route};
pub(crate) use self::session::DONE;
use self::started::Watcher;
use super::answers::NotAsked;
use super::peer::{Kind, Workload};
use super::vantage::{Cluster, TargetHost, Vantage};
use crate::host::Host;

/// What the command line says about the cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The context of the kubeconfig. `None`: the current one.
    pub(crate) context: Option<String>,
    /// The image for pods without open-ports.
    pub(crate) image: Option<String>,
    /// The namespaces that are named; `None` is that of the context.
    pub(crate) namespaces: BTreeSet<Option<String>>,
}

/// Prints what a person should know before it happens.
pub(crate) type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// A cluster, seen through `kubectl`.
pub(crate) struct Kubectl {
    shared: Arc<Shared>,
    namespaces: BTreeSet<Option<String>>,
    /// That of the context.
    namespace: Once<String>,
    pods: Once<Vec<Arc<Pod>>>,
    services: Once<Vec<Service>>,
    /// The pods that ask, each once, though it may have several names and be a witness.
    asking: Mutex<BTreeMap<(String, String), Arc<OfPod>>>,
}

/// What was asked once, or why there is no answer.
type Once<T> = OnceCell<Result<T, NotAsked>>;

/// What the vantages share.
struct Shared {
    calls: Calls,
    image: Option<String>,
    say: Say,
    /// In the names of what this run makes, and the value of [`LABEL`].
    run: String,
    watcher: Watcher,
    made: made::Made,
}

impl Kubectl {
    pub(crate) fn new(options: Options, say: Say) -> Self {
        let calls = Calls::new(options.context);
        let shared = Shared {
            watcher: Watcher::new(calls.clone()),
            made: made::Made::default(),
            calls,
            image: options.image,
            say,
            run: format!("{:08x}", RandomState::new().hash_one(0) >> 32),
        };
        Self {
            shared: Arc::new(shared),
            namespaces: options.namespaces,
            namespace: OnceCell::new(),
            pods: OnceCell::new(),
            services: OnceCell::new(),
            asking: Mutex::default(),
        }
    }

    /// The namespace that is named, or that of the context.
    async fn namespace(&self, named: Option<&String>) -> Result<String, NotAsked> {
        match named {
            Some(namespace) => Ok(namespace.clone()),
            None => {
                let current = || self.shared.calls.current_namespace();
                self.namespace.get_or_init(current).await.clone()
            }
        }
    }

    /// The namespaces that matter.
    async fn namespaces(&self) -> Result<BTreeSet<String>, NotAsked> {
        let mut namespaces = BTreeSet::new();
        for named in &self.namespaces {
            namespaces.insert(self.namespace(named.as_ref()).await?);
        }
        Ok(namespaces)
    }

    /// The pods of all namespaces that matter, from one list.
    async fn pods(&self) -> Result<&[Arc<Pod>], NotAsked> {
        let list = || async {
            let namespaces = self.namespaces().await?;
            let list = self.shared.calls.list::<Pod>("pods", &namespaces).await?;
            let List { version, items } = list;
            self.shared.watcher.begin_at(version);
            Ok(items.into_iter().map(Arc::new).collect())
        };
        let pods = self.pods.get_or_init(list).await;
        pods.as_deref().map_err(Clone::clone)
    }

    async fn services(&self) -> Result<&[Service], NotAsked> {
        let list = || async {
            let namespaces = self.namespaces().await?;
            Ok(self.shared.calls.list("services", &namespaces).await?.items)
        };
        let services = self.services.get_or_init(list).await;
        services.as_deref().map_err(Clone::clone)
    }

    /// The workloads that are meant, each with its pods, by name.
    async fn found(&self, workload: &Workload) -> Result<Vec<find::Found>, NotAsked> {
        let namespace = self.namespace(workload.namespace.as_ref()).await?;
        find::find(self.pods().await?, &namespace, workload)
    }

    /// What asks from `pod`.
    fn asks(&self, pod: &Arc<Pod>) -> Result<Arc<OfPod>, NotAsked> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = asking.get(&pod.key()) {
            return Ok(Arc::clone(known));
        }
        let route = Route::of(pod, self.shared.image.as_deref())?;
        let asks = Arc::new(OfPod::new(route, &self.shared));
        asking.insert(pod.key(), Arc::clone(&asks));
        Ok(asks)
    }

    async fn vantages_of(
        &self,
        workload: &Workload,
        is_copy: bool,
    ) -> Result<Vec<Arc<dyn Vantage>>, NotAsked> {
        let found = self.found(workload).await?;
        if found.is_empty() {
            return Err(NotAsked::new(format!("there is no pod of {workload}")));
        }
        let mut vantages: Vec<Arc<dyn Vantage>> = Vec::new();
        for found in found {
            let Some(pod) = found.asks() else {
                self.left_out(workload, format!("no pod of {} is running", found.name))?;
                continue;
            };
            if pod.spec.host_network {
                (self.shared.say)(&format!(
                    "{} uses the network of its node: network policies do not apply to it",
                    found.name
                ));
            }
            let (name, asks) = if is_copy {
                let services = self.services().await?;
                let manifest = copy::manifest(pod, services, &self.shared)?;
                (format!("as {}", found.name), self.made(manifest))
            } else {
                (found.name.clone(), self.asks(pod)?)
            };
            asks.announce();
            vantages.push(Arc::new(PodVantage::of_workload(name, asks)));
        }
        if vantages.is_empty() {
            return Err(NotAsked::new(format!("no pod of {workload} is running")));
        }
        Ok(vantages)
    }

    async fn nodes_of(&self, pattern: &str) -> Result<Vec<Arc<dyn Vantage>>, NotAsked> {
        let pods = if pattern.contains('*') { self.pods().await? } else { &[] };
        let namespace = self.namespace(None).await?;
        let mut vantages: Vec<Arc<dyn Vantage>> = Vec::new();
        for name in node::names(pods, pattern) {
            let asks = self.made(node::manifest(name, &namespace, &self.shared)?);
            asks.announce();
            vantages.push(Arc::new(PodVantage::of_node(name, asks)));
        }
        Ok(vantages)
    }

    /// What asks from a pod that is made for it.
    fn made(&self, manifest: Manifest) -> Arc<OfPod> {
        Arc::new(OfPod::new(Route::Made(Box::new(manifest)), &self.shared))
    }

    async fn targets_of(&self, workload: &Workload) -> Result<Vec<TargetHost>, NotAsked> {
        let found = match workload.kind {
            Some(Kind::Service) => Vec::new(),
            _ => self.found(workload).await?,
        };
        if found.is_empty() {
            return self.services_of(workload).await;
        }
        let mut targets = Vec::new();
        for found in found {
            let ready = found.ready();
            if ready.is_empty() {
                self.left_out(workload, format!("no pod of {} is ready", found.name))?;
            }
            for pod in ready {
                targets.extend(self.target(&found.name, pod));
            }
        }
        if targets.is_empty() {
            return Err(NotAsked::new(format!("no pod of {workload} is ready")));
        }
        Ok(targets)
    }

    /// Says what is left out of a pattern. By itself, it is an error.
    fn left_out(&self, workload: &Workload, reason: String) -> Result<(), NotAsked> {
        if !workload.is_pattern() {
            return Err(NotAsked::new(reason));
        }
        (self.shared.say)(&format!("{reason}: it is left out"));
        Ok(())
    }

    /// What a Service stands for: its address in the cluster, or its pods if it has none.
    async fn services_of(&self, workload: &Workload) -> Result<Vec<TargetHost>, NotAsked> {
        let is_service = matches!(workload.kind, None | Some(Kind::Service));
        let namespace = self.namespace(workload.namespace.as_ref()).await?;
        let mut targets = Vec::new();
        for service in if is_service { self.services().await? } else { &[] } {
            if service.metadata.namespace != namespace || !workload.has_name(&service.metadata.name)
            {
                continue;
            }
            let name = format!("{namespace}/{}", service.metadata.name);
            match service.host()? {
                Some(host) => targets.push(TargetHost {
                    name,
                    group: Some(namespace.clone()),
                    host,
                    ports: service.ports(),
                    witness: None,
                }),
                None => {
                    for pod in self.pods().await? {
                        if service.selects(&pod.metadata) && pod.is_ready() {
                            let ports = service.ports_of(pod);
                            let target = self.target(&name, pod);
                            targets.extend(target.map(|target| TargetHost { ports, ..target }));
                        }
                    }
                }
            }
        }
        if targets.is_empty() {
            let what = if is_service { "no pod and no Service is" } else { "there is no pod of" };
            return Err(NotAsked::new(format!("{what} {workload}")));
        }
        Ok(targets)
    }

    fn target(&self, name: &str, pod: &Arc<Pod>) -> Option<TargetHost> {
        let address = pod.status.pod_ip?;
        let witness = self.asks(pod).ok().map(|asks| PodVantage::of_workload(pod.name(), asks));
        Some(TargetHost {
            name: name.to_owned(),
            group: Some(pod.metadata.namespace.clone()),
            host: Host::Address(address),
            ports: None,
            witness: witness.map(|witness| Arc::new(witness) as Arc<dyn Vantage>),
        })
    }
}

impl Cluster for Kubectl {
    fn vantages<'a>(
        &'a self,
        workload: &'a Workload,
        is_copy: bool,
    ) -> BoxFuture<'a, Result<Vec<Arc<dyn Vantage>>, NotAsked>> {
        self.vantages_of(workload, is_copy).boxed()
    }

    fn nodes<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Arc<dyn Vantage>>, NotAsked>> {
        self.nodes_of(name).boxed()
    }

    fn targets<'a>(
        &'a self,
        workload: &'a Workload,
    ) -> BoxFuture<'a, Result<Vec<TargetHost>, NotAsked>> {
        self.targets_of(workload).boxed()
    }
}

/// The name of the image, of its program, and of what is made here.
const OURS: &str = "open-ports";

/// The label of what a run makes. Its value is the run.
const LABEL: &str = "open-ports-matrix";
