//! The network: a virtual clock, and queues of frames under way, each direction of each link its own.
//!
//! A queue holds frames that are in a pool, so the pools bound it. It is sorted by time of arrival, and frames of one
//! instant keep the order of sending; nearly every frame arrives behind all others, so sorting is nearly always free.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;

use burstlane::frame::{Frame, FramePool};
use burstlane::time::Instant;

use crate::crossing::{apply, cross, packet_bytes};
use crate::driver::{EndConfig, SimDriver};
use crate::ecn;
use crate::model::{Damage, Fate, LinkModel, Passing};

/// A clock and the links that live by it. Cloning clones the handle.
#[derive(Clone, Default)]
pub struct Network(Rc<Inner>);

#[derive(Default)]
struct Inner {
    now: Cell<Instant>,
    directions: RefCell<Vec<Rc<RefCell<Direction>>>>,
    arrivals: Rc<Arrivals>,
    alarms: RefCell<BinaryHeap<Reverse<Instant>>>,
    wakes_all: Cell<bool>,
}

/// When directions, named by their numbers, have their next arrival. What a direction does not stand by any more is
/// passed over.
type Arrivals = RefCell<BinaryHeap<Reverse<(Instant, usize)>>>;

impl Network {
    /// A network without links, at [`Instant::ZERO`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lays a link between two ends: `there` decides over frames from the first to the second, `back` over the others.
    #[must_use]
    pub fn link(
        &self,
        a: EndConfig,
        b: EndConfig,
        there: Box<dyn LinkModel>,
        back: Box<dyn LinkModel>,
    ) -> (SimDriver, SimDriver) {
        let (a_pools, b_pools) = (Pools::new(&a), Pools::new(&b));
        let there = self.lay(there, &b_pools);
        let back = self.lay(back, &a_pools);
        let left = SimDriver::new(self.clone(), a, a_pools, there.clone(), back.clone());
        let right = SimDriver::new(self.clone(), b, b_pools, back, there);
        (left, right)
    }

    fn lay(&self, model: Box<dyn LinkModel>, receiver: &Pools) -> Rc<RefCell<Direction>> {
        let mut directions = self.0.directions.borrow_mut();
        let direction = Direction::new(model, receiver.clone(), directions.len(), self.0.arrivals.clone());
        let direction = Rc::new(RefCell::new(direction));
        directions.push(direction.clone());
        direction
    }

    /// The virtual time.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Moves the clock forward to `to`. It never goes back.
    pub fn advance(&self, to: Instant) {
        self.0.now.set(self.now().max(to));
        self.forget_past_alarms();
    }

    /// When the next frame arrives that has not arrived yet, or a simulated device wants to be called again. `None`
    /// when nothing is under way. Frames that are due already, and were not fetched, do not count.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.forget_past_alarms();
        let alarm = self.0.alarms.borrow().peek().map(|at| at.0);
        self.next_frame().into_iter().chain(alarm).min()
    }

    fn next_frame(&self) -> Option<Instant> {
        let (now, directions) = (self.now(), self.0.directions.borrow());
        loop {
            let Reverse((at, number)) = *self.0.arrivals.borrow().peek()?;
            let mut direction = directions.get(number)?.borrow_mut();
            if direction.announced_at == at && at > now {
                return Some(at);
            }
            self.0.arrivals.borrow_mut().pop();
            if direction.announced_at == at {
                direction.announced_at = Instant::NEVER;
                let next = direction.next_arrival(now);
                next.into_iter().for_each(|at| direction.announce(at));
            }
        }
    }

    /// Frames under way, or arrived and not fetched, on all links.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.directions.borrow().iter().map(|d| d.borrow().in_flight()).sum()
    }

    /// Asks that the clock stops at `at` on its way: [`next_arrival`](Self::next_arrival) counts it.
    pub fn alarm(&self, at: Instant) {
        self.forget_past_alarms();
        if at > self.now() {
            self.0.alarms.borrow_mut().push(Reverse(at));
        }
    }

    /// Asks for a turn of every node at the present instant, whether or not it is due: something happened beside the wires.
    /// Alarms do it when they go off.
    pub fn wake_all(&self) {
        self.0.wakes_all.set(true);
    }

    /// Whether somebody asked for it since the last time.
    pub(crate) fn takes_all(&self) -> bool {
        self.0.wakes_all.take()
    }

    fn forget_past_alarms(&self) {
        let (now, mut alarms) = (self.now(), self.0.alarms.borrow_mut());
        while alarms.peek().is_some_and(|at| at.0 <= now) {
            alarms.pop();
            self.wake_all();
        }
    }
}

