//! Any bytes into any driver are a counted drop with a named reason, or mean something. Arbitrary frames, and mutations of
//! frames that real transfers sent, some with their checksums put right again, are thrown at a host on which every
//! transport listens. It does not panic, leaks nothing, stays within its bounds, counts what it does not take, and a
//! transfer of somebody else's beside it is not disturbed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::frame::PoolConfig;
use burstlane::lane::{EngineId, Lane};
use burstlane::net::InterfaceConfig;
use burstlane::observe::{Direction, FrameTap};
use burstlane::socket::{Host, Listener};
use burstlane::time::Instant;
use burstlane::transport::Transport;
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_sim::{EndConfig, EndHandle, Ideal, LinkConfig, Network, SimDriver, StandardLink, World};
use burstlane_spec::anatomy::{anatomy, repair_checksums, transport_sum};
use burstlane_spec::decode::CheckedDriver;
use burstlane_spec::face::Handle;
use burstlane_spec::hosts::small_lane;
use burstlane_spec::packets::{arp_reply, checksum, mac};
use burstlane_spec::transfer::End;
use burstlane_spec::{Channel, Face, Hosts, HostsConfig, PORT, Transfer, TransferConfig};
use burstlane_tcp::Tcp;
use burstlane_udp::{Udp, UdpConfig};
use proptest::prelude::*;
use stop_and_wait::StopAndWait;

const SEED: u64 = 5;

/// Keeps what comes in.
struct Tape(Rc<RefCell<Recorded>>);

type Recorded = Vec<(Instant, Vec<u8>)>;

impl FrameTap for Tape {
    fn frame(&mut self, now: Instant, _: u16, direction: Direction, bytes: &[u8], _: Option<&str>) {
        if direction == Direction::In {
            self.0.borrow_mut().push((now, bytes.to_vec()));
        }
    }
}

/// What the second host receives in a transfer of each transport, over IPv4 and IPv6, as if all went on at once; and some
/// fragments, which no transfer sends.
fn corpus() -> &'static [(Instant, Vec<u8>)] {
    static CORPUS: OnceLock<Recorded> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let mut all = vec![];
        for is_v6 in [false, true] {
            all.extend(record(|engines| engines.tcp, PORT, is_v6));
            all.extend(record(|engines| engines.rudp, PORT, is_v6));
            all.extend(record(|engines| engines.stop_and_wait, PORT + 1, is_v6));
        }
        let large = |frame: &&(Instant, Vec<u8>)| frame.1.len() > 500 && frame.1[12..14] == [8, 0];
        let pieces: Recorded = all.iter().filter(large).take(8).flat_map(fragments).collect();
        all.extend(pieces);
        all.sort();
        assert!(all.len() > 100, "{} frames", all.len());
        all
    })
}

/// The first pieces of a frame, and one whose predecessors are missing.
fn fragments((at, frame): &(Instant, Vec<u8>)) -> Recorded {
    [(0x2000_u16, 64), (0x2008, 64), (0x0010, 40)]
        .map(|(fragment, bytes)| {
            let mut piece = frame[..34 + bytes].to_vec();
            piece[16..18].copy_from_slice(&(20 + bytes as u16).to_be_bytes());
            piece[20..22].copy_from_slice(&fragment.to_be_bytes());
            repair_checksums(&mut piece);
            (*at, piece)
        })
        .into()
}

/// All transports of a lane. Their order decides over their secrets.
#[derive(Clone, Copy)]
struct Engines {
    tcp: EngineId<Tcp>,
    rudp: EngineId<Rudp>,
    stop_and_wait: EngineId<StopAndWait>,
    udp: EngineId<Udp>,
}

impl Engines {
    fn add(lane: &mut Lane) -> Self {
        Self {
            tcp: lane.add(burstlane_tcp::Config::default()).unwrap(),
            rudp: lane.add(RudpConfig::default()).unwrap(),
            stop_and_wait: lane.add(stop_and_wait::Config::default()).unwrap(),
            udp: lane.add(UdpConfig::default()).unwrap(),
        }
    }
}

