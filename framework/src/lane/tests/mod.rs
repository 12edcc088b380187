//! Lanes on a wire between them: the order of a turn, devices that take little or fail, the own loopback.

pub(crate) mod pipe;
pub(crate) mod wire;

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::addr::Endpoint;
use crate::socket::Host;
use pipe::Pipe;
use wire::{Pair, Side, pair, v4, v6};

/// Opens a stream from one host to an address, and carries bytes there and back.
fn converse(pair: &Pair, from: &Side, to: &Side, address: Ip) {
    let listener = to.host.listen(to.pipe, Endpoint::new(Ip::ANY, 7), 4).unwrap();
    let stream = from.host.connect(from.pipe, Endpoint::new(address, 7)).unwrap();
    pair.settle();
    let accepted = listener.accept().unwrap();
    assert_eq!(accepted.local().unwrap(), stream.peer().unwrap());
    assert_eq!(stream.write(&[7; 50_000]).unwrap(), 50_000);
    pair.settle();
    let mut buf = vec![0; 60_000];
    assert_eq!(accepted.read(&mut buf).unwrap(), 50_000);
    assert_eq!(accepted.write(&buf[..50_000]).unwrap(), 50_000);
    pair.settle();
    assert_eq!(stream.read(&mut buf).unwrap(), 50_000);
    assert!(buf[..50_000].iter().all(|byte| *byte == 7));
    drop((stream, accepted, listener));
    pair.settle();
}

#[test]
fn two_lanes_talk_over_both_families() {
    let pair = pair();
    converse(&pair, &pair.a, &pair.b, v4(2));
    converse(&pair, &pair.b, &pair.a, v6(1));
    pair.assert_clear();
}

#[test]
fn a_lane_talks_to_itself_over_both_families() {
    let pair = pair();
    for address in [v4(1), v6(1), Ip::v4([127, 0, 0, 1]), "::1".parse::<std::net::IpAddr>().unwrap().into()] {
        converse(&pair, &pair.a, &pair.a, address);
    }
    assert_eq!(pair.a.end.borrow().sent, 0, "nothing left the host");
    pair.assert_clear();
}

#[test]
fn several_engines_share_a_lane_and_none_has_anothers_claim() {
    let pair = pair();
    let other = |side: &Side| {
        let mut lane = side.host.lane();
        assert!(lane.add::<Pipe<253>>(()).is_err());
        assert!(lane.add::<Pipe<58>>(()).is_err(), "ICMP is the framework's");
        lane.add::<Pipe<254>>(()).unwrap()
    };
    let (ea, eb) = (other(&pair.a), other(&pair.b));
    let at = Endpoint::new(Ip::ANY, 7);
    let first = pair.b.host.listen(pair.b.pipe, at, 1).unwrap();
    let second = pair.b.host.listen(eb, at, 1).unwrap();
    let one = pair.a.host.connect(pair.a.pipe, Endpoint::new(v4(2), 7)).unwrap();
    let two = pair.a.host.connect(ea, Endpoint::new(v4(2), 7)).unwrap();
    one.write(b"one").unwrap();
    two.write(b"two").unwrap();
    pair.settle();
    let mut buf = [0; 9];
    let (first, second) = (first.accept().unwrap(), second.accept().unwrap());
    assert_eq!((first.read(&mut buf).unwrap(), buf[0]), (3, b'o'));
    assert_eq!((second.read(&mut buf).unwrap(), buf[0]), (3, b't'));
    drop((one, two, first, second));
    pair.assert_clear();
}

/// A stream from `a` to `b`, and the end at `b`.
pub(crate) fn streams(pair: &Pair) -> (crate::socket::Stream<Pipe<253>>, crate::socket::Stream<Pipe<253>>) {
    let listener = pair.b.host.listen(pair.b.pipe, Endpoint::new(Ip::ANY, 7), 4).unwrap();
    let stream = pair.a.host.connect(pair.a.pipe, Endpoint::new(v4(2), 7)).unwrap();
    pair.settle();
    (stream, listener.accept().unwrap())
}

#[test]
fn what_the_application_does_between_the_halves_leaves_in_the_same_turn() {
    let pair = pair();
    let (a, b) = streams(&pair);
    a.write(b"ping").unwrap();
    let now = pair.now.get();
    pair.a.turn(now);
    assert_eq!(pair.b.host.receive(now), 1);
    let mut buf = [0; 9];
    assert_eq!(b.read(&mut buf).unwrap(), 4);
    b.write(&buf[..4]).unwrap();
    assert_eq!(pair.b.host.transmit(now), 1);
    assert!(is_idle(&pair.b));
    drop((a, b));
    pair.assert_clear();
}

/// Nothing is under way but the neighbour cache's own timer.
fn is_idle(side: &Side) -> bool {
    side.host.next_deadline().is_none_or(|at| at >= Instant::ZERO + Duration::from_secs(1))
}

/// Lets `a` write while its device is `hindered`, and then again when it is not.
fn hindered(hinder: impl Fn(&Side), free: impl Fn(&Side)) {
    let pair = pair();
    let (a, b) = streams(&pair);
    hinder(&pair.a);
    let now = pair.now.get();
    pair.a.turn(now);
    a.write(&[1; 5000]).unwrap();
    for _ in 0..3 {
        pair.a.turn(now);
        let next = pair.a.host.next_deadline().expect("it is tried again");
        assert!(next > now && next <= now + Duration::from_millis(1), "soon, and not at once for ever: {next:?}");
    }
    free(&pair.a);
    pair.settle();
    assert_eq!(b.read(&mut [0; 6000]).unwrap(), 5000, "nothing was lost");
    assert!(is_idle(&pair.a));
    drop((a, b));
    pair.assert_clear();
}

