//! 3.7.4, 3.8.6.3, 3.9.1 and A.4: what an application chooses for one connection.

use burstlane::engine::EngineEvent;
use burstlane::socket::Ready;
use burstlane_spec::packets::ACK;
use burstlane_spec::script::tcp::{ack, data, fin, segment, syn, syn_ack, text};
use burstlane_tcp::{Config, TcpSocket};

use super::{Script, at_both_isns, ms, plain, seconds, usual};

/// The byte of DSCP and ECN of the last packet.
fn traffic_class(s: &Script) -> u8 {
    s.last_frame()[15]
}

fn is_writable_again(s: &Script) -> bool {
    let mut events = vec![];
    s.host.take_events(s.engine, &mut events);
    events.iter().any(|event| matches!(event, EngineEvent::Ready(_, ready) if ready.contains(Ready::WRITABLE)))
}

// cites: MUST-17
#[test]
fn nagle_is_a_choice_of_each_connection() {
    at_both_isns(&usual(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        assert!(!stream.settings().unwrap().no_delay);
        s.write(&stream, b"a");
        s.expect(data(1, b"a"));
        s.write(&stream, b"b");
        s.nothing_more();
        // What waited goes, too.
        stream.set_no_delay(true);
        s.expect(data(2, b"b"));
        s.write(&stream, b"c");
        s.expect(data(3, b"c"));
        stream.set_no_delay(false);
        s.write(&stream, b"d");
        s.nothing_more();
        s.peer(ack(4));
        s.expect(data(4, b"d"));
    });
}

/// Full segments leave, the rest waits for more, but not for ever.
#[test]
fn a_cork_holds_what_fills_no_segment() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_cork(true);
        assert!(stream.settings().unwrap().cork);
        s.write(&stream, &[1; 400]);
        s.silence(ms(100));
        s.write(&stream, &[1; 900]);
        s.expect(text(1, 1000));
        s.peer(ack(1001));
        s.silence(ms(199));
        s.expect_after(ms(1), text(1001, 300));
        s.peer(ack(1301));
        s.write(&stream, &[1; 100]);
        s.nothing_more();
        stream.set_cork(false);
        s.expect(text(1301, 100));
        s.peer(ack(1401));
        s.silence(seconds(10));
    });
}

#[test]
fn the_end_lifts_the_cork() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_cork(true);
        s.write(&stream, &[1; 400]);
        s.nothing_more();
        s.shutdown(&stream);
        s.expect(fin(1).len(400));
    });
}

/// A cork is no reason to ask after the peer's window, and a shut window still is.
#[test]
fn a_cork_does_not_hide_a_shut_window() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_cork(true);
        s.peer(ack(1).window(0));
        s.write(&stream, &[1; 400]);
        let (_, probe) = s.next_within(seconds(2)).unwrap();
        assert_eq!(probe.payload_bytes(), 1, "{}", s.trace());
    });
}

// cites: MUST-40, SHLD-18
#[test]
fn so_many_acknowledgements_wait_for_nothing() {
    at_both_isns(&usual(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_quick_ack(2);
        assert_eq!(stream.settings().unwrap().quick_acks, 2);
        for at in 0..2 {
            s.peer(text(1 + at, 1));
            s.expect(ack(2 + at));
        }
        assert_eq!(stream.settings().unwrap().quick_acks, 0);
        s.peer(text(3, 1));
        s.nothing_more();
        // The one that waits goes at once.
        stream.set_quick_ack(1);
        s.expect(ack(4));
    });
}

/// The value is passed as it is, on everything that a connection sends, with text or without.
// cites: MUST-48, SHLD-21, SHLD-22
#[test]
fn differentiated_services() {
    let mut config = plain();
    config.dscp = 10;
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        assert_eq!(traffic_class(s), 10 << 2, "on the SYN-ACK");
        s.write(&stream, b"a");
        s.expect(data(1, b"a"));
        assert_eq!(traffic_class(s), 10 << 2);
        stream.set_dscp(46);
        assert_eq!(stream.settings().unwrap().dscp, 46);
        s.peer(text(1, 1).ack(2));
        s.expect(ack(2));
        assert_eq!(traffic_class(s), 46 << 2);
        stream.set_dscp(255);
        assert_eq!(stream.settings().unwrap().dscp, 63, "the nearest in range");
    });
}

#[test]
fn a_controller_is_chosen_by_its_name() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        assert_eq!(stream.info().unwrap().congestion, "cubic");
        let error = stream.set_congestion("vegas").unwrap_err().to_string();
        assert!(error.contains("vegas") && error.contains("cubic") && error.contains("newreno"), "{error}");
        stream.set_congestion("newreno").unwrap();
        assert_eq!(stream.settings().unwrap().congestion, "newreno");
        // It is the one that is asked: after a loss NewReno halves the window, CUBIC keeps more.
        s.write(&stream, &[1; 8000]);
        assert_eq!(s.take().len(), 8);
        for _ in 0..3 {
            s.peer(ack(1));
        }
        let info = stream.info().unwrap();
        assert_eq!((info.congestion, info.ssthresh), ("newreno", 4000), "{}", s.trace());
    });
}

#[test]
fn room_for_what_is_sent_and_received() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_send_buffer(8 * 1024);
        assert_eq!(stream.write(&[1; 20_000]).unwrap(), 8 * 1024);
        stream.set_send_buffer(1);
        assert_eq!(stream.settings().unwrap().send_buffer_bytes, 4 * 1024, "the nearest in range");
        let _ = s.take();
        s.peer(ack(8193));
        assert_eq!(stream.write(&[1; 20_000]).unwrap(), 4 * 1024);
        let _ = s.take();
        stream.set_receive_buffer(32 * 1024);
        s.peer(text(1, 1).ack(12_289));
        let answer = s.next_within(seconds(0)).unwrap().1;
        assert!(answer.window.unwrap() > 30_000, "{answer}");
        assert_eq!(stream.info().unwrap().receive_buffer, 32 * 1024);
    });
}

