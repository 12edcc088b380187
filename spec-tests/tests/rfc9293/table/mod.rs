//! 3.10.7, SEGMENT ARRIVES, as one table: each state x each kind of segment x each place in the window, at sequence numbers
//! far from the wrap and across it. `model` says what is right; here the states are reached, the segments made, and what
//! our TCP does is compared. `cargo test --test rfc9293 table -- --nocapture` prints the table.

mod model;

use std::collections::HashMap;
use std::time::Duration;

use burstlane::socket::{Listener, Stream};
use burstlane_spec::packets::{ACK, FIN, RST, SYN};
use burstlane_spec::script::tcp::{Ends, ISNS, Segment, WINDOW, ack, data, fin, rst, segment, syn, text};
use burstlane_tcp::Tcp;

use super::{Script, plain, state};
use model::{Answer, Outcome, Reply, State, Variables, segment_arrives};

/// How much of the receive window is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    /// 500 bytes.
    Open,
    /// None.
    Shut,
}

/// A host in a state.
struct Case {
    script: Script,
    start: State,
    stream: Option<Stream<Tcp>>,
    listener: Option<Listener<Tcp>>,
    v: Variables,
}

// cites: MUST-3, MUST-11, MUST-13, MUST-58, MUST-66, SHLD-2, SHLD-31, MAY-2, MAY-12, MAY-13
#[test]
fn every_segment_in_every_state() {
    let mut starts = HashMap::new();
    let (mut table, mut wrong, mut cells) = (vec![], vec![], 0);
    for isn in ISNS {
        let start = *starts.entry(isn).or_insert_with(|| Script::start_for_isn(isn, &plain()));
        for (state, window) in situations() {
            let kinds = kinds(&Case::reach(state, window, isn, start).v);
            for (name, segment) in kinds {
                let mut case = Case::reach(state, window, isn, start);
                let outcome = segment_arrives(state, &case.v, &segment);
                let came = case.send(&segment);
                cells += 1;
                let row = format!("{state:<22} {window:<5?} {name:<42} {:<40} {}", came.0, came.1);
                if let Some(problem) = problem(&outcome, came) {
                    wrong.push(format!("{row}\n    {problem}; ISN {isn:#x}\n{}", case.script.trace()));
                }
                if isn == ISNS[0] {
                    let note = outcome.or.filter(|(or, _)| *or == came && outcome.rfc != came);
                    table.push(format!("{row}{}", note.map_or(String::new(), |(_, reason)| format!("  *{reason}"))));
                }
                case.check_text(came);
            }
        }
    }
    println!("{}", table.join("\n"));
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cells > 1000, "only {cells} cells");
}

fn problem(outcome: &Outcome, came: Answer) -> Option<String> {
    if outcome.rfc == came || outcome.or.is_some_and(|(or, _)| or == came) {
        return None;
    }
    let (reply, state) = outcome.rfc;
    Some(format!("should be: {reply} {state}"))
}

/// Every state with an open window; and with a shut one where text is taken.
fn situations() -> Vec<(State, Window)> {
    let open = State::ALL.map(|state| (state, Window::Open));
    let shut = State::ALL.into_iter().filter(|state| state.can_receive()).map(|state| (state, Window::Shut));
    open.into_iter().chain(shut).collect()
}

