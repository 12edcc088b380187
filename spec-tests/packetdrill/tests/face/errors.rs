//! Failures, by their numbers.

use std::time::Duration;

use burstlane_spec::packets::ACK;
use burstlane_spec::script::tcp::{ack, data, fin, rst, syn, text};

use crate::ffi;
use crate::talk::{NETS, Net, Talk};

fn error(talk: &Talk, fd: i32) -> i32 {
    let bytes = talk.stack.option(fd, libc::SOL_SOCKET, libc::SO_ERROR).unwrap();
    i32::from_ne_bytes(bytes.try_into().unwrap())
}

#[test]
fn refused() {
    for net in NETS {
        let mut talk = Talk::new(net);
        let fd = talk.bound();
        talk.stack.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK).unwrap();
        assert_eq!(talk.stack.connect(fd, &talk.peer_address()), Err(libc::EINPROGRESS));
        talk.expect(syn().seq(0));
        talk.peer(rst(0).and(ACK).ack(1));
        let bits = talk.stack.poll(fd, libc::POLLOUT, 0);
        assert_eq!(bits, libc::POLLOUT | libc::POLLERR | libc::POLLHUP);
        assert_eq!([error(&talk, fd), error(&talk, fd)], [libc::ECONNREFUSED, 0]);
    }
}

#[test]
fn reset_is_told_once_then_the_pipe_is_broken() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    talk.peer(data(1, "before"));
    talk.expect(ack(7));
    talk.peer(rst(7));
    assert_eq!(talk.stack.read(fd, 100), Ok(b"before".to_vec()));
    assert_eq!(talk.stack.read(fd, 100), Err(libc::ECONNRESET));
    assert_eq!(talk.stack.read(fd, 100), Ok(vec![]));
    assert_eq!(talk.stack.write(fd, b"x"), Err(libc::EPIPE));
    assert_eq!(talk.stack.shutdown(fd, libc::SHUT_WR), Err(libc::ENOTCONN));
}

#[test]
fn a_reset_after_the_peers_end_is_a_broken_pipe() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    talk.peer(fin(1));
    talk.expect(ack(2));
    talk.stack.write(fd, b"into the void").unwrap();
    talk.expect(text(1, 13));
    talk.peer(rst(2));
    assert_eq!(error(&talk, fd), libc::EPIPE);
}

#[test]
fn nobody_answers_a_connect_or_data() {
    let talk = Talk::new(Net::V4);
    let fd = talk.bound();
    talk.stack.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK).unwrap();
    assert_eq!(talk.stack.connect(fd, &talk.peer_address()), Err(libc::EINPROGRESS));
    // A SYN and six more.
    for _ in 0..7 {
        talk.stack.packet_out().unwrap();
    }
    assert_eq!(talk.stack.packet_out(), None);
    assert_eq!(talk.stack.connect(fd, &talk.peer_address()), Err(libc::ETIMEDOUT));

    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    let limit = 3000i32.to_ne_bytes();
    talk.stack.set_option(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &limit).unwrap();
    talk.stack.write(fd, b"anybody?").unwrap();
    talk.expect(text(1, 8));
    talk.expect_after(Duration::from_millis(200), text(1, 8));
    talk.stack.sleep(10_000_000);
    assert_eq!(talk.stack.read(fd, 1), Err(libc::ETIMEDOUT));
}

#[test]
fn nothing_to_do_now() {
    let mut talk = Talk::new(Net::V4);
    let (fd, listener) = talk.accepted(syn().mss(1000));
    for fd in [fd, listener] {
        talk.stack.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK).unwrap();
        assert_eq!(talk.stack.fcntl(fd, libc::F_GETFL, 0), Ok((libc::O_RDWR | libc::O_NONBLOCK) as usize));
    }
    assert_eq!(talk.stack.accept(listener), Err(libc::EAGAIN));
    assert_eq!(talk.stack.read(fd, 1), Err(libc::EAGAIN));
    assert_eq!(talk.stack.recv(fd, 1, libc::MSG_DONTWAIT), Err(libc::EAGAIN));
}

#[test]
fn what_makes_no_sense() {
    let talk = Talk::new(Net::V4);
    let fd = talk.listening();
    let fresh = talk.stack.socket(libc::AF_INET);
    let stack = &talk.stack;
    assert_eq!(stack.open(libc::AF_UNIX, libc::SOCK_STREAM, 0), Err(libc::EAFNOSUPPORT));
    assert_eq!(stack.open(libc::AF_INET, libc::SOCK_DGRAM, 0), Err(libc::EPROTONOSUPPORT));
    assert_eq!(stack.bind(fresh, &talk.address(1, 80)), Err(libc::EADDRINUSE));
    assert_eq!(stack.bind(fresh, &talk.address(9, 81)), Err(libc::EADDRNOTAVAIL));
    assert_eq!(stack.bind(fresh, &[2]), Err(libc::EINVAL));
    assert_eq!(stack.accept(fresh), Err(libc::EINVAL));
    assert_eq!(stack.connect(fd, &talk.peer_address()), Err(libc::EISCONN));
    assert_eq!(stack.read(fresh, 1), Err(libc::ENOTCONN));
    assert_eq!(stack.write(fresh, b"x"), Err(libc::EPIPE));
    assert_eq!(stack.shutdown(fresh, libc::SHUT_WR), Err(libc::ENOTCONN));
    assert_eq!(stack.read(3, 1), Err(libc::EBADF));
    assert_eq!(stack.option(fresh, libc::IPPROTO_TCP, libc::TCP_FASTOPEN), Err(libc::ENOPROTOOPT));
    assert_eq!(ffi::getsockopt(1_999_999, libc::SOL_SOCKET, libc::SO_TYPE), Err(libc::EBADF));
    // Files of the process are the kernel's.
    assert!(ffi::getsockopt(0, libc::SOL_SOCKET, 9999).is_err());
    assert_eq!(ffi::close(-1), Err(libc::EBADF));
}
