//! The command line. Values are checked in `spec`; what a command does is in the module of its name.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::problem::{Problem, STATUS_USAGE};
use crate::spec::{Cidr, DriverSpec, Url, bytes, duration, probability, rate, seconds};

/// A user-space transport framework: any protocol, any packet source, one fast path.
///
/// Without a command it runs the quickstart: two hosts in memory, no root, no device.
#[derive(Parser, Debug)]
#[command(name = "burstlane", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  burstlane\n  burstlane lab -- curl -sS http://10.77.0.2/\n  \
    burstlane sim run --transport tcp --loss 2% --open\n  burstlane doctor")]
pub struct Cli {
    /// What to do; the quickstart if absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    bare: QuickstartArgs,
}

impl Cli {
    /// The command, with the default filled in.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Quickstart(self.bare))
    }
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Two hosts over a lossy link in memory: TCP and RUDP, and what happened
    Quickstart(QuickstartArgs),
    /// Run CMD in a network namespace with our host at the other end of a TAP
    Lab(LabArgs),
    /// Serve HTTP, echo and discard over a driver
    Serve(ServeArgs),
    /// Fetch a URL over a driver
    Get(GetArgs),
    /// Run a transport over a simulated link: what happened, as a scenario, a capture and a picture
    Sim(SimArgs),
    /// Check what this machine has and name the command that mends what it lacks
    Doctor,
    /// Measure the official workloads beside smoltcp
    #[cfg(feature = "bench")]
    Bench(BenchArgs),
}

/// `quickstart`.
#[derive(Args, Clone, Debug, Default)]
pub struct QuickstartArgs {
    /// Write the figures to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Seed of the simulated losses; the same seed gives the same packets [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Directory for the capture and the picture [default: burstlane-out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `lab`.
#[derive(Args, Debug)]
#[command(
    after_help = "Kernel: 10.77.0.1/24 and fd77::1/64. Our host: 10.77.0.2 and fd77::2. CMD finds the device's name \
    in BURSTLANE_TAP.\nExits with CMD's status, 128 + signal if it was killed, 125 if the lab could not be built.\n\n\
    Examples:\n  burstlane lab -- curl -sS http://10.77.0.2/\n  burstlane lab --no-host -- burstlane get http://10.77.0.1:8000/"
)]
pub struct LabArgs {
    /// What joins the two hosts
    #[arg(long, value_enum, default_value_t = LabDriver::Tap)]
    pub driver: LabDriver,
    /// Large frames (segmentation by the device), both ways
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub gso: Switch,
    /// Start no host of ours: CMD attaches its own to the TAP
    #[arg(long)]
    pub no_host: bool,
    /// Record our host's packets to FILE (pcapng)
    #[arg(long, value_name = "FILE", conflicts_with = "no_host")]
    pub capture: Option<PathBuf>,
    /// Say what is set up, and our host's counters at the end
    #[arg(short, long)]
    pub verbose: bool,
    /// The command to run, with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<std::ffi::OsString>,
}

/// The host that `serve` and `get` bring up.
#[derive(Args, Clone, Debug)]
pub struct HostArgs {
    /// Packet source, tap:NAME [default: the device in BURSTLANE_TAP]
    #[arg(long, value_name = "tap:NAME")]
    pub driver: Option<DriverSpec>,
    /// An address of ours with its prefix; may be repeated [default in a lab: 10.77.0.2/24 and fd77::2/64]
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    pub addr: Vec<Cidr>,
    /// Router for all other networks; may be given once for IPv4 and once for IPv6
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Vec<IpAddr>,
    /// Large frames (segmentation by the device), both ways
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub gso: Switch,
    /// Record the packets to FILE (pcapng)
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
}

/// `serve`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  burstlane serve --driver tap:burst0 --addr 10.77.0.2/24 --gateway 10.77.0.1")]
pub struct ServeArgs {
    #[command(flatten)]
    pub host: HostArgs,
    /// Stop after SECONDS
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub time: Option<Duration>,
}

