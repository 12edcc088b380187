//! `lab`: a command of the user's against our host, with nothing but a process between them.
//!
//! A user and network namespace, a TAP device in it with the kernel's addresses, our host on the TAP's other end, and
//! CMD beside it. All of it ends with this process: the namespace is destroyed by the kernel when the last process in
//! it is gone.

mod child;
mod ffi;
mod namespace;
mod netlink;

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::cli::{self, HostSpec, LabArgs};
use crate::packages;
use crate::problem::{Problem, STATUS_LAB, STATUS_NOT_FOUND};
use crate::serve;
use crate::spec::{Cidr, DriverSpec};

pub use child::find_in_path;
use netlink::Netlink;

/// The TAP device in a lab.
const TAP_NAME: &str = "burst0";
/// Where CMD finds its name.
pub const TAP_VARIABLE: &str = "BURSTLANE_TAP";

/// Runs the lab; the status to exit with.
///
/// # Errors
/// The lab could not be built, or CMD could not be started.
pub fn run(args: &LabArgs) -> Result<u8, Problem> {
    let program = child::find(&args.command)?;
    let tell = |line: &str| {
        if args.verbose {
            eprintln!("lab: {line}");
        }
    };
    // Everything relative (CMD, capture) means the same inside: only users and networks change.
    let kind = namespace::enter().map_err(|p| p.status(STATUS_LAB))?;
    tell(&format!("{kind}"));
    build_network().map_err(|p| p.status(STATUS_LAB))?;
    tell(&format!("{TAP_NAME}: kernel {KERNEL_V4}/24 and {KERNEL_V6}/64, txqueuelen {TX_QUEUE_FRAMES}"));
    let host = if args.no_host { None } else { Some(Host::start(args)?) };
    if host.is_some() {
        tell("our host: 10.77.0.2 and fd77::2 (HTTP on 80, echo on 7, discard on 9)");
    }
    let status = child::run(&program, &args.command, TAP_NAME);
    if let Some(host) = host {
        host.stop(args.verbose)?;
    }
    child::end_orphans();
    status
}

/// Loopback up, the TAP made, addressed and up.
fn build_network() -> Result<(), Problem> {
    create_tap()?;
    let failed = |what: &str| {
        let what = format!("cannot set up the lab's network: {what}");
        move |e: std::io::Error| Problem::new(what).cause(e)
    };
    let mut netlink = Netlink::open().map_err(failed("no rtnetlink socket"))?;
    netlink.set_up("lo", None).map_err(failed("loopback stays down"))?;
    let v4 = Cidr { address: IpAddr::V4(KERNEL_V4), prefix_bits: 24 };
    netlink.add_address(TAP_NAME, v4).map_err(failed("no IPv4 address"))?;
    let v6 = Cidr { address: IpAddr::V6(KERNEL_V6), prefix_bits: 64 };
    if let Err(e) = netlink.add_address(TAP_NAME, v6) {
        eprintln!("lab: no IPv6 in this kernel ({e}); going on with IPv4 alone");
    }
    netlink.set_up(TAP_NAME, Some(TX_QUEUE_FRAMES)).map_err(failed("the TAP stays down"))
}

/// Makes the TAP persistent and lets go of it, so that whoever is the host can attach.
fn create_tap() -> Result<(), Problem> {
    let tun = File::options().read(true).write(true).open(TUN_DEVICE).map_err(|e| tun_problem(&e))?;
    ffi::create_persistent_tap(&tun, TAP_NAME).map_err(|e| match e.raw_os_error() {
        Some(libc::EPERM) => namespace::forbidden("the namespace grants no network administration", &e),
        _ => Problem::new(format!("cannot create the TAP device {TAP_NAME}")).cause(e),
    })
}