fn record<T: Transport>(pick: fn(Engines) -> EngineId<T>, port: u16, is_v6: bool) -> Recorded
where
    T::Io: Face,
{
    let link = LinkConfig { delay: Duration::from_millis(5), loss: 0.05, ..LinkConfig::default() };
    let hosts = Hosts::new(HostsConfig { is_v6, port, ..HostsConfig::new(SEED).with_link(&link) });
    let engines = hosts.members.each_ref().map(|member| pick(Engines::add(&mut member.host.lane())));
    let tape = Rc::default();
    hosts.members[1].host.lane().set_tap(Some(Box::new(Tape(Rc::clone(&tape)))));
    let transfer = TransferConfig { piece_bytes_max: 1200, ..TransferConfig::new(SEED, [20_000, 20_000]) };
    Transfer::start(&hosts, engines, transfer).finish(&hosts, Duration::from_secs(600));
    hosts.assert_clean();
    Rc::into_inner(tape).unwrap().into_inner()
}

/// How a frame is spoilt.
#[derive(Clone, Debug)]
enum Mutation {
    FlipBit(usize),
    SetByte(usize, u8),
    SetShort(usize, u16),
    Truncate(usize),
    Extend(Vec<u8>),
    Double(usize, usize),
    /// Checksums of IP and of what it carries are put right, so that the rest is looked at.
    Repair,
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let interesting = prop_oneof![Just(0_u16), Just(1), Just(0xffff), Just(0x8000), Just(0x7fff), any::<u16>()];
    let one = prop_oneof![
        4 => (0_usize..12_000).prop_map(Mutation::FlipBit),
        // Headers are where it hurts.
        4 => (0_usize..80 * 8).prop_map(Mutation::FlipBit),
        4 => (0_usize..90, any::<u8>()).prop_map(|(at, byte)| Mutation::SetByte(at, byte)),
        4 => (12_usize..90, interesting).prop_map(|(at, short)| Mutation::SetShort(at, short)),
        2 => (0_usize..1600).prop_map(Mutation::Truncate),
        1 => proptest::collection::vec(any::<u8>(), 1..100).prop_map(Mutation::Extend),
        1 => (0_usize..1500, 1_usize..200).prop_map(|(at, len)| Mutation::Double(at, len)),
    ];
    (proptest::collection::vec(one, 0..4), any::<bool>()).prop_map(|(mut all, repair)| {
        all.extend(repair.then_some(Mutation::Repair));
        all
    })
}

fn spoil(frame: &mut Vec<u8>, mutation: &Mutation) {
    let len = frame.len();
    match mutation {
        Mutation::FlipBit(bit) if len > 0 => frame[bit / 8 % len] ^= 1 << (bit % 8),
        Mutation::SetByte(at, byte) if len > 0 => frame[at % len] = *byte,
        Mutation::SetShort(at, short) if at + 2 <= len => frame[*at..at + 2].copy_from_slice(&short.to_be_bytes()),
        Mutation::Truncate(bytes) => frame.truncate(*bytes),
        Mutation::Extend(bytes) => frame.extend(bytes),
        Mutation::Double(at, bytes) if len > 0 => {
            let piece = frame[at % len..(at % len + bytes).min(len)].to_vec();
            let behind = at % len + piece.len();
            frame.splice(behind..behind, piece);
        }
        Mutation::Repair => repair_checksums(frame),
        Mutation::FlipBit(_) | Mutation::SetByte(..) | Mutation::SetShort(..) | Mutation::Double(..) => {}
    }
    frame.truncate(1800);
}

/// A frame of any kind: noise behind a plausible Ethernet header, or a recorded one, spoilt.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let noise = (0_usize..5, proptest::collection::vec(any::<u8>(), 0..200)).prop_map(|(kind, noise)| {
        let kinds: [&[u8]; 5] = [&[8, 0, 0x45], &[0x86, 0xdd, 0x60], &[8, 6, 0, 1], &[0x81, 0, 0, 0], &[]];
        [&mac(2)[..], &mac(1), kinds[kind], &noise].concat()
    });
    let pure_noise = proptest::collection::vec(any::<u8>(), 0..1600);
    let recorded = (any::<proptest::sample::Index>(), mutations()).prop_map(|(index, mutations)| {
        let mut frame = index.get(corpus()).1.clone();
        mutations.iter().for_each(|mutation| spoil(&mut frame, mutation));
        frame
    });
    prop_oneof![1 => noise, 1 => pure_noise, 12 => recorded]
}

