//! A host of ours on a real device: driver, lane, transports, capture, brought up as the command line says.

use std::cell::RefCell;
use std::fs::File;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::Ip;
use burstlane::driver::{Driver, DriverError};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::observe::Capture;
use burstlane::runtime::RealTime;
use burstlane::socket::Host;
use burstlane_tap::{Tap, TapConfig};
use burstlane_tcp::Tcp;

use crate::cli::HostSpec;
use crate::problem::Problem;
use crate::spec::DriverSpec;

/// The host, and who makes its time pass.
pub struct Station {
    /// The application's handle.
    pub host: Host,
    /// Its TCP.
    pub tcp: EngineId<Tcp>,
    time: RealTime,
    capture: Option<(String, Rc<RefCell<Capture<File>>>)>,
}

impl Station {
    /// Brings it up. An idle turn sleeps at most `idle_max`.
    ///
    /// # Errors
    /// The device, an address, a route or the capture cannot be had.
    pub fn open(spec: &HostSpec, idle_max: Duration) -> Result<Self, Problem> {
        let config =
            LaneConfig::from_entropy().map_err(|e| Problem::new("no random bytes for our secrets").cause(e))?;
        let mut lane = Lane::new(config);
        let addresses = spec.addresses.iter().map(|a| (Ip::from(a.address), a.prefix_bits)).collect();
        lane.add_interface(open_driver(spec)?, InterfaceConfig { addresses, ..InterfaceConfig::default() });
        for gateway in &spec.gateways {
            let everything = if gateway.is_ipv4() { Ip::v4([0; 4]) } else { Ip::ANY };
            lane.add_route(everything, 0, Ip::from(*gateway))
                .map_err(|e| Problem::new(format!("cannot route by {gateway}")).cause(e))?;
        }
        let tcp = lane.add(burstlane_tcp::Config::default()).map_err(|e| Problem::new("cannot add TCP").cause(e))?;
        let capture = spec.capture.as_ref().map(|path| (path.display().to_string(), File::create(path)));
        let capture = match capture {
            None => None,
            Some((path, file)) => {
                let capture = file.and_then(Capture::new).map_err(|e| capture_problem(&path, e))?;
                let capture = Rc::new(RefCell::new(capture));
                let tap = Capture::tap(&capture, &["loopback", &spec.driver.to_string()]);
                let tap = tap.map_err(|e| capture_problem(&path, e))?;
                lane.set_tap(Some(Box::new(tap)));
                Some((path, capture))
            }
        };
        let host = Host::new(lane);
        let time = RealTime::new(host.clone(), idle_max);
        Ok(Self { host, tcp, time, capture })
    }

    /// The present reading of its clock.
    pub fn now(&self) -> burstlane::time::Instant {
        self.time.now()
    }

    /// One turn, and a sleep if there was nothing to do; `app` says whether it did something.
    ///
    /// # Errors
    /// The device is gone.
    pub fn turn(&self, app: impl FnOnce() -> bool) -> Result<(), Problem> {
        self.time.turn(app).map_err(|e: DriverError| Problem::new("the packet source failed").cause(e))
    }

    /// Lets connections that are closing say so, for a moment, and writes the capture out.
    ///
    /// # Errors
    /// The device is gone, or the capture could not be written.
    pub fn close(self) -> Result<(), Problem> {
        let until = self.now() + GOODBYE;
        // Once even without connections: what is owed leaves with the turn.
        loop {
            self.turn(|| false)?;
            if self.host.lane().flows() == 0 || self.now() >= until {
                break;
            }
        }
        let Some((path, capture)) = self.capture else { return Ok(()) };
        self.host.lane().set_tap(None);
        match Rc::try_unwrap(capture) {
            Ok(capture) => capture.into_inner().finish().map(drop).map_err(|e| capture_problem(&path, e)),
            Err(_) => Ok(()), // the lane's tap was the only other owner
        }
    }

    /// Drops by reason, of all layers.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        let mut lane = self.host.lane();
        let mut drops = lane.net().counters().clone();
        drops.merge(lane.drops());
        drops.iter().map(|(reason, count)| (reason.0, count)).collect()
    }
}

/// The URL of a server at `address`, as curl wants it.
pub fn url_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => format!("http://{a}/"),
        IpAddr::V6(a) => format!("http://[{a}]/"),
    }
}

fn open_driver(spec: &HostSpec) -> Result<Box<dyn Driver>, Problem> {
    match &spec.driver {
        DriverSpec::Tap(name) => {
            let config = TapConfig { offloads: spec.gso, ..TapConfig::new(name) };
            let tap =
                Tap::open(&config).map_err(|e| Problem::new(format!("cannot attach to {}", spec.driver)).cause(e))?;
            Ok(Box::new(tap))
        }
    }
}

fn capture_problem(path: &str, error: std::io::Error) -> Problem {
    Problem::new(format!("cannot write the capture {path}")).cause(error)
}

/// How long closing connections are waited for.
const GOODBYE: Duration = Duration::from_millis(200);
