//! What `open-ports matrix` calls kubectl with, by a kubectl that writes that down and
//! answers what the test says. The vantages behind it are the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tempfile::TempDir;

use support::own_address;
use support::service::{Ended, open_ports, run};
use support::targets::Listeners;

/// Writes down what it is called with, and plays one namespace. What it is to make is
/// running at once.
const KUBECTL: &str = r#"#!/bin/sh
echo "$*" >>"$FAKE/calls"
made() { cat >"$FAKE/event.new"; mv "$FAKE/event.new" "$FAKE/event"; }
case "$*" in
*"get --raw "*"?watch=1"*)
    until [ -e "$FAKE/event" ]; do sleep 0.02; done
    cat "$FAKE/event"
    exec sleep 1000
    ;;
*"get --raw "*/pods) exec cat "$FAKE/pods" ;;
*"get --raw "*/services) exec cat "$FAKE/services" ;;
"config view "*) printf shop ;;
"replace --raw "*)
    cat >"$FAKE/body"
    name=$(sed 's/.*"name":"\(open-ports-[0-9a-f]*\)".*/\1/' "$FAKE/body")
    made <<EOF
{"type":"MODIFIED","object":{"metadata":{"name":"web-1","namespace":"shop"},"status":{"phase":"Running","ephemeralContainerStatuses":[{"name":"$name","state":{"running":{}}}]}}}
EOF
    echo {}
    ;;
"create --raw "*)
    cat >"$FAKE/body"
    made <<EOF
{"type":"MODIFIED","object":{"metadata":{"name":"copy","namespace":"shop"},"status":{"phase":"Running","containerStatuses":[{"name":"open-ports","state":{"running":{}}}]}}}
EOF
    echo '{"metadata":{"name":"copy","namespace":"shop"}}'
    ;;
"delete --raw "*) echo {} ;;
"exec "* | *" exec "* | "attach "*) exec "$OPEN_PORTS" vantage ;;
*) echo "error: this was not expected" >&2; exit 1 ;;
esac
"#;

struct Fake {
    folder: TempDir,
    target: Listeners,
}

impl Fake {
    /// A namespace `shop` with these pods besides `db-1`, which listens, and services.
    fn new(pods: &[Value], services: &[Value]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = Listeners::bind(own_address(), 1);
        let kubectl = folder.path().join("kubectl");
        fs::write(&kubectl, KUBECTL).unwrap();
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
        let mut db = pod("db-1", &json!({}), "example/db:1");
        db["status"]["podIP"] = json!(target.address);
        let items: Vec<Value> = pods.iter().cloned().chain([db]).collect();
        let list = |items: &[Value]| json!({"metadata": {"resourceVersion": "7"}, "items": items});
        fs::write(folder.path().join("pods"), list(&items).to_string()).unwrap();
        fs::write(folder.path().join("services"), list(services).to_string()).unwrap();
        Self { folder, target }
    }

    /// Runs a matrix from this vantage to the port of `db-1`.
    fn matrix(&self, from: &str, more: &[&str]) -> Ended {
        self.matrix_to(from, "shop/db-1", more)
    }

    fn matrix_to(&self, from: &str, to: &str, more: &[&str]) -> Ended {
        let ports = self.target.list();
        let words = ["matrix", "--from", from, "--to", to, "-p", &ports, "--format", "ndjson"];
        let mut command = open_ports(&[&words[..], more].concat());
        let path = std::env::var("PATH").unwrap();
        command
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env("FAKE", self.folder.path())
            .env("OPEN_PORTS", env!("CARGO_BIN_EXE_open-ports"));
        run(command)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// What kubectl was called with, in any order: the watch runs beside the others.
    fn calls(&self) -> Vec<String> {
        let mut calls: Vec<String> = self.read("calls").lines().map(str::to_owned).collect();
        calls.sort_unstable();
        calls
    }

    /// What it was to make.
    fn body(&self) -> Value {
        serde_json::from_str(&self.read("body")).unwrap()
    }
}

/// A running pod with these labels, which is ready.
fn pod(name: &str, labels: &Value, image: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": {
            "serviceAccountName": "cashier",
            "containers": [{"name": "main", "image": image}],
        },
        "status": {
            "phase": "Running",
            "podIP": "192.0.2.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "main", "state": {"running": {}}}],
        },
    })
}

/// A pod of something that has `kind` and `name`.
fn owned(kind: &str, name: &str, labels: &Value, image: &str) -> Value {
    let mut pod = pod("web-1", labels, image);
    let owner = json!({
        "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true,
    });
    pod["metadata"]["ownerReferences"] = json!([owner]);
    pod
}

fn of_deployment(image: &str) -> Value {
    owned("ReplicaSet", "web-5d8", &json!({"app": "web", "pod-template-hash": "5d8"}), image)
}

/// The state of each cell and its reason.
#[track_caller]
fn cells(ended: &Ended) -> Vec<(String, String)> {
    let records = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let cells = records.filter(|record| record["type"] == "cell");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    cells.map(|cell| (text(&cell["state"]), text(&cell["reason"]))).collect()
}

