//! [`RemoteStream`]: a stream's end on another thread. Data and requests cross in batches over two single-producer
//! rings; nothing locks. The lane's side, [`RemotePort`], is served in the application's part of a turn.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

use rtrb::{Consumer, Producer, RingBuffer};

use super::{Stream, StreamIo};
use crate::transport::{FlowError, Transport};

/// The end that travels. `Send`, and not `Sync`: one thread uses it at a time.
pub struct RemoteStream {
    to_lane: Producer<u8>,
    from_lane: Consumer<u8>,
    shared: Arc<Shared>,
}

/// The lane's end: moves bytes between the rings and the stream. It stays on the lane's thread.
pub struct RemotePort<T: Transport<Io = StreamIo>> {
    stream: Stream<T>,
    from_app: Consumer<u8>,
    to_app: Producer<u8>,
    shared: Arc<Shared>,
    finished: bool,
}

struct Shared {
    /// The travelling end sends no more (or is gone).
    app_finished: AtomicBool,
    /// The stream gives no more; set after the last byte was put into the ring.
    lane_finished: AtomicBool,
    /// It ended badly.
    failed: AtomicBool,
    /// The stream takes no more, whatever it still gives.
    write_over: AtomicBool,
    /// Whom to unpark when something changed for the travelling end.
    app_thread: std::sync::OnceLock<Thread>,
}

impl RemoteStream {
    /// Splits `stream` into the end that travels and the end that the lane serves, with rings of `ring_bytes` each way.
    #[must_use]
    pub fn split<T: Transport<Io = StreamIo>>(stream: Stream<T>, ring_bytes: usize) -> (Self, RemotePort<T>) {
        let (to_lane, from_app) = RingBuffer::new(ring_bytes.max(1));
        let (to_app, from_lane) = RingBuffer::new(ring_bytes.max(1));
        let shared = Arc::new(Shared {
            app_finished: AtomicBool::new(false),
            lane_finished: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            write_over: AtomicBool::new(false),
            app_thread: std::sync::OnceLock::new(),
        });
        let port = RemotePort { stream, from_app, to_app, shared: Arc::clone(&shared), finished: false };
        (Self { to_lane, from_lane, shared }, port)
    }

    /// Takes received bytes; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when there are none now; `ConnectionReset` when the stream ended badly, or its lane did.
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // The flag first: once it is set, the ring holds all there will ever be.
        let finished = self.shared.lane_finished.load(Ordering::Acquire);
        let ready = self.from_lane.slots().min(buf.len());
        if ready > 0 {
            let Ok(chunk) = self.from_lane.read_chunk(ready) else { return Ok(0) };
            for (to, from) in buf.iter_mut().zip(chunk) {
                *to = from;
            }
            return Ok(ready);
        }
        if buf.is_empty() || finished && !self.shared.failed.load(Ordering::Acquire) {
            return Ok(0);
        }
        if finished { Err(FlowError::Reset.into()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Hands over bytes as far as the ring has room.
    ///
    /// # Errors
    /// `WouldBlock` when it has none; `BrokenPipe` after `finish` or when the stream ended.
    pub fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.shared.write_over.load(Ordering::Acquire) || self.shared.app_finished.load(Ordering::Relaxed) {
            return Err(FlowError::Shutdown.into());
        }
        let room = self.to_lane.slots().min(buf.len());
        if room == 0 {
            return if buf.is_empty() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let Ok(chunk) = self.to_lane.write_chunk_uninit(room) else { return Ok(0) };
        Ok(chunk.fill_from_iter(buf.iter().copied()))
    }

    /// Sends no more; what was handed over still arrives.
    pub fn finish(&mut self) {
        self.shared.app_finished.store(true, Ordering::Release);
    }

    fn wait<R>(&mut self, mut attempt: impl FnMut(&mut Self) -> io::Result<R>) -> io::Result<R> {
        let _ = self.shared.app_thread.set(std::thread::current());
        loop {
            match attempt(self) {
                // A lost wake-up costs a millisecond, not a hang: the handle may have moved to another thread.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::park_timeout(PARK),
                result => return result,
            }
        }
    }
}

impl io::Read for RemoteStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait(|stream| stream.try_read(buf))
    }
}

