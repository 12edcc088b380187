//! Who stands behind an address on a link: the neighbour cache of ARP (RFC 826) and of IPv6 (RFC 4861 7.3), one for both.
//! It holds states and timers and asks for solicitations; packets are built in `arp` and `ndp`.
//!
//! ```text
//!            asked for                 answered                30 s, then used
//!   (none) ------------> INCOMPLETE ------------> REACHABLE ------------------> PROBE
//!                            | 3 x 1 s                ^  answered                 | 3 x 1 s
//!                            v                        +---------------------------+
//!                          FAILED <-----------------------------------------------+
//! ```
//!
//! A neighbour in PROBE is still sent to. RFC 4861's STALE is REACHABLE whose time is over, its DELAY is left out: the
//! first packet to a stale neighbour asks at once, by unicast.

use std::hash::Hasher;

use arrayvec::ArrayVec;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::lru::LruList;
use crate::addr::{Ip, Mac};
use crate::frame::Frame;
use crate::time::{Duration, Instant};

/// Names a neighbour. Stale names are recognised and answer as if the neighbour had gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeighbourId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// What became of a neighbour that packets waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourChange {
    /// Its address is known: what waits for it may be sent.
    Resolved(NeighbourId),
    /// It did not answer. Sending to it asks again.
    Failed(NeighbourId),
}

/// A question to put on a link: who has `target`?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Solicit {
    pub(crate) netif: u16,
    pub(crate) target: Ip,
    /// The neighbour's last known address, to ask it alone; `None` asks everybody.
    pub(crate) unicast: Option<Mac>,
}

/// Bounds and timers of the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeighbourLimits {
    pub(crate) entries_max: usize,
    pub(crate) retransmit: Duration,
    pub(crate) reachable: Duration,
}

pub(crate) struct Neighbours {
    limits: NeighbourLimits,
    entries: Vec<Entry>,
    by_address: HashTable<u32>,
    keys: (u64, u64),
    /// Those that no flow's path holds.
    idle: LruList,
    changes: Vec<NeighbourChange>,
    /// No entry's deadline is earlier.
    next_deadline: Instant,
    /// Counts what makes an address that was given out before its time wrong.
    epoch: u32,
}

struct Entry {
    ip: Ip,
    netif: u16,
    mac: Mac,
    state: State,
    /// When the state's timer fires; of `Reachable`, which has none, when it is stale.
    deadline: Instant,
    generation: u32,
    holds: u32,
    parked: ArrayVec<Frame, PARKED_MAX>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Incomplete { sent: u8 },
    Reachable,
    Probe { sent: u8 },
    Failed,
}

impl Neighbours {
    pub(crate) fn new(limits: NeighbourLimits, keys: (u64, u64)) -> Self {
        Self {
            limits,
            entries: Vec::new(),
            by_address: HashTable::new(),
            keys,
            idle: LruList::default(),
            changes: Vec::new(),
            next_deadline: Instant::NEVER,
            epoch: 0,
        }
    }

    /// The neighbour `ip` on `netif`, made if it is new. `None` when the table is full of neighbours in use.
    pub(crate) fn intern(&mut self, netif: u16, ip: Ip) -> Option<NeighbourId> {
        if let Some(id) = self.find(netif, ip) {
            return Some(id);
        }
        let index =
            if self.entries.len() < self.limits.entries_max { self.entries.len() as u32 } else { self.evict()? };
        let generation = self.entries.get(index as usize).map_or(0, |old| old.generation.wrapping_add(1));
        let entry = Entry {
            ip,
            netif,
            mac: Mac::default(),
            state: State::Failed,
            deadline: Instant::ZERO,
            generation,
            holds: 0,
            parked: ArrayVec::new(),
        };
        match self.entries.get_mut(index as usize) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        let (entries, keys) = (&self.entries, self.keys);
        self.by_address.insert_unique(hash(keys, netif, ip), index, |i| {
            entries.get(*i as usize).map_or(0, |e| hash(keys, e.netif, e.ip))
        });
        self.idle.touch(index);
        Some(NeighbourId { index, generation })
    }

    pub(crate) fn find(&self, netif: u16, ip: Ip) -> Option<NeighbourId> {
        let same = |i: &u32| self.entries.get(*i as usize).is_some_and(|e| e.ip == ip && e.netif == netif);
        let index = *self.by_address.find(hash(self.keys, netif, ip), same)?;
        Some(NeighbourId { index, generation: self.entries.get(index as usize)?.generation })
    }

