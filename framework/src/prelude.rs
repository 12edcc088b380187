//! What nearly every transport names, for `use burstlane::prelude::*`: the waist, and the few types of other modules that its
//! calls are made of.

pub use crate::addr::{Endpoint, Ip};
pub use crate::frame::Frame;
pub use crate::net::{Claim, DropReason, Packet, PathId, Quote, Trouble, TxBatch, TxInfo, TxStop};
pub use crate::socket::{AppOp, MessageIo, Ready, StreamIo};
pub use crate::time::{Duration, Instant};
pub use crate::toolkit::{Mem, MessageLimits};
pub use crate::transport::*;
