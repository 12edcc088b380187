//! The differences that are allowed: each a rule with a name, what the RFCs say, who is right, and the shortest script that
//! shows it. A rule says of one step whether it explains all that differs in it.

use super::difference::{Difference, Said};
use super::reply::{Reply, SACK, TIMESTAMPS};
use super::script::{
    ACK, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN, LAST_ACK, LISTEN, RST, SYN, SYN_RECEIVED, Say, Script, Seq, Stamp,
    Step, TIME_WAIT, say,
};

/// A difference that is allowed.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    /// What the RFCs say, and who is right.
    pub(crate) reason: &'static str,
    /// Whether the two stand in different places from here on, though it does not show yet.
    pub(crate) ends: bool,
    pub(crate) explains: fn(&Difference<'_>) -> bool,
    /// Where it is needed.
    pub(crate) example: fn() -> Script,
}

/// All of them. The first that explains a difference is counted.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "FIN with RST",
        reason: "RFC 9293 3.10.7.4: RST is looked at second, FIN last, so it is a reset. We are right; smoltcp \
                 drops the segment",
        ends: false,
        explains: |d| d.spoke(|said| said.is(FIN | RST)) && d.theirs().is_empty(),
        example: || Script::to(ESTABLISHED, true, &[say(FIN | RST)]),
    },
    Rule {
        name: "no ACK to where nobody is",
        reason: "RFC 9293 3.10.7.1: the reset has number 0 and acknowledges the segment. We are right; smoltcp does \
                 so for SYNs only",
        ends: false,
        explains: |d| d.were("CLOSED") && d.spoke(|said| !said.is(ACK)) && d.ours_is(RST | ACK) && d.theirs_is(RST),
        example: || Script::to(ESTABLISHED, true, &[Step::Abort, say(0)]),
    },
    Rule {
        name: "an unacceptable ACK in SYN-SENT",
        reason: "RFC 9293 3.10.7.3, first step: a reset, whatever else the segment is. We are right; smoltcp looks \
                 at bare ACKs and SYNs only",
        ends: false,
        explains: |d| d.were("SYN-SENT") && d.theirs().is_empty() && d.ours_is(RST),
        example: || Script::to(LISTEN, false, &[Step::Say(Say::next(FIN | ACK).acks(1))]),
    },
    Rule {
        name: "SYN-RECEIVED, outside of the window",
        reason: "RFC 9293 3.10.7.4: the number comes first, and is answered by an ACK. We are right; smoltcp looks \
                 at SEG.ACK first, and resets or says nothing",
        ends: false,
        explains: |d| d.were("SYN-RECEIVED") && d.spoke(|said| !said.is_acceptable()) && d.ours_acknowledges(),
        example: || Script::to(SYN_RECEIVED, true, &[Step::Say(Say::next(ACK).at(Seq::Next(-9)).acks(1))]),
    },
    Rule {
        name: "SYN-RECEIVED, the SYN again",
        reason: "RFC 9293 3.10.7.4 wants an ACK. We repeat the SYN-ACK, which is one and may be what was lost; \
                 smoltcp waits for its timer",
        ends: false,
        explains: |d| d.were("SYN-RECEIVED") && d.spoke(|said| said.is(SYN) && said.seq == -1) && d.ours_is(SYN | ACK),
        example: || Script::to(SYN_RECEIVED, true, &[Step::Say(Say::next(SYN).at(Seq::Next(-1)))]),
    },
    Rule {
        name: "SYN-RECEIVED after both opened, a SYN",
        reason: "RFC 9293 3.10.7.4, fourth step: as in a synchronized state, so challenged (RFC 5961 4.2). We are \
                 right; smoltcp resets it or says nothing",
        ends: false,
        explains: |d| {
            d.were("SYN-RECEIVED") && d.spoke(|said| said.is(SYN)) && d.ours_acknowledges() && d.is_same_state()
        },
        example: || Script::to(SYN_RECEIVED, false, &[say(SYN)]),
    },
    Rule {
        name: "SYN-RECEIVED, a SYN in the window",
        reason: "RFC 9293 3.10.7.4, fourth step: a passive open returns to LISTEN. We are right; smoltcp ignores or \
                 resets it",
        ends: false,
        explains: |d| d.were("SYN-RECEIVED") && d.spoke(|said| said.is(SYN)) && d.after == ["LISTEN", "SYN-RECEIVED"],
        example: || Script::to(SYN_RECEIVED, true, &[say(SYN)]),
    },
    Rule {
        name: "a reset in TIME-WAIT",
        reason: "RFC 1337 3: it must not end the wait, as RFC 9293 3.10.7.4 lets it. We follow the former, smoltcp \
                 the latter",
        ends: false,
        explains: |d| {
            d.were("TIME-WAIT") && d.spoke(|said| said.is(RST)) && d.ours().is_empty() && d.theirs().is_empty()
        },
        example: || Script::to(TIME_WAIT, true, &[say(RST)]),
    },
    Rule {
        name: "an abort in TIME-WAIT",
        reason: "RFC 9293 3.10.5: nothing is sent. We are right in that, and keep the wait nevertheless (RFC 1337); \
                 smoltcp sends a reset",
        ends: false,
        explains: |d| d.were("TIME-WAIT") && *d.step == Step::Abort && d.ours().is_empty() && d.theirs_is(RST),
        example: || Script::to(TIME_WAIT, true, &[Step::Abort]),
    },
    Rule {
        name: "anything in TIME-WAIT",
        reason: "RFC 9293 3.10.7.4, fifth step: it can only be the FIN again, and is acknowledged. We acknowledge \
                 all but bare ACKs; smoltcp what lies outside of the window, once a second",
        ends: false,
        explains: |d| d.were("TIME-WAIT") && d.is_same_state() && d.one_only_acknowledges(),
        example: || Script::to(TIME_WAIT, true, &[Step::Say(Say::next(FIN | ACK).at(Seq::Next(100)))]),
    },
    Rule {
        name: "no timestamps where both have them",
        reason: "RFC 7323 3.2: the segment SHOULD be dropped. We do so; smoltcp takes it",
        ends: true,
        explains: |d| d.past.has_timestamps && d.spoke(|said| said.lacks(Stamp::Missing)) && d.ours().is_empty(),
        example: || {
            Script::to(ESTABLISHED, true, &[Step::Say(Say::next(ACK).carries(9).stamped(Stamp::Missing))])
                .with_timestamps()
        },
    },
    Rule {
        name: "timestamps to who sends none",
        reason: "RFC 7323 3.2: every segment has them, once both have agreed. We are right; smoltcp answers as it \
                 was spoken to",
        ends: false,
        explains: |d| d.past.has_timestamps && d.is_alike_but(&[TIMESTAMPS]),
        example: || {
            let beyond = Say::next(ACK).acks(1).carries(2).stamped(Stamp::Missing);
            Script::to(TIME_WAIT, true, &[Step::Say(beyond)]).with_timestamps()
        },
    },
    Rule {
        name: "an old timestamp",
        reason: "RFC 7323 5.3 R1: an ACK, and nothing else. We are right; smoltcp does not look",
        ends: true,
        explains: |d| d.past.has_timestamps && d.spoke(|said| said.lacks(Stamp::Old)),
        example: || Script::to(ESTABLISHED, true, &[Step::Say(Say::next(ACK).stamped(Stamp::Old))]).with_timestamps(),
    },
    Rule {
        name: "no ACK and outside of the window",
        reason: "RFC 9293 3.10.7.4: the number comes first. We are right; smoltcp says nothing to what has no ACK",
        ends: false,
        explains: |d| d.spoke(|said| !said.is(ACK) && !said.is_acceptable()) && d.ours_only_acknowledges(),
        example: || Script::to(ESTABLISHED, true, &[Step::Say(Say::next(0).at(Seq::Next(-9)))]),
    },
    Rule {
        name: "a FIN behind old text",
        reason: "RFC 9293 3.4: a FIN counts in SEG.LEN, so a segment is acceptable for its sake. We are right; \
                 smoltcp counts the text",
        ends: false,
        explains: |d| d.spoke(|said| said.is(FIN) && said.is_acceptable() && said.seq < 0) && d.after[0] != d.after[1],
        example: || Script::to(ESTABLISHED, true, &[Step::Say(Say::next(FIN | ACK).at(Seq::Next(-2)).carries(2))]),
    },
    Rule {
        name: "a reset beside the left edge",
        reason: "RFC 5961 3.2: a challenge. We are right; smoltcp believes all resets in the window",
        ends: false,
        explains: |d| {
            d.spoke(|said| said.is(RST) && said.seq != 0) && d.is_over_for_smoltcp() && d.after[0] == d.before[0]
        },
        example: || Script::to(ESTABLISHED, true, &[Step::Say(Say::next(RST).at(Seq::Next(1)))]),
    },
    Rule {
        name: "a SYN on an open connection",
        reason: "RFC 5961 4.2: a challenge. We are right; smoltcp says nothing to SYNs in the window",
        ends: false,
        explains: |d| d.spoke(|said| said.is(SYN)) && d.ours_only_acknowledges() && d.is_same_state(),
        example: || Script::to(ESTABLISHED, true, &[say(SYN)]),
    },
    Rule {
        name: "challenges once a second",
        reason: "RFC 5961 7 leaves the limit open: smoltcp challenges once a second, we up to ten times",
        ends: false,
        explains: |d| {
            d.is_same_state() && d.past.has_acknowledged && d.ours_only_acknowledges() && d.deserves_challenge()
        },
        example: || {
            Script::to(ESTABLISHED, true, &[Step::Say(Say::next(ACK).acks(1)), Step::Say(Say::next(ACK).acks(1))])
        },
    },
    Rule {
        name: "an ACK of what waits to be sent",
        reason: "RFC 9293 3.10.7.4, fifth step: SEG.ACK above SND.NXT is answered by an ACK and dropped. We are right; \
                 smoltcp takes whatever is in its buffer for sent",
        ends: true,
        explains: |d| d.spoke(|said| said.say.ack > 0) && d.past.window < MSS && d.ours_acknowledges(),
        example: || {
            let shut = Step::Say(Say::next(ACK).offers(0));
            let lie = Step::Say(Say::next(ACK).acks(1).carries(1));
            Script::to(ESTABLISHED, true, &[shut, Step::Write(9), lie])
        },
    },
    Rule {
        name: "an old ACK",
        reason: "RFC 9293 3.10.7.4, fifth step: the ACK is ignored, not the segment; RFC 5961 5.2 wants a challenge \
                 if it is older than a window. We are right; smoltcp drops the segment",
        ends: true,
        explains: |d| d.spoke(|said| said.has_old_ack) && d.theirs().is_empty() && d.after[1] == d.before[1],
        example: || Script::to(ESTABLISHED, true, &[Step::Say(Say::next(ACK).acks(-1).carries(9))]),
    },
    Rule {
        name: "text behind the FIN",
        reason: "RFC 9293 3.10.7.4, seventh step: ignored. We are right; smoltcp takes and acknowledges it",
        ends: true,
        explains: |d| {
            d.peer_had_finished() && d.spoke(|said| said.say.bytes > 0) && d.theirs_is(ACK) && d.after[0] == d.after[1]
        },
        example: || Script::to(CLOSE_WAIT, true, &[Step::Say(Say::next(ACK).carries(9))]),
    },
    Rule {
        name: "text behind the FIN, read",
        reason: "the same, as the application sees it",
        ends: false,
        explains: |d| {
            *d.step == Step::Read && d.past.has_text_behind_fin && d.heard[0].is_end && !d.heard[1].bytes.is_empty()
        },
        example: || Script::to(LAST_ACK, true, &[Step::Say(Say::next(ACK).carries(9)), Step::Read]),
    },
    Rule {
        name: "an early FIN, remembered",
        reason: "RFC 9293 3.10.7.4: what is in the window and early may be kept. We keep a FIN, so that it counts \
                 when the gap is filled; smoltcp waits for it again",
        ends: false,
        explains: |d| {
            d.past.has_early_fin && d.after[0] != d.before[0] && d.after[1] == d.before[1] && d.theirs_is(ACK)
        },
        example: || {
            let early = Step::Say(Say::next(FIN | ACK).at(Seq::Next(9)));
            Script::to(ESTABLISHED, true, &[early, Step::Say(Say::next(ACK).carries(9))])
        },
    },
    Rule {
        name: "a duplicate, reported",
        reason: "RFC 2883 4: the first block of the ACK tells of it. We are right; smoltcp does not report duplicates",
        ends: false,
        explains: |d| d.ours_acknowledges() && d.is_alike_but(&[SACK]),
        example: || {
            let again = Step::Say(Say::next(ACK).at(Seq::Next(-1)).carries(1));
            Script::to(ESTABLISHED, true, &[Step::Say(Say::next(ACK).carries(9)), again])
        },
    },
    Rule {
        name: "to who shrank the window",
        reason: "RFC 9293 3.8.6: the peer should not have; what we sent is beyond its edge now, and it would refuse a segment \
                 with that number. Ours stands at the edge, as Linux's does; smoltcp's stands behind",
        ends: false,
        explains: |d| {
            let is_same_but_number = |a: &Reply, b: &Reply| {
                a.seq < b.seq && Reply { seq: b.seq, ..a.clone() }.but(&[TIMESTAMPS]) == b.but(&[TIMESTAMPS])
            };
            matches!((d.ours(), d.theirs()), ([a], [b]) if (a.is_bare_ack() || a.is(RST)) && is_same_but_number(a, b))
                && d.is_same_state()
        },
        example: || {
            let shrinks = Say { window: 0, ..Say::next(ACK).acks(-1).carries(1) };
            Script::to(ESTABLISHED, true, &[Step::Write(1), Step::Say(shrinks)])
        },
    },
    Rule {
        name: "a duplicate ACK in LAST-ACK",
        reason: "RFC 9293 3.10.7.4, fifth step: ignored. We are right; smoltcp answers, once a second for as long \
                 as it is asked",
        ends: false,
        explains: |d| d.were("LAST-ACK") && d.spoke(|said| said.say.ack < 0) && d.ours().is_empty() && d.theirs_is(ACK),
        example: || Script::to(LAST_ACK, true, &[Step::Say(Say::next(ACK).acks(-1))]),
    },
    Rule {
        name: "the edge of the window",
        reason: "RFC 9293 3.8.6.2.2: it moves on by a segment or half of the buffer. Ours does; smoltcp's by whatever was \
                 read. 3.4: a FIN takes a number, which we count against the window, and smoltcp does not. Both are \
                 consistent with what they offered",
        ends: true,
        explains: |d| d.spoke(Said::is_between_edges),
        example: || Script::to(CLOSING, true, &[Step::Say(Say::next(ACK).at(Seq::Edge(0)))]),
    },
    Rule {
        name: "an ACK of our FIN that comes with the peer's",
        reason: "RFC 9293 3.10.7.4, fifth step: CLOSING becomes TIME-WAIT, LAST-ACK ends. We are right; smoltcp \
                 drops the segment",
        ends: false,
        explains: |d| {
            let is_closing = d.were("CLOSING") || d.were("LAST-ACK");
            is_closing && d.spoke(|said| said.is(FIN)) && d.after[0] != d.before[0] && d.after[1] == d.before[1]
        },
        example: || Script::to(CLOSING, true, &[say(FIN | ACK)]),
    },
    Rule {
        name: "a FIN behind a gap",
        reason: "RFC 5681 4.2: what comes out of order is acknowledged at once. We are right; smoltcp says nothing \
                 to a FIN alone",
        ends: false,
        explains: |d| d.spoke(|said| said.is(FIN) && said.seq > 0) && d.ours_only_acknowledges(),
        example: || Script::to(ESTABLISHED, true, &[Step::Say(Say::next(FIN | ACK).at(Seq::Next(9)))]),
    },
    Rule {
        name: "a FIN into a full window",
        reason: "RFC 9293 3.4: a FIN takes a number, and 3.8.6.1 lets only probes beyond the window. We wait; \
                 smoltcp sends it",
        ends: false,
        explains: |d| d.ours().is_empty() && d.past.is_full && d.theirs_is(FIN),
        example: || Script::to(ESTABLISHED, true, &[Step::Say(Say::next(ACK).offers(0)), Step::Finish]),
    },
    Rule {
        name: "a window from behind",
        reason: "RFC 9293 3.10.7.4, fifth step: a window counts only if its segment is not older than SND.WL1. We \
                 are right; smoltcp takes any",
        ends: true,
        explains: |d| d.past.has_stale_window && (d.one_sends_more() || d.ours().is_empty() && d.theirs_is(FIN)),
        example: || {
            let later = Step::Say(Say::next(ACK).at(Seq::Next(9)).offers(0));
            Script::to(ESTABLISHED, true, &[later, say(ACK), Step::Write(9)])
        },
    },
    Rule {
        name: "the initial window",
        reason: "RFC 6928 2: ten segments. We keep to it; smoltcp was told to control no congestion, as its CUBIC \
                 begins with less",
        ends: false,
        explains: |d| !d.ours().is_empty() && d.one_sends_more(),
        example: || Script::to(ESTABLISHED, true, &[Step::Write(2000)]).with_mss(100),
    },
    Rule {
        name: "a silly window",
        reason: "RFC 9293 3.8.6.2.1: nothing is sent into a window that is small beside what the peer once offered. \
                 We wait; smoltcp sends",
        ends: false,
        explains: |d| d.ours().is_empty() && d.past.window < MSS && d.one_sends_more(),
        example: || Script::to(ESTABLISHED, true, &[Step::Say(Say::next(ACK).offers(200)), Step::Write(2000)]),
    },
];

/// What the peer offers most often.
const MSS: u16 = 1460;
