//! RFC 9293 3.10.7 as a function: from a state, its variables and a segment to the answer and the next state. Written from
//! the text, step by step, with RFC 5961 where the text recommends it. What our TCP does otherwise is an alternative, with the
//! reason: such a cell has two right answers, and no third.

use std::fmt;

use burstlane_spec::packets::{ACK, FIN, RST, SYN};
use burstlane_spec::script::tcp::Segment;
use burstlane_tcp::State as Named;

/// The states of RFC 9293 3.3.2; SYN-RECEIVED remembers where it came from (MUST-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Listen,
    SynSent,
    PassiveSynReceived,
    ActiveSynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

impl State {
    pub(super) const ALL: [Self; 12] = [
        Self::Closed,
        Self::Listen,
        Self::SynSent,
        Self::PassiveSynReceived,
        Self::ActiveSynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
    ];

    pub(super) fn named(named: Named) -> Self {
        match named {
            Named::SynSent => Self::SynSent,
            Named::SynReceived => Self::ActiveSynReceived,
            Named::Established => Self::Established,
            Named::FinWait1 => Self::FinWait1,
            Named::FinWait2 => Self::FinWait2,
            Named::CloseWait => Self::CloseWait,
            Named::Closing => Self::Closing,
            Named::LastAck => Self::LastAck,
            Named::TimeWait => Self::TimeWait,
            Named::Closed => Self::Closed,
        }
    }

    pub(super) fn can_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::PassiveSynReceived => "SYN-RECEIVED (passive)",
            Self::ActiveSynReceived => "SYN-RECEIVED (active)",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
        })
    }
}

/// RFC 9293 3.3.1, relative to the initial numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variables {
    pub(super) snd_una: i32,
    pub(super) snd_nxt: i32,
    pub(super) snd_wnd_max: i32,
    pub(super) rcv_nxt: i32,
    pub(super) rcv_wnd: i32,
}

/// What is sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Nothing,
    Ack { seq: i32, ack: i32 },
    SynAck { ack: i32 },
    Rst { seq: i32, ack: Option<i32> },
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::Nothing => "-".into(),
            Self::Ack { seq, ack } => format!("<SEQ={seq}><ACK={ack}><CTL=ACK>"),
            Self::SynAck { ack } => format!("<SEQ=ISS><ACK={ack}><CTL=SYN,ACK>"),
            Self::Rst { seq, ack: Some(ack) } => format!("<SEQ={seq}><ACK={ack}><CTL=RST,ACK>"),
            Self::Rst { seq, ack: None } => format!("<SEQ={seq}><CTL=RST>"),
        };
        f.pad(&text)
    }
}

/// The answer and the state after it.
pub(super) type Answer = (Reply, State);

/// What is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) rfc: Answer,
    pub(super) or: Option<(Answer, &'static str)>,
}

impl Outcome {
    fn new(reply: Reply, state: State) -> Self {
        Self { rfc: (reply, state), or: None }
    }

    fn or(self, reply: Reply, state: State, reason: &'static str) -> Self {
        Self { or: Some(((reply, state), reason)), ..self }
    }
}

/// SEGMENT ARRIVES.
pub(super) fn segment_arrives(state: State, v: &Variables, segment: &Segment) -> Outcome {
    let outcome = match state {
        State::Closed => closed(segment),
        State::Listen => listen(segment),
        State::SynSent => syn_sent(v, segment),
        _ => other_states(state, v, segment),
    };
    if segment.has(SYN | FIN) {
        outcome.or(Reply::Nothing, state, "SYN and FIN exclude each other: no TCP sends it")
    } else {
        outcome
    }
}

/// 3.10.7.1.
fn closed(segment: &Segment) -> Outcome {
    if segment.has(RST) {
        return Outcome::new(Reply::Nothing, State::Closed);
    }
    let reset = if segment.has(ACK) {
        Reply::Rst { seq: seg_ack(segment), ack: None }
    } else {
        Reply::Rst { seq: 0, ack: Some(seg_seq(segment) + segment.segment_len()) }
    };
    Outcome::new(reset, State::Closed)
}

/// 3.10.7.2.
fn listen(segment: &Segment) -> Outcome {
    if segment.has(RST) {
        Outcome::new(Reply::Nothing, State::Listen)
    } else if segment.has(ACK) {
        Outcome::new(Reply::Rst { seq: seg_ack(segment), ack: None }, State::Listen)
    } else if segment.has(SYN) {
        Outcome::new(Reply::SynAck { ack: seg_seq(segment) + 1 }, State::PassiveSynReceived)
    } else {
        Outcome::new(Reply::Nothing, State::Listen)
    }
}

