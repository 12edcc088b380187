//! A run: the packets of one flow that came in one burst, linked by index in the order of arrival.

use crate::frame::Frame;
use crate::net::Packet;

/// One packet of a run: its header, read, and its frame, trimmed to the payload.
#[derive(Debug)]
pub struct Segment<'a, M> {
    /// The header.
    pub meta: &'a M,
    /// The payload; keep the frame to keep it without copying.
    pub frame: Frame,
}

/// The packets of one flow in one burst.
pub struct Run<'a, M> {
    pub(crate) items: &'a [Item<M>],
    pub(crate) packets: &'a mut [Option<Packet>],
    pub(crate) at: u16,
}

impl<'a, M> Run<'a, M> {
    /// The next packet's header, without taking the packet.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<&'a M> {
        self.items.get(self.at as usize).map(|item| &item.meta)
    }

    /// The next packet, or `None` at the end.
    #[inline]
    pub fn take(&mut self) -> Option<Segment<'a, M>> {
        let item = self.items.get(self.at as usize)?;
        let mut frame = self.packets.get_mut(self.at as usize)?.take()?.frame;
        frame.trim_front(usize::from(item.header_bytes));
        self.at = item.next;
        Some(Segment { meta: &item.meta, frame })
    }
}

/// A parsed packet of the burst (its place is that of its packet), and the next of the same flow.
pub(crate) struct Item<M> {
    pub(crate) meta: M,
    pub(crate) header_bytes: u16,
    pub(crate) next: u16,
}

/// No next item. A burst has fewer.
pub(crate) const NO_ITEM: u16 = u16::MAX;
