//! What a link does to the frames of a connection: a list of misfortunes by frame number, after which it is a perfect link.
//! The list is what shrinks.

use std::time::Duration;

use burstlane::time::Instant;
use burstlane_sim::{Damage, Deliveries, Delivery, Fate, LinkModel, Passing};
use burstlane_spec::link::is_neighbour_traffic;
use proptest::collection::btree_map;
use proptest::prelude::*;

/// What happens to one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It vanishes.
    Drop,
    /// It arrives as often more.
    Duplicate(u8),
    /// It takes so much longer, and others overtake it.
    DelayMs(u16),
    /// This bit is flipped.
    FlipBit(u32),
    /// Only so many bytes arrive.
    Truncate(u16),
}

impl Fault {
    /// Whether its frame does not arrive as it was.
    pub(crate) const fn is_loss(self) -> bool {
        matches!(self, Self::Drop | Self::FlipBit(_) | Self::Truncate(_))
    }
}

/// The misfortunes of one direction, by the number of the frame, questions for neighbours not counted.
pub(crate) type Schedule = std::collections::BTreeMap<u16, Fault>;

/// Up to `FAULTS_MAX` of them.
pub(crate) fn schedule() -> impl Strategy<Value = Schedule> {
    let fault = prop_oneof![
        4 => Just(Fault::Drop),
        2 => (1..=3_u8).prop_map(Fault::Duplicate),
        3 => (1..=2500_u16).prop_map(Fault::DelayMs),
        1 => any::<u16>().prop_map(|bit| Fault::FlipBit(bit.into())),
        1 => (0..=100_u16).prop_map(Fault::Truncate),
    ];
    // Most connections are short: the first frames are where the handshake, and often the end, is.
    let number = prop_oneof![0..12_u16, 0..80_u16];
    prop_oneof![1 => Just(Schedule::new()), 4 => btree_map(number, fault, 0..=FAULTS_MAX)]
}

/// A link in one direction with a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Scheduled {
    schedule: Schedule,
    delay: Duration,
    next: u16,
}

impl Scheduled {
    /// A link of this delay.
    pub(crate) fn boxed(schedule: &Schedule, delay: Duration) -> Box<dyn LinkModel> {
        Box::new(Self { schedule: schedule.clone(), delay, next: 0 })
    }
}

impl LinkModel for Scheduled {
    fn transit(&mut self, _: Instant, frame: &Passing<'_>) -> Fate {
        if is_neighbour_traffic(frame.bytes) {
            return Fate::after(self.delay);
        }
        let fault = self.schedule.get(&self.next).copied();
        self.next = self.next.saturating_add(1);
        let arrival = |delay, damage| Delivery { delay, damage };
        let plain = arrival(self.delay, Damage::None);
        let one = |delivery| Fate::Arrives(Deliveries::from_iter([delivery]));
        match fault {
            None => one(plain),
            Some(Fault::Drop) => Fate::Lost,
            Some(Fault::Duplicate(more)) => Fate::Arrives((0..=more).map(|_| plain).collect()),
            Some(Fault::DelayMs(ms)) => one(arrival(self.delay + Duration::from_millis(ms.into()), Damage::None)),
            Some(Fault::FlipBit(bit)) => one(arrival(self.delay, Damage::FlipBit(bit))),
            Some(Fault::Truncate(bytes)) => one(arrival(self.delay, Damage::Truncate(bytes.into()))),
        }
    }
}

/// More would not find more, and let patience run out where nothing is wrong: a connection gives up after 15 timeouts.
const FAULTS_MAX: usize = 12;
