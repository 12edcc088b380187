//! What a host said, in words that both hosts share: numbers relative to its own first one, options by kind, text in one
//! piece. Windows differ with the buffers' arithmetic; whether one is shut does not.

use burstlane_spec::decode::{Content, Decoded, Rules, Segment, decode};

use super::script::{ACK, FIN, RST, SYN};

/// One answer, or several segments that say one thing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// SYN, FIN, RST, ACK.
    pub(crate) flags: u8,
    /// SEG.SEQ, relative to the host's first number once it gave one.
    pub(crate) seq: u32,
    /// SEG.ACK, absolute: the peer's numbers are the same for both hosts.
    pub(crate) ack: Option<u32>,
    pub(crate) text: Vec<u8>,
    /// MSS, window scale, SACK-permitted, timestamps, SACK.
    pub(crate) options: [bool; 5],
    pub(crate) has_window: bool,
}

impl Reply {
    pub(crate) fn is(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// An acknowledgement and nothing else.
    pub(crate) fn is_bare_ack(&self) -> bool {
        self.flags == ACK && self.text.is_empty()
    }

    /// The same without some of its options.
    pub(crate) fn but(&self, without: &[usize]) -> Self {
        let mut reply = self.clone();
        without.iter().for_each(|option| reply.options[*option] = false);
        reply
    }

    /// The number behind it: SEG.SEQ + SEG.LEN.
    pub(crate) fn end(&self) -> u32 {
        let control = u32::from(self.flags & (SYN | FIN) != 0);
        self.seq.wrapping_add(self.text.len() as u32).wrapping_add(control)
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (flag, name) in [(SYN, "SYN "), (FIN, "FIN "), (RST, "RST "), (ACK, "ACK ")] {
            if self.is(flag) {
                f.write_str(name)?;
            }
        }
        write!(f, "seq {} ack {:?} bytes {}", self.seq, self.ack, self.text.len())?;
        for (has, name) in self.options.iter().zip(["MSS", "WS", "SACK-permitted", "TS", "SACK"]) {
            if *has {
                write!(f, " {name}")?;
            }
        }
        f.write_str(if self.has_window { "" } else { " shut" })
    }
}

/// Places in [`Reply::options`].
pub(crate) const WINDOW_SCALE: usize = 1;
/// See [`WINDOW_SCALE`].
pub(crate) const TIMESTAMPS: usize = 3;
/// See [`WINDOW_SCALE`].
pub(crate) const SACK: usize = 4;

/// What one host has said so far.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    /// Its first number.
    pub(crate) iss: Option<u32>,
    /// The end of what it has sent.
    pub(crate) snd_max: u32,
    /// What it last acknowledged, and how much more it takes, bytes.
    pub(crate) rcv: Option<(u32, u32)>,
    scale: u8,
}

impl Listener {
    /// Reads a frame; `None` if it is no segment.
    ///
    /// # Panics
    /// If it is flawed.
    pub(crate) fn hear(&mut self, frame: &[u8], peer_scales: bool) -> Option<Reply> {
        let decoded =
            decode(frame, &Rules::default()).unwrap_or_else(|flaw| panic!("a flawed frame: {flaw}: {frame:02x?}"));
        let Decoded::Ip(_, Content::Tcp(segment)) = decoded else { return None };
        if segment.flags & SYN != 0 {
            self.iss = Some(segment.seq);
            self.scale = segment.options.window_scale.filter(|_| peer_scales).unwrap_or(0);
            self.snd_max = segment.seq;
        }
        let mut reply = self.reply(&segment);
        if segment.flags & RST == 0 {
            let end = segment.seq.wrapping_add(reply.end().wrapping_sub(reply.seq));
            let is_old = end.wrapping_sub(self.snd_max) as i32 <= 0;
            if is_old && segment.flags & SYN == 0 && end != segment.seq {
                // Again what was sent before: when, is for timers and loss detection. Only what it acknowledges may be news.
                if self.rcv.map(|(next, _)| next) == segment.ack {
                    return None;
                }
                let seq = self.snd_max.wrapping_sub(self.iss.unwrap_or(0));
                reply = Reply { flags: ACK, seq, text: vec![], ..reply };
            }
            if !is_old {
                self.snd_max = end;
            }
            let scale = if segment.flags & SYN != 0 { 0 } else { self.scale };
            self.rcv = segment.ack.map(|ack| (ack, u32::from(segment.window) << scale)).or(self.rcv);
        }
        Some(reply)
    }

    /// Where it stands: the end of what it sent, relative, and what it acknowledged.
    pub(crate) fn place(&self) -> (u32, Option<u32>) {
        (self.snd_max.wrapping_sub(self.iss.unwrap_or(0)), self.rcv.map(|(next, _)| next))
    }

    fn reply(&self, segment: &Segment<'_>) -> Reply {
        let options = &segment.options;
        Reply {
            flags: segment.flags & (SYN | FIN | RST | ACK),
            // A reset that answers nothing with a number has none of its own (RFC 9293 3.10.7.1).
            seq: if segment.seq == 0 && segment.flags & RST != 0 {
                0
            } else {
                segment.seq.wrapping_sub(self.iss.unwrap_or(0))
            },
            ack: segment.ack,
            text: segment.payload.to_vec(),
            options: [
                options.mss.is_some(),
                options.window_scale.is_some(),
                options.sack_permitted,
                options.timestamps.is_some(),
                !options.sack().is_empty(),
            ],
            has_window: segment.window > 0 || segment.flags & RST != 0,
        }
    }
}

/// Joins what is one statement in several segments: adjacent text, a FIN behind it, the same acknowledgement said twice, or
/// once more with text.
pub(crate) fn join(replies: Vec<Reply>) -> Vec<Reply> {
    let mut joined: Vec<Reply> = vec![];
    for reply in replies {
        if let Some(last) = joined.last_mut() {
            let goes_on = last.flags == ACK && !last.text.is_empty() && reply.seq == last.end();
            if goes_on && reply.flags & (SYN | RST) == 0 && (!reply.text.is_empty() || reply.is(FIN)) {
                last.text.extend(&reply.text);
                last.flags |= reply.flags;
                continue;
            }
            let rides = last.is_bare_ack() && reply.flags & (SYN | RST) == 0 && reply.seq == last.seq;
            if rides && reply.ack == last.ack {
                *last = reply;
                continue;
            }
            if *last == reply {
                continue;
            }
        }
        joined.push(reply);
    }
    joined
}