#[track_caller]
fn assert_open(ended: &Ended) {
    let found = cells(ended);
    assert_eq!(found, [("open".to_owned(), "syn-ack".to_owned())], "{ended:?}");
}

#[track_caller]
fn assert_not_asked(ended: &Ended, why: &str) {
    let found = cells(ended);
    assert_eq!(found.len(), 1, "{ended:?}");
    assert_eq!(found[0].0, "not-asked", "{ended:?}");
    assert!(found[0].1.contains(why), "{why}: {found:?}");
}

const LIST: &str = "get --raw /api/v1/namespaces/shop/pods";
const WATCH: &str = "get --raw /api/v1/namespaces/shop/pods?watch=1&resourceVersion=7";

#[test]
fn a_container_with_open_ports_is_asked_by_exec() {
    let fake = Fake::new(&[of_deployment("registry.example.com/tools/open-ports:1.2")], &[]);
    assert_open(&fake.matrix("shop/deploy/web", &[]));
    let exec =
        "exec --stdin --quiet --namespace shop web-1 --container main -- /open-ports vantage";
    assert_eq!(fake.calls(), [exec, LIST]);
}

#[test]
fn the_context_and_its_namespace_are_kubectls() {
    let fake = Fake::new(&[of_deployment("open-ports")], &[]);
    assert_open(&fake.matrix("shop/web[Deployment]", &["--context", "other"]));
    assert!(fake.calls().iter().all(|call| call.starts_with("--context=other ")));
    let fake = Fake::new(&[of_deployment("open-ports")], &[]);
    assert_open(&fake.matrix_to("deploy/web", "pod/db-1", &[]));
    assert!(fake.calls().contains(&"config view --minify --output=jsonpath={..namespace}".into()));
}

#[test]
fn any_other_pod_gets_one_restricted_ephemeral_container() {
    let mut web = of_deployment("example/web:1");
    web["spec"]["ephemeralContainers"] = json!([{"name": "somebody-elses"}]);
    let fake = Fake::new(&[web], &[]);
    let ended = fake.matrix("shop/web", &["--image", "open-ports:dev"]);
    assert_open(&ended);
    assert!(ended.stderr.contains("web-1 gets an ephemeral container"), "{ended:?}");
    let body = fake.body();
    let containers = body["spec"]["ephemeralContainers"].as_array().unwrap();
    assert_eq!(containers[0], json!({"name": "somebody-elses"}));
    let ours = &containers[1];
    assert_eq!((&ours["image"], &ours["args"]), (&json!("open-ports:dev"), &json!(["vantage"])));
    let context = &ours["securityContext"];
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(context["allowPrivilegeEscalation"], json!(false));
    assert_eq!(context["runAsNonRoot"], json!(true));
    assert_eq!(context["seccompProfile"], json!({"type": "RuntimeDefault"}));
    let name = ours["name"].as_str().unwrap();
    let attach = format!("attach --stdin --quiet --namespace shop web-1 --container {name}");
    let put = "replace --raw /api/v1/namespaces/shop/pods/web-1/ephemeralcontainers --filename=-";
    assert_eq!(fake.calls(), [&attach, LIST, WATCH, put]);
}

#[test]
fn a_copy_is_nothing_but_a_copy_and_is_removed() {
    let mut web = of_deployment("example/web:1");
    web["metadata"]["labels"]["job-name"] = json!("a");
    let fake = Fake::new(&[web], &[]);
    assert_open(&fake.matrix("as shop/deploy/web", &["--image", "open-ports:dev"]));
    let body = fake.body();
    let labels = &body["metadata"]["labels"];
    let run = labels["open-ports-matrix"].as_str().unwrap();
    assert_eq!(*labels, json!({"app": "web", "open-ports-matrix": run}));
    assert_eq!(body["spec"]["readinessGates"], json!([{"conditionType": "open-ports-matrix"}]));
    assert_eq!(body["spec"]["serviceAccountName"], json!("cashier"));
    assert_eq!(body["spec"]["automountServiceAccountToken"], json!(false));
    assert!(body["spec"]["activeDeadlineSeconds"].is_u64());
    let owner =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d8", "uid": "u"}]);
    assert_eq!(body["metadata"]["ownerReferences"], owner);
    let delete = format!(
        "delete --raw /api/v1/namespaces/shop/pods?labelSelector=open-ports-matrix%3D{run}"
    );
    let calls = [
        "attach --stdin --quiet --namespace shop copy --container open-ports",
        "create --raw /api/v1/namespaces/shop/pods --filename=-",
        &delete,
        LIST,
        WATCH,
        "get --raw /api/v1/namespaces/shop/services",
    ];
    assert_eq!(fake.calls(), calls);
    assert_not_asked(&fake.matrix("as shop/deploy/web", &[]), "with --image");
}

