//! What a stack is made from: the flags that packetdrill hands on, and the namespace's sysctls, which scripts set before they
//! begin. A sysctl that cannot be read has Linux's default.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use burstlane::addr::Ip;
use burstlane::congestion::by_name;
use burstlane::time::Duration;
use burstlane_tcp::{Config, Ecn, KeepAlive};

/// How to make a stack.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The host's addresses.
    pub(crate) addresses: Vec<Ip>,
    /// Largest IP packet, bytes.
    pub(crate) mtu: u32,
    pub(crate) config: Config,
    pub(crate) sysctls: Sysctls,
}

impl Setup {
    /// From flags such as `local=192.168.0.1,local=fd00::1,mtu=1500,sysctls=/proc/sys/net/ipv4`.
    pub(crate) fn read(flags: &str) -> Self {
        let flags = || flags.split(',').filter_map(|flag| flag.trim().split_once('='));
        let folder = flags().find(|(key, _)| *key == "sysctls").map_or(SYSCTLS, |(_, folder)| folder);
        let sysctls = Sysctls(folder.into());
        let mut setup = Self { addresses: vec![], mtu: MTU, config: sysctls.config(), sysctls };
        for (key, value) in flags() {
            match key {
                "local" => setup.addresses.extend(value.parse::<IpAddr>().map(Ip::from)),
                "mtu" => setup.mtu = value.parse().unwrap_or(MTU).clamp(MTU_MIN, MTU_MAX),
                // Where the peer is does not matter: everybody is a neighbour.
                _ => {}
            }
        }
        if setup.addresses.is_empty() {
            setup.addresses = LOCAL.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()).map(Ip::from).collect();
        }
        setup
    }
}

/// Where the sysctls of TCP are; a folder that is not there has none.
#[derive(Clone)]
pub(crate) struct Sysctls(PathBuf);

impl Sysctls {
    fn config(&self) -> Config {
        let mut config = Config::linux();
        config.timestamps = self.is_on("tcp_timestamps");
        config.sack = self.is_on("tcp_sack");
        config.window_scaling = self.is_on("tcp_window_scaling");
        config.ecn = match self.number("tcp_ecn", 0) {
            Some(0) => Ecn::Off,
            Some(1) => Ecn::Classic,
            Some(3..=5) => Ecn::Accurate,
            _ => config.ecn,
        };
        // Half of it is for payload (tcp_adv_win_scale).
        config.receive_buffer_bytes = self.number("tcp_rmem", 1).unwrap_or(RECEIVE_BYTES) / 2;
        config.window_scale = Some(scale(self.number("tcp_rmem", 2).unwrap_or(RECEIVE_BYTES_MAX)));
        config.send_buffer_bytes = self.number("tcp_wmem", 2).unwrap_or(config.send_buffer_bytes);
        config.syn_retries_max = self.number("tcp_syn_retries", 0).unwrap_or(config.syn_retries_max);
        config.retries_max = self.number("tcp_retries2", 0).unwrap_or(config.retries_max);
        config.fin_wait_timeout = self.seconds("tcp_fin_timeout", config.fin_wait_timeout);
        let congestion = self.text("tcp_congestion_control");
        if let Some(controller) = by_name(controller_name(congestion.trim())) {
            config.congestion = controller;
        }
        config
    }

    /// The questions to silent peers of a socket that asks for them and says nothing else.
    pub(crate) fn keep_alive(&self) -> KeepAlive {
        let usual = KeepAlive::default();
        KeepAlive {
            idle: self.seconds("tcp_keepalive_time", usual.idle),
            interval: self.seconds("tcp_keepalive_intvl", usual.interval),
            probes: self.number("tcp_keepalive_probes", 0).unwrap_or(usual.probes),
        }
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    /// The number at a place of the line.
    fn number<T: FromStr>(&self, name: &str, at: usize) -> Option<T> {
        self.text(name).split_whitespace().nth(at)?.parse().ok()
    }

    fn is_on(&self, name: &str) -> bool {
        self.number(name, 0) != Some(0)
    }

    fn seconds(&self, name: &str, usual: Duration) -> Duration {
        self.number(name, 0).map_or(usual, Duration::from_secs)
    }
}

/// What we call the controller that Linux has under this name.
pub(crate) fn controller_name(linux: &str) -> &str {
    if linux == "reno" { "newreno" } else { linux }
}

/// The shift that Linux offers for a buffer that may grow to so many bytes.
fn scale(bytes_max: u32) -> u8 {
    (bytes_max.max(1).ilog2() as u8).saturating_sub(15).min(14)
}

/// Where Linux has them.
const SYSCTLS: &str = "/proc/sys/net/ipv4";
/// Addresses that packetdrill itself takes when it is told none.
const LOCAL: [&str; 2] = ["192.168.0.1", "fd3d:fa7b:d17d::1"];
const MTU: u32 = 1500;
const MTU_MIN: u32 = 576;
const MTU_MAX: u32 = 9000;
const RECEIVE_BYTES: u32 = 131_072;
const RECEIVE_BYTES_MAX: u32 = 6 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_that_of_linux() {
        assert_eq!([scale(65_535), scale(65_536), scale(6 << 20), scale(15 << 20), scale(u32::MAX)], [0, 1, 7, 8, 14]);
    }

    #[test]
    fn flags_and_missing_sysctls() {
        let setup = Setup::read("local=10.0.0.1,mtu=1400,remote=10.0.0.2,sysctls=/nowhere");
        assert_eq!((setup.addresses, setup.mtu), (vec![Ip::v4([10, 0, 0, 1])], 1400));
        assert_eq!(setup.config.window_scale, Some(7));
        assert_eq!(Setup::read("").addresses.len(), 2);
    }
}
