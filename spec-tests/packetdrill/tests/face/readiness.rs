//! `poll` and epoll.

use burstlane_spec::script::tcp::{ack, data, fin, syn, syn_ack};

use crate::talk::{Net, Talk};

#[test]
fn poll_tells_what_is_possible() {
    let mut talk = Talk::new(Net::V4);
    let listener = talk.listening();
    let all = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
    assert_eq!(talk.stack.poll(listener, all, 0), 0);
    talk.peer(syn().mss(1000));
    talk.expect(syn_ack());
    talk.peer(ack(1));
    assert_eq!(talk.stack.poll(listener, all, 0), libc::POLLIN);
    let (fd, _) = talk.stack.accept(listener).unwrap();
    assert_eq!(talk.stack.poll(fd, all, 0), libc::POLLOUT);
    talk.peer(data(1, "x"));
    assert_eq!(talk.stack.poll(fd, all, -1), libc::POLLIN | libc::POLLOUT);
    talk.peer(fin(2));
    assert_eq!(talk.stack.poll(fd, all, 0), all);
    talk.stack.read(fd, 1).unwrap();
    assert_eq!(talk.stack.poll(fd, libc::POLLIN, 0), libc::POLLIN);
    talk.stack.shutdown(fd, libc::SHUT_WR).unwrap();
    assert_eq!(talk.stack.poll(fd, all, 0), all | libc::POLLHUP);
    assert_eq!(talk.stack.poll(fd + 1, all, 0), libc::POLLNVAL);
}

#[test]
fn epoll_by_level_by_edge_and_once() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    let epoll = talk.stack.epoll();
    let (stack, name) = (talk.stack.clone(), fd as u64);
    assert_eq!(stack.epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN), Err(libc::ENOENT));
    assert_eq!(stack.epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN), Ok(0));
    assert_eq!(stack.epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN), Err(libc::EEXIST));
    assert_eq!(stack.epoll_wait(epoll, 0), []);
    talk.peer(data(1, "a"));
    assert_eq!(stack.epoll_wait(epoll, 0), [(libc::EPOLLIN, name)]);
    assert_eq!(stack.epoll_wait(epoll, 0), [(libc::EPOLLIN, name)]);

    let edge = libc::EPOLLIN | libc::EPOLLET;
    assert_eq!(stack.epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, edge), Ok(0));
    assert_eq!(stack.epoll_wait(epoll, 0), [(libc::EPOLLIN, name)]);
    assert_eq!(stack.epoll_wait(epoll, 0), []);
    talk.peer(data(2, "b"));
    assert_eq!(stack.epoll_wait(epoll, 0), [(libc::EPOLLIN, name)]);
    assert_eq!(stack.epoll_wait(epoll, 0), []);

    let once = libc::EPOLLIN | libc::EPOLLONESHOT;
    assert_eq!(stack.epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, once), Ok(0));
    assert_eq!(stack.epoll_wait(epoll, 0), [(libc::EPOLLIN, name)]);
    talk.peer(data(3, "c"));
    assert_eq!(stack.epoll_wait(epoll, 0), []);
    assert_eq!(stack.epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd, 0), Ok(0));
    assert_eq!(stack.epoll_wait(epoll, 10), []);
}

#[test]
fn epoll_wakes_a_thread() {
    let mut talk = Talk::new(Net::V4);
    let (fd, _) = talk.accepted(syn().mss(1000));
    let epoll = talk.stack.epoll();
    talk.stack.epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN).unwrap();
    let thread = talk.blocked(move |stack| stack.epoll_wait(epoll, -1));
    talk.stack.sleep(100_000);
    let now = talk.stack.now();
    talk.peer(data(1, "a"));
    talk.stack.sleep(100_000);
    let (happened, at) = thread.join().unwrap();
    assert_eq!(happened, [(libc::EPOLLIN, fd as u64)]);
    assert!(at - now < 1000);
}
