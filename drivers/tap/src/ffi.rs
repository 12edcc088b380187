//! The requests to the kernel that no safe binding has: making a TAP device and asking after it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::config::NAME_BYTES_MAX;

/// `struct ifreq`: a name, and 24 bytes whose meaning the request decides.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct IfReq {
    name: [u8; NAME_BYTES_MAX + 1],
    value: [u8; 24],
}

impl IfReq {
    fn new(name: &str) -> Self {
        let mut request = Self { name: [0; NAME_BYTES_MAX + 1], value: [0; 24] };
        // The last byte stays zero. Names are checked to be shorter before.
        for (to, from) in request.name.iter_mut().take(NAME_BYTES_MAX).zip(name.bytes()) {
            *to = from;
        }
        request
    }

    fn with_short(mut self, value: i16) -> Self {
        let [a, b] = value.to_ne_bytes();
        (self.value[0], self.value[1]) = (a, b);
        self
    }

    fn with_int(mut self, value: i32) -> Self {
        let [a, b, c, d] = value.to_ne_bytes();
        (self.value[0], self.value[1], self.value[2], self.value[3]) = (a, b, c, d);
        self
    }

    fn short(&self) -> i16 {
        i16::from_ne_bytes([self.value[0], self.value[1]])
    }

    fn int(&self) -> i32 {
        i32::from_ne_bytes([self.value[0], self.value[1], self.value[2], self.value[3]])
    }
}

/// Makes `tun` a queue of the TAP device `name`, and returns the name that it really has.
pub(crate) fn attach(tun: BorrowedFd<'_>, name: &str, multi_queue: bool) -> io::Result<String> {
    let queues = if multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | queues;
    let mut request = IfReq::new(name).with_short(flags as i16);
    ask(tun, libc::TUNSETIFF, &mut request)?;
    Ok(request.name.iter().take_while(|b| **b != 0).map(|b| char::from(*b)).collect())
}

/// What the kernel may leave undone in frames to us: checksums, and the cutting of these kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offloads {
    pub(crate) segments: bool,
    pub(crate) datagrams: bool,
}

/// Tells the kernel what it may leave undone. `Err` with `EINVAL`: this kernel does not know one of them.
pub(crate) fn set_offloads(tun: BorrowedFd<'_>, offloads: Offloads) -> io::Result<()> {
    let mut bits = 0;
    if offloads.segments {
        bits |= libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    }
    if offloads.datagrams {
        bits |= libc::TUN_F_CSUM | libc::TUN_F_USO4 | libc::TUN_F_USO6;
    }
    // SAFETY: the descriptor is open, and this request takes its argument by value and touches no memory of ours.
    let answer = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(bits)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Says how long the description before each frame is.
pub(crate) fn set_description_bytes(tun: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let mut bytes = bytes as libc::c_int;
    // SAFETY: the descriptor is open; the request reads one `int`, which lives beyond the call.
    let answer = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw mut bytes) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The interface's MTU, bytes.
pub(crate) fn mtu(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    let mut request = IfReq::new(name);
    ask(socket, libc::SIOCGIFMTU as libc::Ioctl, &mut request)?;
    Ok(request.int().unsigned_abs())
}

/// Sets the interface's MTU.
pub(crate) fn set_mtu(socket: BorrowedFd<'_>, name: &str, mtu: u32) -> io::Result<()> {
    ask(socket, libc::SIOCSIFMTU as libc::Ioctl, &mut IfReq::new(name).with_int(mtu.cast_signed()))
}

/// Sets how many frames the kernel queues for whoever reads the interface.
pub(crate) fn set_queue_frames(socket: BorrowedFd<'_>, name: &str, frames: u32) -> io::Result<()> {
    ask(socket, libc::SIOCSIFTXQLEN as libc::Ioctl, &mut IfReq::new(name).with_int(frames.cast_signed()))
}

/// Whether the interface is up.
pub(crate) fn is_up(socket: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    let mut request = IfReq::new(name);
    ask(socket, libc::SIOCGIFFLAGS as libc::Ioctl, &mut request)?;
    Ok(i32::from(request.short()) & libc::IFF_UP != 0)
}

fn ask(fd: BorrowedFd<'_>, request: libc::Ioctl, about: &mut IfReq) -> io::Result<()> {
    // SAFETY: the descriptor is open. The requests made here read and write at most one `struct ifreq`, 40 bytes on every
    // Linux; `IfReq` has that size and layout, any bytes are a valid one, and it lives beyond the call.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(about)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const _: () = assert!(size_of::<IfReq>() >= size_of::<libc::ifreq>());