/// The segments, with English names.
fn kinds(v: &Variables) -> Vec<(&'static str, Segment)> {
    let (left, right) = (v.rcv_nxt, v.rcv_nxt + v.rcv_wnd);
    // An acknowledgement that says nothing wrong; before the connection stands it must be one of the SYN.
    let good = if v.snd_una == 0 { v.snd_nxt } else { v.snd_una };
    let at = |flags, seq| segment(flags).seq(seq);
    let mut kinds = vec![
        ("RST at RCV.NXT", rst(left)),
        ("RST in the window, not at its edge", rst(left + 1)),
        ("RST left of the window", rst(left - 1)),
        ("RST at the right edge", rst(right)),
        ("RST,ACK at RCV.NXT", rst(left).and(ACK).ack(v.snd_nxt)),
        ("RST,ACK with an ACK of nothing sent", rst(left).and(ACK).ack(v.snd_nxt + 1)),
        ("RST with text at RCV.NXT", rst(left).len(5)),
        ("SYN, the first one again", syn().seq(0)),
        ("SYN left of the window", syn().seq(left - 1)),
        ("SYN in the window", syn().seq(left + 1)),
        ("SYN right of the window", syn().seq(right + 100)),
        ("SYN,ACK in the window", at(SYN | ACK, left + 1).ack(v.snd_nxt)),
        ("SYN,ACK left of the window", at(SYN | ACK, left - 1).ack(v.snd_nxt)),
        ("SYN,ACK with an ACK of nothing sent", at(SYN | ACK, left).ack(v.snd_nxt + 1)),
        ("SYN,FIN in the window", at(SYN | FIN, left + 1)),
        ("FIN in order", fin(left).ack(good)),
        ("FIN with the ACK of all", fin(left).ack(v.snd_nxt)),
        ("FIN behind a gap", fin(left + 10).ack(good)),
        ("FIN again", fin(left - 1).ack(good)),
        ("FIN right of the window", fin(right + 1).ack(good)),
        ("FIN without ACK", at(FIN, left)),
        ("no control bit", at(0, left)),
        ("text without ACK", at(0, left).len(10)),
        ("text without ACK, left of the window", at(0, left - 20).len(10)),
    ];
    kinds.extend(acks(v).map(|(name, number)| (name, ack(number).seq(left))));
    kinds.extend([
        ("ACK left of the window (keep-alive)", ack(good).seq(left - 1)),
        ("ACK in the window, not at its edge", ack(good).seq(left + 1)),
        ("ACK at the right edge", ack(good).seq(right)),
        ("text in order", text(left, 10).ack(good)),
        ("text in order with the ACK of all", text(left, 10).ack(v.snd_nxt)),
        ("text in order, ACK of nothing sent", text(left, 10).ack(v.snd_nxt + 1)),
        ("text left of the window", text(left - 20, 20).ack(good)),
        ("text over the left edge", text(left - 20, 30).ack(good)),
        ("text behind a gap", text(left + 10, 10).ack(good)),
        ("text over the right edge, behind a gap", text(right - 5, 10).ack(good)),
        ("text over all of the window", text(left - 1, v.rcv_wnd.min(900) as usize + 2).ack(good)),
        ("text at the right edge", text(right, 10).ack(good)),
        ("text far right of the window", text(right + 5000, 10).ack(good)),
        ("one byte in order (window probe)", data(left, [7]).ack(good)),
        ("one byte again (old probe)", data(left - 1, [7]).ack(good)),
        ("text and FIN in order", fin(left).len(10).ack(good)),
        ("text and FIN over the left edge", fin(left - 20).len(30).ack(good)),
        ("text over the right edge, then FIN", fin(right - 10).len(20).ack(good)),
    ]);
    kinds
}

/// Acknowledgements, old to new.
fn acks(v: &Variables) -> impl Iterator<Item = (&'static str, i32)> {
    [
        ("ACK older than any window", v.snd_una - v.snd_wnd_max - 1),
        ("ACK old", v.snd_una - 10),
        ("ACK of nothing new", v.snd_una),
        ("ACK of a part", v.snd_una.midpoint(v.snd_nxt)),
        ("ACK of all", v.snd_nxt),
        ("ACK of nothing sent", v.snd_nxt + 1),
        ("ACK far beyond", v.snd_nxt + 100_000),
    ]
    .into_iter()
}

impl Case {
    /// Brings a host into `state`: 100 bytes of ours are sent and half of them acknowledged, and the peer has sent all
    /// but 500 bytes of what the window took, or all.
    fn reach(state: State, window: Window, isn: u32, start: Duration) -> Self {
        let script = Script::starting_at(start, plain(), Ends::new(isn));
        let v = Variables { snd_una: 0, snd_nxt: 1, snd_wnd_max: i32::from(WINDOW), rcv_nxt: 1, rcv_wnd: 500 };
        let mut case = Self { script, start: state, stream: None, listener: None, v };
        match state {
            State::Closed => {}
            State::Listen => case.listener = Some(case.script.listen(8)),
            State::SynSent => case.stream = Some(case.script.connect()),
            State::ActiveSynReceived => {
                case.stream = Some(case.script.connect());
                case.peer(syn());
            }
            State::PassiveSynReceived => {
                case.listener = Some(case.script.listen(8));
                case.peer(syn());
            }
            _ => case.establish(window),
        }
        case.advance_to(state);
        case.hear();
        case.script.note(&format!("{state}, {:?}", case.v));
        case
    }