/// What happened in one direction of a link. Every frame sent or made by duplication is delivered, counted as one of the
/// drops, or still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Frames that the sender handed over.
    pub sent: u64,
    /// Frames that the receiver fetched.
    pub delivered: u64,
    /// Bytes of those.
    pub delivered_bytes: u64,
    /// Dropped: lost by the model.
    pub lost: u64,
    /// Dropped: the link's queue was full.
    pub queue_drops: u64,
    /// Dropped: the queue's discipline chose it.
    pub discipline_drops: u64,
    /// Dropped: larger than the link carries.
    pub too_big: u64,
    /// Dropped: the receiving end no longer exists.
    pub unclaimed: u64,
    /// Dropped: the receiving end was down, or its ring was full.
    pub missed: u64,
    /// Extra frames that duplication made.
    pub duplicated: u64,
    /// Frames that a test put there.
    pub injected: u64,
    /// Duplicates that were not made, because the receiver's pool was dry.
    pub not_duplicated: u64,
    /// Frames that were put before one sent earlier.
    pub reordered: u64,
    /// Frames whose bytes were damaged.
    pub corrupted: u64,
    /// Frames that a queue marked (ECN).
    pub marked: u64,
    /// Frames copied to the receiver's memory because the sender's ran low.
    pub copied: u64,
}

/// The packet memory of one end.
#[derive(Clone)]
pub(crate) struct Pools {
    pub(crate) normal: FramePool,
    pub(crate) large: Option<FramePool>,
}

impl Pools {
    pub(crate) fn new(config: &EndConfig) -> Self {
        Self { normal: FramePool::new(config.pool), large: config.large_pool.map(FramePool::new) }
    }

    pub(crate) fn is_low(&self) -> bool {
        self.normal.is_low() || self.large.as_ref().is_some_and(FramePool::is_low)
    }

    /// A frame of these bytes in this memory; `None` if no slot is free that holds it.
    fn frame_of(&self, bytes: &[u8]) -> Option<Frame> {
        let fits = |pool: &&FramePool| pool.frame_bytes_max() >= bytes.len();
        let pool = Some(&self.normal).filter(fits).or(self.large.as_ref().filter(fits))?;
        let mut frame = pool.alloc()?;
        frame.extend_from_slice(bytes).then_some(frame)
    }

    /// A copy of `frame` in this memory; `None` if no slot is free that holds it.
    pub(crate) fn copy_of(&self, frame: &Frame) -> Option<Frame> {
        let mut copy = self.frame_of(frame.bytes())?;
        copy.meta = frame.meta;
        if let Some((start, field)) = frame.partial_checksum() {
            // The place is kept relative to the slot, and this is another slot.
            copy.set_partial_checksum(start, field);
        }
        Some(copy)
    }
}

/// One direction of one link.
pub(crate) struct Direction {
    pub(crate) model: Box<dyn LinkModel>,
    ideal_frame_bytes_max: Option<usize>,
    /// Frames in the model's own queue, each with its number.
    waiting: VecDeque<(u64, Frame)>,
    /// Frames under way by time of arrival.
    queue: VecDeque<(Instant, Frame)>,
    /// Frames that arrived at once, at `ready_at`, while the queue was empty: an ideal link moves whole bursts.
    ready: Vec<Frame>,
    ready_at: Instant,
    receiver: Pools,
    is_claimed: bool,
    number: usize,
    arrivals: Rc<Arrivals>,
    /// The earliest arrival that `arrivals` knows of; never, if none.
    announced_at: Instant,
    /// When the first frame that was not fetched arrives, or its fate is decided; never, if there is none.
    first_at: Rc<Cell<Instant>>,
    pub(crate) stats: LinkStats,
}

impl Direction {
    fn new(model: Box<dyn LinkModel>, receiver: Pools, number: usize, arrivals: Rc<Arrivals>) -> Self {
        let ideal_frame_bytes_max = model.ideal_frame_bytes_max();
        Self {
            model,
            ideal_frame_bytes_max,
            waiting: VecDeque::new(),
            queue: VecDeque::new(),
            ready: Vec::new(),
            ready_at: Instant::ZERO,
            receiver,
            is_claimed: true,
            number,
            arrivals,
            announced_at: Instant::NEVER,
            first_at: Rc::new(Cell::new(Instant::NEVER)),
            stats: LinkStats::default(),
        }
    }

