//! What steady state costs the heap. The counter is the crate `allocation-counter`: a global allocator of this test's
//! binary that counts by thread, so tests running beside it do not disturb.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::lane::EngineId;
use burstlane::transport::Transport;
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_sim::LinkConfig;
use burstlane_spec::face::Handle;
use burstlane_spec::{Channel, Face, Hosts, HostsConfig};
use burstlane_tcp::Tcp;

/// A counter that misses allocations would make every other test here pass.
#[test]
fn the_counter_sees_allocation_and_growth() {
    let count = |work: &dyn Fn()| allocation_counter::measure(work).count_total;
    assert_eq!(count(&|| assert_eq!(std::hint::black_box([7_u8; 64]).len(), 64)), 0);
    assert_eq!(count(&|| drop(std::hint::black_box(vec![0_u8; 64]))), 1);
    let grows = || {
        let mut bytes = std::hint::black_box(Vec::with_capacity(1));
        bytes.extend_from_slice(&[0_u8; 64]);
        std::hint::black_box(&bytes);
    };
    assert_eq!(count(&grows), 2);
}

/// Calls on many flows at once, each of a request and a reply.
struct Calls {
    hosts: Hosts,
    done: Rc<Cell<u64>>,
}

impl Calls {
    /// 64 flows; as soon as a reply is there, the next request leaves.
    fn start<T: Transport>(config: T::Config, link: &LinkConfig) -> Self
    where
        T::Io: Face,
    {
        let hosts = Hosts::new(HostsConfig::new(1).with_link(link));
        let engines: [EngineId<T>; 2] = hosts.add(config);
        let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), FLOWS as u32).unwrap();
        let clients: Vec<Handle<T>> = (0..FLOWS).map(|_| hosts.connect(engines)).collect();
        let mut waiting = vec![0; FLOWS];
        let done: Rc<Cell<u64>> = Rc::default();
        let count = done.clone();
        hosts.add_app(0, move |_| {
            let mut moved = false;
            for (client, waiting) in clients.iter().zip(&mut waiting) {
                let mut reply = [0; CALL_BYTES];
                // A stream may bring a reply in pieces.
                while let Ok(Some(bytes)) = client.recv(&mut reply) {
                    assert_eq!(reply[..bytes], [7; CALL_BYTES][..bytes]);
                    *waiting -= bytes;
                    moved = true;
                    count.set(count.get() + u64::from(*waiting == 0));
                }
                if *waiting == 0 && client.send(&[7; CALL_BYTES]).is_ok() {
                    *waiting = CALL_BYTES;
                    moved = true;
                }
            }
            moved
        });
        let mut servers: Vec<Handle<T>> = Vec::with_capacity(FLOWS);
        hosts.add_app(1, move |host| {
            while let Some(flow) = listener.accept_flow() {
                servers.push(<T::Io as Face>::handle(host, engines[1], flow));
            }
            let mut moved = false;
            for server in &servers {
                let mut request = [0; CALL_BYTES];
                while let Ok(Some(bytes)) = server.recv(&mut request) {
                    assert_eq!(server.send(&request[..bytes]).unwrap(), bytes);
                    moved = true;
                }
            }
            moved
        });
        Self { hosts, done }
    }

    fn run(&self, calls: u64) {
        let goal = self.done.get() + calls;
        self.hosts.run_until(Duration::from_secs(3600), || self.done.get() >= goal);
    }
}

fn check<T: Transport>(config: T::Config, link: &LinkConfig)
where
    T::Io: Face,
{
    let calls = Calls::start::<T>(config, link);
    calls.run(WARM_UP_CALLS);
    let frames = || calls.hosts.members.iter().map(|member| member.end.sent().sent).sum::<u64>();
    let before = frames();
    let heap = allocation_counter::measure(|| calls.run(CALLS));
    let sent = frames() - before;
    assert!(sent >= 2 * CALLS, "only {sent} frames were sent");
    assert_eq!(heap.count_total, 0, "{}: allocations in {CALLS} calls, {sent} frames: {heap:?}", T::NAME);
    calls.hosts.assert_clean();
}

#[test]
fn ten_thousand_calls_on_64_tcp_flows_allocate_nothing() {
    check::<Tcp>(
        burstlane_tcp::Config::default(),
        &LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() },
    );
}

#[test]
fn ten_thousand_calls_on_64_rudp_flows_allocate_nothing() {
    check::<Rudp>(RudpConfig::default(), &LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() });
}

const FLOWS: usize = 64;
const CALL_BYTES: usize = 64;
const WARM_UP_CALLS: u64 = 20_000;
const CALLS: u64 = 10_000;
