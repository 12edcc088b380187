use std::time::Duration;

use burstlane::driver::{Driver, DriverError, ProtocolSet};
use burstlane::frame::{Checksum, Frame, PoolConfig};
use burstlane::time::Instant;
use proptest::prelude::*;

use super::*;

fn frame(end: &SimDriver, tag: u32, bytes: usize) -> Frame {
    let mut frame = end.pool().alloc().unwrap();
    let mut content = tag.to_be_bytes().to_vec();
    content.resize(bytes.max(4), 0);
    assert!(frame.extend_from_slice(&content));
    frame
}

fn tag(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.bytes()[..4].try_into().unwrap())
}

/// All that arrives, with its instant, until nothing is under way.
fn drain(net: &Network, end: &mut SimDriver) -> Vec<(Instant, Vec<u8>)> {
    let mut arrived = vec![];
    loop {
        let mut burst = vec![];
        end.rx_burst(&mut burst, 7).unwrap();
        arrived.extend(burst.iter().map(|f| (net.now(), f.bytes().to_vec())));
        if burst.is_empty() {
            match net.next_arrival() {
                Some(at) => net.advance(at),
                None => return arrived,
            }
        }
    }
}

fn pair(config: &LinkConfig, seed: u64) -> (Network, SimDriver, SimDriver) {
    let net = Network::new();
    let (there, back) = (StandardLink::boxed(config.clone(), seed).unwrap(), Box::new(Ideal::default()));
    let (a, b) = net.link(EndConfig::host(1), EndConfig::host(2), there, back);
    (net, a, b)
}

fn any_link() -> impl Strategy<Value = LinkConfig> {
    let step = StepConfig { above_frames: 3, signal: Signal::MarkOrDrop };
    let discipline = prop_oneof![
        Just(Discipline::DropTail),
        Just(Discipline::Step(step)),
        Just(Discipline::Red(RedConfig { weight: 0.1, ..RedConfig::default() })),
        Just(Discipline::CoDel(CoDelConfig::default())),
    ];
    let rate = proptest::option::of((1_000_000_u64..1_000_000_000, discipline));
    let queue = (proptest::option::of(1_u32..20), proptest::option::of(1_u64..20_000));
    let times = (0_u64..2_000_000, 0_u64..300_000, 1_u64..500_000);
    let chances = (0.0..0.3_f64, 0.0..0.3_f64, 0.0..0.3_f64, 0.0..0.3_f64);
    (rate, queue, times, chances, any::<bool>(), proptest::collection::btree_set(0_u64..100, 0..4)).prop_map(
        |(rate, (frames, bytes), (delay, jitter, hold), (loss, duplicate, reorder, corrupt), wild, drops)| LinkConfig {
            rate_bits_per_s: rate.map(|(rate, _)| rate),
            discipline: rate.map_or(Discipline::DropTail, |(_, discipline)| discipline),
            delay: Duration::from_nanos(delay),
            jitter: Duration::from_nanos(jitter),
            jitter_reorders: wild,
            queue_frames_max: frames,
            queue_bytes_max: bytes,
            loss,
            duplicate,
            reorder,
            reorder_delay: Duration::from_nanos(hold),
            corrupt,
            mtu: 1500,
            drops: drops.into_iter().collect(),
        },
    )
}

/// Frame sizes and pauses before each: 20..1600 bytes, so some are too big.
fn any_traffic() -> impl Strategy<Value = Vec<(usize, u64)>> {
    proptest::collection::vec((20_usize..1600, prop_oneof![Just(0), 0_u64..100_000]), 1..100)
}

fn play(config: &LinkConfig, seed: u64, traffic: &[(usize, u64)]) -> (Vec<(Instant, Vec<u8>)>, LinkStats, usize) {
    let (net, mut a, mut b) = pair(config, seed);
    let mut arrived = vec![];
    for (tag, (bytes, pause)) in traffic.iter().enumerate() {
        net.advance(net.now() + Duration::from_nanos(*pause));
        let mut burst = vec![frame(&a, tag as u32, *bytes)];
        a.tx_burst(&mut burst).unwrap();
        assert!(burst.is_empty());
    }
    arrived.extend(drain(&net, &mut b));
    let (ha, hb) = (a.handle(), b.handle());
    (arrived, ha.sent(), ha.frames_out() + hb.frames_out())
}

