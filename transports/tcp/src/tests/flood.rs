//! SYNs from random addresses, a hundred each millisecond: what a host remembers of them is bounded, and a client that is there gets in.

use std::time::Duration;

use burstlane::addr::Ip;

use super::raw::{Raw, Segment, Sent, THEM, offers};
use crate::Config;
use crate::wire::{ACK, Control, SYN};

/// In an optimized build a million; otherwise fewer of the same, for they take as long.
const SYNS: u64 = if cfg!(debug_assertions) { 40_000 } else { 1_000_000 };
const EACH_MS: u64 = 100;

struct Flood {
    raw: Raw,
    state: u64,
    remnants_max: usize,
    memory_max: usize,
}

impl Flood {
    fn random(&mut self) -> u64 {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 27
    }

    /// A millisecond of it, among it what the client says. Returns what the host says to the client.
    fn millisecond(&mut self, client: Option<&Segment>) -> Vec<Sent> {
        for n in 0..EACH_MS {
            let (random, from) = (self.random(), self.random() as u32);
            // Any unicast address: 1.0.0.0 to 126.255.255.255, but not the link's.
            let [a, b, c, d] = from.to_be_bytes();
            self.raw.from = [1 + a % 126, b, c, d];
            self.raw.from[0] += u8::from(self.raw.from[0] == 10);
            let syn = Segment { port: 1024 + (random as u16) / 2, ..Segment::new(SYN, (random >> 20) as u32, 0) };
            self.raw.put_segment(&syn.options(offers(1460, None, true)));
            if let (Some(client), 50) = (client, n) {
                self.raw.from = THEM;
                self.raw.put_segment(client);
            }
        }
        let said = self.raw.heard(Duration::from_millis(1));
        self.remnants_max = self.remnants_max.max(self.raw.remnants());
        self.memory_max = self.memory_max.max(self.raw.buffer_bytes());
        said.into_iter().filter(|(_, _, port)| *port == CLIENT_PORT).collect()
    }
}

/// Below all ports of the flood.
const CLIENT_PORT: u16 = 1000;

#[test]
fn a_client_gets_in_while_a_million_others_knock() {
    let raw = Raw::new(Config::default());
    raw.host.lane().add_route(Ip::v4([0; 4]), 0, Ip::v4(THEM)).unwrap();
    let listener = raw.listen(128);
    let mut flood = Flood { raw, state: 1, remnants_max: 0, memory_max: 0 };
    for _ in 0..SYNS / EACH_MS / 2 {
        flood.millisecond(None);
    }
    let (half_open, memory) = (flood.remnants_max, flood.memory_max);

    let client = |segment: Segment| Segment { port: CLIENT_PORT, ..segment };
    let syn = client(Segment::new(SYN, 7_000, 0)).options(offers(1460, None, true));
    let mut waited_ms = 0;
    let syn_ack = loop {
        let said = flood.millisecond((waited_ms % 1000 == 0).then_some(&syn));
        waited_ms += 1;
        if let Some((header, ..)) = said.first() {
            break *header;
        }
        assert!(waited_ms < 2_000, "neither of two tries was answered");
    };
    assert_eq!((syn_ack.control, syn_ack.ack.map(|ack| ack.0)), (Control::Syn, Some(7_001)));
    let text = client(Segment::new(ACK, 7_001, syn_ack.seq.0 + 1)).with(b"let me in");
    flood.millisecond(Some(&text));
    let stream = listener.accept().expect("the handshake is complete");
    let mut room = [0; 20];
    assert_eq!(stream.read(&mut room).unwrap(), 9);
    assert_eq!(&room[..9], b"let me in");

    for _ in 0..SYNS / EACH_MS / 2 {
        flood.millisecond(None);
    }
    assert_eq!(flood.remnants_max, half_open, "no more are half-open than in the first half");
    assert!(half_open <= 1024, "{half_open}");
    assert!(flood.memory_max <= memory + 16 * 1024, "{} after {memory}", flood.memory_max);
    assert_eq!(flood.raw.flows(), 1);
    stream.abort();
}
