//! The two hosts of a case: a TAP device with the kernel at one end and ours at the other, made for the case and gone with it,
//! and the check that nothing was left behind on either.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use burstlane::addr::Ip;
use burstlane::driver::Driver;
use burstlane::frame::FramePool;
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::runtime::RealTime;
use burstlane::socket::Host;
use burstlane::toolkit::RtoConfig;
use burstlane_spec::decode::CheckedDriver;
use burstlane_tap::{Tap, TapConfig};
use burstlane_tcp::{Config, Tcp};

use crate::kernel;
use crate::life::Settings;
use crate::trace::Trace;

/// How the hosts are connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// Frames of up to 64 KiB cross, and unfinished checksums.
    pub(crate) large_frames: bool,
    /// Every thirty-third frame with TCP in it is lost, each way.
    pub(crate) lossy: bool,
}

/// Our host, and the kernel's end of the device.
pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) tcp: EngineId<Tcp>,
    time: RealTime,
    trace: Trace,
    pools: Vec<FramePool>,
    network: Network,
}

impl World {
    /// Makes the device and brings both ends up.
    pub(crate) fn new(network: Network, settings: &Settings) -> Self {
        let config = TapConfig { offloads: network.large_frames, mtu: Some(settings.mtu), ..TapConfig::new(DEVICE) };
        let tap = Tap::open(&config).unwrap();
        let pools = [Some(tap.pool()), tap.large_pool()].into_iter().flatten().cloned().collect();
        let mut route = settings.mss.map_or(String::new(), |mss| format!(" advmss {mss}"));
        if network.lossy {
            route += &format!(" rto_min {}ms", RTO_MIN.as_millis());
        }
        call(
            "ip",
            &["-batch", "-"],
            &format!(
                "link set {DEVICE} up\naddr add 10.77.0.1/24 dev {DEVICE}\naddr add fd77::1/64 dev {DEVICE} nodad\n\
             route add 10.77.0.2/32 dev {DEVICE}{route}\nroute add fd77::2/128 dev {DEVICE}{route}\n"
            ),
        );
        if network.lossy {
            call("nft", &["-f", "-"], LOSS);
        }
        let mut lane = Lane::new(LaneConfig::seeded(settings.seed));
        let addresses = vec![(Ip::from(OUR_ADDRESSES[0]), 24), (Ip::from(OUR_ADDRESSES[1]), 64)];
        let driver = CheckedDriver::boxed(Box::new(tap));
        lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
        let trace = Trace::default();
        lane.set_tap(Some(Box::new(trace.clone())));
        let tcp = lane.add(tcp_config(network, settings)).unwrap();
        let host = Host::new(lane);
        let time = RealTime::new(host.clone(), IDLE_MAX);
        Self { host, tcp, time, trace, pools, network }
    }

    /// One turn of our host; `app` says whether it did something.
    pub(crate) fn turn(&self, app: impl FnOnce() -> bool) {
        self.time.turn(app).unwrap();
    }

    /// Whether turns lasted longer than this since the beginning.
    pub(crate) fn is_older_than(&self, limit: Duration) -> bool {
        self.time.now().since(burstlane::time::Instant::ZERO) > limit
    }

