//! What the bundled protocols inside UDP call their packets.

use burstlane_spec::failure::{Label, NamePacket, Role};

/// What names a transport's packets, for those that a UDP header says nothing about.
pub(super) fn of(transport: &str) -> Option<NamePacket> {
    match transport {
        "stop-and-wait" => Some(stop_and_wait),
        _ => None,
    }
}

/// `kind`, `session`, `number`, `expected`, and the message.
fn stop_and_wait(protocol: u8, packet: &[u8]) -> Option<Label> {
    let (header, message) = packet.split_first_chunk::<16>().filter(|_| protocol == 17)?;
    let &[kind, _, number, expected] = header.as_chunks::<4>().0 else { return None };
    let [number, expected] = [number, expected].map(u32::from_be_bytes);
    Some(match &kind {
        b"SW-A" => Label::new(Role::Ack, "ACK", format!("expects {expected}")),
        b"SW-O" => Label::new(Role::Control, "OPEN", format!("{number}, expects {expected}")),
        b"SW-M" => Label::new(Role::Data, "MESSAGE", format!("{number} ({}), expects {expected}", message.len())),
        b"SW-E" => Label::new(Role::Control, "END", format!("{number}, expects {expected}")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_packet_has_a_name_or_none(protocol: u8, mut packet in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = stop_and_wait(protocol, &packet);
            if packet.len() >= 16 {
                packet[..4].copy_from_slice(b"SW-M");
                prop_assert_eq!(stop_and_wait(17, &packet).unwrap().role, Role::Data);
            }
        }
    }
}
