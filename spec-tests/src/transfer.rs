//! A transfer: known bytes both ways over one flow, in writes or messages of random sizes, then an orderly end. Each
//! received byte is compared with what was sent at its place, so bytes that are lost, doubled, moved or changed are found
//! where they are.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use burstlane::lane::EngineId;
use burstlane::socket::{Host, Listener};
use burstlane::transport::{FlowError, Transport};
use burstlane_sim::Network;

use crate::face::{Channel, Face, Handle};
use crate::hosts::Hosts;
use crate::pattern::{Dice, Pattern};

/// What to transfer.
#[derive(Clone, Copy, Debug)]
pub struct TransferConfig {
    /// Decides over bytes and sizes.
    pub seed: u64,
    /// Bytes from the first host to the second, and back.
    pub bytes: [u64; 2],
    /// Most bytes of one write or message.
    pub piece_bytes_max: u64,
    /// Readers take little, and not at once.
    pub has_lazy_readers: bool,
}

impl TransferConfig {
    /// As many bytes each way.
    #[must_use]
    pub const fn new(seed: u64, bytes: [u64; 2]) -> Self {
        Self { seed, bytes, piece_bytes_max: 4000, has_lazy_readers: false }
    }
}

/// How far one end came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes that its socket took.
    pub sent: u64,
    /// Bytes that it received, each the right one.
    pub received: u64,
    /// The peer's end of data was seen, after all its bytes.
    pub saw_end: bool,
    /// All was sent, all was received, and the handle was let go.
    pub is_done: bool,
    /// How the flow failed.
    pub error: Option<ErrorKind>,
}

/// A transfer under way: the view of who judges it.
#[derive(Clone)]
pub struct Transfer {
    pub(crate) ends: [Rc<RefCell<Outcome>>; 2],
}

impl Transfer {
    /// Listens on the second host, opens from the first, and lets both send and receive.
    ///
    /// # Panics
    /// If the port is taken.
    pub fn start<T: Transport>(hosts: &Hosts, engines: [EngineId<T>; 2], config: TransferConfig) -> Self
    where
        T::Io: Face,
    {
        let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 16).unwrap();
        let handle = hosts.connect(engines);
        Self::over(hosts, engines, handle, listener, config)
    }

    /// The same over a flow that is being opened already, and a listener.
    pub fn over<T: Transport>(
        hosts: &Hosts,
        engines: [EngineId<T>; 2],
        handle: Handle<T>,
        listener: Listener<T>,
        config: TransferConfig,
    ) -> Self
    where
        T::Io: Face,
    {
        let network = hosts.world.network();
        let (mut left, left_outcome) = End::new(0, config, network);
        let (mut right, right_outcome) = End::new(1, config, network);
        left.channel = Some(handle);
        hosts.add_app(0, move |_| left.turn());
        let mut listener = Some(listener);
        hosts.add_app(1, move |host: &Host| {
            if let Some(flow) = listener.as_ref().and_then(Listener::accept_flow) {
                right.channel = Some(<T::Io as Face>::handle(host, engines[1], flow));
                listener = None;
            }
            right.turn()
        });
        Self { ends: [left_outcome, right_outcome] }
    }

    /// Both ends sent and received everything and let go.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ends.iter().all(|end| end.borrow().is_done)
    }

    /// Both ends are done, or failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.borrow().is_done || end.borrow().error.is_some())
    }

    /// How far both ends came.
    #[must_use]
    pub fn outcomes(&self) -> [Outcome; 2] {
        [*self.ends[0].borrow(), *self.ends[1].borrow()]
    }

    /// Runs until both are done.
    ///
    /// # Panics
    /// If they are not within `limit` of virtual time, or one failed.
    pub fn finish(&self, hosts: &Hosts, limit: Duration) {
        if let Err(error) = hosts.world.run_until(limit, || self.is_over()) {
            panic!("{error}; {:?}\n  {}", self.outcomes(), hosts.state());
        }
        assert!(self.is_done(), "{:?}\n  {}", self.outcomes(), hosts.state());
    }
}

/// One end: an application.
pub struct End<C> {
    /// Its flow, once there is one.
    pub channel: Option<C>,
    network: Network,
    config: TransferConfig,
    outcome: Rc<RefCell<Outcome>>,
    out: Pattern,
    expected: Pattern,
    to_send: u64,
    to_receive: u64,
    /// Sizes of what is sent, and of the messages that are to come.
    sizes: Dice,
    expected_sizes: Dice,
    /// The message, or rest of a piece, that waits for room.
    pending: u64,
    has_shut_down: bool,
    wakes_at: burstlane::time::Instant,
    buffer: Vec<u8>,
}

