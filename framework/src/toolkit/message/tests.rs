use super::*;
use crate::addr::Ip;
use crate::frame::{FramePool, PoolConfig};
use proptest::prelude::*;
use std::collections::VecDeque;

fn pool(slots: u32) -> FramePool {
    FramePool::new(PoolConfig { slots, slot_bytes: 2048, headroom: 64 })
}

fn peer(n: u32) -> Endpoint {
    Endpoint::new(Ip::v4(n.to_be_bytes()), n as u16)
}

#[test]
fn messages_keep_their_bounds_and_their_sender() {
    let (mut mem, mut queue, limits) = (Mem::new(1 << 20), MessageQueue::new(), MessageLimits::default());
    queue.write_message(&mut mem, peer(1), 10, &[b"head", b"", b"body"], &limits).unwrap();
    queue.write_message(&mut mem, peer(2), 20, &[], &limits).unwrap();
    assert_eq!(queue.front(&mem), Some(MessageInfo { bytes: 8, endpoint: peer(1), user: 10 }));
    assert_eq!(queue.slices(&mem, 2, 4).concat(), b"adbo");
    let mut out = [0; 5];
    assert_eq!(queue.pop_into(&mut mem, &mut out).map(|(info, n)| (info.bytes, n)), Some((8, 5)));
    assert_eq!(&out, b"headb");
    assert_eq!(queue.pop_into(&mut mem, &mut out).map(|(info, n)| (info.user, n)), Some((20, 0)));
    assert_eq!((queue.pop(&mut mem), mem.used_bytes()), (None, 0));
}

#[test]
fn what_does_not_fit_is_refused_whole() {
    let (pool, mut mem, mut queue) = (pool(8), Mem::new(2000), MessageQueue::new());
    let limits = MessageLimits { messages_max: 2, bytes_max: 1000 };
    let mut write =
        |queue: &mut MessageQueue, n: usize| queue.write_message(&mut mem, peer(1), 0, &[&[7; 1500][..n]], &limits);
    assert_eq!(write(&mut queue, 1001), Err(MessageError::TooLong));
    assert_eq!(write(&mut queue, 600), Ok(()));
    assert_eq!(write(&mut queue, 600), Err(MessageError::Full));
    assert_eq!(write(&mut queue, 1), Ok(()));
    assert_eq!(write(&mut queue, 1), Err(MessageError::Full));
    queue.clear(&mut mem);
    mem.set_budget_bytes(600);
    let mut frame = pool.alloc().unwrap();
    assert!(frame.extend_from_slice(&[1; 900]));
    assert_eq!(queue.push_frame(&mut mem, peer(1), 0, frame, &limits), Err(MessageError::NoMemory));
    assert_eq!((mem.used_bytes(), pool.in_use(), queue.len()), (0, 0, 0));
}

#[test]
fn a_message_costs_little_more_memory_than_it_is_long() {
    let limits = MessageLimits { messages_max: 1, bytes_max: 1 << 20 };
    for bytes in (0..40_000).step_by(7).chain([256, 512, 513, 2048, 4096, 8192, 8193, 16_384]) {
        let (mut mem, mut queue) = (Mem::new(1 << 20), MessageQueue::new());
        queue.write_message(&mut mem, peer(1), 0, &[&vec![1; bytes]], &limits).unwrap();
        let waste = mem.used_bytes() - size_of::<Message>() - bytes;
        assert!(waste < 2048 || waste <= bytes, "{waste} bytes wasted for {bytes}");
        queue.check_invariants(&mem);
        queue.clear(&mut mem);
        assert_eq!(mem.used_bytes(), 0);
    }
}

