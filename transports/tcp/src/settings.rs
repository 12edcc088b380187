//! What an application may choose for one connection, otherwise the configuration's: [`Settings`], a copy that only
//! connections with a choice of their own have.

use burstlane::congestion::Controller;
use burstlane::net::TxInfo;
use burstlane::time::Duration;

use crate::Tcp;
use crate::config::{BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, Config, MSS_MIN};
use crate::conn::{Conn, Flag, Wish};

/// When a silent peer is asked whether it is still there (RFC 9293 3.8.4), and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first question, with nothing outstanding: at least 1 s; two hours by default (MUST-28).
    pub idle: Duration,
    /// From one question to the next: at least 1 s; 75 s by default.
    pub interval: Duration,
    /// Questions without an answer before the connection is given up: 2 to 127, for one lost answer must not end it
    /// (MUST-29); 9 by default.
    pub probes: u8,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 }
    }
}

impl KeepAlive {
    pub(crate) fn in_range(self) -> Self {
        let second = Duration::from_secs(1);
        Self {
            idle: self.idle.max(second),
            interval: self.interval.max(second),
            probes: self.probes.clamp(KEEP_ALIVE_PROBES_MIN, KEEP_ALIVE_PROBES_MAX),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) linger: Option<Duration>,
    pub(crate) send_buffer_bytes: u32,
    pub(crate) receive_buffer_bytes: u32,
    pub(crate) unsent_bytes_max: u32,
    pub(crate) pacing_max: Option<u64>,
    /// What is sent, not what is taken: the configuration has that.
    pub(crate) mss_max: u16,
    /// Six bits.
    pub(crate) dscp: u8,
    /// Instead of the configuration's.
    pub(crate) congestion: Option<Box<dyn Controller>>,
}

impl Settings {
    /// What `config`, in range, says.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            keep_alive: config.keep_alive,
            user_timeout: config.user_timeout,
            linger: config.linger,
            send_buffer_bytes: config.send_buffer_bytes,
            receive_buffer_bytes: config.receive_buffer_bytes,
            unsent_bytes_max: config.unsent_bytes_max,
            pacing_max: config.pacing_max,
            mss_max: u16::MAX,
            dscp: config.dscp,
            congestion: None,
        }
    }

    pub(crate) fn in_range(mut self) -> Self {
        self.keep_alive = self.keep_alive.map(KeepAlive::in_range);
        self.send_buffer_bytes = self.send_buffer_bytes.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        self.receive_buffer_bytes = self.receive_buffer_bytes.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        self.unsent_bytes_max = self.unsent_bytes_max.max(1);
        self.pacing_max = self.pacing_max.map(|rate| rate.max(PACING_MIN));
        self.mss_max = self.mss_max.max(MSS_MIN);
        self.dscp = self.dscp.min(DSCP_MAX);
        self
    }
}

impl Tcp {
    /// What holds for a connection.
    pub(crate) fn settings(&self, conn: &Conn) -> &Settings {
        self.cold.get_at(conn.cold).and_then(|cold| cold.settings.as_deref()).unwrap_or(&self.usual)
    }

    /// Changes what holds for a connection.
    pub(crate) fn choose(&mut self, conn: &Conn, change: impl FnOnce(&mut Settings)) {
        let usual = &self.usual;
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        let settings = cold.settings.get_or_insert_with(|| Box::new(usual.clone()));
        change(settings);
        **settings = std::mem::replace(&mut **settings, usual.clone()).in_range();
    }

    /// Received bytes that a connection holds at most for its application: the largest window.
    #[inline]
    pub(crate) fn receive_buffer_bytes(&self, conn: &Conn) -> u32 {
        if conn.wishes(Wish::Chosen) || conn.has(Flag::Tuned) {
            return self.own_receive_buffer_bytes(conn);
        }
        self.config.receive_buffer_bytes
    }

    /// How a connection's packets travel: as usual, or by a copy in `own`.
    /// RFC 9293: MUST-48, SHLD-21, SHLD-22.
    #[inline]
    pub(crate) fn tx_info<'i>(&self, conn: &Conn, usual: &'i TxInfo, own: &'i mut Option<TxInfo>) -> &'i TxInfo {
        if !conn.wishes(Wish::Chosen) {
            return usual;
        }
        own.insert(TxInfo { dscp: self.settings(conn).dscp, ..*usual })
    }
}

/// Bytes per second.
const PACING_MIN: u64 = 1000;
const KEEP_ALIVE_PROBES_MIN: u8 = 2;
const KEEP_ALIVE_PROBES_MAX: u8 = 127;
/// RFC 2474 3.
pub(crate) const DSCP_MAX: u8 = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_chosen_comes_into_range(
            buffers in any::<[u32; 2]>(), unsent_bytes_max: u32, mss_max: u16, dscp: u8, probes: u8, seconds: u64,
        ) {
            let pause = Duration::from_secs(seconds);
            let chosen = Settings {
                keep_alive: Some(KeepAlive { idle: pause, interval: pause, probes }),
                send_buffer_bytes: buffers[0],
                receive_buffer_bytes: buffers[1],
                unsent_bytes_max,
                mss_max,
                dscp,
                ..Settings::of(&Config::default())
            };
            let kept = chosen.in_range();
            prop_assert!(kept.send_buffer_bytes >= BUFFER_BYTES_MIN && kept.send_buffer_bytes <= BUFFER_BYTES_MAX);
            prop_assert!(kept.receive_buffer_bytes >= BUFFER_BYTES_MIN && kept.receive_buffer_bytes <= BUFFER_BYTES_MAX);
            prop_assert!(kept.unsent_bytes_max > 0 && kept.mss_max >= MSS_MIN && kept.dscp <= DSCP_MAX);
            let keep_alive = kept.keep_alive.unwrap();
            prop_assert!(keep_alive.probes >= 2 && keep_alive.idle >= Duration::from_secs(1));
            prop_assert_eq!(keep_alive.in_range(), keep_alive);
        }
    }
}
