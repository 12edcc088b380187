//! A UDP datagram (RFC 768).

use pnet_packet::udp::UdpPacket;

use super::{Flaw, IpHeader};

/// A datagram that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'f> {
    /// Port of the sender; may be zero.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// What it carries.
    pub payload: &'f [u8],
}

pub(super) fn decode<'f>(header: &IpHeader, body: &'f [u8]) -> Result<Datagram<'f>, Flaw> {
    let udp = UdpPacket::new(body).ok_or_else(|| Flaw("UDP: shorter than a header".into()))?;
    let length = usize::from(udp.get_length());
    ensure!(length == body.len(), "UDP: length {length} in {} bytes", body.len());
    // We always compute one, over IPv4 too, and a sum of zero is sent as its other form.
    ensure!(udp.get_checksum() != 0, "UDP: no checksum");
    ensure!(header.is_sum_right(body), "UDP: checksum {:#06x}", udp.get_checksum());
    ensure!(udp.get_destination() != 0, "UDP: to port 0");
    let (source_port, destination_port) = (udp.get_source(), udp.get_destination());
    Ok(Datagram { source_port, destination_port, payload: &body[UDP_BYTES..] })
}

const UDP_BYTES: usize = 8;
