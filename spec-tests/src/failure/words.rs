//! What became of a packet, in words: for comments, labels and tooltips.

use std::time::Duration;

use burstlane_sim::Damage;

use super::label::{Label, Labeller, NamePacket};
use crate::link::is_neighbour_traffic;
use crate::recording::PacketRecord;

/// `left 7`, or `left, unnumbered`: how faults name it.
pub(super) fn packet(packet: &PacketRecord) -> String {
    match packet.number {
        Some(number) => format!("{} packet {number}", packet.from),
        None if is_strangers(packet) => format!("to {}, from a stranger", packet.from.other()),
        None => format!("{}, unnumbered", packet.from),
    }
}

/// Whether neither host sent it: it has no number, and is no question for a neighbour, which has none either.
pub(super) fn is_strangers(packet: &PacketRecord) -> bool {
    packet.number.is_none() && !is_neighbour_traffic(&packet.bytes)
}

/// The labels of all packets, in their order.
pub(super) fn labels(packets: &[PacketRecord], name_packet: Option<NamePacket>) -> Vec<Label> {
    let mut labeller = Labeller::new(name_packet);
    let mut label = |packet: &PacketRecord| match is_strangers(packet) {
        true => labeller.label_of_stranger(&packet.bytes),
        false => labeller.label(&packet.bytes),
    };
    packets.iter().map(&mut label).collect()
}

/// What happened to it on its way.
pub(super) fn fate(packet: &PacketRecord) -> String {
    let trouble = packet.trouble.as_ref().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    let arrivals: Vec<String> = packet
        .arrivals
        .iter()
        .map(|(at, damage)| {
            let damage = damage_of(packet, *damage).map(|damage| format!(", {damage}")).unwrap_or_default();
            format!("{}{damage}", later(at.since(packet.sent_at)))
        })
        .collect();
    match arrivals.as_slice() {
        [] => format!("lost{trouble}"),
        [one] => format!("arrives {one}{trouble}"),
        many => format!("arrives {} times: {}{trouble}", many.len(), many.join(", ")),
    }
}

/// What one of its arrivals was like.
pub(super) fn arrival(packet: &PacketRecord, index: usize) -> String {
    let Some((at, damage)) = packet.arrivals.get(index) else { return String::new() };
    let mut text = format!("sent {} ago", span(at.since(packet.sent_at)));
    if index > 0 {
        text.push_str(&format!(", copy {index}"));
    }
    if let Some(damage) = damage_of(packet, *damage) {
        text.push_str(&format!(", {damage}"));
    }
    text
}

/// What the way did to its bytes, if anything.
pub(super) fn damage_of(packet: &PacketRecord, damage: Damage) -> Option<String> {
    match damage {
        Damage::None => None,
        Damage::FlipBit(bit) => {
            let bits = packet.bytes.len() as u64 * 8;
            Some(format!("bit {} flipped", u64::from(bit).checked_rem(bits).unwrap_or(0)))
        }
        Damage::Truncate(bytes) => Some(format!("cut to {bytes} bytes")),
        _ => Some("damaged".to_owned()),
    }
}

/// `3.2 s later`.
pub(super) fn later(time: Duration) -> String {
    format!("{} later", span(time))
}

/// A stretch of time in three digits or so: `800 ns`, `12.5 ms`, `3.2 s`, `14 min`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match time.as_nanos() {
        0..1_000 => (seconds * 1e9, "ns"),
        1_000..1_000_000 => (seconds * 1e6, "µs"),
        1_000_000..1_000_000_000 => (seconds * 1e3, "ms"),
        1_000_000_000..600_000_000_000 => (seconds, "s"),
        _ => (seconds / 60.0, "min"),
    };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_time_has_the_unit_that_suits_it() {
        for (nanos, text) in [
            (0, "0 ns"),
            (800, "800 ns"),
            (5_000_000, "5 ms"),
            (12_345_678, "12.3 ms"),
            (200_000_000, "200 ms"),
            (3_210_000_000, "3.21 s"),
            (840_000_000_000, "14 min"),
        ] {
            assert_eq!(span(Duration::from_nanos(nanos)), text);
        }
    }
}
