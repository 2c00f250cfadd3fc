# See machine.rs. The arguments: a package, a program, a control group, an empty folder.
echo $$ >"$3/cgroup.procs"
base=$4
mount -t tmpfs -o mode=755 tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root" "$base/proc"
mount --bind /proc "$base/proc"
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
root=$base/root

# Nothing that settles the kernel or the host's devices, and none of the host's services.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/etc/systemd/system/default.target
for unit in systemd-sysctl.service systemd-binfmt.service systemd-modules-load.service systemd-udevd.service kmod-static-nodes.service \
    systemd-tmpfiles-setup-dev.service systemd-random-seed.service proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount tmp.mount; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$root/etc/systemd/system/default.target"
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nReadKMsg=no\n' >"$root/etc/systemd/journald.conf.d/machine.conf"
rm -f "$root/usr/bin/mcp-sensor" "$root/usr/bin/mcp-collector" "$root"/etc/systemd/system/mcp-*
rm -rf "$root/etc/mcp-sensor" "$root/var/lib/mcp-collector"
cp -a "$1" "$root/opt/mcp-sensor"
cp "$2" "$root/usr/bin/peer"

mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root/run/host/proc" "$root/run/outer"
mount --bind "$base/proc" "$root/run/host/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done

# This process stays outside, and systemd ends with it.
exec unshare --pid --fork --kill-child --cgroup --ipc --uts --mount --propagation private sh -euc '
    cd "$1"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tracefs tracefs sys/kernel/tracing
    pivot_root . run/outer
    umount -l /run/outer
    hostname machine
    exec env -i container=mcp-deploy PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null --show-status=no
' machine "$root"
