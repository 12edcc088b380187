//! One of the two: our host or smoltcp's, alone on a wire with a raw peer.

use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::frame::PoolConfig;
use burstlane::lane::{EngineId, Lane};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, Listener, Stream};
use burstlane_sim::{EndConfig, Ideal, Network, SimDriver, World};
use burstlane_spec::Hosts;
use burstlane_spec::decode::CheckedDriver;
use burstlane_spec::hosts::small_lane;
use burstlane_spec::packets::{arp_reply, mac};
use burstlane_tcp::{State, Tcp};

use crate::node::{Smol, SmolConfig, address};
use crate::party::Talk;

/// A host and the wire to it.
pub(crate) struct Twin {
    world: World,
    peer: SimDriver,
    side: Side,
}

enum Side {
    Ours { host: Host, engine: EngineId<Tcp>, listener: Option<Listener<Tcp>>, stream: Option<Stream<Tcp>> },
    Smol { smol: Smol, was_open: bool },
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_end: bool,
}

impl Twin {
    /// Ours.
    pub(crate) fn ours(seed: u64) -> Self {
        let (world, end, peer) = wire();
        let mut lane = Lane::new(small_lane(seed));
        let addresses = vec![(Hosts::v4(0), 24)];
        lane.add_interface(CheckedDriver::boxed(Box::new(end)), InterfaceConfig { addresses, ..Default::default() });
        let mut config = burstlane_tcp::Config::default().with_buffers(BUFFER_BYTES as u32, BUFFER_BYTES as u32);
        config.delayed_ack_timeout = ACK_DELAY;
        config.nagle = false;
        let engine = lane.add::<Tcp>(config).unwrap();
        let host = Host::new(lane);
        world.add_host(&host);
        let side = Side::Ours { host, engine, listener: None, stream: None };
        Self { world, peer, side }.introduced()
    }

    /// smoltcp.
    pub(crate) fn smol(iss: u32) -> Self {
        let (world, end, peer) = wire();
        let config = SmolConfig {
            iss,
            buffers: [BUFFER_BYTES; 2],
            has_timestamps: true,
            has_nagle: false,
            has_cubic: false,
            ..SmolConfig::new(0)
        };
        let smol = Smol::new(&world, end, &config);
        smol.with(|socket| socket.set_ack_delay(Some(smoltcp::time::Duration::from_millis(5))));
        Self { world, peer, side: Side::Smol { smol, was_open: false } }.introduced()
    }

    /// A question for the host's address, so that it knows the peer's.
    fn introduced(mut self) -> Self {
        let ask = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
        let question = [&mac(1)[..], &mac(2), &ask, &mac(2), &[10, 0, 0, 2], &[0; 6], &[10, 0, 0, 1]].concat();
        self.put(&question);
        self.heard();
        self
    }

    pub(crate) fn listen(&mut self) {
        match &mut self.side {
            Side::Ours { host, engine, listener, .. } => {
                *listener = Some(host.listen(*engine, Endpoint::new(Ip::ANY, HOST_PORT), 1).unwrap());
            }
            Side::Smol { smol, .. } => smol.with(|socket| socket.listen(HOST_PORT).unwrap()),
        }
    }

    pub(crate) fn connect(&mut self) {
        match &mut self.side {
            Side::Ours { host, engine, stream, .. } => {
                let [local, remote] = [(Hosts::v4(0), HOST_PORT), (Hosts::v4(1), PEER_PORT)];
                let [local, remote] = [local, remote].map(|(ip, port)| Endpoint::new(ip, port));
                *stream = Some(host.connect_from(*engine, local, remote).unwrap());
            }
            Side::Smol { smol, .. } => smol.connect(HOST_PORT, (address(1, false), PEER_PORT)),
        }
    }

