//! RFC 9438, CUBIC: the congestion window, read off the wire as what is outstanding, against the RFC's curve in floating
//! point. The link loses one chosen segment and is otherwise perfect, the sender always has more to send, and the peer's
//! window is large, so that nothing but the congestion window decides how much is outstanding.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::observe::{Direction, FrameTap};
use burstlane::time::Instant;
use burstlane_sim::LinkConfig;
use burstlane_spec::oracle::segment::WireSegment;
use burstlane_spec::packets::{ACK, SYN};
use burstlane_spec::{Hosts, HostsConfig, Transfer, TransferConfig};
use burstlane_tcp::{Config, Tcp};

/// What the sender's wire shows.
#[derive(Debug, Default)]
struct Wire {
    isn: u32,
    una: u32,
    nxt: u32,
    segment: u32,
    /// When how many bytes were outstanding, at each segment that left.
    outstanding: Vec<(f64, u32)>,
    losses: Vec<Loss>,
}

/// A recovery: from the first segment sent again to the acknowledgement of all that was outstanding then.
#[derive(Clone, Copy, Debug)]
struct Loss {
    outstanding: u32,
    recovered_at: Option<f64>,
    up_to: u32,
}

struct Tap(Rc<RefCell<Wire>>);

impl FrameTap for Tap {
    fn frame(&mut self, now: Instant, _: u16, direction: Direction, bytes: &[u8], _: Option<&str>) {
        let Some(segment) = WireSegment::read(bytes) else { return };
        let (mut wire, now) = (self.0.borrow_mut(), now.since(Instant::ZERO).as_secs_f64());
        match direction {
            Direction::Out => wire.on_sent(now, &segment),
            Direction::In if segment.header.has(ACK) => wire.on_ack(now, segment.header.ack),
            Direction::In => {}
        }
    }
}

impl Wire {
    fn on_sent(&mut self, now: f64, segment: &WireSegment<'_>) {
        if segment.header.has(SYN) {
            self.isn = segment.header.seq;
        }
        let start = segment.header.seq.wrapping_sub(self.isn);
        let end = start + segment.header.segment_len(segment.payload.len()) as u32;
        let bytes = segment.payload.len() as u32;
        self.segment = self.segment.max(bytes);
        let in_recovery = self.losses.last().is_some_and(|loss| loss.recovered_at.is_none());
        if bytes > 0 && end <= self.nxt && !in_recovery {
            let outstanding = self.nxt - self.una;
            self.losses.push(Loss { outstanding, recovered_at: None, up_to: self.nxt });
        }
        self.nxt = self.nxt.max(end);
        self.outstanding.push((now, self.nxt - self.una));
    }

    fn on_ack(&mut self, now: f64, ack: u32) {
        self.una = self.una.max(ack.wrapping_sub(self.isn));
        let una = self.una;
        if let Some(loss) = self.losses.last_mut().filter(|loss| loss.recovered_at.is_none() && una >= loss.up_to) {
            loss.recovered_at = Some(now);
        }
    }

    /// The most that was outstanding in the round trip from `at` on, segments.
    fn window(&self, at: f64) -> f64 {
        let in_round = |(time, _): &&(f64, u32)| *time >= at && *time < at + RTT;
        let most = self.outstanding.iter().filter(in_round).map(|(_, bytes)| *bytes).max().unwrap_or(0);
        f64::from(most) / f64::from(self.segment)
    }
}

/// Sends `bytes` over a link that loses these of its frames, and returns what was on the wire.
fn send(bytes: u64, drops: Vec<u64>) -> Wire {
    // Fast enough for the queue to be nothing, slow enough for segments to arrive one by one, and be acknowledged so.
    let rate_bits_per_s = Some(500_000_000);
    let link =
        LinkConfig { rate_bits_per_s, delay: Duration::from_secs_f64(RTT / 2.0), drops, ..LinkConfig::default() };
    let mut config = HostsConfig::new(9438);
    config.links[0] = link.clone();
    config.links[1] = LinkConfig { drops: vec![], ..link };
    let hosts = Hosts::new(config);
    let engines = hosts.add::<Tcp>(Config::default().with_buffers(8 << 20, 8 << 20));
    let wire: Rc<RefCell<Wire>> = Rc::default();
    hosts.members[0].host.lane().set_tap(Some(Box::new(Tap(wire.clone()))));
    let config = TransferConfig { piece_bytes_max: 64 * 1024, ..TransferConfig::new(1, [bytes, 0]) };
    Transfer::start(&hosts, engines, config).finish(&hosts, Duration::from_secs(600));
    drop(hosts);
    Rc::into_inner(wire).expect("the lane is gone").into_inner()
}

