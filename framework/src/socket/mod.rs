//! What applications hold: [`Host`], a handle to a lane, and of it [`Listener`], [`Stream`] and [`MessageSocket`]. Each
//! has three faces: calls that never block and events, blocking calls (`std::io` for streams), and `poll_*` for
//! asynchronous tasks. All stay on the lane's thread; [`RemoteStream`] is the end that may leave it.

mod host;
mod io;
mod listener;
mod message;
mod remote;
mod stream;
mod waker;

#[cfg(test)]
mod tests;

pub use host::{Host, Pump};
pub use io::{AppOp, FlowIo, MessageIo, Ready, StreamIo};
pub use listener::Listener;
pub use message::{MessageSocket, Received};
pub use remote::{RemotePort, RemoteStream};
pub use stream::{Blocking, Stream};
pub use waker::Wakers;
