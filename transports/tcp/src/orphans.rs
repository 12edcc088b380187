//! Connections whose application let go: they finish behind its back, as many on a lane as the configuration allows. Whoever
//! accepts and lets go at the peer's command (a web server) would otherwise hold what every silent peer left behind.

use std::collections::VecDeque;

use burstlane::transport::{Class, Context, FlowId};

use crate::Tcp;
use crate::conn::{Conn, Flag};

/// The orphans of a lane, in the order in which they became so.
#[derive(Default)]
pub(crate) struct Orphans {
    order: VecDeque<Orphan>,
    /// Those that still live.
    count: u32,
    last: u64,
}

/// One of them; gone if the cold part has another number by now.
struct Orphan {
    number: u64,
    cold: u32,
    flow: FlowId,
}

impl Tcp {
    /// The connection has nobody any more. If that makes too many, the oldest is reset.
    pub(crate) fn adopt(&mut self, cx: &mut Context<'_, Self>, conn: &Conn) {
        let Self { orphans, cold, config, .. } = self;
        let Some(own) = cold.get_at_mut(conn.cold).filter(|own| own.orphan == 0) else { return };
        orphans.last += 1;
        orphans.count += 1;
        own.orphan = orphans.last;
        orphans.order.push_back(Orphan { number: own.orphan, cold: conn.cold, flow: cx.id() });
        while orphans.count > config.orphans_max {
            let Some(oldest) = orphans.order.pop_front() else { break };
            let Some(victim) = cold.get_at_mut(oldest.cold).filter(|cold| cold.orphan == oldest.number) else {
                continue;
            };
            victim.orphan = CONDEMNED;
            orphans.count -= 1;
            cx.wake(oldest.flow, Class::Control, 0);
        }
        if orphans.order.len() > 2 * orphans.count as usize + SPARE {
            orphans.order.retain(|orphan| cold.get_at(orphan.cold).is_some_and(|cold| cold.orphan == orphan.number));
        }
    }

    /// Whether it is one too many.
    pub(crate) fn is_condemned(&self, conn: &Conn) -> bool {
        conn.has(Flag::Orphan) && self.cold.get_at(conn.cold).is_some_and(|cold| cold.orphan == CONDEMNED)
    }

    /// A connection is over.
    pub(crate) fn bury(&mut self, conn: &Conn) {
        let orphan = self.cold.get_at(conn.cold).map_or(0, |cold| cold.orphan);
        if orphan != 0 && orphan != CONDEMNED {
            self.orphans.count -= 1;
        }
    }
}

/// The number of an orphan that is to be reset.
const CONDEMNED: u64 = u64::MAX;
/// Places of orphans that are gone, beyond those that live, before they are swept.
const SPARE: usize = 64;