    /// Another model from now on. What the old one has keeps its fate, which no later frame changes.
    pub(crate) fn set_model(&mut self, model: Box<dyn LinkModel>) {
        self.release(Instant::NEVER);
        self.ideal_frame_bytes_max = model.ideal_frame_bytes_max();
        self.model = model;
    }

    /// The receiving end is gone: nothing arrives any more.
    pub(crate) fn abandon(&mut self) {
        self.stats.unclaimed += self.in_flight() as u64;
        self.waiting.clear();
        self.queue.clear();
        self.ready.clear();
        self.announced_at = Instant::NEVER;
        self.first_at.set(Instant::NEVER);
        self.is_claimed = false;
    }

    fn in_flight(&self) -> usize {
        self.waiting.len() + self.queue.len() + self.ready.len()
    }

    fn next_arrival(&mut self, now: Instant) -> Option<Instant> {
        self.release(now);
        let arrival = match self.queue.front() {
            Some((at, _)) if *at <= now => {
                let due = self.queue.partition_point(|(at, _)| *at <= now);
                self.queue.get(due).map(|(at, _)| *at)
            }
            first => first.map(|(at, _)| *at),
        };
        // Nothing arrives then, but what does is known only then.
        let release = if self.waiting.is_empty() { None } else { self.model.next_release() };
        arrival.into_iter().chain(release).min()
    }

    /// [`first_at`](Self::first_at), for who looks at it again and again.
    pub(crate) fn first_arrival(&self) -> Rc<Cell<Instant>> {
        self.first_at.clone()
    }

    /// Finds the first frame again, after some were taken away.
    fn find_first(&self) {
        let ready = (!self.ready.is_empty()).then_some(self.ready_at);
        let queued = self.queue.front().map(|(at, _)| *at);
        let waiting = if self.waiting.is_empty() { None } else { self.model.next_release() };
        let first = ready.into_iter().chain(queued).chain(waiting).min();
        self.first_at.set(first.unwrap_or(Instant::NEVER));
    }

    /// Lets the model decide over those of its frames whose time in its queue is over at `now`.
    fn release(&mut self, now: Instant) {
        while let Some(at) = self.model.next_release().filter(|at| *at <= now && !self.waiting.is_empty()) {
            let Some((index, frame)) = self.waiting.pop_front() else { return };
            let packet_bytes = packet_bytes(&frame);
            let fate = self.model.release(at, &Passing { index, bytes: frame.bytes(), packet_bytes });
            self.meet(fate, at, index, frame);
        }
    }

    /// Takes the first `count` frames onto the wire. `copy` says that the sender's memory runs low.
    #[inline]
    pub(crate) fn send(&mut self, now: Instant, frames: &mut Vec<Frame>, count: usize, copy: bool) {
        let largest = frames.iter_mut().take(count).map(cross).max().unwrap_or(0);
        let is_plain = self.is_claimed && !copy && self.ideal_frame_bytes_max.is_some_and(|max| largest <= max);
        if is_plain && self.queue.is_empty() && (self.ready.is_empty() || self.ready_at == now) {
            self.stats.sent += count as u64;
            self.ready_at = now;
            if count > 0 {
                self.first_at.set(now);
            }
            if count == frames.len() {
                self.ready.append(frames);
            } else {
                self.ready.extend(frames.drain(..count));
            }
            return;
        }
        self.line_up();
        for mut frame in frames.drain(..count) {
            self.stats.sent += 1;
            if copy {
                frame = self.copied(frame);
            }
            self.transit(now, frame);
        }
        if !self.waiting.is_empty() {
            self.release(now);
            self.model.next_release().into_iter().for_each(|at| self.announce(at));
            self.find_first();
        }
    }

    /// Tells that something arrives at `at`, if nothing was told to arrive earlier.
    #[inline]
    fn announce(&mut self, at: Instant) {
        if at < self.announced_at {
            self.announced_at = at;
            self.arrivals.borrow_mut().push(Reverse((at, self.number)));
        }
    }

    /// A frame from nowhere, in the receiver's memory.
    pub(crate) fn inject(&mut self, at: Instant, bytes: &[u8]) -> bool {
        if !self.is_claimed {
            return false;
        }
        let Some(frame) = self.receiver.frame_of(bytes) else { return false };
        self.stats.injected += 1;
        self.line_up();
        self.enqueue(at, frame);
        true
    }

