//! [`Personality`]: where RFCs leave a choice, whose choice it is. What peers and programs expect of Linux is often not what an
//! RFC says but what Linux does.

use arrayvec::ArrayVec;
use burstlane::socket::StreamIo;
use burstlane::time::{Duration, Instant};

use crate::conn::{Conn, Wish};
use crate::options::{SynOptions, Timestamps};
use crate::{Config, Tcp};

/// Whose habits a host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Personality {
    /// Our own.
    #[default]
    Own,
    /// Those of Linux: the options of a SYN in its order (MSS, SACK permitted, timestamps, NOP, window scale), a timestamp
    /// clock of 1 ms, no delay for the acknowledgements of the first [`QUICK_ACKS`] arrivals of data, PSH only behind several
    /// segments at once and where what was written ends, no smaller segments after timeouts.
    Linux,
}

impl Config {
    /// As Linux is without further settings: its [`Personality`], and its numbers of retries. The scale of windows is that
    /// for buffers that may grow to 6 MiB.
    #[must_use]
    pub fn linux() -> Self {
        Self {
            personality: Personality::Linux,
            receive_buffer_bytes: 64 * 1024,
            window_scale: Some(7),
            send_buffer_bytes: 4 << 20,
            syn_retries_max: 6,
            ..Self::default()
        }
    }
}

impl Tcp {
    /// A connection begins.
    #[cold]
    #[inline(never)]
    pub(crate) fn start_as_linux(&mut self, conn: &mut Conn) {
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.quick_acks = QUICK_ACKS;
            conn.wish(Wish::QuickAck, true);
        }
    }

    /// Whether so many bytes of text that begin at `start` ask the peer to hand out what it has: always, or only if they are
    /// several segments, or the end of what was written.
    #[inline]
    pub(crate) fn pushes(&self, conn: &Conn, io: &StreamIo, start: u64, bytes: usize) -> bool {
        let written = conn.snd_una() + io.tx.len() as u64;
        self.config.personality == Personality::Own
            || bytes > conn.segment_bytes() as usize
            || bytes > 0 && start + bytes as u64 >= written
    }
}

impl Personality {
    /// All options of a SYN or its answer, aligned to four bytes.
    pub(crate) fn syn_options(self, offers: SynOptions, timestamps: Option<Timestamps>) -> ArrayVec<u8, 24> {
        match self {
            Self::Own => offers.to_bytes_after(timestamps),
            Self::Linux => offers.to_bytes_of_linux(timestamps),
        }
    }
}

/// The clock of timestamps (RFC 7323 5.4: 1 ms to 1 s a tick). One offset for the host hides its uptime, and keeps timestamps
/// of successive connections in order (RFC 6191).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimestampClock {
    offset: u32,
    /// Ticks a nanosecond, in units of 2^-64: a product, because a division costs more and a shift makes no milliseconds.
    rate: u64,
}

impl TimestampClock {
    pub(crate) fn new(personality: Personality, offset: u32) -> Self {
        let nanos = match personality {
            // 2^20 ns: whole ticks are as long as they can be without being shorter than a millisecond.
            Personality::Own => 1 << 20,
            Personality::Linux => 1_000_000,
        };
        Self { offset, rate: u64::MAX / nanos + 1 }
    }

    #[inline]
    pub(crate) fn at(self, now: Instant) -> u32 {
        let ticks = ((u128::from(now.as_nanos()) * u128::from(self.rate)) >> 64) as u32;
        ticks.wrapping_add(self.offset)
    }

    /// A distance on the clock as a time.
    pub(crate) fn time(self, ticks: u32) -> Duration {
        Duration::from_nanos(u64::from(ticks) * (u64::MAX / self.rate + 1))
    }
}

/// Acknowledgements at the start of a connection that wait for nothing, when its personality is Linux: the peer's window
/// opens the faster (`TCP_MAX_QUICKACKS`).
pub const QUICK_ACKS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_whole_and_come_back_as_time() {
        for (personality, nanos) in [(Personality::Own, 1 << 20), (Personality::Linux, 1_000_000)] {
            let clock = TimestampClock::new(personality, 7);
            for count in [0, 1, 2, 1000, 86_400_000] {
                let at = Instant::from_nanos(u64::from(count) * nanos);
                assert_eq!(clock.at(at), count + 7, "{personality:?}");
                assert_eq!(clock.at(at.plus_nanos(nanos / 2)), count + 7, "{personality:?}");
                assert_eq!(clock.time(count), Duration::from_nanos(u64::from(count) * nanos));
            }
        }
    }

    #[test]
    fn the_options_of_a_syn_stand_in_the_order_of_linux() {
        let offers = SynOptions { mss: Some(1460), window_scale: Some(7), sack_permitted: true };
        let timestamps = Some(Timestamps { value: 0x0102_0304, echo: 0 });
        let bytes = |offers, timestamps| Personality::Linux.syn_options(offers, timestamps).to_vec();
        let mss = [2, 4, 5, 0xb4];
        let full = [&mss[..], &[4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0], &[1, 3, 3, 7]].concat();
        assert_eq!(bytes(offers, timestamps), full);
        assert_eq!(bytes(offers, None), [&mss[..], &[1, 1, 4, 2, 1, 3, 3, 7]].concat());
        let plain = SynOptions { sack_permitted: false, ..offers };
        assert_eq!(
            bytes(plain, timestamps),
            [&mss[..], &[1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0], &[1, 3, 3, 7]].concat()
        );
    }
}