    /// What is left on either host: nothing, when all connections are over and their last segments have left.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let lane = self.host.lane();
        let frames = self.pools.iter().map(FramePool::in_use).sum::<usize>();
        let ours = [
            ("flows", lane.flows()),
            ("remnants", lane.remnants()),
            ("bytes of buffers", lane.buffer_bytes()),
            ("frames", frames),
        ];
        let mut left: Vec<String> =
            ours.iter().filter(|(_, count)| *count > 0).map(|(what, n)| format!("{n} {what}")).collect();
        left.extend(kernel::sockets_left());
        left
    }

    /// What our host dropped, and the last segments: for people.
    pub(crate) fn describe(&self) -> String {
        let mut lane = self.host.lane();
        let mut drops = lane.net().counters().clone();
        drops.merge(lane.drops());
        let drops: Vec<String> = drops.iter().map(|(reason, count)| format!("{count} {}", reason.0)).collect();
        format!("  dropped: {}\n{}", drops.join(", "), self.trace.text())
    }

    /// Segments that were lost so far: towards the kernel, and from it.
    pub(crate) fn lost(&self) -> [u64; 2] {
        if !self.network.lossy {
            return [0; 2];
        }
        let rules = call("nft", &["list", "table", "netdev", "burstlane"], "");
        let mut counts = rules.lines().filter_map(|line| line.split_once("counter packets ")?.1.split(' ').next());
        [(); 2].map(|()| counts.next().and_then(|count| count.parse().ok()).expect("two rules count"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It outlives the device, whose successors have the same name.
        if self.network.lossy {
            call("nft", &["delete", "table", "netdev", "burstlane"], "");
        }
    }
}

/// Once for a test: what a namespace is to be like.
pub(crate) fn prepare_namespace() {
    let ids = fs::read_to_string("/proc/self/uid_map").unwrap();
    assert!(!ids.contains("4294967295"), "this makes devices and changes settings: run it behind `unshare -Urn`");
    // What one case measured must not change the next.
    fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1").unwrap();
    // Nobody waits in FIN-WAIT-2 for a reset that was lost.
    fs::write("/proc/sys/net/ipv4/tcp_fin_timeout", "1").unwrap();
}

fn tcp_config(network: Network, settings: &Settings) -> Config {
    let mut config = Config::default().with_buffers(settings.buffers, settings.buffers);
    config.nagle = settings.nagle;
    config.delayed_ack_timeout = Duration::from_millis(u64::from(settings.delayed_ack));
    config.mss_max = settings.mss.unwrap_or(u16::MAX);
    config.timestamps = settings.timestamps;
    config.sack = settings.sack;
    config.window_scaling = settings.window_scaling;
    config.time_wait_timeout = TIME_WAIT;
    if network.lossy {
        config.fin_wait_timeout = FIN_WAIT;
    }
    config.rto = RtoConfig { rto_min: RTO_MIN, initial_rto: INITIAL_RTO, ..RtoConfig::default() };
    config
}

/// Runs a command on the kernel's side with `input`, and gives what it printed.
fn call(program: &str, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {input}");
    String::from_utf8(output.stdout).unwrap()
}

/// The Ethernet address at which what the kernel sends is lost: as in [`LOSS`].
pub(crate) const NOWHERE: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
/// IPv4, IPv6.
pub(crate) const OUR_ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 2)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2)),
];
pub(crate) const KERNEL_ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 1)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1)),
];

const DEVICE: &str = "bl-life";
/// A step of an application is looked at so often, if nothing moves.
const IDLE_MAX: Duration = Duration::from_millis(1);
const TIME_WAIT: Duration = Duration::from_millis(20);
/// As the kernel's: a reset may be lost.
const FIN_WAIT: Duration = Duration::from_millis(300);
/// Short, so that what is lost is soon sent again, and a shut window is soon asked after.
const RTO_MIN: Duration = Duration::from_millis(50);
const INITIAL_RTO: Duration = Duration::from_millis(200);
/// What the kernel sends is lost behind its back, at [`NOWHERE`]: of a drop it would know, and only wait. Its own
/// SYNs are spared: it repeats them after a second, which nothing shortens.
const LOSS: &str = r#"
table netdev burstlane {
  chain incoming {
    type filter hook ingress device "bl-life" priority 0
    meta l4proto tcp numgen random mod 100 < 3 counter drop
  }
  chain outgoing {
    type filter hook egress device "bl-life" priority 0
    tcp flags & (syn | ack) == syn accept
    meta l4proto tcp numgen random mod 100 < 3 counter ether daddr set 02:00:00:00:00:99
  }
}
"#;