    /// Moves up to `frames_max` frames that are due into `frames`.
    #[inline]
    pub(crate) fn receive(&mut self, now: Instant, frames: &mut Vec<Frame>, frames_max: usize) {
        if !self.waiting.is_empty() {
            self.release(now);
        }
        if self.ready.len() <= frames_max && self.queue.is_empty() {
            self.stats.delivered += self.ready.len() as u64;
            self.stats.delivered_bytes += self.ready.iter().map(|frame| frame.len() as u64).sum::<u64>();
            frames.append(&mut self.ready);
            self.find_first();
            return;
        }
        self.line_up();
        for _ in 0..frames_max {
            let Some((_, frame)) = self.queue.pop_front_if(|(at, _)| *at <= now) else { break };
            self.stats.delivered += 1;
            self.stats.delivered_bytes += frame.len() as u64;
            frames.push(frame);
        }
        self.find_first();
    }

    /// Loses those frames that are due at `until`, but for the first `ring_frames`.
    #[inline]
    pub(crate) fn lose_due(&mut self, until: Instant, ring_frames: usize) {
        if self.in_flight() <= ring_frames {
            return;
        }
        self.release(until);
        self.line_up();
        let due = self.queue.partition_point(|(at, _)| *at <= until);
        if due > ring_frames {
            self.stats.missed += (due - ring_frames) as u64;
            self.queue.drain(ring_frames..due);
            self.find_first();
        }
    }

    /// Puts what is ready where the rest is. Each frame goes this way at most once.
    fn line_up(&mut self) {
        let ready_at = self.ready_at;
        self.queue.extend(self.ready.drain(..).map(|frame| (ready_at, frame)));
    }

    fn transit(&mut self, now: Instant, frame: Frame) {
        if !self.is_claimed {
            self.stats.unclaimed += 1;
            return;
        }
        let (index, packet_bytes) = (self.stats.sent - 1, packet_bytes(&frame));
        let fate = self.model.transit(now, &Passing { index, bytes: frame.bytes(), packet_bytes });
        self.meet(fate, now, index, frame);
    }

    /// A frame meets its fate, decided at `now`.
    fn meet(&mut self, fate: Fate, now: Instant, index: u64, frame: Frame) {
        match fate {
            Fate::Waits => self.waiting.push_back((index, frame)),
            Fate::Lost => self.stats.lost += 1,
            Fate::Dropped => self.stats.discipline_drops += 1,
            Fate::QueueFull => self.stats.queue_drops += 1,
            Fate::TooBig => self.stats.too_big += 1,
            Fate::Arrives(deliveries) => {
                let Some((first, more)) = deliveries.split_first() else {
                    self.stats.lost += 1;
                    return;
                };
                if more.is_empty() {
                    self.arrive(now + first.delay, frame, first.damage);
                    return;
                }
                // Copies are made before the original is damaged, and stand behind it.
                let copies: arrayvec::ArrayVec<Option<Frame>, 4> =
                    more.iter().map(|_| self.receiver.copy_of(&frame)).collect();
                self.arrive(now + first.delay, frame, first.damage);
                for (delivery, copy) in more.iter().zip(copies) {
                    match copy {
                        Some(copy) => {
                            self.stats.duplicated += 1;
                            self.arrive(now + delivery.delay, copy, delivery.damage);
                        }
                        None => self.stats.not_duplicated += 1,
                    }
                }
            }
        }
    }

    fn arrive(&mut self, at: Instant, mut frame: Frame, damage: Damage) {
        match damage {
            Damage::None => {}
            Damage::MarkCongestion => self.stats.marked += u64::from(ecn::mark(frame.bytes_mut())),
            Damage::FlipBit(_) | Damage::Truncate(_) => {
                self.stats.corrupted += 1;
                apply(damage, &mut frame);
            }
        }
        self.enqueue(at, frame);
    }

    #[inline]
    fn enqueue(&mut self, at: Instant, frame: Frame) {
        self.announce(at);
        self.first_at.set(self.first_at.get().min(at));
        match self.queue.back() {
            Some((last, _)) if *last > at => {
                self.stats.reordered += 1;
                let place = self.queue.partition_point(|(other, _)| *other <= at);
                self.queue.insert(place, (at, frame));
            }
            _ => self.queue.push_back((at, frame)),
        }
    }

    /// The frame in the receiver's memory, if there is room: the sender needs its own.
    fn copied(&mut self, frame: Frame) -> Frame {
        if self.receiver.is_low() {
            return frame;
        }
        match self.receiver.copy_of(&frame) {
            Some(copy) => {
                self.stats.copied += 1;
                copy
            }
            None => frame,
        }
    }
}
