//! Data both ways, and what is lost of it.

use std::time::Duration;

use burstlane_spec::script::tcp::{Segment, ack, data, fin, syn, text};

use crate::talk::{NETS, Net, Talk};

fn offer() -> Segment {
    syn().mss(1000).sack_permitted(true)
}

#[test]
fn what_arrives_is_read_and_the_first_of_it_acknowledged_at_once() {
    for net in NETS {
        let mut talk = Talk::new(net);
        let (fd, _) = talk.accepted(offer());
        for (at, bytes) in [(1, "first"), (6, "second")] {
            talk.peer(data(at, bytes));
            talk.expect(ack(at + bytes.len() as i32).seq(1));
            assert_eq!(talk.stack.read(fd, 100), Ok(bytes.into()));
        }
        talk.peer(data(12, "in parts"));
        assert_eq!(talk.stack.ioctl(fd, libc::FIONREAD), Ok(8));
        assert_eq!(talk.stack.recv(fd, 100, libc::MSG_PEEK), Ok(b"in parts".to_vec()));
        assert_eq!(talk.stack.readv(fd, 6), Ok([b"in ".to_vec(), b"par".to_vec()]));
        assert_eq!(talk.stack.read(fd, 100), Ok(b"ts".to_vec()));
        talk.expect(ack(20).seq(1));
    }
}

#[test]
fn after_its_start_a_connection_acknowledges_every_second_segment() {
    let mut talk = Talk::new(Net::V4);
    talk.accepted(offer());
    for at in 0..16 {
        talk.peer(text(1 + 1000 * at, 1000));
        talk.expect(ack(1001 + 1000 * at));
    }
    talk.peer(text(16_001, 1000));
    talk.peer(text(17_001, 1000));
    talk.expect(ack(18_001));
    talk.peer(text(18_001, 1000));
    talk.expect_after(Duration::from_millis(40), ack(19_001));
}

#[test]
fn the_end_of_a_burst_is_pushed_and_the_end_of_a_write() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(offer());
    assert_eq!(talk.stack.write(fd, &[7; 12_500]), Ok(12_500));
    for at in 0..9 {
        talk.expect(text(1 + 1000 * at, 1000).push(false));
    }
    talk.expect(text(9001, 1000).push(true));
    // Room for one segment, with which neither ends.
    talk.peer(ack(10_001).window(1000));
    talk.expect(text(10_001, 1000).push(false));
    talk.peer(ack(11_001));
    talk.expect(text(11_001, 1000).push(false));
    talk.expect(text(12_001, 500).push(true));
}

#[test]
fn a_packet_larger_than_the_mtu_comes_in() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(offer());
    talk.peer(text(1, 4000));
    talk.expect(ack(4001));
    assert_eq!(talk.stack.shutdown(fd, libc::SHUT_RD), Ok(0));
    assert_eq!(talk.stack.read(fd, 10_000).map(|bytes| bytes.len()), Ok(4000));
    assert_eq!(talk.stack.read(fd, 10_000), Ok(vec![]));
}

#[test]
fn three_sacks_bring_back_what_was_lost() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted_after(20_000, offer());
    assert_eq!(talk.stack.write(fd, &[7; 5000]), Ok(5000));
    for at in 0..5 {
        talk.expect(text(1 + 1000 * at, 1000));
    }
    talk.stack.sleep(20_000);
    for right in [2001, 3001, 4001] {
        talk.peer(ack(1).sack(&[(1001, right)]));
    }
    talk.expect(text(1, 1000));
    talk.stack.sleep(20_000);
    talk.peer(ack(5001));
    assert_eq!(talk.stack.ioctl(fd, libc::TIOCOUTQ), Ok(0));
}

#[test]
fn silence_brings_a_probe_and_then_timeouts_that_double() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    talk.stack.write(fd, &[7; 1000]).unwrap();
    talk.expect(text(1, 1000));
    talk.expect_after(Duration::from_millis(200), text(1, 1000));
    talk.expect_after(Duration::from_millis(400), text(1, 1000));
    talk.expect_after(Duration::from_millis(800), text(1, 1000));
    talk.peer(ack(1001));
    talk.peer(fin(1));
    talk.expect(ack(2).seq(1001));
}

#[test]
fn what_does_not_fit_is_not_taken() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(offer());
    talk.stack.set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &8192i32.to_ne_bytes()).unwrap();
    talk.stack.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK).unwrap();
    assert_eq!(talk.stack.write(fd, &[7; 10_000]), Ok(8192));
    assert_eq!(talk.stack.write(fd, &[7; 10_000]), Err(libc::EAGAIN));
    assert_eq!(talk.stack.poll(fd, libc::POLLOUT, 0), 0);
}
