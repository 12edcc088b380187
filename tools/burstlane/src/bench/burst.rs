//! The workloads on our own stack: two lanes over the simulator's ideal wire, driven by the real clock at the level of
//! engine events.

use anyhow::{Context as _, anyhow};
use burstlane::addr::{Endpoint, Ip};
use burstlane::engine::{Core, EngineEvent, FlowId};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::{InterfaceConfig, Net};
use burstlane::socket::{AppOp, Ready};
use burstlane::time::Instant;
use burstlane::transport::{FlowError, LaneParts};
use burstlane_sim::{EndConfig, LinkConfig, Network, SimDriver, StandardLink};
use burstlane_tcp::Tcp;

use super::clock::Clock;
use super::{BULK_BUFFER_BYTES, Cost, MESSAGE_BYTES, Meter, Plan, SERVER_PORT, UNIT_BYTES, Workload};

pub(super) fn run(plan: Plan) -> anyhow::Result<Cost> {
    match plan.workload {
        Workload::B1 => bulk(plan),
        Workload::B2 => exchange(plan),
        Workload::B6 => short(plan),
    }
}

struct Host {
    lane: Lane,
    tcp: EngineId<Tcp>,
    events: Vec<EngineEvent<std::convert::Infallible>>,
}

/// What the application's turn works on.
struct App<'a> {
    core: &'a mut Core<Tcp>,
    lane: &'a mut LaneParts,
    net: &'a mut Net,
}

impl App<'_> {
    fn read(&mut self, flow: FlowId, buf: &mut [u8]) -> usize {
        let Some(io) = self.core.io(flow) else { return 0 };
        let taken = io.rx.read(&mut self.lane.mem, buf);
        if taken > 0 {
            self.core.app(self.lane, self.net, flow, AppOp::Consumed(taken));
        }
        taken
    }

    fn write(&mut self, flow: FlowId, data: &[u8]) -> usize {
        let Some(io) = self.core.io(flow) else { return 0 };
        let taken = io.tx.write(&mut self.lane.mem, data, io.tx_max as usize);
        if taken > 0 {
            self.core.app(self.lane, self.net, flow, AppOp::Written);
        }
        taken
    }

    /// Answers a received message with itself, and with `finish` sends no more. `false` if there is none yet.
    fn echo(&mut self, flow: FlowId, message: &mut [u8; MESSAGE_BYTES], finish: bool) -> bool {
        let Some(io) = self.core.io(flow).filter(|io| io.rx.len() >= MESSAGE_BYTES) else { return false };
        let taken = io.rx.read(&mut self.lane.mem, message);
        io.tx.write(&mut self.lane.mem, message, io.tx_max as usize);
        if finish {
            io.tx_finished = true;
            let ops = [AppOp::Consumed(taken), AppOp::Written, AppOp::Shutdown];
            self.core.app_all(self.lane, self.net, flow, ops);
        } else {
            self.core.app_all(self.lane, self.net, flow, [AppOp::Consumed(taken), AppOp::Written]);
        }
        true
    }

    fn received(&mut self, flow: FlowId) -> usize {
        self.core.io(flow).map_or(0, |io| io.rx.len())
    }

    fn shutdown(&mut self, flow: FlowId) {
        if let Some(io) = self.core.io(flow)
            && !std::mem::replace(&mut io.tx_finished, true)
        {
            self.core.app(self.lane, self.net, flow, AppOp::Shutdown);
        }
    }
}

impl Host {
    fn new(number: u8, driver: SimDriver, config: burstlane_tcp::Config) -> anyhow::Result<Self> {
        let mut lane = Lane::new(LaneConfig::seeded(u64::from(number)));
        let addresses = vec![(address(number), 24)];
        lane.add_interface(Box::new(driver), InterfaceConfig { addresses, ..InterfaceConfig::default() });
        let tcp = lane.add::<Tcp>(config)?;
        Ok(Self { lane, tcp, events: Vec::new() })
    }

    /// One turn with the application in the middle.
    fn turn(&mut self, now: Instant, mut work: impl FnMut(&mut App<'_>, &EngineEvent<std::convert::Infallible>)) {
        self.lane.receive(now);
        let (core, lane, net) = self.lane.engine(self.tcp);
        core.take_events(&mut self.events);
        let mut app = App { core, lane, net };
        for event in self.events.drain(..) {
            work(&mut app, &event);
        }
        self.lane.transmit(now);
    }
}

struct Pair {
    network: Network,
    client: Host,
    server: Host,
    clock: Clock,
}

impl Pair {
    fn new(plan: Plan, buffer_bytes: u32) -> anyhow::Result<Self> {
        let network = Network::new();
        let there = StandardLink::boxed(LinkConfig::default(), 1)?;
        let back = StandardLink::boxed(LinkConfig::default(), 2)?;
        let (a, b) = network.link(EndConfig::host(1), EndConfig::host(2), there, back);
        let mut config = burstlane_tcp::Config::default().with_buffers(buffer_bytes, buffer_bytes);
        config.nagle = false;
        let client = Host::new(CLIENT, a, config.clone())?;
        let mut server = Host::new(SERVER, b, config)?;
        let (core, _, net) = server.lane.engine(server.tcp);
        core.listen(net, Endpoint::new(Ip::ANY, SERVER_PORT), 4096).context("listen")?;
        Ok(Self { network, client, server, clock: plan.clock() })
    }

    fn now(&mut self) -> Instant {
        let now = Instant::from_nanos(self.clock.nanos());
        self.network.advance(now);
        now
    }

