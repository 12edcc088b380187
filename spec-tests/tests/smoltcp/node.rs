//! A smoltcp host in the simulated world: its interface and one TCP socket, over one end of a link, by the virtual clock.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use burstlane::addr::Mac;
use burstlane::driver::Driver;
use burstlane::frame::Frame;
use burstlane::time::Instant;
use burstlane_sim::{Node, SimDriver, World};
use burstlane_spec::Hosts;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};

/// What a smoltcp host is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmolConfig {
    /// Its place among [`Hosts::v4`] and [`Hosts::v6`].
    pub(crate) host: usize,
    /// The number with which its first connection is to begin.
    pub(crate) iss: u32,
    /// Receive and send buffer, bytes.
    pub(crate) buffers: [usize; 2],
    /// Timestamps.
    pub(crate) has_timestamps: bool,
    /// Nagle's algorithm.
    pub(crate) has_nagle: bool,
    /// CUBIC, or no congestion control at all.
    pub(crate) has_cubic: bool,
}

impl SmolConfig {
    /// As smoltcp comes, with buffers of 16 KiB.
    pub(crate) const fn new(host: usize) -> Self {
        Self { host, iss: 1000, buffers: [16_384; 2], has_timestamps: false, has_nagle: true, has_cubic: true }
    }
}

/// What its application does in each turn with the socket. Returns whether it did anything.
pub(crate) type SmolApp = Box<dyn FnMut(&mut Socket<'static>, Instant) -> bool>;

/// A handle to a smoltcp host.
#[derive(Clone)]
pub(crate) struct Smol(Rc<RefCell<Inner>>);

struct Inner {
    port: Port,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    app: SmolApp,
}

impl Smol {
    /// A host behind `end`, in `world`.
    pub(crate) fn new(world: &World, end: SimDriver, config: &SmolConfig) -> Self {
        let mut port = Port { end, received: VecDeque::new(), sent: vec![] };
        let Mac(mac) = port.end.capabilities().mac;
        let mut interface_config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        interface_config.random_seed = seed_for(config.iss);
        let mut interface = Interface::new(interface_config, &mut port, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(address(config.host, false), 24)).unwrap();
            addresses.push(IpCidr::new(address(config.host, true), 64)).unwrap();
        });
        let buffer = |bytes| SocketBuffer::new(vec![0; bytes]);
        let mut socket = Socket::new(buffer(config.buffers[0]), buffer(config.buffers[1]));
        socket.set_tsval_generator(config.has_timestamps.then_some(millis));
        socket.set_nagle_enabled(config.has_nagle);
        socket.set_congestion_control(if config.has_cubic {
            CongestionControl::Cubic
        } else {
            CongestionControl::None
        });
        let mut sockets = SocketSet::new(vec![]);
        let socket = sockets.add(socket);
        let inner = Inner { port, interface, sockets, socket, app: Box::new(|_, _| false) };
        let smol = Self(Rc::new(RefCell::new(inner)));
        world.add(Resident(smol.clone()));
        smol
    }

    /// Lets `app` run in each turn from now on.
    pub(crate) fn set_app(&self, app: SmolApp) {
        self.0.borrow_mut().app = app;
    }

    /// Looks at the socket, or does something with it.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Socket<'static>) -> R) -> R {
        let inner = &mut *self.0.borrow_mut();
        work(inner.sockets.get_mut(inner.socket))
    }

    /// Nothing will ever happen here by itself.
    pub(crate) fn waits_for_ever(&self) -> bool {
        Resident(self.clone()).next_deadline().is_none()
    }

    /// Opens to another host's port.
    pub(crate) fn connect(&self, from_port: u16, to: (IpAddress, u16)) {
        let inner = &mut *self.0.borrow_mut();
        let socket = inner.sockets.get_mut::<Socket<'_>>(inner.socket);
        socket.connect(inner.interface.context(), IpEndpoint::from(to), from_port).unwrap();
    }
}

struct Resident(Smol);

impl Node for Resident {
    fn turn(&mut self, now: Instant) -> bool {
        let inner = &mut *self.0.0.borrow_mut();
        MILLIS.set((now.as_nanos() / 1_000_000) as u32);
        let received = inner.port.receive();
        inner.interface.poll(smol_time(now), &mut inner.port, &mut inner.sockets);
        let active = (inner.app)(inner.sockets.get_mut(inner.socket), now);
        inner.interface.poll(smol_time(now), &mut inner.port, &mut inner.sockets);
        let sent = inner.port.send();
        received || active || sent
    }

    fn next_deadline(&self) -> Option<Instant> {
        let inner = &mut *self.0.0.borrow_mut();
        let now = smol_time(inner.port.end.network().now());
        let at = inner.interface.poll_at(now, &inner.sockets)?;
        Some(Instant::from_nanos(at.total_micros() as u64 * 1000))
    }
}

/// The address of a host.
pub(crate) fn address(host: usize, is_v6: bool) -> IpAddress {
    let ip = if is_v6 { Hosts::v6(host) } else { Hosts::v4(host) };
    std::net::IpAddr::from(ip).into()
}

/// The virtual time as smoltcp counts it.
fn smol_time(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros((now.as_nanos() / 1000) as i64)
}

/// A device over the frames of a link's end.
struct Port {
    end: SimDriver,
    received: VecDeque<Frame>,
    sent: Vec<Frame>,
}

impl Port {
    fn receive(&mut self) -> bool {
        let mut frames = vec![];
        self.end.rx_burst(&mut frames, usize::MAX).unwrap();
        self.received.extend(frames);
        !self.received.is_empty()
    }

    fn send(&mut self) -> bool {
        let before = self.sent.len();
        self.end.tx_burst(&mut self.sent).unwrap();
        self.sent.len() < before
    }
}

struct Rx(Frame);
struct Tx<'p>(&'p SimDriver, &'p mut Vec<Frame>);

impl Device for Port {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Rx, Tx<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Rx(frame), Tx(&self.end, &mut self.sent)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx<'_>> {
        // What waits is bounded by what the device takes in a burst.
        (self.sent.len() < self.end.tx_room()).then_some(Tx(&self.end, &mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_BYTES + self.end.capabilities().mtu as usize;
        capabilities
    }
}

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, work: F) -> R {
        work(self.0.bytes())
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, bytes: usize, work: F) -> R {
        let mut frame = self.0.pool().alloc().expect("the pool is larger than a burst");
        let result = work(frame.append(bytes).expect("a slot holds a packet of the MTU"));
        self.1.push(frame);
        result
    }
}

thread_local! {
    /// The clock for smoltcp's timestamps, which it asks for by a plain function.
    static MILLIS: Cell<u32> = const { Cell::new(0) };
}

fn millis() -> u32 {
    MILLIS.get()
}

/// The seed with which smoltcp's generator gives `iss` to the first connection. The generator is a linear one (sPCG32), and
/// so runs backwards as well; the interface draws once from it before.
fn seed_for(iss: u32) -> u64 {
    const M: u64 = 0xbb2e_fcec_3c39_611d;
    const A: u64 = 0x7590_ef39;
    // Newton's iteration doubles the right bits of the inverse; an odd number is its own to three bits.
    let inverse = (0..5).fold(M, |x, _| x.wrapping_mul(2_u64.wrapping_sub(M.wrapping_mul(x))));
    // With its top three bits zero a state gives the 32 bits from bit 29 on.
    let state = u64::from(iss) << 29;
    (0..2).fold(state, |state, _| state.wrapping_sub(A).wrapping_mul(inverse))
}

const ETHERNET_BYTES: usize = 14;