proptest! {
    #[test]
    fn every_frame_is_delivered_or_counted(config in any_link(), seed: u64, traffic in any_traffic()) {
        let (arrived, stats, leaked) = play(&config, seed, &traffic);
        prop_assert_eq!(stats.sent, traffic.len() as u64);
        prop_assert_eq!(stats.delivered, arrived.len() as u64);
        let ended = stats.delivered + stats.lost + stats.queue_drops + stats.discipline_drops + stats.too_big + stats.unclaimed + stats.missed;
        prop_assert_eq!(ended, stats.sent + stats.duplicated);
        prop_assert_eq!(leaked, 0);
        prop_assert_eq!(stats.too_big, traffic.iter().filter(|(bytes, _)| *bytes > 1518).count() as u64);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_at_the_same_instants(config in any_link(), seed: u64, traffic in any_traffic()) {
        prop_assert_eq!(play(&config, seed, &traffic), play(&config, seed, &traffic));
    }

    #[test]
    fn a_link_without_reordering_is_first_in_first_out(config in any_link(), seed: u64, traffic in any_traffic()) {
        let config = LinkConfig { reorder: 0.0, jitter_reorders: false, corrupt: 0.0, ..config };
        let (arrived, stats, _) = play(&config, seed, &traffic);
        prop_assert!(arrived.is_sorted_by_key(|(_, bytes)| bytes[..4].to_vec()));
        prop_assert_eq!(stats.reordered, 0);
    }

    #[test]
    fn intact_means_intact(config in any_link(), seed: u64, traffic in any_traffic()) {
        let config = LinkConfig { corrupt: 0.0, ..config };
        for (_, bytes) in play(&config, seed, &traffic).0 {
            let tag = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            prop_assert_eq!(bytes.len(), traffic[tag as usize].0);
            prop_assert!(bytes[4..].iter().all(|b| *b == 0));
        }
    }

    /// However bursts, small fetches and changes of the model mix, what arrives at once arrives in order.
    #[test]
    fn an_ideal_link_is_first_in_first_out(steps in proptest::collection::vec((0_u8..4, 1_usize..20), 1..100)) {
        let (net, mut a, mut b) = pair(&LinkConfig::default(), 0);
        let (mut next, mut got, mut asks) = (0, vec![], false);
        for (step, n) in steps {
            match step {
                0 | 1 => {
                    let mut burst: Vec<Frame> = (next..).take(n).map(|tag| frame(&a, tag, 60)).collect();
                    next += n as u32;
                    a.handle().set_tx_room(20 - usize::from(step));
                    a.tx_burst(&mut burst).unwrap();
                    next -= burst.len() as u32;
                }
                2 => {
                    let before = got.len();
                    b.rx_burst(&mut got, n).unwrap();
                    prop_assert!(got.len() - before <= n);
                }
                _ => {
                    asks = !asks;
                    a.handle().set_model(if asks {
                        Box::new(|_: Instant, _: &Passing<'_>| Fate::after(Duration::ZERO))
                    } else {
                        Box::<Ideal>::default()
                    });
                }
            }
            net.advance(net.now() + Duration::from_nanos(n as u64 % 2));
            prop_assert_eq!(net.in_flight() + got.len(), next as usize);
        }
        b.rx_burst(&mut got, 10_000).unwrap();
        prop_assert_eq!(got.iter().map(tag).collect::<Vec<_>>(), (0..next).collect::<Vec<_>>());
        prop_assert_eq!(b.handle().received().delivered_bytes, u64::from(next) * 60);
    }

    /// Back to back, frame n is out after exactly the bits of frames 0 to n over the rate, rounded down once.
    #[test]
    fn rate_shaping_is_exact(rate in 1_000_u64..100_000_000_000, sizes in proptest::collection::vec(20_usize..1518, 1..60)) {
        let config = LinkConfig { rate_bits_per_s: Some(rate), delay: Duration::from_micros(5), ..LinkConfig::default() };
        let (net, mut a, mut b) = pair(&config, 0);
        let mut burst = sizes.iter().map(|bytes| frame(&a, 0, *bytes)).collect();
        a.tx_burst(&mut burst).unwrap();
        let mut bits = 0_u128;
        for ((at, _), bytes) in drain(&net, &mut b).into_iter().zip(sizes) {
            bits += bytes as u128 * 8;
            prop_assert_eq!(u128::from(at.as_nanos()), bits * 1_000_000_000 / u128::from(rate) + 5_000);
        }
    }
}

#[test]
fn a_full_queue_drops_the_newest() {
    let config = LinkConfig { rate_bits_per_s: Some(8_000_000), queue_frames_max: Some(3), ..LinkConfig::default() };
    let (net, mut a, mut b) = pair(&config, 0);
    // 1,000 bytes take 1 ms.
    let mut burst = (0..5).map(|i| frame(&a, i, 1000)).collect();
    a.tx_burst(&mut burst).unwrap();
    net.advance(Instant::ZERO + Duration::from_millis(1));
    a.tx_burst(&mut vec![frame(&a, 5, 1000)]).unwrap();
    let tags: Vec<u32> = drain(&net, &mut b).iter().map(|(_, bytes)| u32::from(bytes[3])).collect();
    assert_eq!(tags, [0, 1, 2, 5]);
    assert_eq!(a.handle().sent().queue_drops, 2);
}

#[test]
fn listed_frames_are_lost_and_a_closure_is_a_model() {
    let config = LinkConfig { drops: vec![1, 3], ..LinkConfig::default() };
    let (net, mut a, mut b) = pair(&config, 0);
    let mut burst = (0..5).map(|i| frame(&a, i, 100)).collect();
    a.tx_burst(&mut burst).unwrap();
    assert_eq!(drain(&net, &mut b).len(), 3);

    a.handle().set_model(Box::new(
        |_: Instant, f: &Passing<'_>| {
            if f.bytes[3] == 7 { Fate::Lost } else { Fate::after(Duration::from_millis(1)) }
        },
    ));
    let mut burst = (6..9).map(|i| frame(&a, i, 100)).collect();
    a.tx_burst(&mut burst).unwrap();
    assert_eq!(drain(&net, &mut b).iter().map(|(_, bytes)| bytes[3]).collect::<Vec<_>>(), [6, 8]);
    assert_eq!(net.now(), Instant::ZERO + Duration::from_millis(1));
}

#[test]
fn a_frame_for_a_cutting_device_arrives_as_a_merged_one() {
    let net = Network::new();
    let ideal = || Box::new(Ideal { mtu: 1500 });
    let end = |n| EndConfig::host(n).with_offloads(ProtocolSet::NONE.with(253));
    let (mut a, mut b) = net.link(end(1), end(2), ideal(), ideal());
    let large = |a: &SimDriver, segment_bytes| {
        let mut f = a.large_pool().unwrap().alloc().unwrap();
        assert!(f.extend_from_slice(&[9; 54 + 10_000]));
        f.set_partial_checksum(34, 16);
        (f.meta.segment_protocol, f.meta.segment_bytes, f.meta.header_bytes) = (253, segment_bytes, 54);
        f
    };
    a.tx_burst(&mut vec![large(&a, 1460), large(&a, 0), large(&a, 1480)]).unwrap();
    let mut got = vec![];
    b.rx_burst(&mut got, 8).unwrap();
    let [f] = &got[..] else { panic!("one of three fits: {got:?}") };
    assert_eq!((f.meta.packets(), f.meta.segment_bytes, f.partial_checksum()), (7, 1460, Some((34, 16))));
    assert!(f.pool().is_same(a.large_pool().unwrap()), "it moved, and was not copied");
    assert_eq!(a.handle().sent().too_big, 2);
}

#[test]
fn what_a_wire_damages_nobody_vouches_for() {
    let flip = |_: Instant, f: &Passing<'_>| {
        let damage = if f.index == 0 { Damage::FlipBit(8 * 40) } else { Damage::Truncate(50) };
        Fate::Arrives([Delivery { delay: Duration::ZERO, damage }].into_iter().collect())
    };
    let net = Network::new();
    let (mut a, mut b) = net.link(EndConfig::host(1), EndConfig::host(2), Box::new(flip), Box::new(Ideal::default()));
    let send = |a: &mut SimDriver| {
        let mut f = frame(a, 1, 61);
        f.bytes_mut()[50..52].copy_from_slice(&0x1234_u16.to_be_bytes());
        f.set_partial_checksum(34, 16);
        a.tx_burst(&mut vec![f]).unwrap();
    };
    send(&mut a);
    send(&mut a);
    let mut got = vec![];
    b.rx_burst(&mut got, 8).unwrap();
    assert!(got.iter().all(|f| f.meta.checksum == Checksum::Unverified));
    // The sum was completed first, over the bytes as they were: 0x1234 alone.
    assert_eq!(got[0].bytes()[50..52], (!0x1234_u16).to_be_bytes());
    assert_eq!((got[0].bytes()[40], got[1].len()), (0x80, 50));
    assert_eq!(a.handle().sent().corrupted, 2);
}

