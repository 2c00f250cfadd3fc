//! Which stream is behind a file: the key of its object, with what else the object tells.

use crate::kernel::{field, file_of, has, offset, typed, typed_file_of};
use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};
use core::ffi::c_void;
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
    /// Address and number of its inode.
    inode: u64,
    number: u64,
    super_block: u64,
    mode: u64,
}

impl Carrier {
    /// Address and number of the inode, where it is the object's own: a terminal's is that of a name in the file system.
    ///
    /// # Safety
    /// `carrier` is in a map value.
    #[inline(always)]
    pub unsafe fn named_by_inode(carrier: *const Self) -> Option<(u64, u64)> {
        // SAFETY: by the caller. Read anew, so that the verifier sees numbers and no pointers.
        unsafe {
            let mode = (&raw const (*carrier).mode).read_volatile() as u16;
            let inode = (&raw const (*carrier).inode).read_volatile();
            let number = (&raw const (*carrier).number).read_volatile();
            (mode & S_IFMT != S_IFCHR).then_some((inode, number))
        }
    }
}

/// Bytes at the beginning of an inode that are read at once: a read costs by the call, not by the byte.
const INODE_HEAD: usize = 80;

/// The beginning of an inode, in which all that is of interest stands (include/linux/fs.h).
#[repr(C)]
pub struct InodeHead {
    address: u64,
    words: [u64; INODE_HEAD / 8],
}

impl InodeHead {
    /// Reads it.
    #[inline(always)]
    fn read(&mut self, address: u64) {
        self.address = address;
        let words = (&raw mut self.words).cast::<c_void>();
        // SAFETY: the helper fills all of `words`, with zeroes where the address is bad.
        unsafe { bpf_probe_read_kernel(words, INODE_HEAD as u32, address as *const c_void) };
    }

    /// A field: out of the head, or (in kernels with another layout) read by itself.
    #[inline(always)]
    fn field<T: Copy>(&self, offset: &Global<u32>) -> T {
        let at = offset.load() as usize;
        if at > INODE_HEAD - size_of::<T>() {
            return field(self.address, offset);
        }
        // SAFETY: inside `words`, by the test; plain numbers at every caller.
        unsafe { self.words.as_ptr().cast::<u8>().add(at).cast::<T>().read_volatile() }
    }
}

/// True for a file of this type that may carry a stream. `device` is that of a special file.
#[inline(always)]
fn may_carry(mode: u16, device: impl FnOnce() -> u32) -> bool {
    match mode & S_IFMT {
        S_IFIFO | S_IFSOCK => true,
        S_IFCHR => {
            let major = device() >> 20;
            major == MAJOR_TTY_ALIAS || (MAJOR_PTS_FIRST..=MAJOR_PTS_LAST).contains(&major)
        }
        _ => false,
    }
}

/// Sorts a file out. `None` for what carries no stream: plain files, `/dev/null`.
#[inline(always)]
pub fn carrier(file: u64) -> Option<Carrier> {
    let inode: u64 = field(file, &offset::FILE_INODE);
    let mode: u16 = field(inode, &offset::INODE_MODE);
    if !may_carry(mode, || field(inode, &offset::INODE_RDEV)) {
        return None;
    }
    let (number, super_block) = (field(inode, &offset::INODE_NUMBER), field(inode, &offset::INODE_SUPER));
    Some(Carrier { file, inode, number, super_block, mode: u64::from(mode) })
}

/// Where a carrier is put, and room for what it is made of: in a map value, which spares the stack, and where the verifier
/// forgets that addresses are pointers, with which it would let nobody calculate.
#[repr(C)]
pub struct Place {
    pub carrier: Carrier,
    head: InodeHead,
}

/// As [`carrier`], with fewer reads, into `place`; false for what carries no stream.
#[inline(always)]
pub fn put_file(file: u64, place: &mut Place) -> bool {
    let inode: u64 = field(file, &offset::FILE_INODE);
    place.head.read(inode);
    let head = &place.head;
    let mode: u16 = head.field(&offset::INODE_MODE);
    if !may_carry(mode, || head.field(&offset::INODE_RDEV)) {
        return false;
    }
    let (number, super_block) = (head.field(&offset::INODE_NUMBER), head.field(&offset::INODE_SUPER));
    place.carrier = Carrier { file, inode, number, super_block, mode: u64::from(mode) };
    true
}

/// The same for a descriptor of the current task.
///
/// Nearly every call comes by here, and what it costs is what the host pays: so by plain loads where that can be.
///
/// # Safety
/// `task` as for [`typed`]; `place` is in a map value.
#[inline(always)]
pub unsafe fn put_descriptor(task: *const u8, descriptor: u32, place: &mut Place) -> bool {
    // SAFETY: by the caller.
    unsafe {
        let file = typed_file_of(task, descriptor);
        if file.is_null() {
            let file = file_of(task, descriptor);
            return file != 0 && put_file(file, place);
        }
        let inode: *const u8 = typed(file, &offset::FILE_INODE);
        let mode: u16 = typed(inode, &offset::INODE_MODE);
        if !may_carry(mode, || typed(inode, &offset::INODE_RDEV)) {
            return false;
        }
        let carrier = &raw mut place.carrier;
        (&raw mut (*carrier).file).cast::<*const u8>().write_volatile(file);
        (&raw mut (*carrier).inode).cast::<*const u8>().write_volatile(inode);
        (&raw mut (*carrier).number).write_volatile(typed(inode, &offset::INODE_NUMBER));
        (&raw mut (*carrier).super_block).cast::<*const u8>().write_volatile(typed(inode, &offset::INODE_SUPER));
        (&raw mut (*carrier).mode).write_volatile(u64::from(mode));
    }
    true
}

/// The device of the file system that was last asked for: nearly all pipes are of the same.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct LastDevice {
    super_block: u64,
    device: u64,
}

impl LastDevice {
    #[inline(always)]
    fn of(&mut self, super_block: u64) -> u64 {
        if self.super_block != super_block {
            self.device = u64::from(field::<u32>(super_block, &offset::SUPER_DEVICE));
            self.super_block = super_block;
        }
        self.device
    }
}

/// Fills `key` with the stream that an `end` of this file is of. `None` for what carries none.
#[inline(always)]
pub fn stream_of(carrier: &Carrier, end: End, key: &mut StreamKey, device: &mut LastDevice) -> Option<Facts> {
    let &Carrier { file, inode, number, super_block, mode } = carrier;
    let mut facts = Facts { inode: 0, sequence: 0, kind: 0, packets: false, master: false, padding: 0 };
    match mode as u16 & S_IFMT {
        S_IFIFO => {
            facts.kind = ObjectKind::Pipe as u8;
            key.words[0] = inode;
            key.words[1] = number;
            key.words[2] = device.of(super_block);
        }
        S_IFSOCK => {
            facts.inode = number;
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
