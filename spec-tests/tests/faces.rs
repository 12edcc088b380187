//! The faces of sockets: blocking calls over `std::io`, calls that never block with events, and message sockets; what can
//! still be read when a flow is over, and how each failure looks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use burstlane::engine::EngineEvent;
use burstlane::lane::EngineId;
use burstlane::socket::{Ready, Stream};
use burstlane::transport::FlowError;
use burstlane_sim::LinkConfig;
use burstlane_spec::link::SparingLink;
use burstlane_spec::{Hosts, HostsConfig, Pattern};
use burstlane_tcp::{Config, Tcp};

fn tcp(config: HostsConfig) -> (Hosts, [EngineId<Tcp>; 2]) {
    let hosts = Hosts::new(config);
    let engines = hosts.add(Config::default());
    (hosts, engines)
}

/// Both ends of an open connection.
fn open(hosts: &Hosts, engines: [EngineId<Tcp>; 2]) -> (Stream<Tcp>, Stream<Tcp>) {
    let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 4).unwrap();
    let client = hosts.connect(engines);
    let server = listener.accept_blocking().unwrap();
    hosts.run_until(SECOND, || client.readiness().contains(Ready::OPEN));
    (client, server)
}

#[test]
fn blocking_calls_let_time_pass_and_carry_all_bytes() {
    let link = LinkConfig { delay: Duration::from_millis(20), loss: 0.05, ..LinkConfig::default() };
    let (hosts, engines) = tcp(HostsConfig::new(1).with_link(&link));
    let (client, server) = open(&hosts, engines);
    let (mut client, mut server) = (client.blocking(), server.blocking());
    let mut data = vec![0; 100_000];
    Pattern::new(1).fill(0, &mut data);
    client.write_all(&data).unwrap();
    client.stream().shutdown();
    assert_eq!(client.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut got = Vec::new();
    server.read_to_end(&mut got).unwrap();
    assert!(got == data, "the wrong bytes");
    server.write_all(b"thanks").unwrap();
    server.flush().unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "thanks");
    drop(client);
    hosts.assert_clean();
}

