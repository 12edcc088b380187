//! The one door out: [`TxBatch`] takes a transport's header and payload and makes frames of them, with IP and Ethernet
//! headers from the path, checksums where the transport declared them, and segments where the device does not cut.
//!
//! ```text
//!  segments(header, payload, segment_bytes)          device cuts            device does not
//!                                              [eth|ip|header|all payload]  [eth|ip|header|piece] ...
//! ```

use super::checksum::{self, ChecksumSpec};
use super::claim::Encapsulation;
use super::drops::DropReason;
use super::header::{DONT_FRAGMENT, IpFields};
use super::netif::Netif;
use super::path::{Hop, Path, PathId, PathInfo};
use super::route::RouteError;
use super::udp::{UDP_CHECKSUM_FIELD, UDP_HEADER_BYTES};
use super::{Net, cut};
use crate::addr::Ip;
use crate::frame::{Frame, FramePool};
use crate::simd;
use crate::time::Instant;

/// What a transport may say about a packet beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxInfo {
    /// ECN bits, 0 to 3 (RFC 3168 5).
    pub ecn: u8,
    /// Differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: u8,
    /// IPv6 flow label, 20 bits (RFC 6437); 0 for none.
    pub flow_label: u32,
    /// The packet may not be fragmented, here or on the way.
    pub dont_fragment: bool,
    /// Hop limit or time to live; `None` takes the configured one.
    pub hop_limit: Option<u8>,
    /// Our UDP port, for transports inside UDP.
    pub source_port: u16,
    /// The peer's UDP port, for transports inside UDP.
    pub destination_port: u16,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxStop {
    /// The device has no room, its link is down, or the quantum is used up: go on in a later turn.
    Full,
    /// The interface's packet memory is used up: go on in a later turn.
    NoMemory,
    /// The next hop is being asked for. The flow waits for a [`NeighbourChange`](super::NeighbourChange).
    Unresolved,
    /// The packet would not fit the path.
    TooBig {
        /// The path's largest IP packet, bytes.
        mtu: u32,
    },
    /// The path is gone: ask for it again.
    NoPath,
}

/// Which piece of the payload a header is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentAt {
    /// Bytes of payload in front of it.
    pub offset: usize,
    /// Its bytes of payload.
    pub len: usize,
    /// Nothing follows: the payload offered ends with it.
    pub last: bool,
}

/// Packets of one engine on their way out.
pub struct TxBatch<'a> {
    net: &'a mut Net,
    now: Instant,
    encapsulation: Encapsulation,
    bytes_left: usize,
    blocked: Option<PathId>,
}

impl<'a> TxBatch<'a> {
    pub(super) fn new(net: &'a mut Net, now: Instant, encapsulation: Encapsulation) -> Self {
        Self { net, now, encapsulation, bytes_left: usize::MAX, blocked: None }
    }

    /// Sends `payload`, the slices one after another, in pieces of `segment_bytes` (the last may be shorter), each behind
    /// a copy of `header` that `patch` completes. If the device cuts this protocol itself, many pieces leave as one
    /// large frame, and `patch` is called once for all of it. No payload at all is one packet of the header alone.
    ///
    /// The declared checksum is filled in behind `patch`. Returns the payload bytes taken: all, or a multiple of
    /// `segment_bytes` when room, memory or the quantum ended. Never fragments.
    ///
    /// # Errors
    /// [`TxStop`], and then nothing was taken.
    pub fn segments(
        &mut self,
        path: PathId,
        info: &TxInfo,
        header: &[u8],
        payload: &[&[u8]],
        segment_bytes: usize,
        mut patch: impl FnMut(&mut [u8], SegmentAt),
    ) -> Result<usize, TxStop> {
        let total: usize = payload.iter().map(|slice| slice.len()).sum();
        let mut out = self.open(path, info)?;
        let fits = out.transport_bytes_max().checked_sub(header.len());
        let segment_bytes = segment_bytes.max(1);
        if fits.is_none_or(|fits| segment_bytes.min(total) > fits) {
            return Err(TxStop::TooBig { mtu: out.path.mtu });
        }
        let mut cursor = Cursor { slices: payload, offset: 0 };
        let mut taken = 0;
        loop {
            let (pool, len) = out.piece(header.len(), total - taken, segment_bytes);
            let at = SegmentAt { offset: taken, len, last: taken + len == total };
            let sent = if out.may_send() {
                out.send(pool, header, &mut cursor, at, segment_bytes, &mut patch)
            } else {
                Err(TxStop::Full)
            };
            match sent {
                Ok(()) => taken += len,
                Err(stop) if taken == 0 => return Err(stop),
                Err(_) => return Ok(taken),
            }
            if taken >= total {
                return Ok(taken);
            }
        }
    }