    /// Puts a frame on the wire to the host.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let mut frame = self.peer.pool().alloc().unwrap();
        assert!(frame.extend_from_slice(bytes));
        self.peer.tx_burst(&mut vec![frame]).unwrap();
    }

    /// Lets delayed acknowledgements leave, and returns the frames that came.
    pub(crate) fn heard(&mut self) -> Vec<Vec<u8>> {
        let mut all = vec![];
        for pause in [Duration::ZERO, STEP] {
            self.world.run_for(pause).unwrap();
            // A question for the peer's address, which hosts forget, is answered before the rest is heard.
            let mut frames = vec![];
            self.peer.rx_burst(&mut frames, usize::MAX).unwrap();
            for frame in frames {
                match arp_reply(frame.bytes(), 2) {
                    Some(answer) => self.put(&answer),
                    None => all.push(frame.bytes().to_vec()),
                }
            }
        }
        if let Side::Ours { listener, stream, .. } = &mut self.side
            && let Some(accepted) = listener.as_ref().and_then(Listener::accept)
        {
            // smoltcp's socket takes one connection.
            (*stream, *listener) = (Some(accepted), None);
        }
        if let Side::Smol { smol, was_open } = &mut self.side {
            *was_open |= smol.with(|socket| socket.is_open());
        }
        all
    }

    /// Lets so many seconds pass, and returns the frames that came.
    pub(crate) fn wait(&mut self, seconds: u32) -> Vec<Vec<u8>> {
        let mut all = vec![];
        for _ in 0..seconds {
            self.world.run_for(Duration::from_secs(1)).unwrap();
            all.extend(self.heard());
        }
        all
    }

    /// It is smoltcp, has something outstanding, and no timer for it.
    pub(crate) fn has_lost_its_timer(&self) -> bool {
        match &self.side {
            Side::Smol { smol, .. } => crate::allowances::has_lost_its_timer(smol),
            Side::Ours { .. } => false,
        }
    }

    /// The application's end, once the connection is open.
    fn with<R>(&mut self, work: impl FnOnce(&mut dyn Talk) -> R) -> Option<R> {
        match &mut self.side {
            Side::Ours { stream, .. } => stream.as_mut().filter(|stream| stream.is_open()).map(|stream| work(stream)),
            Side::Smol { smol, was_open } => was_open.then(|| smol.with(|socket| work(socket))),
        }
    }

    /// Whether the application can do something with it.
    pub(crate) fn is_open(&mut self) -> bool {
        self.with(|talk| !talk.has_failed()).unwrap_or(false)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        self.with(|talk| talk.write(bytes)).unwrap_or(0)
    }

    pub(crate) fn read(&mut self) -> Heard {
        let mut room = vec![0; 2 * BUFFER_BYTES];
        let read = self.with(|talk| talk.read(&mut room));
        match read {
            Some(crate::party::Read::Bytes(bytes)) => Heard { bytes: room[..bytes].to_vec(), is_end: false },
            Some(crate::party::Read::End) => Heard { bytes: vec![], is_end: true },
            Some(crate::party::Read::Nothing) | None => Heard { bytes: vec![], is_end: false },
        }
    }

    pub(crate) fn finish(&mut self) {
        self.with(|talk| talk.finish());
    }

    pub(crate) fn abort(&mut self) {
        self.with(|talk| talk.abort());
    }

    /// Its state, in the words of RFC 9293.
    pub(crate) fn state(&self) -> &'static str {
        match &self.side {
            Side::Smol { smol, .. } => smol.with(|socket| match socket.state() {
                smoltcp::socket::tcp::State::Closed => "CLOSED",
                smoltcp::socket::tcp::State::Listen => "LISTEN",
                smoltcp::socket::tcp::State::SynSent => "SYN-SENT",
                smoltcp::socket::tcp::State::SynReceived => "SYN-RECEIVED",
                smoltcp::socket::tcp::State::Established => "ESTABLISHED",
                smoltcp::socket::tcp::State::FinWait1 => "FIN-WAIT-1",
                smoltcp::socket::tcp::State::FinWait2 => "FIN-WAIT-2",
                smoltcp::socket::tcp::State::CloseWait => "CLOSE-WAIT",
                smoltcp::socket::tcp::State::Closing => "CLOSING",
                smoltcp::socket::tcp::State::LastAck => "LAST-ACK",
                smoltcp::socket::tcp::State::TimeWait => "TIME-WAIT",
            }),
            Side::Ours { host, stream, listener, .. } => {
                let known = stream.as_ref().and_then(|stream| stream.inspect(|_, conn| conn.state()));
                let has_remnant = host.lane().remnants() > 0;
                match known {
                    Some(state) if state != State::Closed && state != State::TimeWait => state.name(),
                    _ if has_remnant && listener.is_some() => "SYN-RECEIVED",
                    _ if has_remnant => "TIME-WAIT",
                    _ if listener.is_some() => "LISTEN",
                    _ => "CLOSED",
                }
            }
        }
    }
}

/// A host at 10.0.0.1, and a peer at 10.0.0.2.
fn wire() -> (World, SimDriver, SimDriver) {
    let world = World::new(Network::new());
    let end = |host| EndConfig { pool: POOL, ..EndConfig::host(host) };
    let (host, peer) = world.network().link(end(1), end(2), Box::<Ideal>::default(), Box::<Ideal>::default());
    (world, host, peer)
}

pub(crate) const HOST_PORT: u16 = 80;
pub(crate) const PEER_PORT: u16 = 4000;
/// Send and receive buffer of both.
pub(crate) const BUFFER_BYTES: usize = 16_384;
const ACK_DELAY: Duration = Duration::from_millis(5);
/// Longer than that, and so short that the steps of a script end before any retransmission timer fires.
const STEP: Duration = Duration::from_millis(6);
const POOL: PoolConfig = PoolConfig { slots: 1100, slot_bytes: 2048, headroom: 128 };
