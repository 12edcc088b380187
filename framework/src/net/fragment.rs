//! Reassembly of IP fragments (RFC 791 3.2, RFC 8200 4.5), within bounds of number, memory and time. Fragments that
//! overlap discard their datagram, for both families (RFC 5722), and so does everything that cannot be true.
//!
//! ```text
//!  slot   | headroom | 0 ........ payload, each fragment copied to its offset ........ |
//!                    ^ an IP header is put in front of it when all is there
//! ```
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use arrayvec::ArrayVec;

use super::drops::DropReason;
use super::header::{HeaderTemplate, IpFields};
use super::icmp::Complaint;
use super::input::Arrival;
use super::ip::{FragmentAt, IpHeader};
use super::packet::Input;
use super::udp::{UDP, UDP_HEADER_BYTES};
use super::{Net, NetifId, ipv6};
use crate::addr::{Ip, Mac};
use crate::frame::{Frame, FramePool, PoolConfig};
use crate::time::{Duration, Instant};

/// Bounds of reassembly.
#[derive(Clone, Copy, Debug)]
pub struct FragmentLimits {
    /// Datagrams whose fragments are kept, and reassembled datagrams in use, together: each has 64 KiB.
    pub datagrams_max: u32,
    /// How long an IPv4 datagram may take (RFC 1122 3.3.2 asks for more than a minute; what is lost on a link that we
    /// can talk to today is lost much earlier).
    pub timeout_v4: Duration,
    /// How long an IPv6 datagram may take (RFC 8200 4.5).
    pub timeout_v6: Duration,
}

impl Default for FragmentLimits {
    /// 16 datagrams, 30 and 60 seconds.
    fn default() -> Self {
        Self { datagrams_max: 16, timeout_v4: Duration::from_secs(30), timeout_v6: Duration::from_secs(60) }
    }
}

pub(crate) struct Reassembly {
    limits: FragmentLimits,
    pool: FramePool,
    /// In the order of their first fragments.
    pending: Vec<Pending>,
    /// Datagrams that had to make room for others since this was last asked.
    displaced: u64,
}

/// A datagram of which not all is there.
struct Pending {
    key: Key,
    netif: NetifId,
    until: Instant,
    /// `None` once something was wrong: what else comes of it is dropped too (RFC 5722 4).
    parts: Option<Parts>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    src: Ip,
    dst: Ip,
    ident: u32,
    /// IPv4 alone numbers the datagrams of each protocol by themselves.
    protocol: u8,
}

struct Parts {
    frame: Frame,
    /// Offset and length of each fragment; none overlaps another.
    ranges: ArrayVec<(u16, u16), PIECES_MAX>,
    received: usize,
    /// Known once the last fragment was there.
    total: Option<usize>,
    /// Of the first fragment, once it was there.
    header: Option<IpHeader>,
    /// By ECN codepoint, whether a fragment had it.
    ecn_seen: [bool; 4],
}

/// What one more fragment made of its datagram.
enum Step {
    /// More is missing.
    Incomplete,
    /// There was an identical one.
    Duplicate,
    /// All is there.
    Whole,
}

