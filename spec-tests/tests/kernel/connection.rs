//! A connection under way: both ends, opened and accepted, driven through the steps of their life and then to its end.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use burstlane::addr::{Endpoint, Ip};
use burstlane::socket::Listener;
use burstlane_tcp::Tcp;

use crate::end::End;
use crate::kernel::{self, Kernel};
use crate::life::{Life, Op, Side};
use crate::model::Left;
use crate::ours::Ours;
use crate::world::{KERNEL_ADDRESSES, OUR_ADDRESSES, World};

/// Both ends of a connection, and how far its life is.
pub(crate) struct Connection<'a> {
    world: &'a World,
    life: &'a Life,
    waiting: Option<Waiting>,
    ours: End,
    kernel: End,
    /// Steps that are done.
    done: usize,
    pause_until: Option<Instant>,
    /// How long what was aborted may still be accepted.
    wait_until: Option<Instant>,
}

/// The end that will be accepted.
enum Waiting {
    Ours(Listener<Tcp>),
    Kernel(TcpListener),
}

impl<'a> Connection<'a> {
    /// Begins to open it.
    pub(crate) fn new(world: &'a World, life: &'a Life, seed: u64) -> Self {
        let (mut ours, mut kernel) = (End::new(seed, !seed), End::new(!seed, seed));
        let (our_ip, kernel_ip) = (OUR_ADDRESSES[usize::from(life.ipv6)], KERNEL_ADDRESSES[usize::from(life.ipv6)]);
        let waiting = match life.opener {
            Side::Ours => {
                let listener = kernel::listen(life, kernel_ip);
                let port = listener.local_addr().unwrap().port();
                ours.start(Ours::connect(&world.host, world.tcp, kernel_ip, port), false);
                Waiting::Kernel(listener)
            }
            Side::Kernel => {
                let listener = world.host.listen(world.tcp, Endpoint::new(Ip::from(our_ip), 0), 8).unwrap();
                kernel.start(Kernel::connect(life, SocketAddr::new(our_ip, listener.local().port)), false);
                Waiting::Ours(listener)
            }
        };
        Self { world, life, waiting: Some(waiting), ours, kernel, done: 0, pause_until: None, wait_until: None }
    }

    /// Does what can be done now. Whether it did anything.
    pub(crate) fn turn(&mut self) -> bool {
        // Whoever opens is open before the other is accepted, and may be reset from then on.
        let _ = (self.ours.has_opened(), self.kernel.has_opened());
        self.accept();
        self.wait_in_vain();
        let before = (self.done, self.ours.record, self.kernel.record);
        while let Some(&(side, op)) = self.life.steps.get(self.done) {
            if !self.step(side, op) {
                break;
            }
            self.done += 1;
            self.pause_until = None;
        }
        if self.done == self.life.steps.len() {
            self.ours.finish(&self.kernel.record);
            self.kernel.finish(&self.ours.record);
        }
        before != (self.done, self.ours.record, self.kernel.record)
    }

    /// Both applications have let go.
    pub(crate) fn is_over(&self) -> bool {
        self.ours.record.left.is_some() && self.kernel.record.left.is_some()
    }

    /// Judges what either end saw.
    ///
    /// # Errors
    /// Who saw what should not be.
    pub(crate) fn judge(&self, lossy: bool) -> Result<(), String> {
        let (ours, kernel) = (&self.ours.record, &self.kernel.record);
        for (name, verdict) in [("ours", ours.judge(kernel, lossy)), ("the kernel's", kernel.judge(ours, lossy))] {
            verdict.map_err(|wrong| format!("{name} {wrong}\n{}", self.describe()))?;
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!(
            "  steps done: {} of {}\n  ours: {:?}\n    {}\n  kernel: {:?}\n    {}",
            self.done,
            self.life.steps.len(),
            self.ours.record,
            self.ours.state(),
            self.kernel.record,
            self.kernel.state(),
        )
    }

    fn accept(&mut self) {
        let (host, tcp) = (&self.world.host, self.world.tcp);
        match &self.waiting {
            Some(Waiting::Ours(listener)) => {
                let Some(stream) = listener.accept() else { return };
                self.ours.start(Ours::new(host, tcp, stream), true);
            }
            Some(Waiting::Kernel(listener)) => {
                let Ok((stream, _)) = listener.accept() else { return };
                self.kernel.start(Kernel::new(self.life, stream), true);
            }
            None => return,
        }
        self.waiting = None;
    }

    /// Who opens and aborts at once may leave nothing to accept (RFC 9293 3.10.7.4, a reset in SYN-RECEIVED).
    fn wait_in_vain(&mut self) {
        let (opener, other) = match self.life.opener {
            Side::Ours => (&self.ours, &mut self.kernel),
            Side::Kernel => (&self.kernel, &mut self.ours),
        };
        if self.waiting.is_none() || opener.record.left != Some(Left::Aborted) {
            return;
        }
        if Instant::now() >= *self.wait_until.get_or_insert_with(|| Instant::now() + ACCEPT_MAX) {
            self.waiting = None;
            other.record.left = Some(Left::NeverCame);
        }
    }

    /// Whether the step is done.
    fn step(&mut self, side: Side, op: Op) -> bool {
        if let Op::Pause(milliseconds) = op {
            let pause = Duration::from_millis(u64::from(milliseconds));
            return Instant::now() >= *self.pause_until.get_or_insert_with(|| Instant::now() + pause);
        }
        let (end, peer) = match side {
            Side::Ours => (&mut self.ours, &self.kernel.record),
            Side::Kernel => (&mut self.kernel, &self.ours.record),
        };
        end.perform(op, peer)
    }
}

/// What was not accepted by then is not going to be: the kernel's end is immediate, and ours looks each turn.
const ACCEPT_MAX: Duration = Duration::from_millis(100);