#[test]
fn a_low_sender_gets_its_slots_back_at_once() {
    let net = Network::new();
    let slow = LinkConfig { delay: Duration::from_secs(1), ..LinkConfig::default() };
    let small = EndConfig { pool: PoolConfig { slots: 8, ..PoolConfig::default() }, ..EndConfig::host(1) };
    let model = || StandardLink::boxed(slow.clone(), 0).unwrap();
    let (mut a, mut b) = net.link(small, EndConfig::host(2), model(), model());
    for i in 0..100 {
        a.tx_burst(&mut vec![frame(&a, i, 100)]).unwrap();
    }
    assert!(a.pool().in_use() <= 5);
    assert!(a.handle().sent().copied >= 95);
    assert_eq!(drain(&net, &mut b).len(), 100);
    assert_eq!(a.handle().frames_out() + b.handle().frames_out(), 0);
}

#[test]
fn an_end_can_be_down_stalled_full_or_gone() {
    let (net, mut a, b) = pair(&LinkConfig::default(), 0);
    let h = a.handle();
    h.set_up(false);
    let mut burst = vec![frame(&a, 0, 60), frame(&a, 1, 60), frame(&a, 2, 60)];
    assert!(matches!(a.tx_burst(&mut burst), Err(DriverError::Down(_))));
    assert!(!a.is_up());
    h.set_up(true);
    h.set_stalled(true);
    a.tx_burst(&mut burst).unwrap();
    assert_eq!((burst.len(), a.tx_room()), (3, 0));
    h.set_stalled(false);
    h.set_tx_room(2);
    a.tx_burst(&mut burst).unwrap();
    assert_eq!((burst.len(), tag(&burst[0]), net.in_flight()), (1, 2, 2));
    assert_eq!(net.next_arrival(), None, "due already");
    drop(b);
    a.tx_burst(&mut burst).unwrap();
    assert_eq!((h.sent().unclaimed, net.in_flight(), h.frames_out()), (3, 0, 0));
}