    fn establish(&mut self, window: Window) {
        let (stream, listener) = self.script.accepted(syn());
        let left = if window == Window::Open { 500 } else { 0 };
        let mut to_fill = 4096 - left;
        while to_fill > 0 {
            let bytes = to_fill.min(1000);
            self.peer(text(self.script.ends.peer_next, bytes));
            to_fill -= bytes;
        }
        self.script.write(&stream, &[1; 100]);
        self.hear();
        self.peer(ack(51));
        (self.v.snd_una, self.v.snd_nxt) = (51, 101);
        (self.stream, self.listener) = (Some(stream), Some(listener));
    }

    /// From ESTABLISHED on.
    fn advance_to(&mut self, state: State) {
        let we_finish_first = matches!(state, State::FinWait1 | State::FinWait2 | State::Closing | State::TimeWait);
        if we_finish_first {
            self.finish();
        }
        if matches!(state, State::FinWait2 | State::TimeWait) {
            self.peer(ack(102));
            self.v.snd_una = 102;
        }
        if matches!(state, State::CloseWait | State::Closing | State::LastAck | State::TimeWait) {
            self.peer(fin(self.script.ends.peer_next).ack(self.v.snd_una));
        }
        if state == State::LastAck {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let stream = self.stream.take().unwrap();
        self.script.shutdown(&stream);
        self.stream = Some(stream);
        self.v.snd_nxt = 102;
    }

    fn peer(&mut self, segment: Segment) {
        self.script.peer(segment);
        self.hear();
    }

    /// What the host said tells where its window is.
    fn hear(&mut self) {
        for (_, heard) in self.script.take() {
            if let (Some(acked), Some(window)) = (heard.ack, heard.window) {
                (self.v.rcv_nxt, self.v.rcv_wnd) = (acked, i32::from(window));
            }
        }
    }

    /// The segment arrives: what is answered, and the state after it.
    fn send(&mut self, segment: &Segment) -> Answer {
        self.script.peer(segment.clone());
        let replies = self.script.take();
        assert!(replies.len() <= 1, "one segment is answered by at most one:\n{}", self.script.trace());
        let reply = replies.first().map_or(Reply::Nothing, |(_, reply)| {
            let seq = reply.seq.unwrap();
            match reply.flags.unwrap() {
                flags if flags == RST || flags == RST | ACK => Reply::Rst { seq, ack: reply.ack },
                flags if flags == SYN | ACK => Reply::SynAck { ack: reply.ack.unwrap() },
                ACK => Reply::Ack { seq, ack: reply.ack.unwrap() },
                other => panic!("control bits {other:#x}:\n{}", self.script.trace()),
            }
        });
        (reply, self.state(reply))
    }

    fn state(&mut self, reply: Reply) -> State {
        let remnants = self.script.host.lane().remnants();
        if let Some(stream) = &self.stream
            && let Some(state) = state(stream)
        {
            return State::named(state);
        }
        if self.start == State::PassiveSynReceived
            && let Some(accepted) = self.listener.as_ref().and_then(Listener::accept)
        {
            let state = state(&accepted).map_or(State::Closed, State::named);
            self.stream = Some(accepted);
            return state;
        }
        match (self.start, remnants) {
            (State::Listen | State::PassiveSynReceived, 0) => State::Listen,
            (State::Listen | State::PassiveSynReceived, _) => State::PassiveSynReceived,
            (State::TimeWait, 1) if matches!(reply, Reply::SynAck { .. }) => State::PassiveSynReceived,
            (_, 1) => State::TimeWait,
            _ => State::Closed,
        }
    }

    /// What the application can read is what was acknowledged, each byte the one of its number.
    fn check_text(&mut self, (reply, state): Answer) {
        let Some(stream) = self.stream.take() else { return };
        if state == State::Closed || stream.ended().is_some_and(|error| error.is_some()) {
            return;
        }
        let mut bytes = vec![0; 8192];
        let read = stream.read(&mut bytes).unwrap_or(0);
        let expected = match reply {
            Reply::Ack { ack, .. } => ack,
            Reply::Nothing | Reply::SynAck { .. } | Reply::Rst { .. } => self.v.rcv_nxt,
        };
        // A FIN takes a number and no byte.
        let fins = i32::from(!matches!(
            state,
            State::Established | State::FinWait1 | State::FinWait2 | State::SynSent | State::ActiveSynReceived
        ));
        if self.start == State::SynSent {
            return;
        }
        assert_eq!(read as i32, expected - 1 - fins, "bytes read:\n{}", self.script.trace());
        let wrong = bytes[..read].iter().zip(1_i32..).find(|(byte, number)| **byte != *number as u8 && **byte != 7);
        assert_eq!(wrong, None, "{}", self.script.trace());
    }
}
