//! The link behind the device: whoever is asked for is there, at one Ethernet address (RFC 826, RFC 4861 7.2.4). packetdrill
//! plays all hosts of the world and knows nothing of links.

use burstlane::addr::Mac;

/// Our device's Ethernet address.
pub(crate) const HOST: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// Everybody else's.
const WORLD: Mac = Mac([2, 0, 0, 0, 0, 2]);
const ETHERNET_BYTES: usize = 14;

/// What a frame from the host is.
pub(crate) enum Sent<'a> {
    /// An IP packet for packetdrill.
    Packet(&'a [u8]),
    /// A question for a neighbour; the frame is its answer.
    Question(Vec<u8>),
    /// Other talk of the link.
    Other,
}

/// Reads a frame from the host.
pub(crate) fn sort(frame: &[u8]) -> Sent<'_> {
    let Some((header, packet)) = frame.split_at_checked(ETHERNET_BYTES) else { return Sent::Other };
    match header {
        [.., 8, 6] => arp_answer(packet).map_or(Sent::Other, Sent::Question),
        [.., 0x86, 0xdd] if packet.get(6) == Some(&58) => match packet.get(40) {
            Some(135) => advertisement(packet).map_or(Sent::Other, Sent::Question),
            Some(133..=137 | 143) => Sent::Other,
            _ => Sent::Packet(packet),
        },
        [.., 8, 0] | [.., 0x86, 0xdd] => Sent::Packet(packet),
        _ => Sent::Other,
    }
}

/// An IP packet as a frame to the host; `None` if it is neither IPv4 nor IPv6.
pub(crate) fn frame(packet: &[u8]) -> Option<Vec<u8>> {
    let kind = match packet.first()? >> 4 {
        4 => [8, 0],
        6 => [0x86, 0xdd],
        _ => return None,
    };
    Some([&HOST.0[..], &WORLD.0, &kind, packet].concat())
}

fn arp_answer(question: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = question.split_at_checked(8)?;
    let (asker, target) = (rest.get(..10)?, rest.get(16..20)?);
    if head != [0, 1, 8, 0, 6, 4, 0, 1] {
        return None;
    }
    Some([&HOST.0[..], &WORLD.0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &WORLD.0, target, asker].concat())
}

fn advertisement(solicitation: &[u8]) -> Option<Vec<u8>> {
    let (asker, target) = (solicitation.get(8..24)?, solicitation.get(48..64)?);
    // Solicited, overriding, with the link-layer address.
    let message = |sum: u16| {
        let [high, low] = sum.to_be_bytes();
        [&[136, 0, high, low, 0x60, 0, 0, 0], target, &[2, 1], &WORLD.0].concat()
    };
    let pseudo = [target, asker, &[0, 0, 0, 32, 0, 0, 0, 58]].concat();
    let sum = checksum(&[pseudo, message(0)].concat());
    let header = [&[0x60, 0, 0, 0, 0, 32, 58, 255], target, asker].concat();
    frame(&[header, message(sum)].concat())
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.as_chunks().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}
