use super::*;
use proptest::prelude::*;

const ID: &str = "3f1c9a0b5d7e8f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8";
const INNER: &str = "aa1c9a0b5d7e8f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7ff";
const UID: &str = "8d6f0c1e-1b2a-4c3d-9e8f-001122334455";
const UID_: &str = "8d6f0c1e_1b2a_4c3d_9e8f_001122334455";
const STATIC: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// Path, container id, runtime, pod, unit. `$` stands for `ID`, `%` for `UID_`, `&` for `UID`, `!` for `INNER`.
const PATHS: &[(&str, &str, &str, &str, &str)] = &[
    // Docker.
    ("/docker/$", "$", "docker", "", ""),
    ("/docker/$/init.scope", "$", "docker", "", ""),
    ("/system.slice/docker-$.scope", "$", "docker", "", ""),
    ("/system.slice/docker-$.scope/system.slice/nginx.service", "$", "docker", "", ""),
    ("/batch.slice/$", "$", "", "", ""),
    ("/actions_job/$", "$", "docker", "", ""),
    ("/docker/buildkit/o1vp3r6pxqkn4ho6nv9cxhq4x", "o1vp3r6pxqkn4ho6nv9cxhq4x", "docker", "", ""),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-$.scope", "$", "docker", "", "user@1000.service"),
    ("/ecs/77e0d0d0aa/$", "$", "docker", "", ""),
    ("/ecs/77e0d0d0aa/77e0d0d0aa-2531612879", "77e0d0d0aa-2531612879", "docker", "", ""),
    ("/ecstasks.slice/ecstasks-77e0.slice/docker-$.scope", "$", "docker", "", ""),
    // Docker in Docker: the inner one.
    ("/docker/!/docker/$", "$", "docker", "", ""),
    ("/system.slice/docker-!.scope/docker/$", "$", "docker", "", ""),
    // containerd.
    ("/default/mybox", "mybox", "containerd", "", ""),
    ("/default/$", "$", "containerd", "", ""),
    ("/k8s.io/$", "$", "containerd", "", ""),
    ("/system.slice/nerdctl-$.scope", "$", "containerd", "", ""),
    ("/system.slice/containerd.service", "", "", "", "containerd.service"),
    // Podman, rootful and rootless, with crun's own level, in pods, under Quadlet; and its monitor.
    ("/machine.slice/libpod-$.scope", "$", "podman", "", ""),
    ("/machine.slice/libpod-$.scope/container", "$", "podman", "", ""),
    ("/machine.slice/machine-libpod_pod_!.slice/libpod-$.scope/container", "$", "podman", "", ""),
    ("/libpod_parent/libpod-$", "$", "podman", "", ""),
    ("/libpod_parent/$", "$", "podman", "", ""),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-$.scope/container", "$", "podman", "", "user@1000.service"),
    ("/system.slice/web.service/libpod-payload-$", "$", "podman", "", "web.service"),
    ("/machine.slice/libpod-conmon-$.scope", "", "", "", "libpod-conmon-$.scope"),
    // Kubernetes with cgroupfs (k3s's default too).
    ("/kubepods/burstable/pod&/$", "$", "", "&", ""),
    ("/kubepods/besteffort/pod&/$", "$", "", "&", ""),
    ("/kubepods/pod&/$", "$", "", "&", ""),
    ("/kubepods/pod&", "", "", "&", ""),
    ("/kubepods/burstable/podstatic-web-0/$", "$", "", "static-web-0", ""),
    ("/kubepods/burstable/pod&/crio-$", "$", "cri-o", "&", ""),
    ("/kubepods/burstable/pod&/crio-conmon-$", "", "", "&", ""),
    // Kubernetes with systemd.
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%.slice/cri-containerd-$.scope", "$", "containerd", "&", ""),
    ("/kubepods.slice/kubepods-pod%.slice/cri-containerd-$.scope", "$", "containerd", "&", ""),
    ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod%.slice/docker-$.scope", "$", "docker", "&", ""),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%.slice/crio-$.scope", "$", "cri-o", "&", ""),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%.slice/crio-$.scope/container", "$", "cri-o", "&", ""),
    ("/kubepods.slice/kubepods-pod%.slice/crio-conmon-$.scope", "", "", "&", "crio-conmon-$.scope"),
    // The kubelet with systemd, containerd without.
    ("/system.slice/containerd.service/kubepods-burstable-pod%.slice:cri-containerd:$", "$", "containerd", "&", "containerd.service"),
    ("/kubepods-besteffort-pod%.slice:crio:$", "$", "cri-o", "&", ""),
    ("/system.slice:docker:$", "$", "docker", "", ""),
    // k3s, kind and k3d: a kubelet in a container.
    ("/system.slice/k3s.service", "", "", "", "k3s.service"),
    (
        "/system.slice/docker-!.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
         kubelet-kubepods-burstable-pod%.slice/cri-containerd-$.scope",
        "$",
        "containerd",
        "&",
        "",
    ),
    ("/docker/!/kubelet/kubepods/burstable/pod&/$", "$", "", "&", ""),
    ("/docker/!/kubepods/besteffort/pod&/$", "$", "", "&", ""),
    // As seen from another container's cgroup namespace.
    ("/../../pod&/$", "$", "", "&", ""),
    ("/../../kubepods-besteffort-pod%.slice/cri-containerd-$.scope", "$", "containerd", "&", ""),
    ("/../docker-$.scope", "$", "docker", "", ""),
    // Others.
    ("/system.slice/runc-mybox.scope", "mybox", "runc", "", ""),
    ("/lxc.payload.web", "web", "lxc", "", ""),
    ("/lxc.payload.web/system.slice/nginx.service", "web", "lxc", "", ""),
    ("/lxc/web", "web", "lxc", "", ""),
    ("/lxc.monitor.web", "", "", "", ""),
    ("/machine.slice/systemd-nspawn@my\\x2dbox.service/payload", "my-box", "systemd-nspawn", "", ""),
    // systemd alone.
    ("/", "", "", "", ""),
    ("", "", "", "", ""),
    ("/init.scope", "", "", "", "init.scope"),
    ("/system.slice/ssh.service", "", "", "", "ssh.service"),
    ("/system.slice/system-getty.slice/getty@tty1.service", "", "", "", "getty@tty1.service"),
    ("/system.slice/dev-disk-by\\x2duuid-1.swap", "", "", "", "dev-disk-by-uuid-1.swap"),
    ("/system.slice/web.service/worker/3", "", "", "", "web.service"),
    ("/system.slice/_cpu.service", "", "", "", "cpu.service"),
    ("/user.slice/user-1000.slice/session-3.scope", "", "", "", "session-3.scope"),
    ("/user.slice/user-1000.slice/user@1000.service/init.scope", "", "", "", "user@1000.service"),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/mcp.service", "", "", "", "mcp.service"),
    (
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-code\\x2durl-4711.scope",
        "",
        "",
        "",
        "app-gnome-code-url-4711.scope",
    ),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/tmux.service/pane", "", "", "", "tmux.service"),
    // Not what they seem.
    ("/system.slice/docker-.scope", "", "", "", "docker-.scope"),
    ("/system.slice/docker-registry.service", "", "", "", "docker-registry.service"),
    ("/podman", "", "", "", ""),
    ("/podcast/x", "", "", "", ""),
    ("/a:b", "", "", "", ""),
    ("/::", "", "", "", ""),
];

