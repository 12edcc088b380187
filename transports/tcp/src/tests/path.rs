//! The size of segments from the peer's side: what ICMP says of the path, for how long, and what losses say of it.

use std::time::Duration;

use burstlane::socket::Stream;

use super::raw::{LISTEN, Raw, Segment, Sent, offers};
use crate::wire::ACK;
use crate::{Config, Tcp};

struct Open {
    raw: Raw,
    stream: Stream<Tcp>,
    seq: u32,
    /// The next number that is not acknowledged yet.
    ack: u32,
}

impl Open {
    fn new() -> Self {
        let mut raw = Raw::new(Config { timestamps: false, ..Config::default() });
        let listener = raw.listen(8);
        let opened = raw.opened(&listener, offers(1460, Some(2), true), 0xffff);
        Self { raw, stream: opened.stream, seq: opened.seq, ack: opened.ack }
    }

    /// The sizes of the segments in which so many bytes leave; each flight is acknowledged.
    fn sizes(&mut self, bytes: usize) -> Vec<usize> {
        self.stream.write(&vec![1; bytes]).unwrap();
        let said = self.raw.heard(Duration::ZERO);
        self.drain(sizes(&said))
    }

    /// Acknowledges all that came, and what follows, until nothing does.
    fn drain(&mut self, mut came: Vec<usize>) -> Vec<usize> {
        let mut all = came.clone();
        while !came.is_empty() {
            came = sizes(&self.acks(came.iter().sum()));
            all.extend(&came);
        }
        all
    }

    fn acks(&mut self, bytes: usize) -> Vec<Sent> {
        self.ack += bytes as u32;
        self.raw.say(&Segment::new(ACK, self.seq, self.ack))
    }
}

fn sizes(sent: &[Sent]) -> Vec<usize> {
    sent.iter().map(|(_, payload, _)| payload.len()).filter(|bytes| *bytes > 0).collect()
}

/// RFC 1191 6.3, RFC 8201 4: what a router said holds for ten minutes.
#[test]
fn a_narrow_path_is_tried_again_after_ten_minutes() {
    let mut open = Open::new();
    assert_eq!(open.sizes(2920), [1460, 1460]);
    open.stream.write(&[1; 1460]).unwrap();
    open.raw.heard(Duration::ZERO);
    open.raw.say_too_big(1000, open.ack, LISTEN);
    open.raw.heard(Duration::ZERO);
    open.acks(1460);
    assert_eq!(open.sizes(1920), [960, 960]);
    open.raw.heard(Duration::from_secs(500));
    assert_eq!(open.sizes(1920), [960, 960]);
    open.raw.heard(Duration::from_secs(101));
    assert_eq!(open.sizes(2920), [1460, 1460]);
    open.stream.abort();
}

/// RFC 8899 4.3: without a word from a router two timeouts do, and what vanished is tried again before anything else.
#[test]
fn where_large_segments_vanish_smaller_ones_are_sent() {
    let mut open = Open::new();
    open.stream.write(&[1; 2920]).unwrap();
    assert_eq!(
        sizes(&open.raw.heard(Duration::from_millis(500))),
        [1460, 1460, 1460, 1460],
        "the data, a probe, a timeout"
    );
    let smaller = sizes(&open.raw.heard(Duration::from_millis(700)));
    assert!(!smaller.is_empty() && smaller.iter().all(|bytes| *bytes == 1160), "{smaller:?}");
    open.acks(2920);
    assert_eq!(open.sizes(4000), [1460, 1160, 1380]);
    assert_eq!(open.sizes(2920), [1460, 1460], "it arrived, so it was loss");
    open.stream.abort();
}

/// RFC 8899 4.2, RFC 4821 7.5: a trial that is lost says nothing of congestion.
#[test]
fn a_trial_that_is_lost_does_not_reduce_the_window() {
    let mut open = Open::new();
    open.stream.write(&[1; 2920]).unwrap();
    open.raw.heard(Duration::from_millis(1200));
    open.acks(2920);
    let cwnd = |open: &Open| open.stream.inspect(|tcp, conn| tcp.info(conn)).unwrap().cwnd;
    let before = cwnd(&open);
    open.stream.write(&[1; 6000]).unwrap();
    let said = sizes(&open.raw.heard(Duration::ZERO));
    assert_eq!(said, [1460, 1160], "the first is a trial");
    // It alone is lost.
    let mut sack = vec![1, 1, 5, 10];
    sack.extend((open.ack + 1460).to_be_bytes());
    sack.extend((open.ack + 2620).to_be_bytes());
    let mut again = open.raw.say(&Segment::new(ACK, open.seq, open.ack).options(sack));
    again.extend(open.raw.heard(Duration::from_millis(50)));
    let first = again.iter().find(|(header, ..)| header.seq.0 == open.ack).expect("it goes again");
    assert_eq!(first.1.len(), 1160, "in smaller ones");
    assert!(cwnd(&open) >= before, "{} of {before}", cwnd(&open));
    open.stream.abort();
}
