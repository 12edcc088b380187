//! Attacks, one function each: by a peer that breaks every rule, and by a stranger who forges segments blindly.

use std::time::Duration;

use burstlane::lane::LaneConfig;
use burstlane::transport::FlowError;

use super::raw::{Raw, Segment, THEM, offers, show};
use crate::wire::{ACK, Control, FIN, PSH, RST, SYN};
use crate::{Config, State};

fn plain() -> Config {
    Config { timestamps: false, ..Config::default() }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The peer shuts its window and acknowledges everything; our FIN is all that is left, and goes as a window probe. It is
/// our FIN nonetheless: the connection closes, once.
#[test]
fn a_fin_goes_into_a_shut_window() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    raw.say(&Segment::new(ACK, open.seq, open.ack).window(0));
    open.stream.shutdown();
    let said = raw.heard(secs(3));
    let fins: Vec<_> = said.iter().filter(|(header, ..)| header.control == Control::Fin).collect();
    assert!(!fins.is_empty(), "{:?}", said.iter().map(show).collect::<Vec<_>>());
    assert!(fins.iter().all(|(header, ..)| header.seq.0 == open.ack));
    // It is acknowledged, the window still shut, and later open.
    raw.say(&Segment::new(ACK, open.seq, open.ack.wrapping_add(1)).window(0));
    let state = open.stream.inspect(|_, conn| conn.state());
    assert_eq!(state, Some(State::FinWait2));
    raw.say(&Segment::new(ACK, open.seq, open.ack.wrapping_add(1)).window(1000));
    let said = raw.heard(secs(5));
    assert!(said.is_empty(), "{:?}", said.iter().map(show).collect::<Vec<_>>());
    raw.say(&Segment::new(FIN | ACK, open.seq, open.ack.wrapping_add(1)));
    assert_eq!(open.stream.ended(), Some(None));
    drop((open, listener));
    raw.heard(secs(61));
    raw.assert_clean();
}

/// A shut window lets in nothing that does not stand at its edge (RFC 9293 3.10.7.4), be it an acknowledgement or a reset: what
/// would stand behind the byte that probes it is never heard.
#[test]
fn nothing_stands_behind_the_probe_of_a_shut_window() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    raw.say(&Segment::new(ACK, open.seq, open.ack).window(0));
    open.stream.write(b"hello").unwrap();
    let probes = raw.heard(secs(2));
    assert!(
        !probes.is_empty() && probes.iter().all(|(header, payload, _)| header.seq.0 == open.ack && payload == b"h")
    );
    raw.say(&Segment::new(ACK, open.seq, open.ack).window(0).with(b"data"));
    let said = raw.heard(Duration::from_millis(500));
    let wanted = (open.ack, Some(open.seq.wrapping_add(4)));
    let heard: Vec<_> = said.iter().map(|(header, ..)| (header.seq.0, header.ack.map(|ack| ack.0))).collect();
    assert!(heard.contains(&wanted) && heard.iter().all(|numbers| *numbers == wanted), "{heard:?}");
    open.stream.abort();
    let said = raw.heard(Duration::ZERO);
    assert!(matches!(&said[..], [(header, ..)] if header.control == Control::Rst && header.seq.0 == open.ack));
    drop((open, listener));
    raw.assert_clean();
}

/// However small the receive buffer: what is in the window and out of order is kept (RFC 9293 SHLD-31), or a sender would have
/// to repeat it after each gap.
#[test]
fn the_smallest_buffer_keeps_what_is_out_of_order() {
    let mut raw = Raw::new(plain().with_buffers(4096, 4096));
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    let piece = |at: u32| Segment::new(ACK, open.seq.wrapping_add(at), open.ack).with(&[7; 400]);
    let said = raw.burst(&[piece(800), piece(400), piece(0)]);
    let upto = said.last().and_then(|(header, ..)| header.ack).map(|ack| ack.0);
    assert_eq!(upto, Some(open.seq.wrapping_add(1200)), "{:?}", raw.host.lane().drops());
}

