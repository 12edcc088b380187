//! A network address translator on the left host's way. It is not seen at first; each time that it forgets, what the left host
//! sends comes from another port, and what is sent to the port before finds nobody. To the new port goes little before the
//! left host has answered from there.

use burstlane::time::{Duration, Instant};
use burstlane_sim::{Damage, Delivery, Fate};

use crate::anatomy::{Anatomy, anatomy, repair_checksums};
use crate::scenario::{Fault, Side};

/// The translator of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Rebinding {
    /// When it forgets, ascending.
    at: Vec<Instant>,
    /// How often it has.
    times: usize,
    /// What came from the new port: when, how many bytes.
    heard: Vec<(Instant, u64)>,
    sent_bytes: u64,
    /// When the left host has heard from the right one through the new port; when the right one has its answer.
    asked_at: Option<Instant>,
    proven_at: Option<Instant>,
}

/// A packet as it leaves the translator.
pub(super) struct Translated {
    /// When it arrives, each time that it does.
    pub(super) arrivals: Vec<Instant>,
    /// With the other port.
    pub(super) bytes: Vec<u8>,
    /// It is more than may go to a port that has not answered: how many bytes went, and how many may.
    pub(super) excess: Option<(u64, u64)>,
}

impl Rebinding {
    pub(super) fn of(faults: &[Fault]) -> Self {
        let at_ms =
            faults.iter().filter_map(|fault| if let Fault::Rebind { at_ms } = fault { Some(*at_ms) } else { None });
        let mut at: Vec<_> = at_ms.map(|ms| Instant::ZERO + Duration::from_millis(ms.into())).collect();
        at.sort_unstable();
        Self { at, ..Self::default() }
    }

    /// Whether `port` is the one that the right host knows the left host's `inside` port by, now or before.
    pub(super) fn may_be(&self, inside: u16, port: u16) -> bool {
        (0..=self.at.len()).any(|times| outside(inside, times) == port)
    }

    /// Forgets, if it is time. True if it did.
    pub(super) fn forgets(&mut self, now: Instant) -> bool {
        let times = self.at.partition_point(|at| *at <= now);
        if times == self.times {
            return false;
        }
        *self = Self { times, at: std::mem::take(&mut self.at), ..Self::default() };
        true
    }

    /// What becomes of a packet that meets this fate; `None` if the translator does nothing to it.
    pub(super) fn translate(&mut self, from: Side, now: Instant, frame: &[u8], fate: &Fate) -> Option<Translated> {
        let Anatomy { transport, protocol: 6 | 17, is_fragment: false, .. } = anatomy(frame)? else { return None };
        let (ports, payload) = (frame.get(transport.clone())?.first_chunk::<4>()?, transport.len().saturating_sub(8));
        if self.times == 0 {
            return None;
        }
        let [source, destination] = [[ports[0], ports[1]], [ports[2], ports[3]]].map(u16::from_be_bytes);
        let mut arrivals = arrivals(now, fate);
        let (at, port) = match from {
            Side::Left => (transport.start, outside(source, self.times)),
            Side::Right => (transport.start + 2, inside(destination, self.times)),
        };
        let mut excess = None;
        match from {
            Side::Left => self.on_left(now, &arrivals, payload as u64),
            Side::Right if port < FIRST_PORT => arrivals.clear(), // nobody is there any more
            Side::Right => excess = self.on_right(now, &arrivals, payload as u64),
        }
        let mut bytes = frame.to_vec();
        bytes[at..at + 2].copy_from_slice(&port.to_be_bytes());
        repair_checksums(&mut bytes);
        Some(Translated { arrivals, bytes, excess })
    }

    fn on_left(&mut self, now: Instant, arrivals: &[Instant], bytes: u64) {
        self.heard.extend(arrivals.iter().map(|at| (*at, bytes)));
        if self.asked_at.is_some_and(|asked| asked <= now) {
            self.proven_at = arrivals.first().copied().into_iter().chain(self.proven_at).min();
        }
    }

