//! Handles: who may be called when, the edges of a stream's life, timeouts, and the end that travels.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::addr::{Endpoint, Ip};
use crate::engine::EngineEvent;
use crate::lane::tests::pipe::{Pipe, TX_MAX};
use crate::lane::tests::streams;
use crate::lane::tests::wire::{pair, v4};
use crate::time::Instant;
use crate::transport::FlowError;

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn after_the_end_a_stream_gives_what_it_has_then_the_end_for_ever() {
    let pair = pair();
    let (a, b) = streams(&pair);
    let mut buf = [0; 100];
    assert_eq!(kind(b.read(&mut buf)), ErrorKind::WouldBlock);
    assert_eq!((b.read(&mut []).unwrap(), b.write(&[]).unwrap()), (0, 0));
    assert_eq!(b.readiness(), Ready::WRITABLE | Ready::OPEN);
    a.write(b"last words").unwrap();
    a.shutdown();
    a.shutdown();
    assert_eq!(kind(a.write(b"more")), ErrorKind::BrokenPipe);
    pair.settle();
    assert!(b.readiness().contains(Ready::READABLE | Ready::PEER_FINISHED));
    let mut seen = vec![];
    let look = |piece: &[u8]| {
        seen.extend_from_slice(piece);
        4
    };
    assert_eq!(b.read_with(look).unwrap(), 4);
    assert_eq!((b.read(&mut buf).unwrap(), &seen[..], &buf[..6]), (6, &b"last words"[..], &b" words"[..]));
    assert_eq!((b.read(&mut buf).unwrap(), b.read_with(|_| 0).unwrap()), (0, 0));
    b.write(b"answer").unwrap();
    assert!(a.peer().is_some() && a.endpoints().unwrap().1 == Endpoint::new(v4(2), 7));
    drop(b);
    pair.settle();
    // The protocol is over on this side, and its last bytes are still there.
    assert_eq!((a.ended(), a.endpoints(), a.inspect(|_, _| ())), (Some(None), None, None));
    assert!(a.readiness().contains(Ready::READABLE | Ready::WRITABLE | Ready::CLOSED));
    assert_eq!((a.read(&mut buf).unwrap(), a.read(&mut buf).unwrap()), (6, 0));
    drop(a);
    pair.assert_clear();
}

#[test]
fn after_a_reset_a_stream_gives_what_it_has_then_the_error_for_ever() {
    let pair = pair();
    let (a, b) = streams(&pair);
    a.write(b"hello").unwrap();
    pair.settle();
    a.abort();
    pair.settle();
    let mut buf = [0; 100];
    assert_eq!(b.read(&mut buf).unwrap(), 5);
    assert_eq!(
        (kind(b.read(&mut buf)), kind(b.read(&mut buf))),
        (ErrorKind::ConnectionReset, ErrorKind::ConnectionReset)
    );
    assert_eq!((kind(b.write(b"x")), kind(a.write(b"x"))), (ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted));
    b.shutdown();
    b.abort();
    drop((a, b));
    pair.assert_clear();
}

#[test]
fn a_full_stream_takes_what_fits_and_tells_when_there_is_room() {
    let pair = pair();
    let (a, b) = streams(&pair);
    pair.a.end.borrow_mut().room = 0;
    assert_eq!(a.write(&vec![1; 200_000]).unwrap(), TX_MAX as usize);
    assert_eq!((kind(a.write(b"x")), a.readiness().contains(Ready::WRITABLE)), (ErrorKind::WouldBlock, false));
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    assert!(a.poll_write(&mut Context::from_waker(&waker), b"x").is_pending());
    pair.a.end.borrow_mut().room = 64;
    pair.settle();
    assert_eq!((woken.0.load(Ordering::Relaxed), a.readiness().contains(Ready::WRITABLE)), (1, true));
    drop((a, b));
    pair.assert_clear();
}

