//! The manifests: their containers in runc, with nothing that the manifests do not give.

use super::{
    collector::peers,
    container::{Container, Network, Spec},
    manifest::{Node, Pod, document, documents, strings},
    package::{repository, root_file_system},
    process::{Lines, command, is_answered_call, output, wait_for},
};
use end_to_end::harness::beside;
use serde_json::{Value, json};
use std::path::PathBuf;

const NODE: &str = "worker-7";
const POD: &str = "0f4c9ad2-6a1b-4c0e-9d33-5b1e1c2a7f10";
const CONTAINER: &str = "7be7a3f4cf1d0f2e6a58d1d1b7d1b30c5fa5d0b1a6e0c4d2f8a9b0c1d2e3f405";
/// Where names stand that a cluster's DNS would tell.
const HOSTS: &str = "127.0.0.1 mcp-collector.mcp-sensor.svc\n";

#[test]
fn a_sensor_with_just_what_its_manifest_gives_names_the_pod_of_another_container() {
    let folder = tempfile::tempdir().unwrap();
    output(command(repository().join("deploy/kubernetes/secrets")).arg(folder.path()));
    let network = Network::new();
    let node = Node { name: NODE, folder: folder.path(), network: &network };
    std::fs::write(folder.path().join("hosts"), HOSTS).unwrap();

    let collector = Pod::of(&document("collector.yaml", "Deployment"));
    let collector_root = root_file_system("mcp-collector");
    let mut serving = Container::start(&collector.spec(collector_root.path(), "/usr/bin/mcp-collector", &node));
    let probe = strings(&collector.container()["readinessProbe"]["exec"]["command"]);
    let probe: Vec<&str> = probe.iter().map(String::as_str).collect();
    wait_for("the collector's readiness", || serving.execute(&probe));

    let mut tail = command(beside("mcp-collector"));
    let socket = collector.volume("run", &node).join("probe.sock");
    tail.args(["tail", "--json", "--since", "1h", "--address"]).arg(format!("unix:{}", socket.display()));
    let mut tail = Lines::start(tail.arg("--token-file").arg(folder.path().join("mcp-tokens/reader.token")));

    let sensor = Pod::of(&document("sensor.yaml", "DaemonSet"));
    let sensor_root = root_file_system("mcp-sensor");
    std::fs::write(sensor_root.path().join("etc/hosts"), HOSTS).unwrap();
    let mut capturing = Container::start(&sensor.spec(sensor_root.path(), "/usr/bin/mcp-sensor", &node));
    tail.event("the sensor captures", |event| event["node"] == NODE && event["sensor"]["state"] == "READY");
    assert_eq!(capabilities_of(capturing.pid()), sensor.capabilities(), "it has others than the manifest gives");

    let mut peers = Container::start(&pod_of_peers());
    assert!(peers.ended().success());
    let call = tail.event("a tool call in the pod", |event| is_answered_call(event) && event["client"]["pod"]["uid"] == POD);
    for end in ["client", "server"] {
        assert_eq!(call[end]["container"]["id"], CONTAINER, "{call:#}");
        assert_eq!(call[end]["pod"]["uid"], POD, "{call:#}");
        assert_eq!(call[end]["exe"], "/peer", "{call:#}");
        assert_eq!(call[end]["exeSha256"].as_str().map(str::len), Some(64), "{call:#}");
        assert_eq!(call[end]["uid"], 4711, "{call:#}");
    }

    drop(tail);
    assert!(capturing.terminate().success(), "the sensor did not end in order");
    assert!(serving.terminate().success(), "the collector did not end in order");
}

/// A container as containerd makes it for the kubelet, with a client that talks to a server; of another user than the sensor,
/// with a program that only this user may read.
fn pod_of_peers() -> Spec {
    let root = Box::leak(Box::new(tempfile::tempdir().unwrap())).path();
    let mut spec = Spec::new(root);
    for library in ["/usr", "/lib", "/lib64"] {
        std::fs::create_dir(root.join(&library[1..])).unwrap();
        spec.bind(library.as_ref(), library, true);
    }
    for folder in ["proc", "dev", "sys"] {
        std::fs::create_dir(root.join(folder)).unwrap();
    }
    let peer = root.join("peer");
    std::fs::copy(beside("peer"), &peer).unwrap();
    std::os::unix::fs::chown(&peer, Some(4711), Some(4711)).unwrap();
    std::fs::set_permissions(&peer, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    spec.arguments(&["/peer", "client", "--tool", "echo", "--calls", "3", "--linger-ms", "500", "--", "peer", "server"]);
    spec.user(4711, 4711);
    spec.cgroup(&format!("/kubepods/besteffort/pod{POD}/{CONTAINER}"));
    spec
}

/// By name, as `/proc` tells them.
fn capabilities_of(pid: u64) -> Vec<String> {
    const NAMES: [(u32, &str); 4] = [(39, "CAP_BPF"), (38, "CAP_PERFMON"), (19, "CAP_SYS_PTRACE"), (2, "CAP_DAC_READ_SEARCH")];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let mut held = u64::from_str_radix(line.trim(), 16).unwrap();
    let mut names = Vec::new();
    for (bit, name) in NAMES {
        if held >> bit & 1 == 1 {
            names.push(name.to_owned());
            held &= !(1 << bit);
        }
    }
    assert_eq!(held, 0, "capabilities that this test has no name for");
    names
}

#[test]
fn the_unit_and_the_manifest_give_the_sensor_the_same_capabilities() {
    let unit = std::fs::read_to_string(repository().join("deploy/systemd/mcp-sensor.service")).unwrap();
    let manifest = Pod::of(&document("sensor.yaml", "DaemonSet")).capabilities().join(" ");
    for setting in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        let prefix = format!("{setting}=");
        let line = unit.lines().find_map(|line| line.strip_prefix(&prefix));
        assert_eq!(line, Some(manifest.as_str()), "{setting}");
    }
}

