use super::*;
use crate::congestion::NewReno;
use crate::toolkit::RangeSet;
use proptest::prelude::*;

const SEGMENT: u64 = 1_000;
const RTT: Duration = Duration::from_millis(20);

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn sender(controller: NewReno) -> ReliableSender {
    let rto = RtoConfig::default();
    let policy = SenderPolicy { rto, ack_delay_max: Duration::from_millis(5), patience_max: Duration::from_secs(6) };
    let mut sender = ReliableSender::new(Box::new(controller), policy);
    sender.set_segment(at(0), SEGMENT as u32);
    sender.on_opened(at(20), at(0));
    sender
}

fn send(sender: &mut ReliableSender, now: Instant, stop: u64) -> Option<Piece> {
    let Next::Send(piece) = sender.next(now, stop, SEGMENT) else { return None };
    sender.on_sent(now, &piece, piece.range.end - piece.range.start);
    Some(piece)
}

fn ack(sender: &mut ReliableSender, now: Instant, upto: u64, ranges: &[Range<u64>]) -> AckSample {
    let mut run = sender.begin_run(now);
    sender.on_ack(&mut run, upto, ranges.iter().cloned(), Duration::ZERO).unwrap();
    sender.finish_run(run).unwrap()
}

#[test]
fn whole_packets_go_within_the_window_and_the_rest_at_the_end() {
    let mut sender = sender(NewReno::new());
    let cwnd = sender.controller().cwnd();
    let first = send(&mut sender, at(30), 1_000_500).unwrap();
    assert_eq!(first, Piece { range: 0..cwnd - cwnd % SEGMENT, again: false });
    assert!(send(&mut sender, at(30), 1_000_500).is_none() && !sender.has_next(at(30), 1_000_500));
    let sample = ack(&mut sender, at(50), first.range.end, &[]);
    assert_eq!((sample.rtt, sample.acked_bytes, sample.app_limited), (Some(RTT), first.range.end, false));
    let stop = first.range.end + 2_500;
    assert_eq!(send(&mut sender, at(50), stop).unwrap().range, first.range.end..stop);
}

#[test]
fn packet_by_packet_the_window_is_filled() {
    let mut sender = sender(NewReno::new());
    sender.set_segment(at(20), SEGMENT as u32);
    let cwnd = sender.controller().cwnd();
    let sent = (1..).take_while(|n| send(&mut sender, at(30), n * SEGMENT).is_some()).count() as u64;
    assert_eq!(sent, cwnd / SEGMENT);
}

#[test]
fn silence_is_answered_by_a_probe_then_by_sending_all_again() {
    let mut sender = sender(NewReno::new());
    send(&mut sender, at(30), 3_500).unwrap();
    sender.arm(at(30), true);
    assert_eq!(sender.deadline(), at(30 + 40 + 5 + 2), "2 SRTT, the peer's delay, and slack");
    let now = sender.deadline();
    assert_eq!(sender.on_deadline(now), Some("PTO"));
    assert_eq!(send(&mut sender, now, 3_500), Some(Piece { range: 2_500..3_500, again: true }));
    let now = sender.deadline();
    assert_eq!(sender.on_deadline(now), Some("RTO"));
    assert_eq!(send(&mut sender, now, 3_500), Some(Piece { range: 0..1_000, again: true }));
    let mut waits = vec![];
    for _ in 0..8 {
        let now = sender.deadline();
        assert_eq!(sender.on_deadline(now), Some("RTO"));
        waits.push(sender.deadline().since(now));
    }
    assert!(waits.is_sorted() && waits.last() == Some(&Duration::from_secs(6)), "{waits:?}");
    ack(&mut sender, now, 3_500, &[]);
    sender.arm(now, false);
    assert_eq!((sender.deadline(), sender.is_empty()), (Instant::NEVER, true));
}

#[test]
fn what_was_overtaken_is_sent_again_before_what_is_new() {
    let mut sender = sender(NewReno::new());
    for n in 1..=8 {
        send(&mut sender, at(30 + n), n * SEGMENT).unwrap();
    }
    let sample = ack(&mut sender, at(55), 1_000, &[3_000..5_000, 5_000..8_000]);
    assert_eq!((sample.lost_bytes, sample.delivered_bytes), (2_000, 6_000));
    assert_eq!(send(&mut sender, at(55), 100_000), Some(Piece { range: 1_000..3_000, again: true }));
}

