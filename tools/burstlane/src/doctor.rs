//! `doctor`: what this machine has of what Burstlane can use, and the command that mends each thing it lacks.
//!
//! The quickstart needs nothing. The lab is not judged by its parts: a real one is built and taken down.

use std::fmt::Write as _;
use std::process::Command;

use crate::packages;
use crate::problem::Problem;
use crate::term::{self, Style};

/// One thing looked at.
#[derive(Clone, Debug)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What mends it, one a line.
    mend: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// There.
    Ok,
    /// Not there, and something main does not run without it.
    Missing,
    /// Not there, and only something optional wants it.
    Optional,
    /// Good to know.
    Note,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, verdict, found: found.into(), mend: Vec::new() }
    }

    fn mend(mut self, line: impl Into<String>) -> Self {
        self.mend.push(line.into());
        self
    }
}

/// Prints the report; the exit status.
pub fn run() -> u8 {
    let checks = [system(), lab(), tools(), speed()].concat();
    term::print(render(&checks, Style::stdout()));
    u8::from(!is_ready(&checks))
}

fn is_ready(checks: &[Check]) -> bool {
    checks.iter().all(|c| c.verdict != Verdict::Missing)
}

fn render(checks: &[Check], style: Style) -> String {
    let width = checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let mark = match check.verdict {
            Verdict::Ok => style.green("ok     "),
            Verdict::Missing => style.red("MISSING"),
            Verdict::Optional => style.yellow("missing"),
            Verdict::Note => style.dim("note   "),
        };
        let name = style.bold(&format!("{:width$}", check.name));
        let _ = writeln!(text, "{mark}  {name}  {}", check.found);
        for line in &check.mend {
            let _ = writeln!(text, "{:9}{:width$}  {} {line}", "", "", style.dim("->"));
        }
    }
    let verdict = if is_ready(checks) {
        format!("{} try: burstlane lab -- curl -sS http://10.77.0.2/", style.green("Ready."))
    } else {
        format!("{} The quickstart (bare `burstlane`) runs anyway.", style.red("The lab cannot run yet."))
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}

fn system() -> Vec<Check> {
    let os = std::env::consts::OS;
    let release = read("/proc/sys/kernel/osrelease");
    let found = format!("{os} {} on {}", release.trim(), std::env::consts::ARCH);
    let quickstart = Check::new("quickstart", Verdict::Ok, "needs nothing: no root, no device");
    if os == "linux" {
        vec![Check::new("system", Verdict::Ok, found), quickstart]
    } else {
        let lab = Check::new("lab", Verdict::Missing, format!("TAP and namespaces are Linux's, and this is {os}"))
            .mend("use a Linux machine, virtual machine or container for the lab");
        vec![Check::new("system", Verdict::Note, found), quickstart, lab]
    }
}

#[cfg(not(target_os = "linux"))]
fn lab() -> Vec<Check> {
    Vec::new()
}

/// Opens the device, then has this very program build a lab and run `--version` in it.
#[cfg(target_os = "linux")]
fn lab() -> Vec<Check> {
    let tun = match std::fs::File::options().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Check::new("/dev/net/tun", Verdict::Ok, "can be opened"),
        Err(e) => problem_check("/dev/net/tun", &crate::lab::tun_problem(&e)),
    };
    let probe = std::env::current_exe()
        .and_then(|exe| Command::new(&exe).args(["lab", "--no-host", "-v", "--"]).arg(&exe).arg("--version").output());
    let lab = match probe {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let how = said.lines().find_map(|l| l.strip_prefix("lab: ")).unwrap_or("a lab was built").to_owned();
            Check::new("lab", Verdict::Ok, how)
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let mut lines = said.lines().filter(|l| !l.starts_with("lab: ")).map(str::trim);
            let first = lines.next().unwrap_or("it failed without a word").trim_start_matches("burstlane: ").to_owned();
            let bare = |l: &str| l.trim_start_matches("cause: ").trim_start_matches("next:").trim_start().to_owned();
            lines.map(bare).fold(Check::new("lab", Verdict::Missing, first), Check::mend)
        }
        Err(e) => Check::new("lab", Verdict::Missing, format!("cannot run this program again: {e}")),
    };
    vec![tun, lab]
}

#[cfg(target_os = "linux")]
fn problem_check(name: &'static str, problem: &Problem) -> Check {
    let check = Check::new(name, Verdict::Missing, problem.what.clone());
    problem.cause.iter().chain(&problem.next).cloned().fold(check, Check::mend)
}

#[cfg(not(target_os = "linux"))]
fn tools() -> Vec<Check> {
    Vec::new()
}

#[cfg(target_os = "linux")]
fn tools() -> Vec<Check> {
    let wanted = [
        ("curl", "the lab's first example"),
        ("ip", "to look at a lab from inside"),
        ("nft", "to lose packets in the kernel on purpose"),
        ("tshark", "to read captures"),
    ];
    wanted
        .map(|(name, purpose)| match crate::lab::find_in_path(name) {
            Some(path) => Check::new(name, Verdict::Ok, path.display().to_string()),
            None => {
                let check = Check::new(name, Verdict::Optional, format!("not found ({purpose})"));
                packages::install_command(name).into_iter().fold(check, Check::mend)
            }
        })
        .to_vec()
}

fn speed() -> Vec<Check> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut checks = vec![Check::new("cores", Verdict::Note, cores.to_string()), simd()];
    #[cfg(target_os = "linux")]
    checks.extend(memory());
    checks
}

fn simd() -> Check {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return Check::new("AVX2", Verdict::Ok, "checksum and copy use it");
    }
    Check::new("AVX2", Verdict::Note, "not here; checksum and copy use portable code")
}

#[cfg(target_os = "linux")]
fn memory() -> [Check; 2] {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    let limit = limit.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
    let meminfo = read("/proc/meminfo");
    let pages = meminfo.lines().find_map(|l| l.strip_prefix("HugePages_Total:")).map_or("0", str::trim);
    [
        Check::new("locked memory", Verdict::Note, format!("{limit} (drivers of later kinds lock packet memory)")),
        Check::new("huge pages", Verdict::Note, format!("{pages} (not needed)")),
    ]
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_what_is_missing_and_what_mends_it() {
        let mut checks = vec![
            Check::new("system", Verdict::Ok, "linux"),
            Check::new("curl", Verdict::Optional, "not found").mend("sudo apt install curl"),
        ];
        let text = render(&checks, Style::PLAIN);
        assert!(is_ready(&checks) && text.contains("Ready.") && !text.contains('\x1b'));
        assert!(text.contains("ok       system  linux\n") && text.contains("-> sudo apt install curl\n"), "{text}");
        checks.push(Check::new("lab", Verdict::Missing, "forbidden").mend("sudo burstlane lab"));
        assert!(!is_ready(&checks) && render(&checks, Style::PLAIN).contains("MISSING  lab"));
    }

    #[test]
    fn looking_at_the_machine_never_fails() {
        assert!(![system(), tools(), speed()].concat().is_empty());
    }
}
