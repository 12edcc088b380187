//! Listeners under a flood of SYNs: what they remember is bounded, and whoever is there gets in by a cookie.

use std::time::Duration;

use burstlane::socket::{Listener, Stream};

use super::raw::{PEER_PORT, Raw, Segment, THEM, offers};
use crate::options::{Options, Timestamps};
use crate::wire::{ACK, Control, FIN, Header, RST, SYN};
use crate::{Config, Tcp};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A host whose listener remembers no more.
fn flooded(config: Config, backlog: u32) -> (Raw, Listener<Tcp>) {
    let mut raw = Raw::new(config);
    let listener = raw.listen(backlog);
    raw.from = [10, 77, 0, 99];
    for n in 0..backlog.max(16) as u16 {
        raw.say(&Segment { port: 10_000 + n, ..Segment::new(SYN, u32::from(n), 0) });
    }
    raw.from = THEM;
    assert_eq!(raw.remnants(), backlog.max(16) as usize);
    (raw, listener)
}

fn dropped(raw: &Raw, reason: &str) -> u64 {
    raw.host.lane().drops().get(reason)
}

fn window_and_mss(stream: &Stream<Tcp>) -> (u32, u16) {
    let info = stream.inspect(|tcp, conn| tcp.info(conn)).unwrap();
    (info.send_window, info.mss)
}

fn syn(port: u16, options: Vec<u8>) -> Segment {
    Segment { port, ..Segment::new(SYN, 5_000, 0) }.options(options)
}

/// With timestamps, all of it survives; text and FIN on the ACK are taken; the timestamps of the host never go back.
#[test]
fn who_answers_gets_in_with_all_that_it_offered() {
    let (mut raw, listener) = flooded(Config::default(), 8);
    let mut options = Segment::new(0, 0, 0).stamped(900, 0).options;
    options.extend(offers(1460, Some(7), true));
    let said = raw.say(&syn(PEER_PORT, options));
    let [(syn_ack, ..)] = said.as_slice() else { panic!("{said:?}") };
    let Options::Syn(answered) = syn_ack.options else { panic!("{syn_ack:?}") };
    assert!(answered.window_scale.is_some() && answered.sack_permitted, "{answered:?}");
    assert_eq!((raw.remnants(), raw.flows(), raw.buffer_bytes()), (16, 0, 0), "nothing is remembered");
    let Timestamps { value, echo } = syn_ack.timestamps.unwrap();
    assert_eq!(echo, 900);
    let third = Segment::new(ACK | FIN, 5_001, syn_ack.seq.0 + 1).stamped(901, value).window(1_000).with(b"hello");
    let said = raw.say(&third);
    let stream = listener.accept().expect("it got in");
    let mut room = [0; 9];
    assert_eq!(stream.read(&mut room).ok(), Some(5));
    assert_eq!(&room[..5], b"hello");
    assert!(said.iter().all(|(header, ..)| header.control != Control::Rst), "{said:?}");
    assert_eq!(said.last().unwrap().0.ack.unwrap().0, 5_007);
    assert!(said.last().unwrap().0.timestamps.unwrap().value.wrapping_sub(value) < 100);
    assert_eq!(window_and_mss(&stream), (1_000 << 7, 1460 - 12), "its window is scaled, its MSS kept");
    stream.abort();
}

/// Without timestamps only the MSS comes back, so nothing else is agreed upon.
#[test]
fn without_timestamps_the_mss_survives() {
    let (mut raw, listener) = flooded(Config::default(), 8);
    let said = raw.say(&syn(PEER_PORT, offers(1000, Some(7), true)));
    let Options::Syn(answered) = said[0].0.options else { panic!("{said:?}") };
    assert_eq!((answered.window_scale, answered.sack_permitted, said[0].0.timestamps), (None, false, None));
    assert!(raw.say(&Segment::new(ACK, 5_001, said[0].0.seq.0 + 1).window(1_000)).is_empty());
    let stream = listener.accept().expect("it got in");
    assert_eq!(window_and_mss(&stream), (1_000, 536));
    stream.abort();
}

/// The SYN-ACK is not sent again, one more SYN gets one more, and with room there are no cookies.
#[test]
fn nothing_is_repeated_and_nothing_kept() {
    let (mut raw, listener) = flooded(Config::default(), 8);
    let mine = |said: &[(Header, Vec<u8>, u16)]| said.iter().filter(|(.., port)| *port == PEER_PORT).count();
    assert_eq!(mine(&raw.say(&syn(PEER_PORT, vec![]))), 1);
    assert_eq!(mine(&raw.heard(secs(20))), 0);
    assert_eq!(mine(&raw.say(&syn(PEER_PORT, vec![]))), 1);
    assert_eq!(dropped(&raw, "tcp: SYN answered by a cookie"), 2);
    // The flood gives up in the end.
    raw.heard(secs(200));
    assert_eq!(raw.remnants(), 0);
    assert_eq!(mine(&raw.say(&syn(PEER_PORT, vec![]))), 1);
    assert_eq!((raw.remnants(), dropped(&raw, "tcp: SYN answered by a cookie")), (1, 2), "remembered again");
    drop(listener);
}

/// What is old, forged, or of nobody is reset, as any ACK for a listener (RFC 9293 3.10.7.2).
#[test]
fn old_and_forged_ones_are_reset() {
    let (mut raw, listener) = flooded(Config::default(), 8);
    let said = raw.say(&syn(PEER_PORT, vec![]));
    let iss = said[0].0.seq.0;
    let resets = |said: Vec<(Header, Vec<u8>, u16)>| {
        said.iter().filter(|(header, _, port)| *port == PEER_PORT && header.control == Control::Rst).count()
    };
    let rows = [
        ("another number of ours", Segment::new(ACK, 5_001, iss + 2)),
        ("another number of its own", Segment::new(ACK, 5_002, iss + 1)),
        ("timestamps that it did not offer", Segment::new(ACK, 5_001, iss + 1).stamped(1, iss)),
    ];
    for (name, segment) in rows {
        assert_eq!(resets(raw.say(&segment)), 1, "{name}");
    }
    assert_eq!(dropped(&raw, "tcp: no cookie of ours, or an old one"), 3);
    assert!(raw.say(&Segment::new(RST, 5_001, 0)).is_empty());
    // Text that overtook the ACK shows nothing: the peer sends all of it again.
    assert!(raw.say(&Segment::new(ACK, 6_001, iss + 1).with(b"later")).is_empty());
    raw.heard(secs(121));
    assert_eq!(resets(raw.say(&Segment::new(ACK, 5_001, iss + 1))), 1, "old");
    assert_eq!(raw.flows(), 0);
    assert!(listener.accept().is_none());
}

/// Where nobody can be taken in, the peer's text is what knocks again.
#[test]
fn a_full_backlog_takes_cookies_later() {
    let (mut raw, listener) = flooded(Config::default(), 1);
    let acks = [1, 2].map(|port| (port, raw.say(&syn(port, vec![]))[0].0.seq.0 + 1));
    for (port, ack) in acks {
        assert!(raw.say(&Segment { port, ..Segment::new(ACK, 5_001, ack) }).is_empty());
    }
    let first = listener.accept().expect("one has room");
    assert!(listener.accept().is_none());
    let (port, ack) = acks[1];
    raw.say(&Segment { port, ..Segment::new(ACK, 5_001, ack) }.with(b"hello"));
    let second = listener.accept().expect("the other comes again");
    assert_eq!(second.read(&mut [0; 9]).ok(), Some(5));
    (first.abort(), second.abort());
}
