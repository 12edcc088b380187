//! The states of RFC 9293 3.3.2 that a connection with a control block can be in, and the edges between them. LISTEN is
//! a listener of the framework, CLOSED absence, and most of SYN-RECEIVED and TIME-WAIT are remnants
//! ([`Remnant`](crate::remnant::Remnant)).

use std::fmt;

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// A SYN was sent, none received.
    SynSent,
    /// SYNs crossed (both sides opened), or a half-open remnant was just completed.
    SynReceived,
    /// Open both ways.
    Established,
    /// We finished; the FIN is not acknowledged.
    FinWait1,
    /// We finished and the peer knows.
    FinWait2,
    /// The peer finished.
    CloseWait,
    /// Both finished at once; our FIN is not acknowledged.
    Closing,
    /// Both finished, the peer first; our FIN is not acknowledged.
    LastAck,
    /// Both finished; the last ACK leaves, then a remnant stays.
    TimeWait,
    /// Over.
    Closed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
        Self::Closed,
    ];

    /// As RFC 9293 writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
        }
    }

    /// Whether both sequence numbers are agreed upon.
    #[inline]
    #[must_use]
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Self::SynSent | Self::SynReceived | Self::Closed)
    }

    /// Whether data and FINs of ours may leave.
    #[inline]
    #[must_use]
    pub const fn can_send(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::CloseWait | Self::Closing | Self::LastAck)
    }

    /// Whether data of the peer may still come.
    #[inline]
    #[must_use]
    pub const fn can_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// Whether the edge is in the diagram (RFC 9293 figure 5), or one that text adds to it: to CLOSED from anywhere
    /// (reset, abort, timeout), and to both FIN states at once.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        self.edges() >> next as u8 & 1 == 1
    }

    /// The states that may follow, as bits.
    const fn edges(self) -> u16 {
        const fn set(states: &[State]) -> u16 {
            let (mut bits, mut at) = (1 << State::Closed as u8, 0);
            while at < states.len() {
                if let Some((_, [state, ..])) = states.split_at_checked(at) {
                    bits |= 1 << *state as u8;
                }
                at += 1;
            }
            bits
        }
        match self {
            Self::SynSent => const { set(&[Self::SynReceived, Self::Established]) },
            Self::SynReceived => const { set(&[Self::Established, Self::FinWait1, Self::CloseWait]) },
            Self::Established => const { set(&[Self::FinWait1, Self::CloseWait]) },
            Self::FinWait1 => const { set(&[Self::FinWait2, Self::Closing, Self::TimeWait]) },
            Self::FinWait2 => const { set(&[Self::TimeWait]) },
            Self::CloseWait => const { set(&[Self::LastAck]) },
            Self::Closing => const { set(&[Self::TimeWait]) },
            Self::LastAck | Self::TimeWait => const { set(&[]) },
            Self::Closed => 0,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_legal_edges() {
        let table: Vec<String> = State::ALL
            .iter()
            .map(|from| {
                let to: Vec<&str> = State::ALL.iter().filter(|to| from.may_become(**to)).map(|to| to.name()).collect();
                format!("{from} -> {}", to.join(" "))
            })
            .collect();
        assert_eq!(
            table,
            [
                "SYN-SENT -> SYN-RECEIVED ESTABLISHED CLOSED",
                "SYN-RECEIVED -> ESTABLISHED FIN-WAIT-1 CLOSE-WAIT CLOSED",
                "ESTABLISHED -> FIN-WAIT-1 CLOSE-WAIT CLOSED",
                "FIN-WAIT-1 -> FIN-WAIT-2 CLOSING TIME-WAIT CLOSED",
                "FIN-WAIT-2 -> TIME-WAIT CLOSED",
                "CLOSE-WAIT -> LAST-ACK CLOSED",
                "CLOSING -> TIME-WAIT CLOSED",
                "LAST-ACK -> CLOSED",
                "TIME-WAIT -> CLOSED",
                "CLOSED -> ",
            ]
        );
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<&str> = State::ALL.iter().map(|state| state.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), State::ALL.len());
    }
}
