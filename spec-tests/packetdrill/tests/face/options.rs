//! Socket options, and the figures of a connection in Linux's layout.

use std::time::Duration;

use burstlane_spec::script::tcp::{Segment, ack, data, syn, text};

use crate::ffi;
use crate::talk::{Net, Talk};

#[test]
fn numbers_come_back_as_they_were_set() {
    let mut talk = Talk::new(Net::V4);
    let (connected, listener) = talk.accepted(syn().mss(1000));
    for fd in [connected, listener] {
        for (level, name, value) in [
            (libc::SOL_SOCKET, libc::SO_REUSEADDR, 1),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
            (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
            (libc::IPPROTO_TCP, libc::TCP_CORK, 1),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 10),
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 3),
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 4),
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 5000),
            (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, -1),
            (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 4096),
            (libc::IPPROTO_IP, libc::IP_TOS, 0x20),
        ] {
            let value: i32 = value;
            assert_eq!(talk.stack.set_option(fd, level, name, &value.to_ne_bytes()), Ok(0), "{name}");
            assert_eq!(talk.stack.option(fd, level, name), Ok(value.to_ne_bytes().to_vec()), "{name}");
        }
        assert_eq!(talk.stack.set_option(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, b"reno"), Ok(0));
        assert!(talk.stack.option(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION).unwrap().starts_with(b"reno\0"));
        assert_eq!(talk.stack.set_option(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, b"none"), Err(libc::ENOENT));
        assert_eq!(talk.stack.set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, b"x"), Err(libc::EINVAL));
    }
}

#[test]
fn small_segments_wait_unless_they_may_not() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    talk.stack.write(fd, b"a").unwrap();
    talk.expect(text(1, 1));
    talk.stack.write(fd, b"b").unwrap();
    assert_eq!(talk.stack.ioctl(fd, 0x894b), Ok(1), "never sent");
    talk.stack.set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &1i32.to_ne_bytes()).unwrap();
    talk.expect(text(2, 1));
    assert_eq!(talk.stack.send(fd, b"c", libc::MSG_MORE), Ok(1));
    assert_eq!(talk.stack.send(fd, b"d", 0), Ok(1));
    talk.expect(text(3, 2));
}

#[test]
fn a_silent_peer_is_asked() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    for (level, name, value) in [
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 10i32),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 3),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
    ] {
        talk.stack.set_option(fd, level, name, &value.to_ne_bytes()).unwrap();
    }
    talk.expect_after(Duration::from_secs(10), ack(1).seq(0).len(0));
    talk.expect_after(Duration::from_secs(3), ack(1).seq(0).len(0));
}

#[test]
fn the_figures_stand_where_linux_has_them() {
    let mut talk = Talk::new(Net::V4);
    let offer: Segment = syn().mss(1000).sack_permitted(true);
    let (fd, listener) = talk.accepted(offer);
    talk.peer(data(1, vec![1; 300]));
    talk.expect(ack(301));
    talk.stack.write(fd, &[7; 3000]).unwrap();
    for at in 0..3 {
        talk.expect(text(1 + 1000 * at, 1000));
    }
    talk.peer(ack(1001).sack(&[(2001, 3001)]));
    let info = ffi::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO).unwrap();
    let word = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(info[at..at + 8].try_into().unwrap());
    assert_eq!(info.len(), 280);
    // ESTABLISHED, SACK alone, no scales.
    assert_eq!([info[0], info[5], info[6]], [1, 2, 0]);
    let [snd_mss, unacked, sacked, cwnd, reordering] = [16, 24, 28, 80, 88].map(word);
    assert_eq!([snd_mss, unacked, sacked, reordering], [1000, 2, 1, 3]);
    assert!(cwnd >= 10, "{cwnd}");
    assert_eq!([long(120), long(128), long(200)], [1000, 300, 3000]);
    let state = |fd| ffi::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO).unwrap()[0];
    assert_eq!(state(listener), 10);
}
