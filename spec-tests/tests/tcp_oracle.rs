//! TCP under its oracle: random transfers over faulty links, with numbers that wrap in half of them. Whatever the link
//! does, no segment may say what is not true. The checks themselves are tested beside the oracle, with wrong traces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use burstlane::driver::ProtocolSet;
use burstlane::observe::{Direction, FrameTap};
use burstlane::socket::Stream;
use burstlane::time::Instant;
use burstlane_sim::{EndConfig, LinkConfig};
use burstlane_spec::oracle::segment::WireSegment;
use burstlane_spec::oracle::{OracleTap, TcpOracle};
use burstlane_spec::packets::SYN;
use burstlane_spec::pattern::Dice;
use burstlane_spec::{Hosts, HostsConfig, Transfer, TransferConfig};
use burstlane_tcp::{Config, PROTOCOL, Tcp};

/// A run: everything about it is drawn from its seed.
struct Run {
    seed: u64,
    hosts: HostsConfig,
    tcp: Config,
    transfer: TransferConfig,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let link = LinkConfig {
            delay: Duration::from_millis(dice.range(0, 60)),
            jitter: Duration::from_millis(dice.range(0, 10)),
            jitter_reorders: dice.chance(0.5),
            loss: dice.range(0, 20) as f64 / 100.0,
            duplicate: dice.range(0, 5) as f64 / 100.0,
            reorder: dice.range(0, 10) as f64 / 100.0,
            reorder_delay: Duration::from_millis(dice.range(1, 80)),
            corrupt: dice.range(0, 3) as f64 / 100.0,
            ..LinkConfig::default()
        };
        let mut tcp = Config::default().with_buffers(256 * 1024, 1 << dice.range(12, 19));
        tcp.sack = dice.chance(0.8);
        tcp.timestamps = dice.chance(0.8);
        tcp.window_scaling = dice.chance(0.8);
        tcp.nagle = dice.chance(0.5);
        let bytes = [dice.range(0, 150_000), dice.range(0, 60_000)];
        let transfer = TransferConfig { has_lazy_readers: dice.chance(0.3), ..TransferConfig::new(seed, bytes) };
        let mut hosts = HostsConfig::new(seed).with_link(&link);
        hosts.is_v6 = dice.chance(0.2);
        Self { seed, hosts, tcp, transfer }
    }

    fn hosts(&self, start: Duration) -> Hosts {
        let hosts = Hosts::new(self.hosts.clone());
        hosts.world.network().advance(Instant::ZERO + start);
        hosts
    }

    /// The time at which this run must begin so that the numbers of `side` wrap soon after it opened.
    fn start_before_wrap(&self, side: usize) -> Duration {
        let hosts = self.hosts(Duration::ZERO);
        let engines = hosts.add::<Tcp>(self.tcp.clone());
        let isn = Rc::new(Cell::new(None));
        hosts.members[side].host.lane().set_tap(Some(Box::new(FirstSyn(isn.clone()))));
        let _listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 1).unwrap();
        let _stream = hosts.connect(engines);
        hosts.run_until(Duration::from_secs(300), || isn.get().is_some());
        // RFC 9293 3.4.1: one every four microseconds. Enough are left for what a bad link makes of the handshake.
        ISN_TICK * (u32::MAX - NUMBERS_LEFT).wrapping_sub(isn.get().unwrap())
    }

    /// Runs it, and returns the oracle.
    fn judged(&self, start: Duration, oracle: TcpOracle) -> TcpOracle {
        let hosts = self.hosts(start);
        let engines = hosts.add::<Tcp>(self.tcp.clone());
        let oracle = Rc::new(RefCell::new(oracle));
        OracleTap::attach(&oracle, [&hosts.members[0].host, &hosts.members[1].host]);
        let transfer = Transfer::start(&hosts, engines, self.transfer);
        if let Err(error) = hosts.world.run_until(LIMIT, || transfer.is_over()) {
            panic!("seed {}: {error}; {}", self.seed, hosts.state());
        }
        hosts.assert_clean();
        Rc::into_inner(oracle).expect("the lanes are gone").into_inner()
    }

    fn check(&self, start: Duration) -> u64 {
        let oracle = self.judged(start, TcpOracle::new());
        assert_eq!(oracle.abandoned(), 0, "seed {}", self.seed);
        let (segments, found) = (oracle.segments(), oracle.finish());
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "seed {}:\n{}", self.seed, found.join("\n"));
        segments
    }
}

/// The initial number of the first SYN that leaves.
struct FirstSyn(Rc<Cell<Option<u32>>>);

