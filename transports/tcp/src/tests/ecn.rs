//! Explicit congestion notification from the peer's side: RFC 3168 and RFC 9768, by their sections.

use std::time::Duration;

use burstlane::socket::Stream;
use proptest::prelude::*;

use super::raw::{PEER_PORT, Raw, Segment, Sent, THEM};
use crate::ecn::marked_packets;
use crate::wire::{ACK, Control, SYN, ace};
use crate::{Config, Ecn, Feedback, Tcp};

const NOT_ECT: u8 = 0;
const ECT1: u8 = 1;
const ECT0: u8 = 2;
const CE: u8 = 3;
const MSS: usize = 1460;

fn config(ecn: Ecn) -> Config {
    let mut config = Config::default();
    (config.ecn, config.timestamps) = (ecn, false);
    config
}

fn feedback(stream: &Stream<Tcp>) -> Feedback {
    stream.inspect(|_, conn| conn.ecn()).unwrap()
}

fn cwnd(stream: &Stream<Tcp>) -> u64 {
    stream.inspect(|tcp, conn| tcp.info(conn)).unwrap().cwnd
}

/// ACE of the TCP header, and the ECN bits of the IP header.
fn marks(sent: &Sent) -> (u8, u8) {
    (sent.0.marks.ace(), sent.0.marks.codepoint())
}

/// MSS 1460, SACK.
fn syn_options() -> Vec<u8> {
    super::raw::offers(MSS as u16, None, true)
}

/// An open connection.
struct Open {
    raw: Raw,
    stream: Stream<Tcp>,
    /// Our next number, and the host's.
    seq: u32,
    ack: u32,
}

impl Open {
    /// The peer opens, asks for ECN by `asks`, and tells by `tells` how the SYN-ACK arrived.
    fn passive(ecn: Ecn, asks: u8, tells: u8) -> Self {
        let mut raw = Raw::new(config(ecn));
        let listener = raw.listen(8);
        let said = raw.say(&Segment::new(SYN | ace(asks), 99, 0).options(syn_options()));
        let ack = said[0].0.seq.0 + 1;
        raw.say(&Segment::new(ACK | ace(tells), 100, ack));
        Self { stream: listener.accept().expect("it is open"), raw, seq: 100, ack }
    }

    fn accurate() -> Self {
        let open = Self::passive(Ecn::Accept, 0b111, 0b010);
        assert_eq!(feedback(&open.stream), Feedback::Accurate);
        open
    }

    fn classic() -> Self {
        let open = Self::passive(Ecn::Accept, 0b011, 0);
        assert_eq!(feedback(&open.stream), Feedback::Classic);
        open
    }

    fn write(&mut self, bytes: usize) -> Vec<Sent> {
        assert_eq!(self.stream.write(&vec![7; bytes]).unwrap(), bytes);
        self.raw.heard(Duration::ZERO)
    }

    /// Text of the peer's.
    fn data(&mut self, bytes: usize, flags: u16) -> Vec<Sent> {
        let said = self.raw.say(&Segment::new(ACK | flags, self.seq, self.ack).with(&vec![1; bytes]));
        self.seq += bytes as u32;
        said
    }

    /// An acknowledgement of the next `bytes`, with an ACE field.
    fn acks(&mut self, bytes: usize, value: u8, options: Vec<u8>) -> Vec<Sent> {
        self.ack += bytes as u32;
        self.raw.say(&Segment::new(ACK | ace(value), self.seq, self.ack).options(options))
    }
}

/// RFC 9768 Table 2 and 3.1.3, a server's part.
#[test]
fn a_syn_is_answered_as_the_table_says() {
    let answer = |ecn: Ecn, asks: u8, codepoint: u8| {
        let mut raw = Raw::new(config(ecn));
        let _listener = raw.listen(8);
        raw.codepoint = codepoint;
        marks(&raw.say(&Segment::new(SYN | ace(asks), 99, 0).options(syn_options()))[0])
    };
    for (asks, answered) in [(0, 0), (0b011, 0b001), (0b111, 0b010), (1, 2), (2, 2), (4, 2), (5, 2), (6, 2)] {
        assert_eq!(answer(Ecn::Accept, asks, NOT_ECT), (answered, NOT_ECT), "asked by {asks:03b}");
        assert_eq!(answer(Ecn::Off, asks, NOT_ECT), (0, NOT_ECT));
    }
    for (codepoint, answered) in [(NOT_ECT, 0b010), (ECT1, 0b011), (ECT0, 0b100), (CE, 0b110)] {
        assert_eq!(answer(Ecn::Accept, 0b111, codepoint).0, answered, "the SYN came with {codepoint}");
    }
}

