use super::*;
use crate::addr::Ip;
use crate::frame::{FramePool, PoolConfig};
use crate::toolkit::RangeSet;
use proptest::prelude::*;

const LIMITS: MessageStreamLimits =
    MessageStreamLimits { message_bytes_max: 5_000, window_bytes: 8_000, messages_max: 10 };

fn frame(pool: &FramePool, bytes: &[u8]) -> Frame {
    let mut frame = pool.alloc().unwrap();
    assert!(frame.extend_from_slice(bytes));
    frame
}

fn at(offset: u64, end: bool) -> StreamAt {
    StreamAt { offset, end }
}

fn pool() -> FramePool {
    FramePool::new(PoolConfig { slots: 64, slot_bytes: 2048, headroom: 64 })
}

fn peer() -> Endpoint {
    Endpoint::new(Ip::v4([10, 0, 0, 2]), 2)
}

proptest! {
    /// A channel that loses, repeats and reorders pieces of any size, and an application that reads now and then.
    #[test]
    fn messages_come_out_as_they_went_in(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5_000), 0..12),
        picks in prop::collection::vec((any::<u64>(), 1u64..1_900, any::<bool>()), 50..400),
    ) {
        let (pool, mut mem) = (pool(), Mem::new(1 << 20));
        let (mut ours, mut theirs) = (MessageIo::default(), MessageIo::default());
        let (mut tx, mut rx) = (MessageStreamSender::new(6_000), MessageStreamReader::new(LIMITS));
        let (mut to_write, mut read) = (messages.iter(), vec![]);
        let (mut window, mut arrived) = (u64::from(LIMITS.window_bytes), RangeSet::with_limit(1000));
        // Any pieces at first, then what is missing, until all is there.
        let missing = std::iter::repeat_n((u64::MAX, 1_900, true), 100);
        for (pick, bytes, reads) in picks.into_iter().chain(missing) {
            if ours.tx.bytes() < 10_000 {
                match to_write.next() {
                    Some(m) => ours.tx.write_message(&mut mem, peer(), 0, &[m], &MessageLimits::default()).unwrap(),
                    None => ours.tx_finished = true,
                }
            }
            tx.take_from(&mut mem, &mut ours);
            let (una, stop) = (rx.upto(), tx.stop_within(window));
            tx.release(&mut mem, una);
            if una < stop {
                let start = if pick == u64::MAX { una } else { una + pick % (stop - una) };
                let range = start..stop.min(start + bytes);
                let (slices, bytes, end) = tx.slices(&mem, &range);
                let piece = frame(&pool, &slices.concat());
                drop(slices);
                prop_assert_eq!(bytes as u64 + u64::from(end), range.end - range.start);
                let next = rx.on_range(&mut mem, StreamAt { offset: range.start, end }, piece).unwrap();
                prop_assert!(!next || range.start == una && !end);
                arrived.insert(range);
            }
            if reads {
                let _ = rx.deliver_to(&mut mem, &mut theirs, peer()).unwrap();
                let mut out = vec![0; 5_000];
                while let Some((info, n)) = theirs.rx.pop_into(&mut mem, &mut out) {
                    prop_assert_eq!(info.endpoint, peer());
                    read.push(out[..n].to_vec());
                }
            }
            window = rx.window(&theirs);
            rx.on_granted(window);
            prop_assert!(!rx.has_opened(&theirs));
            for range in rx.recent_ranges::<8>(&mem) {
                prop_assert!(range.start > rx.upto() && arrived.range_of(range.start).unwrap().end >= range.end);
            }
        }
        prop_assert_eq!(read, messages);
        prop_assert!(theirs.rx_finished && rx.is_complete() && rx.upto() == tx.stop());
        tx.release(&mut mem, rx.upto());
        prop_assert_eq!((mem.used_bytes(), pool.in_use()), (0, 0));
    }
}

