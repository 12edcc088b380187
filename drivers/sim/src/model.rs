//! What can happen to a frame on its way, and the trait that decides it.

use std::time::Duration;

use arrayvec::ArrayVec;
use burstlane::time::Instant;
use dyn_clone::DynClone;

/// One direction of a link: decides the fate of each frame that is offered to it. Fault schedules and queue
/// disciplines plug in here; any `FnMut(Instant, &Passing) -> Fate` that can be cloned is one.
///
/// The same calls must give the same answers: a model that wants chance brings a seeded generator.
pub trait LinkModel: DynClone {
    /// The fate of the frame that is offered at `now`. Called in the order of sending; `now` never goes back.
    fn transit(&mut self, now: Instant, frame: &Passing<'_>) -> Fate;

    /// When the first of the frames that [wait](Fate::Waits) leaves the model's queue, as far as it is known now. Frames that
    /// come later do not change it.
    fn next_release(&self) -> Option<Instant> {
        None
    }

    /// The fate of the first frame that waits, which leaves the queue at `at`, the time that
    /// [`next_release`](Self::next_release) told. Delays count from `at`.
    fn release(&mut self, at: Instant, frame: &Passing<'_>) -> Fate {
        let _ = (at, frame);
        Fate::Lost
    }

    /// `Some(n)` declares that every frame of up to `n` wire bytes arrives at once and intact, and that larger ones are
    /// [`Fate::TooBig`], now and for ever. The wire then saves itself the questions.
    fn ideal_frame_bytes_max(&self) -> Option<usize> {
        None
    }
}

dyn_clone::clone_trait_object!(LinkModel);

impl<F> LinkModel for F
where
    F: FnMut(Instant, &Passing<'_>) -> Fate + Clone,
{
    fn transit(&mut self, now: Instant, frame: &Passing<'_>) -> Fate {
        self(now, frame)
    }
}

/// A frame in front of a link.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// Its number: frames that this direction was offered before it.
    pub index: u64,
    /// Its bytes, Ethernet header first. All of them cross, also those of a frame that a device would cut.
    pub bytes: &'a [u8],
    /// Bytes of the largest packet that it is on a wire: its length, or one segment with its headers.
    pub packet_bytes: usize,
}

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, once for each delivery. No delivery at all is a loss.
    Arrives(Deliveries),
    /// It vanishes.
    Lost,
    /// A queue on the way had no room.
    QueueFull,
    /// A queue on the way dropped it by its discipline.
    Dropped,
    /// It stands in a queue of the model, behind those that stand there already, and its fate is asked for again when it
    /// leaves: [`LinkModel::release`], whose answer is another one.
    Waits,
    /// It is larger than the link carries.
    TooBig,
}

impl Fate {
    /// It arrives intact after `delay`.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self::Arrives(Deliveries::from_iter([Delivery { delay, damage: Damage::None }]))
    }
}

/// The arrivals of one frame: a duplicating link has more than one, and at most four.
pub type Deliveries = ArrayVec<Delivery, 4>;

/// One arrival of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// From the offering to the arrival.
    pub delay: Duration,
    /// What the way did to the bytes.
    pub damage: Damage,
}

/// What the way does to a frame's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
    /// This bit is flipped, counted from the first bit of the frame, modulo its length.
    FlipBit(u32),
    /// Only this many bytes arrive.
    Truncate(u32),
    /// A router says that it is congested: the packet carries CE (RFC 3168) if its sender knows that, and nothing happens to
    /// it otherwise. That is no damage to a checksum, and not counted as corruption.
    MarkCongestion,
}

/// The link without properties: everything of up to `mtu` bytes arrives at once.
#[derive(Clone, Copy, Debug)]
pub struct Ideal {
    /// Largest IP packet, bytes.
    pub mtu: u32,
}

impl Default for Ideal {
    fn default() -> Self {
        Self { mtu: 65_535 }
    }
}

impl LinkModel for Ideal {
    fn transit(&mut self, _now: Instant, frame: &Passing<'_>) -> Fate {
        if frame.packet_bytes > frame_bytes_max(self.mtu) { Fate::TooBig } else { Fate::after(Duration::ZERO) }
    }

    fn ideal_frame_bytes_max(&self) -> Option<usize> {
        Some(frame_bytes_max(self.mtu))
    }
}

/// Frame bytes that a link of this MTU carries: the packet, an Ethernet header and one VLAN tag.
pub(crate) fn frame_bytes_max(mtu: u32) -> usize {
    mtu as usize + 18
}