    /// As long as this is the same, what [`fresh_until`](Self::fresh_until) said of an address stands.
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Until when the address of `id` can be used without asking.
    pub(crate) fn fresh_until(&self, id: NeighbourId) -> Instant {
        let fresh = self.get(id).filter(|entry| entry.state == State::Reachable);
        fresh.map_or(Instant::ZERO, |entry| entry.deadline)
    }

    /// Where to send for `id`, if that is known, and the question to ask now, if there is one.
    #[inline]
    pub(crate) fn resolve(&mut self, id: NeighbourId, now: Instant) -> (Option<Mac>, Option<Solicit>) {
        match self.get(id) {
            Some(entry) if entry.state == State::Reachable && now < entry.deadline => (Some(entry.mac), None),
            Some(_) => self.resolve_slowly(id, now),
            None => (None, None),
        }
    }

    #[cold]
    fn resolve_slowly(&mut self, id: NeighbourId, now: Instant) -> (Option<Mac>, Option<Solicit>) {
        let again = now + self.limits.retransmit;
        let Some(entry) = self.get_mut(id) else { return (None, None) };
        let ask = Solicit { netif: entry.netif, target: entry.ip, unicast: None };
        let (mac, solicit) = match entry.state {
            State::Incomplete { .. } => (None, None),
            State::Probe { .. } => (Some(entry.mac), None),
            State::Reachable => {
                entry.state = State::Probe { sent: 1 };
                (Some(entry.mac), Some(Solicit { unicast: Some(entry.mac), ..ask }))
            }
            // A neighbour that does not exist is not asked for more than once an interval, whoever wants it.
            State::Failed => {
                let ask_now = entry.deadline <= now;
                entry.state = State::Incomplete { sent: u8::from(ask_now) };
                (None, ask_now.then_some(ask))
            }
        };
        if solicit.is_some() {
            entry.deadline = again;
        }
        let deadline = entry.deadline;
        if entry.holds == 0 {
            self.idle.touch(id.index);
        }
        self.next_deadline = self.next_deadline.min(deadline);
        (mac, solicit)
    }

    /// Whether packets could be sent to `id` now.
    pub(crate) fn is_resolved(&self, id: NeighbourId) -> bool {
        self.get(id).is_some_and(|e| matches!(e.state, State::Reachable | State::Probe { .. }))
    }

    /// Its address, as far as it is known.
    pub(crate) fn mac(&self, id: NeighbourId) -> Option<Mac> {
        self.get(id).filter(|e| matches!(e.state, State::Reachable | State::Probe { .. })).map(|e| e.mac)
    }

    /// A neighbour's address, heard from itself. `answers` if it answers a question of ours, which proves that it hears
    /// us; otherwise what is learned is stale from the start (RFC 4861 7.2.3). Returns it if it is known here.
    pub(crate) fn learn(&mut self, netif: u16, ip: Ip, mac: Mac, answers: bool, now: Instant) -> Option<NeighbourId> {
        let id = self.find(netif, ip)?;
        let fresh_until = if answers { now + self.limits.reachable } else { now };
        let entry = self.get_mut(id)?;
        let waited = matches!(entry.state, State::Incomplete { .. });
        let unchanged = !answers && !waited && entry.mac == mac && entry.state != State::Failed;
        if !unchanged {
            entry.mac = mac;
            entry.state = State::Reachable;
            entry.deadline = fresh_until;
            self.epoch = self.epoch.wrapping_add(1);
        }
        if waited {
            self.note(NeighbourChange::Resolved(id));
        }
        Some(id)
    }

