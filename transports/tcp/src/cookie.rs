//! SYN cookies (RFC 4987 3.6): how a listener answers SYNs when it cannot remember one more half-open connection. What it would
//! have remembered stands in the numbers of the SYN-ACK, and comes back with the peer's ACK:
//!
//! | where | what |
//! |---|---|
//! | sequence number | a slow clock, the MSS (one of eight), and a keyed hash over all of this, the four-tuple and the peer's ISN |
//! | low bits of the timestamp, if the peer sends timestamps | the shift of its windows, and whether it takes SACK |
//!
//! Nothing is kept and nothing is sent again; a peer whose ACK is lost repeats itself. What that costs: the MSS is rounded down, and
//! who sends no timestamps has neither scaling nor SACK. So cookies are for floods, and taken only while they are about.

use std::sync::atomic::{AtomicU64, Ordering};

use burstlane::net::DropReason;
use burstlane::observe::Event;
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::{CookieJar, FourTuple, SeqNum};
use burstlane::transport::{LaneCx, Listener, Opened, Unmatched};

use crate::Tcp;
use crate::answer::AnswerKind;
use crate::config::{MSS_DEFAULT_V4, MSS_DEFAULT_V6, MSS_MIN};
use crate::ecn::{Agreed, Ecn};
use crate::established::NO_MEMORY;
use crate::options::{SynOptions, Timestamps, WINDOW_SCALE_MAX};
use crate::remnant::HalfOpen;
use crate::wire::{Control, Header};

/// Makes and checks a host's cookies: any of its lanes may see the answer.
#[derive(Debug)]
pub(crate) struct Cookies {
    jar: CookieJar,
    ecn: Ecn,
    /// When one was made last, by any lane: nanoseconds, to the second; zero if none was.
    made_at: AtomicU64,
}

/// What an ACK without a connection is to a listener that may have sent a cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Returned {
    /// The answer to one that is still good, and what it tells of the SYN.
    Fresh(HalfOpen),
    /// Text with an acknowledgement that may be good: but only with the first number of the peer's text could it be shown.
    Overtaken,
    /// No cookie of ours, or an old one.
    Bad,
    /// There are no cookies about.
    NoneMade,
}

impl Cookies {
    pub(crate) fn new(key: (u64, u64), ecn: Ecn) -> Self {
        Self { jar: CookieJar::new(key, SLOT), ecn, made_at: AtomicU64::new(0) }
    }

    /// Makes `half` one that need not be remembered: its ISS a cookie, its offers what the peer will bring back.
    pub(crate) fn bake(&self, key: &FourTuple, half: HalfOpen) -> HalfOpen {
        let (index, mss) = round_mss(half.offers.mss.unwrap_or(MSS_MIN));
        let kept = half.ts_recent.map(|_| half.offers).unwrap_or_default();
        let offers = SynOptions { mss: Some(mss), ..kept };
        let bound = bound(half.irs, half.ts_recent.map(|_| low_bits(&offers)));
        let iss = SeqNum(self.jar.make32(key.local(), key.remote(), bound, index, half.since));
        self.note(half.since);
        HalfOpen { iss, offers, ecn: half.ecn.without_memory(), ..half }
    }

    /// Judges a segment for a listener. `timestamps` are the segment's, where we use them.
    pub(crate) fn check(
        &self,
        key: &FourTuple,
        header: &Header,
        timestamps: Option<Timestamps>,
        now: Instant,
    ) -> Returned {
        let Some(ack) = header.ack.filter(|_| self.are_about(now)) else { return Returned::NoneMade };
        let (iss, irs) = (before(ack), before(header.seq));
        let bits = timestamps.map(|timestamps| timestamps.echo & LOW_BITS_MASK);
        let Some(index) = self.jar.check32(iss.0, key.local(), key.remote(), bound(irs, bits), now) else {
            let may_be_overtaken = header.payload_bytes > 0 && self.jar.is_recent32(iss.0, now);
            return if may_be_overtaken { Returned::Overtaken } else { Returned::Bad };
        };
        let offers = SynOptions {
            mss: MSS_TABLE.get(usize::from(index)).copied(),
            window_scale: bits
                .map(|bits| bits & SCALE_MASK)
                .filter(|shift| *shift != NO_SCALE)
                .map(|shift| shift as u8),
            sack_permitted: bits.is_some_and(|bits| bits & SACK_BIT != 0),
        };
        Returned::Fresh(HalfOpen {
            iss,
            irs,
            offers,
            ts_recent: timestamps.map(|timestamps| timestamps.value),
            since: now,
            until: now,
            window: header.window,
            retries: 0,
            ecn: Agreed::recall(self.ecn, header.marks),
        })
    }