/// A handshake whose third segment breaks the agreement on timestamps: no connection may come of it that nothing ends.
#[test]
fn a_handshake_without_its_timestamps_is_none() {
    let mut raw = Raw::new(Config::default());
    let listener = raw.listen(4);
    let mut syn = offers(1460, None, true);
    syn.extend([1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0]);
    for options in [vec![], vec![1, 1, 8, 10, 0, 0, 0, 8, 0, 0, 0, 0]] {
        let said = raw.say(&Segment::new(SYN, 100, 0).options(syn.clone()));
        let iss = said[0].0.seq.0;
        raw.say(&Segment::new(ACK, 101, iss + 1).options(options));
        // Whoever is let in is synchronized.
        let stream = listener.accept();
        let state = stream.as_ref().and_then(|stream| stream.inspect(|_, conn| conn.state()));
        assert!(stream.is_none() || state == Some(State::Established), "{state:?}");
        drop(stream);
        raw.heard(secs(400));
        assert_eq!(raw.flows(), 0, "nothing ends it");
    }
    drop(listener);
    raw.assert_clean();
}

/// Whoever receives data can quote it in ICMP errors. Each may shrink the path; none makes us send everything again and
/// again.
#[test]
fn icmp_errors_do_not_multiply_what_is_sent() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, None, true), 0xffff);
    open.stream.write(&[7; 100_000]).unwrap();
    let first: usize = raw.heard(Duration::ZERO).iter().map(|(_, payload, _)| payload.len()).sum();
    assert!(first > 5000);
    let mut again = 0;
    for round in 0..100 {
        raw.say_too_big([1500, 1400, 1400, 9000, 0, 68][round % 6], open.ack, super::raw::LISTEN);
        let said = raw.heard(Duration::from_micros(10));
        assert!(said.iter().all(|(_, payload, _)| payload.len() >= 500), "tiny segments");
        again += said.iter().map(|(_, payload, _)| payload.len()).sum::<usize>();
    }
    assert!(again <= 4 * first, "{again} bytes sent again for 100 errors, where {first} are in flight");
    open.stream.abort();
    drop((open, listener));
    raw.assert_clean();
}

/// TIME-WAIT of a host that does not listen is not ended by a SYN (RFC 1337; RFC 9293 3.6.1 lets a *listener* reopen).
#[test]
fn a_syn_does_not_end_time_wait_where_nobody_listens() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    open.stream.shutdown();
    raw.heard(Duration::from_millis(1));
    raw.say(&Segment::new(FIN | ACK, open.seq, open.ack.wrapping_add(1)));
    assert_eq!((open.stream.ended(), raw.remnants()), (Some(None), 1));
    drop(listener);
    let said = raw.say(&Segment::new(SYN, open.seq.wrapping_add(500_000), 0));
    assert_eq!(raw.remnants(), 1, "{:?}", said.iter().map(show).collect::<Vec<_>>());
    assert!(said.iter().all(|(header, ..)| header.control == Control::None), "an ACK, no reset");
    // Nor does a reset, nor is it made longer by what is no repetition of the FIN.
    raw.say(&Segment::new(RST, open.seq.wrapping_add(1), 0));
    raw.heard(secs(50));
    raw.say(&Segment::new(FIN | ACK, open.seq.wrapping_add(9_000_000), open.ack.wrapping_add(1)));
    assert_eq!(raw.remnants(), 1);
    raw.heard(secs(12));
    assert_eq!(raw.remnants(), 0);
    drop(open);
    raw.assert_clean();
}

/// A window that stays shut keeps a connection as long as somebody owns it; an orphan is not kept for ever.
#[test]
fn an_orphan_at_a_shut_window_ends() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    open.stream.write(&[1; 50_000]).unwrap();
    let (mut acked, seq) = (open.ack, open.seq);
    drop((open.stream, listener));
    for _ in 0..40_000 {
        let said = raw.heard(Duration::from_millis(100));
        for (header, payload, _) in said {
            acked = acked.max(header.seq.0 + payload.len() as u32);
            raw.say(&Segment::new(ACK, seq, open.ack.max(acked.min(open.ack.wrapping_add(1000)))).window(0));
        }
        if raw.flows() == 0 {
            break;
        }
    }
    raw.assert_clean();
}

/// The peer's FIN counts once; a second one behind it does not move RCV.NXT.
#[test]
fn a_second_fin_is_no_data() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    raw.say(&Segment::new(FIN | ACK, open.seq, open.ack));
    raw.say(&Segment::new(FIN | ACK, open.seq.wrapping_add(1), open.ack));
    raw.say(&Segment::new(FIN | ACK, open.seq.wrapping_add(2), open.ack));
    open.stream.write(b"still here").unwrap();
    let said = raw.heard(Duration::from_millis(1));
    assert!(
        said.iter().all(|(header, ..)| header.ack.unwrap().0 == open.seq.wrapping_add(1)),
        "{:?}",
        said.iter().map(show).collect::<Vec<_>>()
    );
    open.stream.shutdown();
    raw.heard(Duration::from_millis(1));
    raw.say(&Segment::new(ACK, open.seq.wrapping_add(1), open.ack.wrapping_add(11)));
    assert_eq!(open.stream.ended(), Some(None));
    drop((open, listener));
    raw.assert_clean();
}

