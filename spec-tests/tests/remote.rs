//! A stream's end on another thread: two lanes on one thread, stepped through virtual time, and the travelling end used
//! from a thread of its own, by the rings alone. Real threads, so their order differs from run to run; the bytes may not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::io::{ErrorKind, Read, Write};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use burstlane::socket::{Ready, RemotePort, RemoteStream, Stream};
use burstlane_sim::LinkConfig;
use burstlane_spec::{Hosts, HostsConfig, Pattern};
use burstlane_tcp::{Config, Tcp};

/// Two hosts, the server's stream split in two, and the client's stream.
fn split(seed: u64, ring_bytes: usize) -> (Hosts, Stream<Tcp>, RemoteStream, RemotePort<Tcp>) {
    let link = LinkConfig { delay: Duration::from_micros(300), loss: 0.01, ..LinkConfig::default() };
    let hosts = Hosts::new(HostsConfig::new(seed).with_link(&link));
    let engines = hosts.add::<Tcp>(Config::default());
    let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 4).unwrap();
    let client = hosts.connect(engines);
    let server = listener.accept_blocking().unwrap();
    let (remote, port) = RemoteStream::split(server, ring_bytes);
    (hosts, client, remote, port)
}

/// Steps both lanes until `done`, letting the other thread run in between. Bounded by the steps.
fn drive(hosts: &Hosts, mut port: Option<RemotePort<Tcp>>, mut done: impl FnMut(bool) -> bool) {
    for _ in 0..STEPS_MAX {
        let over = port.as_mut().is_none_or(|port| !port.serve());
        if over {
            port = None;
        }
        hosts.world.run_for(Duration::from_millis(1)).unwrap();
        if done(over) {
            return;
        }
        thread::yield_now();
    }
    panic!("not over after {STEPS_MAX} steps; {}", hosts.state());
}

/// What the other thread does: sends back what it gets, and at the end what it counted.
fn echo(mut remote: RemoteStream) -> JoinHandle<u64> {
    thread::spawn(move || {
        let mut buf = [0; 3000];
        let mut total = 0;
        loop {
            let bytes = remote.read(&mut buf).unwrap();
            if bytes == 0 {
                return total;
            }
            remote.write_all(&buf[..bytes]).unwrap();
            total += bytes as u64;
        }
    })
}

#[test]
fn a_thread_at_the_end_of_a_ring_gets_and_sends_the_right_bytes_and_its_end() {
    for (seed, ring_bytes) in [(1, 1), (2, 100), (3, 64 << 10)] {
        let bytes = if ring_bytes == 1 { 3_000 } else { 300_000 };
        let (hosts, client, remote, port) = split(seed, ring_bytes);
        let app = echo(remote);
        let pattern = Pattern::new(seed);
        let (mut sent, mut received, mut ended) = (0_u64, 0_u64, false);
        let mut buf = vec![0; 8000];
        drive(&hosts, Some(port), |over| {
            while sent < bytes {
                let piece = &mut buf[..(bytes - sent).min(8000) as usize];
                pattern.fill(sent, piece);
                let Ok(taken) = client.write(piece) else { break };
                sent += taken as u64;
            }
            if sent == bytes {
                client.shutdown();
            }
            while let Ok(taken) = client.read(&mut buf) {
                ended |= taken == 0;
                if taken == 0 {
                    break;
                }
                assert_eq!(pattern.mismatch(received, &buf[..taken]), None, "ring of {ring_bytes}");
                received += taken as u64;
            }
            ended && over
        });
        assert_eq!((received, app.join().unwrap()), (bytes, bytes));
        drop(client);
        hosts.assert_clean();
    }
}

#[test]
fn dropping_the_travelling_end_sends_what_it_wrote_and_closes() {
    let (hosts, client, mut remote, port) = split(4, 1000);
    let app = thread::spawn(move || remote.write_all(&[7; 5_000]).unwrap());
    let (mut got, mut ended) = (0, false);
    let mut buf = [0; 700];
    drive(&hosts, Some(port), |_| {
        while let Ok(bytes) = client.read(&mut buf) {
            ended |= bytes == 0;
            got += bytes;
            if bytes == 0 {
                break;
            }
        }
        ended
    });
    app.join().unwrap();
    assert_eq!(got, 5_000);
    drop(client);
    hosts.assert_clean();
}

/// The peer goes on sending, nobody reads: the lane's end does not stay for ever.
#[test]
fn a_dropped_travelling_end_frees_the_stream_though_the_peer_still_sends() {
    let (hosts, client, remote, port) = split(5, 100);
    drop(remote);
    let mut port = Some(port);
    for _ in 0..2_000 {
        let _ = client.write(&[1; 1000]);
        if port.as_mut().is_some_and(|port| !port.serve()) {
            port = None;
        }
        hosts.world.run_for(Duration::from_millis(1)).unwrap();
    }
    assert!(port.is_none(), "the lane's end is still served");
    drop(client);
    hosts.assert_clean();
}

#[test]
fn a_reset_reaches_the_other_thread_behind_the_bytes_before_it() {
    let (hosts, client, mut remote, port) = split(6, 1000);
    let app = thread::spawn(move || {
        let mut got = Vec::new();
        let error = remote.read_to_end(&mut got).unwrap_err();
        (got.len(), error.kind(), remote.write_all(&[1; 5_000]).unwrap_err().kind())
    });
    let (mut step, mut port_is_over) = (0, false);
    client.write(&[1; 2_500]).unwrap();
    drive(&hosts, Some(port), |over| {
        step += 1;
        if step == 50 {
            client.abort();
        }
        port_is_over |= over;
        port_is_over && app.is_finished()
    });
    assert_eq!(app.join().unwrap(), (2_500, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe));
    drop(client);
    hosts.assert_clean();
}

/// The lane goes away first: its program ended, or gave the stream up.
#[test]
fn a_lane_that_lets_go_is_an_error_for_the_other_thread_not_a_hang() {
    let (hosts, client, mut remote, port) = split(7, 1000);
    hosts.run_until(Duration::from_secs(1), || client.readiness().contains(Ready::OPEN));
    drop(port);
    assert_eq!(remote.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(remote.try_write(&[0; 8]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    drop((client, remote));
    hosts.assert_clean();
}

/// Milliseconds of virtual time, and as many chances for the other thread.
const STEPS_MAX: u32 = 3_000_000;