fn fill(template: &str) -> String {
    template.replace('$', ID).replace('%', UID_).replace('&', UID).replace('!', INNER)
}

#[test]
fn every_runtime_s_paths_are_understood_in_either_hierarchy() {
    for (path, id, runtime, pod, unit) in PATHS {
        let path = fill(path);
        for cgroup in [Cgroup::new(&path, "", false), Cgroup::new("/", &path, false), Cgroup::new(&path, "/", false)] {
            let container = cgroup.container.clone().unwrap_or(Container { id: String::new(), runtime: Runtime::Unknown });
            assert_eq!(container.id, fill(id), "id of {path}");
            assert_eq!(container.runtime.name(), *runtime, "runtime of {path}");
            assert_eq!(cgroup.pod_uid, fill(pod), "pod of {path}");
            assert_eq!(cgroup.systemd_unit, fill(unit), "unit of {path}");
        }
    }
}

#[test]
fn a_static_pod_s_digest_is_its_uid() {
    let path = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/crio-{ID}.scope");
    assert_eq!(Cgroup::new(&path, "", false).pod_uid, STATIC);
}

#[test]
fn in_a_hybrid_hierarchy_the_path_that_names_a_container_counts() {
    let container = fill("/docker/$");
    let cgroup = Cgroup::new("/system.slice/containerd.service", &container, true);
    assert_eq!(&*cgroup.path, container);
    assert_eq!(cgroup.container.unwrap().id, ID);
    assert_eq!(cgroup.systemd_unit, "");
    assert_eq!(&*Cgroup::new("/a.service", "/b.service", false).path, "/a.service");
    assert_eq!(&*Cgroup::new("/a", "/b.service", false).path, "/b.service");
    assert_eq!(&*Cgroup::new("/a", "/b", false).path, "/a");
}

#[test]
fn a_plain_runc_container_is_told_by_its_pid_namespace() {
    assert_eq!(Cgroup::new("/mybox", "", true).container.unwrap().id, "mybox");
    assert_eq!(Cgroup::new("/", "/user.slice/mybox", true).container.unwrap().id, "mybox");
    assert_eq!(Cgroup::new("/mybox", "", false).container, None);
    for sandbox in [
        "/",
        "",
        "/user.slice",
        "/openrc.lightdm",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-chrome.scope/zygote",
        "/lxc.monitor.web",
    ] {
        assert_eq!(Cgroup::new(sandbox, "", true).container, None, "{sandbox}");
    }
}

proptest! {
    #[test]
    fn any_path_is_read_without_panic(v2 in "\\PC*", v1 in "(/|pod|kubepods|-pod|\\.slice|\\.scope|docker-|:|\\\\x|[0-9a-f]{0,70}|é)*", own: bool) {
        let _ = Cgroup::new(&v2, &v1, own);
        let _ = Cgroup::new(&v1, &v2, own);
    }
}
