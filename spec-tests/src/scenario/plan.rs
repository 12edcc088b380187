//! What the two applications of a flow do: a list of operations for what they send, and a manner of reading.

use std::time::Duration;

use super::Side;

/// One flow: opened by the left host, its two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowPlan {
    /// When the left host opens it, milliseconds from the start of the run.
    pub opens_ms: u32,
    /// The left application and the right one.
    pub sides: [SidePlan; 2],
}

impl FlowPlan {
    /// What one end does.
    #[must_use]
    pub fn side(&self, side: Side) -> &SidePlan {
        let [left, right] = &self.sides;
        match side {
            Side::Left => left,
            Side::Right => right,
        }
    }
}

/// One end of a flow. It does its operations in their order, and reads meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SidePlan {
    /// What it does. An end that neither closes nor aborts finishes behind its last operation, waits for the peer's end,
    /// and lets go.
    pub ops: Vec<Op>,
    /// How it reads.
    pub reader: Reader,
}

impl SidePlan {
    /// Bytes that it means to send.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sizes().map(u64::from).sum()
    }

    /// Sizes of what it sends, in order.
    pub fn sizes(&self) -> impl Iterator<Item = u32> {
        self.ops.iter().filter_map(|op| if let Op::Send { bytes } = op { Some(*bytes) } else { None })
    }

    /// Whether it closes or aborts instead of waiting for the peer's end.
    #[must_use]
    pub fn ends_early(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Close | Op::Abort))
    }

    /// Whether it aborts.
    #[must_use]
    pub fn aborts(&self) -> bool {
        self.ops.contains(&Op::Abort)
    }

    /// The first operation that can no longer be done: anything behind a close or an abort, and behind a finish what would
    /// send.
    #[must_use]
    pub fn behind_the_end(&self) -> Option<Op> {
        let mut end = None;
        self.ops.iter().copied().find(|op| {
            let is_behind = match end {
                Some(Op::Close | Op::Abort) => true,
                Some(_) => matches!(op, Op::Send { .. } | Op::Finish),
                None => false,
            };
            end = if matches!(op, Op::Finish | Op::Close | Op::Abort) { Some(*op) } else { end };
            is_behind
        })
    }

    /// The time that it spends doing nothing on purpose, reading slowly included.
    #[must_use]
    pub fn idle(&self, bytes_to_read: u64) -> Duration {
        let pauses = self.ops.iter().map(|op| if let Op::Pause { ms } = op { *ms } else { 0 });
        let pauses = Duration::from_millis(pauses.map(u64::from).sum());
        pauses
            + match self.reader {
                Reader::Eager => Duration::ZERO,
                Reader::Slow { bytes, every_ms } => {
                    Duration::from_millis((bytes_to_read / u64::from(bytes.max(1)) + 1) * u64::from(every_ms))
                }
                Reader::Late { from_ms } => Duration::from_millis(from_ms.into()),
            }
    }
}

/// What an application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sends so many bytes; over a transport of messages, one message of so many.
    Send {
        /// How many.
        bytes: u32,
    },
    /// Does nothing for a while.
    Pause {
        /// Milliseconds.
        ms: u32,
    },
    /// Says that it sends no more, and goes on reading.
    Finish,
    /// Lets go, whatever is still to come.
    Close,
    /// Ends the flow at once.
    Abort,
}

/// How an application reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// At once, whatever is there.
    #[default]
    Eager,
    /// So many bytes (at least one message) each so many milliseconds.
    Slow {
        /// How many.
        bytes: u32,
        /// Milliseconds between reads.
        every_ms: u32,
    },
    /// Nothing before this time, then at once.
    Late {
        /// Milliseconds from the start of the run.
        from_ms: u32,
    },
}
