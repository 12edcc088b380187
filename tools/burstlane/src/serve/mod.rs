//! `serve`: our host on a driver, answering HTTP on port 80, echo on 7 and discard on 9.

mod connection;
mod server;

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cli::{HostSpec, ServeArgs};
use crate::problem::Problem;
use crate::station::{Station, url_of};
use crate::term::{self, Style};

pub use connection::Socket;
use server::Server;

/// What a server did.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Connections accepted.
    pub connections: u64,
    /// HTTP requests.
    pub requests: u64,
    /// Those refused.
    pub refusals: u64,
    /// Packets dropped, by reason.
    pub drops: Vec<(&'static str, u64)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, requests, refusals, drops } = self;
        write!(f, "{connections} connections, {requests} HTTP requests, {refusals} refused")?;
        drops.iter().try_for_each(|(reason, count)| write!(f, "\n  dropped {count:>6}  {reason}"))
    }
}

/// Runs the command until Ctrl-C, or as long as it was told.
///
/// # Errors
/// The host could not be brought up, or its device is gone.
pub fn run(args: &ServeArgs) -> Result<u8, Problem> {
    let spec = args.host.resolve(std::env::var("BURSTLANE_TAP").ok())?;
    let stop = stop_on_signal()?;
    let until = args.time.map(|time| std::time::Instant::now() + time);
    let mut ready = || greet(&spec);
    let summary = serve(&spec, IDLE_MAX, &mut ready, &|| {
        stop.load(Ordering::Relaxed) || until.is_some_and(|until| std::time::Instant::now() >= until)
    })?;
    term::print(format_args!("{summary}\n"));
    Ok(0)
}

/// Serves until `stop` is set by another thread; calls `ready` once connections are accepted.
///
/// # Errors
/// As [`run`].
pub fn host(spec: &HostSpec, stop: &AtomicBool, ready: &mut dyn FnMut()) -> Result<Summary, Problem> {
    serve(spec, LAB_IDLE_MAX, ready, &|| stop.load(Ordering::Relaxed))
}

fn serve(
    spec: &HostSpec,
    idle_max: Duration,
    ready: &mut dyn FnMut(),
    is_over: &dyn Fn() -> bool,
) -> Result<Summary, Problem> {
    let station = Station::open(spec, idle_max)?;
    let addresses = spec.addresses.iter().map(|a| a.address.to_string()).collect();
    let mut server = Server::new(station.host.clone(), station.tcp, &spec.driver.to_string(), addresses)?;
    ready();
    while !is_over() {
        station.turn(|| server.turn(station.now()))?;
    }
    let mut summary = server.close();
    summary.drops = station.drops();
    station.close()?;
    Ok(summary)
}

fn greet(spec: &HostSpec) {
    let style = Style::stdout();
    let mut text = format!("{} on {}: HTTP on port 80, echo on 7, discard on 9\n", style.bold("Serving"), spec.driver);
    for address in &spec.addresses {
        // -g: curl would take the brackets of an IPv6 address for a pattern.
        let flags = if address.address.is_ipv4() { "" } else { "-g " };
        let _ = writeln!(text, "  curl {flags}{}", url_of(address.address));
    }
    term::print(format_args!("{text}{}\n", style.dim("Ctrl-C ends it.")));
}

/// A flag that Ctrl-C or a polite kill sets.
///
/// # Errors
/// The handlers cannot be installed.
pub fn stop_on_signal() -> Result<Arc<AtomicBool>, Problem> {
    let stop = Arc::new(AtomicBool::new(false));
    #[cfg(target_os = "linux")]
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|e| Problem::new("cannot watch for signals").cause(e))?;
    }
    Ok(stop)
}

/// A signal ends the sleep at once, so this only bounds what `--time` overshoots.
const IDLE_MAX: Duration = Duration::from_millis(250);
/// How long a lab may outlive its command.
const LAB_IDLE_MAX: Duration = Duration::from_millis(10);
