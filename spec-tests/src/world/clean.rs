//! A lane of a simulated host, and the check that lanes and wires were left as they were found.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::frame::FramePool;
use burstlane::socket::Host;
use burstlane_sim::{EndHandle, LateCounters, World};

/// An application: called in each turn of its lane, and says whether it did anything.
pub type App = Box<dyn FnMut(&Host) -> bool>;

/// One lane of a host.
pub struct SimLane {
    /// The lane.
    pub host: Host,
    /// Its devices, or its queues of them.
    pub ends: Vec<EndHandle>,
    /// Those devices' own memory, where they have it.
    pub late: Vec<LateMemory>,
    pub(crate) apps: Rc<RefCell<Vec<App>>>,
}

/// The memory of a device that completes late.
#[derive(Clone)]
pub struct LateMemory {
    /// Its slots.
    pub pool: FramePool,
    /// What it counted.
    pub counters: Rc<LateCounters>,
    /// Slots that it keeps to receive into.
    pub rx_slots: usize,
}

impl SimLane {
    pub(crate) fn new(host: Host, ends: Vec<EndHandle>, late: Vec<LateMemory>) -> Self {
        Self { host, ends, late, apps: Rc::default() }
    }

    /// What is alive, for a person who looks for the reason of a failure.
    #[must_use]
    pub fn state(&self) -> String {
        let mut lane = self.host.lane();
        let drops = format!("{:?} {:?}", lane.drops().clone(), lane.net().counters());
        format!(
            "{} flows, {} remnants, {} buffer bytes, {} frames out, next deadline {:?}, drops {drops}, sent {:?}",
            lane.flows(),
            lane.remnants(),
            lane.buffer_bytes(),
            self.frames_out(),
            lane.next_deadline(),
            self.ends.iter().map(EndHandle::sent).collect::<Vec<_>>(),
        )
    }

    fn frames_out(&self) -> usize {
        self.ends.iter().map(EndHandle::frames_out).sum()
    }

    /// No flow is left, and nothing of one.
    pub(crate) fn is_over(&self) -> bool {
        let lane = self.host.lane();
        lane.flows() == 0 && lane.remnants() == 0
    }

    /// Nor any memory.
    pub(crate) fn is_clean(&self) -> bool {
        self.is_over() && self.host.lane().buffer_bytes() == 0 && self.frames_out() == 0
    }

    fn assert_clean(&self, name: &str) {
        let lane = self.host.lane();
        assert_eq!((lane.flows(), lane.remnants()), (0, 0), "flows, remnants of {name}");
        assert_eq!(lane.buffer_bytes(), 0, "buffer bytes of {name}");
        assert_eq!(self.frames_out(), 0, "frames of the pools of {name}");
        for LateMemory { pool, counters, rx_slots } in &self.late {
            assert_eq!((pool.in_use(), pool.lent()), (0, *rx_slots), "slots of the device of {name}");
            assert_eq!(counters.overwritten.get(), 0, "slots of {name} written while the device held them");
            assert_eq!(counters.taken.get(), counters.completed.get(), "frames of {name} taken, completed");
        }
    }
}

/// Lets everything run out that lives in `lanes`, whose applications have ended, and checks that nothing is left there or
/// at the `wires`; then lets the lanes go, and checks again.
///
/// # Panics
/// If something is.
pub(crate) fn assert_clean(seed: u64, world: World, lanes: Vec<(String, SimLane)>, wires: Vec<EndHandle>) {
    let state = || lanes.iter().map(|(name, lane)| format!("\n  {name}: {}", lane.state())).collect::<String>();
    world.run_for(Duration::from_nanos(1)).unwrap();
    // The longest that anything stays: a flow that repeats itself to a peer that is gone, then TIME-WAIT.
    if let Err(error) = world.run_until(QUIESCENCE_MAX, || lanes.iter().all(|(_, lane)| lane.is_over())) {
        panic!("seed {seed}: not over: {error}; {}", state());
    }
    // What is still on the wire arrives.
    world.run_for(Duration::from_secs(10)).unwrap();
    assert_eq!(world.network().in_flight(), 0, "seed {seed}: frames on the wire");
    assert_eq!(world.forced_advances(), 0, "seed {seed}: a host asked for turns without end; {}", state());
    let frames_on_wires = || wires.iter().map(EndHandle::frames_out).sum::<usize>();
    assert_eq!(frames_on_wires(), 0, "seed {seed}: frames of devices and switches");
    for (name, lane) in &lanes {
        lane.assert_clean(&format!("{name}, seed {seed}"));
    }
    drop(world);
    for (name, SimLane { host, ends, late, .. }) in lanes {
        drop(host);
        let out: usize = ends.iter().map(EndHandle::frames_out).sum();
        assert_eq!(out, 0, "seed {seed}: frames of {name} after it is gone");
        for LateMemory { pool, .. } in late {
            assert_eq!((pool.in_use(), pool.lent()), (0, 0), "seed {seed}: slots of {name} after it is gone");
        }
    }
    assert_eq!(wires.iter().map(EndHandle::frames_out).sum::<usize>(), 0, "seed {seed}: frames after all is gone");
}

/// How long a flow or a remnant may outlive its application, in virtual time.
const QUIESCENCE_MAX: Duration = Duration::from_secs(3600);
