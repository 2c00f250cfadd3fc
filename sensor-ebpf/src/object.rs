//! Which stream is behind a file: the key of its object, with what else the object tells.

use crate::kernel::{field, has, offset};
use sensor_ebpf::{Direction, End, ObjectKind, StreamKey};

const S_IFMT: u16 = 0o170_000;
const S_IFIFO: u16 = 0o010_000;
const S_IFCHR: u16 = 0o020_000;
const S_IFSOCK: u16 = 0o140_000;
const SOCK_STREAM: u16 = 1;
const SOCK_SEQPACKET: u16 = 5;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
/// `PTY_TYPE_MASTER`, `PTY_TYPE_SLAVE` (include/linux/tty_driver.h).
const PTY_MASTER: u16 = 1;
const PTY_SLAVE: u16 = 2;
/// Major numbers of `/dev/tty` and `/dev/ptmx`, and of the Unix 98 pseudo-terminal slaves.
const MAJOR_TTY_ALIAS: u32 = 5;
const MAJOR_PTS_FIRST: u32 = 136;
const MAJOR_PTS_LAST: u32 = 143;

/// What the object of a stream tells besides its key.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Facts {
    /// Inode number of the object at this end; 0 where the key holds it.
    pub inode: u64,
    /// TCP: sequence number behind the last byte at this end.
    pub sequence: u32,
    /// An [`ObjectKind`].
    pub kind: u8,
    /// The object keeps packets apart.
    pub packets: bool,
    /// A pseudo-terminal's master: its calls tell who is there, the bytes are taken at the slave.
    pub master: bool,
    pub padding: u8,
}

/// A file of a type that may carry a stream.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Carrier {
    /// Address of the `struct file`.
    file: u64,
    inode: u64,
    mode: u64,
}

/// Sorts a file out as early as can be. `None` for what carries no stream: plain files, `/dev/null`.
#[inline(always)]
pub fn carrier(file: u64) -> Option<Carrier> {
    let inode: u64 = field(file, &offset::FILE_INODE);
    let mode: u16 = field(inode, &offset::INODE_MODE);
    match mode & S_IFMT {
        S_IFIFO | S_IFSOCK => {}
        S_IFCHR => {
            let major = field::<u32>(inode, &offset::INODE_RDEV) >> 20;
            if major != MAJOR_TTY_ALIAS && !(MAJOR_PTS_FIRST..=MAJOR_PTS_LAST).contains(&major) {
                return None;
            }
        }
        _ => return None,
    }
    Some(Carrier { file, inode, mode: u64::from(mode) })
}

/// Fills `key` with the stream that an `end` of this file is of. `None` for what carries none.
#[inline(always)]
pub fn stream_of(carrier: &Carrier, end: End, key: &mut StreamKey) -> Option<Facts> {
    let &Carrier { file, inode, mode } = carrier;
    let mut facts = Facts { inode: 0, sequence: 0, kind: 0, packets: false, master: false, padding: 0 };
    match mode as u16 & S_IFMT {
        S_IFIFO => {
            let super_block: u64 = field(inode, &offset::INODE_SUPER);
            let device: u32 = field(super_block, &offset::SUPER_DEVICE);
            facts.kind = ObjectKind::Pipe as u8;
            key.words[0] = inode;
            key.words[1] = field(inode, &offset::INODE_NUMBER);
            key.words[2] = u64::from(device);
        }
        S_IFSOCK => {
            facts.inode = field(inode, &offset::INODE_NUMBER);
            let socket: u64 = field(file, &offset::FILE_PRIVATE);
            let sock: u64 = field(socket, &offset::SOCKET_SOCK);
            let family: u16 = field(sock, &offset::SOCK_FAMILY);
            if family == AF_UNIX {
                unix(socket, sock, end, key, &mut facts)?;
            } else if family == AF_INET || family == AF_INET6 {
                tcp(sock, family, end, key, &mut facts)?;
            } else {
                return None;
            }
        }
        _ => pty(file, end, key, &mut facts)?,
    }
    key.kind = facts.kind;
    Some(facts)
}