impl FrameTap for FirstSyn {
    fn frame(&mut self, _: Instant, _: u16, direction: Direction, bytes: &[u8], _: Option<&str>) {
        let Some(segment) = WireSegment::read(bytes).filter(|_| direction == Direction::Out) else { return };
        if segment.header.has(SYN) && self.0.get().is_none() {
            self.0.set(Some(segment.header.seq));
        }
    }
}

/// More with `TCP_SEEDS`; with `TCP_SEED` only one of them.
fn seeds(usual: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    number("TCP_SEED").map_or_else(|| (0..number("TCP_SEEDS").unwrap_or(usual)).collect(), |seed| vec![seed])
}

// cites: MUST-18, MUST-19, MUST-36, SHLD-14, SHLD-30
#[test]
fn no_segment_says_what_is_not_true() {
    let mut segments = 0;
    for seed in seeds(60) {
        let run = Run::new(seed);
        let start = match seed % 4 {
            0 => run.start_before_wrap(0),
            1 => run.start_before_wrap(1),
            _ => Duration::ZERO,
        };
        segments += run.check(start);
    }
    assert!(segments > 1000, "only {segments} segments: the transfers did not take place");
}

/// One pair of ports, one connection after another, ended in every way and often too early, while packets of the last are still
/// on their way: what belongs to which must not confuse the oracle, nor TCP. Some of them open from both sides at once.
#[test]
fn one_pair_of_ports_has_many_lives() {
    let (mut segments, mut abandoned) = (0, 0);
    for seed in seeds(30) {
        let mut dice = Dice::new(seed);
        let mut run = Run::new(seed);
        run.tcp.time_wait_timeout = Duration::from_millis(dice.range(100, 3000));
        let hosts = run.hosts(Duration::ZERO);
        let engines = hosts.add::<Tcp>(run.tcp.clone());
        let oracle = Rc::new(RefCell::new(TcpOracle::new()));
        OracleTap::attach(&oracle, [&hosts.members[0].host, &hosts.members[1].host]);
        let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 16).unwrap();
        let mut open: Vec<Option<Stream<Tcp>>> = vec![];
        for _ in 0..12 {
            let [here, there] = [hosts.at(0, 7000), hosts.remote()];
            open.push(hosts.members[0].host.connect_from(engines[0], here, there).ok());
            if dice.chance(0.2) {
                open.push(hosts.members[1].host.connect_from(engines[1], there, here).ok());
            }
            for _ in 0..dice.range(1, 6) {
                hosts.world.run_for(Duration::from_millis(dice.range(0, 400))).unwrap();
                open.push(listener.accept());
                open.iter().flatten().for_each(|stream| use_somehow(stream, &mut dice));
            }
            // Some are let go with text unread, some stay.
            open.retain(|_| dice.chance(0.3));
        }
        drop((open, listener));
        hosts.assert_clean();
        let oracle = Rc::into_inner(oracle).expect("the lanes are gone").into_inner();
        (segments, abandoned) = (segments + oracle.segments(), abandoned + oracle.abandoned());
        let found: Vec<String> = oracle.finish().iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "seed {seed}:\n{}", found.join("\n"));
    }
    assert!(segments > 2000, "only {segments} segments: the connections did not take place");
    assert!(abandoned * 500 < segments, "{abandoned} connections were not judged to the end, of {segments} segments");
}

/// Writes, reads, finishes or aborts; what a socket says to that does not matter.
fn use_somehow(stream: &Stream<Tcp>, dice: &mut Dice) {
    let mut buffer = [0; 5000];
    match dice.range(0, 9) {
        0..=4 => drop(stream.write(&[7; 9000][..dice.range(1, 9000) as usize])),
        5 | 6 => drop(stream.read(&mut buffer)),
        7 => stream.shutdown(),
        8 if dice.chance(0.3) => stream.abort(),
        _ => {}
    }
}

/// Devices that cut and merge: what is left to judge is right, too.
#[test]
fn large_segments_say_nothing_untrue_either() {
    for seed in 0..8 {
        let mut run = Run::new(seed);
        // Such a frame shares one fate, and a device that finishes checksums leaves none to find damage by.
        run.hosts.links.iter_mut().for_each(|link| link.corrupt = 0.0);
        run.hosts.ends = [1, 2].map(|n| EndConfig::host(n).with_offloads(ProtocolSet::NONE.with(PROTOCOL)));
        let oracle = run.judged(Duration::ZERO, TcpOracle::new().with_offloads());
        assert_eq!(oracle.finish(), [], "seed {seed}");
    }
}

const LIMIT: Duration = Duration::from_secs(7200);
const ISN_TICK: Duration = Duration::from_micros(4);
const NUMBERS_LEFT: u32 = 20_000;
