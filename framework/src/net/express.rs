//! The short way out: one packet of a transport directly over IP, by a path whose next hop is known, its checksum ours to
//! compute. Whatever is not so goes the general way, [`emit`](super::emit), which also says what is wrong; a test holds the
//! two against each other.

use super::Net;
use super::checksum::{self, ChecksumSpec};
use super::claim::Encapsulation;
use super::egress::{TxBatch, TxInfo};
use super::emit::{Cursor, total_bytes};
use super::header::{DONT_FRAGMENT, IpFields};
use super::path::PathId;
use crate::simd;

impl TxBatch<'_> {
    /// Sends one packet as [`segment`](Self::segment) does. `None`, and nothing done, if it must go the general way.
    #[inline(always)]
    pub(super) fn express(&mut self, id: PathId, info: &TxInfo, header: &[u8], payload: &[&[u8]]) -> Option<()> {
        let Encapsulation::Ip { protocol, checksum: Some(ChecksumSpec { field }) } = self.encapsulation else {
            return None;
        };
        let Net { netifs, paths, neighbours, config, .. } = &mut *self.net;
        let path = paths.get_mut(id)?;
        let netif = netifs.get_mut(usize::from(path.netif))?;
        let front = path.template.bytes();
        let transport_bytes = header.len() + total_bytes(payload);
        let field = usize::from(field)..usize::from(field) + 2;
        let is_plain = header.get(field.clone()) == Some(&[0, 0])
            && path.hop_known.holds(neighbours.epoch(), self.now)
            && netif.has_room()
            && self.bytes_left > 0
            && !netif.caps.tx_checksum
            && path.template.ip_bytes() + transport_bytes <= path.mtu as usize;
        if !is_plain {
            return None;
        }
        // It is written where it will leave from: a frame is large to move.
        let frame = netif.outbox.push_mut(netif.pool.alloc()?);
        let Some(bytes) = frame.append(front + transport_bytes) else {
            netif.outbox.pop();
            return None;
        };
        let (ip, transport) = bytes.split_at_mut(front);
        let fields = IpFields {
            protocol,
            hop_limit: info.hop_limit.unwrap_or(config.hop_limit),
            traffic_class: info.traffic_class(),
            flow_label: info.flow_label,
            ident: path.ident,
            fragment: if info.dont_fragment { DONT_FRAGMENT } else { 0 },
        };
        path.template.write(ip, &fields, transport_bytes);
        let (own, body) = transport.split_at_mut(header.len());
        // By words as it was written: wider loads would wait until the last of those is through.
        let sum = simd::copy_and_sum(own, header);
        let copied = Cursor { slices: payload, offset: 0 }.copy_and_sum(body);
        let sum = simd::append(sum, own.len(), copied);
        let pseudo = path.template.pseudo_sum(protocol, transport_bytes);
        if let Some(place) = own.get_mut(field) {
            place.copy_from_slice(&checksum::finish(simd::add(pseudo, sum)));
        }
        path.ident = path.ident.wrapping_add(1);
        self.bytes_left = self.bytes_left.saturating_sub(front + transport_bytes);
        Some(())
    }
}
