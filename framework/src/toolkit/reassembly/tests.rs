use super::*;
use crate::frame::{FramePool, PoolConfig};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn pool(slots: u32) -> FramePool {
    FramePool::new(PoolConfig { slots, slot_bytes: 256, headroom: 64 })
}

fn frame(pool: &FramePool, bytes: &[u8]) -> Frame {
    let mut frame = pool.alloc().unwrap();
    assert!(frame.extend_from_slice(bytes));
    frame
}

#[test]
fn a_gap_that_closes_hands_everything_over_in_order() {
    let (pool, mut mem, limits) = (pool(64), Mem::new(1 << 20), ReassemblyLimits::default());
    let (mut held, mut buffer) = (Reassembly::new(), RecvBuffer::new());
    let _ = held.insert(&mut mem, 200, frame(&pool, &[2; 100]), &limits);
    let _ = held.insert(&mut mem, 100, frame(&pool, &[1; 150]), &limits);
    assert_eq!(held.ranges(&mem).collect::<Vec<_>>(), vec![100..300]);
    assert_eq!(held.drain_into(&mut mem, 50, &mut buffer), 0);
    assert_eq!(held.drain_into(&mut mem, 120, &mut buffer), 180);
    assert!(held.is_empty());
    let mut out = [0; 180];
    assert_eq!(buffer.read(&mut mem, &mut out), 180);
    assert!(out[..80].iter().all(|b| *b == 1) && out[80..].iter().all(|b| *b == 2));
    assert_eq!((mem.used_bytes(), pool.in_use()), (0, 0));
}

#[test]
fn the_range_of_the_latest_arrival_is_reported_first() {
    let (pool, mut mem, limits) = (pool(64), Mem::new(1 << 20), ReassemblyLimits::default());
    let mut held = Reassembly::new();
    for offset in [5000u64, 1000, 9000, 3000] {
        let outcome = held.insert(&mut mem, offset, frame(&pool, &[0; 100]), &limits);
        assert_eq!(outcome, Outcome { new_bytes: 100, ..Outcome::default() });
    }
    assert_eq!(held.recent_ranges::<3>(&mem).as_slice(), &[3000..3100, 9000..9100, 1000..1100]);
    let outcome = held.insert(&mut mem, 5010, frame(&pool, &[0; 20]), &limits);
    assert_eq!(outcome, Outcome { duplicate_bytes: 20, ..Outcome::default() });
    assert_eq!(held.recent_ranges::<2>(&mem).as_slice(), &[5000..5100, 3000..3100]);
    assert_eq!(held.recent_ranges::<8>(&mem).len(), 4);
    assert_eq!(held.recent_ranges::<0>(&mem).len(), 0);
}

#[test]
fn one_frame_may_fill_several_gaps() {
    let (pool, mut mem, limits) = (pool(64), Mem::new(1 << 20), ReassemblyLimits::default());
    let (mut held, mut buffer) = (Reassembly::new(), RecvBuffer::new());
    let _ = held.insert(&mut mem, 20, frame(&pool, &[1; 10]), &limits);
    let _ = held.insert(&mut mem, 40, frame(&pool, &[1; 10]), &limits);
    let outcome = held.insert(&mut mem, 10, frame(&pool, &[2; 60]), &limits);
    assert_eq!(outcome, Outcome { new_bytes: 40, duplicate_bytes: 20, dropped_bytes: 0 });
    held.check_invariants(&mem);
    assert_eq!(held.drain_into(&mut mem, 10, &mut buffer), 60);
    let mut out = [0; 60];
    buffer.read(&mut mem, &mut out);
    let ones: Vec<usize> = (0..60).filter(|i| out[*i] == 1).collect();
    assert_eq!(ones, (10..20).chain(30..40).collect::<Vec<_>>());
}