proptest! {
    #[test]
    fn it_holds_what_a_queue_of_vectors_holds(
        ops in prop::collection::vec((0u8..6, prop_oneof![5 => 0usize..3000, 1 => 0usize..3], any::<u8>()), 1..100),
        slots in 1u32..40,
        budget in 0usize..80_000,
        limits in (1usize..20, 0usize..40_000),
    ) {
        let (pool, mut mem, mut queue) = (pool(slots), Mem::new(budget), MessageQueue::new());
        let limits = MessageLimits { messages_max: limits.0, bytes_max: limits.1 };
        let mut model: VecDeque<(u32, Vec<u8>)> = VecDeque::new();
        let (mut stream, mut stream_model) = (RecvBuffer::new(), VecDeque::<u8>::new());
        for (i, (op, n, tag)) in (0u32..).zip(ops) {
            let bytes: Vec<u8> = (0..n).map(|j| tag.wrapping_add(j as u8)).collect();
            match op {
                0 => {
                    let (a, b) = bytes.split_at(n / 3);
                    if queue.write_message(&mut mem, peer(i), i, &[a, b], &limits).is_ok() {
                        model.push_back((i, bytes));
                    }
                }
                1 => if let Some(mut frame) = pool.alloc() {
                    let bytes = &bytes[..n.min(1900)];
                    prop_assert!(frame.extend_from_slice(bytes));
                    if queue.push_frame(&mut mem, peer(i), i, frame, &limits).is_ok() {
                        model.push_back((i, bytes.to_vec()));
                    }
                }
                2 => if let Some(mut frame) = pool.alloc() {
                    let bytes = &bytes[..n.min(1900)];
                    prop_assert!(frame.extend_from_slice(bytes));
                    if stream.push(&mut mem, frame).is_ok() {
                        stream_model.extend(bytes);
                    }
                }
                3 => if queue.push_received(&mut mem, peer(i), i, &mut stream, n, &limits).is_ok() {
                    model.push_back((i, stream_model.drain(..n).collect()));
                }
                4 => {
                    let mut out = vec![0; n];
                    let popped = queue.pop_into(&mut mem, &mut out);
                    let want = model.pop_front();
                    prop_assert_eq!(popped.map(|(info, _)| (info.bytes, info.user, info.endpoint)),
                        want.as_ref().map(|(user, bytes)| (bytes.len(), *user, peer(*user))));
                    if let (Some((_, copied)), Some((_, bytes))) = (popped, want) {
                        prop_assert_eq!(copied, n.min(bytes.len()));
                        prop_assert_eq!(&out[..copied], &bytes[..copied]);
                    }
                }
                _ => if let Some((_, bytes)) = model.front() {
                    let offset = usize::from(tag) * 8;
                    let got = queue.slices(&mem, offset, n);
                    let want = bytes.get(offset..).unwrap_or_default();
                    let want = &want[..want.len().min(n)];
                    prop_assert!(want.starts_with(&got.concat()));
                    prop_assert!(got.is_full() || got.concat().len() == want.len());
                }
            }
            queue.check_invariants(&mem);
            stream.check_invariants(&mem);
            mem.check_invariants(0);
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(stream.len(), stream_model.len());
            prop_assert!(mem.used_bytes() <= budget);
        }
        queue.clear(&mut mem);
        stream.clear(&mut mem);
        prop_assert_eq!((mem.used_bytes(), pool.in_use()), (0, 0));
    }
}

proptest! {
    #[test]
    fn a_copy_is_taken_where_there_is_the_memory_that_it_costs_and_not_with_less(bytes in 0_usize..5_000) {
        let limits = MessageLimits { messages_max: 1, bytes_max: 1 << 20 };
        let message = vec![7; bytes];
        let cost_bytes = MessageQueue::cost_bytes(bytes);
        let taken_with = |budget_bytes| {
            let (mut mem, mut queue) = (Mem::new(budget_bytes), MessageQueue::new());
            let taken = queue.write_message(&mut mem, peer(1), 0, &[&message], &limits);
            queue.clear(&mut mem);
            taken
        };
        prop_assert_eq!(taken_with(cost_bytes), Ok(()));
        prop_assert_eq!(taken_with(cost_bytes - 1), Err(MessageError::NoMemory));
    }
}
