//! The agent in its container, as a kubelet would start it.

use std::{fs, path::Path};

use netpol_testkit::{
    agent::{Agent, Printing},
    apiserver::ApiServer,
    confined,
    image::{self, Image},
    netns::Lab,
};
use serde_json::Value;

/// Where a container finds its ServiceAccount.
const ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";

/// A name of the API server that is in its certificate: on some clouds, pods get a name and no address.
const API_SERVER: &str = "kubernetes.default.svc";

/// Makes `$1` a read-only root with the machine's /proc and /sys and the namespaces of folder `$2`, in a mount namespace of
/// its own.
const MOUNT: &str = "mount --bind \"$1\" \"$1\"; mount --rbind /proc \"$1/proc\"; mount --rbind /sys \"$1/sys\"; \
                     for file in \"$2\"/*; do own=\"$1/run/netns/${file##*/}\"; : > \"$own\"; \
                     mount --bind \"$file\" \"$own\"; done; \
                     mount -o remount,bind,ro \"$1\"; shift 2; exec \"$@\"";

/// A container of a DaemonSet.
pub(crate) struct Container {
    image: Image,
    spec: Value,
}

impl Container {
    /// The only one of the DaemonSet's pods.
    pub(crate) fn of(daemon_set: &Value) -> Self {
        let spec = daemon_set["spec"]["template"]["spec"].clone();
        assert_eq!(spec["hostNetwork"], true);
        assert_eq!(spec["containers"].as_array().unwrap().len(), 1);
        let volumes: Vec<_> =
            spec["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
        assert_eq!(volumes, ["netns"], "others are not made here");
        Self { image: Image::unpack(&image::of_tests()).unwrap(), spec: spec["containers"][0].clone() }
    }

    /// Starts it on the lab's node with a token for its ServiceAccount. The image's files are all that it can see, and
    /// it can't write to any.
    pub(crate) fn start(&self, lab: &Lab, server: &ApiServer<'_>, token: &str) -> Agent {
        let root = self.image.root();
        for folder in ["proc", "sys", "etc", "run/netns", ACCOUNT] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("etc/hosts"), format!("127.0.0.1 {API_SERVER}\n")).unwrap();
        fs::write(root.join(ACCOUNT).join("token"), token).unwrap();
        fs::write(root.join(ACCOUNT).join("namespace"), "netpol").unwrap();
        fs::copy(server.certificate(), root.join(ACCOUNT).join("ca.crt")).unwrap();

        let mut environment = self.environment();
        environment.push(("KUBERNETES_SERVICE_HOST".to_owned(), API_SERVER.to_owned()));
        environment.push(("KUBERNETES_SERVICE_PORT".to_owned(), server.port().to_string()));
        let mut arguments: Vec<String> = ["--mount", "env", "-i"].map(str::to_owned).to_vec();
        arguments.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
        arguments.extend(["sh", "-ec", MOUNT, "sh"].map(str::to_owned));
        arguments.push(root.display().to_string());
        arguments.push(lab.netns_dir().display().to_string());
        arguments.extend(self.confinement(&root));
        arguments.extend(texts(&self.spec["args"]).map(|argument| expand(argument, &environment)));
        Agent::spawn(lab, Path::new("unshare"), arguments, Printing::Kept).unwrap()
    }

    fn confinement(&self, root: &Path) -> Vec<String> {
        let context = &self.spec["securityContext"];
        let user = context["runAsUser"].as_u64().unwrap().try_into().unwrap();
        assert_eq!(context["runAsGroup"], user);
        assert_eq!(context["runAsNonRoot"], user != 0);
        assert_eq!(context["privileged"], false);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(texts(&context["capabilities"]["drop"]).collect::<Vec<_>>(), ["ALL"]);
        let capabilities: Vec<&str> = texts(&context["capabilities"]["add"]).collect();
        let program = texts(&self.image.config()["config"]["Entrypoint"]).next().unwrap();
        confined::capsh(&capabilities, user, Some(root), Path::new(program)).unwrap()
    }

    fn environment(&self) -> Vec<(String, String)> {
        let variables = self.spec["env"].as_array().unwrap().iter();
        let value = |variable: &Value| match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("spec.nodeName") => Lab::NODE.to_owned(),
            Some("status.hostIP") => "127.0.0.1".to_owned(),
            _ => variable["value"].as_str().unwrap().to_owned(),
        };
        variables.map(|variable| (variable["name"].as_str().unwrap().to_owned(), value(variable))).collect()
    }
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

/// The kubelet puts variables where arguments say `$(NAME)`.
fn expand(argument: &str, environment: &[(String, String)]) -> String {
    let expand = |text: String, (name, value): &(String, String)| text.replace(&format!("$({name})"), value);
    environment.iter().fold(argument.to_owned(), expand)
}
