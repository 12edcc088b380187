//! Worlds of more than two hosts and more than one lane, and all that may go wrong there: what is sent arrives, nothing is
//! left behind, and the same seed gives the same bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::Endpoint;
use burstlane::socket::Listener;
use burstlane::time::Instant;
use burstlane::transport::Transport;
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_sim::{
    CoDelConfig, Damage, Delivery, Discipline, Fate, Half, LateConfig, LinkConfig, Passing, RedConfig, Signal,
    StepConfig,
};
use burstlane_spec::pattern::Dice;
use burstlane_spec::world::{HostConfig, Link, NetworkConfig, SimWorld, WorldConfig};
use burstlane_spec::{Face, Hosts, HostsConfig, Transfer, TransferConfig};
use burstlane_tcp::{Config, Tcp};

const LIMIT: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// 20 Mbit/s and some of everything; which discipline, the dice say.
fn bad_link(dice: &mut Dice) -> LinkConfig {
    let disciplines = [
        Discipline::DropTail,
        Discipline::Step(StepConfig { above_frames: 10, signal: Signal::MarkOrDrop }),
        Discipline::Red(RedConfig { signal: Signal::MarkOrDrop, ..RedConfig::default() }),
        Discipline::CoDel(CoDelConfig::default()),
    ];
    LinkConfig {
        rate_bits_per_s: Some(20_000_000),
        discipline: disciplines[dice.range(0, 3) as usize],
        queue_frames_max: Some(60),
        delay: Duration::from_micros(dice.range(10, 3000)),
        jitter: Duration::from_micros(dice.range(0, 500)),
        jitter_reorders: dice.chance(0.5),
        loss: 0.01,
        duplicate: 0.01,
        reorder: 0.01,
        reorder_delay: 5 * MS,
        corrupt: 0.01,
        ..LinkConfig::default()
    }
}

/// Each host sends to the next, from each of its lanes.
fn ring<T: Transport>(world: &SimWorld, config: &T::Config, bytes: u64) -> Vec<Transfer>
where
    T::Io: Face,
{
    let engines = world.add::<T>(config);
    let hosts = world.hosts.len();
    let lanes = world.hosts.iter().enumerate().flat_map(|(host, at)| (0..at.lanes.len()).map(move |lane| (host, lane)));
    let start = |(number, from): (usize, (usize, usize))| {
        let to = ((from.0 + 1) % hosts, 8000 + number as u16);
        world.transfer(&engines, from, to, TransferConfig::new(number as u64, [bytes, bytes / 2]))
    };
    lanes.enumerate().map(start).collect()
}

fn mixed(seed: u64) -> WorldConfig {
    let mut dice = Dice::new(seed);
    let mut config = WorldConfig::star(seed, 5, bad_link(&mut dice));
    if let NetworkConfig::Switch { ports, .. } = &mut config.networks[0] {
        ports
            .iter_mut()
            .for_each(|port| (port.up, port.down) = (bad_link(&mut dice).into(), bad_link(&mut dice).into()));
    }
    config.hosts[1].lanes = 3;
    config.hosts[2].lanes = 4;
    (config.hosts[2].clock_ppm, config.hosts[2].clock_ahead) = (50_000, 1000 * MS);
    config.hosts[3].clock_ppm = -50_000;
    config.hosts[4].late = Some(LateConfig::default());
    config
}

fn check_mixed<T: Transport>(seed: u64, config: &T::Config)
where
    T::Io: Face,
{
    let world = mixed(seed).build();
    let transfers = ring::<T>(&world, config, 30_000);
    world.finish(&transfers, LIMIT);
    assert!(world.switches[0].as_ref().unwrap().forwarded.get() > 500);
    world.assert_clean();
}

#[test]
fn tcp_arrives_on_every_lane_of_every_host_whatever_the_wires_do() {
    (0..20).for_each(|seed| check_mixed::<Tcp>(seed, &Config::default()));
}

#[test]
fn rudp_arrives_on_every_lane_of_every_host_whatever_the_wires_do() {
    (0..20).for_each(|seed| check_mixed::<Rudp>(seed, &RudpConfig::default()));
}

/// The capture of a run, in which everybody gets a turn in each step, or only who is due.
fn capture(seed: u64, wakes_all: bool) -> (Vec<u8>, Instant) {
    let world = mixed(seed).build();
    let capture = world.capture(Vec::new());
    let transfers = ring::<Tcp>(&world, &Config::default(), 20_000);
    let network = world.world.network().clone();
    world.run_until(LIMIT, || {
        if wakes_all {
            network.wake_all();
        }
        transfers.iter().all(Transfer::is_done)
    });
    let ended_at = world.world.now();
    world.assert_clean();
    (Rc::into_inner(capture).expect("the lanes are gone").into_inner().finish().unwrap(), ended_at)
}

