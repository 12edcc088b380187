//! Wrong versions of the transports, by the name of the mistake that is planted in each: what the kit must find.

mod rudp;
mod stop_and_wait;
mod tcp;

pub use rudp::rudp;
pub use stop_and_wait::stop_and_wait;
pub use tcp::tcp;
