//! Handshakes, as Linux does them.

use burstlane_spec::packets::{ACK, SYN};
use burstlane_spec::script::tcp::{Segment, ack, rst, segment, syn, syn_ack};
use std::time::Duration;

use crate::talk::{NETS, Net, Talk};

#[test]
fn a_passive_open_in_every_family() {
    for net in NETS {
        let mut talk = Talk::new(net);
        let listener = talk.listening();
        talk.peer(syn().mss(1000).sack_permitted(true).window_scale(7).timestamps(100, 0));
        let mss = if net == Net::V6 { 1440 } else { 1460 };
        let answer = talk.expect(syn_ack().seq(0).ack(1).mss(mss).window_scale(7).sack_permitted(true));
        let (value, echo) = answer.timestamps.unwrap();
        assert_eq!(echo, 100);
        talk.peer(ack(1).timestamps(101, value));
        let (fd, peer) = talk.stack.accept(listener).unwrap();
        assert!(fd >= 1_000_000, "{fd}");
        assert_eq!(peer, talk.peer_address(), "{net:?}");
        assert_eq!(talk.stack.poll(listener, libc::POLLIN, 0), 0);
    }
}

#[test]
fn an_active_open_in_every_family() {
    for net in NETS {
        let mut talk = Talk::new(net);
        let fd = talk.connected();
        assert_eq!(talk.stack.connect(fd, &talk.peer_address()), Err(libc::EISCONN));
        assert_eq!(talk.stack.write(fd, b"hello"), Ok(5));
        talk.expect(segment(ACK).push(true).seq(1).ack(1).payload(*b"hello"));
    }
}

#[test]
fn syns_cross() {
    let mut talk = Talk::new(Net::V4);
    let fd = talk.bound();
    talk.stack.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK).unwrap();
    assert_eq!(talk.stack.connect(fd, &talk.peer_address()), Err(libc::EINPROGRESS));
    talk.expect(syn().seq(0));
    talk.peer(syn().mss(1000));
    talk.expect(segment(SYN | ACK).seq(0).ack(1));
    // It is old, and so is answered; what counts is the acknowledgement.
    talk.peer(segment(SYN | ACK).seq(0).ack(1));
    talk.expect(ack(1).seq(1));
    talk.peer(ack(1));
    assert_eq!(talk.stack.connect(fd, &talk.peer_address()), Ok(0));
}

#[test]
fn a_syn_is_sent_again_after_one_second_and_two() {
    let mut talk = Talk::new(Net::V4);
    let fd = talk.bound();
    talk.stack.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK).unwrap();
    assert_eq!(talk.stack.connect(fd, &talk.peer_address()), Err(libc::EINPROGRESS));
    assert_eq!(talk.stack.connect(fd, &talk.peer_address()), Err(libc::EALREADY));
    let first = talk.expect(syn().seq(0));
    let second = talk.expect_after(Duration::from_secs(1), syn().seq(0));
    talk.expect_after(Duration::from_secs(2), syn().seq(0));
    // The clock of timestamps has ticks of a millisecond.
    let clock = |segment: &Segment| segment.timestamps.unwrap().0;
    assert_eq!(clock(&second) - clock(&first), 1000);
}

#[test]
fn nobody_listens() {
    let mut talk = Talk::new(Net::V4);
    talk.peer(syn());
    talk.expect(rst(0).and(ACK).ack(1));
}
