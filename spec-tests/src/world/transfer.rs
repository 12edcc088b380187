//! Transfers in a world of any size: from a lane of one host to whichever lane of another takes the flow.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::socket::Host;
use burstlane::transport::Transport;

use super::run::{Engines, SimWorld};
use crate::face::{Face, Handle};
use crate::transfer::{End, Transfer, TransferConfig};

impl SimWorld {
    /// Listens at a port of the host `to`, on all its lanes, opens a flow there from a lane of another host, and lets both
    /// ends send and receive. The port is this transfer's alone.
    ///
    /// # Panics
    /// If the port is taken, or the flow cannot be opened.
    pub fn transfer<T: Transport>(
        &self,
        engines: &Engines<T>,
        from: (usize, usize),
        to: (usize, u16),
        config: TransferConfig,
    ) -> Transfer
    where
        T::Io: Face,
    {
        let network = self.world.network();
        let (mut left, left_outcome) = End::<Handle<T>>::new(0, config, network);
        let (right, right_outcome) = End::<Handle<T>>::new(1, config, network);
        let right = Rc::new(RefCell::new(Some(right)));
        for (lane, listener) in self.listen(engines, to.0, to.1, 16).into_iter().enumerate() {
            let (right, engine) = (right.clone(), engines[to.0][lane]);
            let (mut listener, mut mine) = (Some(listener), None);
            self.add_app((to.0, lane), move |host: &Host| {
                if let Some(flow) = listener.as_ref().and_then(|listener| listener.accept_flow()) {
                    // The first flow is the transfer's, on whatever lane. A second one is nobody's, and let go.
                    let handle = <T::Io as Face>::handle(host, engine, flow);
                    mine = right.take().map(|mut end: End<Handle<T>>| {
                        end.channel = Some(handle);
                        end
                    });
                    listener = None;
                }
                mine.as_mut().is_some_and(End::turn)
            });
        }
        left.channel = Some(self.open(engines, from, self.at(to.0, to.1)));
        self.add_app(from, move |_| left.turn());
        Transfer { ends: [left_outcome, right_outcome] }
    }

    /// Runs until all of `transfers` are done.
    ///
    /// # Panics
    /// If they are not within `limit` of virtual time, or one failed.
    pub fn finish(&self, transfers: &[Transfer], limit: Duration) {
        let outcomes = || transfers.iter().map(Transfer::outcomes).collect::<Vec<_>>();
        if let Err(error) = self.world.run_until(limit, || transfers.iter().all(Transfer::is_over)) {
            panic!("seed {}: {error}; {:?}\n  {}", self.seed, outcomes(), self.state());
        }
        let all_done = transfers.iter().all(Transfer::is_done);
        assert!(all_done, "seed {}: {:?}\n  {}", self.seed, outcomes(), self.state());
    }
}