/// `get`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  burstlane get http://10.77.0.1:8000/ --driver tap:burst0 --addr 10.77.0.2/24")]
pub struct GetArgs {
    /// What to fetch: http://, an IP address, a port if it is not 80, and a path
    pub url: Url,
    #[command(flatten)]
    pub host: HostArgs,
    /// Print the body's SHA-256 instead of the body
    #[arg(long)]
    pub sha256: bool,
    /// Write the body to FILE
    #[arg(short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `bench`.
#[cfg(feature = "bench")]
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  burstlane bench b1 b6 --json bench.json\n\n\
    Instructions instead of time, which repeat exactly: (count at 2N - count at N) / N of\n  \
    GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000 valgrind --tool=callgrind \\\n    \
    burstlane bench b2 --units N --stack burstlane")]
pub struct BenchArgs {
    /// Which workloads
    #[arg(required = true, value_enum)]
    pub workloads: Vec<Workload>,
    /// Connections at a time [default: 1 for b1, 64 for b2 and b6]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub connections: Option<u16>,
    /// Times around; the median stands
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub repeats: usize,
    /// Seconds of processor time a repeat
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub seconds: f64,
    /// Write the figures to FILE as a JSON array
    #[arg(long, value_name = "FILE", conflicts_with = "units")]
    pub json: Option<PathBuf>,
    /// Do N units once by a clock that steps, and measure nothing: to be counted from outside
    #[arg(long, value_name = "N", requires = "stack", value_parser = clap::value_parser!(u32).range(1..))]
    pub units: Option<u32>,
    /// Only this stack
    #[arg(long, value_enum)]
    pub stack: Option<StackName>,
}

/// Whose stack is measured.
#[cfg(feature = "bench")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StackName {
    /// Ours.
    Burstlane,
    /// smoltcp.
    Smoltcp,
}

/// `sim`.
#[derive(Args, Debug)]
pub struct SimArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SimCommand,
}

/// The commands of `sim`.
#[derive(Subcommand, Debug)]
pub enum SimCommand {
    /// Make a scenario from flags, run it, and say whether a law was broken
    Run(SimRunArgs),
    /// Run the scenario in FILE again: the same packets at the same instants
    Replay(SimReplayArgs),
}

/// `sim run`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  burstlane sim run --transport tcp --seed 7 --loss 1% --rate 10Mbit --queue 50 --open"
)]
pub struct SimRunArgs {
    /// Which transport: tcp, rudp, udp or stop-and-wait
    #[arg(long, value_name = "NAME")]
    pub transport: String,
    /// Decides over everything that is random; the same seed gives the same packets
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Packets lost, as 1% or 0.01
    #[arg(long, value_name = "CHANCE", value_parser = probability, default_value = "0%")]
    pub loss: f64,
    /// Packets that arrive twice
    #[arg(long, value_name = "CHANCE", value_parser = probability, default_value = "0%")]
    pub duplicate: f64,
    /// Packets held back for two delays, so that others overtake them
    #[arg(long, value_name = "CHANCE", value_parser = probability, default_value = "0%")]
    pub reorder: f64,
    /// Packets with one bit flipped
    #[arg(long, value_name = "CHANCE", value_parser = probability, default_value = "0%")]
    pub corrupt: f64,
    /// Time on the wire, each way
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5ms")]
    pub delay: Duration,
    /// Bits a second, as 10Mbit [default: no limit]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub rate: Option<u64>,
    /// Packets that wait in front of the rate limit at most [default: no limit]
    #[arg(long, value_name = "PACKETS", requires = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    pub queue: Option<u32>,
    /// Largest IP packet, bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(576..=65_535))]
    pub mtu: u32,
    /// What each flow carries from left to right, as 100k
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "100k")]
    pub bytes: u64,
    /// Flows side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub flows: u16,
    /// IPv4 or IPv6
    #[arg(long, value_enum, default_value_t = Family::V4)]
    pub family: Family,
    #[command(flatten)]
    pub files: SimFiles,
}

