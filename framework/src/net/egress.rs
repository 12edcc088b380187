//! The one door out: [`TxBatch`] takes a transport's header and payload and makes frames of them, with IP and Ethernet
//! headers from the path, checksums where the transport declared them, and segments where the device does not cut.
//!
//! ```text
//!  segments(header, payload, segment_bytes)          device cuts            device does not
//!                                              [eth|ip|header|all payload]  [eth|ip|header|piece] ...
//! ```

use super::Net;
use super::checksum::ChecksumSpec;
use super::claim::Encapsulation;
use super::emit::{Cursor, Out, total_bytes};
use super::header::{DONT_FRAGMENT, IpFields};
use super::path::{Hop, HopKnown, PathId, PathInfo};
use super::route::RouteError;
use super::udp::UDP_CHECKSUM_FIELD;
use crate::addr::Ip;
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

impl TxInfo {
    /// The byte of DSCP and ECN in the IP header.
    #[inline]
    pub(super) const fn traffic_class(&self) -> u8 {
        self.dscp << 2 | self.ecn & 3
    }
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
    /// The path is gone: ask for it again. Or the datagram would go to port 0, which nobody has.
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
    pub(super) net: &'a mut Net,
    pub(super) now: Instant,
    pub(super) encapsulation: Encapsulation,
    pub(super) bytes_left: usize,
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
        let mut out = self.open(path, info)?;
        let (total, segment_bytes) = (total_bytes(payload), segment_bytes.max(1));
        let fits = out.transport_bytes_max().checked_sub(header.len());
        if fits.is_none_or(|fits| segment_bytes.min(total) > fits) {
            return Err(TxStop::TooBig { mtu: out.path.mtu });
        }
        let mut cursor = Cursor { slices: payload, offset: 0 };
        let mut taken = 0;
        loop {
            let (pool, len) = out.piece(header.len(), total - taken, segment_bytes);
            let at = SegmentAt { offset: taken, len, last: taken + len == total };
            match out.send(pool, header, &mut cursor, at, segment_bytes, &mut patch) {
                Ok(()) => taken += len,
                Err(stop) if taken == 0 => return Err(stop),
                Err(_) => return Ok(taken),
            }
            if taken >= total {
                return Ok(taken);
            }
        }
    }

    /// Sends one packet: `header`, and behind it the slices one after another. The declared checksum is filled in. Never
    /// cuts, never fragments.
    ///
    /// # Errors
    /// [`TxStop`], and then nothing was sent.
    #[inline(never)]
    pub fn segment(&mut self, path: PathId, info: &TxInfo, header: &[u8], payload: &[&[u8]]) -> Result<(), TxStop> {
        match self.express(path, info, header, payload) {
            Some(()) => Ok(()),
            None => self.segments(path, info, header, payload, usize::MAX, |_, _| ()).map(|_| ()),
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

    /// The same, before errors said that a link on the way takes less: what it may come to again (RFC 1191 6.3).
    #[must_use]
    pub fn link_mtu(&self, path: PathId) -> Option<u32> {
        self.net.paths.get(path).map(|path| path.link_mtu)
    }

    /// Nothing gets through on `path`, as far as its flow can tell: whether its next hop still answers is asked with the next
    /// packet (negative advice, RFC 9293 3.8.3).
    pub fn doubt(&mut self, path: PathId) {
        let Some(Hop::Neighbour { id, .. }) = self.net.paths.get(path).map(|path| path.hop) else { return };
        self.net.neighbours.doubt(id, self.now);
    }

    /// The time of this batch.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Borrows what sending takes, once the next hop is known.
    #[inline(always)]
    fn open(&mut self, id: PathId, info: &TxInfo) -> Result<Out<'_>, TxStop> {
        let path = self.net.paths.get(id).ok_or(TxStop::NoPath)?;
        if matches!(self.encapsulation, Encapsulation::Udp) && info.destination_port == 0 {
            // A sender that has no port expects no answer (RFC 768).
            return Err(TxStop::NoPath);
        }
        if !path.hop_known.holds(self.net.neighbours.epoch(), self.now) {
            self.find_hop(id)?;
        }
        let Net { netifs, paths, scratch, drops, fragment_ident, config, .. } = &mut *self.net;
        let path = paths.get_mut(id).ok_or(TxStop::NoPath)?;
        let netif = netifs.get_mut(usize::from(path.netif)).ok_or(TxStop::NoPath)?;
        let fields = IpFields {
            protocol: self.encapsulation.protocol(),
            hop_limit: info.hop_limit.unwrap_or(config.hop_limit),
            traffic_class: info.traffic_class(),
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

    /// Asks where the path's packets go next, writes it into its template, and notes for how long that is good.
    #[cold]
    fn find_hop(&mut self, id: PathId) -> Result<(), TxStop> {
        let path = self.net.paths.get(id).ok_or(TxStop::NoPath)?;
        let Hop::Neighbour { ip, id: neighbour } = path.hop else { return Ok(()) };
        let mac = match self.net.neighbours.resolve(neighbour, self.now) {
            (Some(mac), None) => mac,
            found => self.net.resolve_slowly(self.now, id, ip, found).inspect_err(|stop| {
                self.blocked = self.blocked.or((*stop == TxStop::Unresolved).then_some(id));
            })?,
        };
        let Net { paths, neighbours, .. } = &mut *self.net;
        if let Some(path) = paths.get_mut(id) {
            path.template.set_destination(mac);
            // It may be another entry by now.
            if let Hop::Neighbour { id, .. } = path.hop {
                path.hop_known = HopKnown { epoch: neighbours.epoch(), until: neighbours.fresh_until(id) };
            }
        }
        Ok(())
    }
}
