//! [`TcpSocket`]: what a stream over TCP can do beyond other streams. Of a connection that is over nothing is left to be set or
//! read: setters then do nothing.

use std::io;

use burstlane::congestion::{NAMES, by_name};
use burstlane::socket::{AppOp, Stream};
use burstlane::time::Duration;
use burstlane::transport::FlowError;
use thiserror::Error;

use crate::conn::{Conn, Wish};
use crate::op::Op;
use crate::settings::KeepAlive;
use crate::{Tcp, TcpInfo};

/// Options of one connection; what is not set is as [`Config`](crate::Config) says, also for accepted ones. Values outside
/// their range are taken as the nearest one within.
pub trait TcpSocket {
    /// Sends small segments at once, not only when what was sent before is acknowledged (RFC 9293 3.7.4, MUST-17).
    fn set_no_delay(&self, on: bool);

    /// Holds back what does not fill a segment, for 200 ms at most. Switched off, or at the end of what is sent, it leaves.
    fn set_cork(&self, on: bool);

    /// Lets the next `count` acknowledgements leave at once, and one that waits now; 0 ends it.
    fn set_quick_ack(&self, count: u32);

    /// Asks a silent peer whether it is there, or no more (RFC 9293 3.8.4). Silence is counted from now.
    fn set_keep_alive(&self, keep_alive: Option<KeepAlive>);

    /// Gives the connection up when what was sent is not acknowledged for so long, or a silent peer does not answer
    /// (RFC 9293 3.8.3, RFC 5482); `None` leaves that to the numbers of retries.
    fn set_user_timeout(&self, limit: Option<Duration>);

    /// How long what was written has to arrive once this handle is dropped; then the peer is sent a reset. Zero resets at
    /// once, `None` gives all the time that retries take.
    fn set_linger(&self, time: Option<Duration>);

    /// Changes the congestion controller; the new one begins with the initial window.
    ///
    /// # Errors
    /// There is none of that name.
    fn set_congestion(&self, name: &str) -> Result<(), UnknownController>;

    /// Room for what is written and not acknowledged: 4 KiB to 1 GiB. Less than is there now loses nothing.
    fn set_send_buffer(&self, bytes: u32);

    /// Room for what was received and not read: 4 KiB to 1 GiB. The window is never taken back, and ends where the scale
    /// does that was agreed on at the start.
    fn set_receive_buffer(&self, bytes: u32);

    /// No larger segments, bytes, headers not counted: at least 88. Before the SYN leaves it is also what is offered.
    fn set_mss(&self, bytes: u16);

    /// The differentiated services code point of all packets, 0 to 63 (RFC 2474; RFC 9293 3.9.1.9). The two bits of ECN beside
    /// it are the transport's.
    fn set_dscp(&self, dscp: u8);

    /// Takes no more than so many bytes, at least 1, that were never sent; `WRITABLE` is told when there are less.
    fn set_unsent_max(&self, bytes: u32);

    /// Sends no more bytes of the stream in a second, at least 1000, whatever the congestion controller would; `None` ends it.
    fn set_pacing_max(&self, bytes_per_second: Option<u64>);

    /// What holds now; `None` once the connection is over.
    fn settings(&self) -> Option<TcpSettings>;

    /// Its figures now; `None` once the connection is over.
    fn info(&self) -> Option<TcpInfo>;

    /// Bytes that were written and never sent.
    fn unsent(&self) -> usize;

    /// Writes, and marks all that was written up to now as urgent (RFC 9293 3.8.5). It stays in line. For protocols that
    /// need it: new ones should not (SHLD-13).
    ///
    /// # Errors
    /// As [`Stream::write`].
    fn write_urgent(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Bytes up to the end of the peer's urgent data, from the one that is read next; not all of them may have come. Zero if
    /// nothing is urgent. [`Ready::URGENT`](burstlane::socket::Ready::URGENT) tells when the mark moves.
    fn urgent_bytes(&self) -> u64;

    /// The last trouble that did not end the connection (RFC 9293 3.9.1.8), until the peer answers after it:
    /// [`TimedOut`](FlowError::TimedOut) when three retransmissions were in vain,
    /// [`Unreachable`](FlowError::Unreachable) when the network said so.
    /// [`Ready::TROUBLE`](burstlane::socket::Ready::TROUBLE) tells when there is some.
    fn soft_error(&self) -> Option<FlowError>;
}

impl TcpSocket for Stream<Tcp> {
    fn set_no_delay(&self, on: bool) {
        ask(self, Op::NoDelay(on));
    }

    fn set_cork(&self, on: bool) {
        ask(self, Op::Cork(on));
    }

    fn set_quick_ack(&self, count: u32) {
        ask(self, Op::QuickAck(count));
    }