    /// Sends one packet that `fill` writes in place: it gets `len_max` bytes, of whatever content, and returns how many
    /// it used. Larger than the path's MTU, it is fragmented.
    ///
    /// # Errors
    /// [`TxStop`], and then `fill` was not called. With `dont_fragment`, `len_max` itself must fit the path. (Memory may
    /// also end between the fragments of a packet; it is lost then, as on the way.)
    pub fn packet(
        &mut self,
        path: PathId,
        info: &TxInfo,
        len_max: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), TxStop> {
        let mut out = self.open(path, info)?;
        if !out.may_send() {
            return Err(TxStop::Full);
        }
        if len_max <= out.transport_bytes_max() {
            let pool = out.netif.pool.clone();
            return out.fill(&pool, len_max, fill);
        }
        if info.dont_fragment || len_max > out.datagram_bytes_max() {
            return Err(TxStop::TooBig { mtu: out.path.mtu });
        }
        out.room_for_fragments(len_max)?;
        out.build(len_max, fill)
    }

    /// Sends datagrams that are built already: `built` holds them one after another, each of `datagram_bytes`, the last
    /// of what is left. Where the device cuts UDP datagrams they leave as one frame. Returns the bytes taken: all, or a
    /// multiple of `datagram_bytes`. Larger than the path's MTU, they are fragmented.
    ///
    /// # Errors
    /// [`TxStop`], and then nothing was taken.
    pub fn datagrams(
        &mut self,
        path: PathId,
        info: &TxInfo,
        built: &[u8],
        datagram_bytes: usize,
    ) -> Result<usize, TxStop> {
        match self.segments(path, info, &[], &[built], datagram_bytes, |_, _| ()) {
            Err(TxStop::TooBig { .. }) if !info.dont_fragment => {}
            other => return other,
        }
        let mut taken = 0;
        for datagram in built.chunks(datagram_bytes.max(1)) {
            let fill = |room: &mut [u8]| {
                room.copy_from_slice(datagram);
                datagram.len()
            };
            match self.packet(path, info, datagram.len(), fill) {
                Ok(()) => taken += datagram.len(),
                Err(stop) if taken == 0 => return Err(stop),
                Err(_) => break,
            }
        }
        Ok(taken)
    }

    /// Bytes, headers included, that may still leave before the next [`set_quantum`](Self::set_quantum). A packet that
    /// begins within them is sent whole.
    #[must_use]
    pub fn bytes_left(&self) -> usize {
        self.bytes_left
    }

    /// Sets what [`bytes_left`](Self::bytes_left) counts down from.
    pub fn set_quantum(&mut self, bytes: usize) {
        self.bytes_left = bytes;
    }

    /// The path whose next hop is unknown, if that stopped a call since this was last asked: its flow is to be parked.
    pub fn blocked(&mut self) -> Option<PathId> {
        self.blocked.take()
    }

    /// Frames that the interface of `path` would still take.
    #[must_use]
    pub fn room(&self, path: PathId) -> usize {
        let netif = self.net.paths.get(path).and_then(|path| self.net.netifs.get(usize::from(path.netif)));
        netif.filter(|netif| netif.up).map_or(0, |netif| netif.room.saturating_sub(netif.outbox.len()))
    }

