//! The workloads on smoltcp: two interfaces over an in-memory wire, checksums in software both ways, the same MTU, buffers,
//! options (timestamps, SACK, CUBIC, no Nagle) and application as our own side.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use anyhow::anyhow;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use super::clock::Clock;
use super::{BULK_BUFFER_BYTES, Cost, MESSAGE_BYTES, Meter, Plan, SERVER_PORT, UNIT_BYTES, Workload};

pub(super) fn run(plan: Plan) -> anyhow::Result<Cost> {
    match plan.workload {
        Workload::B1 => bulk(plan),
        Workload::B2 => exchange(plan),
        Workload::B6 => short(plan),
    }
}

/// One direction of the wire. Buffers are reused: the wire itself allocates nothing once it is warm.
#[derive(Default)]
struct Queue {
    packets: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

type Shared = Rc<RefCell<Queue>>;

struct Wire {
    rx: Shared,
    tx: Shared,
}

struct Rx(Vec<u8>, Shared);
struct Tx(Shared);

impl Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx;

    fn receive(&mut self, _now: Instant) -> Option<(Rx, Tx)> {
        let packet = self.rx.borrow_mut().packets.pop_front()?;
        Some((Rx(packet, self.rx.clone()), Tx(self.tx.clone())))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Tx> {
        Some(Tx(self.tx.clone()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, work: F) -> R {
        let result = work(&self.0);
        self.1.borrow_mut().spare.push(self.0);
        result
    }
}

impl phy::TxToken for Tx {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, work: F) -> R {
        let mut packet = self.0.borrow_mut().spare.pop().unwrap_or_default();
        packet.resize(len, 0);
        let result = work(&mut packet);
        self.0.borrow_mut().packets.push_back(packet);
        result
    }
}

struct Host {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
}

impl Host {
    fn new(number: u8, wire: Wire, sockets: usize, buffer_bytes: usize) -> Self {
        let mut wire = wire;
        let mac = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, number]));
        let mut config = Config::new(mac);
        config.random_seed = u64::from(number);
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The list is empty and has room for one.
            let _ = addresses.push(IpCidr::new(address(number), 24));
        });
        let mut set = SocketSet::new(Vec::with_capacity(sockets));
        let handles = (0..sockets).map(|_| set.add(socket(buffer_bytes))).collect();
        Self { wire, interface, sockets: set, handles }
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
    }

    fn listen(&mut self, handle: SocketHandle) -> anyhow::Result<()> {
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        socket.listen(SERVER_PORT).map_err(|error| anyhow!("smoltcp does not listen: {error}"))
    }

    fn connect(&mut self, handle: SocketHandle, port: u16) -> anyhow::Result<()> {
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        let context = self.interface.context();
        socket
            .connect(context, (address(SERVER), SERVER_PORT), port)
            .map_err(|error| anyhow!("smoltcp does not connect: {error}"))
    }
}

thread_local! {
    /// The clock for smoltcp's timestamps, which it asks for by a plain function.
    static MILLIS: Cell<u32> = const { Cell::new(0) };
}

fn address(number: u8) -> IpAddress {
    IpAddress::v4(10, 0, 0, number)
}

fn socket(buffer_bytes: usize) -> Socket<'static> {
    let mut socket = Socket::new(SocketBuffer::new(vec![0; buffer_bytes]), SocketBuffer::new(vec![0; buffer_bytes]));
    // As on our side: small messages leave at once, acknowledgements ride on answers.
    socket.set_nagle_enabled(false);
    socket.set_congestion_control(CongestionControl::Cubic);
    socket.set_tsval_generator(Some(|| MILLIS.get()));
    socket.set_ack_delay(Some(Duration::from_millis(10)));
    socket
}

struct Pair {
    client: Host,
    server: Host,
    clock: Clock,
}

impl Pair {
    fn new(plan: Plan, buffer_bytes: usize) -> Self {
        let sockets = plan.connections;
        let (ab, ba) = (Shared::default(), Shared::default());
        let client = Wire { rx: ba.clone(), tx: ab.clone() };
        let server = Wire { rx: ab, tx: ba };
        Self {
            client: Host::new(CLIENT, client, sockets, buffer_bytes),
            server: Host::new(SERVER, server, sockets, buffer_bytes),
            clock: plan.clock(),
        }
    }

    fn now(&mut self) -> Instant {
        let now = Instant::from_micros(i64::try_from(self.clock.nanos() / 1000).unwrap_or(i64::MAX));
        MILLIS.set(now.total_millis() as u32);
        now
    }

    fn poll_client(&mut self) {
        let now = self.now();
        self.client.poll(now);
    }

    fn poll_server(&mut self) {
        let now = self.now();
        self.server.poll(now);
    }

    /// All connections open.
    fn established(plan: Plan, buffer_bytes: usize) -> anyhow::Result<Self> {
        let mut pair = Self::new(plan, buffer_bytes);
        for at in 0..plan.connections {
            let handle = pair.server.handles.get(at).copied();
            pair.server.listen(handle.ok_or_else(|| anyhow!("no such socket"))?)?;
            let handle = pair.client.handles.get(at).copied();
            pair.client.connect(handle.ok_or_else(|| anyhow!("no such socket"))?, FIRST_PORT + at as u16)?;
        }
        for _ in 0..1000 {
            pair.poll_client();
            pair.poll_server();
            let Host { sockets, handles, .. } = &mut pair.client;
            if handles.iter().all(|handle| sockets.get::<Socket<'_>>(*handle).may_send()) {
                return Ok(pair);
            }
        }
        Err(anyhow!("smoltcp's connections did not open"))
    }
}

