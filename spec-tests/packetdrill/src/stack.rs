//! One stack under test: a thread that alone touches it, and [`Handle`], by which all other threads ask it. Calls are done in
//! the order in which they were asked; one that waits is tried again after everything that happens.
//!
//! Time is virtual, and moves when the thread that opened the stack lets it (it sleeps, or waits for a packet), never while
//! another thread that was woken has not come back: it would find a later time than the one at which it was woken. Whoever
//! was woken comes back at once, to read the clock.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ThreadId};

use burstlane::time::{Duration, Instant};

use crate::Answer;
use crate::descriptors::Descriptors;
use crate::net::World;
use crate::sysctl::{Setup, Sysctls};

/// The way to a stack.
pub(crate) struct Handle {
    jobs: Sender<Job>,
}

type Job = Box<dyn FnOnce(&mut Stack) + Send>;

/// Answers its thread and says so, if it can or if this is the last time that it is asked.
type Attempt = Box<dyn FnMut(&mut Stack, bool) -> bool + Send>;

/// What is under test, and who waits for it.
pub(crate) struct Stack {
    pub(crate) world: World,
    pub(crate) descriptors: Descriptors,
    pub(crate) sysctls: Sysctls,
    jobs: Receiver<Job>,
    waiters: Vec<Waiter>,
    /// The thread that makes time pass.
    home: ThreadId,
    /// Threads that were woken and are not back yet.
    woken: Vec<ThreadId>,
}

/// A call that could not be done at once.
struct Waiter {
    thread: ThreadId,
    until: Option<Instant>,
    attempt: Attempt,
}

impl Handle {
    /// A stack, whose clock the calling thread drives. `first_descriptor` names its first socket.
    ///
    /// # Errors
    /// `ENOMEM` if it has no thread or no place for its transport.
    pub(crate) fn open(setup: Setup, first_descriptor: i32) -> Answer<Self> {
        let (jobs, receiver) = channel();
        let (started, is_started) = channel();
        let home = thread::current().id();
        let run = move || {
            let world = World::new(&setup.addresses, setup.mtu, setup.config);
            let _ = started.send(world.is_some());
            let Some(world) = world else { return };
            let descriptors = Descriptors::new(first_descriptor);
            let sysctls = setup.sysctls;
            Stack { world, descriptors, sysctls, jobs: receiver, waiters: vec![], home, woken: vec![] }.serve();
        };
        thread::Builder::new().name("burstlane".into()).spawn(run).map_err(|_| libc::ENOMEM)?;
        if is_started.recv() == Ok(true) { Ok(Self { jobs }) } else { Err(libc::ENOMEM) }
    }

    /// Does `work` on the stack.
    pub(crate) fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Stack) -> Answer<R> + Send + 'static,
    ) -> Answer<R> {
        self.ask(|answer, _| {
            Box::new(move |stack| {
                let _ = answer.send(work(stack));
            })
        })
    }

    /// Tries until the answer is another than `EAGAIN`, but for no longer than `patience` says, of virtual time: `None` is
    /// without end. `attempt` is told which is the last one, whose answer counts whatever it is.
    pub(crate) fn wait<R: Send + 'static>(
        &self,
        patience: impl FnOnce(&mut Stack) -> Option<Duration> + Send + 'static,
        mut attempt: impl FnMut(&mut Stack, bool) -> Answer<R> + Send + 'static,
    ) -> Answer<R> {
        self.ask(|answer, thread| {
            let attempt = move |stack: &mut Stack, is_last: bool| {
                let result = attempt(stack, is_last);
                let is_done = is_last || !matches!(result, Err(libc::EAGAIN));
                if is_done {
                    let _ = answer.send(result);
                }
                is_done
            };
            Box::new(move |stack| {
                let timeout = patience(stack);
                stack.wait(thread, timeout, Box::new(attempt));
            })
        })
    }

    fn ask<R: Send + 'static>(&self, job: impl FnOnce(Sender<Answer<R>>, ThreadId) -> Job) -> Answer<R> {
        let (answer, answered) = channel();
        let thread = thread::current().id();
        let work = job(answer, thread);
        let job = Box::new(move |stack: &mut Stack| {
            stack.woken.retain(|woken| *woken != thread);
            work(stack);
        });
        // The stack is gone only when it failed: nothing of it can be used any more.
        self.jobs.send(job).map_err(|_| libc::EIO)?;
        answered.recv().map_err(|_| libc::EIO)?
    }
}

