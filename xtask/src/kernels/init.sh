#!/bin/busybox sh
# The first process of a guest: makes the machine look like a plain Linux host, runs the self-test, switches off.
export PATH=/bin HOME=/root
/bin/busybox --install -s /bin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=0666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
hostname guest

echo "GUEST Linux $(uname -r) $(uname -m), up after $(cut -d ' ' -f 1 /proc/uptime) s, preemption: $(cat /sys/kernel/debug/sched/preempt 2>/dev/null || echo fixed)"
/bin/mcp-sensor check --programs </dev/null
echo "GUEST check ended with exit code $?, up for $(cut -d ' ' -f 1 /proc/uptime) s"
# Emulation is slow, hence the patience; and nobody else speaks MCP here.
/bin/peer selftest --sensor /bin/mcp-sensor --alone --patience 4 @ARGUMENTS@ </dev/null
echo "GUEST self-test ended with exit code $?"
poweroff -f
