//! Kubernetes manifests, and the container that the kubelet would make of one.
//!
//! What is in the manifest is read from it, so that what the tests run cannot be another thing. A field of a container that this
//! does not understand fails the test.

use super::{
    container::{Network, Spec},
    package::repository,
};
use serde_json::Value;
use std::{
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

/// The documents of a file of `deploy/kubernetes`.
pub fn documents(file: &str) -> Vec<Value> {
    let path = repository().join("deploy/kubernetes").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The only document of this kind.
pub fn document(file: &str, kind: &str) -> Value {
    let mut found: Vec<Value> = documents(file).into_iter().filter(|document| document["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "documents of kind {kind} in {file}");
    found.remove(0)
}

/// A node with room for volumes.
pub struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// A folder for each secret, and for what pods write.
    pub folder: &'a Path,
    pub network: &'a Network,
}

/// The pod of a DaemonSet or Deployment.
pub struct Pod(Value);

impl Pod {
    pub fn of(workload: &Value) -> Self {
        Self(workload["spec"]["template"]["spec"].clone())
    }

    pub fn container(&self) -> &Value {
        let containers = self.0["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1);
        &containers[0]
    }

    pub fn capabilities(&self) -> Vec<String> {
        let capabilities = &self.container()["securityContext"]["capabilities"];
        assert_eq!(capabilities["drop"], serde_json::json!(["ALL"]));
        strings(&capabilities["add"]).iter().map(|name| format!("CAP_{name}")).collect()
    }

    /// The pod's security context, overruled by the container's.
    fn security(&self, field: &str) -> &Value {
        let own = &self.container()["securityContext"][field];
        if own.is_null() { &self.0["securityContext"][field] } else { own }
    }

    /// What the kubelet makes of it.
    pub fn spec(&self, root: &Path, entrypoint: &str, node: &Node<'_>) -> Spec {
        const UNDERSTOOD: [&str; 11] = [
            "name",
            "image",
            "args",
            "env",
            "ports",
            "securityContext",
            "readinessProbe",
            "livenessProbe",
            "resources",
            "volumeMounts",
            "command",
        ];
        let container = self.container();
        for field in container.as_object().unwrap().keys() {
            assert!(UNDERSTOOD.contains(&field.as_str()), "the test does not know what {field} does");
        }
        let mut spec = Spec::new(root);
        let arguments = strings(&container["args"]);
        let words: Vec<&str> = std::iter::once(entrypoint).chain(arguments.iter().map(String::as_str)).collect();
        spec.arguments(&words);
        for variable in container["env"].as_array().unwrap() {
            let value = match variable["value"].as_str() {
                Some(value) => value,
                None if variable["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName" => node.name,
                None => panic!("the test does not know {variable}"),
            };
            spec.environment(variable["name"].as_str().unwrap(), value);
        }
        assert_ne!(self.security("privileged"), &Value::Bool(true));
        spec.user(self.security("runAsUser").as_u64().unwrap(), self.security("runAsGroup").as_u64().unwrap());
        spec.capabilities(&self.capabilities());
        spec.no_new_privileges(self.security("allowPrivilegeEscalation") == false);
        spec.read_only(self.security("readOnlyRootFilesystem") == true);
        if self.0["hostPID"] == true {
            spec.share("pid");
        }
        spec.network(node.network);
        for mount in container["volumeMounts"].as_array().unwrap() {
            let source = self.volume(mount["name"].as_str().unwrap(), node);
            spec.bind(&source, mount["mountPath"].as_str().unwrap(), mount["readOnly"] == true);
        }
        spec
    }

    /// Where a volume is on the node.
    pub fn volume(&self, name: &str, node: &Node<'_>) -> PathBuf {
        let volumes = self.0["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == name).unwrap_or_else(|| panic!("there is no volume {name}"));
        if let Some(path) = volume["hostPath"]["path"].as_str() {
            return path.into();
        }
        let here = node.folder.join("volumes").join(self.container()["name"].as_str().unwrap()).join(name);
        if !here.exists() {
            std::fs::create_dir_all(&here).unwrap();
            if volume["secret"].is_object() {
                self.secret(&volume["secret"], &here, node);
            } else {
                assert!(volume["emptyDir"].is_object() || volume["persistentVolumeClaim"].is_object(), "the test does not know {volume}");
                self.give(&here, 0o770);
            }
        }
        here
    }

    fn secret(&self, secret: &Value, here: &Path, node: &Node<'_>) {
        let from = node.folder.join(secret["secretName"].as_str().unwrap());
        let mode = secret["defaultMode"].as_u64().unwrap_or(0o644).try_into().unwrap();
        for entry in std::fs::read_dir(&from).unwrap() {
            let key = entry.unwrap().file_name().into_string().unwrap();
            let wanted = match secret["items"].as_array() {
                Some(items) => items.iter().find(|item| item["key"] == *key).map(|item| item["path"].as_str().unwrap().to_owned()),
                None => Some(key.clone()),
            };
            if let Some(name) = wanted {
                std::fs::copy(from.join(&key), here.join(&name)).unwrap();
                self.give(&here.join(&name), mode);
            }
        }
        self.give(here, 0o755);
    }

    /// To the pod's group.
    fn give(&self, path: &Path, mode: u32) {
        let group = self.0["securityContext"]["fsGroup"].as_u64().unwrap_or(0).try_into().unwrap();
        chown(path, Some(0), Some(group)).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// A list of words.
pub fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
}