/// 3.10.7.3.
fn syn_sent(v: &Variables, segment: &Segment) -> Outcome {
    let acceptable = segment.has(ACK) && v.snd_una < seg_ack(segment) && seg_ack(segment) <= v.snd_nxt;
    if segment.has(ACK) && !acceptable {
        let reset = Reply::Rst { seq: seg_ack(segment), ack: None };
        return Outcome::new(if segment.has(RST) { Reply::Nothing } else { reset }, State::SynSent);
    }
    if segment.has(RST) {
        return Outcome::new(Reply::Nothing, if acceptable { State::Closed } else { State::SynSent });
    }
    if !segment.has(SYN) {
        return Outcome::new(Reply::Nothing, State::SynSent);
    }
    let rcv_nxt = seg_seq(segment) + 1;
    if acceptable {
        Outcome::new(Reply::Ack { seq: v.snd_nxt, ack: rcv_nxt }, State::Established)
    } else {
        Outcome::new(Reply::SynAck { ack: rcv_nxt }, State::ActiveSynReceived)
    }
}

/// 3.10.7.4, in its order.
fn other_states(state: State, v: &Variables, segment: &Segment) -> Outcome {
    let ack = Reply::Ack { seq: v.snd_nxt, ack: v.rcv_nxt };
    // A new connection in the place of one in TIME-WAIT: 3.6.1, MAY-2. The sequence number is judged by that alone.
    if state == State::TimeWait && segment.has(SYN) && !segment.has(ACK) && seg_seq(segment) > v.rcv_nxt {
        return Outcome::new(Reply::SynAck { ack: seg_seq(segment) + 1 }, State::PassiveSynReceived);
    }
    // First, the sequence number.
    if is_acceptable(v, segment) { accepted(state, v, segment, ack) } else { unacceptable(state, v, segment, ack) }
}

/// From the second step on.
fn accepted(state: State, v: &Variables, segment: &Segment, ack: Reply) -> Outcome {
    // Second, RST, with RFC 5961 3.2.
    if segment.has(RST) {
        return reset(state, v, segment, ack);
    }
    // Fourth, SYN, with RFC 5961 4.2.
    if segment.has(SYN) {
        return match state {
            State::PassiveSynReceived => Outcome::new(Reply::Nothing, State::Listen),
            _ => Outcome::new(ack, state),
        };
    }
    // Fifth, ACK.
    if !segment.has(ACK) {
        let outcome = Outcome::new(Reply::Nothing, state);
        return if state == State::TimeWait { outcome.or(ack, state, WHATEVER) } else { outcome };
    }
    let next = match acknowledged(state, v, seg_ack(segment), ack) {
        Ok(next) => next,
        Err(outcome) => return outcome,
    };
    // Seventh and eighth: text and FIN.
    text_and_fin(next, v, segment)
}

/// Table 6.
fn is_acceptable(v: &Variables, segment: &Segment) -> bool {
    let (seq, len) = (seg_seq(segment), segment.segment_len());
    let is_in_window = |number: i32| v.rcv_nxt <= number && number < v.rcv_nxt + v.rcv_wnd;
    match (len, v.rcv_wnd) {
        (0, 0) => seq == v.rcv_nxt,
        (0, _) => is_in_window(seq),
        (_, 0) => false,
        (_, _) => is_in_window(seq) || is_in_window(seq + len - 1),
    }
}

fn unacceptable(state: State, v: &Variables, segment: &Segment, ack: Reply) -> Outcome {
    let (seq, end) = (seg_seq(segment), seg_seq(segment) + segment.segment_len());
    if v.rcv_wnd == 0 && seq == v.rcv_nxt {
        return at_shut_window(state, v, segment, ack);
    }
    if segment.has(RST) {
        return Outcome::new(Reply::Nothing, state);
    }
    let outcome = Outcome::new(ack, state);
    if state == State::TimeWait && segment.segment_len() == 0 && seq >= v.rcv_nxt {
        return outcome.or(
            Reply::Nothing,
            state,
            "a half-open connection holds our last ACK for nonsense, and we its challenge: that would never end",
        );
    }
    if state == State::PassiveSynReceived && segment.has(SYN) && !segment.has(ACK) && seq == 0 {
        return outcome.or(
            Reply::SynAck { ack: 1 },
            state,
            "the SYN again: the SYN-ACK again says all that an ACK would",
        );
    }
    if seq < v.rcv_nxt && end > v.rcv_nxt + v.rcv_wnd {
        let (reply, next) = accepted(state, v, segment, ack).rfc;
        return outcome.or(reply, next, "table 6 forgets a segment that covers the window; what is in it counts");
    }
    outcome
}