/// The neighbour vanishes when the last ACK is to leave: TIME-WAIT ends nonetheless.
#[test]
fn a_last_ack_that_cannot_leave_ends() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    open.stream.shutdown();
    raw.heard(Duration::from_millis(1));
    raw.say(&Segment::new(ACK, open.seq, open.ack.wrapping_add(1)));
    raw.answers_arp = false;
    // The host forgets where the peer is while it sends resets to it.
    for n in 0..60 {
        raw.say(&Segment { port: 9, to: 9, ..Segment::new(ACK, n, n) });
        raw.heard(secs(1));
    }
    raw.say(&Segment::new(FIN | ACK, open.seq, open.ack.wrapping_add(1)));
    raw.heard(secs(300));
    assert_eq!((raw.flows(), raw.remnants()), (1, 0), "the handle's own");
    assert_eq!(open.stream.ended(), Some(None));
    drop((open, listener));
    raw.assert_clean();
}

/// RFC 5961 3.2 and 4.2: only the exact number resets, anything else in the window is challenged, so many times a second.
#[test]
fn blind_resets_and_syns_are_challenged() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    let mut answers = 0;
    for n in 0..200u32 {
        let said = raw.burst(&[
            Segment::new(RST, open.seq.wrapping_add(1 + n * 300), 0),
            Segment::new(SYN, n.wrapping_mul(77_777_777), 0),
            Segment::new(SYN | ACK, open.seq, open.ack),
            Segment::new(RST | ACK, open.seq.wrapping_sub(1), open.ack),
            Segment::new(ACK, open.seq, open.ack.wrapping_add(1 + n)),
            Segment::new(ACK, open.seq, open.ack.wrapping_sub(0x4000_0000)),
            Segment::new(0, open.seq, 0).with(b"no ACK"),
        ]);
        assert!(said.iter().all(|(header, ..)| {
            header.control == Control::None && header.seq.0 == open.ack && header.ack.unwrap().0 == open.seq
        }));
        answers += said.len();
    }
    assert!(answers <= 10, "{answers}");
    assert_eq!(open.stream.ended(), None);
    raw.say(&Segment::new(RST, open.seq, 0));
    assert_eq!(open.stream.ended(), Some(Some(FlowError::Reset)));
    drop((open, listener));
    raw.assert_clean();
}

/// Floods of SYNs from everywhere: remnants, answers and flows are bounded by the listener, and go by themselves.
#[test]
fn a_flood_of_syns_is_bounded() {
    let mut raw = Raw::new(Config::default());
    let listener = raw.listen(32);
    for n in 0..20_000u32 {
        let port = (n % 60_000) as u16 + 1024;
        raw.put_segment(&Segment { port, ..Segment::new(SYN, n.wrapping_mul(2_654_435_761), 0) });
        if n % 50 == 0 {
            raw.heard(Duration::ZERO);
        }
    }
    assert!(raw.remnants() <= 32);
    assert_eq!((raw.flows(), raw.buffer_bytes()), (0, 0));
    raw.heard(secs(200));
    assert_eq!(raw.remnants(), 0);
    drop(listener);
    raw.assert_clean();
}

/// Connections that are opened and reset before anybody accepts them do not use the backlog up for good.
#[test]
fn reset_connections_leave_the_backlog() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    for n in 0..40u16 {
        let syn = Segment { port: 5000 + n, ..Segment::new(SYN, 100, 0) };
        let Some((header, ..)) = raw.say(&syn).first().cloned() else { break };
        let ack = header.seq.0 + 1;
        raw.burst(&[
            Segment { port: 5000 + n, ..Segment::new(ACK, 101, ack) },
            Segment { port: 5000 + n, ..Segment::new(RST, 101, 0) },
        ]);
    }
    // Whoever accepts learns that they are gone, and there is room again.
    let dead: Vec<_> = std::iter::from_fn(|| listener.accept()).collect();
    assert!(dead.iter().all(|stream| stream.ended() == Some(Some(FlowError::Reset))));
    drop(dead);
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    open.stream.abort();
    drop((open, listener));
    raw.assert_clean();
}