/// Whether a receiver may take the frame for something: told apart without the code under test.
fn may_mean_something(frame: &[u8]) -> bool {
    let Some(destination) = frame.get(..6).filter(|_| frame.len() >= 14) else { return false };
    if destination != mac(2) && destination[0] & 1 == 0 || frame[6] & 1 == 1 {
        return false;
    }
    if frame[12..14] == [0x81, 0] {
        // A tag that gives only a priority is as none.
        let is_priority = frame.get(14..16).is_some_and(|tag| tag[0] & 15 == 0 && tag[1] == 0);
        let untagged = [&frame[..12], frame.get(16..).unwrap_or_default()].concat();
        return is_priority && may_mean_something(&untagged);
    }
    if frame[12..14] == [8, 6] {
        return frame.len() >= 42;
    }
    let Some(anatomy) = anatomy(frame) else { return false };
    let is_v4 = frame[12..14] == [8, 0];
    if frame[14] >> 4 != if is_v4 { 4 } else { 6 } || is_v4 && checksum(&frame[14..anatomy.transport.start]) != 0 {
        return false;
    }
    if anatomy.is_fragment {
        return true;
    }
    match transport_sum(frame, &anatomy) {
        // RFC 768: a sender over IPv4 may leave the checksum of a datagram out.
        Some((sum, field)) => sum == 0 || anatomy.protocol == 17 && is_v4 && frame[field..field + 2] == [0, 0],
        None => false,
    }
}

/// The victim: every transport listens, and its application takes and reads what comes.
struct Victim {
    world: World,
    host: Host,
    attacker: SimDriver,
    victim_end: EndHandle,
    honest: Option<Honest>,
    apps: Rc<RefCell<Vec<App>>>,
}

type App = Box<dyn FnMut() -> bool>;

/// Somebody else's transfer with the victim, on an interface of its own.
struct Honest {
    outcomes: [Rc<RefCell<burstlane_spec::Outcome>>; 2],
    ends: [EndHandle; 2],
    host: Host,
}

