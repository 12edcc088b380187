//! Campaigns: what kind of scenario is drawn, and what is asked of each run beside the laws that the judge watches.

use burstlane::transport::Transport;
use proptest::strategy::BoxedStrategy;

use super::quiet::guarded;
use super::{draw, fairness};
use crate::face::Face;
use crate::judge::{Broken, Law, Watch, run};
use crate::scenario::{Fault, Mishap, Scenario};
use crate::subject::{Opening, Promises, Subject};

/// A kind of scenario, and what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Campaign {
    /// A little of everything that a network and its devices do, several flows, applications that end early.
    Anything,
    /// One flow with more to say, now and then more than its socket takes, over a network that loses, doubles, delays.
    Loss,
    /// Long silences.
    Partitions,
    /// Readers that read late or little.
    SlowReaders,
    /// Applications that close or abort early.
    EarlyEnds,
    /// The peer is gone for good.
    Silence,
    /// Bits flipped, packets cut; and the run is the one in which the damaged packets are lost.
    Damage,
    /// Strangers send forged packets.
    Strangers,
    /// Strangers open flows by the hundred.
    Flood,
    /// Somebody on the way changes packets so that their checksums are right.
    Tampering,
    /// A network address translator forgets, once or twice, while both ends have something to say.
    Rebinding,
    /// Hosts of several lanes, and several flows, over a network that strikes packets and falls silent. Devices steer rightly:
    /// what becomes of a flow whose packets come to another lane can be judged only once lanes pass packets on.
    Lanes,
    /// As [`Anything`](Self::Anything), each scenario twice.
    Repetition,
    /// Two to four flows that begin together and send as much from left to right, over a link that is narrower than they.
    Fairness,
}

impl Campaign {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Anything,
        Self::Loss,
        Self::Partitions,
        Self::SlowReaders,
        Self::EarlyEnds,
        Self::Silence,
        Self::Damage,
        Self::Strangers,
        Self::Flood,
        Self::Tampering,
        Self::Rebinding,
        Self::Lanes,
        Self::Repetition,
        Self::Fairness,
    ];

    /// Whether a transport of these promises is judged by it.
    #[must_use]
    pub fn concerns(self, promises: &Promises) -> bool {
        match self {
            Self::Anything | Self::Loss | Self::Tampering | Self::Repetition => true,
            Self::Partitions | Self::SlowReaders | Self::EarlyEnds | Self::Silence | Self::Flood => {
                promises.is_reliable
            }
            Self::Lanes => promises.is_reliable && promises.opening == Opening::Listen,
            Self::Damage => promises.notices_damage,
            Self::Strangers => promises.resists_strangers,
            Self::Rebinding => promises.survives_rebinding,
            Self::Fairness => promises.controls_congestion,
        }
    }

    /// Whether it asks something of `scenario` beside the laws that the judge watches in any run.
    #[must_use]
    pub fn asks_more(self, scenario: &Scenario) -> bool {
        match self {
            Self::Damage => scenario.damage_is_certain() && with_losses(scenario) != *scenario,
            Self::Repetition => true,
            Self::Fairness => fairness::suits(scenario),
            _ => false,
        }
    }

    /// How many scenarios it draws where an ordinary one draws `cases`: those with much traffic draw fewer.
    #[must_use]
    pub const fn cases(self, cases: u32) -> u32 {
        match self {
            Self::Fairness => cases.div_ceil(25),
            Self::Flood => cases.div_ceil(5),
            _ => cases,
        }
    }

    /// What it draws for a transport.
    pub fn scenarios(self, name: &'static str, promises: &Promises) -> BoxedStrategy<Scenario> {
        draw::scenarios(name, promises, self)
    }

    /// Judges one scenario.
    ///
    /// # Errors
    /// The law that it broke.
    pub fn judge<T: Transport>(self, subject: &Subject<T>, scenario: &Scenario) -> Result<(), Broken>
    where
        T::Io: Face,
    {
        guarded(|| self.judge_unguarded(subject, scenario))
            .unwrap_or_else(|message| Err(Broken { law: Law::NoPanic, message }))
    }

    fn judge_unguarded<T: Transport>(self, subject: &Subject<T>, scenario: &Scenario) -> Result<(), Broken>
    where
        T::Io: Face,
    {
        let first = run(subject, scenario, Watch::Judge);
        if let Some(broken) = first.broken {
            return Err(broken);
        }
        let again = |scenario: &Scenario| run(subject, scenario, Watch::Judge).digest == first.digest;
        let broken = |law, message: &str| Err(Broken { law, message: message.to_owned() });
        match self {
            _ if !self.asks_more(scenario) => Ok(()),
            Self::Damage if !again(&with_losses(scenario)) => {
                broken(Law::DamageIsLoss, "with the damaged packets lost, the hosts send other packets")
            }
            Self::Repetition if !again(scenario) => {
                broken(Law::SameBytes, "the same scenario gave other packets the second time")
            }
            Self::Fairness => fairness::judge(scenario, &first),
            _ => Ok(()),
        }
    }
}

/// The scenario in which each damaged packet is lost.
fn with_losses(scenario: &Scenario) -> Scenario {
    let faults = scenario.faults.iter().map(|fault| match *fault {
        Fault::Packet { from, number, mishap: Mishap::Corrupt { .. } | Mishap::Truncate { .. } } => {
            Fault::Packet { from, number, mishap: Mishap::Drop }
        }
        other => other,
    });
    Scenario { faults: faults.collect(), ..scenario.clone() }
}
