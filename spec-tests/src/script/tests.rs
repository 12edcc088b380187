use std::time::Duration;

use burstlane_tcp::{Config, Tcp};
use stop_and_wait::StopAndWait;

use super::Script;
use super::tcp::{Ends, ISNS, TcpScript, ack, data, fin, syn, syn_ack, text};
use super::udp::{Datagram, Ports, datagram, datagram_that};

fn unstamped() -> Config {
    let mut config = Config::default();
    config.timestamps = false;
    config
}

/// The tutorial's transport, with a peer that speaks it by hand: any transport can be scripted.
#[test]
fn a_transport_in_udp() {
    const SESSION: [u8; 4] = [0, 0, 0, 9];
    let item = |kind: &[u8], number: u32, expected: u32, message: &[u8]| {
        let numbers = [number.to_be_bytes(), expected.to_be_bytes()].concat();
        datagram([kind, &SESSION, &numbers, message].concat())
    };
    let mut s = Script::<StopAndWait, Datagram>::new(stop_and_wait::Config::default(), Ports { host: 700, peer: 800 });
    let listener = s.listen(4);
    s.peer(item(b"SW-O", 0, 0, b""));
    s.expect(item(b"SW-A", 0, 1, b""));
    let socket = s.accept(&listener).unwrap();
    s.peer(item(b"SW-M", 1, 0, b"hello"));
    s.expect(datagram_that("acknowledges item 1", |bytes| bytes.starts_with(b"SW-A") && bytes[15] == 2));
    assert_eq!(s.read_up_to(&socket, 100).unwrap(), b"hello");
    s.write(&socket, b"answer");
    let first = s.expect(datagram_that("is the answer", |bytes| bytes.ends_with(b"answer")));
    // Nobody acknowledges it: it comes again.
    let (_, again) = s.next_within(Duration::from_secs(5)).unwrap();
    assert_eq!(first.bytes(), again.bytes());
}

/// The same script twice: with numbers that are far from the wrap, and with numbers that cross it.
#[test]
fn relative_numbers_hide_the_wrap() {
    let traces = ISNS.map(|isn| {
        let mut s = TcpScript::<Tcp>::at_isn(isn, unstamped());
        let (stream, _listener) = s.accepted(syn().mss(1000));
        assert_eq!(s.ends.host_isn, isn);
        s.write(&stream, &[7; 500]);
        s.expect(text(1, 500).ack(1));
        s.peer(data(1, vec![8; 300]).ack(501));
        s.expect_after(Duration::from_millis(40), ack(301).seq(501).len(0));
        s.peer(fin(301));
        s.expect(ack(302));
        s.nothing_more();
        // Where a tick of the timer wheel falls depends on the clock, which stands elsewhere.
        let untimed = |line: &str| line[TIME_COLUMNS..].to_owned();
        s.trace().lines().map(untimed).collect::<Vec<_>>()
    });
    assert_eq!(traces[0], traces[1]);
}

#[test]
#[should_panic(expected = "differ: ack, mss")]
fn what_is_otherwise_is_named() {
    let mut s = TcpScript::<Tcp>::new(Config::default(), Ends::new(0));
    let _listener = s.listen(1);
    s.peer(syn());
    s.expect(syn_ack().ack(2).mss(1));
}

#[test]
#[should_panic(expected = "came: [S.] seq 0 ack 1")]
fn nothing_more_is_meant() {
    let mut s = TcpScript::<Tcp>::new(Config::default(), Ends::new(0));
    let _listener = s.listen(1);
    s.peer(syn());
    s.nothing_more();
}

#[test]
#[should_panic(expected = "came: after 1")]
fn too_early_is_wrong() {
    let mut s = TcpScript::<Tcp>::new(Config::default(), Ends::new(0));
    let _stream = s.connect();
    s.expect(syn());
    // The initial timeout is one second.
    s.expect_after(Duration::from_millis(1500), syn());
}

#[test]
#[should_panic(expected = "came: nothing")]
fn too_late_is_wrong() {
    let mut s = TcpScript::<Tcp>::new(Config::default(), Ends::new(0));
    let _stream = s.connect();
    s.expect(syn());
    s.expect_after(Duration::from_millis(900), syn());
}

/// What a line of a trace begins with.
const TIME_COLUMNS: usize = 13;