    /// Nothing gets through by way of `id`: its address is used on, but checked with the next packet (RFC 4861 7.3.1 asks for
    /// advice, RFC 1122 2.3.2.1 (4) takes it).
    pub(crate) fn doubt(&mut self, id: NeighbourId, now: Instant) {
        if let Some(entry) = self.get_mut(id).filter(|entry| entry.state == State::Reachable && entry.deadline > now) {
            entry.deadline = now;
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    /// Keeps a frame until its neighbour answers. Gives back what does not fit.
    pub(crate) fn park(&mut self, id: NeighbourId, frame: Frame) -> Result<(), Frame> {
        match self.get_mut(id) {
            Some(entry) => entry.parked.try_push(frame).map_err(|full| full.element()),
            None => Err(frame),
        }
    }

    /// One frame that waited for `id`, and where to send it.
    pub(crate) fn take_parked(&mut self, id: NeighbourId) -> Option<(Frame, Mac)> {
        let entry = self.get_mut(id)?;
        let mac = entry.mac;
        entry.parked.pop_at(0).map(|frame| (frame, mac))
    }

    /// Flows hold what they use: a held neighbour is not evicted.
    pub(crate) fn hold(&mut self, id: NeighbourId) {
        if let Some(entry) = self.get_mut(id) {
            entry.holds = entry.holds.saturating_add(1);
            self.idle.remove(id.index);
        }
    }

    pub(crate) fn release(&mut self, id: NeighbourId) {
        if let Some(entry) = self.get_mut(id) {
            entry.holds = entry.holds.saturating_sub(1);
            if entry.holds == 0 {
                self.idle.touch(id.index);
            }
        }
    }

    /// Repeats questions and gives up on those asked three times. Returns the number of parked frames that were lost.
    pub(crate) fn on_timers(&mut self, now: Instant, ask: &mut Vec<Solicit>) -> u64 {
        if now < self.next_deadline {
            return 0;
        }
        let mut next = Instant::NEVER;
        let mut lost = 0u64;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let (State::Incomplete { sent } | State::Probe { sent }) = entry.state else { continue };
            if entry.deadline > now {
                next = next.min(entry.deadline);
                continue;
            }
            let id = NeighbourId { index: index as u32, generation: entry.generation };
            entry.deadline = now + self.limits.retransmit;
            if sent >= SOLICITS_MAX {
                lost = lost.saturating_add(entry.parked.len() as u64);
                entry.parked.clear();
                entry.state = State::Failed;
                entry.deadline = now;
                push_change(&mut self.changes, NeighbourChange::Failed(id));
                continue;
            }
            next = next.min(entry.deadline);
            let probing = matches!(entry.state, State::Probe { .. });
            entry.state = if probing { State::Probe { sent: sent + 1 } } else { State::Incomplete { sent: sent + 1 } };
            ask.push(Solicit { netif: entry.netif, target: entry.ip, unicast: probing.then_some(entry.mac) });
        }
        self.next_deadline = next;
        lost
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        (self.next_deadline != Instant::NEVER).then_some(self.next_deadline)
    }

    /// Moves what changed since the last call to `out`.
    pub(crate) fn take_changes(&mut self, out: &mut Vec<NeighbourChange>) {
        out.append(&mut self.changes);
    }

    /// Frames that wait for answers.
    #[cfg(test)]
    pub(crate) fn parked(&self) -> usize {
        self.entries.iter().map(|e| e.parked.len()).sum()
    }

    /// Frees the entry that was idle for longest and returns its place.
    fn evict(&mut self) -> Option<u32> {
        let index = self.idle.oldest()?;
        self.idle.remove(index);
        self.epoch = self.epoch.wrapping_add(1);
        let entry = self.entries.get_mut(index as usize)?;
        entry.parked.clear();
        let id = NeighbourId { index, generation: entry.generation };
        let (netif, ip, waited) = (entry.netif, entry.ip, matches!(entry.state, State::Incomplete { .. }));
        if let Ok(found) = self.by_address.find_entry(hash(self.keys, netif, ip), |i| *i == index) {
            found.remove();
        }
        if waited {
            self.note(NeighbourChange::Failed(id));
        }
        Some(index)
    }

    fn note(&mut self, change: NeighbourChange) {
        push_change(&mut self.changes, change);
    }

    #[inline]
    fn get(&self, id: NeighbourId) -> Option<&Entry> {
        self.entries.get(id.index as usize).filter(|e| e.generation == id.generation)
    }

    fn get_mut(&mut self, id: NeighbourId) -> Option<&mut Entry> {
        self.entries.get_mut(id.index as usize).filter(|e| e.generation == id.generation)
    }
}

/// A lane takes the changes once a turn. One that never does keeps the newest.
fn push_change(changes: &mut Vec<NeighbourChange>, change: NeighbourChange) {
    if changes.len() >= CHANGES_MAX {
        changes.remove(0);
    }
    changes.push(change);
}

fn hash(keys: (u64, u64), netif: u16, ip: Ip) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    hasher.write(&ip.octets());
    hasher.write_u16(netif);
    hasher.finish()
}