/// "If the RCV.WND is zero, no segments will be acceptable, but special allowance should be made to accept valid ACKs, URGs,
/// and RSTs" (MUST-66). The text is refused, with an ACK.
fn at_shut_window(state: State, v: &Variables, segment: &Segment, ack: Reply) -> Outcome {
    if segment.has(RST) {
        return reset(state, v, segment, ack);
    }
    if segment.has(SYN) {
        return Outcome::new(ack, state);
    }
    if !segment.has(ACK) {
        return Outcome::new(ack, state).or(Reply::Nothing, state, "let in for its ACK, it is dropped for having none");
    }
    let next = match acknowledged(state, v, seg_ack(segment), ack) {
        Ok(next) => next,
        Err(outcome) => return outcome,
    };
    let outcome = Outcome::new(ack, next);
    if segment.has(FIN) && segment.payload_bytes() == 0 {
        let (reply, next) = text_and_fin(next, &Variables { rcv_wnd: 1, ..*v }, segment).rfc;
        return outcome.or(reply, next, "a FIN at the edge of a shut window needs no room");
    }
    outcome
}

fn reset(state: State, v: &Variables, segment: &Segment, ack: Reply) -> Outcome {
    if state == State::TimeWait {
        let next = if seg_seq(segment) == v.rcv_nxt { (Reply::Nothing, State::Closed) } else { (ack, state) };
        let outcome = Outcome::new(next.0, next.1);
        return outcome.or(Reply::Nothing, state, "RFC 1337 3: no reset ends TIME-WAIT");
    }
    if seg_seq(segment) != v.rcv_nxt {
        return Outcome::new(ack, state);
    }
    match state {
        State::PassiveSynReceived => Outcome::new(Reply::Nothing, State::Listen),
        _ => Outcome::new(Reply::Nothing, State::Closed),
    }
}

/// The state in which to go on, or the end of it.
fn acknowledged(state: State, v: &Variables, seg_ack: i32, ack: Reply) -> Result<State, Outcome> {
    let in_range = v.snd_una - v.snd_wnd_max <= seg_ack && seg_ack <= v.snd_nxt;
    let is_all = seg_ack == v.snd_nxt;
    match state {
        State::PassiveSynReceived | State::ActiveSynReceived => {
            let reset = Reply::Rst { seq: seg_ack, ack: None };
            if v.snd_una < seg_ack && in_range {
                Ok(State::Established)
            } else if in_range {
                Err(Outcome::new(reset, state))
            } else {
                Err(Outcome::new(ack, state).or(reset, state, "the reset of 3.10.7.4, without RFC 5961 5.2 before it"))
            }
        }
        State::TimeWait if !in_range => Err(Outcome::new(ack, state).or(
            Reply::Nothing,
            state,
            "RFC 5961 5.2 guards text, of which TIME-WAIT takes none",
        )),
        _ if !in_range => Err(Outcome::new(ack, state)),
        State::FinWait1 if is_all => Ok(State::FinWait2),
        State::Closing if is_all => Err(Outcome::new(Reply::Nothing, State::TimeWait)),
        State::Closing => Err(Outcome::new(Reply::Nothing, State::Closing)),
        State::LastAck if is_all => Err(Outcome::new(Reply::Nothing, State::Closed)),
        _ => Ok(state),
    }
}

fn text_and_fin(state: State, v: &Variables, segment: &Segment) -> Outcome {
    let (seq, bytes) = (seg_seq(segment), segment.payload_bytes() as i32);
    let right = v.rcv_nxt + v.rcv_wnd;
    let ack_of = |rcv_nxt| Reply::Ack { seq: v.snd_nxt, ack: rcv_nxt };
    if !state.can_receive() {
        // The text is ignored. A FIN behind a FIN is none of the peer's.
        let outcome = Outcome::new(Reply::Nothing, state);
        return match (state, segment.segment_len(), segment.has(FIN)) {
            (State::TimeWait, 0, _) if seq == v.rcv_nxt => outcome,
            (State::TimeWait, ..) => outcome.or(ack_of(v.rcv_nxt), state, WHATEVER),
            (_, _, true) if seq + bytes == v.rcv_nxt => Outcome::new(ack_of(v.rcv_nxt + 1), state).or(
                Reply::Nothing,
                state,
                "a second FIN, behind the first, cannot be the peer's",
            ),
            _ => outcome,
        };
    }
    let (start, end) = (seq.max(v.rcv_nxt), (seq + bytes).min(right));
    let rcv_nxt = if start == v.rcv_nxt && end > start { end } else { v.rcv_nxt };
    let is_fin = segment.has(FIN) && seq + bytes == rcv_nxt;
    if is_fin {
        let next = match state {
            State::FinWait1 => State::Closing,
            State::FinWait2 => State::TimeWait,
            _ => State::CloseWait,
        };
        return Outcome::new(ack_of(rcv_nxt + 1), next);
    }
    if segment.segment_len() == 0 {
        return Outcome::new(Reply::Nothing, state);
    }
    Outcome::new(ack_of(rcv_nxt), state)
}

fn seg_seq(segment: &Segment) -> i32 {
    segment.seq.unwrap_or_default()
}

fn seg_ack(segment: &Segment) -> i32 {
    segment.ack.unwrap_or_default()
}

const WHATEVER: &str = "TIME-WAIT: whatever comes, the last ACK answers it";