#[test]
fn passing_over_who_is_not_due_changes_nothing_and_a_seed_repeats() {
    for seed in 0..6 {
        let some = capture(seed, false);
        assert!(some == capture(seed, true), "seed {seed}");
        assert!(some == capture(seed, false), "seed {seed}");
    }
    assert!(capture(1, false).0 != capture(2, false).0, "the seed decides over nothing");
}

/// Many flows from four lanes to four lanes: answers come home, and the server's lanes share the work.
#[test]
fn flows_of_all_lanes_find_home_and_spread_over_the_servers_lanes() {
    let mut config = WorldConfig::pair(3, LinkConfig { delay: MS, ..LinkConfig::default() });
    config.hosts.iter_mut().for_each(|host| host.lanes = 4);
    let world = config.build();
    let engines = world.add::<Tcp>(&Config::default());
    let listeners = world.listen(&engines, 1, 80, 64);
    let remotes: Vec<Endpoint> = vec![world.at(1, 80), world.at_v6(1, 80)];
    let streams: Vec<_> = (0..80).map(|n| world.open::<Tcp>(&engines, (0, n % 4), remotes[n / 4 % 2])).collect();
    let mut accepted = vec![vec![]; 4];
    world.run_until(LIMIT, || {
        for (lane, listener) in listeners.iter().enumerate() {
            while let Some(stream) = listener.accept() {
                accepted[lane].push(Rc::new(stream));
                world.world.network().wake_all();
            }
        }
        accepted.iter().map(Vec::len).sum::<usize>() == 80
    });
    assert!(accepted.iter().all(|lane| lane.len() > 8), "{:?}", accepted.iter().map(Vec::len).collect::<Vec<_>>());
    assert!(streams.iter().all(|stream| stream.ended().is_none()));
    assert!(world.hosts[0].interfaces[0].device.as_ref().unwrap().stats().learned > 0);
    drop((streams, accepted, listeners));
    world.assert_clean();
}

/// What a lane makes of a stranger's packet is its own affair, but nothing breaks, and nothing stays.
#[test]
fn missteered_frames_break_nothing_but_flows() {
    for seed in 0..10 {
        let mut config = WorldConfig::pair(seed, LinkConfig { delay: MS, ..LinkConfig::default() });
        config.hosts.iter_mut().for_each(|host| host.lanes = 3);
        let world = config.build();
        let transfers = ring::<Tcp>(&world, &Config::default(), 20_000);
        let device = world.hosts[1].interfaces[0].device.clone().unwrap();
        device.missteer(30..33);
        device.missteer_fraction(0.01, seed);
        // A flow of which an end was reset may wait for a peer that does not know: time decides.
        let _ = world.world.run_until(LIMIT, || transfers.iter().all(Transfer::is_over));
        assert!(device.stats().missteered > 0);
        drop(device);
        world.assert_clean();
    }
}

/// One after another, everything that a device can do wrong, to both ends of a transfer. It waits and goes on.
#[test]
fn a_transfer_survives_all_that_devices_do_wrong() {
    for lanes in [1, 2] {
        let mut config =
            WorldConfig::pair(1, LinkConfig { delay: MS, rate_bits_per_s: Some(10_000_000), ..Default::default() });
        config.hosts.iter_mut().for_each(|host| host.lanes = lanes);
        let world = config.build();
        let transfers = ring::<Tcp>(&world, &Config::default(), 2_000_000);
        let (first, second) = (&world.hosts[0], &world.hosts[1]);
        let queue = |host: usize| world.hosts[host].lanes[0].ends[0].clone();
        let progress = || transfers[0].outcomes()[1].received;
        let pause = |span: Duration| world.world.run_for(span).unwrap();
        pause(100 * MS);
        for step in 0..7 {
            let (before, until) = (progress(), world.world.now() + 300 * MS);
            match step {
                0 => queue(0).stall(Half::Receive, until),
                1 => queue(1).stall(Half::Transmit, until),
                2 => first.interfaces[0].end.stall(Half::Both, until),
                3 => second.interfaces[0].end.take_down(until),
                4 => queue(0).exhaust_pool(until),
                5 => second.clock.jump(world.world.now(), 1000 * MS),
                _ => queue(1).withhold_slots(500),
            }
            pause(400 * MS);
            let during = progress() - before;
            // A host without memory, or with another time, goes on somehow.
            assert!(step > 3 || during < 300_000, "step {step}: {during} bytes through a device that does not work");
            pause(3000 * MS);
        }
        queue(1).withhold_slots(0);
        world.finish(&transfers, LIMIT);
        world.assert_clean();
    }
}

