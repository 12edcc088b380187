//! A transport before its judge: how it is configured, and what it promises. The promises decide which laws it is held to.

use std::time::Duration;

use burstlane::transport::Transport;

use crate::failure::{NamePacket, Rerun, by_test};
use crate::oracle::Oracle;
use crate::scenario::Scenario;

/// A transport to be judged.
pub struct Subject<T: Transport> {
    /// By which scenarios and files name it.
    pub name: &'static str,
    /// How both hosts run it.
    pub config: T::Config,
    /// What of that depends on the scenario.
    pub configure: Option<fn(&mut T::Config, &Scenario)>,
    /// The mistake that was planted in it, if one was: scenarios that it breaks say so.
    pub planted: Option<&'static str>,
    /// What it promises.
    pub promises: Promises,
    /// Names its packets for pictures and captures, where their headers do not.
    pub name_packet: Option<NamePacket>,
    /// What a report says of how to run its scenario again.
    pub rerun: Rerun,
    /// What else watches each run, made anew for each: rules of this one protocol.
    pub oracle: Option<fn() -> Box<dyn Oracle>>,
}

impl<T: Transport> Clone for Subject<T> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone(), promises: self.promises.clone(), ..*self }
    }
}

impl<T: Transport> Subject<T> {
    /// A transport of this configuration that promises this, under its own name.
    #[must_use]
    pub fn new(config: T::Config, promises: Promises) -> Self {
        Self {
            name: T::NAME,
            config,
            configure: None,
            planted: None,
            promises,
            name_packet: None,
            rerun: by_test,
            oracle: None,
        }
    }

    /// With a configuration that varies with the scenario, by its seed for example.
    #[must_use]
    pub fn configured_by(mut self, configure: fn(&mut T::Config, &Scenario)) -> Self {
        self.configure = Some(configure);
        self
    }

    /// The configuration for a run of `scenario`.
    #[must_use]
    pub fn config_for(&self, scenario: &Scenario) -> T::Config {
        let mut config = self.config.clone();
        if let Some(configure) = self.configure {
            configure(&mut config, scenario);
        }
        config
    }

    /// With names for its packets.
    #[must_use]
    pub fn naming_packets(mut self, name_packet: NamePacket) -> Self {
        self.name_packet = Some(name_packet);
        self
    }

    /// With another way to run a scenario again than by the tests of its crate.
    #[must_use]
    pub fn rerun_by(mut self, rerun: Rerun) -> Self {
        self.rerun = rerun;
        self
    }

    /// With a watcher for rules of its own.
    #[must_use]
    pub fn with_oracle(mut self, oracle: fn() -> Box<dyn Oracle>) -> Self {
        self.oracle = Some(oracle);
        self
    }
}

/// How flows come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// One side listens, the other connects.
    Listen,
    /// Both name the other, and nothing is exchanged: datagrams.
    Both,
}

/// What a transport promises. Start with [`Promises::reliable`] or [`Promises::datagrams`] and say where yours differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Promises {
    /// How flows come to be.
    pub opening: Opening,
    /// All that was accepted arrives, once and in order, or the flow ends with an error. If not, each message arrives
    /// whole or not at all, in any order, and more than once only if the network doubled it.
    pub is_reliable: bool,
    /// It tells of its congestion window ([`Event::Congestion`](burstlane::observe::Event::Congestion)) and obeys it: at
    /// most ten segments before the first answer (RFC 6928), one reduction a round trip.
    pub controls_congestion: bool,
    /// Strangers who know addresses and ports, but have seen no packet of a flow, can neither end nor disturb it.
    pub resists_strangers: bool,
    /// A fault's damage is always noticed: a damaged packet has the effect of a lost one.
    pub notices_damage: bool,
    /// Nobody has a flow, and the application hears of none, who has not shown that it receives where it says it is.
    pub proves_openers: bool,
    /// An open flow goes on when its peer comes from another port or address, as behind a network address translator that forgot.
    pub survives_rebinding: bool,
    /// Largest message, or write, bytes.
    pub piece_bytes_max: u32,
    /// Longest wait between two repetitions to a peer that is silent.
    pub patience_max: Duration,
    /// A peer that is silent is given up within this time.
    pub gives_up_within: Duration,
    /// Longest wait of an acknowledgement, from the arrival of data in order to the packet that says so, and of the news that a
    /// window that was used up is open again. Half a second is the most that RFC 9293 3.8.6.3 allows; a transport that promises less is
    /// held to that, which shows more: a repetition of its peer's may hide a longer wait.
    pub ack_delay_max: Duration,
    /// Both hosts are silent so long after both applications let go, if no more than three packets were lost: a few
    /// repetitions of the last words.
    pub settles_within: Duration,
    /// Who lets go of a flow before it has read all that the peer sent ends it with an error for the peer, as TCP does by a reset
    /// (RFC 2525 2.17). Without this promise, what is acknowledged has arrived at the host and may never be read.
    pub tells_of_unread: bool,
    /// Where large packets vanish without a word from a router, smaller ones are sent (RFC 8899).
    pub survives_black_holes: bool,
    /// Nothing of a flow remains so long after both applications let go and the network is well.
    pub lingers_at_most: Duration,
    /// Most buffer memory that one end of a flow takes, bytes.
    pub buffer_bytes_max: usize,
    /// Most packets that a stranger's one packet draws, before the stranger has proven to be where it says.
    pub answers_max: u32,
}

impl Promises {
    /// A reliable, congestion-controlled transport with listeners: the full set of laws.
    #[must_use]
    pub fn reliable() -> Self {
        Self {
            opening: Opening::Listen,
            is_reliable: true,
            controls_congestion: true,
            resists_strangers: true,
            notices_damage: true,
            proves_openers: true,
            survives_rebinding: false,
            piece_bytes_max: 16 * 1024,
            patience_max: Duration::from_secs(120),
            gives_up_within: Duration::from_secs(1200),
            ack_delay_max: Duration::from_millis(500),
            settles_within: Duration::from_secs(20),
            tells_of_unread: true,
            survives_black_holes: false,
            lingers_at_most: Duration::from_secs(300),
            buffer_bytes_max: 1 << 20,
            answers_max: 8,
        }
    }

    /// Datagrams: no opening, no order, no repetition.
    #[must_use]
    pub fn datagrams() -> Self {
        Self {
            opening: Opening::Both,
            is_reliable: false,
            controls_congestion: false,
            resists_strangers: false,
            proves_openers: false,
            piece_bytes_max: 1_400,
            answers_max: 1,
            ..Self::reliable()
        }
    }
}
