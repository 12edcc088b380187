//! Large frames: a device that cuts takes up to 64 KiB at once, and one that merges gives as much. They go through a
//! transport without being taken apart: right bytes, acknowledged as the many packets that they stand for, read in place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::driver::ProtocolSet;
use burstlane::lane::EngineId;
use burstlane::observe::{Direction, FrameTap};
use burstlane::time::Instant;
use burstlane_sim::{EndConfig, LinkConfig};
use burstlane_spec::{Hosts, HostsConfig, Pattern, Transfer, TransferConfig};
use burstlane_tcp::{Config, Tcp};

/// What crossed an interface: frames out without payload, and the largest frame in.
#[derive(Default)]
struct Watch {
    in_frames: u64,
    in_largest: usize,
    out_bare: u64,
}

impl FrameTap for Watch {
    fn frame(&mut self, _: Instant, _: u16, direction: Direction, bytes: &[u8], _: Option<&str>) {
        match direction {
            Direction::In => {
                self.in_frames += 1;
                self.in_largest = self.in_largest.max(bytes.len());
            }
            Direction::Out if bytes.len() < 100 => self.out_bare += 1,
            Direction::Out => {}
        }
    }
}

fn hosts(seed: u64, loss: f64) -> (Hosts, [EngineId<Tcp>; 2], Rc<RefCell<Watch>>) {
    let link = LinkConfig {
        delay: Duration::from_millis(2),
        rate_bits_per_s: Some(2_000_000_000),
        loss,
        ..LinkConfig::default()
    };
    let offloads = ProtocolSet::NONE.with(6);
    let ends = [EndConfig::host(1).with_offloads(offloads), EndConfig::host(2).with_offloads(offloads)];
    let hosts = Hosts::new(HostsConfig { ends, ..HostsConfig::new(seed).with_link(&link) });
    let engines = hosts.add::<Tcp>(Config::default().with_buffers(1 << 20, 1 << 20));
    let watch: Rc<RefCell<Watch>> = Rc::default();
    hosts.members[1].host.lane().set_tap(Some(Box::new(watch.clone())));
    (hosts, engines, watch)
}

#[test]
fn a_coalesced_receive_carries_the_right_bytes_and_few_acknowledgements() {
    let bytes = 8_000_000;
    let (hosts, engines, watch) = hosts(1, 0.0);
    let config = TransferConfig { piece_bytes_max: 200_000, ..TransferConfig::new(1, [bytes, 0]) };
    Transfer::start(&hosts, engines, config).finish(&hosts, Duration::from_secs(60));
    let Watch { in_frames, in_largest, out_bare } = *watch.borrow();
    assert!(in_largest > 60_000, "the largest frame was of {in_largest} bytes");
    let packets = bytes / 1448;
    assert!(in_frames < packets / 8, "{in_frames} frames for {packets} packets");
    // RFC 9293 3.8.6.3 (SHLD-19): at least one for two full segments, and a frame of forty may have one answer.
    assert!(
        out_bare >= in_frames / 4 && out_bare <= in_frames + 20,
        "{out_bare} acknowledgements of {in_frames} frames"
    );
    hosts.assert_clean();
}

#[test]
fn large_frames_that_are_lost_are_repeated_and_the_bytes_are_right() {
    for seed in 0..5 {
        let (hosts, engines, watch) = hosts(seed, 0.03);
        let config = TransferConfig { piece_bytes_max: 200_000, ..TransferConfig::new(seed, [3_000_000, 1_000_000]) };
        Transfer::start(&hosts, engines, config).finish(&hosts, Duration::from_secs(600));
        assert!(watch.borrow().in_largest > 20_000);
        assert!(hosts.members[0].end.sent().lost > 0);
        hosts.assert_clean();
    }
}

#[test]
fn a_large_frame_is_read_where_it_lies() {
    let (hosts, engines, _) = hosts(3, 0.0);
    let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 1).unwrap();
    let client = hosts.connect(engines);
    let pattern = Pattern::new(3);
    let mut data = vec![0; 400_000];
    pattern.fill(0, &mut data);
    hosts.run_until(Duration::from_secs(1), || client.readiness().contains(burstlane::socket::Ready::OPEN));
    let (mut sent, mut received, mut largest, mut server) = (0, 0, 0, None);
    hosts.run_until(Duration::from_secs(60), || {
        if sent < data.len() {
            sent += client.write(&data[sent..]).unwrap_or(0);
        }
        server = server.take().or_else(|| listener.accept());
        if let Some(server) = &server {
            let looked = |piece: &[u8]| {
                largest = largest.max(piece.len());
                assert_eq!(pattern.mismatch(received, piece), None);
                piece.len()
            };
            received += server.read_with(looked).unwrap_or(0) as u64;
        }
        received as usize == data.len()
    });
    assert!(largest > 30_000, "the largest piece in place was of {largest} bytes");
    drop((client, server, listener));
    hosts.assert_clean();
}
