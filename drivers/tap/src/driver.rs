//! The driver: a frame a system call, described by a few bytes before it.
//!
//! A read goes into two slots, because its size is not known before:
//!
//! ```text
//!   description | slot of the normal pool        | slot of the large pool                     |
//!   10 bytes    | [headroom]<---- capacity ----->| [headroom][<- capacity ->]<--- rest ------>|
//! ```
//!
//! What fits the first is received without a copy. Of what does not, that first part is copied in front of the rest.

use std::cell::Cell;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::Mac;
use burstlane::driver::{Capabilities, Driver, DriverError, ProtocolSet};
use burstlane::frame::{Frame, FramePool, PoolConfig};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::config::{TapConfig, TapCounters};
use crate::error::OpenError;
use crate::ffi;
use crate::open::{TapQueue, open_queues};
use crate::vnet::{DESCRIPTION_BYTES, Description};

/// One queue of a TAP device.
pub struct Tap {
    tun: OwnedFd,
    socket: OwnedFd,
    name: String,
    mac: Mac,
    mtu: u32,
    segments: ProtocolSet,
    pool: FramePool,
    large_pool: Option<FramePool>,
    /// What the last request said. Asked again only while it is down.
    is_up: Cell<bool>,
    counters: Rc<TapCounters>,
}

impl Tap {
    /// Opens a device with one queue, for one lane.
    ///
    /// # Errors
    /// The kernel has no such device for us; the message says what to do about it.
    pub fn open(config: &TapConfig) -> Result<Self, OpenError> {
        let mut queues = open_queues(config, 1)?;
        // One was asked for, and the list is never shorter.
        queues.pop().map(TapQueue::into_driver).ok_or(OpenError::Unsupported)
    }

    pub(crate) fn new(queue: TapQueue) -> Self {
        let TapQueue { tun, socket, config, mtu, segments } = queue;
        let grown = |pool: PoolConfig, frame_bytes: u32| PoolConfig {
            slot_bytes: pool.slot_bytes.max(frame_bytes + pool.headroom),
            ..pool
        };
        // A byte more than the largest, because what fills all room may be a part.
        let pool = FramePool::new(grown(config.pool, mtu + ETHERNET_BYTES_MAX + 1));
        let large_pool = config.offloads.then(|| FramePool::new(grown(config.large_pool, LARGE_BYTES_MAX)));
        Self {
            tun,
            socket,
            mac: config.mac_or_random(),
            name: config.name,
            mtu,
            segments,
            pool,
            large_pool,
            is_up: Cell::new(true),
            counters: Rc::default(),
        }
    }

    /// The interface's name, as the kernel has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The counters, for whoever watches the lane.
    #[must_use]
    pub fn counters(&self) -> Rc<TapCounters> {
        Rc::clone(&self.counters)
    }

    /// One read: a frame, or why there is none.
    fn receive(&mut self) -> Result<Frame, Pause> {
        let Some(mut frame) = self.pool.alloc() else { return Err(Pause::Empty) };
        let capacity = self.pool.frame_bytes_max();
        let mut large = self.large_pool.as_ref().and_then(FramePool::alloc);
        let mut description = [0; DESCRIPTION_BYTES];
        let head = frame.append(capacity).unwrap_or_default();
        let rest = large.as_mut().and_then(|large| {
            large.reset(large.pool().headroom() + capacity);
            large.append(large.tailroom())
        });
        let mut parts = [&mut description[..], head, rest.unwrap_or_default()].map(IoSliceMut::new);
        let read = rustix::io::readv(&self.tun, &mut parts).map_err(|errno| self.pause(errno))?;

        let Some(frame_bytes) = read.checked_sub(DESCRIPTION_BYTES) else {
            count(&self.counters.rx_bad_description, 1);
            return Err(Pause::Dropped);
        };
        // The kernel cuts off what does not fit without a word: a frame that fills all the room may be such a one.
        if frame_bytes == capacity + large.as_ref().map_or(0, Frame::len) {
            count(&self.counters.rx_no_room, 1);
            return Err(Pause::Dropped);
        }
        let mut received = match large {
            Some(mut large) if frame_bytes > capacity => {
                large.truncate(frame_bytes - capacity);
                if let Some(front) = large.prepend(capacity) {
                    front.copy_from_slice(frame.bytes());
                }
                large
            }
            _ => {
                frame.truncate(frame_bytes);
                frame
            }
        };
        if Description::from_bytes(description).and_then(|d| d.apply(&mut received)).is_err() {
            count(&self.counters.rx_bad_description, 1);
            return Err(Pause::Dropped);
        }
        count(&self.counters.rx_frames, 1);
        count(&self.counters.rx_bytes, frame_bytes as u64);
        Ok(received)
    }

