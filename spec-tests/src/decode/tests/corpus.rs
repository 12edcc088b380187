//! Frames that hosts really sent, one of each kind.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use burstlane::observe::{Direction, FrameTap};
use burstlane::socket::MessageSocket;
use burstlane::time::Instant;
use burstlane_sim::LinkConfig;
use burstlane_tcp::Tcp;
use burstlane_udp::{Udp, UdpConfig};

use crate::packets::checksum;
use crate::{Channel, Hosts, HostsConfig, Transfer, TransferConfig};

/// What a frame is an example of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Arp,
    Neighbour,
    Syn4,
    Syn6,
    SynAck4,
    Data4,
    Data6,
    Sack4,
    Fin4,
    Reset4,
    Udp4,
    Udp6,
    First4,
    First6,
    Unreachable4,
    Unreachable6,
}

impl Kind {
    pub(super) const ALL: [Self; 16] = [
        Self::Arp,
        Self::Neighbour,
        Self::Syn4,
        Self::Syn6,
        Self::SynAck4,
        Self::Data4,
        Self::Data6,
        Self::Sack4,
        Self::Fin4,
        Self::Reset4,
        Self::Udp4,
        Self::Udp6,
        Self::First4,
        Self::First6,
        Self::Unreachable4,
        Self::Unreachable6,
    ];

    fn is(self, frame: &[u8]) -> bool {
        let v4 = |protocol| frame[12..14] == [8, 0] && frame[23] == protocol;
        let v6 = |protocol| frame[12..14] == [0x86, 0xdd] && frame[20] == protocol;
        let is_whole4 = frame[20] & 0x3f == 0 && frame[21] == 0;
        match self {
            Self::Arp => frame[12..14] == [8, 6],
            Self::Neighbour => v6(58) && frame[54] == 135,
            Self::Syn4 => v4(6) && frame[47] == 0x02,
            Self::Syn6 => v6(6) && frame[67] == 0x02,
            Self::SynAck4 => v4(6) && frame[47] == 0x12,
            Self::Data4 => v4(6) && frame.len() > 1000,
            Self::Data6 => v6(6) && frame.len() > 1000,
            // Behind timestamps: NOP, NOP, SACK.
            Self::Sack4 => v4(6) && frame[46] >> 4 >= 11 && frame[47] == 0x10 && frame[66..69] == [1, 1, 5],
            Self::Fin4 => v4(6) && frame[47] & 1 != 0,
            Self::Reset4 => v4(6) && frame[47] & 4 != 0,
            Self::Udp4 => v4(17) && is_whole4,
            Self::Udp6 => v6(17),
            Self::First4 => v4(17) && frame[20] & 0x20 != 0 && frame[21] == 0,
            Self::First6 => v6(44) && frame[56..58] == [0, 1],
            Self::Unreachable4 => v4(1) && frame[34] == 3,
            Self::Unreachable6 => v6(58) && frame[54] == 1,
        }
    }
}

/// A frame of this kind.
pub(super) fn frame(kind: Kind) -> &'static [u8] {
    let found = corpus().iter().find(|frame| kind.is(frame));
    found.unwrap_or_else(|| panic!("nobody sent {kind:?}"))
}

/// Everything that hosts sent in some conversations.
pub(super) fn corpus() -> &'static [Vec<u8>] {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CORPUS.get_or_init(|| [false, true].into_iter().flat_map(|is_v6| [tcp(is_v6), udp(is_v6)].concat()).collect())
}

struct Tape(Rc<RefCell<Vec<Vec<u8>>>>);

impl FrameTap for Tape {
    fn frame(&mut self, _: Instant, netif: u16, direction: Direction, bytes: &[u8], _: Option<&str>) {
        // Interface 0 is the lane's own loopback.
        if direction == Direction::Out && netif > 0 {
            self.0.borrow_mut().push(bytes.to_vec());
        }
    }
}

fn record(is_v6: bool, talk: impl FnOnce(&Hosts)) -> Vec<Vec<u8>> {
    let link = LinkConfig { delay: Duration::from_millis(5), loss: 0.05, ..LinkConfig::default() };
    let hosts = Hosts::new(HostsConfig { is_v6, ..HostsConfig::new(3).with_link(&link) });
    let tape = Rc::default();
    for member in &hosts.members {
        member.host.lane().set_tap(Some(Box::new(Tape(Rc::clone(&tape)))));
    }
    talk(&hosts);
    hosts.assert_clean();
    tape.take()
}

fn tcp(is_v6: bool) -> Vec<Vec<u8>> {
    record(is_v6, |hosts| {
        let engines = hosts.add::<Tcp>(burstlane_tcp::Config::default());
        let transfer = Transfer::start(hosts, engines, TransferConfig::new(1, [60_000, 60_000]));
        transfer.finish(hosts, Duration::from_secs(600));
        let aborted = hosts.connect(engines);
        hosts.world.run_for(Duration::from_millis(100)).unwrap();
        aborted.abort();
    })
}

fn udp(is_v6: bool) -> Vec<Vec<u8>> {
    record(is_v6, |hosts| {
        let engines = hosts.add::<Udp>(UdpConfig::default());
        let client: MessageSocket<Udp> = hosts.connect(engines);
        // One that fits, one that does not, and nobody listens.
        for bytes in [100, 4000, 200] {
            // That nobody is there, the next call hears once.
            while Channel::send(&client, &vec![7; bytes]).is_err() {}
            hosts.world.run_for(Duration::from_secs(2)).unwrap();
        }
    })
}

/// Puts the checksums of a damaged packet right again, so that the damage itself must be found.
pub(super) fn repair(frame: &mut [u8]) {
    let (transport_at, protocol, mut pseudo) = match frame.get(12..14) {
        Some([8, 0]) if frame.len() >= 34 => {
            frame[24..26].fill(0);
            let sum = checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            (34, frame[23], frame[26..34].to_vec())
        }
        Some([0x86, 0xdd]) if frame.len() >= 54 => (54, frame[20], frame[22..54].to_vec()),
        _ => return,
    };
    let field = match protocol {
        6 => 16,
        17 => 6,
        1 | 58 => 2,
        _ => return,
    };
    let transport = &mut frame[transport_at..];
    let Some(place) = transport.get_mut(field..field + 2) else { return };
    place.fill(0);
    pseudo.extend([0, protocol]);
    pseudo.extend((transport.len() as u16).to_be_bytes());
    if protocol == 1 {
        pseudo.clear();
    }
    pseudo.extend_from_slice(transport);
    let sum = checksum(&pseudo);
    let sum = if sum == 0 { 0xffff } else { sum };
    transport[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}