fn bulk(plan: Plan) -> anyhow::Result<Cost> {
    let mut pair = Pair::established(plan, BULK_BUFFER_BYTES)?;
    let data = vec![7; 64 * 1024];
    let mut buffer = vec![0; 64 * 1024];
    let mut meter = Meter::new(plan);
    let mut bytes = 0_usize;
    loop {
        for at in 0..plan.connections {
            let Some(&handle) = pair.client.handles.get(at) else { break };
            let socket = pair.client.sockets.get_mut::<Socket<'_>>(handle);
            while socket.can_send() && socket.send_slice(&data).is_ok_and(|sent| sent > 0) {}
        }
        pair.poll_client();
        pair.poll_server();
        for at in 0..plan.connections {
            let Some(&handle) = pair.server.handles.get(at) else { break };
            let socket = pair.server.sockets.get_mut::<Socket<'_>>(handle);
            while socket.can_recv() {
                bytes += socket.recv_slice(&mut buffer).unwrap_or(0);
            }
        }
        if let Some(cost) = meter.look(bytes as f64 / UNIT_BYTES) {
            return Ok(cost);
        }
    }
}

fn exchange(plan: Plan) -> anyhow::Result<Cost> {
    let mut pair = Pair::established(plan, RPC_BUFFER_BYTES)?;
    let mut meter = Meter::new(plan);
    let mut message = [7; MESSAGE_BYTES];
    let mut done = 0.0;
    for at in 0..plan.connections {
        let Some(&handle) = pair.client.handles.get(at) else { break };
        let _ = pair.client.sockets.get_mut::<Socket<'_>>(handle).send_slice(&message);
    }
    loop {
        pair.poll_client();
        pair.poll_server();
        answer(&mut pair.server, &mut message);
        pair.poll_server();
        pair.poll_client();
        done += answer(&mut pair.client, &mut message);
        if let Some(cost) = meter.look(done) {
            return Ok(cost);
        }
    }
}

/// Answers every whole message with one; returns how many there were.
fn answer(host: &mut Host, message: &mut [u8; MESSAGE_BYTES]) -> f64 {
    let mut answered = 0.0;
    for &handle in &host.handles {
        let socket = host.sockets.get_mut::<Socket<'_>>(handle);
        while socket.recv_queue() >= MESSAGE_BYTES {
            let _ = socket.recv_slice(message);
            let _ = socket.send_slice(message);
            answered += 1.0;
        }
    }
    answered
}

fn short(plan: Plan) -> anyhow::Result<Cost> {
    let mut pair = Pair::new(plan, RPC_BUFFER_BYTES);
    let mut meter = Meter::new(plan);
    let mut ports = Ports(0);
    let mut done = 0.0;
    let mut message = [7; MESSAGE_BYTES];
    let mut asked = vec![false; plan.connections];
    loop {
        for at in 0..plan.connections {
            let Some(&handle) = pair.server.handles.get(at) else { break };
            if !pair.server.sockets.get::<Socket<'_>>(handle).is_open() {
                pair.server.listen(handle)?; // also from TIME-WAIT, which is given up
            }
        }
        for (at, asked) in asked.iter_mut().enumerate() {
            let Some(&handle) = pair.client.handles.get(at) else { break };
            if !pair.client.sockets.get::<Socket<'_>>(handle).is_open() {
                pair.client.connect(handle, ports.next())?;
                *asked = false;
            }
        }
        pair.poll_client();
        pair.poll_server();
        for &handle in &pair.server.handles {
            let socket = pair.server.sockets.get_mut::<Socket<'_>>(handle);
            if socket.recv_queue() >= MESSAGE_BYTES {
                let _ = socket.recv_slice(&mut message);
                let _ = socket.send_slice(&message);
                socket.close();
            }
        }
        for (&handle, asked) in pair.client.handles.iter().zip(&mut asked) {
            let socket = pair.client.sockets.get_mut::<Socket<'_>>(handle);
            if !*asked && socket.may_send() {
                *asked = socket.send_slice(&message).is_ok();
            }
            if socket.recv_queue() >= MESSAGE_BYTES {
                let _ = socket.recv_slice(&mut message);
            }
            if socket.state() == State::CloseWait {
                socket.close();
                done += 1.0;
            }
        }
        if let Some(cost) = meter.look(done) {
            return Ok(cost);
        }
    }
}

/// Client ports in turn.
struct Ports(u16);

impl Ports {
    fn next(&mut self) -> u16 {
        self.0 = if self.0 < FIRST_PORT || self.0 == u16::MAX { FIRST_PORT } else { self.0 + 1 };
        self.0
    }
}

const CLIENT: u8 = 1;
const SERVER: u8 = 2;
const FIRST_PORT: u16 = 1024;
const RPC_BUFFER_BYTES: usize = 4096;
