//! Which fields of which kernel structures the programs read.
//!
//! The loader resolves each by the running kernel's BTF and writes it into the global of that name; the verifier then
//! knows it as a constant. A field that a kernel does not have stays [`ABSENT`](Offset::ABSENT), and the branch that
//! needs it is dead code there.

/// One field of a kernel structure and the global that carries its offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offset {
    /// Name of the global in the object (a `u32`).
    pub global: &'static str,
    /// The structure.
    pub structure: &'static str,
    /// The field, with dots between nested members; alternatives for other kernels are tried in order.
    pub fields: &'static [&'static str],
    /// False where capture works without it.
    pub required: bool,
}

impl Offset {
    /// The value of a global whose field this kernel does not have.
    pub const ABSENT: u32 = u32::MAX;
}

/// Calls the macro `$apply` with every offset: `NAME "structure" ["field", "alternative"] required|optional`.
#[macro_export]
macro_rules! with_offsets {
    ($apply:ident) => {
        $apply! {
            TASK_PID "task_struct" ["pid"] required,
            TASK_TGID "task_struct" ["tgid"] required,
            TASK_FLAGS "task_struct" ["flags"] required,
            TASK_GROUP_LEADER "task_struct" ["group_leader"] required,
            TASK_START "task_struct" ["start_boottime"] required,
            TASK_REAL_PARENT "task_struct" ["real_parent"] required,
            TASK_FILES "task_struct" ["files"] required,
            TASK_MM "task_struct" ["mm"] required,
            TASK_FS "task_struct" ["fs"] required,
            TASK_CRED "task_struct" ["cred"] required,
            TASK_NSPROXY "task_struct" ["nsproxy"] required,
            TASK_CGROUPS "task_struct" ["cgroups"] optional,
            TASK_LOGINUID "task_struct" ["loginuid.val"] optional,
            TASK_EXIT_CODE "task_struct" ["exit_code"] required,
            TASK_SIGNAL "task_struct" ["signal"] required,
            SIGNAL_LIVE "signal_struct" ["live"] required,
            THREAD_STATUS "task_struct" ["thread_info.status"] optional,
            THREAD_FLAGS "task_struct" ["thread_info.flags"] optional,
            FILES_FDT "files_struct" ["fdt"] required,
            FILES_FDTAB "files_struct" ["fdtab"] optional,
            FILES_ARRAY "files_struct" ["fd_array"] optional,
            FDT_MAX "fdtable" ["max_fds"] required,
            FDT_FD "fdtable" ["fd"] required,
            FILE_INODE "file" ["f_inode"] required,
            FILE_PRIVATE "file" ["private_data"] required,
            FILE_MODE "file" ["f_mode"] required,
            FILE_PATH_DENTRY "file" ["f_path.dentry"] required,
            FILE_PATH_MOUNT "file" ["f_path.mnt"] required,
            INODE_MODE "inode" ["i_mode"] required,
            INODE_NUMBER "inode" ["i_ino"] required,
            INODE_RDEV "inode" ["i_rdev"] required,
            INODE_SUPER "inode" ["i_sb"] required,
            SUPER_DEVICE "super_block" ["s_dev"] required,
            PIPE_HEAD "pipe_inode_info" ["head"] optional,
            PIPE_TAIL "pipe_inode_info" ["tail"] optional,
            SOCKET_TYPE "socket" ["type"] required,
            SOCKET_SOCK "socket" ["sk"] required,
            SOCK_FAMILY "sock" ["__sk_common.skc_family"] required,
            SOCK_PROTOCOL "sock" ["sk_protocol"] required,
            SOCK_NET "sock" ["__sk_common.skc_net.net"] required,
            SOCK_REMOTE4 "sock" ["__sk_common.skc_daddr"] required,
            SOCK_LOCAL4 "sock" ["__sk_common.skc_rcv_saddr"] required,
            SOCK_REMOTE6 "sock" ["__sk_common.skc_v6_daddr"] optional,
            SOCK_LOCAL6 "sock" ["__sk_common.skc_v6_rcv_saddr"] optional,
            SOCK_REMOTE_PORT "sock" ["__sk_common.skc_dport"] required,
            SOCK_LOCAL_PORT "inet_sock" ["inet_sport"] required,
            NET_COOKIE "net" ["net_cookie", "net_cookie.counter"] optional,
            UNIX_PEER "unix_sock" ["peer"] required,
            TCP_WRITTEN "tcp_sock" ["write_seq"] required,
            TCP_COPIED "tcp_sock" ["copied_seq"] required,
            TTY_FILE_TTY "tty_file_private" ["tty"] required,
            TTY_LINK "tty_struct" ["link"] required,
            TTY_DRIVER "tty_struct" ["driver"] required,
            TTY_DRIVER_SUBTYPE "tty_driver" ["subtype"] required,
            MM_EXE_FILE "mm_struct" ["exe_file"] required,
            MM_ARG_START "mm_struct" ["arg_start"] required,
            MM_ARG_END "mm_struct" ["arg_end"] required,
            FS_PWD_DENTRY "fs_struct" ["pwd.dentry"] required,
            FS_PWD_MOUNT "fs_struct" ["pwd.mnt"] required,
            CRED_UID "cred" ["uid.val"] required,
            NSPROXY_PID "nsproxy" ["pid_ns_for_children"] required,
            PIDNS_INUM "pid_namespace" ["ns.inum"] required,
            BINPRM_FILENAME "linux_binprm" ["filename"] required,
            DENTRY_PARENT "dentry" ["d_parent"] required,
            DENTRY_NAME "dentry" ["d_name.name", "__d_name.name"] required,
            MOUNT_MNT "mount" ["mnt"] required,
            MOUNT_ROOT "mount" ["mnt.mnt_root"] required,
            MOUNT_PARENT "mount" ["mnt_parent"] required,
            MOUNT_POINT "mount" ["mnt_mountpoint"] required,
            CSS_SET_DEFAULT "css_set" ["dfl_cgrp"] optional,
            CSS_SET_SUBSYS "css_set" ["subsys"] optional,
            CSS_CGROUP "cgroup_subsys_state" ["cgroup"] optional,
            CGROUP_KN "cgroup" ["kn"] optional,
            KERNFS_PARENT "kernfs_node" ["__parent", "parent"] optional,
            KERNFS_NAME "kernfs_node" ["name"] optional,
            KERNFS_ID "kernfs_node" ["id"] optional,
            IO_REQUEST_FILE "io_kiocb" ["file"] optional,
            IO_REQUEST_OPCODE "io_kiocb" ["opcode"] optional,
            IO_REQUEST_FLAGS "io_kiocb" ["flags"] optional,
            IO_RW_ADDRESS "io_rw" ["addr"] optional,
            IO_RW_LENGTH "io_rw" ["len"] optional,
            IO_MESSAGE_BUFFER "io_sr_msg" ["buf"] optional,
            IO_MESSAGE_HEADER "io_sr_msg" ["umsg"] optional,
            IO_MESSAGE_DONE "io_sr_msg" ["done_io"] optional,
            IO_MESSAGE_FLAGS "io_sr_msg" ["msg_flags"] optional,
            IO_CQE_RESULT "io_uring_cqe" ["res"] optional,
        }
    };
}

macro_rules! required {
    (required) => {
        true
    };
    (optional) => {
        false
    };
}

macro_rules! table {
    ($($name:ident $structure:literal [$($field:literal),+] $required:ident),+ $(,)?) => {
        /// Every offset that the programs use.
        pub const OFFSETS: &[Offset] = &[$(Offset {
            global: stringify!($name),
            structure: $structure,
            fields: &[$($field),+],
            required: required!($required),
        }),+];
    };
}

with_offsets!(table);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_global_is_named_twice() {
        let mut names: Vec<_> = OFFSETS.iter().map(|offset| offset.global).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OFFSETS.len());
    }
}