/// Two networks, one host on both, and a model of the test's own.
#[test]
fn a_host_is_on_as_many_networks_as_name_it() {
    let mark = |_: Instant, _: &Passing<'_>| {
        Fate::Arrives([Delivery { delay: MS, damage: Damage::MarkCongestion }].into_iter().collect())
    };
    let link: Link = LinkConfig { delay: MS, ..LinkConfig::default() }.into();
    let model = Link::Model(Box::new(mark));
    let cable = |hosts, links| NetworkConfig::Cable { hosts, links };
    let config = WorldConfig {
        seed: 1,
        hosts: vec![HostConfig::default(); 3],
        networks: vec![cable([0, 1], [link.clone(), link]), cable([2, 0], [model.clone(), model])],
    };
    let world = config.build();
    let engines = world.add::<Tcp>(&Config::default());
    let listeners: Vec<_> = [1, 2].map(|host| world.listen(&engines, host, 80, 4)).into_iter().flatten().collect();
    let [to_1, to_2] = [1, 2].map(|host| world.open::<Tcp>(&engines, (0, 0), world.at(host, 80)));
    let mut accepted = vec![];
    world.run_until(LIMIT, || {
        accepted.extend(listeners.iter().filter_map(Listener::accept));
        accepted.len() == 2
    });
    assert!(to_1.ended().is_none() && to_2.ended().is_none());
    assert_eq!(world.hosts[0].interfaces.len(), 2);
    drop((to_1, to_2, accepted, listeners));
    world.assert_clean();
}

/// The wait in a bottleneck's queue, seen by who sends as fast as it may: CoDel's is a fraction of drop-tail's.
#[test]
fn codel_keeps_the_wait_of_a_bulk_transfer_short() {
    let wait = |discipline| {
        let bottleneck = LinkConfig {
            rate_bits_per_s: Some(10_000_000),
            discipline,
            queue_frames_max: Some(400),
            delay: 10 * MS,
            ..LinkConfig::default()
        };
        let world = WorldConfig::pair(1, bottleneck).build();
        let engines = world.add::<Tcp>(&Config::default());
        let transfers = [world.transfer(&engines, (0, 0), (1, 80), TransferConfig::new(1, [8_000_000, 0]))];
        let (mut samples, mut longest) = (0, 0);
        world.run_until(LIMIT, || {
            samples += 1;
            if world.world.now() > Instant::ZERO + 3000 * MS {
                longest = longest.max(world.world.network().in_flight());
            }
            transfers[0].is_done()
        });
        assert!(samples > 1000);
        world.assert_clean();
        longest
    };
    let (drop_tail, codel) = (wait(Discipline::DropTail), wait(Discipline::CoDel(CoDelConfig::default())));
    assert!(2 * codel < drop_tail, "at most {codel} frames under way with CoDel, {drop_tail} without");
}

/// Clocks that run apart by a tenth, or an hour at once, are nobody's affair but their hosts'.
#[test]
fn two_hosts_need_not_agree_on_the_time() {
    for (seed, clock_ppm) in [[100_000, 0], [0, -100_000], [200, -200]].into_iter().enumerate() {
        let link = bad_link(&mut Dice::new(seed as u64));
        let hosts = Hosts::new(HostsConfig { clock_ppm, ..HostsConfig::new(seed as u64).with_link(&link) });
        let engines = hosts.add::<Tcp>(Config::default());
        let transfer = Transfer::start(&hosts, engines, TransferConfig::new(seed as u64, [100_000, 100_000]));
        hosts.world.run_for(50 * MS).unwrap();
        assert!(!transfer.is_over());
        let true_time = hosts.world.now();
        hosts.members[1].clock.jump(true_time, Duration::from_secs(seed as u64));
        hosts.world.run_for(MS).unwrap();
        let shown = hosts.members.each_ref().map(|member| member.host.now());
        let ahead = shown[1].as_nanos() as i64 - shown[0].as_nanos() as i64;
        let skew = i64::from(clock_ppm[1] - clock_ppm[0]) * 51;
        assert_eq!(ahead, seed as i64 * 1_000_000_000 + skew, "51 ms and {clock_ppm:?}");
        transfer.finish(&hosts, LIMIT);
        hosts.assert_clean();
    }
}