impl Reassembly {
    pub(crate) fn new(limits: FragmentLimits) -> Self {
        let slots = limits.datagrams_max.max(1);
        let pool = FramePool::new(PoolConfig { slots, slot_bytes: SLOT_BYTES, headroom: HEADROOM });
        Self { limits, pool, pending: Vec::new(), displaced: 0 }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.until).min()
    }

    /// Datagrams of which something is there.
    #[cfg(test)]
    pub(super) fn incomplete(&self) -> usize {
        self.pending.iter().filter(|pending| pending.parts.is_some()).count()
    }

    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.pool.in_use()
    }

    /// Index of the datagram that a fragment belongs to; a new one is begun if need be, at the cost of the oldest.
    fn find(&mut self, key: Key, netif: NetifId, now: Instant) -> Result<usize, DropReason> {
        if let Some(index) = self.pending.iter().position(|pending| pending.key == key) {
            return Ok(index);
        }
        if self.pending.len() >= PENDING_MAX {
            self.displaced = self.displaced.saturating_add(self.pending.remove(0).parts.is_some().into());
        }
        let frame = match self.pool.alloc() {
            Some(frame) => frame,
            None => {
                // The oldest gives way; if engines hold all of them, the newcomer does.
                let oldest = self.pending.iter_mut().find(|pending| pending.parts.is_some());
                oldest.ok_or(DropReason("fragment: no memory"))?.parts = None;
                self.displaced = self.displaced.saturating_add(1);
                self.pool.alloc().ok_or(DropReason("fragment: no memory"))?
            }
        };
        let timeout = if key.src.is_v4() { self.limits.timeout_v4 } else { self.limits.timeout_v6 };
        let parts =
            Parts { frame, ranges: ArrayVec::new(), received: 0, total: None, header: None, ecn_seen: [false; 4] };
        #[allow(clippy::arithmetic_side_effects)] // An `Instant` saturates.
        let until = now + timeout;
        self.pending.push(Pending { key, netif, until, parts: Some(parts) });
        Ok(self.pending.len().saturating_sub(1))
    }

    /// Takes one fragment. Returns the datagram if that made it whole.
    fn add(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        at: FragmentAt,
    ) -> Result<Option<(IpHeader, Frame)>, DropReason> {
        let IpHeader { src, dst, protocol, .. } = arrival.header;
        let protocol = if src.is_v4() { protocol } else { 0 };
        let index = self.find(Key { src, dst, ident: at.ident, protocol }, arrival.netif, now)?;
        let pending = self.pending.get_mut(index).ok_or(DropReason("fragment: no memory"))?;
        let parts = pending.parts.as_mut().ok_or(DropReason("fragment: of a datagram given up"))?;
        match parts.add(&arrival.header, at, arrival.frame.bytes()) {
            Ok(Step::Incomplete) => Ok(None),
            Ok(Step::Duplicate) => Err(DropReason("fragment: duplicate")),
            Ok(Step::Whole) => {
                self.pending.remove(index).parts.ok_or(DropReason("fragment: no memory"))?.finish().map(Some)
            }
            Err(reason) => {
                pending.parts = None;
                Err(reason)
            }
        }
    }
}

impl Parts {
    fn add(&mut self, header: &IpHeader, at: FragmentAt, bytes: &[u8]) -> Result<Step, DropReason> {
        let end = at.offset.saturating_add(bytes.len());
        let range = (at.offset as u16, bytes.len() as u16);
        if let Some(clash) = self
            .ranges
            .iter()
            .find(|r| at.offset < usize::from(r.0).saturating_add(r.1.into()) && usize::from(r.0) < end)
        {
            let same = *clash == range && self.frame.bytes().get(at.offset..end) == Some(bytes);
            return if same { Ok(Step::Duplicate) } else { Err(DropReason("fragment: overlap")) };
        }
        let total = if at.more { self.total } else { Some(end) };
        let beyond = total.is_some_and(|total| total < end.max(self.frame.len()));
        if beyond || (self.total.is_some() && self.total != total) {
            return Err(DropReason("fragment: beyond the end"));
        }
        self.ranges.try_push(range).map_err(|_| DropReason("fragment: too many"))?;
        if let Some(grow) = end.checked_sub(self.frame.len()) {
            self.frame.append(grow).ok_or(DropReason("fragment: too long"))?;
        }
        let place = self.frame.bytes_mut().get_mut(at.offset..end).ok_or(DropReason("fragment: too long"))?;
        place.copy_from_slice(bytes);
        self.total = total;
        self.received = self.received.saturating_add(bytes.len());
        if let Some(seen) = self.ecn_seen.get_mut(usize::from(header.traffic_class & 3)) {
            *seen = true;
        }
        if at.offset == 0 {
            self.header = Some(*header);
        }
        Ok(if self.total == Some(self.received) { Step::Whole } else { Step::Incomplete })
    }

    /// The datagram, behind a header as if it had come whole.
    fn finish(mut self) -> Result<(IpHeader, Frame), DropReason> {
        let mut header = self.header.ok_or(DropReason("fragment: no first"))?;
        // RFC 3168 5.3: one mark marks all; a mark on one and "not capable" on another cannot be.
        match self.ecn_seen {
            [true, _, _, true] => return Err(DropReason("fragment: ECN")),
            [_, _, _, true] => header.traffic_class |= 3,
            _ => {}
        }
        put_header(&mut header, &mut self.frame);
        if ipv6::is_extension(header.protocol) && !header.src.is_v4() {
            let chain = ipv6::walk(header.protocol, self.frame.bytes(), false).map_err(|fault| fault.reason)?;
            self.frame.trim_front(chain.bytes);
            header.protocol = chain.protocol;
            header.header_bytes = header.header_bytes.saturating_add(chain.bytes);
        }
        Ok((header, self.frame))
    }
}