#[inline(always)]
fn unix(socket: u64, sock: u64, end: End, key: &mut StreamKey, facts: &mut Facts) -> Option<()> {
    let kind: u16 = field(socket, &offset::SOCKET_TYPE);
    if kind != SOCK_STREAM && kind != SOCK_SEQPACKET {
        return None;
    }
    let peer: u64 = field(sock, &offset::UNIX_PEER);
    if peer == 0 {
        return None;
    }
    facts.kind = ObjectKind::Unix as u8;
    facts.packets = kind == SOCK_SEQPACKET;
    if matches!(end, End::Writer) {
        key.words[0] = sock;
        key.words[1] = peer;
    } else {
        key.words[0] = peer;
        key.words[1] = sock;
    }
    Some(())
}

#[inline(always)]
fn tcp(sock: u64, family: u16, end: End, key: &mut StreamKey, facts: &mut Facts) -> Option<()> {
    let protocol: u16 = field(sock, &offset::SOCK_PROTOCOL);
    if protocol & 0xff != IPPROTO_TCP {
        return None;
    }
    facts.kind = ObjectKind::Tcp as u8;
    let (local, remote) = if family == AF_INET6 && has(&offset::SOCK_LOCAL6) {
        (field::<[u64; 2]>(sock, &offset::SOCK_LOCAL6), field::<[u64; 2]>(sock, &offset::SOCK_REMOTE6))
    } else {
        (mapped(field(sock, &offset::SOCK_LOCAL4)), mapped(field(sock, &offset::SOCK_REMOTE4)))
    };
    // Not `skc_num`: the kernel clears that when the connection is reset, before a write under way has ended.
    let local_port = u16::from_be(field(sock, &offset::SOCK_LOCAL_PORT));
    let remote_port = u16::from_be(field(sock, &offset::SOCK_REMOTE_PORT));
    if has(&offset::NET_COOKIE) {
        let namespace: u64 = field(sock, &offset::SOCK_NET);
        key.words[4] = field(namespace, &offset::NET_COOKIE);
    }
    if matches!(end, End::Writer) {
        key.words[0] = local[0];
        key.words[1] = local[1];
        key.words[2] = remote[0];
        key.words[3] = remote[1];
        key.ports = u32::from(local_port) << 16 | u32::from(remote_port);
        facts.sequence = field(sock, &offset::TCP_WRITTEN);
    } else {
        key.words[0] = remote[0];
        key.words[1] = remote[1];
        key.words[2] = local[0];
        key.words[3] = local[1];
        key.ports = u32::from(remote_port) << 16 | u32::from(local_port);
        facts.sequence = field(sock, &offset::TCP_COPIED);
    }
    Some(())
}

/// An IPv4 address (network order) as v4-mapped IPv6, in two words of memory order.
#[inline(always)]
fn mapped(address: u32) -> [u64; 2] {
    [0, u64::from_le(0xffff_0000) | u64::from(address) << 32]
}

#[inline(always)]
fn pty(file: u64, end: End, key: &mut StreamKey, facts: &mut Facts) -> Option<()> {
    let private: u64 = field(file, &offset::FILE_PRIVATE);
    let tty: u64 = field(private, &offset::TTY_FILE_TTY);
    let driver: u64 = field(tty, &offset::TTY_DRIVER);
    let side: u16 = field(driver, &offset::TTY_DRIVER_SUBTYPE);
    let link: u64 = field(tty, &offset::TTY_LINK);
    // Only pseudo-terminals are linked. (The driver's type has other numbers in other kernels.)
    if link == 0 || (side != PTY_MASTER && side != PTY_SLAVE) {
        return None;
    }
    facts.kind = ObjectKind::Pty as u8;
    facts.master = side == PTY_MASTER;
    key.words[0] = if tty < link { tty } else { link };
    let to_slave = facts.master == matches!(end, End::Writer);
    key.direction = if to_slave { Direction::ToSlave as u8 } else { Direction::FromSlave as u8 };
    Some(())
}

/// True for a pipe in which no bytes wait.
#[inline(always)]
pub fn is_empty_pipe(carrier: &Carrier) -> bool {
    if carrier.mode as u16 & S_IFMT != S_IFIFO || !has(&offset::PIPE_HEAD) || !has(&offset::PIPE_TAIL) {
        return false;
    }
    let pipe: u64 = field(carrier.file, &offset::FILE_PRIVATE);
    field::<u32>(pipe, &offset::PIPE_HEAD) == field::<u32>(pipe, &offset::PIPE_TAIL)
}

/// `f_mode` of a file: bit 0 readable, bit 1 writable (include/linux/fs.h).
#[inline(always)]
pub fn access_of(file: u64) -> u32 {
    field(file, &offset::FILE_MODE)
}
