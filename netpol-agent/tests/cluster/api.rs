//! A client with all rights, and the parts that kubelet and controllers have in a cluster.

use std::path::Path;

use kube::{
    Client,
    core::{
        Request,
        params::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    },
};
use netpol_agent::cluster::{
    watch::{Credentials, connect},
    yaml,
};
use netpol_testkit::{
    apiserver::{ADMIN, AGENT, ApiServer},
    netns::{Lab, Pod},
};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// The API at a server in a lab's namespace.
pub(crate) struct Api {
    /// Its one thread lives in that namespace.
    runtime: Runtime,
    client: Client,
}

impl Api {
    pub(crate) fn new(lab: &Lab, server: &ApiServer<'_>) -> Self {
        let build = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = lab.run(build).unwrap().unwrap();
        let credentials = Credentials { kubeconfig: Some(server.kubeconfig(ADMIN).unwrap()), context: None };
        let client = runtime.block_on(runtime.spawn(async move { connect(&credentials).await }));
        Self { runtime, client: client.unwrap().unwrap() }
    }

    fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> kube::Result<Value> {
        let (request, client) = (request.unwrap(), self.client.clone());
        let answer = self.runtime.spawn(async move { client.request::<Value>(request).await });
        self.runtime.block_on(answer).unwrap()
    }

    /// Makes an object; one that is there already stays.
    pub(crate) fn create(&self, path: &str, object: &Value) {
        let body = serde_json::to_vec(object).unwrap();
        match self.send(Request::new(path).create(&PostParams::default(), body)) {
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
            answer => assert!(answer.is_ok(), "{object}: {answer:?}"),
        }
    }

    /// Whether the server has something to list there.
    pub(crate) fn serves(&self, path: &str) -> bool {
        self.send(Request::new(path).list(&ListParams::default())).is_ok()
    }

    /// The objects that the server lists there, in no order; `fields` selects, as kubectl's `--field-selector`.
    pub(crate) fn list(&self, path: &str, fields: &str) -> Vec<Value> {
        let list = self.send(Request::new(path).list(&ListParams::default().fields(fields))).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Whether the agent's ServiceAccount may do something everywhere with a `group/plural`.
    pub(crate) fn agent_may(&self, verb: &str, resource: &str) -> bool {
        let (group, resource) = resource.split_once('/').unwrap();
        let attributes = json!({ "verb": verb, "group": group, "resource": resource, "namespace": "" });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": { "user": AGENT.name, "groups": ["system:authenticated"], "resourceAttributes": attributes },
        });
        self.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review)["status"]["allowed"] == true
    }

    /// What the server answers to an object.
    pub(crate) fn post(&self, path: &str, object: &Value) -> Value {
        let body = serde_json::to_vec(object).unwrap();
        self.send(Request::new(path).create(&PostParams::default(), body)).unwrap()
    }

    /// Makes an object, or what it changes of one, as `kubectl apply --server-side` does: fields that the server does not
    /// know are an error.
    pub(crate) fn apply_strictly(&self, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let params = PatchParams::apply("tests").force();
        self.send(Request::new(path(object)).patch(name, &params, &Patch::Apply(object))).unwrap();
    }

    /// Whether an object could be made.
    pub(crate) fn try_create(&self, path: &str, object: &Value) -> bool {
        let body = serde_json::to_vec(object).unwrap();
        self.send(Request::new(path).create(&PostParams::default(), body)).is_ok()
    }

    /// Changes some fields of an object, or of a subresource such as `status`.
    pub(crate) fn patch(&self, path: &str, name: &str, subresource: Option<&str>, change: Value) {
        let (request, params, patch) = (Request::new(path), PatchParams::default(), Patch::Merge(change));
        let request = match subresource {
            Some(subresource) => request.patch_subresource(subresource, name, &params, &patch),
            None => request.patch(name, &params, &patch),
        };
        self.send(request).unwrap();
    }

    /// Removes an object at once.
    pub(crate) fn delete(&self, path: &str, name: &str) {
        self.send(Request::new(path).delete(name, &DeleteParams::default().grace_period(0))).unwrap();
    }

    /// Makes all objects of all manifests in a folder, as `kubectl apply` would, and gives them their status.
    pub(crate) fn apply_folder(&self, folder: &Path) {
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let texts: Vec<_> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let mut objects: Vec<Value> = texts.iter().flat_map(|text| documents(text)).collect();
        // Namespaces first: what is in them needs them.
        objects.sort_by_key(|object| object["kind"] != "Namespace");
        objects.iter().for_each(|object| self.apply(object));
    }

    /// Makes all objects of a text of manifests.
    pub(crate) fn apply_text(&self, text: &str) {
        documents(text).for_each(|object| self.apply(&object));
    }

    fn apply(&self, object: &Value) {
        let path = path(object);
        self.create(&path, object);
        if !object["status"].is_null() {
            let name = object["metadata"]["name"].as_str().unwrap();
            self.patch(&path, name, Some("status"), json!({ "status": object["status"] }));
        }
    }

    /// Tells of the lab's node, its namespaces and its pods, as the kubelet does: a pod is made first, and gets its
    /// addresses later.
    pub(crate) fn apply_lab(&self, lab: &Lab) {
        let folder = tempfile::TempDir::new().unwrap();
        lab.write_manifests(folder.path()).unwrap();
        self.apply_folder(folder.path());
    }

    /// Tells that a pod is gone.
    pub(crate) fn delete_pod(&self, pod: &Pod) {
        self.delete(&pods(pod.namespace()), pod.name());
    }

    /// Lets the agent's ServiceAccount list and watch these, each `group/plural`, and nothing else.
    pub(crate) fn allow_agent(&self, resources: &[&str]) {
        self.give_agent(&watching(resources));
    }

    /// The same, and to write Events.
    pub(crate) fn allow_agent_and_events(&self, resources: &[&str]) {
        let mut rules = watching(resources);
        rules.push(rule("events.k8s.io/events", &["create"]));
        self.give_agent(&rules);
    }

    fn give_agent(&self, rules: &[Value]) {
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        let name = json!({ "name": "netpol-agent" });
        self.create(roles, &json!({ "metadata": name, "rules": [] }));
        self.patch(roles, "netpol-agent", None, json!({ "rules": rules }));
        let role =
            json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "netpol-agent" });
        let user = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": AGENT.name });
        let binding = json!({ "metadata": name, "roleRef": role, "subjects": [user] });
        self.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding);
    }
}

fn watching(resources: &[&str]) -> Vec<Value> {
    resources.iter().map(|resource| rule(resource, &["list", "watch"])).collect()
}

fn rule(resource: &str, verbs: &[&str]) -> Value {
    let (group, plural) = resource.split_once('/').unwrap();
    json!({ "apiGroups": [group], "resources": [plural], "verbs": verbs })
}

/// Where a namespace's pods are.
pub(crate) fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

/// The objects of a text of manifests, lists taken apart.
pub(crate) fn documents(text: &str) -> impl Iterator<Item = Value> {
    let documents = yaml::documents(text).into_iter();
    let documents = documents.map(|document| Value::deserialize(&document.unwrap()).unwrap());
    documents.flat_map(|document| match document["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![document],
    })
}

/// Where the API keeps objects of this one's kind.
fn path(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let root = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
    let plural = match object["kind"].as_str().unwrap().to_lowercase() {
        kind if kind.ends_with('y') => format!("{}ies", &kind[..kind.len() - 1]),
        kind => format!("{kind}s"),
    };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{plural}"),
    }
}
