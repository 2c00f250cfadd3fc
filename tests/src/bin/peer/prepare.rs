//! Makes a bare machine (an initramfs with nothing in it) fit for the tests.

use std::ffi::CString;
use std::fs;
use std::path::Path;

/// (target, type, what is there when it is mounted)
const MOUNTS: [(&str, &str, &str); 8] = [
    ("/proc", "proc", "/proc/self"),
    ("/sys", "sysfs", "/sys/kernel"),
    ("/dev", "devtmpfs", "/dev/null"),
    ("/dev/pts", "devpts", "/dev/pts/ptmx"),
    ("/tmp", "tmpfs", ""),
    ("/run", "tmpfs", ""),
    ("/sys/kernel/tracing", "tracefs", "/sys/kernel/tracing/events"),
    ("/sys/fs/bpf", "bpf", ""),
];

/// Mounts what is missing and brings the loopback interface up. What cannot be done is left. What cannot be told missing is mounted by the first
/// process only.
pub fn machine() {
    for (target, kind, witness) in MOUNTS {
        let missing = if witness.is_empty() { std::process::id() == 1 } else { !Path::new(witness).exists() };
        if missing {
            let _ = fs::create_dir_all(target);
            mount(kind, target, kind);
        }
    }
    loopback_up();
}

fn mount(source: &str, target: &str, kind: &str) {
    let (Ok(source), Ok(target), Ok(kind)) = (CString::new(source), CString::new(target), CString::new(kind)) else { return };
    // SAFETY: all three are C strings; no data is given.
    unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
}

fn loopback_up() {
    // SAFETY: the request is a valid ifreq; the kernel reads and writes it only.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as _;
        request.ifr_name[1] = b'o' as _;
        if libc::ioctl(socket, libc::SIOCGIFFLAGS as _, &raw mut request) == 0 {
            request.ifr_ifru.ifru_flags |= libc::IFF_UP as i16;
            libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request);
        }
        libc::close(socket);
    }
}

/// Turns the machine off.
pub fn power_off() -> ! {
    // SAFETY: takes no pointers.
    unsafe {
        libc::sync();
        libc::reboot(libc::LINUX_REBOOT_CMD_POWER_OFF);
    }
    std::process::exit(1)
}
