//! The judge: runs a scenario over a transport and says which law was broken, if any was.
//!
//! Two hosts with real lanes, real engines and the transport under judgement live on one simulated link in virtual time.
//! Their applications do what the scenario says and check every byte; the link strikes with the scenario's faults; the
//! witness watches packets and events. When all is over, nothing may be left.

mod app;
mod content;
mod fitness;
mod lanes;
mod laws;
mod lay;
mod link;
mod outcomes;
mod promptness;
mod rebinding;
mod run;
mod silence;
mod spells;
mod strangers;
mod wakeups;
mod watch;
mod witness;

pub use app::Report;
pub use fitness::unfit;
pub use laws::{Broken, Law};
pub use run::{Run, Watch, run};
