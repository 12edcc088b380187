//! Applications that let go early, on either side or both: everything ends, and nothing stays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::lane::EngineId;
use burstlane::socket::Ready;
use burstlane::transport::Transport;
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_sim::LinkConfig;
use burstlane_spec::{Channel, Face, Hosts, HostsConfig};
use burstlane_tcp::Tcp;
use stop_and_wait::StopAndWait;

fn hosts<T: Transport>(seed: u64, loss: f64, config: T::Config) -> (Hosts, [EngineId<T>; 2]) {
    let link = LinkConfig { delay: Duration::from_millis(5), loss, ..LinkConfig::default() };
    let hosts = Hosts::new(HostsConfig::new(seed).with_link(&link));
    let engines = hosts.add(config);
    (hosts, engines)
}

/// The client says something and is gone; the server hears it and the end, and then goes, too.
fn client_goes_at_once<T: Transport>(seed: u64, loss: f64, config: T::Config)
where
    T::Io: Face,
{
    let (hosts, engines) = hosts::<T>(seed, loss, config);
    let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 4).unwrap();
    let client = hosts.connect(engines);
    client.send(&[7; 500]).unwrap();
    hosts.run_until(LIMIT, || client.readiness().contains(Ready::OPEN));
    drop(client);
    let (mut server, mut got) = (None, vec![]);
    hosts.run_until(LIMIT, || {
        let flow = if server.is_none() { listener.accept_flow() } else { None };
        server = server.take().or(flow.map(|flow| T::Io::handle(&hosts.members[1].host, engines[1], flow)));
        let Some(server) = &server else { return false };
        let mut buf = [0; 1000];
        loop {
            match server.recv(&mut buf) {
                Ok(Some(bytes)) => got.extend_from_slice(&buf[..bytes]),
                Ok(None) => return true,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{}, seed {seed}: {error}", T::NAME),
            }
        }
    });
    assert_eq!(got, [7; 500], "{}, seed {seed}", T::NAME);
    let server = server.unwrap();
    server.shutdown();
    // The server's end arrives at a host where nobody looks any more: that is no error.
    let over = hosts.world.run_until(LIMIT, || server.ended().is_some());
    assert!(over.is_ok(), "{}, seed {seed}: {over:?}; {}", T::NAME, hosts.state());
    assert_eq!(server.ended(), Some(None), "{}, seed {seed}", T::NAME);
    drop((server, listener));
    hosts.assert_clean();
}

/// Both go at once, whatever is under way; or one of them falls silent for ever at that moment.
fn both_go_at_once<T: Transport>(seed: u64, config: T::Config, is_cut: bool)
where
    T::Io: Face,
{
    let (hosts, engines) = hosts::<T>(seed, 0.1, config);
    let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 4).unwrap();
    let client = hosts.connect(engines);
    client.send(&[1; 1000]).unwrap();
    let mut server = None;
    hosts.run_until(LIMIT, || {
        let flow = listener.accept_flow();
        server = flow.map(|flow| T::Io::handle(&hosts.members[1].host, engines[1], flow));
        server.is_some()
    });
    let server = server.unwrap();
    server.send(&[2; 1000]).unwrap();
    hosts.world.run_for(Duration::from_millis(seed % 30)).unwrap();
    if is_cut {
        let lost = LinkConfig { loss: 1.0, ..LinkConfig::default() };
        for member in &hosts.members {
            member.end.set_model(burstlane_spec::link::SparingLink::boxed(&lost, 1));
        }
    }
    drop((client, server, listener));
    hosts.assert_clean();
}

fn check<T: Transport>(config: &T::Config)
where
    T::Io: Face,
{
    client_goes_at_once::<T>(0, 0.0, config.clone());
    for seed in 0..30 {
        client_goes_at_once::<T>(seed, 0.1, config.clone());
        both_go_at_once::<T>(seed, config.clone(), false);
        both_go_at_once::<T>(seed, config.clone(), true);
    }
}

#[test]
fn tcp_ends_when_applications_let_go_early() {
    check::<Tcp>(&burstlane_tcp::Config::default());
}

#[test]
fn rudp_ends_when_applications_let_go_early() {
    check::<Rudp>(&RudpConfig::default());
}

#[test]
fn stop_and_wait_ends_when_applications_let_go_early() {
    check::<StopAndWait>(&stop_and_wait::Config::default());
}

const LIMIT: Duration = Duration::from_secs(3600);