/// A host that opens, what its SYN asks, and the feedback that it takes a SYN-ACK for; and what its next segment says.
fn active(ecn: Ecn, answers: u8, codepoint: u8) -> (u8, Feedback, (u8, u8)) {
    let mut raw = Raw::new(config(ecn));
    let stream = raw.connect();
    stream.write(b"at once").unwrap();
    let said = raw.heard(Duration::ZERO);
    let (syn, to) = (said[0].0, stream.local().unwrap().port);
    assert_eq!(said[0].0.marks.codepoint(), NOT_ECT, "a SYN is not to be marked");
    raw.codepoint = codepoint;
    let syn_ack = Segment { to, ..Segment::new(SYN | ACK | ace(answers), 500, syn.seq.0 + 1) };
    let said = raw.say(&syn_ack.options(syn_options()));
    assert_eq!(said[0].1.is_empty(), feedback(&stream) == Feedback::Accurate, "{said:?}");
    (syn.marks.ace(), feedback(&stream), marks(&said[0]))
}

/// RFC 9768 Tables 2 and 3, a client's part.
#[test]
fn a_syn_ack_is_taken_as_the_table_says() {
    use Feedback::{Accurate, Classic, None};
    for (answers, agreed) in
        [(0, None), (1, Classic), (2, Accurate), (3, Accurate), (4, Accurate), (5, Accurate), (6, Accurate), (7, None)]
    {
        assert_eq!(active(Ecn::Accurate, answers, NOT_ECT).1, agreed, "{answers:03b}");
        let agreed = if answers == 1 { Classic } else { None };
        assert_eq!(active(Ecn::Classic, answers, NOT_ECT).1, agreed, "{answers:03b}");
        assert_eq!(active(Ecn::Accept, answers, NOT_ECT).1, None);
    }
    assert_eq!([Ecn::Off, Ecn::Accept, Ecn::Classic, Ecn::Accurate].map(|ecn| active(ecn, 0, 0).0), [0, 0, 3, 7]);
    for (codepoint, told) in [(NOT_ECT, 0b010), (ECT1, 0b011), (ECT0, 0b100), (CE, 0b110)] {
        assert_eq!(active(Ecn::Accurate, 0b010, codepoint).2, (told, NOT_ECT), "the SYN-ACK came with {codepoint}");
    }
}

/// RFC 9768 3.1.4.1: what drops SYNs that ask for ECN may let others pass.
#[test]
fn a_syn_asks_twice_and_then_goes_without() {
    for (ecn, asks) in [(Ecn::Accurate, 0b111), (Ecn::Classic, 0b011)] {
        let mut raw = Raw::new(config(ecn));
        let _stream = raw.connect();
        let said = raw.heard(Duration::from_secs(20));
        let asked: Vec<u8> = said.iter().map(|sent| marks(sent).0).collect();
        assert_eq!(asked, [asks, asks, 0, 0, 0], "{ecn:?}");
    }
}

/// RFC 9768 3.2.3.2.2: likewise; and then nobody knows what the peer made of it (3.1.5).
#[test]
fn a_syn_ack_agrees_twice_and_then_goes_without() {
    let mut raw = Raw::new(config(Ecn::Accept));
    let listener = raw.listen(8);
    raw.put_segment(&Segment::new(SYN | ace(0b111), 99, 0).options(syn_options()));
    let said = raw.heard(Duration::from_secs(4));
    assert_eq!(said.iter().map(|sent| marks(sent).0).collect::<Vec<_>>(), [0b010, 0b010, 0]);
    assert_eq!(
        said.iter().map(|sent| sent.0.marks.marked_bytes()).collect::<Vec<_>>(),
        [None; 3],
        "SYNs have no counts"
    );
    raw.say(&Segment::new(ACK | ace(0b010), 100, said[0].0.seq.0 + 1));
    let stream = listener.accept().unwrap();
    assert_eq!(feedback(&stream), Feedback::Accurate, "the form of feedback stays");
    stream.write(b"hello").unwrap();
    assert_eq!(marks(&raw.heard(Duration::ZERO)[0]), (5, NOT_ECT));
}

