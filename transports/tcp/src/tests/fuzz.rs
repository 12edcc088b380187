//! Segments at random: from a peer that means harm, who may say anything and must not make us panic, leak, or deliver what
//! it did not send; and from a stranger who knows no numbers, and must not be able to do anything at all.

use std::time::Duration;

use burstlane::congestion::{NAMES, by_name};
use burstlane::socket::{AppOp, Listener, Stream};

use super::raw::{LISTEN, PEER_PORT, Raw, Segment, offers};
use crate::wire::{ACK, Control, FIN, PSH, RST, SYN};
use crate::{Config, KeepAlive, Op, Tcp, TcpSocket};

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// What the peer's stream has at a sequence number, however often and in whatever pieces it sends it.
fn byte_at(seq: u32) -> u8 {
    (seq ^ seq >> 8 ^ seq >> 17) as u8
}

/// The attack of one peer on one host.
struct Attack {
    raw: Raw,
    dice: Dice,
    listener: Option<Listener<Tcp>>,
    streams: Vec<Served>,
    /// What the peer knows: its next number (as it was last acknowledged), and the highest of ours.
    seq: u32,
    ack: u32,
    stamp: Option<(u32, u32)>,
    port: u16,
    to: u16,
}

struct Served {
    stream: Stream<Tcp>,
    /// The number of the byte to be read next, once known.
    next: Option<u32>,
}