/// RFC 9438 4.2 figure 1: segments, `t` seconds after the epoch began.
fn w_cubic(t: f64, w_max: f64, cwnd_epoch: f64) -> f64 {
    let k = ((w_max - cwnd_epoch) / C).cbrt();
    C * (t - k).powi(3) + w_max
}

/// 4.3: what Reno would have by then. Up to the window before the loss it grows more slowly, for it gave up less.
fn w_est(t: f64, cwnd_prior: f64, cwnd_epoch: f64) -> f64 {
    let (rounds, alpha) = (t / RTT, 3.0 * (1.0 - BETA) / (1.0 + BETA));
    let rounds_to_prior = (cwnd_prior - cwnd_epoch) / alpha;
    if rounds < rounds_to_prior { cwnd_epoch + alpha * rounds } else { cwnd_prior + rounds - rounds_to_prior }
}

/// The window follows the curve from the end of the recovery for `seconds`, a round trip early or late.
#[track_caller]
fn assert_follows(wire: &Wire, epoch: f64, [w_max, cwnd_prior]: [f64; 2], seconds: f64) {
    let cwnd_epoch = BETA * cwnd_prior;
    let mut t = 2.0 * RTT;
    while t < seconds {
        let measured = wire.window(epoch + t);
        let expected = |t: f64| w_cubic(t, w_max, cwnd_epoch).max(w_est(t, cwnd_prior, cwnd_epoch));
        // What leaves is cut into whole segments; and the maximum was read off the wire, too, where what is reported by SACK is
        // still outstanding.
        let (least, most) = (expected(t - RTT) * 0.97 - 1.0, expected(t + 2.0 * RTT) * 1.01 + 1.0);
        assert!(
            (least..=most).contains(&measured),
            "{t:.1} s after the epoch began: {measured:.1} segments, not {least:.1} to {most:.1}"
        );
        t += RTT;
    }
}

/// 4.6: multiplied by 0.7, no more and no less; 4.2, 4.4 and 4.5: back to the old maximum in K seconds, flat there, and beyond.
// cites: MUST-19, MAY-18
#[test]
fn the_window_follows_the_curve() {
    let wire = send(9_000_000, vec![70]);
    assert_eq!(wire.losses.len(), 1, "{:?}", wire.losses);
    let loss = wire.losses[0];
    let w_max = f64::from(loss.outstanding) / f64::from(wire.segment);
    assert!(w_max > 50.0, "{w_max}");
    let epoch = loss.recovered_at.unwrap();
    let cwnd_epoch = wire.window(epoch);
    assert!((cwnd_epoch / w_max - BETA).abs() < 0.04, "{w_max} became {cwnd_epoch}");
    let k = (w_max * (1.0 - BETA) / C).cbrt();
    assert_follows(&wire, epoch, [w_max, w_max], 1.6 * k);
    let end = wire.window(epoch + 1.6 * k);
    assert!(end > w_max + 5.0, "beyond {w_max} it goes on: {end}");
}

/// 4.7, fast convergence: who loses before the old maximum gives some of it up.
#[test]
fn a_maximum_that_was_not_reached_again_is_lowered() {
    let wire = send(6_000_000, vec![70, 700]);
    assert_eq!(wire.losses.len(), 2, "{:?}", wire.losses);
    let [first, second] =
        [wire.losses[0], wire.losses[1]].map(|loss| f64::from(loss.outstanding) / f64::from(wire.segment));
    assert!(second < first, "{first} {second}");
    let w_max = second * (1.0 + BETA) / 2.0;
    let epoch = wire.losses[1].recovered_at.unwrap();
    assert_follows(&wire, epoch, [w_max, second], 4.0);
}

/// RFC 6928 and RFC 5681 3.1: before any loss at most ten segments, and at most twice as much each round trip.
#[test]
fn slow_start_doubles() {
    let wire = send(1_000_000, vec![]);
    let began = wire.outstanding.iter().find(|(_, bytes)| *bytes > 1).unwrap().0;
    let windows: Vec<f64> = (0..5).map(|round| wire.window(began + f64::from(round) * RTT)).collect();
    assert!((windows[0] - 10.0).abs() <= 1.0, "{windows:?}");
    for pair in windows.windows(2) {
        let grown = pair[1] / pair[0];
        assert!((1.4..=2.1).contains(&grown), "{windows:?}");
    }
}

const RTT: f64 = 0.1;
/// RFC 9438 4.1.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
