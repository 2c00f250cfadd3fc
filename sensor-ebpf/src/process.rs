//! The life of processes. Everything that only the live process can tell is taken at its exec, for it may be gone a
//! moment later.

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_ktime_get_boot_ns, bpf_loop, bpf_probe_read_kernel_str, bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use core::ffi::c_void;
use sensor_ebpf::{
    ARGUMENTS_CAPACITY, CGROUP_CAPACITY, COMPONENT_CAPACITY, Counter, ExecRecord, ExitRecord, FILE_NAME_CAPACITY, ForkRecord,
    PATH_CAPACITY, RecordHeader, RecordKind,
};

use crate::{
    kernel::{field, has, offset, read, task, typed, who},
    maps::{SCRATCH_EXEC, count, cpu, output},
};

/// Index of the `pids` controller in `css_set.subsys`; `u32::MAX` where the kernel has none.
#[unsafe(no_mangle)]
pub static CGROUP_PIDS: Global<u32> = Global::new(u32::MAX);

/// Components of a path at most.
const DEPTH: u32 = 128;

/// A walk from a leaf to the root, which writes the names as it goes.
struct Walk {
    /// Where names go: capacity and one component more.
    target: *mut u8,
    capacity: u64,
    length: u64,
    /// Current dentry or kernfs node.
    node: u64,
    /// Current `struct mount`.
    mount: u64,
}

#[inline(always)]
fn append(walk: &mut Walk, name: u64) -> i64 {
    let at = walk.length;
    if at >= walk.capacity || at >= PATH_CAPACITY as u64 {
        count(Counter::PathsCut, 1);
        return 1;
    }
    // SAFETY: `at` is below the capacity and the target has room for one component behind it.
    let length =
        unsafe { bpf_probe_read_kernel_str(walk.target.add(at as usize).cast(), COMPONENT_CAPACITY as u32, name as *const c_void) };
    if length > 0 && length <= COMPONENT_CAPACITY as i64 {
        walk.length = at + length as u64;
    }
    0
}

unsafe extern "C" fn path_step(_index: u32, context: *mut c_void) -> i64 {
    // SAFETY: `path` passes a `Walk`.
    let walk = unsafe { &mut *context.cast::<Walk>() };
    let parent: u64 = field(walk.node, &offset::DENTRY_PARENT);
    let root: u64 = field(walk.mount, &offset::MOUNT_ROOT);
    if walk.node == parent || walk.node == root {
        let above: u64 = field(walk.mount, &offset::MOUNT_PARENT);
        if above == walk.mount || above == 0 {
            return 1;
        }
        walk.node = field(walk.mount, &offset::MOUNT_POINT);
        walk.mount = above;
        return 0;
    }
    let name: u64 = field(walk.node, &offset::DENTRY_NAME);
    walk.node = parent;
    append(walk, name)
}

unsafe extern "C" fn cgroup_step(_index: u32, context: *mut c_void) -> i64 {
    // SAFETY: `cgroup` passes a `Walk`.
    let walk = unsafe { &mut *context.cast::<Walk>() };
    let parent: u64 = field(walk.node, &offset::KERNFS_PARENT);
    if walk.node == 0 || parent == 0 {
        return 1;
    }
    let name: u64 = field(walk.node, &offset::KERNFS_NAME);
    walk.node = parent;
    append(walk, name)
}

/// Writes the path of a dentry, crossing mounts, leaf first.
#[inline(always)]
fn path(target: *mut u8, dentry: u64, mount: u64) -> u32 {
    let mut walk = Walk {
        target,
        capacity: PATH_CAPACITY as u64,
        length: 0,
        node: dentry,
        mount: mount.wrapping_sub(u64::from(offset::MOUNT_MNT.load())),
    };
    // SAFETY: the callback matches, and the walk outlives the call.
    unsafe { bpf_loop(DEPTH, path_step as *mut c_void, (&raw mut walk).cast(), 0) };
    walk.length as u32
}