#[test]
fn a_device_without_room_is_tried_again_soon() {
    hindered(|side| side.end.borrow_mut().room = 0, |side| side.end.borrow_mut().room = 64);
}

#[test]
fn a_device_that_takes_less_than_it_promised_is_offered_the_rest() {
    hindered(|side| side.end.borrow_mut().takes = 0, |side| side.end.borrow_mut().takes = 1);
}

#[test]
fn a_link_that_is_down_is_waited_for() {
    hindered(|side| side.end.borrow_mut().up = false, |side| side.end.borrow_mut().up = true);
}

#[test]
fn packet_memory_that_is_used_up_is_waited_for() {
    let held = RefCell::new(vec![]);
    let all = |side: &Side| std::iter::from_fn(|| side.pool.alloc()).collect();
    hindered(|side| *held.borrow_mut() = all(side), |_| held.borrow_mut().clear());
}

#[test]
fn trouble_with_a_device_is_told_once() {
    let pair = pair();
    let lane = &pair.a.host;
    let faults = |turns: usize| -> Vec<DriverError> {
        let turn = |_| {
            pair.a.turn(Instant::ZERO);
            lane.lane().take_fault()
        };
        (0..turns).filter_map(turn).collect()
    };
    let down = || DriverError::Down("tap0".into());
    let gone = || DriverError::Gone("tap0".into());
    assert_eq!(faults(2), []);
    pair.a.end.borrow_mut().rx_fault = Some(down());
    assert_eq!(faults(3), [down()]);
    pair.a.end.borrow_mut().rx_fault = None;
    assert_eq!(faults(2), []);
    pair.a.end.borrow_mut().rx_fault = Some(down());
    assert_eq!(faults(2), [down()]);
    pair.a.end.borrow_mut().rx_fault = None;
    faults(1);
    pair.a.end.borrow_mut().tx_fault = Some(gone());
    let stream = lane.connect(pair.a.pipe, Endpoint::new(v4(2), 7)).unwrap();
    assert_eq!(faults(3), [gone()]);
    pair.a.end.borrow_mut().tx_fault = None;
    drop(stream);
    pair.settle();
}

#[test]
fn a_tap_sees_each_frame_once_also_those_that_wait_for_the_device() {
    struct Count(usize);
    impl FrameTap for Count {
        fn frame(&mut self, _: Instant, _: u16, direction: Direction, _: &[u8], _: Option<&str>) {
            self.0 += usize::from(direction == Direction::Out);
        }
    }
    let pair = pair();
    let (a, b) = streams(&pair);
    let count = Rc::new(RefCell::new(Count(0)));
    pair.a.host.lane().set_tap(Some(Box::new(count.clone())));
    let before = pair.a.end.borrow().sent;
    pair.a.end.borrow_mut().takes = 1;
    a.write(&[1; 5000]).unwrap();
    pair.settle();
    assert_eq!((count.borrow().0, pair.a.end.borrow().sent - before), (5, 5));
    // Frames that a link going down takes with it are not counted against later ones.
    pair.a.end.borrow_mut().takes = 0;
    a.write(&[1; 3000]).unwrap();
    pair.a.turn(Instant::ZERO);
    pair.a.end.borrow_mut().up = false;
    pair.a.turn(Instant::ZERO);
    (pair.a.end.borrow_mut().up, pair.a.end.borrow_mut().takes) = (true, 64);
    a.write(&[1; 1000]).unwrap();
    pair.settle();
    assert_eq!(count.borrow().0, 5 + 3 + 1);
    drop((a, b));
    pair.assert_clear();
}

#[test]
fn a_lane_that_goes_gives_everything_back() {
    let pair = pair();
    let (a, b) = streams(&pair);
    a.write(&[1; 50_000]).unwrap();
    pair.a.turn(Instant::ZERO);
    let pool = pair.a.pool.clone();
    drop((a, b));
    drop(pair);
    assert_eq!((pool.in_use(), pool.lent()), (0, 0));
}

#[test]
fn a_lane_without_devices_has_its_own_loopback() {
    let mut lane = Lane::new(LaneConfig::seeded(1));
    assert!(!lane.has_interfaces() && lane.next_deadline().is_none());
    let pipe = lane.add::<Pipe<253>>(()).unwrap();
    let host = Host::new(lane);
    let listener = host.listen(pipe, Endpoint::new(Ip::ANY, 7), 4).unwrap();
    let stream = host.connect(pipe, Endpoint::new(Ip::v4([127, 0, 0, 1]), 7)).unwrap();
    stream.write(&[1; 90_000]).unwrap();
    let mut turns = 0;
    while host.next_deadline() == Some(Instant::ZERO) {
        host.receive(Instant::ZERO);
        host.transmit(Instant::ZERO);
        turns += 1;
        assert!(turns < 100);
    }
    assert_eq!(listener.accept().unwrap().read(&mut vec![0; 100_000]).unwrap(), 90_000);
}