impl io::Write for RemoteStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.wait(|stream| stream.try_write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for RemoteStream {
    fn drop(&mut self) {
        self.finish();
    }
}

impl<T: Transport<Io = StreamIo>> RemotePort<T> {
    /// Moves what can be moved, both ways; called once a turn. `false` when the stream is over and this end can go.
    pub fn serve(&mut self) -> bool {
        // Before the ring is looked at: once it is set, the ring holds all there will ever be.
        let app_finished = self.shared.app_finished.load(Ordering::Acquire);
        let mut moved = self.send();
        if app_finished && !self.finished && self.from_app.is_empty() {
            self.finished = true;
            self.stream.shutdown();
        }
        moved |= self.receive().unwrap_or_else(|badly| {
            self.shared.failed.store(badly, Ordering::Release);
            self.shared.lane_finished.store(true, Ordering::Release);
            true
        });
        if moved {
            self.unpark();
        }
        let send_done = self.finished || self.shared.write_over.load(Ordering::Relaxed);
        // Nobody reads any more what a travelling end that is gone would have got.
        let receive_done = self.shared.lane_finished.load(Ordering::Relaxed) || self.to_app.is_abandoned();
        !(send_done && receive_done)
    }

    #[cfg(test)]
    pub(super) fn stream_for_tests(&self) -> &Stream<T> {
        &self.stream
    }

    fn unpark(&self) {
        if let Some(thread) = self.shared.app_thread.get() {
            thread.unpark();
        }
    }

    /// Whether something changed for the writer: bytes moved, or there is no point in writing more.
    fn send(&mut self) -> bool {
        let mut moved = false;
        if self.shared.write_over.load(Ordering::Relaxed) {
            return false;
        }
        loop {
            let ready = self.from_app.slots();
            let Ok(chunk) = self.from_app.read_chunk(ready) else { return moved };
            let (front, _) = chunk.as_slices();
            if front.is_empty() {
                break;
            }
            match self.stream.write(front) {
                Ok(taken) => chunk.commit(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return moved,
                Err(_) => break self.shared.write_over.store(true, Ordering::Release),
            }
            moved = true;
        }
        if self.stream.ended().is_some() {
            self.shared.write_over.store(true, Ordering::Release);
            return true;
        }
        moved
    }

    /// Whether bytes moved; `Err(badly)` when there will be no more.
    fn receive(&mut self) -> Result<bool, bool> {
        let mut moved = false;
        if self.shared.lane_finished.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if self.to_app.is_abandoned() {
            return self.discard();
        }
        while self.to_app.slots() > 0 {
            let room = self.to_app.slots();
            let to_app = &mut self.to_app;
            let copied = self.stream.read_with(|piece| {
                let n = piece.len().min(room);
                let Ok(chunk) = to_app.write_chunk_uninit(n) else { return 0 };
                chunk.fill_from_iter(piece.iter().copied())
            });
            match copied {
                Ok(0) => return Err(false),
                Ok(_) => moved = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(true),
            }
        }
        Ok(moved)
    }

    /// What comes for somebody who is gone: taken, so that a peer that waits for room does not hold up what he wrote.
    fn discard(&self) -> Result<bool, bool> {
        loop {
            match self.stream.read_with(<[u8]>::len) {
                Ok(0) => return Err(false),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(true),
            }
        }
    }
}

impl<T: Transport<Io = StreamIo>> Drop for RemotePort<T> {
    /// Whoever waits at the other end learns that nothing will come.
    fn drop(&mut self) {
        if !self.shared.lane_finished.load(Ordering::Relaxed) {
            self.shared.failed.store(true, Ordering::Release);
            self.shared.lane_finished.store(true, Ordering::Release);
        }
        self.shared.write_over.store(true, Ordering::Release);
        self.unpark();
    }
}

const PARK: std::time::Duration = std::time::Duration::from_millis(1);