/// A smaller buffer takes no window back (3.8.6, SHLD-14).
// cites: SHLD-14
#[test]
fn a_smaller_buffer_takes_no_window_back() {
    let config = plain().with_buffers(64 * 1024, 32 * 1024);
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        let edge = 1 + 32 * 1024;
        stream.set_receive_buffer(4 * 1024);
        for at in 0..20 {
            s.peer(text(1 + at * 1000, 1000));
            let answer = s.next_within(seconds(0)).unwrap().1;
            assert!(answer.ack.unwrap() + i32::from(answer.window.unwrap()) >= edge, "{answer}");
        }
        assert_eq!(s.read_up_to(&stream, 30_000).unwrap().len(), 20_000);
    });
}

#[test]
fn no_larger_segments() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_mss(300);
        s.write(&stream, &[1; 700]);
        s.expect(text(1, 300));
        s.expect(text(301, 300));
        s.expect(text(601, 100));
        assert_eq!(stream.settings().unwrap().mss_max, 300);
        stream.set_mss(0);
        assert_eq!(stream.info().unwrap().mss, 88, "the nearest in range");
    });
}

/// A.4: the application is told of room when little is left to be sent, however much is under way.
#[test]
fn little_waits_to_be_sent() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window(5000));
        stream.set_unsent_max(2000);
        assert_eq!(stream.write(&[1; 20_000]).unwrap(), 2000);
        assert!(!stream.readiness().contains(Ready::WRITABLE));
        let _ = is_writable_again(s);
        assert_eq!(s.take().len(), 2);
        assert!(is_writable_again(s), "it was sent, though not acknowledged");
        assert_eq!(stream.write(&[1; 20_000]).unwrap(), 2000);
        assert_eq!(s.take().len(), 2);
        assert_eq!(stream.write(&[1; 20_000]).unwrap(), 2000);
        assert_eq!(s.take().len(), 1, "the peer's window is full");
        let _ = is_writable_again(s);
        assert_eq!(stream.unsent(), 1000);
        assert_eq!(stream.write(&[1; 20_000]).unwrap(), 1000);
        s.peer(ack(1001).window(4000));
        assert!(!is_writable_again(s) && !stream.readiness().contains(Ready::WRITABLE), "{}", s.trace());
        s.peer(ack(2001).window(5000));
        assert_eq!(s.take().len(), 2);
        assert!(is_writable_again(s));
        assert_eq!(stream.unsent(), 0);
    });
}

/// As much in a second as the application wants, evenly.
#[test]
fn a_bound_on_the_rate() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_pacing_max(Some(100_000));
        assert_eq!(stream.settings().unwrap().pacing_max, Some(100_000));
        let started = s.now();
        s.write(&stream, &[1; 60_000]);
        let (mut acked, mut longest) = (1, ms(0));
        while acked < 60_001 {
            let Some((waited, sent)) = s.next_within(seconds(1)) else { s.fail("it stopped") };
            assert!(sent.payload_bytes() <= 1000, "{sent}");
            longest = longest.max(waited);
            acked = sent.seq.unwrap() + sent.payload_bytes() as i32;
            s.peer(ack(acked));
        }
        let took = s.now().since(started);
        assert!(took >= ms(580) && took <= ms(700), "60 KB at 100 KB/s took {took:?}");
        assert!(longest <= ms(15), "{longest:?}");
        stream.set_pacing_max(None);
        s.write(&stream, &[1; 8_000]);
        assert_eq!(s.take().len(), 8);
    });
}

/// What is chosen before the connection stands holds from its first packet on.
#[test]
fn choices_before_the_handshake() {
    at_both_isns(&plain(), |s| {
        let local = s.connect_with(|stream| {
            stream.set_dscp(8);
            stream.set_mss(500);
            stream.set_user_timeout(Some(seconds(7)));
        });
        s.expect(syn().mss(500));
        assert_eq!(traffic_class(s), 8 << 2);
        s.peer(syn_ack().mss(1000));
        s.expect(segment(ACK).seq(1).ack(1));
        assert_eq!(local.info().unwrap().mss, 500);
        assert_eq!(local.settings().unwrap().user_timeout, Some(seconds(7)));
    });
}

/// Accepted connections are as the configuration says.
#[test]
fn accepted_connections_inherit() {
    let mut config: Config = plain();
    (config.linger, config.user_timeout, config.unsent_bytes_max) = (Some(seconds(3)), Some(seconds(4)), 5000);
    config.nagle = true;
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        let settings = stream.settings().unwrap();
        assert_eq!((settings.linger, settings.user_timeout), (Some(seconds(3)), Some(seconds(4))));
        assert_eq!((settings.no_delay, settings.unsent_bytes_max), (false, 5000));
        assert_eq!(stream.write(&[1; 20_000]).unwrap(), 5000);
        stream.set_linger(None);
        assert_eq!(stream.settings().unwrap().linger, None);
    });
}

/// Of a connection that is over nothing is left to be chosen.
#[test]
fn a_connection_that_is_over_ignores_choices() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.abort(&stream);
        let _ = s.take();
        stream.set_cork(true);
        stream.set_keep_alive(Some(burstlane_tcp::KeepAlive::default()));
        assert_eq!((stream.settings(), stream.info(), stream.urgent_bytes()), (None, None, 0));
        assert!(stream.write_urgent(b"x").is_err());
        s.silence(seconds(10_000));
    });
}