/// RFC 9768 3.1.5.
#[test]
fn who_asks_for_both_forms_is_reset() {
    for (first, second) in [(0b111, 0b011), (0b011, 0b111)] {
        let mut raw = Raw::new(config(Ecn::Accept));
        let _listener = raw.listen(8);
        raw.say(&Segment::new(SYN | ace(first), 99, 0).options(syn_options()));
        let said = raw.say(&Segment::new(SYN | ace(second), 99, 0).options(syn_options()));
        assert_eq!((said.len(), said[0].0.control), (1, Control::Rst));
        assert_eq!(raw.remnants(), 0);
    }
}

/// RFC 9768 3.2.2.1 note 1, 3.2.2.3: bits that do not survive the path.
#[test]
fn a_path_that_spoils_the_bits_is_not_trusted_with_them() {
    for (tells, codepoint) in
        [(0b010, ECT0), (0b101, ECT0), (0, NOT_ECT), (0b011, NOT_ECT), (0b100, NOT_ECT), (0b110, NOT_ECT)]
    {
        let mut open = Open::passive(Ecn::Accept, 0b111, tells);
        assert_eq!(feedback(&open.stream), Feedback::Accurate);
        assert_eq!(marks(&open.write(100)[0]).1, codepoint, "told {tells:03b}");
    }
}

/// RFC 3168 6.1.4, 6.1.5: an acknowledgement cannot answer for its loss, and what is sent again may be an old duplicate.
#[test]
fn only_new_text_may_be_marked() {
    for mut open in [Open::accurate(), Open::classic()] {
        let said = open.write(3 * MSS);
        assert!(said.iter().all(|sent| sent.0.marks.codepoint() == ECT0), "{said:?}");
        let again = open.raw.heard(Duration::from_secs(3));
        assert!(!again.is_empty() && again.iter().all(|sent| sent.0.marks.codepoint() == NOT_ECT), "{again:?}");
        let acks = [open.data(MSS, 0), open.data(MSS, 0)].concat();
        assert!(!acks.is_empty() && acks.iter().all(|sent| sent.0.marks.codepoint() == NOT_ECT), "{acks:?}");
    }
}

/// RFC 9768 3.2.2.2, 3.2.3: packets in the header, bytes in the option.
#[test]
fn marks_are_counted_over_the_wrap() {
    let mut open = Open::accurate();
    let (mut packets, mut bytes) = (5_u32, 0_u32);
    for turn in 0..40_u32 {
        open.raw.codepoint = if turn % 3 == 0 { ECT0 } else { CE };
        let said = open.data(1000, 0);
        if turn % 3 != 0 {
            (packets, bytes) = (packets + 1, bytes + 1000);
        }
        if let Some((header, ..)) = said.last() {
            assert_eq!((u32::from(header.marks.ace()), header.marks.marked_bytes()), (packets & 7, Some(bytes)));
        }
        // 3.2.2.5.1: the first mark is told at once.
        assert!(turn % 3 != 1 || !said.is_empty(), "turn {turn}");
    }
    let info = open
        .stream
        .inspect(|tcp, conn| (tcp.cold.get_at(conn.cold).unwrap().ecn.received.marked_packets, conn.ace()))
        .unwrap();
    assert_eq!(info, (packets, (packets & 7) as u8));
}

/// RFC 3168 6.1.3: ECE on everything until the peer says CWR, also on text.
#[test]
fn classic_echoes_last_until_the_peer_has_answered() {
    let mut open = Open::classic();
    open.raw.codepoint = ECT0;
    assert_eq!([open.data(MSS, 0), open.data(MSS, 0)].concat()[0].0.marks.ace(), 0);
    open.raw.codepoint = CE;
    assert_eq!(open.data(10, 0)[0].0.marks.ace(), 1, "at once");
    open.raw.codepoint = ECT0;
    assert_eq!([open.data(MSS, 0), open.data(MSS, 0)].concat()[0].0.marks.ace(), 1);
    assert_eq!(open.write(10)[0].0.marks.ace(), 1);
    assert_eq!(open.data(10, ace(0b010))[0].0.marks.ace(), 0, "CWR");
    open.raw.codepoint = CE;
    assert_eq!(open.data(10, ace(0b010))[0].0.marks.ace(), 1, "CWR on a packet that is marked itself");
}

