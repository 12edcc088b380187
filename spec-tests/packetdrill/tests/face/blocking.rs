//! Calls that wait, on a second thread: they are asleep until what they wait for happens, and find the time at which it did.

use std::time::Duration;

use burstlane_spec::packets::ACK;
use burstlane_spec::script::tcp::{ack, data, rst, syn, syn_ack, text};

use crate::talk::{NETS, Net, Talk};

/// The thread was back within a millisecond of virtual time.
#[track_caller]
fn came_at(came: i64, expected: i64) {
    assert!((came - expected).abs() < 1000, "back {} us too late", came - expected);
}

#[test]
fn accept() {
    for net in NETS {
        let mut talk = Talk::new(net);
        let listener = talk.listening();
        let thread = talk.blocked(move |stack| stack.accept(listener));
        talk.stack.sleep(50_000);
        talk.peer(syn().mss(1000));
        talk.expect(syn_ack());
        talk.stack.sleep(50_000);
        let now = talk.stack.now();
        talk.peer(ack(1));
        // The peer goes on at once; the thread is there before.
        talk.stack.sleep(1_000_000);
        let (accepted, at) = thread.join().unwrap();
        assert_eq!(accepted.unwrap().1, talk.peer_address());
        came_at(at, now);
    }
}

#[test]
fn connect() {
    for net in NETS {
        let mut talk = Talk::new(net);
        let (fd, peer) = (talk.bound(), talk.peer_address());
        let thread = talk.blocked(move |stack| stack.connect(fd, &peer));
        talk.expect(syn());
        talk.stack.sleep(100_000);
        let now = talk.stack.now();
        talk.peer(syn_ack().ack(1).mss(1000));
        talk.expect(ack(1));
        talk.stack.sleep(1_000_000);
        let (answer, at) = thread.join().unwrap();
        assert_eq!(answer, Ok(0));
        came_at(at, now);
    }
}

#[test]
fn connect_in_vain() {
    let mut talk = Talk::new(Net::V4);
    let (fd, peer) = (talk.bound(), talk.peer_address());
    let thread = talk.blocked(move |stack| stack.connect(fd, &peer));
    talk.expect(syn());
    talk.peer(rst(0).and(ACK).ack(1));
    assert_eq!(thread.join().unwrap().0, Err(libc::ECONNREFUSED));
    // It can be tried again.
    let peer = talk.peer_address();
    let thread = talk.blocked(move |stack| stack.connect(fd, &peer));
    talk.expect(syn());
    assert!(!thread.is_finished());
    while talk.stack.packet_out().is_some() {}
    assert_eq!(thread.join().unwrap().0, Err(libc::ETIMEDOUT));
}

#[test]
fn read_and_read_all() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    let thread = talk.blocked(move |stack| stack.read(fd, 100));
    talk.stack.sleep(300_000);
    let now = talk.stack.now();
    talk.peer(data(1, "at last"));
    talk.stack.sleep(300_000);
    let (bytes, at) = thread.join().unwrap();
    assert_eq!(bytes, Ok(b"at last".to_vec()));
    came_at(at, now);

    let thread = talk.blocked(move |stack| stack.recv(fd, 8, libc::MSG_WAITALL));
    talk.peer(data(8, "part"));
    talk.stack.sleep(300_000);
    assert!(!thread.is_finished());
    talk.peer(data(12, "part"));
    assert_eq!(thread.join().unwrap().0, Ok(b"partpart".to_vec()));
}

#[test]
fn read_for_no_longer_than_its_timeout() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    let limit = [0i64.to_ne_bytes(), 250_000i64.to_ne_bytes()].concat();
    talk.stack.set_option(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &limit).unwrap();
    let now = talk.stack.now();
    let thread = talk.blocked(move |stack| stack.read(fd, 100));
    talk.stack.sleep(1_000_000);
    let (bytes, at) = thread.join().unwrap();
    assert_eq!(bytes, Err(libc::EAGAIN));
    came_at(at, now + 250_000);
}

#[test]
fn write() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    talk.stack.set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &4096i32.to_ne_bytes()).unwrap();
    let thread = talk.blocked(move |stack| stack.write(fd, &[7; 6000]));
    for at in 0..4 {
        talk.expect(text(1 + 1000 * at, 1000));
    }
    talk.stack.sleep(50_000);
    assert!(!thread.is_finished());
    let now = talk.stack.now();
    talk.peer(ack(4001));
    talk.stack.sleep(1_000_000);
    let (taken, at) = thread.join().unwrap();
    assert_eq!(taken, Ok(6000));
    came_at(at, now);
}

#[test]
fn the_thread_that_keeps_the_clock_waits_by_itself() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    let now = talk.stack.now();
    assert_eq!(talk.stack.poll(fd, libc::POLLIN, 1500), 0);
    came_at(talk.stack.now(), now + 1_500_000);
    talk.stack.write(fd, b"x").unwrap();
    talk.expect(text(1, 1));
    talk.expect_after(Duration::from_millis(200), text(1, 1));
}