/// Why `/dev/net/tun` cannot be opened, and what to type.
pub fn tun_problem(error: &std::io::Error) -> Problem {
    let problem = Problem::new(format!("cannot open {TUN_DEVICE}: {error}"));
    let has_module = Path::new("/sys/class/misc/tun").exists();
    match error.kind() {
        std::io::ErrorKind::NotFound if has_module => problem
            .cause("the kernel has TUN/TAP, but the device node is missing (as in many containers)")
            .next("sudo mkdir -p /dev/net && sudo mknod -m 666 /dev/net/tun c 10 200")
            .next("in a container: start it with --device /dev/net/tun"),
        std::io::ErrorKind::NotFound => problem
            .cause("the kernel's TUN/TAP module is not loaded")
            .next("sudo modprobe tun")
            .next("in a container: load it on the host, then start with --device /dev/net/tun"),
        std::io::ErrorKind::PermissionDenied => problem
            .cause("this user may not open it; distributions with systemd give it mode 0666")
            .next("ls -l /dev/net/tun   (to see who may)")
            .next("sudo burstlane lab -- CMD...   (runs the same lab as root)"),
        _ if error.raw_os_error() == Some(libc::ENODEV) || error.raw_os_error() == Some(libc::ENXIO) => {
            problem.cause("the node is there, and the kernel has no TUN/TAP").next("sudo modprobe tun")
        }
        _ => problem,
    }
}

/// Our host, on a thread of its own.
struct Host {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<serve::Summary, Problem>>,
}

impl Host {
    /// Starts it and waits until it answers.
    fn start(args: &LabArgs) -> Result<Self, Problem> {
        let spec = HostSpec {
            driver: DriverSpec::Tap(TAP_NAME.to_owned()),
            addresses: cli::lab_addresses(),
            gateways: vec![IpAddr::V4(KERNEL_V4), IpAddr::V6(KERNEL_V6)],
            gso: args.gso.is_on(),
            capture: args.capture.clone(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let (ready_tx, ready_rx) = std::sync::mpsc::channel();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("burstlane-host".to_owned())
            .spawn(move || serve::host(&spec, &stopped, &mut || _ = ready_tx.send(())))
            .map_err(|e| Problem::new("cannot start a thread for our host").cause(e).status(STATUS_LAB))?;
        let host = Self { stop, thread };
        // The sender is dropped unused when the host failed before it was ready.
        if ready_rx.recv().is_ok() {
            return Ok(host);
        }
        let ended = Problem::new("our host ended before it was ready");
        Err(host.join().err().unwrap_or(ended).status(STATUS_LAB))
    }

    fn stop(self, verbose: bool) -> Result<(), Problem> {
        self.stop.store(true, Ordering::Relaxed);
        let summary = self.join()?;
        if verbose {
            eprintln!("{summary}");
        }
        Ok(())
    }

    fn join(self) -> Result<serve::Summary, Problem> {
        self.thread.join().unwrap_or_else(|_| Err(Problem::new("our host panicked; this is a bug of ours")))
    }
}

/// What to say when CMD is not there.
fn not_found(name: &str) -> Problem {
    let problem = Problem::new(format!("there is no command '{name}'")).status(STATUS_NOT_FOUND);
    match packages::install_command(name) {
        Some(command) => problem.cause("it is not in PATH").next(command),
        None => problem.cause("it is not in PATH").next("give its full path, or install the package that has it"),
    }
}

const KERNEL_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const KERNEL_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// With the default of 1,000, a burst without segmentation overflows it.
const TX_QUEUE_FRAMES: u32 = 10_000;
const TUN_DEVICE: &str = "/dev/net/tun";

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn each_failure_of_the_device_has_a_cause_and_a_command() {
        for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied] {
            let problem = tun_problem(&Error::from(kind));
            assert!(problem.cause.is_some() && problem.next.iter().any(|n| n.contains("sudo")), "{problem}");
        }
        assert!(tun_problem(&Error::from_raw_os_error(libc::ENODEV)).to_string().contains("modprobe tun"));
    }

    #[test]
    fn a_missing_command_is_named_with_its_package() {
        let problem = not_found("curl");
        assert!(problem.what.contains("'curl'") && problem.next[0].contains("curl"), "{problem}");
        assert_eq!(problem.status, 127);
    }
}
