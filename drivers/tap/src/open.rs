//! Opening a TAP device: one descriptor for each lane.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use burstlane::driver::ProtocolSet;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::config::TapConfig;
use crate::driver::Tap;
use crate::error::OpenError;
use crate::ffi::{self, Offloads};
use crate::vnet;

/// One queue of a TAP device, on its way to the lane that will drive it.
#[derive(Debug)]
pub struct TapQueue {
    pub(crate) tun: OwnedFd,
    /// For questions about the interface; it carries nothing.
    pub(crate) socket: OwnedFd,
    /// As asked for, with the name, MTU and address that it came to.
    pub(crate) config: TapConfig,
    pub(crate) mtu: u32,
    pub(crate) segments: ProtocolSet,
}

impl TapQueue {
    /// The driver, with its packet memory: made on the lane, because neither leaves it again.
    #[must_use]
    pub fn into_driver(self) -> Tap {
        Tap::new(self)
    }

    /// The interface's name, as the kernel has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }
}

/// Opens `count` queues of one device, all with the same address of ours. With more than one, the kernel spreads flows
/// over them.
///
/// # Errors
/// The kernel has no such device for us; the message says what to do about it.
pub fn open_queues(config: &TapConfig, count: usize) -> Result<Vec<TapQueue>, OpenError> {
    config.validate()?;
    let mut config = TapConfig { mac: Some(config.mac_or_random()), ..config.clone() };
    let mut queues: Vec<TapQueue> = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let queue = open_queue(&config, count > 1)?;
        // The first queue settles the name, so that `%d` makes one device and not many.
        config.name.clone_from(&queue.config.name);
        queues.push(queue);
    }
    Ok(queues)
}

fn open_queue(config: &TapConfig, multi_queue: bool) -> Result<TapQueue, OpenError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tun = rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => OpenError::Missing,
        Errno::ACCESS | Errno::PERM => OpenError::FileForbidden,
        other => kernel(&config.name, "opening /dev/net/tun", other.into()),
    })?;
    let name = ffi::attach(tun.as_fd(), &config.name, multi_queue).map_err(|error| {
        let name = config.name.clone();
        match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS) => OpenError::Forbidden { name },
            Some(Errno::BUSY) => OpenError::Busy { name },
            Some(Errno::INVAL | Errno::EXIST) => OpenError::OtherKind { name },
            _ => kernel(&config.name, "TUNSETIFF", error),
        }
    })?;
    let config = TapConfig { name, ..config.clone() };
    ffi::set_description_bytes(tun.as_fd(), vnet::DESCRIPTION_BYTES)
        .map_err(|error| kernel(&config.name, "TUNSETVNETHDRSZ", error))?;
    let segments = set_offloads(&tun, &config).map_err(|error| kernel(&config.name, "TUNSETOFFLOAD", error))?;

    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .or_else(|_| rustix::net::socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None))
        .map_err(|errno| kernel(&config.name, "socket", errno.into()))?;
    let mtu = settle_mtu(&socket, &config)?;
    // An interface made by somebody else keeps its queue: that costs frames under load and no more.
    let _ = ffi::set_queue_frames(socket.as_fd(), &config.name, config.queue_frames);
    Ok(TapQueue { tun, socket, config, mtu, segments })
}

/// Tells the kernel what it may leave to us, and returns what we may leave to it.
fn set_offloads(tun: &OwnedFd, config: &TapConfig) -> io::Result<ProtocolSet> {
    let set = |segments, datagrams| ffi::set_offloads(tun.as_fd(), Offloads { segments, datagrams });
    if !config.offloads {
        set(false, false)?;
        return Ok(ProtocolSet::NONE);
    }
    // A kernel that lets us ask for merged datagrams (6.2 and later) also cuts those that we send.
    let knows_datagrams = set(true, true).is_ok();
    if !(knows_datagrams && config.merged_datagrams) {
        set(true, false)?;
    }
    Ok(vnet::protocols(knows_datagrams))
}

fn settle_mtu(socket: &OwnedFd, config: &TapConfig) -> Result<u32, OpenError> {
    let name = &config.name;
    let has = ffi::mtu(socket.as_fd(), name).map_err(|error| kernel(name, "SIOCGIFMTU", error))?;
    match config.mtu {
        Some(mtu) if mtu != has => {
            let refused = |source| OpenError::SetMtu { name: name.clone(), mtu, source };
            ffi::set_mtu(socket.as_fd(), name, mtu).map_err(refused)?;
            Ok(mtu)
        }
        _ => Ok(has),
    }
}

fn kernel(name: &str, call: &'static str, source: io::Error) -> OpenError {
    OpenError::Kernel { name: name.to_owned(), call, source }
}
