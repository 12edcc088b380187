//! One asynchronous task on a lane: it is polled when the lane wakes it and at no other time, and gets every byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use burstlane::socket::{Listener, Stream};
use burstlane_sim::LinkConfig;
use burstlane_spec::{Channel, Hosts, HostsConfig, Pattern};
use burstlane_tcp::{Config, Tcp};

/// An executor of one task: it polls if, and only if, it was woken since.
struct Executor {
    task: Option<Pin<Box<dyn Future<Output = ()>>>>,
    wakes: Arc<Wakes>,
    served: u64,
    polls: Rc<Cell<u64>>,
}

struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Executor {
    fn new(task: impl Future<Output = ()> + 'static, polls: Rc<Cell<u64>>) -> Self {
        Self { task: Some(Box::pin(task)), wakes: Arc::new(Wakes(AtomicU64::new(1))), served: 0, polls }
    }

    fn turn(&mut self) -> bool {
        let wakes = self.wakes.0.load(Ordering::Relaxed);
        let Some(task) = self.task.as_mut().filter(|_| wakes > self.served) else { return false };
        self.served = wakes;
        self.polls.set(self.polls.get() + 1);
        let waker = Waker::from(self.wakes.clone());
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.task = None;
        }
        true
    }
}

async fn accept(listener: &Listener<Tcp>) -> Stream<Tcp> {
    std::future::poll_fn(|cx| listener.poll_accept(cx)).await
}

async fn read(stream: &Stream<Tcp>, buf: &mut [u8]) -> io::Result<usize> {
    std::future::poll_fn(|cx| stream.poll_read(cx, buf)).await
}

async fn write_all(stream: &Stream<Tcp>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = std::future::poll_fn(|cx| stream.poll_write(cx, bytes)).await?;
        bytes = &bytes[taken..];
    }
    Ok(())
}

async fn echo(listener: Listener<Tcp>) {
    let stream = accept(&listener).await;
    let mut buf = vec![0; 3000];
    loop {
        match read(&stream, &mut buf).await.unwrap() {
            0 => return stream.shutdown(),
            bytes => write_all(&stream, &buf[..bytes]).await.unwrap(),
        }
    }
}

/// Sends and receives at once, from outside: more than fits the buffers on the way.
fn exchange(seed: u64, loss: f64, bytes: usize) -> (u64, u64) {
    let link = LinkConfig { delay: Duration::from_millis(5), loss, ..LinkConfig::default() };
    let hosts = Hosts::new(HostsConfig::new(seed).with_link(&link));
    let engines = hosts.add::<Tcp>(Config::default().with_buffers(16 << 10, 16 << 10));
    let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 4).unwrap();
    let polls: Rc<Cell<u64>> = Rc::default();
    let mut executor = Executor::new(echo(listener), polls.clone());
    let done = Rc::new(Cell::new(false));
    let is_done = done.clone();
    hosts.add_app(1, move |_| {
        let moved = executor.turn();
        is_done.set(executor.task.is_none());
        moved
    });
    // A second without anybody: the task waits in `accept` and is left alone.
    hosts.world.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!(polls.get(), 1, "polled without a reason");
    let client = hosts.connect(engines);
    let pattern = Pattern::new(seed);
    let (mut sent, mut received, mut ended) = (0, 0, false);
    let mut buf = vec![0; 5000];
    hosts.run_until(Duration::from_secs(3600), || {
        while sent < bytes {
            let piece = &mut buf[..(bytes - sent).min(5000)];
            pattern.fill(sent as u64, piece);
            let Ok(taken) = client.write(piece) else { break };
            sent += taken;
        }
        if sent == bytes {
            client.shutdown();
        }
        while let Ok(taken) = client.recv(&mut buf) {
            let Some(taken) = taken else {
                ended = true;
                break;
            };
            assert_eq!(pattern.mismatch(received as u64, &buf[..taken]), None);
            received += taken;
        }
        ended && done.get()
    });
    assert_eq!(received, bytes);
    drop(client);
    let frames = hosts.members[1].end.received().delivered + hosts.members[1].end.sent().sent;
    let polls = polls.get();
    hosts.assert_clean();
    (polls, frames)
}

#[test]
fn a_task_gets_every_byte_and_is_polled_only_when_woken() {
    let (polls, frames) = exchange(1, 0.0, 1_000_000);
    assert!(polls > 50, "{polls} polls: the task never waited");
    assert!(polls <= frames, "{polls} polls for {frames} frames");
}

#[test]
fn a_task_on_a_bad_link_misses_no_wake() {
    for seed in 0..20 {
        let (polls, frames) = exchange(seed, 0.1, 60_000);
        assert!(polls <= frames + 10, "seed {seed}: {polls} polls for {frames} frames");
    }
}

/// A task that waits for a flow learns that it failed.
#[test]
fn a_waiting_task_is_woken_by_the_end_of_its_flow() {
    let hosts = Hosts::new(HostsConfig::new(9));
    let engines = hosts.add::<Tcp>(Config::default());
    let listener = hosts.members[1].host.listen(engines[1], hosts.remote(), 4).unwrap();
    let got = Rc::new(Cell::new(None));
    let set = got.clone();
    let task = async move {
        let stream = accept(&listener).await;
        set.set(read(&stream, &mut [0; 8]).await.err().map(|error| error.kind()));
    };
    let polls: Rc<Cell<u64>> = Rc::default();
    let mut executor = Executor::new(task, polls.clone());
    hosts.add_app(1, move |_| executor.turn());
    let client = hosts.connect(engines);
    hosts.world.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!(got.get(), None);
    client.abort();
    drop(client);
    hosts.world.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!(got.get(), Some(io::ErrorKind::ConnectionReset));
    assert!(polls.get() <= 5, "{} polls", polls.get());
    hosts.assert_clean();
}
