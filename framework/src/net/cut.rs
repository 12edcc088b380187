//! Cutting a datagram into IP fragments on its way out (RFC 791 2.3, RFC 8200 4.5). Transports that know the path's MTU
//! never get here; datagrams that may not be divided neither.

use super::header::{DONT_FRAGMENT, HeaderTemplate, IpFields, MORE_FRAGMENTS};
use crate::frame::{Frame, FramePool};

/// Appends to `out` the packets that carry `payload`: one if it fits `mtu`, else fragments, all with `ident` (of which
/// IPv4 uses 16 bits). `false`, and nothing appended, if memory ran out.
pub(crate) fn cut(
    template: &HeaderTemplate,
    fields: &IpFields,
    ident: u32,
    mtu: usize,
    payload: &[u8],
    pool: &FramePool,
    out: &mut Vec<Frame>,
) -> bool {
    let before = out.len();
    let whole_max = mtu.saturating_sub(template.ip_bytes());
    let mut fields = IpFields { ident: ident as u16, ..*fields };
    if payload.len() <= whole_max {
        return emit(template, &fields, &[], payload, pool, out);
    }
    let extension = if template.is_v4() { 0 } else { FRAGMENT_HEADER_BYTES };
    let piece_max = whole_max.saturating_sub(extension) & !7;
    if piece_max == 0 {
        return false;
    }
    let mut offset = 0;
    for piece in payload.chunks(piece_max) {
        let more = offset + piece.len() < payload.len();
        let ok = if template.is_v4() {
            // Offsets count eight bytes.
            fields.fragment = (offset / 8) as u16 | if more { MORE_FRAGMENTS } else { 0 };
            debug_assert!(fields.fragment & DONT_FRAGMENT == 0);
            emit(template, &fields, &[], piece, pool, out)
        } else {
            let header = fragment_header(fields.protocol, offset as u16 | u16::from(more), ident);
            emit(template, &IpFields { protocol: FRAGMENT_HEADER, ..fields }, &header, piece, pool, out)
        };
        if !ok {
            out.truncate(before);
            return false;
        }
        offset += piece.len();
    }
    true
}

/// Packets that [`cut`] makes of `payload_bytes` bytes.
pub(crate) fn pieces(template: &HeaderTemplate, mtu: usize, payload_bytes: usize) -> usize {
    let whole_max = mtu.saturating_sub(template.ip_bytes());
    if payload_bytes <= whole_max {
        return 1;
    }
    let extension = if template.is_v4() { 0 } else { FRAGMENT_HEADER_BYTES };
    payload_bytes.div_ceil((whole_max.saturating_sub(extension) & !7).max(1))
}

fn emit(
    template: &HeaderTemplate,
    fields: &IpFields,
    extension: &[u8],
    payload: &[u8],
    pool: &FramePool,
    out: &mut Vec<Frame>,
) -> bool {
    let Some(mut frame) = pool.alloc() else { return false };
    let Some(headers) = frame.append(template.bytes()) else { return false };
    template.write(headers, fields, extension.len() + payload.len());
    if !frame.extend_from_slice(extension) || !frame.extend_from_slice(payload) {
        return false;
    }
    out.push(frame);
    true
}

/// `offset_more`: the offset in bytes, a multiple of eight, and the more-fragments bit as its lowest.
fn fragment_header(next: u8, offset_more: u16, ident: u32) -> [u8; FRAGMENT_HEADER_BYTES] {
    let [o1, o0] = offset_more.to_be_bytes();
    let [i3, i2, i1, i0] = ident.to_be_bytes();
    [next, 0, o1, o0, i3, i2, i1, i0]
}

/// Next-header number of the fragment header.
pub(crate) const FRAGMENT_HEADER: u8 = 44;
/// Its bytes.
pub(crate) const FRAGMENT_HEADER_BYTES: usize = 8;