/// `sim replay`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  burstlane sim replay target/burstlane/failures/tcp-right-bytes-0123abcd.scenario --open"
)]
pub struct SimReplayArgs {
    /// A scenario: what a failing test or `sim run` left, or one written by hand
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub files: SimFiles,
}

/// What `sim` leaves.
#[derive(Args, Clone, Debug)]
pub struct SimFiles {
    /// Directory for scenario, capture and picture [default: burstlane-out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Show the picture in the browser
    #[arg(long)]
    pub open: bool,
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The official workloads.
#[cfg(feature = "bench")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Bulk, one way.
    B1,
    /// 64-byte requests and replies, one at a time on each connection.
    B2,
    /// Connect, one request, close.
    B6,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is used where the device has it.
    On,
    /// It is not used.
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// What a lab can be built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabDriver {
    /// A TAP device.
    Tap,
}

/// What [`HostArgs`] says once defaults are in and the parts were checked against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSpec {
    /// The packet source.
    pub driver: DriverSpec,
    /// Our addresses, at least one.
    pub addresses: Vec<Cidr>,
    /// Routers, at most one a family, each on one of our networks.
    pub gateways: Vec<IpAddr>,
    /// Large frames.
    pub gso: bool,
    /// Where to record the packets.
    pub capture: Option<PathBuf>,
}

impl HostArgs {
    /// Fills in what a lab implies (`lab_tap` is the value of `BURSTLANE_TAP`) and checks the rest.
    ///
    /// # Errors
    /// No driver, no address, or a gateway that none of our networks reaches.
    pub fn resolve(&self, lab_tap: Option<String>) -> Result<HostSpec, Problem> {
        let wrong = |what: String| Problem::new(what).status(STATUS_USAGE);
        let in_lab = self.driver.is_none() && lab_tap.is_some();
        let driver = match (self.driver.clone(), lab_tap) {
            (Some(driver), _) => driver,
            (None, Some(name)) => format!("tap:{name}").parse().map_err(|e| wrong(format!("BURSTLANE_TAP: {e}")))?,
            (None, None) => {
                return Err(wrong("no packet source: --driver tap:NAME is missing".to_owned())
                    .next("name a TAP device, for example --driver tap:burst0 --addr 10.77.0.2/24")
                    .next("or run it in a lab: burstlane lab --no-host -- burstlane ..."));
            }
        };
        let mut addresses = self.addr.clone();
        if addresses.is_empty() && in_lab {
            addresses = lab_addresses();
        }
        if addresses.is_empty() {
            return Err(wrong("no address: --addr ADDRESS/PREFIX is missing".to_owned())
                .next("for example --addr 10.77.0.2/24 --addr fd77::2/64"));
        }
        for (i, gateway) in self.gateway.iter().enumerate() {
            if !addresses.iter().any(|a| a.contains(*gateway)) {
                return Err(wrong(format!("the gateway {gateway} is on none of our networks"))
                    .cause("a router must be a neighbour: an --addr with a prefix that covers it is missing"));
            }
            if self.gateway.iter().take(i).any(|g| g.is_ipv4() == gateway.is_ipv4()) {
                return Err(wrong("more than one --gateway of one family".to_owned())
                    .next("give one for IPv4, and if needed one for IPv6"));
            }
        }
        let gateways = self.gateway.clone();
        Ok(HostSpec { driver, addresses, gateways, gso: self.gso.is_on(), capture: self.capture.clone() })
    }
}

/// Our host's addresses in a lab.
pub fn lab_addresses() -> Vec<Cidr> {
    [([10, 77, 0, 2].into(), 24), (std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2).into(), 64)]
        .map(|(address, prefix_bits)| Cidr { address, prefix_bits })
        .to_vec()
}

