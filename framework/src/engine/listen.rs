//! Listeners: bound ports that take new flows, each with its backlog.

use std::collections::VecDeque;

use super::FlowId;
use crate::addr::{Endpoint, Ip};
use crate::transport::Listener;

/// Names a listener on its lane and in its engine. The generation tells it from later ones in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortId {
    index: u32,
    generation: u32,
}

/// A listener and the flows that wait at it.
pub(crate) struct Port {
    generation: u32,
    pub(crate) listener: Listener,
    pub(crate) queue: VecDeque<FlowId>,
    /// The application has been told of the queue and has not emptied it since.
    pub(crate) told: bool,
}

/// All listeners of an engine. Few, and looked up only for packets that nobody knows.
#[derive(Default)]
pub(crate) struct Ports {
    ports: Vec<Option<Port>>,
    generation: u32,
}

impl Ports {
    pub(crate) fn add(&mut self, local: Endpoint, backlog: u32) -> Option<PortId> {
        if self.ports.iter().flatten().any(|port| port.listener.local == local) {
            return None;
        }
        let listener = Listener { local, backlog, half_open: 0, queued: 0 };
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let port = Some(Port { generation, listener, queue: VecDeque::new(), told: false });
        let free = self.ports.iter().position(Option::is_none);
        let index = free.unwrap_or(self.ports.len());
        match self.ports.get_mut(index) {
            Some(place) => *place = port,
            None => self.ports.push(port),
        }
        Some(PortId { index: index as u32, generation })
    }

    pub(crate) fn remove(&mut self, id: PortId) -> Option<Port> {
        self.ports.get_mut(id.index as usize)?.take_if(|port| port.generation == id.generation)
    }

    #[inline]
    pub(crate) fn get(&self, id: PortId) -> Option<&Port> {
        self.ports.get(id.index as usize)?.as_ref().filter(|port| port.generation == id.generation)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: PortId) -> Option<&mut Port> {
        self.ports.get_mut(id.index as usize)?.as_mut().filter(|port| port.generation == id.generation)
    }

    /// The listener for a destination: the exact address before the wildcard.
    pub(crate) fn find(&self, local: Endpoint) -> Option<PortId> {
        let at = |want: Endpoint| self.ids().find(|(_, port)| port.listener.local == want).map(|(id, _)| id);
        at(local).or_else(|| at(Endpoint::new(Ip::ANY, local.port)))
    }

    /// All listeners, in the order of their places.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (PortId, &Port)> {
        self.ports.iter().enumerate().filter_map(|(index, port)| {
            let port = port.as_ref()?;
            Some((PortId { index: index as u32, generation: port.generation }, port))
        })
    }

    pub(crate) fn uses_port(&self, number: u16) -> bool {
        self.ports.iter().flatten().any(|port| port.listener.local.port == number)
    }
}