    /// The path to `remote`, from `local` if given: for answers to strangers, and for a path a datagram. It is kept only
    /// while it is used often; a flow keeps its own by `Context::set_path`.
    ///
    /// # Errors
    /// As [`Net::path`](super::Net::path).
    pub fn path(&mut self, local: Option<Ip>, remote: Ip) -> Result<PathId, RouteError> {
        self.net.path(self.now, local, remote)
    }

    /// What is known of a path; `None` if it is gone.
    #[must_use]
    pub fn path_info(&self, path: PathId) -> Option<PathInfo> {
        self.net.path_info(path)
    }

    /// Largest IP packet of `path`, bytes; `None` if the path is gone.
    #[must_use]
    pub fn mtu(&self, path: PathId) -> Option<u32> {
        self.net.paths.get(path).map(|path| path.mtu)
    }

    /// The time of this batch.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Asks for the next hop and borrows what sending takes.
    #[inline]
    fn open(&mut self, id: PathId, info: &TxInfo) -> Result<Out<'_>, TxStop> {
        if let Hop::Neighbour { ip, id: neighbour } = self.net.paths.get(id).ok_or(TxStop::NoPath)?.hop {
            let mac = match self.net.neighbours.resolve(neighbour, self.now) {
                (Some(mac), None) => Some(mac),
                (mac, solicit) => self.net.resolve_slowly(self.now, id, ip, (mac, solicit)),
            };
            let Some(mac) = mac else {
                self.blocked = Some(id);
                return Err(TxStop::Unresolved);
            };
            if let Some(path) = self.net.paths.get_mut(id) {
                path.template.set_destination(mac);
            }
        }
        let Net { netifs, paths, scratch, drops, fragment_ident, config, .. } = &mut *self.net;
        let path = paths.get_mut(id).ok_or(TxStop::NoPath)?;
        let netif = netifs.get_mut(usize::from(path.netif)).ok_or(TxStop::NoPath)?;
        let fields = IpFields {
            protocol: self.encapsulation.protocol(),
            hop_limit: info.hop_limit.unwrap_or(config.hop_limit),
            traffic_class: info.dscp << 2 | info.ecn & 3,
            flow_label: info.flow_label,
            ident: path.ident,
            fragment: if info.dont_fragment { DONT_FRAGMENT } else { 0 },
        };
        let (udp, checksum) = match self.encapsulation {
            Encapsulation::Ip { checksum, .. } => (None, checksum),
            Encapsulation::Udp => (
                Some([info.source_port, info.destination_port]),
                Some(ChecksumSpec { field: UDP_CHECKSUM_FIELD as u16 }),
            ),
        };
        Ok(Out { netif, path, fields, udp, checksum, bytes_left: &mut self.bytes_left, scratch, drops, fragment_ident })
    }
}

/// Everything that one call sends with.
struct Out<'b> {
    netif: &'b mut Netif,
    path: &'b mut Path,
    fields: IpFields,
    /// Source and destination port, inside UDP.
    udp: Option<[u16; 2]>,
    checksum: Option<ChecksumSpec>,
    bytes_left: &'b mut usize,
    scratch: &'b mut Vec<u8>,
    drops: &'b mut super::Counters,
    fragment_ident: &'b mut u32,
}