/// Writes the path of a cgroup in its hierarchy, leaf first.
#[inline(always)]
fn cgroup(target: *mut u8, cgroup: u64) -> u32 {
    if cgroup == 0 || !has(&offset::CGROUP_KN) || !has(&offset::KERNFS_PARENT) {
        return 0;
    }
    let node = field(cgroup, &offset::CGROUP_KN);
    let mut walk = Walk { target, capacity: CGROUP_CAPACITY as u64, length: 0, node, mount: 0 };
    // SAFETY: as in `path`.
    unsafe { bpf_loop(DEPTH, cgroup_step as *mut c_void, (&raw mut walk).cast(), 0) };
    walk.length as u32
}

#[inline(always)]
fn header(kind: RecordKind, length: usize, pid: u32, tid: u32, start_time: u64) -> RecordHeader {
    RecordHeader {
        kind: kind as u8,
        end: 0,
        loss: 0,
        flags: 0,
        length: length as u32,
        // SAFETY: the helper has no preconditions.
        time: unsafe { bpf_ktime_get_boot_ns() },
        start_time,
        pid,
        tid,
    }
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(context: BtfTracePointContext) -> i32 {
    let Some(record) = SCRATCH_EXEC.get_ptr_mut(cpu()) else { return 0 };
    // SAFETY: a map value of this CPU; the task is the current one, argument 2 the `struct linux_binprm`.
    unsafe {
        let binary: *const u8 = context.arg(2);
        fill_exec(&mut *record, task(), binary);
        if output(record.cast_const().cast(), size_of::<ExecRecord>() as u64) {
            count(Counter::Records, 1);
        } else {
            count(Counter::RingFullRecords, 1);
        }
    }
    0
}

#[inline(always)]
unsafe fn fill_exec(record: &mut ExecRecord, task: *const u8, binary: *const u8) {
    // SAFETY: by the caller.
    unsafe {
        let me = who(task);
        record.header = header(RecordKind::Exec, size_of::<ExecRecord>(), me.pid, me.tid, me.start_time);
        let parent = who(typed(task, &offset::TASK_REAL_PARENT));
        record.parent_pid = parent.pid;
        record.parent_start_time = parent.start_time;
        let credentials: *const u8 = typed(task, &offset::TASK_CRED);
        record.user = typed(credentials, &offset::CRED_UID);
        record.login_user = if has(&offset::TASK_LOGINUID) { typed(task, &offset::TASK_LOGINUID) } else { u32::MAX };
        let namespaces: *const u8 = typed(task, &offset::TASK_NSPROXY);
        let namespace: *const u8 = typed(namespaces, &offset::NSPROXY_PID);
        record.pid_namespace = typed(namespace, &offset::PIDNS_INUM);

        let name: u64 = typed(binary, &offset::BINPRM_FILENAME);
        if bpf_probe_read_kernel_str(record.file_name.as_mut_ptr().cast(), FILE_NAME_CAPACITY as u32, name as *const c_void) < 0 {
            record.file_name[0] = 0;
        }
        let memory: *const u8 = typed(task, &offset::TASK_MM);
        fill_arguments(record, memory);

        let file: *const u8 = typed(memory, &offset::MM_EXE_FILE);
        let inode: *const u8 = typed(file, &offset::FILE_INODE);
        record.executable_inode = typed(inode, &offset::INODE_NUMBER);
        let super_block: *const u8 = typed(inode, &offset::INODE_SUPER);
        record.executable_device = typed(super_block, &offset::SUPER_DEVICE);
        record.executable_length =
            path(record.executable.as_mut_ptr(), typed(file, &offset::FILE_PATH_DENTRY), typed(file, &offset::FILE_PATH_MOUNT));
        let place: *const u8 = typed(task, &offset::TASK_FS);
        record.directory_length =
            path(record.directory.as_mut_ptr(), typed(place, &offset::FS_PWD_DENTRY), typed(place, &offset::FS_PWD_MOUNT));
        fill_cgroups(record, task);
    }
}

#[inline(always)]
unsafe fn fill_arguments(record: &mut ExecRecord, memory: *const u8) {
    // SAFETY: by the caller.
    unsafe {
        let begin: u64 = typed(memory, &offset::MM_ARG_START);
        let end: u64 = typed(memory, &offset::MM_ARG_END);
        let length = end.wrapping_sub(begin);
        record.arguments_length = length as u32;
        let kept = if length > ARGUMENTS_CAPACITY as u64 { ARGUMENTS_CAPACITY as u64 } else { length };
        if bpf_probe_read_user(record.arguments.as_mut_ptr().cast(), kept as u32, begin as *const c_void) != 0 {
            record.arguments_length = 0;
        }
    }
}

#[inline(always)]
unsafe fn fill_cgroups(record: &mut ExecRecord, task: *const u8) {
    record.cgroup_id = 0;
    record.cgroup_length = 0;
    record.cgroup_v1_length = 0;
    if !has(&offset::TASK_CGROUPS) || !has(&offset::CSS_SET_DEFAULT) {
        return;
    }
    // SAFETY: by the caller.
    let set: u64 = unsafe { typed(task, &offset::TASK_CGROUPS) };
    let default: u64 = field(set, &offset::CSS_SET_DEFAULT);
    if has(&offset::CGROUP_KN) && has(&offset::KERNFS_ID) {
        let node: u64 = field(default, &offset::CGROUP_KN);
        record.cgroup_id = field(node, &offset::KERNFS_ID);
    }
    record.cgroup_length = cgroup(record.cgroup.as_mut_ptr(), default);
    if CGROUP_PIDS.load() != u32::MAX && has(&offset::CSS_SET_SUBSYS) && has(&offset::CSS_CGROUP) {
        let at = u64::from(offset::CSS_SET_SUBSYS.load()) + u64::from(CGROUP_PIDS.load()) * 8;
        let state: u64 = read(set.wrapping_add(at));
        let group: u64 = field(state, &offset::CSS_CGROUP);
        if group != default {
            record.cgroup_v1_length = cgroup(record.cgroup_v1.as_mut_ptr(), group);
        }
    }
}

#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(context: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are the parent's and the child's `struct task_struct`.
    unsafe {
        let parent = who(context.arg(0));
        let child = who(context.arg(1));
        if child.pid != child.tid {
            return 0;
        }
        let record = ForkRecord {
            header: header(RecordKind::Fork, size_of::<ForkRecord>(), child.pid, child.tid, child.start_time),
            parent_start_time: parent.start_time,
            parent_pid: parent.pid,
            padding: 0,
        };
        tell((&raw const record).cast(), size_of::<ForkRecord>());
    }
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(context: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the `struct task_struct` that ends.
    unsafe {
        let task: *const u8 = context.arg(0);
        let me = who(task);
        let signal: u64 = typed(task, &offset::TASK_SIGNAL);
        // `signal->live` counts the threads that still live; the last one to end brings it to zero before this point.
        if field::<i32>(signal, &offset::SIGNAL_LIVE) != 0 {
            return 0;
        }
        let record = ExitRecord {
            header: header(RecordKind::Exit, size_of::<ExitRecord>(), me.pid, me.tid, me.start_time),
            status: typed(task, &offset::TASK_EXIT_CODE),
            padding: 0,
        };
        tell((&raw const record).cast(), size_of::<ExitRecord>());
    }
    0
}

/// # Safety
/// `record` points to `length` readable bytes on the stack.
#[inline(always)]
unsafe fn tell(record: *const c_void, length: usize) {
    // SAFETY: by the caller.
    if unsafe { output(record, length as u64) } {
        count(Counter::Records, 1);
    } else {
        count(Counter::RingFullRecords, 1);
    }
}