    fn set_keep_alive(&self, keep_alive: Option<KeepAlive>) {
        ask(self, Op::KeepAlive(keep_alive));
    }

    fn set_user_timeout(&self, limit: Option<Duration>) {
        ask(self, Op::UserTimeout(limit));
    }

    fn set_linger(&self, time: Option<Duration>) {
        ask(self, Op::Linger(time));
    }

    fn set_congestion(&self, name: &str) -> Result<(), UnknownController> {
        let controller = by_name(name).ok_or_else(|| UnknownController { name: name.into() })?;
        ask(self, Op::Congestion(controller));
        Ok(())
    }

    fn set_send_buffer(&self, bytes: u32) {
        ask(self, Op::SendBuffer(bytes));
    }

    fn set_receive_buffer(&self, bytes: u32) {
        ask(self, Op::ReceiveBuffer(bytes));
    }

    fn set_mss(&self, bytes: u16) {
        ask(self, Op::Mss(bytes));
    }

    fn set_dscp(&self, dscp: u8) {
        ask(self, Op::Dscp(dscp));
    }

    fn set_unsent_max(&self, bytes: u32) {
        ask(self, Op::Unsent(bytes));
    }

    fn set_pacing_max(&self, bytes_per_second: Option<u64>) {
        ask(self, Op::Pacing(bytes_per_second));
    }

    fn settings(&self) -> Option<TcpSettings> {
        self.inspect(Tcp::settings_of)
    }

    fn info(&self) -> Option<TcpInfo> {
        self.inspect(Tcp::info)
    }

    fn unsent(&self) -> usize {
        self.inspect_io(|_, conn, io| io.tx.len().saturating_sub(conn.sent_data())).unwrap_or(0)
    }

    fn write_urgent(&self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.write(bytes)?;
        ask(self, Op::Urgent);
        Ok(taken)
    }

    fn urgent_bytes(&self) -> u64 {
        self.inspect_io(|tcp, conn, io| tcp.urgent_bytes(conn, io)).unwrap_or(0)
    }

    fn soft_error(&self) -> Option<FlowError> {
        self.inspect(|tcp, conn| tcp.cold.get_at(conn.cold)?.soft_error).flatten()
    }
}

fn ask(stream: &Stream<Tcp>, op: Op) {
    stream.operate(AppOp::Own(Box::new(op)));
}

/// Options of a connection as they are now; the methods of [`TcpSocket`] say what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpSettings {
    /// Small segments do not wait.
    pub no_delay: bool,
    /// What does not fill a segment waits.
    pub cork: bool,
    /// Acknowledgements to come that wait for nothing.
    pub quick_acks: u32,
    /// When a silent peer is asked.
    pub keep_alive: Option<KeepAlive>,
    /// When a peer that does not acknowledge is given up.
    pub user_timeout: Option<Duration>,
    /// How long what was written has to arrive after the end.
    pub linger: Option<Duration>,
    /// The congestion controller's name.
    pub congestion: &'static str,
    /// Room for what is to be sent, bytes.
    pub send_buffer_bytes: u32,
    /// Room for what was received, bytes.
    pub receive_buffer_bytes: u32,
    /// Largest segment to be sent, bytes; 65,535 if the application does not care.
    pub mss_max: u16,
    /// The differentiated services code point.
    pub dscp: u8,
    /// Most bytes that wait to be sent for the first time.
    pub unsent_bytes_max: u32,
    /// Most bytes sent in a second.
    pub pacing_max: Option<u64>,
}

impl Tcp {
    /// The options of a connection.
    #[must_use]
    pub fn settings_of(&self, conn: &Conn) -> TcpSettings {
        let settings = self.settings(conn);
        let quick_acks = self.cold.get_at(conn.cold).map_or(0, |cold| cold.quick_acks);
        TcpSettings {
            no_delay: conn.wishes(Wish::NoDelay),
            cork: conn.wishes(Wish::Cork),
            quick_acks: if conn.wishes(Wish::QuickAck) { quick_acks } else { 0 },
            keep_alive: settings.keep_alive,
            user_timeout: settings.user_timeout,
            linger: settings.linger,
            congestion: settings.congestion.as_ref().unwrap_or(&self.config.congestion).name(),
            send_buffer_bytes: settings.send_buffer_bytes,
            receive_buffer_bytes: settings.receive_buffer_bytes,
            mss_max: settings.mss_max,
            dscp: settings.dscp,
            unsent_bytes_max: settings.unsent_bytes_max,
            pacing_max: settings.pacing_max,
        }
    }
}

/// A congestion controller was asked for that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no congestion controller is named {name:?}; there are {}", NAMES.join(", "))]
pub struct UnknownController {
    /// What was asked for.
    pub name: String,
}