/// RFC 4861 10, MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT.
const SOLICITS_MAX: u8 = 3;
/// Frames of our own making (ICMP replies) that wait for one neighbour.
const PARKED_MAX: usize = 4;
/// Changes kept for the lane to take.
const CHANGES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries_max: usize) -> Neighbours {
        let limits =
            NeighbourLimits { entries_max, retransmit: Duration::from_secs(1), reachable: Duration::from_secs(30) };
        Neighbours::new(limits, (1, 2))
    }

    fn ip(last: u8) -> Ip {
        Ip::v4([10, 0, 0, last])
    }

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    #[test]
    fn three_questions_a_second_apart_then_failure_then_anew() {
        let mut c = cache(4);
        let id = c.intern(1, ip(1)).unwrap();
        assert!(matches!(c.resolve(id, at(0)), (None, Some(Solicit { unicast: None, .. }))));
        assert_eq!(c.resolve(id, at(0)), (None, None), "asked already");
        let mut asked = vec![];
        for s in 1..=3 {
            c.on_timers(at(s), &mut asked);
        }
        assert_eq!((asked.len(), c.next_deadline()), (2, None));
        let mut changes = vec![];
        c.take_changes(&mut changes);
        assert_eq!(changes, [NeighbourChange::Failed(id)]);
        assert!(c.resolve(id, at(4)).1.is_some(), "asks again when used again");
        assert_eq!(c.learn(1, ip(1), MAC, true, at(4)), Some(id));
        c.take_changes(&mut changes);
        assert_eq!(changes.last(), Some(&NeighbourChange::Resolved(id)));
        assert_eq!(c.resolve(id, at(33)), (Some(MAC), None));
        assert_eq!(c.resolve(id, at(34)), (Some(MAC), Some(Solicit { netif: 1, target: ip(1), unicast: Some(MAC) })));
        assert!(c.is_resolved(id), "a neighbour under probe is still sent to");
        for s in 35..=37 {
            c.on_timers(at(s), &mut asked);
        }
        assert!(!c.is_resolved(id));
    }

    #[test]
    fn the_oldest_idle_entry_makes_room_and_held_ones_stay() {
        let mut c = cache(2);
        let (a, b) = (c.intern(1, ip(1)).unwrap(), c.intern(1, ip(2)).unwrap());
        c.hold(a);
        let _ = c.resolve(b, at(0));
        let third = c.intern(1, ip(3)).unwrap();
        assert_eq!((c.find(1, ip(2)), c.find(1, ip(1))), (None, Some(a)));
        let mut changes = vec![];
        c.take_changes(&mut changes);
        assert_eq!(changes, [NeighbourChange::Failed(b)], "who waited for the evicted one is told");
        assert_eq!(c.resolve(b, at(0)), (None, None));
        c.hold(third);
        assert_eq!(c.intern(1, ip(4)), None);
        c.release(a);
        assert!(c.intern(1, ip(4)).is_some());
    }

    #[test]
    fn a_doubted_neighbour_is_asked_with_the_next_packet() {
        let mut c = cache(4);
        let id = c.intern(0, ip(1)).unwrap();
        c.resolve(id, at(0));
        c.learn(0, ip(1), Mac([1; 6]), true, at(0));
        let epoch = c.epoch();
        c.doubt(id, at(1));
        assert_ne!(c.epoch(), epoch, "what was given out before is not used unseen");
        let (mac, ask) = c.resolve(id, at(1));
        assert_eq!((mac, ask.and_then(|ask| ask.unicast)), (Some(Mac([1; 6])), Some(Mac([1; 6]))));
        // Once is enough, and an answer ends the doubt.
        c.doubt(id, at(1));
        assert!(c.resolve(id, at(1)).1.is_none());
        c.learn(0, ip(1), Mac([1; 6]), true, at(1));
        assert!(c.resolve(id, at(2)).1.is_none());
    }

    #[test]
    fn an_unsolicited_address_changes_only_what_is_known() {
        let mut c = cache(2);
        assert_eq!(c.learn(1, ip(1), MAC, false, at(0)), None);
        let id = c.intern(1, ip(1)).unwrap();
        c.learn(1, ip(1), MAC, true, at(0));
        c.learn(1, ip(1), MAC, false, at(1));
        assert_eq!(c.resolve(id, at(2)), (Some(MAC), None), "the same address again does not make it stale");
        c.learn(1, ip(1), Mac([2; 6]), false, at(3));
        assert!(matches!(c.resolve(id, at(3)), (Some(Mac([2, ..])), Some(_))), "another one does");
    }
}