#[test]
fn beyond_the_bound_arrivals_are_dropped_and_reported() {
    let (pool, mut mem) = (pool(64), Mem::new(1 << 20));
    let limits = ReassemblyLimits { pieces_max: 2, ..ReassemblyLimits::default() };
    let mut held = Reassembly::new();
    let _ = held.insert(&mut mem, 100, frame(&pool, &[0; 10]), &limits);
    let _ = held.insert(&mut mem, 200, frame(&pool, &[0; 10]), &limits);
    let outcome = held.insert(&mut mem, 300, frame(&pool, &[0; 10]), &limits);
    assert_eq!(outcome, Outcome { dropped_bytes: 10, ..Outcome::default() });
    let outcome = held.insert(&mut mem, 110, frame(&pool, &[0; 10]), &limits);
    assert_eq!(outcome.new_bytes, 10, "it fits behind what its chunk holds");
    held.clear(&mut mem);
    assert_eq!((mem.used_bytes(), pool.in_use(), held.is_empty()), (0, 0, true));
}

fn covers(ranges: &[Range<u64>], at: u64) -> bool {
    ranges.iter().any(|range| range.contains(&at))
}

proptest! {
    /// Whatever overlaps arrive, each byte is the one that arrived first, and what is reported as held comes out.
    #[test]
    fn it_holds_what_a_map_of_bytes_holds(
        arrivals in prop::collection::vec((0u64..2000, 1usize..190, any::<u8>(), 0u8..12), 1..150),
        slots in 2u32..300,
        budget in 0usize..40_000,
        pieces_max in 1usize..60,
        cost_bytes_max in 0usize..30_000,
    ) {
        let (pool, mut mem) = (pool(slots), Mem::new(budget));
        let limits = ReassemblyLimits { pieces_max, cost_bytes_max };
        let (mut held, mut buffer) = (Reassembly::new(), RecvBuffer::new());
        let mut model: BTreeMap<u64, u8> = BTreeMap::new();
        let (mut next, mut stream) = (0u64, Vec::<u8>::new());
        for (offset, len, tag, drain) in arrivals {
            let bytes: Vec<u8> = (0..len).map(|i| tag.wrapping_add(i as u8)).collect();
            let offset = next + offset;
            if let Some(mut f) = pool.alloc() {
                prop_assert!(f.extend_from_slice(&bytes));
                let outcome = held.insert(&mut mem, offset, f, &limits);
                held.check_invariants(&mem);
                let ranges: Vec<_> = held.ranges(&mem).collect();
                let mut new = 0;
                for (at, byte) in (offset..).zip(&bytes) {
                    if !model.contains_key(&at) && covers(&ranges, at) {
                        model.insert(at, *byte);
                        new += 1;
                    }
                }
                prop_assert_eq!(outcome.new_bytes, new);
                prop_assert_eq!(outcome.new_bytes + outcome.duplicate_bytes + outcome.dropped_bytes, len);
                prop_assert!(model.keys().all(|at| covers(&ranges, *at)));
                prop_assert_eq!(held.buffered_bytes(&mem), model.len());
            }
            if drain == 0 {
                // The bytes up to somewhere arrived in order meanwhile; they end inside a range as often as not.
                next += u64::from(tag);
                let moved = held.drain_into(&mut mem, next, &mut buffer) as u64;
                held.check_invariants(&mem);
                model = model.split_off(&next);
                let rest = model.split_off(&(next + moved));
                prop_assert_eq!(model.len() as u64, moved);
                stream.extend(std::mem::replace(&mut model, rest).into_values());
                next += moved;
                prop_assert!(model.first_key_value().is_none_or(|(at, _)| *at > next));
            }
            buffer.check_invariants(&mem);
            mem.check_invariants(0);
        }
        let mut out = vec![0; stream.len() + 1];
        prop_assert_eq!(buffer.read(&mut mem, &mut out), stream.len());
        prop_assert_eq!(&out[..stream.len()], &stream);
        held.clear(&mut mem);
        prop_assert_eq!((mem.used_bytes(), pool.in_use()), (0, 0));
    }
}
