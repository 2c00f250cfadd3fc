//! Containers in runc.

use super::process::{command, output, wait_for};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};
use tempfile::TempDir;

/// What a container is to be: a `config.json`.
pub struct Spec(Value);

impl Spec {
    /// Of a root file system: no capabilities, no privileges, read-only, as runc writes it.
    pub fn new(root: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        output(command("runc").arg("spec").arg("--bundle").arg(folder.path()));
        let mut spec: Value = serde_json::from_slice(&std::fs::read(folder.path().join("config.json")).unwrap()).unwrap();
        // Limits are the kubelet's matter; the machines of the tests have not all of the controllers.
        spec["process"].as_object_mut().unwrap().remove("rlimits");
        spec["linux"].as_object_mut().unwrap().remove("resources");
        spec["process"]["terminal"] = json!(false);
        spec["root"] = json!({"path": root, "readonly": true});
        let mut spec = Self(spec);
        spec.capabilities(&[]);
        spec
    }

    pub fn arguments(&mut self, words: &[&str]) {
        self.0["process"]["args"] = json!(words);
    }

    pub fn environment(&mut self, name: &str, value: &str) {
        self.0["process"]["env"].as_array_mut().unwrap().push(json!(format!("{name}={value}")));
    }

    pub fn user(&mut self, uid: u64, gid: u64) {
        self.0["process"]["user"] = json!({"uid": uid, "gid": gid});
    }

    /// The capabilities, all but the inheritable and the ambient ones: those Kubernetes does not give.
    pub fn capabilities(&mut self, names: &[String]) {
        self.0["process"]["capabilities"] = json!({"bounding": names, "effective": names, "permitted": names});
    }

    pub fn read_only(&mut self, read_only: bool) {
        self.0["root"]["readonly"] = json!(read_only);
    }

    pub fn no_new_privileges(&mut self, set: bool) {
        self.0["process"]["noNewPrivileges"] = json!(set);
    }

    pub fn bind(&mut self, from: &Path, to: &str, read_only: bool) {
        let mode = if read_only { "ro" } else { "rw" };
        self.0["mounts"].as_array_mut().unwrap().push(json!(
            {"destination": to, "type": "bind", "source": from, "options": ["rbind", mode]}
        ));
    }

    pub fn cgroup(&mut self, path: &str) {
        self.0["linux"]["cgroupsPath"] = json!(path);
    }

    /// In the host's namespace of this kind.
    pub fn share(&mut self, kind: &str) {
        self.0["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != kind);
    }

    /// In a network of the test.
    pub fn network(&mut self, network: &Network) {
        self.share("network");
        self.0["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "network", "path": network.path()}));
    }
}

/// A container; gone when this goes.
pub struct Container {
    id: String,
    state: TempDir,
    cgroup: Option<String>,
    child: Option<Child>,
}

impl Container {
    pub fn create(spec: &Spec) -> Self {
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join("bundle")).unwrap();
        std::fs::write(state.path().join("bundle/config.json"), spec.0.to_string()).unwrap();
        let cgroup = spec.0["linux"]["cgroupsPath"].as_str().map(str::to_owned);
        let unique = state.path().file_name().unwrap().to_string_lossy().replace('.', "");
        // A container's id is the last part of its cgroup, as with containerd.
        let id = cgroup.as_deref().and_then(|path| path.rsplit('/').next()).map_or(format!("mcp-deploy-{unique}"), str::to_owned);
        Self { id, state, cgroup, child: None }
    }

    fn runc(&self) -> Command {
        let mut runc = command("runc");
        runc.arg("--root").arg(self.state.path().join("runc"));
        runc
    }

    /// The command that runs it, until it ends.
    pub fn run_command(&mut self) -> Command {
        let mut runc = self.runc();
        runc.arg("run").arg("--bundle").arg(self.state.path().join("bundle")).arg(&self.id);
        runc
    }

    pub fn start(spec: &Spec) -> Self {
        let mut container = Self::create(spec);
        let child = container.run_command().stdout(Stdio::null()).spawn().expect("runc starts");
        container.child = Some(child);
        container
    }

    /// Runs a command in it; its output where it succeeds.
    pub fn execute(&self, words: &[&str]) -> Option<String> {
        let output = self.runc().arg("exec").arg(&self.id).args(words).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The pid of its first process on the host.
    pub fn pid(&self) -> u64 {
        let state: Value = serde_json::from_str(&output(self.runc().arg("state").arg(&self.id))).unwrap();
        state["pid"].as_u64().unwrap()
    }

    pub fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("it was started");
        wait_for("the end of the container", || child.try_wait().unwrap())
    }

    /// Ends it as the kubelet does.
    pub fn terminate(&mut self) -> ExitStatus {
        output(self.runc().args(["kill", &self.id, "TERM"]));
        self.ended()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.runc().args(["delete", "--force", &self.id]).stderr(Stdio::null()).status();
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        // runc removes the innermost group alone.
        for path in self.cgroup.iter().flat_map(|path| Path::new(path).ancestors()).filter(|path| path.parent().is_some()) {
            for hierarchy in hierarchies() {
                let _ = std::fs::remove_dir(hierarchy.join(path.strip_prefix("/").unwrap_or(path)));
            }
        }
    }
}

/// The roots of all control group hierarchies.
pub fn hierarchies() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let kinds = |line: &&str| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup"));
    mounts.lines().filter(kinds).filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from).collect()
}

/// A network of its own with nothing but the loopback interface.
pub struct Network(Child);

impl Network {
    pub fn new() -> Self {
        let mut holder = command("unshare");
        holder.args(["--net", "sh", "-c", "ip link set lo up && exec cat"]).stdin(Stdio::piped());
        let child = holder.spawn().expect("unshare starts");
        let network = Self(child);
        wait_for("a network", || {
            // The interface is up before the shell becomes `cat`.
            let name = std::fs::read_to_string(format!("/proc/{}/comm", network.0.id())).ok()?;
            (name.trim() == "cat").then_some(())
        });
        network
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }

    /// A command in it.
    pub fn enter(&self, program: &str) -> Command {
        let mut enter = command("nsenter");
        enter.arg(format!("--net={}", self.path().display())).arg(program);
        enter
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
