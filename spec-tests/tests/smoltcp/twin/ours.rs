//! Differences in which we are wrong, each as the test that fails. A mended one loses its `ignore`, its rule, and what leaves
//! it out of the generated scripts.

use super::answers;
use super::script::{ACK, ESTABLISHED, FIN, SYN, SYN_RECEIVED, Say, Script, Seq, Step, say};

/// RFC 9293 3.10.7.4: a segment that is acceptable, empty and brings nothing new is not answered. Two hosts that both wait for
/// what stands before the other's FIN would else answer each other's answers until a retransmission fills a gap.
#[test]
fn a_bare_ack_is_not_answered_while_a_fin_waits() {
    let early = Step::Say(Say::next(FIN | ACK).at(Seq::Next(9)));
    let answers = answers(&Script::to(ESTABLISHED, true, &[early, say(ACK), say(ACK), say(ACK)]), 0);
    assert_eq!(answers[3].len(), 1, "the FIN behind a gap is acknowledged: {answers:?}");
    assert!(answers[4..].iter().all(Vec::is_empty), "bare ACKs are answered: {:?}", &answers[4..]);
}

/// RFC 9293 3.10.7.4, seventh step: nothing follows a FIN. What came early for numbers behind it is to be dropped when the
/// FIN counts; RFC 2018 3: a block never begins at the acknowledgement number.
#[test]
fn text_behind_a_fin_is_forgotten() {
    let later = Step::Say(Say::next(ACK).at(Seq::Next(1)).carries(100));
    // The independent decoder, between host and wire, fails the test if the block touches the acknowledgement.
    let answers =
        answers(&Script::to(ESTABLISHED, true, &[later, say(FIN | ACK), Step::Say(Say::next(ACK).acks(1))]), 0);
    let last = answers[5].last().expect("a challenge");
    assert!(!last.options[super::reply::SACK], "{answers:?}");
}

/// RFC 7323 3.2: "SHOULD be sent in an <RST> segment".
#[test]
fn a_reset_has_timestamps() {
    let answers = answers(&Script::to(ESTABLISHED, true, &[Step::Abort]).with_timestamps(), 0);
    assert!(answers[3][0].options[super::reply::TIMESTAMPS], "{answers:?}");
}

/// RFC 7323 2.2 and 2.3: a shift of zero is an offer like any other, and answered.
#[test]
fn a_scale_of_zero_is_answered_after_both_opened() {
    let answers = answers(&Script::to(SYN_RECEIVED, false, &[]).with_scale(0), 0);
    assert!(answers[1][0].is(SYN | ACK) && answers[1][0].options[super::reply::WINDOW_SCALE], "{answers:?}");
}