#[test]
fn alarms_stop_the_clock_on_its_way() {
    let net = Network::new();
    net.alarm(Instant::from_nanos(9));
    net.alarm(Instant::from_nanos(5));
    assert_eq!(net.next_arrival(), Some(Instant::from_nanos(5)));
    net.advance(Instant::from_nanos(5));
    assert_eq!(net.next_arrival(), Some(Instant::from_nanos(9)));
    net.advance(Instant::from_nanos(3));
    assert_eq!(net.now(), Instant::from_nanos(5));
}

/// Ten frames, one a millisecond, to a ring of four; the device does something wrong from 1.5 to 7.5 ms.
fn heard_through(fault: impl Fn(&EndHandle, Instant)) -> (Vec<(u64, u32)>, LinkStats) {
    let net = Network::new();
    let receiver = EndConfig { rx_ring_frames: Some(4), ..EndConfig::host(2) };
    let ideal = || Box::<Ideal>::default();
    let (mut a, mut b) = net.link(EndConfig::host(1), receiver, ideal(), ideal());
    let receiver = b.handle();
    let (us, mut heard) = (|us| Instant::ZERO + Duration::from_micros(us), vec![]);
    for tag in 0..10 {
        net.advance(us(u64::from(tag) * 1000));
        a.tx_burst(&mut vec![frame(&a, tag, 60)]).unwrap();
        let mut poll = || {
            let mut burst = vec![];
            let _ = b.rx_burst(&mut burst, 64);
            heard.extend(burst.iter().map(|frame| (net.now().as_nanos() / 1000, self::tag(frame))));
        };
        poll();
        if tag == 1 {
            net.advance(us(1500));
            fault(&receiver, us(7500));
            assert!(net.next_arrival().is_none_or(|at| at == us(7500)), "the clock stops where the fault ends");
        }
        net.advance(us(u64::from(tag) * 1000 + 500));
        poll();
    }
    let stats = a.handle().sent();
    assert_eq!(stats.delivered + stats.missed, 10);
    assert_eq!(a.handle().frames_out() + receiver.frames_out(), 0);
    (heard, stats)
}

