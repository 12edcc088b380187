//! A recording as pcapng: each packet as it was sent, on its sender's interface, and as it came, on the receiver's. The
//! comment of each says its number, what became of it, and what its host knew of its flows then.

use std::io::{self, Write};

use burstlane::observe::{Capture, Direction, FrameTap as _};
use burstlane::time::Instant;
use burstlane_sim::Damage;

use super::decode::flow_of;
use super::label::NamePacket;
use super::state::States;
use super::words;
use crate::recording::{PacketRecord, Recording};
use crate::scenario::Side;

/// Writes a recording into `out`. The same recording gives the same bytes.
///
/// # Errors
/// Those of `out`.
pub fn write_capture<W: Write>(recording: &Recording, name_packet: Option<NamePacket>, out: W) -> io::Result<W> {
    let mut capture = Capture::new(out)?;
    for side in Side::BOTH {
        capture.add_interface(&side.to_string())?;
    }
    let labels: Vec<String> = recording
        .packets
        .iter()
        .zip(words::labels(&recording.packets, name_packet))
        .map(|(packet, label)| format!("{}: {} {}", words::packet(packet), label.name, label.detail))
        .collect();
    // What a host knew when a packet came does not yet hold what it learned from it; when it sends, it does.
    let [mut before, mut after] = [(); 2].map(|()| States::new(&recording.events));
    for frame in in_order(recording) {
        let packet = &recording.packets[frame.packet];
        let (states, side, direction, fate) = match frame.arrival {
            None => (&mut after, packet.from, Direction::Out, words::fate(packet)),
            Some(arrival) => (&mut before, packet.from.other(), Direction::In, words::arrival(packet, arrival)),
        };
        states.advance(frame.at, direction == Direction::Out);
        let mut comment = format!("{}; {fate}", labels[frame.packet]);
        let known = states.describe(side, flow_of(packet.from, &packet.bytes));
        if !known.is_empty() {
            comment = format!("{comment}; {side} {known}");
        }
        let bytes =
            frame.arrival.map_or_else(|| packet.bytes.clone(), |arrival| damaged(packet, packet.arrivals[arrival].1));
        capture.frame(frame.at, side.index() as u16, direction, &bytes, Some(&comment));
    }
    capture.finish()
}

/// A packet crosses an interface: that of its sender, or, the `arrival`th time, the receiver's.
struct Crossing {
    at: Instant,
    packet: usize,
    arrival: Option<usize>,
}

/// All crossings by time. At one instant a host hears before it speaks, unless it hears what was just said.
fn in_order(recording: &Recording) -> Vec<Crossing> {
    let mut crossings = Vec::new();
    for (i, packet) in recording.packets.iter().enumerate() {
        crossings.push((packet.sent_at, 1, Crossing { at: packet.sent_at, packet: i, arrival: None }));
        for (arrival, (at, _)) in packet.arrivals.iter().enumerate() {
            let rank = if *at == packet.sent_at { 2 } else { 0 };
            crossings.push((*at, rank, Crossing { at: *at, packet: i, arrival: Some(arrival) }));
        }
    }
    crossings.sort_by_key(|(at, rank, _)| (*at, *rank));
    crossings.into_iter().map(|(.., crossing)| crossing).collect()
}

/// A packet's bytes as they come out of the wire.
fn damaged(packet: &PacketRecord, damage: Damage) -> Vec<u8> {
    let mut bytes = packet.bytes.clone();
    match damage {
        Damage::FlipBit(bit) if !bytes.is_empty() => {
            let bit = bit as usize % (bytes.len() * 8);
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
        }
        Damage::Truncate(length) => bytes.truncate(length as usize),
        _ => {}
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::tests::any_recording;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_recording_gives_a_capture_of_all_its_packets_and_the_same_each_time(recording in any_recording()) {
            let file = write_capture(&recording, None, Vec::new()).unwrap();
            prop_assert_eq!(&file, &write_capture(&recording, None, Vec::new()).unwrap());
            let mut blocks = 0;
            let mut rest = &file[..];
            while let Some(&[a, b, c, d]) = rest.get(4..8) {
                blocks += usize::from(rest[..4] == [6, 0, 0, 0]);
                rest = &rest[u32::from_le_bytes([a, b, c, d]) as usize..];
            }
            let crossings: usize = recording.packets.iter().map(|packet| 1 + packet.arrivals.len()).sum();
            prop_assert_eq!(blocks, crossings);
        }
    }

    #[test]
    fn a_host_hears_before_it_speaks_but_not_before_it_was_spoken_to() {
        let at = Instant::from_nanos;
        let packet = |from, sent_at, arrives_at| PacketRecord {
            number: Some(0),
            from,
            sent_at: at(sent_at),
            bytes: vec![0; 20],
            arrivals: vec![(at(arrives_at), Damage::None)],
            trouble: None,
        };
        let packets = vec![packet(Side::Left, 0, 5), packet(Side::Right, 5, 5)];
        let recording = Recording { packets, ..Recording::default() };
        let order: Vec<_> = in_order(&recording).iter().map(|c| (c.packet, c.arrival)).collect();
        assert_eq!(order, [(0, None), (0, Some(0)), (1, None), (1, Some(0))]);
    }

    #[test]
    fn damage_is_seen_where_it_arrives() {
        let packet = PacketRecord {
            number: None,
            from: Side::Left,
            sent_at: Instant::ZERO,
            bytes: vec![0, 0],
            arrivals: vec![],
            trouble: None,
        };
        assert_eq!(damaged(&packet, Damage::None), [0, 0]);
        assert_eq!(damaged(&packet, Damage::FlipBit(8)), [0, 0x80]);
        assert_eq!(damaged(&packet, Damage::FlipBit(17)), [0x40, 0]);
        assert_eq!(damaged(&packet, Damage::Truncate(1)), [0]);
    }
}