impl Attack {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let small = dice.one_in(2);
        let config = Config {
            timestamps: dice.one_in(2),
            sack: !dice.one_in(3),
            nagle: dice.one_in(2),
            time_wait_timeout: Duration::from_secs(2),
            ..Config::default()
        };
        let config = if small { config.with_buffers(4096, 4096) } else { config };
        let raw = Raw::new(config);
        let listener = Some(raw.listen(3));
        let seq = dice.pick(&[0, 0xffff_ff00, 0x7fff_fff0, dice_u32(seed)]);
        Self { raw, dice, listener, streams: vec![], seq, ack: 0, stamp: None, port: PEER_PORT, to: LISTEN }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0 => self.app(),
            1 => self.open(),
            2 => {
                let mtu = self.dice.pick(&[0, 1, 68, 575, 576, 900, 1500, 9000]);
                let seq = self.near(self.ack);
                self.raw.say_too_big(mtu, seq, self.to);
            }
            3 => {
                let time = self.dice.pick(&[0, 1, 5, 40, 200, 1000, 5000]);
                self.hear(Duration::from_millis(time));
            }
            _ => {
                for _ in 0..=self.dice.below(6) {
                    let segment = self.segment();
                    self.raw.put_segment(&segment);
                }
            }
        }
        self.hear(Duration::ZERO);
        self.read();
        self.check();
    }

    fn near(&mut self, number: u32) -> u32 {
        let far = self.dice.next() as u32;
        let by = self.dice.pick(&[0, 0, 0, 1, 2, 100, 536, 1460, 4096, 65_535, 1 << 20, 1 << 30, 1 << 31, far]);
        if self.dice.one_in(2) { number.wrapping_add(by) } else { number.wrapping_sub(by) }
    }

    fn segment(&mut self) -> Segment {
        let flags = match self.dice.below(24) {
            0 => RST | ACK,
            1 => RST,
            2 => SYN,
            3 => SYN | ACK,
            4 => FIN,
            5 => self.dice.next() as u16 & 0x1ff,
            6 | 7 => FIN | ACK,
            8 => FIN | PSH | ACK,
            _ => ACK,
        };
        let (seq, ack) = (self.near(self.seq), self.near(self.ack));
        // A reset that is right would end the game too soon.
        let flags = if flags & RST != 0 && !self.dice.one_in(8) { ACK } else { flags };
        let bytes = self.dice.pick(&[0, 0, 0, 1, 1, 7, 100, 536, 1000, 1448]) as u32;
        // The first byte behind a SYN has the next number.
        let first = seq.wrapping_add(u32::from(flags & SYN != 0));
        let payload: Vec<u8> = (0..bytes).map(|at| byte_at(first.wrapping_add(at))).collect();
        let window = self.dice.pick(&[0, 0, 1, 2, 100, 1000, 0x7fff, 0xffff]);
        let segment = Segment { port: self.port, to: self.to, ..Segment::new(flags, seq, ack) };
        let options = self.options(seq, flags & SYN != 0);
        let room = 1480 - 20 - options.len();
        segment.with(&payload[..payload.len().min(room)]).window(window).options(options)
    }

    fn options(&mut self, seq: u32, is_syn: bool) -> Vec<u8> {
        let mut options = vec![];
        if let Some((value, echo)) = self.stamp.filter(|_| !self.dice.one_in(10)) {
            let value = if self.dice.one_in(8) { self.near(value) } else { value };
            let echo = if self.dice.one_in(8) { self.near(echo) } else { echo };
            options.extend([1, 1, 8, 10]);
            options.extend(value.to_be_bytes());
            options.extend(echo.to_be_bytes());
        }
        match self.dice.below(8) {
            0 => {
                let count = 1 + self.dice.below(if options.is_empty() { 4 } else { 3 });
                options.extend([1, 1, 5, 2 + 8 * count as u8]);
                for _ in 0..count {
                    let (from, to) = (self.near(self.ack), self.near(self.ack));
                    options.extend(from.to_be_bytes());
                    options.extend(to.to_be_bytes());
                }
            }
            1 => options.extend((0..4).map(|_| self.dice.next() as u8)),
            2 if is_syn => {
                let mss = self.dice.pick(&[0, 1, 88, 536, 1460, 65_535]);
                let scale = self.dice.pick(&[None, Some(0), Some(7), Some(14), Some(255)]);
                options.extend(offers(mss, scale, !self.dice.one_in(3)));
            }
            3 => options.extend(seq.to_be_bytes()),
            _ => {}
        }
        options.truncate(40);
        options
    }

    /// A fresh connection, by the peer or by the host, and mostly by the book.
    fn open(&mut self) {
        self.port = PEER_PORT + self.dice.below(3) as u16;
        if self.streams.len() < 6 && self.dice.one_in(3) {
            self.port = PEER_PORT;
            let stream = self.raw.connect();
            self.to = stream.local().map_or(LISTEN, |local| local.port);
            self.streams.push(Served { stream, next: None });
            self.hear(Duration::ZERO);
            return;
        }
        self.to = LISTEN;
        self.seq = self.seq.wrapping_add(100_000);
        let mut options =
            offers(self.dice.pick(&[0, 88, 536, 1460, 65_535]), self.dice.pick(&[None, Some(3), Some(14)]), true);
        let stamped = self.dice.one_in(2);
        self.stamp = None;
        if stamped {
            options.extend([1, 1, 8, 10, 0, 0, 0, 77, 0, 0, 0, 0]);
        }
        let syn = Segment { port: self.port, ..Segment::new(SYN, self.seq, 0) };
        self.raw.put_segment(&syn.options(options));
        self.hear(Duration::ZERO);
        let answer = Segment { port: self.port, ..Segment::new(ACK, self.seq, self.ack) };
        let options = match self.stamp {
            Some((value, echo)) => [&[1, 1, 8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat(),
            None => vec![],
        };
        self.raw.put_segment(&answer.options(options));
    }

    /// What the host's application does.
    fn app(&mut self) {
        if let Some(stream) = self.listener.as_ref().and_then(Listener::accept) {
            self.streams.push(Served { stream, next: None });
        }
        if self.streams.is_empty() {
            return;
        }
        let at = self.dice.below(self.streams.len() as u64) as usize;
        match self.dice.below(16) {
            12.. => self.ask(at),
            0 => drop(self.streams.swap_remove(at)),
            1 => self.streams[at].stream.abort(),
            2 | 3 => self.streams[at].stream.shutdown(),
            _ => {
                let bytes = self.dice.pick(&[1, 100, 5000, 100_000]);
                let _ = self.streams[at].stream.write(&vec![b'x'; bytes]);
            }
        }
    }

    /// Any wish, of any size.
    fn ask(&mut self, at: usize) {
        let on = self.dice.one_in(2);
        let amount = self.dice.pick(&[0, 1, 100, 3000, 65_535, 1 << 20, u32::MAX]);
        let time = on.then(|| Duration::from_millis(u64::from(amount)));
        let pause = Duration::from_millis(u64::from(amount));
        let op = match self.dice.below(14) {
            0 => Op::NoDelay(on),
            1 => Op::Cork(on),
            2 => Op::QuickAck(amount),
            3 => Op::KeepAlive(on.then_some(KeepAlive { idle: pause, interval: pause, probes: amount as u8 })),
            4 => Op::UserTimeout(time),
            5 => Op::Linger(time),
            6 => Op::Congestion(by_name(self.dice.pick(&NAMES)).unwrap()),
            7 => Op::SendBuffer(amount),
            8 => Op::ReceiveBuffer(amount),
            9 => Op::Mss(amount as u16),
            10 => Op::Dscp(amount as u8),
            11 => Op::Unsent(amount),
            12 => Op::Pacing(on.then_some(u64::from(amount))),
            _ => Op::Urgent,
        };
        self.streams[at].stream.operate(AppOp::Own(Box::new(op)));
    }

    fn read(&mut self) {
        if let Some(stream) = self.listener.as_ref().and_then(Listener::accept) {
            self.streams.push(Served { stream, next: None });
        }
        let mut buf = [0; 3000];
        for served in &mut self.streams {
            if let Some(first) = served.stream.inspect(|tcp, conn| tcp.first_expected(conn)).flatten() {
                served.next.get_or_insert(first);
            }
            if self.dice.one_in(3) {
                continue;
            }
            while let Ok(bytes) = served.stream.read(&mut buf) {
                let Some(next) = served.next.filter(|_| bytes > 0) else { break };
                for (at, byte) in buf[..bytes].iter().enumerate() {
                    assert_eq!(*byte, byte_at(next.wrapping_add(at as u32)), "a byte that was not sent there");
                }
                served.next = Some(next.wrapping_add(bytes as u32));
            }
        }
    }

    fn hear(&mut self, time: Duration) {
        for (header, payload, port) in self.raw.heard(time) {
            if port != self.port || header.control == Control::Rst {
                continue;
            }
            let syn = u32::from(header.control == Control::Syn);
            let end = header.seq + (payload.len() as u32 + syn);
            if syn == 1 || (end.0.wrapping_sub(self.ack) as i32) > 0 {
                self.ack = end.0;
            }
            if let Some(ack) = header.ack {
                self.seq = ack.0;
            }
            self.stamp = header.timestamps.map(|stamps| (stamps.echo.wrapping_add(1), stamps.value));
        }
    }

    fn check(&self) {
        for served in &self.streams {
            served.stream.inspect(|_, conn| conn.ledger.check_invariants());
            let _ = (served.stream.info(), served.stream.settings(), served.stream.urgent_bytes());
        }
        assert!(self.raw.flows() <= 64 && self.raw.remnants() <= 64);
        assert!(self.raw.buffer_bytes() <= 64 << 20);
        assert!(self.raw.end.frames_out() <= self.raw.end.pools().0.slots());
    }

    /// The application lets go, the peer falls silent: in the end nothing is left.
    fn end(mut self) {
        self.streams.clear();
        self.listener = None;
        self.raw.world.run_for(Duration::from_secs(4000)).unwrap();
        self.raw.assert_clean();
    }
}

fn dice_u32(seed: u64) -> u32 {
    Dice(seed).next() as u32
}

impl Tcp {
    /// The number of the first byte of the peer's stream, once its SYN is here.
    fn first_expected(&self, conn: &crate::Conn) -> Option<u32> {
        let irs = self.cold.get_at(conn.cold)?.irs;
        (irs != 0).then(|| irs.wrapping_add(1) as u32)
    }
}

/// More with `TCP_FUZZ_SEEDS`; with `TCP_FUZZ_SEED` only one of them.
#[test]
fn a_hostile_peer_says_anything() {
    let env = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let all = env("TCP_FUZZ_SEED").map_or(0..env("TCP_FUZZ_SEEDS").unwrap_or(25), |seed| seed..seed + 1);
    for seed in all {
        let attack = || {
            let mut attack = Attack::new(seed);
            attack.open();
            for _ in 0..300 {
                attack.step();
            }
            attack.end();
        };
        std::panic::catch_unwind(attack).unwrap_or_else(|_| panic!("TCP_FUZZ_SEED={seed}"));
    }
}

/// Off the path, with addresses and ports known and numbers not: the connection goes on as if nothing were.
#[test]
fn a_blind_stranger_does_nothing() {
    for seed in 0..5 {
        let mut dice = Dice(seed);
        let config = Config { timestamps: false, ..Config::default() };
        let mut raw = Raw::new(config);
        let listener = raw.listen(3);
        let mut open = raw.opened(&listener, offers(1460, None, true), 1000);
        let (mut answers, mut received, mut buf) = (0, 0, [0; 2000]);
        for _ in 0..400 {
            for _ in 0..5 {
                let flags = dice.pick(&[RST, RST | ACK, SYN, SYN | ACK, ACK, FIN | ACK, PSH | ACK, 0]);
                let forged = Segment::new(flags, dice.next() as u32, dice.next() as u32);
                answers += raw.say(&forged.with(&[0xee; 500][..dice.below(500) as usize])).len();
            }
            let text: Vec<u8> = (0..100).map(|at| byte_at(received + at)).collect();
            let _ = open.stream.write(b"x");
            for (header, payload, _) in raw.say(&Segment::new(ACK | PSH, open.seq, open.ack).with(&text)) {
                let end = header.seq.0.wrapping_add(payload.len() as u32);
                open.ack = if (end.wrapping_sub(open.ack) as i32) > 0 { end } else { open.ack };
            }
            open.seq = open.seq.wrapping_add(100);
            assert_eq!(open.stream.read(&mut buf).unwrap(), 100);
            assert_eq!(buf[..100], text);
            received += 100;
        }
        assert_eq!(open.stream.ended(), None);
        assert!(answers <= 2000, "{answers} answers to 2000 forged segments");
        open.stream.abort();
        drop((open, listener));
        raw.assert_clean();
    }
}