impl Victim {
    fn new(has_honest_peer: bool) -> Self {
        let world = World::new(Network::new());
        let pool = PoolConfig { slots: 256, ..PoolConfig::default() };
        let end = |n| EndConfig { pool, ..EndConfig::host(n) };
        let (attacker, ours) = world.network().link(end(1), end(2), Box::<Ideal>::default(), Box::<Ideal>::default());
        let victim_end = ours.handle();
        // The very lane that was recorded, so that its secrets, and what was made of them, are the same.
        let mut lane = Lane::new(small_lane(SEED * 2 + 1));
        let addresses = vec![(Hosts::v4(1), 24), (Hosts::v6(1), 64)];
        lane.add_interface(
            CheckedDriver::boxed(Box::new(ours)),
            InterfaceConfig { addresses, ..InterfaceConfig::default() },
        );
        let mut honest_link = None;
        if has_honest_peer {
            let delay = LinkConfig { delay: Duration::from_millis(3), ..LinkConfig::default() };
            let model = || StandardLink::boxed(delay.clone(), 1).unwrap();
            let (near, far) = world.network().link(end(3), end(4), model(), model());
            let ends = [near.handle(), far.handle()];
            let addresses = vec![(Ip::v4([10, 9, 9, 1]), 24)];
            lane.add_interface(
                CheckedDriver::boxed(Box::new(near)),
                InterfaceConfig { addresses, ..InterfaceConfig::default() },
            );
            honest_link = Some((far, ends));
        }
        let Engines { tcp, rudp, stop_and_wait, udp } = Engines::add(&mut lane);
        let host = Host::new(lane);
        let mut apps: Vec<App> = vec![
            Box::new(service(&host, tcp, PORT)),
            Box::new(service(&host, rudp, PORT)),
            Box::new(service(&host, stop_and_wait, PORT + 1)),
        ];
        let socket = host.bind(udp, Endpoint::new(Ip::ANY, 53)).unwrap();
        apps.push(Box::new(move || {
            let mut buf = [0; 2000];
            let Ok(received) = socket.recv(&mut buf) else { return false };
            // An answer to anybody, though nobody may be there.
            let _ = socket.send_to(&buf[..received.bytes], received.from);
            true
        }));
        let honest = honest_link.map(|(far, ends)| {
            let config = TransferConfig::new(77, [60_000, 60_000]);
            let (mut here, seen_here) = End::new(0, config, world.network());
            let (mut there, seen_there) = End::new(1, config, world.network());
            let listener = host.listen(tcp, Endpoint::new(Ip::v4([10, 9, 9, 1]), 81), 4).unwrap();
            apps.push(Box::new(move || {
                there.channel = there.channel.take().or_else(|| listener.accept());
                there.turn()
            }));
            let mut lane = Lane::new(small_lane(1234));
            let addresses = vec![(Ip::v4([10, 9, 9, 2]), 24)];
            lane.add_interface(
                CheckedDriver::boxed(Box::new(far)),
                InterfaceConfig { addresses, ..InterfaceConfig::default() },
            );
            let tcp = lane.add::<Tcp>(burstlane_tcp::Config::default()).unwrap();
            let peer = Host::new(lane);
            here.channel = Some(peer.connect(tcp, Endpoint::new(Ip::v4([10, 9, 9, 1]), 81)).unwrap());
            world.add_app(&peer, move |_| here.turn());
            Honest { outcomes: [seen_here, seen_there], ends, host: peer }
        });
        let apps = Rc::new(RefCell::new(apps));
        let run = apps.clone();
        world.add_app(&host, move |_| run.borrow_mut().iter_mut().fold(false, |moved, app| app() | moved));
        Self { world, host, attacker, victim_end, honest, apps }
    }

    /// A frame arrives; what the victim sends is thrown away, but for questions who has an address.
    fn attack(&mut self, frame: &[u8]) {
        let mut burst = vec![];
        if let Some(mut copy) = self.attacker.pool().alloc()
            && copy.extend_from_slice(frame)
        {
            burst.push(copy);
        }
        self.attacker.tx_burst(&mut burst).unwrap();
    }

    /// Lets time pass up to `at`, listening a hundred times a second.
    fn run_to(&mut self, at: Instant) {
        while self.world.now() < at {
            let span = at.since(self.world.now()).min(Duration::from_millis(10));
            self.world.run_for(span).unwrap();
            self.hear();
        }
    }

    fn hear(&mut self) -> usize {
        let mut frames = vec![];
        self.attacker.rx_burst(&mut frames, 10_000).unwrap();
        let replies: Vec<_> = frames.iter().filter_map(|frame| arp_reply(frame.bytes(), 1)).collect();
        replies.iter().for_each(|reply| self.attack(reply));
        frames.len()
    }

    fn counted(&self) -> u64 {
        let mut lane = self.host.lane();
        lane.drops().total() + lane.net().counters().total()
    }

    /// Flows, remnants and buffer bytes.
    fn alive(&self) -> (usize, usize, usize) {
        let lane = self.host.lane();
        (lane.flows(), lane.remnants(), lane.buffer_bytes())
    }

    /// Whether the host waits for a neighbour: an answer of a transport may be held back until it is found.
    fn is_asking(&self) -> bool {
        self.host.lane().net().next_deadline().is_some()
    }

    /// Whatever came, the bounds hold.
    fn check_bounds(&self, frames: usize) {
        let lane = self.host.lane();
        assert!(lane.flows() <= frames + 8, "{} flows of {frames} frames", lane.flows());
        assert!(lane.remnants() <= frames, "{} remnants of {frames} frames", lane.remnants());
        assert!(lane.buffer_bytes() <= frames * 4096 + (1 << 20), "{} bytes of {frames} frames", lane.buffer_bytes());
        // Slots out on both ends of the link: what was received is kept in the sender's memory here.
        let out = self.victim_end.frames_out() + self.attacker.handle().frames_out();
        assert!(out <= 512, "{out} frames out");
        let nameless = lane.drops().iter().find(|(reason, _)| !reason.0.contains(": "));
        assert_eq!(nameless, None, "a reason without its layer");
    }

