//! How [`TxBatch`](super::TxBatch) makes its frames: memory, headers, payload copied and summed in one pass, and what is
//! left to the device declared.

use super::checksum::{self, ChecksumSpec};
use super::cut;
use super::drops::{Counters, DropReason};
use super::egress::{SegmentAt, TxStop};
use super::header::IpFields;
use super::netif::Netif;
use super::path::Path;
use super::udp::UDP_HEADER_BYTES;
use crate::frame::{Frame, FramePool};
use crate::simd;

/// Everything that one call sends with.
pub(super) struct Out<'b> {
    pub(super) netif: &'b mut Netif,
    pub(super) path: &'b mut Path,
    pub(super) fields: IpFields,
    /// Source and destination port, inside UDP.
    pub(super) udp: Option<[u16; 2]>,
    pub(super) checksum: Option<ChecksumSpec>,
    pub(super) bytes_left: &'b mut usize,
    pub(super) scratch: &'b mut Vec<u8>,
    pub(super) drops: &'b mut Counters,
    pub(super) fragment_ident: &'b mut u32,
}

impl Out<'_> {
    #[inline]
    pub(super) fn may_send(&self) -> bool {
        *self.bytes_left > 0 && self.netif.has_room()
    }

    #[inline]
    fn udp_bytes(&self) -> usize {
        if self.udp.is_some() { UDP_HEADER_BYTES } else { 0 }
    }

    /// Bytes of transport header and payload that fit the path's MTU, behind UDP's header if there is one.
    #[inline]
    pub(super) fn transport_bytes_max(&self) -> usize {
        (self.path.mtu as usize).saturating_sub(self.path.template.ip_bytes() + self.udp_bytes())
    }

    /// The same for what IP can carry at all.
    #[inline]
    pub(super) fn datagram_bytes_max(&self) -> usize {
        IP_PACKET_BYTES_MAX - self.path.template.ip_bytes() - self.udp_bytes()
    }

    /// How much of the `left` bytes the next frame takes, and from which memory: one segment, or many for a device that
    /// cuts.
    #[inline(always)]
    pub(super) fn piece(&self, header_bytes: usize, left: usize, segment_bytes: usize) -> (Pool, usize) {
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

    /// One frame, if there is room: header and the next piece of the payload.
    #[inline(always)]
    pub(super) fn send(
        &mut self,
        pool: Pool,
        header: &[u8],
        payload: &mut Cursor<'_>,
        at: SegmentAt,
        segment_bytes: usize,
        patch: &mut impl FnMut(&mut [u8], SegmentAt),
    ) -> Result<(), TxStop> {
        if !self.may_send() {
            return Err(TxStop::Full);
        }
        let seal = self.seal();
        let Self { netif, path, fields, udp, .. } = self;
        let front = path.template.bytes();
        let header_at = front + udp.map_or(0, |_| UDP_HEADER_BYTES);
        let frame = match (pool, &netif.large) {
            (Pool::Large, Some(large)) => large.alloc(),
            (Pool::Large, None) | (Pool::Standard, _) => netif.pool.alloc(),
        };
        // It is written where it will leave from: a frame is large to move.
        let frame = netif.outbox.push_mut(frame.ok_or(TxStop::NoMemory)?);
        let Some(bytes) = frame.append(header_at + header.len() + at.len) else {
            netif.outbox.pop();
            return Err(TxStop::TooBig { mtu: path.mtu });
        };
        let (ip, transport) = bytes.split_at_mut(front);
        path.template.write(ip, fields, transport.len());
        let (head, body) = transport.split_at_mut(header_at - front + header.len());
        let own = write_udp(*udp, head, body.len());
        own.copy_from_slice(header);
        patch(own, at);
        let pseudo = path.template.pseudo_sum(fields.protocol, head.len() + body.len());
        seal.copy(head, body, payload, pseudo);
        seal.declare(frame, front);
        let bytes = frame.len();
        if at.len > segment_bytes {
            frame.meta.segment_protocol = fields.protocol;
            frame.meta.segment_bytes = segment_bytes as u16;
            frame.meta.header_bytes = (header_at + header.len()) as u16;
            // The device numbers the packets on from this one's identification.
            fields.ident = fields.ident.wrapping_add((at.len / segment_bytes) as u16);
        }
        self.count(bytes);
        Ok(())
    }

    /// One frame that `fill` writes.
    pub(super) fn fill(
        &mut self,
        pool: &FramePool,
        len_max: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), TxStop> {
        let front = self.path.template.bytes();
        let own_at = front + self.udp_bytes();
        let mut frame = pool.alloc().ok_or(TxStop::NoMemory)?;
        let too_big = TxStop::TooBig { mtu: self.path.mtu };
        let bytes = frame.append(own_at + len_max).ok_or(too_big)?;
        let used = fill(bytes.split_at_mut(own_at).1).min(len_max);
        frame.truncate(own_at + used);
        let (ip, transport) = frame.bytes_mut().split_at_mut(front);
        self.path.template.write(ip, &self.fields, transport.len());
        write_udp(self.udp, transport, 0);
        let (seal, pseudo) = (self.seal(), self.path.template.pseudo_sum(self.fields.protocol, transport.len()));
        seal.whole(transport, pseudo);
        seal.declare(&mut frame, front);
        self.count(frame.len());
        self.netif.outbox.push(frame);
        Ok(())
    }

    /// A packet that `fill` writes and that may turn out too large for one frame: built aside, then cut.
    #[cold]
    pub(super) fn build(&mut self, len_max: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<(), TxStop> {
        let mut whole = std::mem::take(self.scratch);
        let own_at = self.udp_bytes();
        whole.clear();
        whole.resize(own_at + len_max, 0);
        let used = fill(whole.split_at_mut(own_at).1).min(len_max);
        whole.truncate(own_at + used);
        write_udp(self.udp, &mut whole, 0);
        let pseudo = self.path.template.pseudo_sum(self.fields.protocol, whole.len());
        // The device sees fragments, and completes no checksum over several of them.
        Seal { device: false, ..self.seal() }.whole(&mut whole, pseudo);
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
    pub(super) fn room_for_fragments(&self, len: usize) -> Result<(), TxStop> {
        let outbox = &self.netif.outbox;
        let pieces = cut::pieces(&self.path.template, self.path.mtu as usize, len + self.udp_bytes());
        if outbox.is_empty() || outbox.len() + pieces <= self.netif.room { Ok(()) } else { Err(TxStop::Full) }
    }

    #[inline(always)]
    fn seal(&self) -> Seal {
        Seal { checksum: self.checksum, nonzero: self.udp.is_some(), device: self.netif.caps.tx_checksum }
    }

    /// A frame of so many bytes was put into the outbox.
    #[inline(always)]
    fn count(&mut self, bytes: usize) {
        *self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.fields.ident = self.fields.ident.wrapping_add(1);
        self.path.ident = self.fields.ident;
    }
}

/// Writes the UDP header, if there is one, to the front of `head`, which with `more` bytes behind it is the datagram.
/// Returns what is left of `head`.
#[inline(always)]
fn write_udp(ports: Option<[u16; 2]>, head: &mut [u8], more: usize) -> &mut [u8] {
    let Some([source, destination]) = ports else { return head };
    let bytes = (head.len() + more) as u16;
    let Some((udp, own)) = head.split_first_chunk_mut::<UDP_HEADER_BYTES>() else { return &mut [] };
    [udp[0], udp[1]] = source.to_be_bytes();
    [udp[2], udp[3]] = destination.to_be_bytes();
    [udp[4], udp[5]] = bytes.to_be_bytes();
    [udp[6], udp[7]] = [0, 0];
    own
}

/// What becomes of the transport's checksum.
#[derive(Clone, Copy)]
struct Seal {
    checksum: Option<ChecksumSpec>,
    /// A sum of zero is sent as all ones (RFC 768).
    nonzero: bool,
    /// The device completes it.
    device: bool,
}

impl Seal {
    /// Copies the payload behind the header, and fills in the checksum, or leaves it to the device.
    #[inline(always)]
    fn copy(self, head: &mut [u8], body: &mut [u8], payload: &mut Cursor<'_>, pseudo: u64) {
        let Some(ChecksumSpec { field }) = self.checksum else { return payload.copy(body) };
        let Some(place) = head.get_mut(usize::from(field)..usize::from(field) + 2) else {
            return self.copy_around(usize::from(field), head, body, payload, pseudo);
        };
        place.copy_from_slice(&[0, 0]);
        let sum = if self.device {
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

    /// The same where the field is in what the caller built, and calls payload.
    #[inline(never)]
    fn copy_around(self, field: usize, head: &[u8], body: &mut [u8], payload: &mut Cursor<'_>, pseudo: u64) {
        payload.copy(body);
        let Some(at) = field.checked_sub(head.len()) else { return };
        if let Some(place) = body.get_mut(at..at + 2) {
            place.copy_from_slice(&[0, 0]);
        }
        let sum = (!self.device).then(|| simd::append(simd::sum(head), head.len(), simd::sum(body)));
        if let Some(place) = body.get_mut(at..at + 2) {
            place.copy_from_slice(&self.field(pseudo, sum));
        }
    }

    /// Fills in the checksum of a whole transport packet, or leaves it to the device.
    fn whole(self, transport: &mut [u8], pseudo: u64) {
        let Some(ChecksumSpec { field }) = self.checksum else { return };
        let range = usize::from(field)..usize::from(field) + 2;
        let Some(place) = transport.get_mut(range.clone()) else { return };
        place.copy_from_slice(&[0, 0]);
        let sum = if self.device { None } else { Some(simd::sum(transport)) };
        if let Some(place) = transport.get_mut(range) {
            place.copy_from_slice(&self.field(pseudo, sum));
        }
    }

    /// What goes into the field: the checksum of pseudo-header and `sum`, or without it the pseudo-header's sum alone.
    #[inline(always)]
    fn field(self, pseudo: u64, sum: Option<u64>) -> [u8; 2] {
        match sum {
            None => simd::fold(pseudo).to_ne_bytes(),
            Some(sum) if self.nonzero => checksum::finish_nonzero(simd::add(pseudo, sum)),
            Some(sum) => checksum::finish(simd::add(pseudo, sum)),
        }
    }

    /// Tells the device what was left to it.
    #[inline(always)]
    fn declare(self, frame: &mut Frame, transport_at: usize) {
        if let Some(ChecksumSpec { field }) = self.checksum
            && self.device
            && frame.len() >= transport_at + usize::from(field) + 2
        {
            frame.set_partial_checksum(transport_at, usize::from(field));
        }
    }
}

/// Which of an interface's memories a frame comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    Standard,
    Large,
}

/// A place in slices that are read one after another.
pub(super) struct Cursor<'p> {
    pub(super) slices: &'p [&'p [u8]],
    /// Bytes of the first slice that were read.
    pub(super) offset: usize,
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

    #[inline(always)]
    pub(super) fn copy_and_sum(&mut self, to: &mut [u8]) -> u64 {
        if to.is_empty() {
            return 0;
        }
        // Mostly all of it lies in one slice.
        let end = self.offset + to.len();
        match self.slices.first().and_then(|first| first.get(self.offset..end)) {
            Some(part) => {
                self.offset = end;
                simd::copy_and_sum(to, part)
            }
            None => self.copy_and_sum_parts(to),
        }
    }

    #[inline(never)]
    fn copy_and_sum_parts(&mut self, mut to: &mut [u8]) -> u64 {
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

/// Bytes of all the slices.
#[inline]
pub(super) fn total_bytes(slices: &[&[u8]]) -> usize {
    match slices {
        [] => 0,
        [only] => only.len(),
        several => several.iter().map(|slice| slice.len()).sum(),
    }
}

/// What an IPv4 length field can say. IPv6 could say 40 bytes more.
const IP_PACKET_BYTES_MAX: usize = 65_535;