/// The DaemonSet with a component's patches, as kustomize makes it.
fn with_component(component: &str) -> Value {
    let component = PathBuf::from(component);
    let kustomization = document(component.join("kustomization.yaml").to_str().unwrap(), "Component");
    assert!(repository().join("deploy/kubernetes").join(&component).is_dir());
    let mut workload = document("sensor.yaml", "DaemonSet");
    for patch in kustomization["patches"].as_array().unwrap() {
        let target = &patch["target"];
        assert_eq!((&target["kind"], &target["name"]), (&workload["kind"], &workload["metadata"]["name"]));
        let file = component.join(patch["path"].as_str().unwrap());
        for step in documents(file.to_str().unwrap()).remove(0).as_array().unwrap() {
            // At the end of a list that is there: nothing is replaced.
            assert_eq!(step["op"], "add", "{step}");
            let list = step["path"].as_str().unwrap().strip_suffix("/-").unwrap();
            workload.pointer_mut(list).unwrap_or_else(|| panic!("there is no {list}")).as_array_mut().unwrap().push(step["value"].clone());
        }
    }
    workload
}

#[test]
fn the_component_for_enforcement_gives_what_it_takes_and_nothing_else() {
    let (base, mut with) = (document("sensor.yaml", "DaemonSet"), with_component("enforcement"));
    let (base, pod) = (Pod::of(&base), Pod::of(&with));
    let added = |list: fn(&Value) -> &Value| -> Vec<Value> {
        let before = list(base.container()).as_array().unwrap();
        let (same, added) = list(pod.container()).as_array().unwrap().split_at(before.len());
        assert_eq!(same, before);
        added.to_vec()
    };
    assert_eq!(pod.capabilities(), [base.capabilities(), vec!["CAP_KILL".to_owned()]].concat());
    let expected = json!({"name": "MCP_SENSOR_ENFORCEMENT", "value": "on"});
    assert_eq!(added(|container| &container["env"]), [expected]);
    // Its default place for the socket can be written to, and is of this pod.
    let mounts = added(|container| &container["volumeMounts"]);
    assert_eq!(mounts, [json!({"name": "run", "mountPath": "/run/mcp-sensor"})]);
    let volumes = with["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["name"] == "run" && volume["emptyDir"].is_object()));
    let config = output(command(beside("mcp-sensor")).arg("config").env("MCP_SENSOR_ENFORCEMENT", "on"));
    assert!(config.contains("control_socket = \"/run/mcp-sensor/control.sock\""), "{config}");

    for volume in with["spec"]["template"]["spec"]["volumes"].as_array_mut().unwrap() {
        // `0400` is octal to Kubernetes, and 400 to what reads the manifests here.
        if volume["secret"]["defaultMode"].is_number() {
            volume["secret"]["defaultMode"] = json!(0o400);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sensor.json");
    std::fs::write(&file, with.to_string()).unwrap();
    assert_eq!(output(command(peers().join("kubernetes/manifests")).arg(file)).trim(), "DaemonSet");
}

#[test]
fn every_manifest_is_named_and_what_it_refers_to_is_there() {
    let kustomization = document("kustomization.yaml", "Kustomization");
    let mut all: Vec<Value> = Vec::new();
    for file in strings(&kustomization["resources"]) {
        all.extend(documents(&file));
    }
    let named = |kind: &str, name: &Value| all.iter().any(|one| one["kind"] == kind && &one["metadata"]["name"] == name);
    for workload in all.iter().filter(|one| one["kind"] == "DaemonSet" || one["kind"] == "Deployment") {
        let pod = &workload["spec"]["template"];
        assert_eq!(workload["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
        assert!(named("ServiceAccount", &pod["spec"]["serviceAccountName"]));
        for volume in pod["spec"]["volumes"].as_array().unwrap() {
            let claim = &volume["persistentVolumeClaim"]["claimName"];
            assert!(claim.is_null() || named("PersistentVolumeClaim", claim), "{volume}");
        }
        let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
        assert!(image.ends_with(concat!(":", env!("CARGO_PKG_VERSION"))), "{image} is another version");
    }
    let service = all.iter().find(|one| one["kind"] == "Service").unwrap();
    let collector = document("collector.yaml", "Deployment");
    assert_eq!(service["spec"]["selector"], collector["spec"]["template"]["metadata"]["labels"]);
}

#[test]
fn every_manifest_is_as_the_api_server_reads_it() {
    let kustomization = document("kustomization.yaml", "Kustomization");
    let folder = repository().join("deploy/kubernetes");
    let files = strings(&kustomization["resources"]).into_iter().map(|file| folder.join(file));
    let kinds = output(command(peers().join("kubernetes/manifests")).args(files));
    for kind in ["DaemonSet", "Deployment", "Service", "PersistentVolumeClaim"] {
        assert!(kinds.lines().any(|line| line == kind), "there is no {kind} in {kinds}");
    }
}