    /// Nothing is alive, and no frame anywhere.
    fn is_empty(&self) -> bool {
        let hosts = [Some(&self.host), self.honest.as_ref().map(|honest| &honest.host)];
        let is_quiet = |host: &Host| {
            let lane = host.lane();
            (lane.flows(), lane.remnants(), lane.buffer_bytes()) == (0, 0, 0)
        };
        let frames_out = self.victim_end.frames_out() + self.attacker.handle().frames_out();
        frames_out == 0 && hosts.into_iter().flatten().all(is_quiet)
    }

    /// The applications let go, the attacker falls silent, and everything runs out.
    fn assert_clean(mut self) {
        self.apps.borrow_mut().clear();
        // What is not fetched holds the victim's packet memory, so somebody listens.
        for _ in 0..2400 {
            self.world.run_for(Duration::from_secs(1)).unwrap();
            self.hear();
            if self.is_empty() {
                break;
            }
        }
        let handles: Vec<EndHandle> = [self.victim_end.clone(), self.attacker.handle()]
            .into_iter()
            .chain(self.honest.iter().flat_map(|honest| honest.ends.clone()))
            .collect();
        for host in [&self.host].into_iter().chain(self.honest.iter().map(|honest| &honest.host)) {
            let lane = host.lane();
            let left = (lane.flows(), lane.remnants(), lane.buffer_bytes());
            assert_eq!(left, (0, 0, 0), "flows, remnants and bytes left");
        }
        assert_eq!(self.world.forced_advances(), 0, "turns without end");
        let out: Vec<usize> = handles.iter().map(EndHandle::frames_out).collect();
        assert!(out.iter().all(|out| *out == 0), "frames out: {out:?}");
        drop(self);
        assert!(handles.iter().all(|handle| handle.frames_out() == 0), "frames out after the lane is gone");
    }
}

