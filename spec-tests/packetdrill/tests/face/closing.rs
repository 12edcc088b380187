//! Ends: in good order from either side or both, and by a reset.

use burstlane_spec::packets::ACK;
use burstlane_spec::script::tcp::{ack, data, fin, rst, syn};

use crate::ffi;
use crate::talk::{NETS, Net, Talk};

#[test]
fn the_peer_closes_first() {
    for net in NETS {
        let mut talk = Talk::new(net);
        let (fd, _) = talk.accepted(syn().mss(1000));
        talk.peer(fin(1));
        talk.expect(ack(2).seq(1));
        assert_eq!(talk.stack.read(fd, 10), Ok(vec![]));
        assert_eq!(talk.stack.close(fd), Ok(0));
        talk.expect(fin(1).ack(2));
        talk.peer(ack(2));
        assert_eq!(talk.stack.close(fd), Err(libc::EBADF));
    }
}

#[test]
fn we_close_first_and_the_last_acknowledgement_can_be_had_again() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    // As packetdrill does it at the end: by the C library.
    assert_eq!(ffi::close(fd), Ok(0));
    talk.expect(fin(1).ack(1));
    talk.peer(ack(2));
    talk.peer(fin(1).ack(2));
    talk.expect(ack(2).seq(2));
    talk.peer(fin(1).ack(2));
    talk.expect(ack(2).seq(2));
}

#[test]
fn both_close_at_once() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    assert_eq!(talk.stack.shutdown(fd, libc::SHUT_WR), Ok(0));
    talk.expect(fin(1).ack(1));
    talk.peer(fin(1).ack(1));
    talk.expect(ack(2).seq(2));
    talk.peer(ack(2));
    assert_eq!(talk.stack.read(fd, 10), Ok(vec![]));
    assert_eq!(talk.stack.close(fd), Ok(0));
}

#[test]
fn half_a_connection_goes_on() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    assert_eq!(talk.stack.shutdown(fd, libc::SHUT_WR), Ok(0));
    talk.expect(fin(1).ack(1));
    talk.peer(ack(2));
    assert_eq!(talk.stack.write(fd, b"late"), Err(libc::EPIPE));
    talk.peer(data(1, "still heard"));
    talk.expect(ack(12).seq(2));
    assert_eq!(talk.stack.read(fd, 100), Ok(b"still heard".to_vec()));
}

#[test]
fn who_leaves_unread_data_resets() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    talk.peer(data(1, "unread"));
    talk.expect(ack(7));
    assert_eq!(talk.stack.close(fd), Ok(0));
    talk.expect(rst(1).and(ACK));
}

#[test]
fn who_lingers_for_no_time_resets() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    let linger = [1i32.to_ne_bytes(), 0i32.to_ne_bytes()].concat();
    assert_eq!(talk.stack.set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger), Ok(0));
    assert_eq!(talk.stack.close(fd), Ok(0));
    talk.expect(rst(1).and(ACK));
}

#[test]
fn a_listener_that_closes_refuses() {
    let mut talk = Talk::new(Net::V4);
    let listener = talk.listening();
    assert_eq!(talk.stack.close(listener), Ok(0));
    talk.peer(syn());
    talk.expect(rst(0).and(ACK).ack(1));
    assert_eq!(talk.stack.packet_out(), None);
}
