//! Where things stand in an Ethernet frame, read without the code under test: for tests that change frames.

use crate::packets::checksum;

/// Where in a frame its transport begins and ends, with protocol and pseudo-header, if that can be said.
#[derive(Clone, Debug)]
pub struct Anatomy {
    /// From the first byte of the transport's header to the last of its payload, in the frame.
    pub transport: std::ops::Range<usize>,
    /// The IP protocol.
    pub protocol: u8,
    /// The pseudo-header of its checksum (RFC 9293 3.1, RFC 8200 8.1).
    pub pseudo: Vec<u8>,
    /// It is a piece of a packet, or what follows the IP header is no transport.
    pub is_fragment: bool,
}

/// Takes a frame apart.
#[must_use]
pub fn anatomy(frame: &[u8]) -> Option<Anatomy> {
    match frame.get(12..14)? {
        [8, 0] => {
            let header = usize::from(frame.get(14)? & 15) * 4;
            let end = 14 + usize::from(u16::from_be_bytes([*frame.get(16)?, *frame.get(17)?]));
            let is_fragment = u16::from_be_bytes([*frame.get(20)?, *frame.get(21)?]) & 0x3fff != 0;
            let (protocol, start) = (*frame.get(23)?, 14 + header);
            (header >= 20 && start <= end && end <= frame.len()).then_some(())?;
            let mut pseudo = frame[26..34].to_vec();
            pseudo.extend([0, protocol]);
            pseudo.extend(((end - start) as u16).to_be_bytes());
            Some(Anatomy { transport: start..end, protocol, pseudo, is_fragment })
        }
        [0x86, 0xdd] => {
            let end = 54 + usize::from(u16::from_be_bytes([*frame.get(18)?, *frame.get(19)?]));
            let protocol = *frame.get(20)?;
            (end <= frame.len()).then_some(())?;
            let mut pseudo = frame[22..54].to_vec();
            pseudo.extend(((end - 54) as u32).to_be_bytes());
            pseudo.extend([0, 0, 0, protocol]);
            let is_fragment = !matches!(protocol, 6 | 17 | 58);
            Some(Anatomy { transport: 54..end, protocol, pseudo, is_fragment })
        }
        _ => None,
    }
}

/// The sum over a frame's transport, zero if its field is right, and where its field stands.
#[must_use]
pub fn transport_sum(frame: &[u8], anatomy: &Anatomy) -> Option<(u16, usize)> {
    let field = match anatomy.protocol {
        6 => 16,
        17 => 6,
        1 | 58 => 2,
        _ => return None,
    };
    let field = anatomy.transport.start + field;
    (field + 2 <= anatomy.transport.end).then_some(())?;
    let pseudo = if anatomy.protocol == 1 { &[][..] } else { &anatomy.pseudo };
    Some((checksum(&[pseudo, &frame[anatomy.transport.clone()]].concat()), field))
}

/// Writes the checksums of a frame anew, IPv4's and the transport's, as somebody on the way could.
pub fn repair_checksums(frame: &mut [u8]) {
    let Some(anatomy) = anatomy(frame) else { return };
    if frame[12..14] == [8, 0] {
        frame[24..26].copy_from_slice(&[0, 0]);
        let sum = checksum(&frame[14..anatomy.transport.start]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    if anatomy.is_fragment {
        return;
    }
    if let Some((_, field)) = transport_sum(frame, &anatomy) {
        frame[field..field + 2].copy_from_slice(&[0, 0]);
        let (sum, _) = transport_sum(frame, &anatomy).unwrap();
        frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    }
}