/// Takes every flow, reads and echoes, and lets go of those that end.
fn service<T: Transport>(host: &Host, engine: EngineId<T>, port: u16) -> impl FnMut() -> bool + use<T>
where
    T::Io: Face,
{
    let listener: Listener<T> = host.listen(engine, Endpoint::new(Ip::ANY, port), 64).unwrap();
    let host = host.clone();
    let mut flows: Vec<Handle<T>> = vec![];
    let mut buf = vec![0; 1 << 16];
    move || {
        let mut moved = false;
        while let Some(flow) = listener.accept_flow() {
            flows.push(<T::Io as Face>::handle(&host, engine, flow));
            moved = true;
        }
        flows.retain(|flow| {
            loop {
                match flow.recv(&mut buf) {
                    Ok(Some(bytes)) => {
                        moved = true;
                        let _ = flow.send(&buf[..bytes]);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                    Ok(None) | Err(_) => {
                        moved = true;
                        return false;
                    }
                }
            }
        });
        moved
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_frame_is_counted_or_may_mean_something(frames in proptest::collection::vec(any_frame(), 1..60)) {
        let mut victim = Victim::new(false);
        for frame in &frames {
            let (before, alive) = (victim.counted(), victim.alive());
            let delivered = victim.victim_end.received().delivered;
            victim.attack(frame);
            while victim.host.receive(victim.world.now()) > 0 {}
            if victim.victim_end.received().delivered == delivered {
                continue; // it does not fit the wire
            }
            let is_counted = victim.counted() > before;
            prop_assert!(is_counted || may_mean_something(frame), "{frame:02x?} vanished");
            let is_new = victim.alive() != alive;
            let sent = victim.host.transmit(victim.world.now());
            // Where nothing is open, what reaches a transport opens something, is read or answered, or is counted.
            let is_for_transport = anatomy(frame).is_some_and(|a| !a.is_fragment && matches!(a.protocol, 6 | 17));
            let is_owed = victim.is_asking();
            let is_counted = victim.counted() > before;
            let is_taken = is_counted || is_new || sent > 0 || is_owed || alive.0 > 1 || alive.1 > 0;
            prop_assert!(is_taken || !is_for_transport, "{frame:02x?} vanished in a transport");
            victim.hear();
        }
        victim.check_bounds(frames.len());
        victim.assert_clean();
    }

    #[test]
    fn a_hostile_neighbour_leaks_nothing_and_disturbs_no_transfer_beside_it(
        frames in proptest::collection::vec((any_frame(), 0_u64..2_000), 50..150),
    ) {
        let mut victim = Victim::new(true);
        for (frame, pause_us) in &frames {
            victim.attack(frame);
            victim.world.run_for(Duration::from_micros(*pause_us)).unwrap();
            victim.hear();
        }
        victim.check_bounds(frames.len());
        victim.world.run_for(Duration::from_secs(5)).unwrap();
        let honest = victim.honest.as_ref().unwrap();
        let outcomes = honest.outcomes.each_ref().map(|outcome| *outcome.borrow());
        prop_assert!(outcomes.iter().all(|outcome| outcome.is_done), "{outcomes:?}");
        victim.assert_clean();
    }

    /// The recorded sessions as they were, but for a frame now and then: their handshakes work, as the lane is the same.
    #[test]
    fn spoilt_sessions_leak_nothing(
        spoilt in proptest::collection::vec(mutations(), 8),
        every in 1_usize..30,
        start in any::<proptest::sample::Index>(),
        from_start: bool,
    ) {
        let mut victim = Victim::new(false);
        // From the start, or from the middle of everything.
        let from = if from_start { 0 } else { start.index(corpus().len()) };
        for (i, (at, frame)) in corpus().iter().enumerate().skip(from) {
            let mut frame = frame.clone();
            if i % every == 0 {
                spoilt[i / every % spoilt.len()].iter().for_each(|mutation| spoil(&mut frame, mutation));
            }
            victim.run_to(*at);
            victim.attack(&frame);
        }
        victim.check_bounds(corpus().len());
        victim.assert_clean();
    }
}

/// The oracle says no to what is damaged and yes to what is whole, or the property above says nothing.
#[test]
fn recorded_frames_mean_something_and_damaged_ones_do_not() {
    let unspoilt = corpus().iter().filter(|(_, frame)| may_mean_something(frame)).count();
    assert_eq!(unspoilt, corpus().len());
    for (_, frame) in corpus().iter().filter(|(_, frame)| frame.len() > 60 && frame[12..14] == [8, 0]) {
        let mut damaged = frame.clone();
        damaged[27] ^= 4;
        assert!(!may_mean_something(&damaged), "{frame:02x?}");
        repair_checksums(&mut damaged);
        assert!(may_mean_something(&damaged));
    }
}

/// Received frames of a session are taken: were all of them dropped, nothing would have been tried.
#[test]
fn the_recorded_sessions_reach_the_transports() {
    let mut victim = Victim::new(false);
    let mut flows = 0;
    for (at, frame) in corpus() {
        victim.run_to(*at);
        victim.attack(frame);
        flows = flows.max(victim.host.lane().flows());
    }
    // The bound socket, and each transport over both versions of IP.
    assert_eq!(flows, 7, "flows at once");
    assert!(victim.counted() < corpus().len() as u64 / 2, "{:?}", victim.host.lane().drops());
    victim.assert_clean();
}

/// Found by the properties above: such a flow could send nothing, not even its end, and stayed for ever.
#[test]
fn a_flow_opened_from_where_no_route_leads_is_refused_by_name() {
    let mut victim = Victim::new(false);
    let flows = victim.host.lane().flows();
    let is_opening = |frame: &&(Instant, Vec<u8>)| frame.1[12..14] == [8, 0] && frame.1.len() == 58;
    let mut frame = corpus().iter().find(is_opening).unwrap().1.clone();
    frame[26] = 11;
    repair_checksums(&mut frame);
    victim.attack(&frame);
    victim.run_to(Instant::from_nanos(1_000_000));
    assert_eq!(victim.host.lane().flows(), flows);
    assert_eq!(victim.host.lane().drops().get("engine: no path back to who opens a flow"), 1);
    victim.assert_clean();
}
