//! Both hosts on their wires, the raw peer that speaks to them, and what it knows of our host: where a segment is to stand, and
//! what it did.

use burstlane_spec::Pattern;
use burstlane_spec::packets::ipv4_frame;

use super::difference::{Past, Said};
use super::host::{HOST_PORT, Heard, PEER_PORT, Twin};
use super::reply::{Listener, Reply, join};
use super::script::{ACK, FIN, Offers, RST, SYN, Say, Script, Seq, Stamp, Step};

/// Both hosts, and what is known of them.
pub(crate) struct Stage<'s> {
    script: &'s Script,
    pub(crate) twins: [Twin; 2],
    pub(crate) listeners: [Listener; 2],
    pub(crate) past: Past,
    written: u64,
    /// What the peer has acknowledged to our host.
    snd_una: Option<u32>,
    /// The end of the text that it has sent, also of text behind a gap.
    text_end: u32,
    /// SEG.SEQ of the segment whose window our host took last.
    snd_wl1: u32,
    /// SND.UNA + SND.WND of our host.
    window_end: Option<u32>,
}

impl<'s> Stage<'s> {
    pub(crate) fn new(script: &'s Script) -> Self {
        let mut twins = [Twin::ours(script.seed), Twin::smol(script.smol_iss)];
        for twin in &mut twins {
            if script.is_passive { twin.listen() } else { twin.connect() }
        }
        Self {
            script,
            twins,
            listeners: Default::default(),
            past: Past { has_timestamps: script.offers.timestamps, ..Past::default() },
            written: 0,
            snd_una: None,
            text_end: script.peer_iss,
            snd_wl1: script.peer_iss,
            window_end: None,
        }
    }

    /// What both say now.
    pub(crate) fn replies(&mut self) -> [Vec<Reply>; 2] {
        let scales = self.script.offers.window_scale.is_some();
        [0, 1].map(|side| {
            let frames = self.twins[side].heard();
            join(frames.iter().filter_map(|frame| self.listeners[side].hear(frame, scales)).collect())
        })
    }

    /// Does one step with both. What their applications heard.
    pub(crate) fn take(&mut self, step: &Step) -> [Heard; 2] {
        let mut heard = [(); 2].map(|()| Heard { bytes: vec![], is_end: false });
        if let Step::Say(say) = step {
            for side in [0, 1] {
                let frame = self.frame(say, side);
                self.twins[side].put(&frame);
            }
            return heard;
        }
        if !self.twins.iter_mut().all(Twin::is_open) {
            return heard;
        }
        match step {
            Step::Say(_) => {}
            Step::Write(bytes) => {
                let mut text = vec![0; usize::from(*bytes)];
                Pattern::new(1).fill(self.written, &mut text);
                let taken = self.twins.each_mut().map(|twin| twin.write(&text));
                assert_eq!(taken[0], taken[1], "bytes that the socket takes");
                self.written += taken[0] as u64;
            }
            Step::Read => heard = self.twins.each_mut().map(Twin::read),
            Step::Finish => self.twins.iter_mut().for_each(Twin::finish),
            Step::Abort => self.twins.iter_mut().for_each(Twin::abort),
        }
        heard
    }

    /// Does all steps. What both said at first, and after each.
    pub(crate) fn play_all(&mut self) -> Vec<[Vec<Reply>; 2]> {
        let mut all = vec![self.replies()];
        for step in &self.script.steps {
            self.take(step);
            all.push(self.replies());
        }
        all
    }

    /// The segment of a step as our host will see it.
    pub(crate) fn said(&self, step: &Step) -> Option<Said> {
        let Step::Say(say) = *step else { return None };
        let (next, window) = self.listeners[0].rcv.unwrap_or((self.script.peer_iss, 0));
        let seq = self.seq(say.seq).wrapping_sub(next) as i32;
        let their_window = self.listeners[1].rcv.map_or(0, |(at, window)| at.wrapping_add(window).wrapping_sub(next));
        let behind = self.listeners[0].snd_max.wrapping_add_signed(say.ack).wrapping_sub(self.snd_una()) as i32;
        Some(Said {
            say,
            number: next.wrapping_add_signed(seq),
            seq,
            window,
            their_window,
            has_old_ack: say.flags & ACK != 0 && behind < 0,
        })
    }