/// Its buffer is empty, so no acknowledgement ever tells it of room.
#[test]
fn who_was_refused_for_want_of_memory_is_told_when_there_is_some() {
    let pair = pair();
    let (a, b) = streams(&pair);
    let (host, pipe, mut events) = (&pair.a.host, pair.a.pipe, vec![]);
    let others_bytes = host.with(pipe, |_, lane, _| {
        let bytes = lane.mem.available_bytes();
        assert!(lane.mem.charge(bytes));
        bytes
    });
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    assert!(a.poll_write(&mut Context::from_waker(&waker), b"x").is_pending());
    pair.settle();
    host.take_events(pipe, &mut events);
    events.clear();
    pair.settle();
    host.take_events(pipe, &mut events);
    assert_eq!((woken.0.load(Ordering::Relaxed), events.len()), (0, 0), "there is none");
    host.with(pipe, |_, lane, _| lane.mem.refund(others_bytes));
    pair.settle();
    host.take_events(pipe, &mut events);
    assert_eq!((woken.0.load(Ordering::Relaxed), a.write(b"x").unwrap()), (1, 1));
    assert!(matches!(events[..], [EngineEvent::Ready(flow, Ready::WRITABLE)] if flow == a.id()));
    drop((a, b));
    pair.assert_clear();
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn opening_chooses_or_is_told_the_local_end() {
    let pair = pair();
    let host = &pair.a.host;
    let connect = |ip, port| host.connect_from(pair.a.pipe, Endpoint::new(ip, port), Endpoint::new(v4(2), 7));
    let stream = connect(Ip::ANY, 77).unwrap();
    assert_eq!(stream.local(), Some(Endpoint::new(v4(1), 77)));
    assert_eq!(connect(v4(1), 77).err(), Some(FlowError::InUse));
    assert_eq!(connect(v4(9), 0).err(), Some(FlowError::Unreachable));
    assert!(connect(v4(1), 0).unwrap().local().unwrap().port >= 1024);
    assert_eq!(kind(stream.blocking().wait_open()), ErrorKind::ConnectionRefused);
    let any = host.listen(pair.a.pipe, Endpoint::new(Ip::ANY, 0), 1).unwrap();
    assert_ne!(any.local().port, 0);
    drop(any);
    pair.assert_clear();
}

#[test]
fn a_call_waits_as_long_as_it_may() {
    let pair = pair();
    let (a, b) = streams(&pair);
    let mut a = a.blocking();
    a.wait_open().unwrap();
    a.set_timeout(Some(Duration::from_millis(250)));
    let start = pair.now.get();
    assert_eq!(kind(a.read(&mut [0; 9])), ErrorKind::TimedOut);
    assert_eq!(pair.now.get(), start + Duration::from_millis(250));
    b.write(b"in time").unwrap();
    assert_eq!(a.read(&mut [0; 9]).unwrap(), 7);
    pair.a.end.borrow_mut().room = 0;
    assert_eq!(kind(a.write_all(&vec![1; 300_000])), ErrorKind::TimedOut);
    assert_eq!(pair.now.get(), start + Duration::from_millis(500));
    pair.a.end.borrow_mut().room = 64;
    let listener = pair.a.host.listen(pair.a.pipe, Endpoint::new(Ip::ANY, 9), 1).unwrap();
    assert_eq!(kind(listener.accept_timeout(Duration::from_secs(3)).map(|_| ())), ErrorKind::TimedOut);
    a.set_timeout(None);
    assert!(a.read(&mut [0; 9]).unwrap_err().to_string().contains("nothing will ever happen"));
    let a = a.into_stream();
    drop((a, b, listener));
    pair.assert_clear();
}

/// A waker that does something when it is woken, and something when it is dropped. Wakers are `Send`, handles are not: on
/// this one thread they are reached by its own table.
struct Acts {
    woken: Mutex<Option<fn()>>,
    dropped: fn(),
}

impl Wake for Acts {
    fn wake(self: Arc<Self>) {
        if let Some(act) = self.woken.lock().unwrap().take() {
            act();
        }
    }
}

impl Drop for Acts {
    fn drop(&mut self) {
        (self.dropped)();
    }
}

type Held = (Vec<Stream<Pipe<253>>>, Option<Host>, u32);

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

/// Uses the host, drops a stream, and counts itself.
fn use_and_drop() {
    let (stream, host) = HELD.with_borrow_mut(|held| {
        held.2 += 1;
        (held.0.pop(), held.1.clone())
    });
    assert!(host.is_none_or(|host| host.next_deadline().is_none_or(|at| at >= Instant::ZERO)), "nothing is borrowed");
    if let Some(stream) = stream {
        let _ = stream.write(b"from within");
        stream.shutdown();
    }
}

#[test]
fn a_waker_may_use_the_host_when_it_is_woken_and_when_it_is_dropped() {
    let pair = pair();
    let (a, b) = streams(&pair);
    let listener = pair.b.host.listen(pair.b.pipe, Endpoint::new(Ip::ANY, 9), 9).unwrap();
    let more: Vec<_> = (0..6).map(|_| pair.a.host.connect(pair.a.pipe, Endpoint::new(v4(2), 9)).unwrap()).collect();
    pair.settle();
    HELD.with_borrow_mut(|held| *held = (more, Some(pair.b.host.clone()), 0));
    let acts = || Waker::from(Arc::new(Acts { woken: Mutex::new(Some(use_and_drop)), dropped: use_and_drop }));
    let poll = |waker: &Waker| b.poll_read(&mut Context::from_waker(waker), &mut [0; 9]);
    let done = || HELD.with_borrow(|held| held.2);
    // Replaced: dropped at the next turn. Woken: used, then dropped.
    assert!(poll(&acts()).is_pending() && poll(&acts()).is_pending());
    assert_eq!(done(), 0);
    pair.settle();
    assert_eq!(done(), 1);
    a.write(b"wake").unwrap();
    pair.settle();
    assert_eq!(done(), 3);
    assert!(matches!(poll(&acts()), Poll::Ready(Ok(4))), "the one that was not needed is dropped at once");
    assert!(poll(&acts()).is_pending());
    assert!(listener.poll_accept(&mut Context::from_waker(&acts())).is_ready());
    drop((b, listener));
    pair.settle();
    assert_eq!(done(), 6, "a flow that was let go wakes nobody, and drops whoever waited");
    HELD.with_borrow_mut(|held| (std::mem::take(&mut held.0), held.1.take()));
    drop(a);
    pair.assert_clear();
}

#[test]
fn handles_may_be_dropped_while_the_lane_is_borrowed() {
    let pair = pair();
    let (a, b) = streams(&pair);
    b.write(b"look").unwrap();
    pair.settle();
    let listener = pair.a.host.listen(pair.a.pipe, Endpoint::new(Ip::ANY, 9), 9).unwrap();
    let handles = Rc::new(RefCell::new(Some((b, listener))));
    assert_eq!(
        a.read_with(|piece| {
            drop(handles.take());
            piece.len()
        })
        .unwrap(),
        4
    );
    {
        let _lane = pair.a.host.lane();
        drop(a);
    }
    assert_eq!(pair.a.host.next_deadline(), Some(Instant::ZERO), "there is something to do");
    pair.assert_clear();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn bytes_cross_the_rings_in_order_however_the_ends_take_turns(
        ring in 1usize..40,
        steps in prop::collection::vec((0u8..5, 1usize..60), 0..150),
        drops in prop::bool::weighted(0.3),
    ) {
        let pair = pair();
        let (stream, peer) = streams(&pair);
        let (mut remote, mut port) = RemoteStream::split(stream, ring);
        let (mut out, mut back, mut echoed) = (0u64, 0u64, 0u64);
        let mut buf = [0; 60];
        let check = |buf: &[u8], at: &mut u64| for byte in buf {
            assert_eq!(*byte, *at as u8);
            *at += 1;
        };
        for (step, n) in steps {
            match step {
                0 => {
                    let bytes: Vec<u8> = (0..n as u64).map(|i| (out + i) as u8).collect();
                    out += remote.try_write(&bytes).map_or(0, |taken| taken as u64);
                }
                1 => { prop_assert!(port.serve()); }
                2 => { pair.settle(); }
                3 => if let Ok(taken) = peer.read(&mut buf[..n]) {
                    check(&buf[..taken], &mut echoed);
                    prop_assert_eq!(peer.write(&buf[..taken]).unwrap(), taken);
                },
                _ => if let Ok(taken) = remote.try_read(&mut buf[..n]) { check(&buf[..taken], &mut back) },
            }
        }
        remote.finish();
        prop_assert_eq!(remote.try_write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut remote = (!drops).then_some(remote);
        let mut rounds = 0;
        loop {
            let over = !port.serve();
            pair.settle();
            match peer.read(&mut buf) {
                Ok(0) => peer.shutdown(),
                Ok(taken) => {
                    check(&buf[..taken], &mut echoed);
                    let _ = peer.write(&buf[..taken]);
                }
                Err(_) => {}
            }
            let end = remote.as_mut().is_none_or(|remote| match remote.try_read(&mut buf) {
                Ok(taken) => {
                    check(&buf[..taken], &mut back);
                    taken == 0
                }
                Err(_) => false,
            });
            if over && end {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 20_000, "it does not end");
        }
        if drops {
            // What was written still arrives.
            drop(port);
            pair.settle();
            while let Ok(taken @ 1..) = peer.read(&mut buf) {
                check(&buf[..taken], &mut echoed);
            }
            prop_assert_eq!(echoed, out);
            drop((remote, peer));
        } else {
            prop_assert_eq!((echoed, back), (out, out));
            drop((remote, peer, port));
        }
        pair.assert_clear();
    }
}

#[test]
fn a_writer_far_away_learns_that_the_stream_is_over() {
    let pair = pair();
    let (stream, peer) = streams(&pair);
    let (mut remote, mut port) = RemoteStream::split(stream, 16);
    peer.shutdown();
    pair.settle();
    assert!(port.serve(), "the other direction goes on");
    assert_eq!((remote.try_read(&mut [0; 9]).unwrap(), remote.try_write(b"still").unwrap()), (0, 5));
    port.stream_for_tests().shutdown();
    pair.settle();
    assert!(!port.serve());
    assert_eq!(kind(remote.try_write(b"x")), ErrorKind::BrokenPipe);
    let (stream, other) = streams(&pair);
    let (mut remote, port) = RemoteStream::split(stream, 16);
    drop(port);
    assert_eq!(kind(remote.read(&mut [0; 9])), ErrorKind::ConnectionReset);
    assert_eq!(kind(remote.write(b"x")), ErrorKind::BrokenPipe);
    drop((peer, other));
}
