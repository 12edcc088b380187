//! The part of an engine that a transport's contexts reach while the transport and one of its flows are borrowed.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::FlowId;
use super::demux::{Demux, Place};
use crate::net::{EngineIndex, PathId};
use crate::time::Instant;
use crate::transport::{Class, End, Transport};

pub(crate) struct Local<T: Transport> {
    pub(crate) index: EngineIndex,
    pub(crate) demux: Demux<T::Key>,
    /// Flows to put on ready lists when the present call is over.
    pub(crate) wake: Vec<(FlowId, Class, u64)>,
    pub(crate) notices: VecDeque<(Option<FlowId>, T::Notice)>,
    pub(crate) lane_due: Instant,
    pub(crate) lane_tx: bool,
    /// Whether one more remnant is taken: as of the packet that is being judged.
    pub(crate) remnant_room: bool,
    /// How the flow of the present call ends, if it does. Here, for it is large, and nearly every call leaves it alone.
    pub(crate) end: Option<End<T>>,
    /// Paths that flows left and took, to be released and held.
    pub(crate) path_moves: Vec<(Option<PathId>, PathId)>,
    /// Keys beside the first, of the few flows that have them.
    aliases: HashMap<FlowId, Vec<T::Key>, foldhash::fast::FixedState>,
}

impl<T: Transport> Local<T> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            index: EngineIndex(0),
            demux: Demux::new(seed),
            wake: Vec::new(),
            notices: VecDeque::new(),
            lane_due: Instant::NEVER,
            lane_tx: false,
            remnant_room: true,
            end: None,
            path_moves: Vec::new(),
            aliases: HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed)),
        }
    }

    pub(crate) fn add_alias(&mut self, flow: FlowId, key: T::Key) -> bool {
        if !self.demux.insert(key, Place::Flow(flow)) {
            return false;
        }
        self.aliases.entry(flow).or_default().push(key);
        true
    }

    pub(crate) fn remove_alias(&mut self, flow: FlowId, key: &T::Key) {
        let Some(keys) = self.aliases.get_mut(&flow) else { return };
        let Some(at) = keys.iter().position(|k| k == key) else { return };
        keys.swap_remove(at);
        if keys.is_empty() {
            self.aliases.remove(&flow);
        }
        self.demux.remove(key);
    }

    pub(crate) fn remove_aliases(&mut self, flow: FlowId) {
        for key in self.aliases.remove(&flow).unwrap_or_default() {
            self.demux.remove(&key);
        }
    }

    pub(crate) fn aliases_of(&self, flow: FlowId) -> &[T::Key] {
        self.aliases.get(&flow).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }
}