#[test]
fn a_look_for_losses_is_no_timeout() {
    let mut sender = sender(NewReno::new());
    send(&mut sender, at(31), 7_000).unwrap();
    send(&mut sender, at(32), 8_000).unwrap();
    ack(&mut sender, at(52), 0, std::slice::from_ref(&(7_000..8_000)));
    sender.arm(at(52), true);
    // A quarter of the round trip is granted for reordering.
    assert_eq!(sender.deadline(), at(31 + 20 + 5));
    assert!(send(&mut sender, at(55), 8_000).is_none());
    assert_eq!(sender.on_deadline(at(56)), None);
    let again = send(&mut sender, at(56), 8_000).unwrap();
    assert_eq!((again.range.start, again.again), (0, true));
    assert_eq!(sender.deadline(), at(52 + 40 + 5 + 2), "the peer's time to answer runs on");
}

#[test]
fn what_the_peer_waited_is_no_part_of_a_round_trip_unless_it_is_half_of_it() {
    for (delay_ms, rtt_ms) in [(0, 20), (4, 16), (9, 11), (10, 20), (1_000, 20)] {
        let mut sender = sender(NewReno::new());
        send(&mut sender, at(30), 1_000).unwrap();
        let mut run = sender.begin_run(at(50));
        sender.on_ack(&mut run, 1_000, std::iter::empty(), Duration::from_millis(delay_ms)).unwrap();
        assert_eq!(sender.finish_run(run).unwrap().rtt, Some(Duration::from_millis(rtt_ms)), "{delay_ms}");
    }
}

#[test]
fn after_a_long_silence_the_window_starts_again() {
    let mut sender = sender(NewReno::new());
    let (initial, mut now) = (sender.controller().cwnd(), at(30));
    for _ in 0..4 {
        let piece = send(&mut sender, now, u64::MAX).unwrap();
        now += RTT;
        ack(&mut sender, now, piece.range.end, &[]);
    }
    let grown = sender.controller().cwnd();
    assert!(grown > initial && sender.has_next(now + RTT, u64::MAX));
    assert_eq!(sender.controller().cwnd(), grown);
    assert!(sender.has_next(now + Duration::from_secs(10), u64::MAX));
    assert_eq!(sender.controller().cwnd(), initial);
}

#[test]
fn acknowledgements_of_what_was_never_sent_change_nothing() {
    let mut sender = sender(NewReno::new());
    send(&mut sender, at(30), 1_000).unwrap();
    let mut run = sender.begin_run(at(40));
    assert_eq!(sender.on_ack(&mut run, 1_001, std::iter::empty(), Duration::ZERO), Err(NeverSent));
    assert!(sender.finish_run(run).is_none() && sender.una() == 0);
}

#[test]
fn a_pacing_controller_gets_quanta_at_intervals() {
    let mut sender = sender(NewReno::paced());
    send(&mut sender, at(30), 1_000).unwrap();
    ack(&mut sender, at(50), 1_000, &[]);
    let (mut now, mut sent, mut waits) = (at(50), 1_000, 0);
    while sent < 9_000 {
        match sender.next(now, 9_000, SEGMENT) {
            Next::Send(piece) => {
                sent = piece.range.end;
                sender.on_sent(now, &piece, piece.range.end - piece.range.start);
            }
            Next::PacedUntil(later) => {
                assert!(later > now);
                (now, waits) = (later, waits + 1);
            }
            Next::Nothing => panic!("the window takes it"),
        }
    }
    assert!(waits > 0);
}

proptest! {
    /// A peer behind a channel that loses: whatever gets lost, all arrives, and never by more than the window at once.
    #[test]
    fn everything_arrives(seed: u64, stop in 1u64..60_000, loss in 0u64..60) {
        let (mut sender, mut arrived, mut random) = (sender(NewReno::new()), RangeSet::with_limit(1_000), seed | 1);
        let mut chance = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % 100
        };
        arrived.insert(0..0);
        let mut now = at(30);
        for _ in 0..3_000 {
            let mut sent = vec![];
            while let Some(piece) = send(&mut sender, now, stop) {
                sent.push(piece.range);
            }
            now += RTT;
            let mut heard = false;
            for range in sent {
                let mut start = range.start;
                while start < range.end {
                    let end = range.end.min(start + SEGMENT);
                    if chance() >= loss {
                        arrived.insert(start..end);
                        heard = true;
                    }
                    start = end;
                }
            }
            if heard && chance() >= loss {
                let upto = arrived.range_of(0).map_or(0, |range| range.end);
                let beyond: Vec<_> = arrived.iter().filter(|range| range.start > upto).collect();
                ack(&mut sender, now, upto, &beyond);
            }
            prop_assert!(sender.una() <= stop);
            if sender.una() == stop {
                break;
            }
            sender.arm(now, true);
            if !sender.has_next(now, stop) {
                now = now.max(sender.deadline());
                sender.on_deadline(now);
            }
        }
        prop_assert_eq!(sender.una(), stop);
    }
}