    /// Other lanes read it with each stray ACK, so it is written once a second.
    fn note(&self, now: Instant) {
        let (now, noted) = (now.as_nanos().max(1), self.made_at.load(Ordering::Relaxed));
        if noted == 0 || now.saturating_sub(noted) >= NOTE_INTERVAL_NANOS {
            self.made_at.store(now, Ordering::Relaxed);
        }
    }

    /// Whether one that was made may still be good. Otherwise nobody gets in by guessing.
    fn are_about(&self, now: Instant) -> bool {
        let made_at = self.made_at.load(Ordering::Relaxed);
        made_at != 0 && now.since(Instant::from_nanos(made_at)) <= 2 * SLOT + Duration::from_nanos(NOTE_INTERVAL_NANOS)
    }
}

impl Tcp {
    /// Answers a SYN without remembering it.
    #[cold]
    #[inline(never)]
    pub(crate) fn answer_by_cookie(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        key: FourTuple,
        half: HalfOpen,
    ) -> Unmatched<Self> {
        let half = self.shared.cookies.bake(&key, half);
        self.answer(cx, key, AnswerKind::Cookie(half), COOKIE_SENT)
    }

    /// An ACK for LISTEN: the third segment of a handshake of which nothing was remembered, or none of ours (RFC 9293 3.10.7.2).
    #[cold]
    #[inline(never)]
    pub(crate) fn on_ack_in_listen(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        key: FourTuple,
        header: &Header,
        listener: &Listener,
    ) -> Option<Unmatched<Self>> {
        if !matches!(header.control, Control::None | Control::Fin) {
            return None;
        }
        let timestamps = header.timestamps.filter(|_| self.config.timestamps);
        match self.shared.cookies.check(&key, header, timestamps, cx.now) {
            // As of a half-open one that is remembered: the peer sends again what we do not acknowledge.
            Returned::Fresh(_) if !listener.has_room() => Some(Unmatched::Drop(COOKIE_LATER)),
            Returned::Fresh(half) => {
                let Some((conn, io)) = self.passive_conn(cx, &half) else { return Some(Unmatched::Drop(NO_MEMORY)) };
                cx.observe(|| Event::Custom { flow: None, name: COOKIE_TAKEN, value: 1.0 });
                Some(Unmatched::Accept { flow: Opened { key, conn, io }, consumed: false })
            }
            Returned::Overtaken => Some(Unmatched::Drop(COOKIE_LATER)),
            Returned::Bad => {
                cx.count(COOKIE_BAD);
                None
            }
            Returned::NoneMade => None,
        }
    }
}

/// The timestamp of a SYN-ACK with a cookie: `clock`, its low bits replaced by what is to come back. Never ahead of the clock: what
/// follows would look older (RFC 7323 5).
pub(crate) fn stamp(clock: u32, offers: &SynOptions) -> u32 {
    let stamp = clock & !LOW_BITS_MASK | low_bits(offers);
    if SeqNum(stamp).after(SeqNum(clock)) { stamp.wrapping_sub(LOW_BITS_MASK + 1) } else { stamp }
}

fn low_bits(offers: &SynOptions) -> u32 {
    let sack = if offers.sack_permitted { SACK_BIT } else { 0 };
    sack | offers.window_scale.map_or(NO_SCALE, |shift| u32::from(shift.min(WINDOW_SCALE_MAX)))
}

/// What the hash covers beside the four-tuple and what stands in the cookie.
fn bound(irs: SeqNum, low_bits: Option<u32>) -> u64 {
    let options = low_bits.map_or(0, |bits| 1 << 5 | bits);
    u64::from(options) << 32 | u64::from(irs.0)
}