#[test]
fn events_say_where_to_look_once_a_turn() {
    let (hosts, engines) = tcp(HostsConfig::new(2));
    let (left, right) = (&hosts.members[0].host, &hosts.members[1].host);
    let listener = right.listen(engines[1], hosts.remote(), 4).unwrap();
    let client = hosts.connect(engines);
    client.write(b"before it is open").unwrap();
    hosts.world.run_for(SECOND).unwrap();
    let mut events = vec![];
    left.take_events(engines[0], &mut events);
    let [EngineEvent::Ready(flow, ready)] = events[..] else { panic!("{events:?}") };
    assert!(flow == client.id() && ready.contains(Ready::OPEN | Ready::WRITABLE), "{ready:?}");
    events.clear();
    right.take_events(engines[1], &mut events);
    assert!(matches!(events[..], [EngineEvent::Acceptable(port)] if port == listener.id()), "{events:?}");
    let server = listener.accept().unwrap();
    assert!(listener.accept().is_none());
    events.clear();
    right.take_events(engines[1], &mut events);
    // What came while it waited is told to whoever has it now.
    assert!(
        matches!(events[..], [EngineEvent::Ready(flow, ready)] if flow == server.id() && ready.contains(Ready::READABLE))
    );
    let mut buf = [0; 100];
    assert_eq!(server.read(&mut buf).unwrap(), 17);
    assert_eq!(server.read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    client.shutdown();
    hosts.world.run_for(SECOND).unwrap();
    events.clear();
    right.take_events(engines[1], &mut events);
    let finished = |ready: Ready| ready.contains(Ready::PEER_FINISHED | Ready::READABLE);
    assert!(
        matches!(events[..], [EngineEvent::Ready(flow, ready)] if flow == server.id() && finished(ready)),
        "{events:?}"
    );
    assert_eq!(server.read(&mut buf).unwrap(), 0);
    events.clear();
    hosts.world.run_for(SECOND).unwrap();
    right.take_events(engines[1], &mut events);
    assert!(events.is_empty(), "{events:?}");
    drop((client, server, listener));
    hosts.assert_clean();
}

#[test]
fn what_was_received_can_be_read_after_the_flow_is_over() {
    let (hosts, engines) = tcp(HostsConfig::new(3));
    let (client, server) = open(&hosts, engines);
    client.write(b"last words").unwrap();
    drop(client);
    server.shutdown();
    // Past every timer: the protocol is long done with it.
    hosts.world.run_for(Duration::from_secs(1000)).unwrap();
    assert_eq!(server.ended(), Some(None));
    assert_eq!(server.inspect(|_, _| ()), None);
    let mut buf = [0; 100];
    let bytes = server.read(&mut buf).unwrap();
    assert_eq!(&buf[..bytes], b"last words");
    assert_eq!(server.read(&mut buf).unwrap(), 0);
    assert_eq!(server.write(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
    drop(server);
    hosts.assert_clean();
}

#[test]
fn what_was_received_before_a_reset_can_be_read_then_the_reset() {
    let (hosts, engines) = tcp(HostsConfig::new(4));
    let (client, server) = open(&hosts, engines);
    client.write(b"last words").unwrap();
    hosts.world.run_for(SECOND).unwrap();
    client.abort();
    hosts.world.run_for(SECOND).unwrap();
    assert_eq!(client.ended(), Some(Some(FlowError::Aborted)));
    assert_eq!(server.ended(), Some(Some(FlowError::Reset)));
    let mut buf = [0; 100];
    let bytes = server.read(&mut buf).unwrap();
    assert_eq!(&buf[..bytes], b"last words");
    for _ in 0..2 {
        assert_eq!(server.read(&mut buf).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(server.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    drop((client, server));
    hosts.assert_clean();
}

fn connect_fails(hosts: &Hosts, engines: [EngineId<Tcp>; 2]) -> ErrorKind {
    let mut client = hosts.connect(engines).blocking();
    client.write_all(b"hello").unwrap();
    client.read(&mut [0; 8]).unwrap_err().kind()
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    for is_v6 in [false, true] {
        let (hosts, engines) = tcp(HostsConfig { is_v6, ..HostsConfig::new(5) });
        assert_eq!(connect_fails(&hosts, engines), ErrorKind::ConnectionRefused);
        assert!(hosts.world.now().as_nanos() < 1_000_000_000, "a refusal is at once");
        hosts.assert_clean();
    }
}

#[test]
fn a_host_that_is_silent_times_out() {
    let (hosts, engines) = tcp(HostsConfig::new(6));
    // Its neighbour is there, and says nothing but that.
    hosts.members[1].end.set_model(SparingLink::boxed(&LinkConfig { loss: 1.0, ..LinkConfig::default() }, 1));
    assert_eq!(connect_fails(&hosts, engines), ErrorKind::TimedOut);
    assert!(hosts.world.now().as_nanos() > 60_000_000_000, "given up after {:?}", hosts.world.now());
    hosts.assert_clean();
}

#[test]
fn a_peer_that_falls_silent_becomes_an_error_not_a_hang() {
    let (hosts, engines) = tcp(HostsConfig::new(7));
    let (client, server) = open(&hosts, engines);
    hosts.members[1].end.set_stalled(true);
    let mut client = client.blocking();
    client.write_all(b"anybody?").unwrap();
    assert_eq!(client.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    hosts.members[1].end.set_stalled(false);
    drop((client, server));
    hosts.assert_clean();
}

#[test]
fn a_neighbour_that_does_not_exist_is_unreachable() {
    let (hosts, engines) = tcp(HostsConfig::new(8));
    hosts.members[1].end.set_stalled(true);
    assert_eq!(connect_fails(&hosts, engines), ErrorKind::HostUnreachable);
    hosts.members[1].end.set_stalled(false);
    hosts.assert_clean();
}

#[test]
fn opening_says_what_is_wrong_at_once() {
    let (hosts, engines) = tcp(HostsConfig::new(9));
    let host = &hosts.members[0].host;
    let remote = |octets| burstlane::addr::Endpoint::new(burstlane::addr::Ip::v4(octets), 80);
    assert_eq!(host.connect(engines[0], remote([0, 0, 0, 0])).err(), Some(FlowError::Unreachable));
    assert_eq!(host.connect(engines[0], remote([192, 0, 2, 1])).err(), Some(FlowError::Unreachable));
    let listener = host.listen(engines[0], hosts.at(0, 80), 1).unwrap();
    assert_eq!(host.listen(engines[0], hosts.at(0, 80), 1).err(), Some(FlowError::InUse));
    assert_eq!(host.listen(engines[0], hosts.at(1, 80), 1).err(), Some(FlowError::Unreachable), "not our address");
    drop(listener);
    hosts.world.run_for(SECOND).unwrap();
    drop(host.listen(engines[0], hosts.at(0, 80), 1).unwrap());
    hosts.assert_clean();
}

#[test]
fn a_blocking_call_that_can_never_end_says_so() {
    let (hosts, engines) = tcp(HostsConfig::new(10));
    let (client, server) = open(&hosts, engines);
    hosts.world.run_for(Duration::from_secs(10)).unwrap();
    let error: io::Error = server.blocking().read(&mut [0; 8]).unwrap_err();
    assert!(error.to_string().contains("never ends"), "{error}");
    drop(client);
    hosts.assert_clean();
}

const SECOND: Duration = Duration::from_secs(1);
