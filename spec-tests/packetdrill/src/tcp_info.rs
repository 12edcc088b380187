//! `struct tcp_info` as Linux lays it out (`linux/tcp.h`). What is not known is zero; counts of segments that are known in
//! bytes are rounded up to whole segments.

use burstlane::toolkit::Recovery;
use burstlane_tcp::{State, TcpInfo, TcpSocket};

use crate::descriptors::{Role, Socket};

/// The bytes for a socket.
pub(crate) fn bytes(socket: &Socket) -> Vec<u8> {
    let mut layout = Layout(vec![0; BYTES]);
    match (&socket.role, socket.stream().and_then(TcpSocket::info)) {
        (Role::Listening(_), _) => layout.byte(0, LISTEN),
        (_, None) => layout.byte(0, CLOSE),
        (_, Some(info)) => fill(&mut layout, &info, socket.stream().map_or(0, TcpSocket::unsent)),
    }
    layout.0
}

fn fill(to: &mut Layout, info: &TcpInfo, unsent: usize) {
    let mss = u64::from(info.mss.max(1));
    let segments = |bytes: u64| bytes.div_ceil(mss);
    to.byte(0, state(info.state));
    to.byte(1, recovery(info.recovery));
    to.byte(2, info.timeouts_in_a_row);
    to.byte(3, info.keep_alive_probes);
    to.byte(4, info.back_off);
    let options = [info.timestamps, info.sack, info.window_scaling];
    to.byte(5, options.iter().enumerate().map(|(bit, on)| u8::from(*on) << bit).sum());
    to.byte(6, info.send_scale | info.receive_scale << 4);
    for (at, value) in [
        (8, micros(info.rto)),
        (12, micros(info.delayed_ack)),
        (16, mss),
        (20, info.receive_mss.into()),
        (24, segments(info.unacked)),
        (28, segments(info.sacked)),
        (32, segments(info.lost)),
        (68, micros(info.srtt)),
        (72, micros(info.rttvar)),
        (76, if info.ssthresh == u64::MAX { INFINITE } else { info.ssthresh / mss }),
        (80, info.cwnd / mss),
        (88, REORDERING),
        (96, info.receive_buffer.into()),
        (100, info.retransmits),
        (144, unsent as u64),
        (148, micros(info.min_rtt)),
        (192, segments(info.bytes_delivered)),
        (216, info.duplicates_told.into()),
        (224, info.out_of_order),
        (228, info.send_window.into()),
        (232, info.receive_window.into()),
    ] {
        to.word(at, value);
    }
    to.put(240, &u16::try_from(info.timeouts).unwrap_or(u16::MAX).to_ne_bytes());
    to.long(120, info.bytes_acked);
    to.long(128, info.bytes_received);
    to.long(200, info.bytes_sent);
    to.long(208, info.bytes_retransmitted);
}

/// Bytes at their offsets; beyond the end nothing is written.
struct Layout(Vec<u8>);

impl Layout {
    fn byte(&mut self, at: usize, value: u8) {
        self.put(at, &[value]);
    }

    fn word(&mut self, at: usize, value: u64) {
        self.put(at, &u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes());
    }

    fn long(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_ne_bytes());
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    }
}

fn micros(time: burstlane::time::Duration) -> u64 {
    time.as_micros() as u64
}

/// `TCP_*` of `net/tcp_states.h`.
fn state(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => CLOSE,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Closing => 11,
    }
}

/// `TCP_CA_*`.
fn recovery(recovery: Recovery) -> u8 {
    match recovery {
        Recovery::Open => 0,
        Recovery::Marked => 2,
        Recovery::Fast => 3,
        Recovery::Timeout => 4,
    }
}

const CLOSE: u8 = 7;
const LISTEN: u8 = 10;
/// `TCP_INFINITE_SSTHRESH`.
const INFINITE: u64 = 0x7fff_ffff;
/// Segments by which Linux takes a path to reorder, at first.
const REORDERING: u64 = 3;
/// Up to what accurate ECN added: packetdrill takes no shorter one.
const BYTES: usize = 280;