    fn on_right(&mut self, now: Instant, arrivals: &[Instant], bytes: u64) -> Option<(u64, u64)> {
        self.asked_at = arrivals.first().copied().into_iter().chain(self.asked_at).min();
        if self.proven_at.is_some_and(|proven| proven <= now) {
            return None;
        }
        self.sent_bytes += bytes;
        let heard: u64 = self.heard.iter().filter(|(at, _)| *at <= now).map(|(_, bytes)| bytes).sum();
        (self.sent_bytes > 3 * heard).then_some((self.sent_bytes, 3 * heard))
    }
}

/// When a packet arrives undamaged: what a translator cannot read it drops.
fn arrivals(now: Instant, fate: &Fate) -> Vec<Instant> {
    let Fate::Arrives(deliveries) = fate else { return Vec::new() };
    let sound = deliveries.iter().filter(|Delivery { damage, .. }| *damage == Damage::None);
    sound.map(|delivery| now + delivery.delay).collect()
}

fn outside(port: u16, times: usize) -> u16 {
    port.wrapping_add(SHIFT.wrapping_mul(times as u16))
}

fn inside(port: u16, times: usize) -> u16 {
    port.wrapping_sub(SHIFT.wrapping_mul(times as u16))
}

/// From one of the translator's ports to the next.
const SHIFT: u16 = 1_000;
/// The left host's ports begin here: what is translated to less was for a port that is forgotten.
const FIRST_PORT: u16 = super::run::CLIENT_PORT;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::udp4_frame;
    use burstlane_sim::Fate;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn fate() -> Fate {
        Fate::after(Duration::from_millis(5))
    }

    #[test]
    fn both_ways_it_is_the_same_packet_under_another_port() {
        let mut nat = Rebinding::of(&[Fault::Rebind { at_ms: 30 }, Fault::Rebind { at_ms: 10 }]);
        let out = udp4_frame(1, 2, [FIRST_PORT, 80], b"out");
        assert!(!nat.forgets(at(9)) && nat.translate(Side::Left, at(9), &out, &fate()).is_none());
        for (times, ms) in [(1, 10), (2, 30)] {
            assert!(nat.forgets(at(ms)) && !nat.forgets(at(ms + 1)));
            let port = FIRST_PORT + SHIFT * times;
            let there = nat.translate(Side::Left, at(ms), &out, &fate()).unwrap();
            assert_eq!(there.bytes, udp4_frame(1, 2, [port, 80], b"out"), "its checksum, too");
            assert_eq!(there.arrivals, [at(ms + 5)]);
            let back = nat.translate(Side::Right, at(ms + 5), &udp4_frame(2, 1, [80, port], b"back"), &fate()).unwrap();
            assert_eq!((back.bytes, back.excess), (udp4_frame(2, 1, [80, FIRST_PORT], b"back"), None));
            let late = udp4_frame(2, 1, [80, port - SHIFT], b"late");
            assert_eq!(nat.translate(Side::Right, at(ms + 5), &late, &fate()).unwrap().arrivals, [], "forgotten");
            assert!(nat.may_be(FIRST_PORT, port) && !nat.may_be(FIRST_PORT, port + 1));
        }
    }

    /// So many bytes from a side, behind the translator that forgot once.
    fn send(nat: &mut Rebinding, from: Side, ms: u64, bytes: usize) -> Option<(u64, u64)> {
        let frame = match from {
            Side::Left => udp4_frame(1, 2, [FIRST_PORT, 80], &vec![0; bytes]),
            Side::Right => udp4_frame(2, 1, [80, FIRST_PORT + SHIFT], &vec![0; bytes]),
        };
        nat.translate(from, at(ms), &frame, &fate()).unwrap().excess
    }

    #[test]
    fn three_times_as_much_goes_back_until_there_is_an_answer() {
        let mut nat = Rebinding::of(&[Fault::Rebind { at_ms: 0 }]);
        assert!(nat.forgets(at(0)));
        send(&mut nat, Side::Left, 0, 10);
        let back: Vec<_> = [(5, 20), (6, 10), (7, 1)].map(|(ms, bytes)| send(&mut nat, Side::Right, ms, bytes)).into();
        assert_eq!(back, [None, None, Some((31, 30))]);
        send(&mut nat, Side::Left, 9, 0); // before it can have heard: no answer
        send(&mut nat, Side::Left, 10, 0);
        assert_eq!(send(&mut nat, Side::Right, 14, 100), Some((131, 30)));
        assert_eq!(send(&mut nat, Side::Right, 15, 100), None);
    }
}