impl Out<'_> {
    #[inline]
    fn may_send(&self) -> bool {
        *self.bytes_left > 0 && self.netif.has_room()
    }

    #[inline]
    fn udp_bytes(&self) -> usize {
        if self.udp.is_some() { UDP_HEADER_BYTES } else { 0 }
    }

    /// Bytes of transport header and payload that fit the path's MTU, behind UDP's header if there is one.
    #[inline]
    fn transport_bytes_max(&self) -> usize {
        (self.path.mtu as usize).saturating_sub(self.path.template.ip_bytes() + self.udp_bytes())
    }

    /// The same for what IP can carry at all.
    #[inline]
    fn datagram_bytes_max(&self) -> usize {
        IP_PACKET_BYTES_MAX - self.path.template.ip_bytes() - self.udp_bytes()
    }

    /// How much of the `left` bytes the next frame takes, and from which memory: one segment, or many for a device that
    /// cuts.
    #[inline]
    fn piece(&self, header_bytes: usize, left: usize, segment_bytes: usize) -> (Pool, usize) {
        // A device copies the UDP header to every datagram that it cuts, but nothing behind it.
        let cuttable = self.udp.is_none() || header_bytes == 0;
        if left <= segment_bytes || !cuttable || !self.netif.caps.segments.contains(self.fields.protocol) {
            return (Pool::Standard, left.min(segment_bytes));
        }
        let headers = self.path.template.bytes() + self.udp_bytes() + header_bytes;
        let fits = |pool: &FramePool| pool.frame_bytes_max().saturating_sub(headers);
        let wanted =
            left.min(self.datagram_bytes_max().saturating_sub(header_bytes)).min((*self.bytes_left).max(segment_bytes));
        let (pool, room) = match &self.netif.large {
            Some(large) if wanted > fits(&self.netif.pool) && large.in_use() + large.lent() < large.slots() => {
                (Pool::Large, fits(large))
            }
            _ => (Pool::Standard, fits(&self.netif.pool)),
        };
        let len = wanted.min(room);
        let len = if len < left { len - len % segment_bytes } else { len };
        (pool, len.max(left.min(segment_bytes)))
    }

    /// One frame: header and the next piece of the payload.
    #[inline]
    fn send(
        &mut self,
        pool: Pool,
        header: &[u8],
        payload: &mut Cursor<'_>,
        at: SegmentAt,
        segment_bytes: usize,
        patch: &mut impl FnMut(&mut [u8], SegmentAt),
    ) -> Result<(), TxStop> {
        let front = self.path.template.bytes();
        let header_at = front + self.udp_bytes();
        let mut frame = match (pool, &self.netif.large) {
            (Pool::Large, Some(large)) => large.alloc(),
            (Pool::Large, None) | (Pool::Standard, _) => self.netif.pool.alloc(),
        }
        .ok_or(TxStop::NoMemory)?;
        let too_big = TxStop::TooBig { mtu: self.path.mtu };
        let bytes = frame.append(header_at + header.len() + at.len).ok_or(too_big)?;
        let (ip, transport) = bytes.split_at_mut(front);
        self.path.template.write(ip, &self.fields, transport.len());
        let (head, body) = transport.split_at_mut(header_at - front + header.len());
        let (_, own) = self.write_udp(head, body.len());
        own.copy_from_slice(header);
        patch(own, at);
        let pseudo = self.path.template.pseudo_sum(self.fields.protocol, head.len() + body.len());
        self.copy_sealed(head, body, payload, pseudo);
        self.declare(&mut frame, front);
        if at.len > segment_bytes {
            frame.meta.segment_protocol = self.fields.protocol;
            frame.meta.segment_bytes = segment_bytes as u16;
            frame.meta.header_bytes = (header_at + header.len()) as u16;
            // The device numbers the packets on from this one's identification.
            self.fields.ident = self.fields.ident.wrapping_add((at.len / segment_bytes) as u16);
        }
        self.push(frame);
        Ok(())
    }

    /// One frame that `fill` writes.
    fn fill(&mut self, pool: &FramePool, len_max: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<(), TxStop> {
        let front = self.path.template.bytes();
        let own_at = front + self.udp_bytes();
        let mut frame = pool.alloc().ok_or(TxStop::NoMemory)?;
        let too_big = TxStop::TooBig { mtu: self.path.mtu };
        let bytes = frame.append(own_at + len_max).ok_or(too_big)?;
        let used = fill(bytes.split_at_mut(own_at).1).min(len_max);
        frame.truncate(own_at + used);
        let (ip, transport) = frame.bytes_mut().split_at_mut(front);
        self.path.template.write(ip, &self.fields, transport.len());
        self.write_udp(transport, 0);
        self.seal(transport, self.netif.caps.tx_checksum);
        self.declare(&mut frame, front);
        self.push(frame);
        Ok(())
    }

    /// A packet that `fill` writes and that may turn out too large for one frame: built aside, then cut.
    #[cold]
    fn build(&mut self, len_max: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<(), TxStop> {
        let mut whole = std::mem::take(self.scratch);
        let own_at = self.udp_bytes();
        whole.clear();
        whole.resize(own_at + len_max, 0);
        let used = fill(whole.split_at_mut(own_at).1).min(len_max);
        whole.truncate(own_at + used);
        self.write_udp(&mut whole, 0);
        // The device sees fragments, and completes no checksum over several of them.
        self.seal(&mut whole, false);
        *self.fragment_ident = self.fragment_ident.wrapping_add(1);
        let ident = if self.path.template.is_v4() { u32::from(self.fields.ident) } else { *self.fragment_ident };
        let (before, mtu) = (self.netif.outbox.len(), self.path.mtu as usize);
        let sent =
            cut::cut(&self.path.template, &self.fields, ident, mtu, &whole, &self.netif.pool, &mut self.netif.outbox);
        if !sent {
            self.drops.add(DropReason("egress: no packet memory for fragments"));
        }
        let bytes: usize = self.netif.outbox.iter().skip(before).map(Frame::len).sum();
        *self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.path.ident = self.path.ident.wrapping_add(1);
        *self.scratch = whole;
        Ok(())
    }

    /// Whether all fragments of `len` bytes have room. Where they could never have, they may wait in an empty outbox.
    fn room_for_fragments(&self, len: usize) -> Result<(), TxStop> {
        let outbox = &self.netif.outbox;
        let pieces = cut::pieces(&self.path.template, self.path.mtu as usize, len + self.udp_bytes());
        if outbox.is_empty() || outbox.len() + pieces <= self.netif.room { Ok(()) } else { Err(TxStop::Full) }
    }

    /// Writes the UDP header, if there is one, to the front of `head`, which with `more` bytes behind it is the datagram.
    #[inline]
    fn write_udp<'c>(&self, head: &'c mut [u8], more: usize) -> (&'c mut [u8], &'c mut [u8]) {
        let bytes = (head.len() + more) as u16;
        let (udp, own) = head.split_at_mut(self.udp_bytes());
        if let (Some([source, destination]), Some(udp)) = (self.udp, udp.first_chunk_mut::<UDP_HEADER_BYTES>()) {
            [udp[0], udp[1]] = source.to_be_bytes();
            [udp[2], udp[3]] = destination.to_be_bytes();
            [udp[4], udp[5]] = bytes.to_be_bytes();
            [udp[6], udp[7]] = [0, 0];
        }
        (udp, own)
    }

    /// Copies the payload behind the header, and fills in the checksum, or leaves it to the device.
    #[inline]
    fn copy_sealed(&self, head: &mut [u8], body: &mut [u8], payload: &mut Cursor<'_>, pseudo: u64) {
        let Some(ChecksumSpec { field }) = self.checksum else { return payload.copy(body) };
        let Some(place) = head.get_mut(usize::from(field)..usize::from(field) + 2) else {
            // The field is in what the caller built.
            payload.copy(body);
            if let Some(place) = usize::from(field).checked_sub(head.len()).and_then(|at| body.get_mut(at..at + 2)) {
                place.copy_from_slice(&[0, 0]);
            }
            let sum = if self.netif.caps.tx_checksum {
                None
            } else {
                Some(simd::append(simd::sum(head), head.len(), simd::sum(body)))
            };
            if let Some(place) = usize::from(field).checked_sub(head.len()).and_then(|at| body.get_mut(at..at + 2)) {
                place.copy_from_slice(&self.field(pseudo, sum));
            }
            return;
        };
        place.copy_from_slice(&[0, 0]);
        let sum = if self.netif.caps.tx_checksum {
            payload.copy(body);
            None
        } else {
            let copied = payload.copy_and_sum(body);
            Some(simd::append(simd::sum(head), head.len(), copied))
        };
        if let Some(place) = head.get_mut(usize::from(field)..usize::from(field) + 2) {
            place.copy_from_slice(&self.field(pseudo, sum));
        }
    }

    /// Fills in the checksum of a whole transport packet, or with `device` leaves it to the device.
    fn seal(&self, transport: &mut [u8], device: bool) {
        let Some(ChecksumSpec { field }) = self.checksum else { return };
        let pseudo = self.path.template.pseudo_sum(self.fields.protocol, transport.len());
        let range = usize::from(field)..usize::from(field) + 2;
        let Some(place) = transport.get_mut(range.clone()) else { return };
        place.copy_from_slice(&[0, 0]);
        let sum = if device { None } else { Some(simd::sum(transport)) };
        if let Some(place) = transport.get_mut(range) {
            place.copy_from_slice(&self.field(pseudo, sum));
        }
    }

    /// What goes into the field: the checksum of pseudo-header and `sum`, or without it the pseudo-header's sum alone.
    #[inline]
    fn field(&self, pseudo: u64, sum: Option<u64>) -> [u8; 2] {
        match sum {
            None => simd::fold(pseudo).to_ne_bytes(),
            Some(sum) if self.udp.is_some() => checksum::finish_nonzero(simd::add(pseudo, sum)),
            Some(sum) => checksum::finish(simd::add(pseudo, sum)),
        }
    }

    /// Tells the device what was left to it.
    #[inline]
    fn declare(&self, frame: &mut Frame, transport_at: usize) {
        if let Some(ChecksumSpec { field }) = self.checksum
            && self.netif.caps.tx_checksum
            && frame.len() >= transport_at + usize::from(field) + 2
        {
            frame.set_partial_checksum(transport_at, usize::from(field));
        }
    }

    #[inline]
    fn push(&mut self, frame: Frame) {
        *self.bytes_left = self.bytes_left.saturating_sub(frame.len());
        self.fields.ident = self.fields.ident.wrapping_add(1);
        self.path.ident = self.fields.ident;
        self.netif.outbox.push(frame);
    }
}