#[test]
fn a_stalled_receiver_keeps_a_ring_of_frames() {
    let (heard, stats) = heard_through(|end, until| end.stall(Half::Receive, until));
    // 2 to 5 waited, 6 and 7 found the ring full.
    assert_eq!(heard, [(0, 0), (1000, 1), (7500, 2), (7500, 3), (7500, 4), (7500, 5), (8000, 8), (9000, 9)]);
    assert_eq!(stats.missed, 2);
}

#[test]
fn a_link_that_is_down_loses_what_arrives() {
    let (heard, stats) = heard_through(EndHandle::take_down);
    assert_eq!(heard, [(0, 0), (1000, 1), (8000, 8), (9000, 9)]);
    assert_eq!(stats.missed, 6);
}

#[test]
fn a_stalled_sender_does_not_hinder_a_receiver() {
    let (heard, stats) = heard_through(|end, until| {
        end.stall(Half::Transmit, until);
        end.exhaust_pool(until);
    });
    assert_eq!((heard.len(), stats.missed), (10, 0));
}

#[test]
fn what_arrived_while_nobody_looked_is_lost_if_the_link_was_down_then() {
    let (net, mut a, mut b) = pair(&LinkConfig::default(), 0);
    let us = |us| Instant::ZERO + Duration::from_micros(us);
    b.handle().take_down(us(10));
    for at in [5, 10, 15] {
        net.advance(us(at));
        a.tx_burst(&mut vec![frame(&a, at as u32, 60)]).unwrap();
    }
    let mut heard = vec![];
    b.rx_burst(&mut heard, 64).unwrap();
    assert_eq!(heard.iter().map(tag).collect::<Vec<_>>(), [15]);
}

#[test]
fn a_dry_pool_is_dry_until_then_and_no_slot_is_lost() {
    let net = Network::new();
    let end = |n| EndConfig::host(n).with_offloads(ProtocolSet::NONE.with(253));
    let (mut a, _b) = net.link(end(1), end(2), Box::<Ideal>::default(), Box::<Ideal>::default());
    let (h, until) = (a.handle(), Instant::ZERO + Duration::from_millis(1));
    let kept = frame(&a, 0, 60);
    h.exhaust_pool(until);
    assert!(a.pool().alloc().is_none() && a.large_pool().unwrap().alloc().is_none());
    assert_eq!(h.frames_out(), 1);
    drop(kept);
    assert_eq!(h.frames_out(), 0);
    a.tx_room();
    assert!(a.pool().alloc().is_none(), "what came back is taken, too");
    net.advance(until);
    a.rx_burst(&mut vec![], 64).unwrap();
    assert_eq!((a.pool().in_use(), a.large_pool().unwrap().in_use()), (0, 0));

    h.withhold_slots(a.pool().slots() - 3);
    let rest: Vec<Frame> = std::iter::from_fn(|| a.pool().alloc()).collect();
    assert_eq!((rest.len(), h.frames_out()), (3, 3));
    h.withhold_slots(0);
    assert_eq!((a.pool().in_use(), h.frames_out()), (3, 3));
}

#[test]
fn a_stalled_sender_finds_no_room_until_then() {
    let (net, mut a, mut b) = pair(&LinkConfig::default(), 0);
    let until = Instant::ZERO + Duration::from_millis(1);
    a.handle().stall(Half::Transmit, until);
    let mut burst = vec![frame(&a, 0, 60)];
    a.tx_burst(&mut burst).unwrap();
    assert_eq!((burst.len(), a.tx_room()), (1, 0));
    b.tx_burst(&mut vec![frame(&b, 1, 60)]).unwrap();
    let mut heard = vec![];
    a.rx_burst(&mut heard, 64).unwrap();
    assert_eq!(heard.len(), 1, "it still hears");
    net.advance(until);
    a.tx_burst(&mut burst).unwrap();
    assert!(burst.is_empty());
}