/// The largest of the table that is not above `mss`, and its place.
fn round_mss(mss: u16) -> (u8, u16) {
    let place = MSS_TABLE.partition_point(|entry| *entry <= mss).saturating_sub(1);
    (place as u8, MSS_TABLE.get(place).copied().unwrap_or(MSS_MIN))
}

fn before(number: SeqNum) -> SeqNum {
    SeqNum(number.0.wrapping_sub(1))
}

/// What peers offer: the least that we take, the defaults, PPPoE and tunnels, Ethernet with both families, jumbo frames.
const MSS_TABLE: [u16; 8] = [MSS_MIN, MSS_DEFAULT_V4, MSS_DEFAULT_V6, 1360, 1400, 1440, 1460, 8940];
/// A cookie is good for at least so long, and at most twice that.
const SLOT: Duration = Duration::from_secs(60);
const NOTE_INTERVAL_NANOS: u64 = 1_000_000_000;
/// Of a timestamp: four bits of shift, one of SACK.
const LOW_BITS_MASK: u32 = 0x1f;
const SCALE_MASK: u32 = 0xf;
/// The peer scales no windows.
const NO_SCALE: u32 = 0xf;
const SACK_BIT: u32 = 0x10;

const COOKIE_SENT: DropReason = DropReason("tcp: SYN answered by a cookie");
const COOKIE_BAD: DropReason = DropReason("tcp: no cookie of ours, or an old one");
const COOKIE_LATER: DropReason = DropReason("tcp: cookie that cannot be taken yet");
/// An event, with the value one.
const COOKIE_TAKEN: &str = "tcp: opened by a cookie";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use burstlane::addr::{Endpoint, Ip};
    use proptest::prelude::*;

    fn key(port: u16) -> FourTuple {
        FourTuple::new(Endpoint::new(Ip::v4([10, 0, 0, 1]), 80), Endpoint::new(Ip::v4([10, 0, 0, 2]), port))
    }

    fn half(irs: u32, offers: SynOptions, ts_recent: Option<u32>, now: Instant) -> HalfOpen {
        let (iss, irs) = (SeqNum(77), SeqNum(irs));
        let ecn = Agreed::default();
        HalfOpen { iss, irs, offers, ts_recent, since: now, until: now, window: 9, retries: 0, ecn }
    }

    /// The ACK of a peer that got `half`'s SYN-ACK, whose timestamp was `stamp`.
    fn third(half: &HalfOpen, stamp: u32) -> Header {
        Header {
            seq: half.irs + 1,
            ack: Some(half.iss + 1),
            payload_bytes: 0,
            timestamps: half.ts_recent.map(|value| Timestamps { value: value.wrapping_add(5), echo: stamp }),
            options: Options::None,
            window: 500,
            control: Control::None,
            push: false,
            urgent: 0,
            marks: crate::ecn::Marks::default(),
        }
    }

    fn seconds(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    prop_compose! {
        fn syn()(
            mss in MSS_MIN..=u16::MAX,
            window_scale in proptest::option::of(0..=WINDOW_SCALE_MAX),
            sack_permitted: bool,
            ts_recent: Option<u32>,
            irs: u32,
        ) -> (u32, SynOptions, Option<u32>) {
            (irs, SynOptions { mss: Some(mss), window_scale, sack_permitted }, ts_recent)
        }
    }

    proptest! {
        #[test]
        fn it_brings_back_what_the_syn_said((irs, offers, ts_recent) in syn(), clock: u32, at: u32, later in 0_u64..=60) {
            let (cookies, now) = (Cookies::new((1, 2), Ecn::Accept), seconds(at.into()));
            let baked = cookies.bake(&key(9), half(irs, offers, ts_recent, now));
            let header = third(&baked, stamp(clock, &baked.offers));
            let Returned::Fresh(back) = cookies.check(&key(9), &header, header.timestamps, now + Duration::from_secs(later))
            else { return Err(TestCaseError::fail("it is good for a minute")) };
            prop_assert_eq!((back.iss, back.irs, back.window), (baked.iss, SeqNum(irs), 500));
            prop_assert_eq!(back.ts_recent, ts_recent.map(|value| value.wrapping_add(5)));
            // The MSS is rounded down, to two fifths at least; what is below the default or above Ethernet's, to those.
            let (asked, kept) = (offers.mss.unwrap(), back.offers.mss.unwrap());
            prop_assert!(kept <= asked && (2 * u32::from(asked.min(1460)) <= 5 * u32::from(kept) || asked < MSS_DEFAULT_V4), "{} of {}", kept, asked);
            let others = ts_recent.map_or((None, false), |_| (offers.window_scale, offers.sack_permitted));
            prop_assert_eq!((back.offers.window_scale, back.offers.sack_permitted), others);
            prop_assert_eq!(back.offers, baked.offers);
        }

        #[test]
        fn it_is_good_while_fresh_and_never_again((irs, offers, ts_recent) in syn(), at: u32, later in 0_u64..100_000) {
            let (cookies, made) = (Cookies::new((1, 2), Ecn::Accept), seconds(at.into()));
            let now = made + Duration::from_secs(later);
            let baked = cookies.bake(&key(9), half(irs, offers, ts_recent, made));
            // A flood that goes on.
            cookies.bake(&key(10), half(irs, offers, ts_recent, now));
            let header = third(&baked, stamp(3, &baked.offers));
            let is_fresh = (u64::from(at) + later) / 60 - u64::from(at) / 60 <= 1;
            let judged = cookies.check(&key(9), &header, header.timestamps, now);
            prop_assert_eq!(matches!(judged, Returned::Fresh(_)), is_fresh, "{:?}", judged);
        }

        #[test]
        fn nothing_else_is_good((irs, offers, ts_recent) in syn(), what in 0..7, bit in 0_u32..32, at: u32) {
            let (cookies, now) = (Cookies::new((1, 2), Ecn::Accept), seconds(at.into()));
            let baked = cookies.bake(&key(9), half(irs, offers, ts_recent, now));
            let mut header = third(&baked, stamp(1 << 20, &baked.offers));
            let (mut jar, mut to) = (&cookies, key(9));
            let other = Cookies::new((1, 3), Ecn::Accept);
            other.note(now);
            match what {
                0 => header.seq = SeqNum(header.seq.0 ^ 1 << bit),
                1 => header.ack = Some(baked.iss + 1 + (1 << bit)),
                2 => to = key(10),
                3 => jar = &other,
                4 => match &mut header.timestamps {
                    Some(timestamps) => timestamps.echo ^= 1 << (bit % 5),
                    None => header.timestamps = Some(Timestamps { value: 1, echo: bit }),
                },
                5 => header.timestamps = if ts_recent.is_some() { None } else { Some(Timestamps { value: 1, echo: 0 }) },
                _ => header.ack = None,
            }
            let judged = jar.check(&to, &header, header.timestamps, now);
            prop_assert!(!matches!(judged, Returned::Fresh(_)), "{:?}", judged);
        }

        #[test]
        fn its_timestamp_is_never_ahead_of_the_clock(clock: u32, (_, offers, _) in syn()) {
            let stamp = stamp(clock, &offers);
            prop_assert!(clock.wrapping_sub(stamp) <= LOW_BITS_MASK);
            prop_assert_eq!(stamp & LOW_BITS_MASK, low_bits(&offers));
        }
    }

    #[test]
    fn nobody_gets_in_by_one_while_none_are_about() {
        let (maker, quiet, now) =
            (Cookies::new((1, 2), Ecn::Accept), Cookies::new((1, 2), Ecn::Accept), seconds(1_000));
        let baked = maker.bake(&key(9), half(5, SynOptions::default(), None, now));
        let header = third(&baked, 0);
        let check = |cookies: &Cookies, now| cookies.check(&key(9), &header, None, now);
        assert!(matches!(check(&maker, now), Returned::Fresh(_)));
        assert!(matches!(check(&quiet, now), Returned::NoneMade));
        assert!(matches!(check(&maker, seconds(1_122)), Returned::NoneMade));
        let text = Header { payload_bytes: 10, seq: header.seq + 1000, ..header };
        assert!(matches!(maker.check(&key(9), &text, None, now), Returned::Overtaken));
        assert!(matches!(maker.check(&key(9), &text, None, seconds(1_119)), Returned::Bad));
    }
}