impl Stack {
    fn serve(mut self) {
        while let Ok(job) = self.jobs.recv() {
            job(&mut self);
            self.settle();
        }
    }

    /// What was done has its effect: packets leave, and those who waited for it are answered.
    pub(crate) fn settle(&mut self) {
        loop {
            self.world.run();
            let events = self.world.take_events();
            self.descriptors.note(&events);
            let mut waiting = std::mem::take(&mut self.waiters);
            let now = self.world.now;
            let before = waiting.len();
            waiting.retain_mut(|waiter| {
                let is_last = waiter.until.is_some_and(|until| until <= now);
                let is_done = (waiter.attempt)(self, is_last);
                if is_done && waiter.thread != self.home {
                    self.woken.push(waiter.thread);
                }
                !is_done
            });
            let is_quiet = waiting.len() == before;
            self.waiters.extend(waiting);
            if is_quiet {
                return;
            }
        }
    }

    fn wait(&mut self, thread: ThreadId, timeout: Option<Duration>, mut attempt: Attempt) {
        let until = timeout.map(|timeout| self.world.now + timeout);
        if thread != self.home {
            if attempt(self, until == Some(self.world.now)) {
                self.woken.push(thread);
            } else {
                self.waiters.push(Waiter { thread, until, attempt });
            }
            return;
        }
        // Nobody else makes time pass.
        let end = self.world.now + WAIT_MAX;
        let until = until.unwrap_or(end).min(end);
        loop {
            self.settle();
            if attempt(self, self.world.now >= until) {
                return;
            }
            self.step(until);
        }
    }

    /// Lets time pass to the next thing that is due, not beyond `end`.
    fn step(&mut self, end: Instant) {
        self.await_woken();
        let waiter = self.waiters.iter().filter_map(|waiter| waiter.until).min();
        let due = [self.world.next_deadline(), waiter].into_iter().flatten().min().unwrap_or(end);
        // What is due already is done at the next instant: the clock always moves.
        let at = due.max(self.world.now.plus_nanos(1)).min(end);
        self.world.step(at);
        self.settle();
    }

    /// Lets time pass to `end`.
    pub(crate) fn advance(&mut self, end: Instant) {
        self.settle();
        self.await_woken();
        while self.world.now < end {
            self.step(end);
        }
    }

    /// The clock moves on while it is looked at.
    pub(crate) fn tick(&mut self, time: Duration) {
        self.advance(self.world.now + time);
    }

    /// The next packet that leaves, and when; `None` if none does for [`WAIT_MAX`].
    pub(crate) fn next_packet(&mut self) -> Option<(Instant, Vec<u8>)> {
        let end = self.world.now + WAIT_MAX;
        self.settle();
        loop {
            if let Some(sent) = self.world.take_sent() {
                return Some(sent);
            }
            if self.world.now >= end {
                return None;
            }
            self.step(end);
        }
    }

    /// Does what other threads ask until all that were woken came back.
    fn await_woken(&mut self) {
        while !self.woken.is_empty() {
            match self.jobs.recv_timeout(PATIENCE) {
                Ok(job) => {
                    job(self);
                    self.settle();
                }
                // It has ended, or never looks at the clock.
                Err(_) => self.woken.clear(),
            }
        }
    }
}

/// The longest wait for what never comes, of virtual time: longer than any timer of a connection that is not idle.
const WAIT_MAX: Duration = Duration::from_secs(4 * 3600);
/// Real time for which a woken thread is waited for: what is nearly always used of it is microseconds.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);
