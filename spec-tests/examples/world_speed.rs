//! How fast the simulated world runs: TCP in bulk between two hosts, and around a ring of eight on a switch, each with and
//! without faults. A packet is one frame that crosses one cable; the whole stack of both ends is in its price. On a machine
//! that has other things to do, the time on the core is what counts; it is known on Linux only.
//!
//! ```text
//! cargo run --release -p burstlane-spec --example world_speed [MEGABYTES] [NAME]
//! ```
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a measurement: what is wrong ends it")]

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use burstlane_sim::{Discipline, LinkConfig, RedConfig, Signal};
use burstlane_spec::Channel;
use burstlane_spec::world::WorldConfig;
use burstlane_tcp::{Config, Tcp};

fn main() {
    let megabytes: u64 = std::env::args().nth(1).map_or(200, |text| text.parse().unwrap());
    let only = std::env::args().nth(2).unwrap_or_default();
    println!(
        "{:<24} {:>10} {:>8} {:>8} {:>8} {:>14} {:>14}",
        "world", "packets", "virt s", "wall s", "core s", "packets/wall s", "packets/core s"
    );
    for (name, hosts, link) in [
        ("2 hosts", 2, clean()),
        ("2 hosts, faults", 2, faulty()),
        ("8 hosts, switch", 8, clean()),
        ("8 hosts, switch, faults", 8, faulty()),
    ] {
        if name.contains(&only) {
            run(name, hosts, link, megabytes * 1_000_000 / hosts as u64);
        }
    }
}

/// 10 Gbit/s and 100 us.
fn clean() -> LinkConfig {
    let delay = Duration::from_micros(100);
    LinkConfig { rate_bits_per_s: Some(10_000_000_000), delay, queue_frames_max: Some(512), ..LinkConfig::default() }
}

/// The same with everything that may go wrong, rarely enough that flows stay fast.
fn faulty() -> LinkConfig {
    let red = RedConfig {
        average_frames_min: 50.0,
        average_frames_max: 300.0,
        signal: Signal::MarkOrDrop,
        ..RedConfig::default()
    };
    LinkConfig {
        discipline: Discipline::Red(red),
        jitter: Duration::from_micros(10),
        jitter_reorders: true,
        loss: 0.0005,
        duplicate: 0.0005,
        reorder: 0.0005,
        reorder_delay: Duration::from_micros(50),
        corrupt: 0.0005,
        ..clean()
    }
}

/// Each host sends so many bytes to the next.
fn run(name: &str, hosts: usize, link: LinkConfig, bytes: u64) {
    let config = if hosts == 2 { WorldConfig::pair(1, link) } else { WorldConfig::star(1, hosts, link) };
    let world = config.build();
    let engines = world.add::<Tcp>(&Config::default());
    let received = Rc::new(Cell::new(0));
    for host in 0..hosts {
        let listener = world.listen(&engines, host, 80, 16).remove(0);
        let (received, mut from, mut room) = (received.clone(), None, vec![0; 65_536]);
        world.add_app((host, 0), move |_| {
            from = from.take().or_else(|| listener.accept());
            let Some(stream) = &from else { return false };
            let before = received.get();
            while let Ok(Some(bytes)) = stream.recv(&mut room) {
                received.set(received.get() + bytes as u64);
            }
            received.get() > before
        });
    }
    for host in 0..hosts {
        let stream = world.open::<Tcp>(&engines, (host, 0), world.at((host + 1) % hosts, 80));
        let (chunk, mut left) = (vec![7; 65_536], bytes);
        world.add_app((host, 0), move |_| {
            let before = left;
            while left > 0
                && let Ok(taken) = stream.write(&chunk[..left.min(65_536) as usize])
            {
                left -= taken as u64;
            }
            left < before
        });
    }
    let (started, on_core) = (Instant::now(), on_core());
    let total = bytes * hosts as u64;
    world.run_until(Duration::from_secs(3600), || received.get() == total);
    let wall = started.elapsed().as_secs_f64();
    let core = self::on_core().zip(on_core).map(|(now, then)| now - then);
    let (packets, virt) = (world.frames_crossed(), world.world.now().as_nanos() as f64 / 1e9);
    let rate = |seconds: f64| packets as f64 / seconds;
    let (core, core_rate) = (core.unwrap_or(f64::NAN), core.map_or(f64::NAN, rate));
    let wall_rate = rate(wall);
    println!("{name:<24} {packets:>10} {virt:>8.2} {wall:>8.2} {core:>8.2} {wall_rate:>14.0} {core_rate:>14.0}");
    world.assert_clean();
}

/// Seconds that this program was on a core.
fn on_core() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
