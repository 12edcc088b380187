//! The three things of a lab that take `unsafe`: leaving our namespaces, making a TAP, and tying CMD's life to ours.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Moves this process into new namespaces. It must have one thread.
///
/// # Errors
/// As `unshare(2)`.
pub(super) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: `unshare` takes no pointers. Without CLONE_FILES, CLONE_FS or CLONE_VM (we pass only namespaces) nothing
    // that Rust's library relies on changes.
    let result = unsafe { libc::unshare(flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Creates the TAP `name`, which stays when `tun` is closed.
///
/// # Errors
/// As the TUN ioctls; EPERM without CAP_NET_ADMIN.
pub(super) fn create_persistent_tap(tun: &File, name: &str) -> io::Result<()> {
    // SAFETY: `ifreq` is plain bytes, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    request.ifr_name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives until the call returns.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: TUNSETPERSIST takes a number.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST, 1 as libc::c_ulong) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the kernel kill the command when this process is killed.
pub(super) fn dies_with_us(command: &mut Command) {
    let tie = || Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?);
    // SAFETY: the closure runs between fork and exec and makes one system call: no allocation, no lock.
    unsafe { command.pre_exec(tie) };
}