/// Tiny segments out of order, as many as a window holds: memory is bounded, and what fills the gap is delivered whole.
#[test]
fn tiny_segments_beyond_a_gap_are_bounded() {
    let mut raw = Raw::new(plain());
    let listener = raw.listen(4);
    let open = raw.opened(&listener, offers(1460, Some(7), true), 1000);
    let data: Vec<u8> = (0..60_000u32).map(|n| (n * 7 + n / 256) as u8).collect();
    // Every second byte first.
    for at in (1..data.len()).step_by(2) {
        let seq = open.seq.wrapping_add(at as u32);
        raw.put_segment(&Segment::new(ACK, seq, open.ack).with(&data[at..=at]));
        if at % 99 == 0 {
            let said = raw.heard(Duration::ZERO);
            assert!(said.iter().all(|(header, ..)| header.ack.unwrap().0 == open.seq));
        }
        let held = raw.buffer_bytes();
        assert!(held <= 2 * 256 * 1024, "{held}");
    }
    assert!(raw.end.frames_out() <= raw.end.pools().0.slots() / 2, "{}", raw.end.frames_out());
    // Then everything, overlapping.
    let mut received = vec![];
    let mut buf = [0; 4096];
    for at in (0..data.len()).step_by(700) {
        let end = (at + 1400).min(data.len());
        raw.say(&Segment::new(ACK | PSH, open.seq.wrapping_add(at as u32), open.ack).with(&data[at..end]));
        while let Ok(n) = open.stream.read(&mut buf) {
            received.extend_from_slice(&buf[..n]);
        }
    }
    assert!(received == data, "{} of {}", received.len(), data.len());
    open.stream.abort();
    drop((open, listener));
    raw.assert_clean();
}

/// Segments as large as IP packets get: a piece that a device cuts is no smaller than one of them.
#[test]
fn the_largest_mtu_does_not_stall() {
    use super::net::{Pair, Transfer, pattern};
    use burstlane_sim::{EndConfig, LinkConfig};
    let ends = (EndConfig::host(1).with_mtu(65_535), EndConfig::host(2).with_mtu(65_535));
    let link = LinkConfig { loss: 0.1, delay: Duration::from_millis(5), ..LinkConfig::default() };
    let pair = Pair::with_ends(30, &link, plain(), plain(), ends);
    let (client, server, listener) = pair.open();
    {
        let mut there = Transfer::new(&client, &server, pattern(30, 3_000_000));
        pair.until(600, || there.step());
        there.check();
    }
    client.abort();
    drop((client, server, listener));
    pair.assert_clean();
}

/// SYNs from addresses of this link that are nobody's: what is half-open keeps neither neighbours nor paths from those who
/// are there.
#[test]
fn forged_syns_do_not_fill_the_neighbour_cache() {
    let mut lane = LaneConfig::seeded(7);
    (lane.net.neighbours_max, lane.net.paths_max) = (32, 32);
    let mut raw = Raw::with_lane(plain(), lane);
    let listener = raw.listen(128);
    for last in 10..100 {
        raw.from = [10, 77, 0, last];
        raw.say(&Segment::new(SYN, 1, 0));
    }
    assert_eq!(raw.remnants(), 90);
    raw.from = THEM;
    // Our address may have been forgotten meanwhile: the first answer then only asks for it.
    raw.say(&Segment { port: 7, ..Segment::new(SYN, 1, 0) });
    let open = raw.opened(&listener, offers(1460, None, false), 1000);
    open.stream.abort();
    drop((open, listener));
    raw.heard(secs(200));
    raw.assert_clean();
}

/// The answer to a SYN that came again echoes the later one: who opens would otherwise measure its own back-off, and wait for
/// a minute when it next loses something.
#[test]
fn the_answer_to_a_repeated_syn_echoes_it() {
    let mut raw = Raw::new(Config::default());
    let _listener = raw.listen(8);
    // The last one is of the past, a late copy.
    for (value, echo) in [(100, 100), (5_000, 5_000), (4_000, 5_000)] {
        let said = raw.say(&Segment::new(SYN, 1, 0).stamped(value, 0));
        assert_eq!(said[0].0.timestamps.unwrap().echo, echo);
    }
}