    /// One write. `Ok`: the frame is done with, sent or dropped and counted.
    fn transmit(&self, frame: &Frame) -> Result<(), Pause> {
        let Ok(description) = Description::of(frame) else {
            count(&self.counters.tx_bad_description, 1);
            return Ok(());
        };
        let description = description.to_bytes();
        let parts = [IoSlice::new(&description), IoSlice::new(frame.bytes())];
        match rustix::io::writev(&self.tun, &parts) {
            Ok(_) => {
                count(&self.counters.tx_frames, 1);
                count(&self.counters.tx_bytes, frame.len() as u64);
                Ok(())
            }
            Err(errno) => match self.pause(errno) {
                // The next attempt would end as this one did, and hold up those behind.
                Pause::Dropped => {
                    count(&self.counters.tx_refused, 1);
                    Ok(())
                }
                pause => Err(pause),
            },
        }
    }

    fn pause(&self, errno: Errno) -> Pause {
        match errno {
            Errno::AGAIN | Errno::NOMEM | Errno::NOBUFS => Pause::Empty,
            Errno::INTR => Pause::Again,
            Errno::IO => {
                self.is_up.set(false);
                Pause::Failed(DriverError::Down(format!("{} is down: ip link set {} up", self.name, self.name)))
            }
            // Of a device that was removed, reading says EFAULT or EBADFD, by the moment.
            Errno::BADFD | Errno::NODEV | Errno::BADF | Errno::FAULT => {
                self.is_up.set(false);
                Pause::Failed(DriverError::Gone(format!("{} was removed", self.name)))
            }
            _ => Pause::Dropped,
        }
    }
}

/// Why a read or a write moved no frame.
enum Pause {
    /// There is nothing, or no room: the burst ends.
    Empty,
    /// A signal came between.
    Again,
    /// There was a frame, and it was dropped.
    Dropped,
    /// The device failed.
    Failed(DriverError),
}

impl Driver for Tap {
    fn capabilities(&self) -> Capabilities {
        let tx_checksum = self.segments != ProtocolSet::NONE;
        Capabilities { mac: self.mac, mtu: self.mtu, tx_checksum, segments: self.segments }
    }

    fn pool(&self) -> &FramePool {
        &self.pool
    }

    fn large_pool(&self) -> Option<&FramePool> {
        self.large_pool.as_ref()
    }

    fn rx_burst(&mut self, frames: &mut Vec<Frame>, frames_max: usize) -> Result<(), DriverError> {
        // Dropped frames count too, so a stream of garbage cannot hold the lane.
        for _ in 0..frames_max {
            match self.receive() {
                Ok(frame) => frames.push(frame),
                Err(Pause::Dropped | Pause::Again) => {}
                Err(Pause::Empty) => break,
                Err(Pause::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn tx_room(&self) -> usize {
        TX_BURST_FRAMES
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>) -> Result<(), DriverError> {
        let mut done = 0;
        let mut outcome = Ok(());
        for frame in frames.iter().take(TX_BURST_FRAMES) {
            match self.transmit(frame) {
                Ok(()) => done += 1,
                Err(Pause::Failed(error)) => {
                    outcome = Err(error);
                    break;
                }
                Err(_) => break,
            }
        }
        // The kernel has copied them: written is completed.
        frames.drain(..done);
        if done > 0 {
            self.is_up.set(true);
        }
        outcome
    }

    fn is_up(&self) -> bool {
        if !self.is_up.get() {
            self.is_up.set(ffi::is_up(self.socket.as_fd(), &self.name).unwrap_or(false));
        }
        self.is_up.get()
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DriverError> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match rustix::event::poll(&mut [PollFd::new(&self.tun, PollFlags::IN)], timeout.as_ref()) {
            // A signal is as good a reason to wake as a frame, and what else failed the next read will say.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.tun.as_raw_fd()
    }
}

fn count(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get() + n);
}

/// An Ethernet header and one VLAN tag.
const ETHERNET_BYTES_MAX: u32 = 18;
/// The largest IP packet with its Ethernet header, and that byte.
const LARGE_BYTES_MAX: u32 = 65_535 + ETHERNET_BYTES_MAX + 1;
/// Frames written a turn: the kernel takes what it is given, so the bound is ours, to let the lane go on.
const TX_BURST_FRAMES: usize = 256;
