//! `get`: fetch a URL through our own stack.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use burstlane::addr::Endpoint;
use sha2::{Digest, Sha256};

use crate::cli::GetArgs;
use crate::problem::{Problem, STATUS_FAILED};
use crate::serve::{Socket, stop_on_signal};
use crate::service::http::bytes::hex;
use crate::service::http::client::{GetConn, GetError, Progress};
use crate::spec::Url;
use crate::station::Station;
use crate::term;

/// Runs the command.
///
/// # Errors
/// No answer, an incomplete one, one that says no, or one that is not what its digest says.
pub fn run(args: &GetArgs) -> Result<u8, Problem> {
    let spec = args.host.resolve(std::env::var("BURSTLANE_TAP").ok())?;
    let mut sink = Sink::open(args)?;
    let stop = stop_on_signal()?;
    let station = Station::open(&spec, IDLE_MAX)?;
    let url = &args.url;
    let stream = station
        .host
        .connect(station.tcp, Endpoint::from(url.server))
        .map_err(|e| unreachable_problem(url, &io::Error::from(e)))?;
    let mut socket = Socket(stream);
    let mut get = GetConn::new(url);
    let started = station.now();
    let mut outcome = Ok(Progress::Again);
    while matches!(outcome, Ok(Progress::Again | Progress::Waiting(_))) {
        if stop.load(Ordering::Relaxed) {
            return Err(Problem::new("interrupted").status(STATUS_INTERRUPTED));
        }
        station.turn(|| {
            let before = get.body_bytes();
            outcome = get.pump(&mut socket, &mut |data| sink.take(data));
            get.body_bytes() != before || matches!(outcome, Ok(Progress::Again | Progress::Done))
        })?;
    }
    let took = station.now().since(started);
    drop(socket);
    station.close()?;
    outcome.map_err(|e| get_problem(url, &e))?;
    sink.finish(args, &get, took)
}

/// Where the body goes.
struct Sink {
    out: Option<Box<dyn Write>>,
    digest: Option<Sha256>,
}

impl Sink {
    fn open(args: &GetArgs) -> Result<Self, Problem> {
        let out: Option<Box<dyn Write>> = match &args.output {
            Some(path) => {
                let file = File::create(path);
                let problem = |e| Problem::new(format!("cannot write {}", path.display())).cause(e);
                Some(Box::new(io::BufWriter::new(file.map_err(problem)?)))
            }
            None if args.sha256 => None,
            None => Some(Box::new(io::stdout().lock())),
        };
        Ok(Self { out, digest: args.sha256.then(Sha256::new) })
    }

    fn take(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(digest) = &mut self.digest {
            digest.update(data);
        }
        self.out.as_mut().map_or(Ok(()), |out| out.write_all(data))
    }

    fn finish(mut self, args: &GetArgs, get: &GetConn, took: Duration) -> Result<u8, Problem> {
        if let Some(out) = &mut self.out {
            out.flush().map_err(|e| Problem::new("cannot write the body").cause(e))?;
        }
        let Some(response) = get.response() else { return Ok(STATUS_FAILED) };
        if args.sha256 || args.output.is_some() {
            let mbit_per_s = get.body_bytes() as f64 * 8e-6 / took.as_secs_f64().max(1e-9);
            let (status, reason, bytes) = (response.status, &response.reason, get.body_bytes());
            eprintln!("{status} {reason}: {bytes} bytes in {:.3} s, {mbit_per_s:.0} Mbit/s", took.as_secs_f64());
        }
        if let Some(digest) = self.digest {
            let digest = hex(&digest.finalize());
            term::print(format_args!("{digest}  {}{}\n", args.url.host, args.url.target));
            if let Some(promised) = response.sha256.as_ref().filter(|p| !p.eq_ignore_ascii_case(&digest)) {
                return Err(Problem::new("the body is not what the server sent").cause(format!("it says {promised}")));
            }
        }
        if response.status >= 400 {
            return Err(Problem::new(format!("the server answered {} {}", response.status, response.reason)));
        }
        Ok(0)
    }
}

fn get_problem(url: &Url, error: &GetError) -> Problem {
    match error {
        GetError::Stream(e) => unreachable_problem(url, e),
        other => Problem::new(format!("no complete answer from {}", url.server)).cause(other),
    }
}

fn unreachable_problem(url: &Url, error: &io::Error) -> Problem {
    use io::ErrorKind as Kind;
    let problem = Problem::new(format!("cannot fetch from {}", url.server)).cause(error);
    match error.kind() {
        Kind::ConnectionRefused => {
            problem.next(format!("start a server there: nothing listens on port {}", url.server.port()))
        }
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::TimedOut => problem
            .next("check that the device's other end is up and has an address on one of our networks (ip addr)")
            .next("a host on another network needs --gateway"),
        _ => problem,
    }
}

/// A signal ends the sleep at once; so does a frame.
const IDLE_MAX: Duration = Duration::from_millis(250);
/// 128 and SIGINT, as a shell has it.
const STATUS_INTERRUPTED: u8 = 130;