/// RFC 3168 6.1.2: once a round trip, and the first new segment behind it, alone, says CWR.
// cites: SHLD-8
#[test]
fn a_classic_echo_reduces_once_a_round_trip() {
    let mut open = Open::classic();
    let before = cwnd(&open.stream);
    let sent = open.write(100 * MSS).len();
    let said = open.acks(MSS, 0b001, vec![]);
    let reduced = cwnd(&open.stream);
    assert!(reduced < before, "{reduced} of {before}");
    let mut rest: Vec<Sent> = said;
    for _ in 1..sent {
        rest.extend(open.acks(MSS, 0b001, vec![]));
    }
    assert!(cwnd(&open.stream) >= reduced, "the same round trip");
    let cwrs: Vec<usize> =
        rest.iter().enumerate().filter(|(_, sent)| sent.0.marks.ace() & 2 != 0).map(|(at, _)| at).collect();
    assert_eq!(cwrs, [0], "the first new segment");
    assert!(rest[0].1.len() == MSS && rest.iter().all(|sent| sent.0.marks.codepoint() == ECT0), "nothing was lost");
    open.acks(MSS, 0b001, vec![]);
    assert!(cwnd(&open.stream) < reduced, "the next round trip");
}

/// The same with counts; CWR means something else there.
#[test]
fn counted_marks_reduce_once_a_round_trip() {
    let mut open = Open::accurate();
    let before = cwnd(&open.stream);
    let sent = open.write(100 * MSS).len();
    let mut rest = open.acks(MSS, 6, vec![]);
    let reduced = cwnd(&open.stream);
    assert!(reduced < before);
    for n in 1..sent as u8 {
        rest.extend(open.acks(MSS, 6 + n, vec![]));
    }
    assert!(cwnd(&open.stream) >= reduced);
    assert!(rest.iter().all(|sent| marks(sent) == (5, ECT0)), "{rest:?}");
    let counted = open.stream.inspect(|tcp, conn| tcp.cold.get_at(conn.cold).unwrap().ecn.sent.marked_packets).unwrap();
    assert_eq!(counted, 5 + sent as u32);
}

/// RFC 9768 3.2.2.4: a box clears the bits.
#[test]
fn zeroes_are_no_count() {
    let mut open = Open::accurate();
    let before = cwnd(&open.stream);
    assert_eq!(marks(&open.write(MSS)[0]).1, ECT0);
    open.acks(MSS, 0, vec![]);
    open.acks(0, 3, vec![]);
    assert!(cwnd(&open.stream) >= before);
    assert_eq!(marks(&open.write(MSS)[0]), (5, NOT_ECT), "we still count for the peer");
}

/// RFC 9768 5.1: what a server did not remember, the third segment tells.
#[test]
fn cookies_remember_accurate_feedback() {
    for (asks, tells, agreed) in
        [(0b111, 0b010, Feedback::Accurate), (0b011, 0, Feedback::None), (0, 0, Feedback::None)]
    {
        let mut raw = Raw::new(config(Ecn::Accept));
        let listener = raw.listen(8);
        raw.from = [10, 77, 0, 99];
        for n in 0..16 {
            raw.say(&Segment { port: 10_000 + n, ..Segment::new(SYN, 5, 0) });
        }
        raw.from = THEM;
        let said = raw.say(&Segment { port: PEER_PORT, ..Segment::new(SYN | ace(asks), 99, 0) }.options(syn_options()));
        assert_eq!((said[0].0.marks.ace(), raw.remnants()), (tells, 16), "{said:?}");
        raw.say(&Segment::new(ACK | ace(tells), 100, said[0].0.seq.0 + 1));
        assert_eq!(feedback(&listener.accept().unwrap()), agreed);
    }
}

proptest! {
    /// RFC 9768 3.2.2.5.2: with the option the count is exact; without it, never too low once a mark shows.
    #[test]
    fn the_three_bits_are_unfolded(marked in 0_u32..200, others in 0_u32..200, segment in 500_u32..9000, short in 0_u32..500) {
        let acked = marked + others;
        let bytes = (marked * segment).saturating_sub(short.min(marked));
        prop_assert_eq!(marked_packets(marked & 7, acked, Some(bytes), segment), marked);
        let guess = marked_packets(marked & 7, acked, None, segment);
        prop_assert!(guess <= acked && guess & 7 == marked & 7);
        prop_assert!(marked & 7 == 0 || guess >= marked, "{} of {}", guess, marked);
    }
}