    /// Learns what the peer's segment did.
    pub(crate) fn note(&mut self, said: Said, before: &str) {
        self.past.has_text_behind_fin |=
            said.say.bytes > 0 && ["CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"].contains(&before);
        let opens = said.is(SYN | ACK) && before == "SYN-SENT";
        if !opens && (!said.is(ACK) || said.is(SYN) || said.is(RST) || !said.is_acceptable()) {
            return;
        }
        let end = said.number.wrapping_add(u32::from(said.say.bytes));
        if end.wrapping_sub(self.text_end) as i32 > 0 {
            self.text_end = end;
        }
        if said.say.ack > 0 {
            return;
        }
        self.past.has_early_fin |= said.is(FIN) && end.wrapping_sub(self.rcv_nxt()) as i32 > 0;
        if said.has_old_ack {
            return;
        }
        self.past.window = said.say.window;
        self.past.has_stale_window = (said.number.wrapping_sub(self.snd_wl1) as i32) < 0;
        if !self.past.has_stale_window {
            self.snd_wl1 = said.number;
        }
        let ack = self.listeners[0].snd_max.wrapping_add_signed(said.say.ack);
        if ack.wrapping_sub(self.snd_una()) as i32 > 0 {
            self.snd_una = Some(ack);
        }
        let shift = self.script.offers.window_scale.unwrap_or(0).min(14);
        self.window_end = Some(ack.wrapping_add(u32::from(said.say.window) << shift));
    }

    /// Whether what our host has outstanding leaves no room in the peer's window.
    pub(crate) fn is_full(&self) -> bool {
        self.window_end.is_some_and(|end| self.listeners[0].snd_max.wrapping_sub(end) as i32 >= 0)
    }

    /// RCV.NXT of our host.
    fn rcv_nxt(&self) -> u32 {
        self.listeners[0].rcv.map_or(self.script.peer_iss, |(next, _)| next)
    }

    /// SND.UNA of our host.
    fn snd_una(&self) -> u32 {
        self.snd_una.or(self.listeners[0].iss).unwrap_or(self.listeners[0].snd_max)
    }

    /// Whether a step is left out: a FIN in front of text that was sent already (see `text_behind_a_fin_is_forgotten`).
    pub(crate) fn contradicts_itself(&self, said: Option<Said>) -> bool {
        said.is_some_and(|said| {
            let end = said.number.wrapping_add(u32::from(said.say.bytes));
            said.is(FIN) && (end.wrapping_sub(self.text_end) as i32) < 0
        })
    }

    fn seq(&self, seq: Seq) -> u32 {
        let (next, window) = self.listeners[0].rcv.unwrap_or((self.script.peer_iss, 0));
        match seq {
            Seq::Next(offset) => next.wrapping_add_signed(offset),
            Seq::Edge(offset) => next.wrapping_add(window).wrapping_add_signed(offset),
        }
    }

    /// The peer's segment to one of them: numbers stand relative to our host's, and are the same for both.
    fn frame(&self, say: &Say, side: usize) -> Vec<u8> {
        let seq = self.seq(say.seq);
        let is_syn = say.flags & SYN != 0;
        let ack = self.listeners[side].snd_max.wrapping_add_signed(say.ack);
        let options = if is_syn { syn_options(&self.script.offers) } else { self.stamp(say.stamp) };
        let mut segment = vec![];
        segment.extend(PEER_PORT.to_be_bytes());
        segment.extend(HOST_PORT.to_be_bytes());
        segment.extend(seq.to_be_bytes());
        segment.extend(if say.flags & ACK == 0 { 0 } else { ack }.to_be_bytes());
        segment.extend([((20 + options.len()) * 4) as u8, say.flags]);
        segment.extend(say.window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(options);
        // The text is that of its place in the peer's stream, so overlaps agree.
        let place = u64::from(seq.wrapping_sub(self.script.peer_iss));
        let mut text = vec![0; usize::from(say.bytes)];
        Pattern::new(2).fill(place, &mut text);
        segment.extend(text);
        ipv4_frame(2, 1, 6, segment, Some(16))
    }

    fn stamp(&self, stamp: Stamp) -> Vec<u8> {
        match stamp {
            _ if !self.past.has_timestamps => vec![],
            Stamp::Missing => vec![],
            Stamp::Now => stamp_option(STAMP),
            Stamp::Old => stamp_option(STAMP - 5000),
        }
    }
}

fn stamp_option(value: u32) -> Vec<u8> {
    [&[1, 1, 8, 10][..], &value.to_be_bytes(), &[0; 4]].concat()
}

fn syn_options(offers: &Offers) -> Vec<u8> {
    let mut options = vec![];
    if let Some(mss) = offers.mss {
        options.extend([2, 4]);
        options.extend(mss.to_be_bytes());
    }
    if let Some(shift) = offers.window_scale {
        options.extend([1, 3, 3, shift]);
    }
    if offers.sack {
        options.extend([1, 1, 4, 2]);
    }
    if offers.timestamps {
        options.extend(stamp_option(STAMP));
    }
    options
}

/// The peer's clock, in a connection's short life.
const STAMP: u32 = 1_000_000;
