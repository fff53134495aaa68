//! What is read of Kubernetes' objects.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::host::Host;
use crate::matrix::answers::NotAsked;
use crate::matrix::peer::Kind;
use crate::ports::PortSet;

/// All objects of a kind.
#[derive(Debug)]
pub(super) struct List<T> {
    /// What a watch begins at, to miss nothing.
    pub(super) version: String,
    pub(super) items: Vec<T>,
}

/// A list as the API has it.
#[derive(Debug, Deserialize)]
pub(super) struct RawList<T> {
    pub(super) metadata: ListMetadata,
    #[serde(default = "Vec::new")]
    pub(super) items: Vec<T>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListMetadata {
    #[serde(rename = "resourceVersion", default)]
    pub(super) version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) owner_references: Vec<Owner>,
    /// There while the object is being deleted.
    pub(super) deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owner {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
    #[serde(default)]
    pub(super) controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    pub(super) spec: PodSpec,
    pub(super) status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) containers: Vec<Container>,
    /// As they are, because a change has to repeat them.
    pub(super) ephemeral_containers: Vec<Value>,
    pub(super) service_account_name: Option<String>,
    pub(super) host_network: bool,
    pub(super) node_name: Option<String>,
    pub(super) node_selector: Option<Value>,
    pub(super) tolerations: Option<Value>,
    pub(super) image_pull_secrets: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) ports: Vec<ContainerPort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerPort {
    pub(super) name: Option<String>,
    pub(super) container_port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub(super) phase: String,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: Option<IpAddr>,
    pub(super) conditions: Vec<Condition>,
    pub(super) container_statuses: Vec<ContainerStatus>,
    pub(super) ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    pub(super) r#type: String,
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) state: ContainerState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) running: Option<IgnoredAny>,
    pub(super) waiting: Option<Why>,
    pub(super) terminated: Option<Why>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Why {
    pub(super) reason: String,
    pub(super) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) metadata: Metadata,
    pub(super) spec: ServiceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    pub(super) selector: BTreeMap<String, String>,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: Option<String>,
    pub(super) external_name: Option<String>,
    pub(super) publish_not_ready_addresses: bool,
    pub(super) ports: Vec<ServicePort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServicePort {
    pub(super) port: u16,
    pub(super) protocol: Option<String>,
    pub(super) target_port: Option<TargetPort>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum TargetPort {
    Number(u16),
    Name(String),
}

impl Pod {
    pub(super) fn key(&self) -> (String, String) {
        (self.metadata.namespace.clone(), self.metadata.name.clone())
    }

    /// The namespace and the name.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    pub(super) fn is_running(&self) -> bool {
        self.status.phase == "Running" && self.metadata.deletion_timestamp.is_none()
    }

    pub(super) fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        self.is_running()
            && conditions.any(|condition| condition.r#type == "Ready" && condition.status == "True")
    }

    /// Its own kind and name.
    pub(super) fn itself(&self) -> (Kind, &str) {
        (Kind::Pod, &self.metadata.name)
    }

    /// What it belongs to, from the nearest on. A pod that belongs to nothing is on its
    /// own.
    // What a Deployment owns is a ReplicaSet, and its name is in the pod as well: a
    // Deployment gives its ReplicaSets its own name and the hash of the template, and the
    // pods that hash as a label. A CronJob's Jobs have its name and a number.
    pub(super) fn owners(&self) -> Vec<(Kind, &str)> {
        let Some(owner) = self.controller() else { return Vec::new() };
        let name = owner.name.as_str();
        match owner.kind.as_str() {
            "ReplicaSet" => {
                let deployment = self.template_hash().and_then(|hash| name.strip_suffix(hash));
                let deployment = deployment.and_then(|name| name.strip_suffix('-'));
                let above = deployment.map(|name| (Kind::Deployment, name));
                [(Kind::ReplicaSet, name)].into_iter().chain(above).collect()
            }
            "Job" => {
                let cron_job = name.rsplit_once('-').filter(|(_, number)| {
                    number.len() >= 8 && number.bytes().all(|byte| byte.is_ascii_digit())
                });
                let above = cron_job.map(|(name, _)| (Kind::CronJob, name));
                [(Kind::Job, name)].into_iter().chain(above).collect()
            }
            "StatefulSet" => vec![(Kind::StatefulSet, name)],
            "DaemonSet" => vec![(Kind::DaemonSet, name)],
            // Of a kind that cannot be named, the pods can.
            _ => Vec::new(),
        }
    }

    pub(super) fn controller(&self) -> Option<&Owner> {
        self.metadata.owner_references.iter().find(|owner| owner.controller)
    }

    /// The hash that a Deployment gives the pods of one of its ReplicaSets.
    pub(super) fn template_hash(&self) -> Option<&str> {
        self.metadata.labels.get("pod-template-hash").map(String::as_str)
    }

    /// How the container of this name is doing.
    pub(super) fn container(&self, name: &str) -> Option<&ContainerState> {
        let PodStatus { container_statuses, ephemeral_container_statuses, .. } = &self.status;
        let mut all = container_statuses.iter().chain(ephemeral_container_statuses);
        all.find(|status| status.name == name).map(|status| &status.state)
    }
}

impl Service {
    /// Its address in the cluster, or the name that it stands for. `None`: it has none,
    /// and its pods are reached by their own.
    pub(super) fn host(&self) -> Result<Option<Host>, NotAsked> {
        let ServiceSpec { cluster_ip, external_name, .. } = &self.spec;
        match external_name.as_deref().or(cluster_ip.as_deref()) {
            None | Some("" | "None") => Ok(None),
            Some(host) => host.parse().map(Some).map_err(|error| {
                NotAsked::new(format!("Service {}: {host} {error}", self.metadata.name))
            }),
        }
    }

    /// The ports of its address.
    pub(super) fn ports(&self) -> Option<PortSet> {
        port_set(self.tcp_ports().map(|port| port.port))
    }

    /// The ports of `pod` that it stands for.
    pub(super) fn ports_of(&self, pod: &Pod) -> Option<PortSet> {
        let containers = || pod.spec.containers.iter().flat_map(|container| &container.ports);
        port_set(self.tcp_ports().filter_map(|port| {
            match &port.target_port {
                None => Some(port.port),
                Some(TargetPort::Number(number)) => Some(*number),
                Some(TargetPort::Name(name)) => containers()
                    .find(|port| port.name.as_ref() == Some(name))
                    .map(|port| port.container_port),
            }
        }))
    }

    /// Whether it sends to pods with these labels.
    pub(super) fn selects(&self, metadata: &Metadata) -> bool {
        let Self { metadata: own, spec } = self;
        own.namespace == metadata.namespace
            && !spec.selector.is_empty()
            && spec.selector.iter().all(|(key, value)| metadata.labels.get(key) == Some(value))
    }

    fn tcp_ports(&self) -> impl Iterator<Item = &ServicePort> {
        let is_tcp = |port: &&ServicePort| port.protocol.as_deref().is_none_or(|it| it == "TCP");
        self.spec.ports.iter().filter(is_tcp)
    }
}

fn port_set(ports: impl Iterator<Item = u16>) -> Option<PortSet> {
    let list: Vec<String> = ports.map(|port| port.to_string()).collect();
    list.join(",").parse().ok()
}