    fn connect(&mut self) -> Result<FlowId, FlowError> {
        let (core, lane, net) = self.client.lane.engine(self.client.tcp);
        core.connect(lane, net, None, Endpoint::new(address(SERVER), SERVER_PORT))
    }

    /// All connections open; the client's ends.
    fn establish(&mut self, connections: usize) -> anyhow::Result<Vec<FlowId>> {
        let flows = (0..connections).map(|_| self.connect()).collect::<Result<Vec<_>, _>>()?;
        let mut open = 0;
        for _ in 0..ESTABLISH_TURNS {
            let now = self.now();
            self.client.turn(now, |_, event| {
                if let EngineEvent::Ready(_, ready) = event
                    && ready.contains(Ready::OPEN)
                {
                    open += 1;
                }
            });
            self.server.turn(now, accept_all);
            if open == connections {
                return Ok(flows);
            }
        }
        Err(anyhow!("only {open} of {connections} connections opened"))
    }
}

fn accept_all(app: &mut App<'_>, event: &EngineEvent<std::convert::Infallible>) {
    if let EngineEvent::Acceptable(port) = event {
        while app.core.accept(*port).is_some() {}
    }
}

fn bulk(plan: Plan) -> anyhow::Result<Cost> {
    let mut pair = Pair::new(plan, BULK_BUFFER_BYTES as u32)?;
    let flows = pair.establish(plan.connections)?;
    let data = vec![7; 64 * 1024];
    let mut buffer = vec![0; 64 * 1024];
    let mut meter = Meter::new(plan);
    let mut bytes = 0_usize;
    {
        let (core, lane, net) = pair.client.lane.engine(pair.client.tcp);
        let mut app = App { core, lane, net };
        for flow in flows {
            while app.write(flow, &data) > 0 {}
        }
    }
    loop {
        let now = pair.now();
        pair.client.turn(now, |app, event| {
            if let EngineEvent::Ready(flow, ready) = event
                && ready.contains(Ready::WRITABLE)
            {
                while app.write(*flow, &data) > 0 {}
            }
        });
        pair.server.turn(now, |app, event| {
            accept_all(app, event);
            if let EngineEvent::Ready(flow, ready) = event
                && ready.contains(Ready::READABLE)
            {
                loop {
                    let taken = app.read(*flow, &mut buffer);
                    if taken == 0 {
                        break;
                    }
                    bytes += taken;
                }
            }
        });
        if let Some(cost) = meter.look(bytes as f64 / UNIT_BYTES) {
            return Ok(cost);
        }
    }
}

fn exchange(plan: Plan) -> anyhow::Result<Cost> {
    let mut pair = Pair::new(plan, RPC_BUFFER_BYTES)?;
    let flows = pair.establish(plan.connections)?;
    let mut meter = Meter::new(plan);
    let mut message = [7; MESSAGE_BYTES];
    let mut done = 0.0;
    {
        let (core, lane, net) = pair.client.lane.engine(pair.client.tcp);
        let mut app = App { core, lane, net };
        for flow in flows {
            app.write(flow, &message);
        }
    }
    loop {
        let now = pair.now();
        pair.client.turn(now, |app, event| done += answer(app, event, &mut message));
        pair.server.turn(now, |app, event| {
            accept_all(app, event);
            answer(app, event, &mut message);
        });
        if let Some(cost) = meter.look(done) {
            return Ok(cost);
        }
    }
}

/// Answers every whole message of a flow with one; returns how many there were.
fn answer(app: &mut App<'_>, event: &EngineEvent<std::convert::Infallible>, message: &mut [u8; MESSAGE_BYTES]) -> f64 {
    let EngineEvent::Ready(flow, ready) = event else { return 0.0 };
    let mut answered = 0.0;
    if ready.contains(Ready::READABLE) {
        while app.echo(*flow, message, false) {
            answered += 1.0;
        }
    }
    answered
}

fn short(plan: Plan) -> anyhow::Result<Cost> {
    let mut pair = Pair::new(plan, RPC_BUFFER_BYTES)?;
    let mut meter = Meter::new(plan);
    let mut message = [7; MESSAGE_BYTES];
    let (mut open, mut done) = (0, 0.0);
    loop {
        while open < plan.connections {
            pair.connect()?;
            open += 1;
        }
        let now = pair.now();
        pair.client.turn(now, |app, event| {
            let EngineEvent::Ready(flow, ready) = event else { return };
            if ready.contains(Ready::OPEN) {
                app.write(*flow, &message);
            }
            if app.received(*flow) >= MESSAGE_BYTES {
                app.read(*flow, &mut message);
            }
            if ready.contains(Ready::PEER_FINISHED) {
                app.shutdown(*flow);
            }
            if ready.contains(Ready::CLOSED) {
                app.core.let_go(app.lane, app.net, *flow);
                open -= 1;
                done += 1.0;
            }
        });
        pair.server.turn(now, |app, event| {
            accept_all(app, event);
            let EngineEvent::Ready(flow, ready) = event else { return };
            app.echo(*flow, &mut message, true);
            if ready.contains(Ready::CLOSED) {
                app.core.let_go(app.lane, app.net, *flow);
            }
        });
        if let Some(cost) = meter.look(done) {
            return Ok(cost);
        }
    }
}

fn address(number: u8) -> Ip {
    Ip::v4([10, 0, 0, number])
}

const CLIENT: u8 = 1;
const SERVER: u8 = 2;
const ESTABLISH_TURNS: usize = 100_000;
const RPC_BUFFER_BYTES: u32 = 4096;