/// Which of an interface's memories a frame comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pool {
    Standard,
    Large,
}

/// A place in slices that are read one after another.
struct Cursor<'p> {
    slices: &'p [&'p [u8]],
    /// Bytes of the first slice that were read.
    offset: usize,
}

impl<'p> Cursor<'p> {
    /// The next bytes, at most `bytes_max`; none at the end.
    #[inline]
    fn next(&mut self, bytes_max: usize) -> &'p [u8] {
        while let Some((first, rest)) = self.slices.split_first() {
            let unread = first.get(self.offset..).unwrap_or_default();
            if unread.is_empty() {
                (self.slices, self.offset) = (rest, 0);
                continue;
            }
            let part = unread.get(..bytes_max).unwrap_or(unread);
            self.offset += part.len();
            return part;
        }
        &[]
    }

    #[inline]
    fn copy(&mut self, mut to: &mut [u8]) {
        while !to.is_empty() {
            let part = self.next(to.len());
            if part.is_empty() {
                return debug_assert!(false, "a piece is cut from the payload that there is");
            }
            let (place, rest) = to.split_at_mut(part.len());
            place.copy_from_slice(part);
            to = rest;
        }
    }

    #[inline]
    fn copy_and_sum(&mut self, mut to: &mut [u8]) -> u64 {
        let (mut sum, mut at) = (0, 0);
        while !to.is_empty() {
            let part = self.next(to.len());
            if part.is_empty() {
                debug_assert!(false, "a piece is cut from the payload that there is");
                break;
            }
            let (place, rest) = to.split_at_mut(part.len());
            sum = simd::append(sum, at, simd::copy_and_sum(place, part));
            at += part.len();
            to = rest;
        }
        sum
    }
}

/// What an IPv4 length field can say. IPv6 could say 40 bytes more.
const IP_PACKET_BYTES_MAX: usize = 65_535;
