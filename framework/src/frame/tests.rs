use super::*;
use proptest::prelude::*;

fn pool(slots: u32) -> FramePool {
    FramePool::new(PoolConfig { slots, slot_bytes: 256, headroom: 64 })
}

#[test]
fn a_frame_grows_and_shrinks_inside_its_slot() {
    let mut f = pool(1).alloc().unwrap();
    assert!(f.extend_from_slice(b"payload"));
    f.prepend(4).unwrap().copy_from_slice(b"head");
    assert_eq!(f.bytes(), b"headpayload");
    f.trim_front(4);
    f.truncate(3);
    assert_eq!(f.bytes(), b"pay");
    assert!(f.prepend(65).is_none() && f.append(256).is_none());
    assert_eq!((f.headroom(), f.tailroom()), (64, 256 - 64 - 3));
}

#[test]
fn lent_slots_are_out_of_reach_until_taken_back() {
    let p = pool(1);
    let mut f = p.alloc().unwrap();
    assert!(f.extend_from_slice(b"x"));
    let lent = f.lend();
    assert_eq!((p.in_use(), p.lent()), (0, 1));
    assert!(p.alloc().is_none());
    assert!(p.take_back(Lent { len: 1000, ..lent }).is_none(), "outside the slot");
    let f = p.take_back(lent).unwrap();
    assert_eq!(f.bytes(), b"x");
    assert!(p.take_back(lent).is_none(), "given back twice");
    drop(f);
    assert_eq!((p.in_use(), p.lent()), (0, 0));
}

#[test]
fn an_unfinished_checksum_keeps_its_place_when_headers_come_and_go() {
    let mut f = pool(1).alloc().unwrap();
    assert!(f.extend_from_slice(&[0; 20]));
    f.set_partial_checksum(0, 16);
    let _ = f.prepend(34);
    assert_eq!(f.partial_checksum(), Some((34, 16)));
    f.trim_front(34);
    assert_eq!(f.partial_checksum(), Some((0, 16)));
    f.trim_front(1);
    assert_eq!(f.partial_checksum(), None);
}

/// A device that hands out what it pleases: slots twice, and some that are not there.
struct Liar;

impl Backend for Liar {
    fn refill(&mut self, out: &mut Vec<u32>, _count: usize) {
        out.extend([1, 0, 1, 7, u32::MAX]);
    }

    fn recycle(&mut self, slots: &mut Vec<u32>) {
        slots.clear();
    }
}

#[test]
fn a_foreign_pool_refills_and_refuses_slots_that_would_alias() {
    let config = PoolConfig { slots: 2, slot_bytes: 256, headroom: 64 };
    let p = FramePool::foreign(Box::new(HeapRegion::new(512)), config, Box::new(Liar));
    let (mut a, mut b) = (p.alloc().unwrap(), p.alloc().unwrap());
    assert!(p.alloc().is_none());
    assert!(a.extend_from_slice(&[1; 100]) && b.extend_from_slice(&[2; 100]));
    assert_eq!((a.bytes(), b.bytes()), (&[1; 100][..], &[2; 100][..]));
}

proptest! {
    /// However frames come and go, no two alive share a byte, and every slot returns.
    #[test]
    fn frames_never_alias_and_never_leak(ops in proptest::collection::vec((0u8..4, any::<u8>()), 1..200)) {
        let p = pool(8);
        let mut alive: Vec<(u8, Frame)> = vec![];
        let mut lent: Vec<(u8, Lent)> = vec![];
        for (op, tag) in ops {
            match op {
                0 => if let Some(mut f) = p.alloc() {
                    prop_assert!(f.extend_from_slice(&[tag; 100]));
                    alive.push((tag, f));
                },
                1 => { if !alive.is_empty() { alive.swap_remove(tag as usize % alive.len()); } }
                2 => if let Some((t, f)) = alive.pop() { lent.push((t, f.lend())) },
                _ => if let Some((t, l)) = lent.pop() { alive.push((t, p.take_back(l).unwrap())) },
            }
            for (t, f) in &alive { prop_assert_eq!(f.bytes(), &[*t; 100][..]); }
            prop_assert_eq!(p.in_use(), alive.len());
            prop_assert_eq!(p.lent(), lent.len());
        }
        alive.clear();
        for (_, l) in lent { drop(p.take_back(l)); }
        prop_assert_eq!((p.in_use(), p.lent()), (0, 0));
        let all: Vec<_> = std::iter::from_fn(|| p.alloc()).collect();
        prop_assert_eq!(all.len(), 8);
    }
}
