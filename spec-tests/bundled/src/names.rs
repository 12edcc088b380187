//! What the bundled protocols inside UDP call their packets. Read by hand, not by the protocols' own code: a picture must
//! show what is on the wire even if they get it wrong.

use burstlane::toolkit::{AckBlock, Field, FieldReader, FieldWriter, StreamAt};
use burstlane_spec::failure::{Label, NamePacket, Role};

/// What names a transport's packets, for those that a UDP header says nothing about.
#[must_use]
pub fn of(transport: &str) -> Option<NamePacket> {
    match transport {
        "rudp" => Some(rudp),
        "stop-and-wait" => Some(stop_and_wait),
        _ => None,
    }
}

/// Magic and version, the receiver's connection, the datagram's number, and the parts that the flags name.
#[must_use]
pub fn rudp(protocol: u8, packet: &[u8]) -> Option<Label> {
    let mut fields = FieldReader::new(packet);
    fields.u16().filter(|magic| protocol == 17 && *magic == RUDP_MAGIC)?;
    let (_, number) = (fields.u64()?, fields.offset()?);
    let mut parts = fields.parts()?;
    let (ping, reset) = (parts.flag(), parts.flag());
    let hello = parts.part::<Hello>()?;
    let (ack, stream) = (parts.part::<AckBlock>()?, parts.part::<StreamAt>()?);
    let (challenge, response) = (parts.part::<u64>()?, parts.part::<u64>()?);
    let data_bytes = fields.rest().len() as u64;

    let ends = stream.is_some_and(|stream| stream.end);
    let names = [
        (reset, "RESET"),
        (hello.is_some(), "HELLO"),
        (stream.is_some(), "STREAM"),
        (ends, "END"),
        (ping, "PING"),
        (challenge.is_some(), "CHALLENGE"),
        (response.is_some(), "RESPONSE"),
        (ack.is_some(), "ACK"),
    ];
    let name: Vec<&str> = names.iter().filter(|(is_there, _)| *is_there).map(|(_, name)| *name).collect();
    let mut detail = Vec::new();
    let mut carries = 0..0;
    if let Some(StreamAt { offset, .. }) = stream {
        let end = offset.saturating_add(data_bytes);
        detail.push(format!("{offset}:{end} ({data_bytes})"));
        carries = offset..end.saturating_add(u64::from(ends));
    }
    if let Some(ack) = ack {
        detail.push(format!("ack {} win {}", ack.upto(), ack.window()));
        detail.extend(ack.ranges().map(|range| format!("{}:{}", range.start, range.end)));
    }
    detail.extend(hello.as_ref().map(|hello| format!("win {}", hello.window)));
    detail.push(format!("no. {number}"));
    let role = match stream {
        _ if reset => Role::Reset,
        Some(_) if data_bytes > 0 => Role::Data,
        _ if hello.is_some() || ends => Role::Control,
        _ => Role::Ack,
    };
    let name = if name.is_empty() { "nothing".to_owned() } else { name.join(" ") };
    Some(Label::new(role, name, detail.join(" ")).carrying(carries))
}

/// `kind`, `session`, `number`, `expected`, and the message.
#[must_use]
pub fn stop_and_wait(protocol: u8, packet: &[u8]) -> Option<Label> {
    let (header, message) = packet.split_first_chunk::<16>().filter(|_| protocol == 17)?;
    let &[kind, _, number, expected] = header.as_chunks::<4>().0 else { return None };
    let [number, expected] = [number, expected].map(u32::from_be_bytes);
    let item = u64::from(number)..u64::from(number) + 1;
    Some(match &kind {
        b"SW-A" => Label::new(Role::Ack, "ACK", format!("expects {expected}")),
        b"SW-O" => Label::new(Role::Control, "OPEN", format!("{number}, expects {expected}")).carrying(item),
        b"SW-M" => Label::new(Role::Data, "MESSAGE", format!("{number} ({}), expects {expected}", message.len()))
            .carrying(item),
        b"SW-E" => Label::new(Role::Control, "END", format!("{number}, expects {expected}")).carrying(item),
        b"SW-R" => Label::new(Role::Reset, "RESET", format!("expects {expected}")),
        _ => return None,
    })
}

/// A greeting: whose connection, and how much may be sent to it.
struct Hello {
    cid: u64,
    window: u64,
}

impl Field for Hello {
    fn read(fields: &mut FieldReader<'_>) -> Option<Self> {
        Some(Self { cid: fields.u64()?, window: fields.u64()? })
    }

    fn write<const N: usize>(&self, out: &mut FieldWriter<N>) {
        out.u64(self.cid).u64(self.window);
    }
}

const RUDP_MAGIC: u16 = 0xb501;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_packet_has_a_name_or_none(protocol: u8, mut packet in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (stop_and_wait(protocol, &packet), rudp(protocol, &packet));
            if packet.len() > 2 {
                packet[..2].copy_from_slice(&RUDP_MAGIC.to_be_bytes());
                let _ = rudp(17, &packet);
            }
            if packet.len() >= 16 {
                packet[..4].copy_from_slice(b"SW-M");
                prop_assert_eq!(stop_and_wait(17, &packet).unwrap().role, Role::Data);
            }
        }
    }
}
