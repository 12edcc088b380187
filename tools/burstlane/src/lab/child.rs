//! CMD: found before anything is built, run beside our host, and nothing of it left when the lab ends.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{self, Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::problem::{Problem, STATUS_LAB, STATUS_NOT_EXECUTABLE};

use super::{TAP_VARIABLE, ffi, not_found};

/// Looks `command`'s first word up as a shell does.
///
/// # Errors
/// It is not there, or is not executable.
pub(super) fn find(command: &[OsString]) -> Result<PathBuf, Problem> {
    let name = command.first().ok_or_else(|| not_found(""))?;
    let given = Path::new(name);
    if given.components().count() > 1 || given.is_absolute() {
        return match given.metadata() {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Ok(given.to_owned()),
            Ok(_) => Err(not_executable(given)),
            Err(_) => Err(not_found(&name.to_string_lossy())),
        };
    }
    find_in_path(name).ok_or_else(|| not_found(&name.to_string_lossy()))
}

/// The executable `name` in PATH, or where administration tools are.
pub fn find_in_path(name: impl AsRef<Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(extra).map(|dir| dir.join(name.as_ref())).find(|candidate| {
        candidate.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// Runs the command to its end; its status, or 128 and the signal that killed it.
///
/// # Errors
/// It could not be started.
pub(super) fn run(program: &Path, command: &[OsString], tap: &str) -> Result<u8, Problem> {
    // Whoever CMD leaves behind becomes our child, so that we can end it.
    let _ = process::set_child_subreaper(Some(process::getpid()));
    let mut child = Command::new(program);
    child.args(command.iter().skip(1)).env(TAP_VARIABLE, tap);
    ffi::dies_with_us(&mut child);
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP])
        .map_err(|e| Problem::new("cannot watch for signals").cause(e).status(STATUS_LAB))?;
    let mut child = child.spawn().map_err(|e| not_executable(program).cause(e))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let handle = signals.handle();
    let forwarder = std::thread::spawn(move || {
        for signal in signals.forever() {
            // Ctrl-C and Ctrl-\ reach CMD from the terminal; what is sent to us alone is passed on.
            let signal = if signal == SIGTERM {
                Signal::TERM
            } else if signal == SIGHUP {
                Signal::HUP
            } else {
                continue;
            };
            let _ = pid.map(|pid| process::kill_process(pid, signal));
        }
    });
    let status = child.wait();
    handle.close();
    let _ = forwarder.join();
    let status = status.map_err(|e| Problem::new("cannot wait for the command").cause(e).status(STATUS_LAB))?;
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Kills what the command left running in the background.
pub(super) fn end_orphans() {
    for _ in 0..ORPHAN_ROUNDS_MAX {
        // Each thread of ours has its list of children.
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let pids: Vec<Pid> = lists
            .flat_map(|list| list.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<i32>>())
            .filter_map(Pid::from_raw)
            .collect();
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            let _ = process::kill_process(pid, Signal::KILL);
            let _ = process::waitpid(Some(pid), process::WaitOptions::empty());
        }
    }
}

fn not_executable(path: &Path) -> Problem {
    Problem::new(format!("'{}' cannot be run", path.display())).status(STATUS_NOT_EXECUTABLE)
}

/// Each round ends a generation; a command that outruns it forks on purpose.
const ORPHAN_ROUNDS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_in_path_or_where_it_is_said_to_be() {
        assert!(find(&["sh".into()]).unwrap().is_absolute());
        assert_eq!(find(&["/bin/sh".into()]).unwrap(), Path::new("/bin/sh"));
        assert_eq!(find(&["no-such-command-here".into()]).unwrap_err().status, 127);
        assert_eq!(find(&["/no/such/file".into()]).unwrap_err().status, 127);
        assert_eq!(find(&["/".into()]).unwrap_err().status, 126);
    }
}