impl<C: Channel> End<C> {
    /// The first or second end of a transfer.
    #[must_use]
    pub fn new(side: usize, config: TransferConfig, network: &Network) -> (Self, Rc<RefCell<Outcome>>) {
        let other = 1 - side;
        let seed = |side: usize| config.seed.wrapping_mul(2).wrapping_add(side as u64);
        let outcome: Rc<RefCell<Outcome>> = Rc::default();
        let end = Self {
            channel: None,
            network: network.clone(),
            config,
            outcome: outcome.clone(),
            out: Pattern::new(seed(side)),
            expected: Pattern::new(seed(other)),
            to_send: config.bytes[side],
            to_receive: config.bytes[other],
            sizes: Dice::new(seed(side)),
            expected_sizes: Dice::new(seed(other)),
            pending: 0,
            has_shut_down: false,
            wakes_at: burstlane::time::Instant::ZERO,
            buffer: vec![0; (config.piece_bytes_max as usize).max(8192)],
        };
        (end, outcome)
    }

    /// What the application does in its host's turn. Returns whether it did anything.
    ///
    /// # Panics
    /// If what comes is not what was sent.
    pub fn turn(&mut self) -> bool {
        let Some(channel) = self.channel.take() else { return false };
        if let Some(Some(error)) = channel.ended() {
            self.outcome.borrow_mut().error = Some(std::io::Error::from(error).kind());
            // What came before the error counts, and is still checked.
            self.receive(&channel);
            return true;
        }
        let mut moved = self.receive(&channel);
        moved |= self.send(&channel);
        let mut outcome = self.outcome.borrow_mut();
        if outcome.error.is_some() {
            return true;
        }
        if outcome.saw_end && self.has_shut_down {
            outcome.is_done = true;
            return true;
        }
        drop(outcome);
        self.channel = Some(channel);
        moved
    }

    fn receive(&mut self, channel: &C) -> bool {
        let mut moved = false;
        let mut budget = u64::MAX;
        if self.config.has_lazy_readers {
            if self.network.now() < self.wakes_at {
                return false;
            }
            budget = self.sizes_of_reads();
        }
        while budget > 0 && !self.outcome.borrow().saw_end {
            let room = if C::HAS_MESSAGES { self.buffer.len() } else { (budget as usize).min(self.buffer.len()) };
            match channel.recv(&mut self.buffer[..room]) {
                Ok(Some(bytes)) => {
                    moved = true;
                    budget = budget.saturating_sub(bytes.max(1) as u64);
                    self.check(bytes);
                }
                Ok(None) => {
                    moved = true;
                    let mut outcome = self.outcome.borrow_mut();
                    assert_eq!(outcome.received, self.to_receive, "the end came early; seed {}", self.config.seed);
                    outcome.saw_end = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return moved,
                Err(error) => {
                    self.outcome.borrow_mut().error = Some(error.kind());
                    return true;
                }
            }
        }
        if self.config.has_lazy_readers {
            self.wakes_at = self.network.now() + LAZY_PAUSE;
            self.network.alarm(self.wakes_at);
        }
        moved
    }

    fn sizes_of_reads(&mut self) -> u64 {
        // The pause is what makes a reader slow; how much it takes may well repeat.
        1 + self.network.now().as_nanos() / 1000 % 5000
    }

    fn check(&mut self, bytes: usize) {
        let mut outcome = self.outcome.borrow_mut();
        let at = outcome.received;
        if C::HAS_MESSAGES {
            let left = self.to_receive - at;
            let expected = piece(&mut self.expected_sizes, self.config.piece_bytes_max, left);
            assert_eq!(bytes as u64, expected, "a message's length at byte {at}; seed {}", self.config.seed);
        }
        let wrong = self.expected.mismatch(at, &self.buffer[..bytes]);
        assert_eq!(wrong, None, "a wrong byte, of {bytes} at {at}; seed {}", self.config.seed);
        outcome.received += bytes as u64;
        assert!(outcome.received <= self.to_receive, "more bytes than were sent; seed {}", self.config.seed);
    }

    fn send(&mut self, channel: &C) -> bool {
        let mut moved = false;
        loop {
            let at = self.outcome.borrow().sent;
            let left = self.to_send - at;
            if left == 0 {
                if !self.has_shut_down {
                    channel.shutdown();
                    self.has_shut_down = true;
                    moved = true;
                }
                return moved;
            }
            if self.pending == 0 {
                self.pending = piece(&mut self.sizes, self.config.piece_bytes_max, left);
            }
            let bytes = &mut self.buffer[..self.pending as usize];
            self.out.fill(at, bytes);
            match channel.send(bytes) {
                Ok(taken) => {
                    moved = true;
                    self.pending -= taken as u64;
                    self.outcome.borrow_mut().sent += taken as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return moved,
                Err(error) => {
                    self.outcome.borrow_mut().error = Some(error.kind());
                    return true;
                }
            }
        }
    }
}

/// The error of a flow, as sockets report it.
#[must_use]
pub fn kind_of(error: FlowError) -> ErrorKind {
    std::io::Error::from(error).kind()
}

/// The size of the next write or message: most often anything, sometimes tiny or the largest.
fn piece(dice: &mut Dice, bytes_max: u64, left: u64) -> u64 {
    let size = match dice.range(0, 9) {
        0 => dice.range(1, 8),
        1 => bytes_max,
        _ => dice.range(1, bytes_max),
    };
    size.min(bytes_max).min(left)
}

/// How long a lazy reader waits between reads.
const LAZY_PAUSE: Duration = Duration::from_millis(3);