impl Net {
    /// One fragment.
    #[cold]
    pub(super) fn fragment_input(&mut self, now: Instant, arrival: Arrival) -> Input {
        let Some(at) = arrival.header.fragment else { return self.deliver(now, arrival) };
        let added = self.check_fragment(&arrival, at).and_then(|()| self.reassembly.add(now, &arrival, at));
        let displaced = std::mem::take(&mut self.reassembly.displaced);
        self.drops.add_many(DropReason("fragment: made room for another"), displaced);
        match added {
            Ok(None) => Input::Done,
            Ok(Some((header, frame))) => self.deliver(now, Arrival { header, frame, ..arrival }),
            Err(reason) => self.refuse(reason),
        }
    }

    /// What a fragment alone can be wrong in.
    fn check_fragment(&self, arrival: &Arrival, at: FragmentAt) -> Result<(), DropReason> {
        let header = &arrival.header;
        let bytes = arrival.frame.bytes();
        if bytes.is_empty() || (at.more && !bytes.len().is_multiple_of(8)) {
            return Err(DropReason("fragment: length"));
        }
        let base_bytes = if header.src.is_v4() { 20 } else { 0 };
        if at.offset.saturating_add(bytes.len()).saturating_add(base_bytes) > usize::from(u16::MAX) {
            return Err(DropReason("fragment: too long"));
        }
        if at.offset != 0 {
            return Ok(());
        }
        // RFC 7112 5 for all headers of IPv6, RFC 1858 3 for IPv4: who filters by the first fragment must see them.
        let (mut protocol, mut rest) = (header.protocol, bytes);
        if !header.src.is_v4() {
            let chain = ipv6::walk(protocol, bytes, false).map_err(|fault| fault.reason)?;
            (protocol, rest) = (chain.protocol, bytes.get(chain.bytes..).unwrap_or_default());
        }
        let needed = match self.claims.ip(protocol) {
            Some(claim) => claim.checksum.map_or(1, |spec| usize::from(spec.field) + 2),
            None if protocol == UDP => UDP_HEADER_BYTES,
            None => 1,
        };
        if rest.len() < needed { Err(DropReason("fragment: first is too short")) } else { Ok(()) }
    }

    /// Gives up datagrams whose time is over, and says so to their senders (RFC 792, RFC 8200 4.5).
    pub(super) fn fragment_timers(&mut self, now: Instant) {
        while let Some(index) = self.reassembly.pending.iter().position(|pending| pending.until <= now) {
            let Pending { parts, netif, .. } = self.reassembly.pending.remove(index);
            let Some(mut parts) = parts else { continue };
            self.drops.add(DropReason("fragment: timeout"));
            let Some(mut header) = parts.header else { continue };
            let to_us_alone = super::ip::check_destination(&self.locals, netif, header.dst) == Ok(false);
            if to_us_alone && netif != NetifId::LOOPBACK {
                // Only what is there of the beginning is quoted; the rest of the slot is not theirs to see.
                let first = parts.ranges.iter().find(|range| range.0 == 0).map_or(0, |range| usize::from(range.1));
                parts.frame.truncate(first);
                put_header(&mut header, &mut parts.frame);
                let _ = parts.frame.prepend(header.header_bytes);
                let kind = if header.src.is_v4() { 11 } else { 3 };
                self.complain(
                    now,
                    &Complaint {
                        src: header.src,
                        dst: header.dst,
                        kind,
                        code: 1,
                        word: 0,
                        packet: parts.frame.bytes(),
                    },
                );
            }
        }
    }
}

/// Puts an IP header without options into the headroom in front of `frame`, which stays as it is, and describes it.
fn put_header(header: &mut IpHeader, frame: &mut Frame) {
    let payload_bytes = frame.len();
    let template = HeaderTemplate::new(Mac::default(), None, header.src, header.dst);
    let fields = IpFields {
        protocol: header.protocol,
        hop_limit: header.hop_limit,
        traffic_class: header.traffic_class,
        ..IpFields::default()
    };
    if let Some(room) = frame.prepend(template.bytes()) {
        template.write(room, &fields, payload_bytes);
        frame.trim_front(template.bytes());
    }
    header.header_bytes = template.ip_bytes();
    header.total_bytes = template.ip_bytes().saturating_add(payload_bytes);
    header.fragment = None;
}

/// Fragments of one datagram: enough for 64 KiB in pieces of the 576 bytes that everybody takes.
const PIECES_MAX: usize = 128;
/// Datagrams remembered, those included that were given up and only refuse what still comes.
const PENDING_MAX: usize = 64;
const HEADROOM: u32 = 128;
const SLOT_BYTES: u32 = 65_536 + HEADROOM;