/// A line to imitate, for whoever mistyped `argv`.
pub fn example_for(argv: &[String]) -> &'static str {
    match argv.get(1).map(String::as_str) {
        Some("lab") => "burstlane lab -- curl -sS http://10.77.0.2/",
        Some("serve") => "burstlane serve --driver tap:burst0 --addr 10.77.0.2/24",
        Some("get") => "burstlane get http://10.77.0.1:8000/ --driver tap:burst0 --addr 10.77.0.2/24",
        Some("bench") => "burstlane bench b1 b2 b6 --json bench.json",
        Some("sim") => "burstlane sim run --transport tcp --seed 7 --loss 1%",
        Some("doctor") => "burstlane doctor",
        _ => "burstlane quickstart --seed 7 --json quickstart.json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(Cli::into_command)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bare_is_the_quickstart_and_takes_its_flags() {
        assert!(matches!(parse("burstlane"), Ok(Command::Quickstart(_))));
        let Ok(Command::Quickstart(args)) = parse("burstlane --seed 7") else { panic!() };
        assert_eq!(args.seed, Some(7));
        let Ok(Command::Quickstart(args)) = parse("burstlane quickstart --seed 8") else { panic!() };
        assert_eq!(args.seed, Some(8));
    }

    #[test]
    fn a_lab_passes_its_commands_flags_on_untouched() {
        let Ok(Command::Lab(args)) = parse("burstlane lab --gso off -v -- curl -sS --unknown http://10.77.0.2/") else {
            panic!()
        };
        assert_eq!(args.command, ["curl", "-sS", "--unknown", "http://10.77.0.2/"]);
        assert!(!args.gso.is_on() && args.verbose && !args.no_host);
        assert!(parse("burstlane lab").is_err());
    }

    #[test]
    fn wrong_words_are_named_with_what_was_expected() {
        for (line, said) in [
            ("burstlane lab --gos on -- true", "unexpected argument '--gos'"),
            ("burstlane serve --driver eth0 --addr 10.77.0.2/24", "expected tap:NAME, for example"),
            ("burstlane serve --driver tap:t0 --addr 10.77.0.2", "expected ADDRESS/PREFIX, for example"),
            ("burstlane serve --driver tap:t0 --addr 10.77.0.2/24 --time soon", "expected seconds, for example"),
            ("burstlane get https://10.0.0.1/", "expected http://ADDRESS"),
            ("burstlane lab --gso maybe -- true", "possible values: on, off"),
            ("burstlane sim run --transport tcp --loss 200%", "expected a probability, for example 1%"),
            ("burstlane sim run --transport tcp --delay 5", "expected a time, for example 20ms"),
            ("burstlane sim run --transport tcp --rate fast", "expected a rate, for example 10Mbit"),
            ("burstlane sim run --transport tcp --bytes 9G", "at most 64Mi"),
            ("burstlane sim run --transport tcp --mtu 20", "20 is not in 576..=65535"),
            ("burstlane sim run", "--transport <NAME>"),
            ("burstlane --frobnicate", "unexpected argument '--frobnicate'"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn a_host_needs_a_driver_an_address_and_a_reachable_gateway() {
        let resolve = |line: &str, tap: Option<&str>| match parse(line) {
            Ok(Command::Serve(args)) => args.host.resolve(tap.map(str::to_owned)),
            other => panic!("{other:?}"),
        };
        assert!(resolve("burstlane serve", None).unwrap_err().what.contains("--driver"));
        assert!(resolve("burstlane serve --driver tap:t0", Some("burst0")).unwrap_err().what.contains("--addr"));
        let lab = resolve("burstlane serve", Some("burst0")).unwrap();
        assert_eq!((lab.driver, lab.addresses), (DriverSpec::Tap("burst0".into()), lab_addresses()));
        let far = resolve("burstlane serve --driver tap:t0 --addr 10.77.0.2/24 --gateway 10.78.0.1", None);
        assert!(far.unwrap_err().what.contains("10.78.0.1"));
        let two = "burstlane serve --driver tap:t0 --addr 10.77.0.2/24 --gateway 10.77.0.1 --gateway 10.77.0.3";
        assert!(resolve(two, None).unwrap_err().what.contains("more than one"));
    }
}