#[test]
fn what_breaks_the_rules_is_an_error() {
    let (pool, mut mem, mut io) = (pool(), Mem::new(1 << 20), MessageIo::default());
    let stream = || MessageStreamReader::new(LIMITS);
    assert_eq!(
        stream().on_range(&mut mem, at(7_999, false), frame(&pool, b"ab")),
        Err(StreamError),
        "beyond the window"
    );
    assert_eq!(stream().on_range(&mut mem, at(u64::MAX, false), frame(&pool, b"ab")), Err(StreamError));
    let mut rx = stream();
    assert_eq!(rx.on_range(&mut mem, at(10, true), frame(&pool, b"")), Ok(false));
    assert_eq!(rx.on_range(&mut mem, at(10, false), frame(&pool, b"x")), Err(StreamError), "beyond the end");
    assert_eq!(rx.on_range(&mut mem, at(5, true), frame(&pool, b"x")), Err(StreamError), "another end");
    // An end before what was there already: in order, or beyond a gap. Nothing acknowledged lies below `upto` then.
    for offset in [0, 3] {
        let mut rx = stream();
        assert_eq!(rx.on_range(&mut mem, at(offset, false), frame(&pool, &[0; 20])), Ok(offset == 0));
        assert_eq!(
            rx.on_range(&mut mem, at(5, true), frame(&pool, b"")),
            Err(StreamError),
            "the end lies before {offset}"
        );
        let _ = rx.on_range(&mut mem, at(0, false), frame(&pool, b"abc"));
        assert!(rx.recent_ranges::<4>(&mem).iter().all(|range| range.start > rx.upto()));
        rx.clear(&mut mem);
    }
    let mut rx = stream();
    assert_eq!(rx.on_range(&mut mem, at(0, false), frame(&pool, &[0xff; 4])), Ok(true));
    assert_eq!(rx.deliver_to(&mut mem, &mut io, peer()), Err(StreamError), "longer than any message");
    for cut in [&[0, 0][..], &[0, 0, 0, 9, 1]] {
        let mut rx = stream();
        assert_eq!(rx.on_range(&mut mem, at(0, true), frame(&pool, cut)), Ok(false));
        assert_eq!(rx.deliver_to(&mut mem, &mut io, peer()), Err(StreamError), "the end cuts a message");
        rx.clear(&mut mem);
    }
    assert_eq!((mem.used_bytes(), pool.in_use(), io.rx_finished), (0, 0, false));
}

#[test]
fn a_reader_without_an_application_throws_away_and_goes_on() {
    let (pool, mut mem, mut io) = (pool(), Mem::new(1 << 20), MessageIo::default());
    let mut rx = MessageStreamReader::new(LIMITS);
    assert_eq!(rx.on_range(&mut mem, at(0, false), frame(&pool, &[0, 0, 0, 9, 1])), Ok(true));
    rx.discard();
    assert_eq!(rx.deliver_to(&mut mem, &mut io, peer()), Ok(Ready::NONE));
    assert_eq!((mem.used_bytes(), pool.in_use(), rx.window(&io)), (0, 0, 8_005));
    assert_eq!(rx.on_range(&mut mem, at(5, true), frame(&pool, &[1; 8])), Ok(false));
    assert_eq!(rx.deliver_to(&mut mem, &mut io, peer()), Ok(Ready::PEER_FINISHED | Ready::READABLE));
}

#[test]
fn a_full_application_is_waited_for_also_at_the_end() {
    let (pool, mut mem, mut io) = (pool(), Mem::new(1 << 20), MessageIo::default());
    let mut rx = MessageStreamReader::new(MessageStreamLimits { messages_max: 1, ..LIMITS });
    rx.on_range(&mut mem, at(0, true), frame(&pool, &[0, 0, 0, 1, 7, 0, 0, 0, 0])).unwrap();
    assert_eq!(rx.deliver_to(&mut mem, &mut io, peer()), Ok(Ready::READABLE));
    assert_eq!(rx.deliver_to(&mut mem, &mut io, peer()), Ok(Ready::NONE));
    io.rx.pop(&mut mem);
    let all = Ready::READABLE | Ready::PEER_FINISHED;
    assert_eq!(rx.deliver_to(&mut mem, &mut io, peer()), Ok(all));
}

proptest! {
    #[test]
    fn places_survive_a_wire(offset in 0u64..1 << 62, end: bool, bytes: [u8; 8]) {
        let mut out = FieldWriter::<8>::new();
        at(offset, end).write(&mut out);
        prop_assert_eq!(StreamAt::read(&mut FieldReader::new(out.bytes())), Some(at(offset, end)));
        prop_assert_eq!(StreamAt::read(&mut FieldReader::new(&out.bytes()[1..])), None);
        prop_assert!(StreamAt::read(&mut FieldReader::new(&bytes)).is_none_or(|at| at.offset < 1 << 62));
    }
}