#[test]
fn a_node_is_asked_by_a_pod_in_its_network_which_is_removed() {
    let image = ["--image", "open-ports:dev"];
    let mut web = pod("web-1", &json!({}), "example/web:1");
    web["spec"]["nodeName"] = json!("worker-1");
    let fake = Fake::new(&[web], &[]);
    for name in ["node/worker-1", "node/work*"] {
        let ended = fake.matrix(name, &image);
        assert_open(&ended);
        assert!(ended.stdout.contains(r#""vantage":"node/worker-1""#), "{ended:?}");
        let why = "a pod of shop in the network of node/worker-1 is made, and removed at the end";
        assert!(ended.stderr.contains(why), "{ended:?}");
    }
    let made = fake.body();
    assert_eq!(made["metadata"]["namespace"], "shop");
    let labels = made["metadata"]["labels"].as_object().unwrap();
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["open-ports-matrix"]);
    assert_eq!(made["spec"]["nodeName"], "worker-1");
    assert_eq!(made["spec"]["hostNetwork"], true);
    assert_eq!(made["spec"]["containers"][0]["securityContext"]["runAsNonRoot"], true);
    let removed = fake.calls().into_iter().filter(|call| call.starts_with("delete --raw "));
    assert_eq!(removed.count(), 2);
    assert_not_asked(&fake.matrix("node/other*", &image), "nothing there matches");
    assert_not_asked(&fake.matrix("node/worker-1", &[]), "with --image");
}

#[test]
fn what_could_become_more_than_a_copy_is_not_copied() {
    let labels = json!({"app": "web"});
    let image = ["--image", "open-ports:dev"];
    for (pod, why) in [
        (owned("DaemonSet", "web", &labels, "a"), "its DaemonSet would adopt the copy"),
        (owned("ReplicaSet", "web", &labels, "a"), "its ReplicaSet would adopt the copy"),
        (owned("CloneSet", "web", &labels, "a"), "its CloneSet would adopt the copy"),
    ] {
        let fake = Fake::new(&[pod], &[]);
        assert_not_asked(&fake.matrix("as shop/web-1", &image), why);
    }
    let service = json!({
        "metadata": {"name": "peers", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "publishNotReadyAddresses": true, "clusterIP": "None"},
    });
    let fake = Fake::new(&[of_deployment("a")], &[service]);
    let why = "the Service peers publishes pods that are not ready";
    assert_not_asked(&fake.matrix("as shop/deploy/web", &image), why);
}

#[test]
fn what_cannot_be_asked_has_its_reason() {
    let fake = Fake::new(&[of_deployment("example/web:1")], &[]);
    let ended = fake.matrix("shop/deploy/web", &[]);
    assert_not_asked(&ended, "shop/web-1 has no open-ports");
    assert_eq!(ended.status.code(), Some(4));
    assert_not_asked(&fake.matrix("shop/deploy/nothing", &[]), "there is no pod of");
    let both = [of_deployment("open-ports"), {
        let mut other = owned("StatefulSet", "web", &json!({}), "open-ports");
        other["metadata"]["name"] = json!("web-0");
        other
    }];
    let fake = Fake::new(&both, &[]);
    let why = "is a Deployment and a StatefulSet; say which, like shop/web[Deployment]";
    assert_not_asked(&fake.matrix("shop/web", &[]), why);
}

#[test]
fn a_service_stands_for_its_address_or_for_its_pods() {
    for (address, own_port) in [(None, true), (Some("None"), false)] {
        let mut db = Fake::new(&[of_deployment("open-ports")], &[]);
        let own = db.target.list().parse::<u16>().unwrap();
        let ip = db.target.address.to_string();
        let (port, target) = if own_port { (own, 1) } else { (1, own) };
        let service = json!({
            "metadata": {"name": "data", "namespace": "shop"},
            "spec": {
                "clusterIP": address.unwrap_or(&ip),
                "selector": {"app": "db"},
                "ports": [{"port": port, "targetPort": target, "protocol": "TCP"}],
            },
        });
        let mut pod = pod("db-0", &json!({"app": "db"}), "example/db:1");
        pod["status"]["podIP"] = json!(ip);
        let again = Fake::new(&[of_deployment("open-ports"), pod], &[service]);
        // Its listener is that of the first one.
        db.folder = again.folder;
        let ended = db.matrix_to("shop/deploy/web", "shop/svc/data", &[]);
        assert_open(&ended);
    }
}

#[test]
fn the_plugin_is_the_same_program() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-open_ports");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_open-ports"), &plugin).unwrap();
    let plugin = plugin.to_str().unwrap();
    let asked = |words: &[&str]| {
        let mut command = std::process::Command::new(plugin);
        command.args(words);
        run(command)
    };
    let help = asked(&["matrix", "--help"]);
    assert!(help.stdout.contains("kubectl open-ports matrix"), "{help:?}");
    // It does not serve.
    assert_eq!(asked(&[]).status.code(), Some(0));
}
