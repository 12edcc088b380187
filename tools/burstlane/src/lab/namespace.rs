//! A user namespace in which we are root, and a network namespace of its own; for root, if users may not, the latter
//! alone.

use std::fmt;
use std::fs;
use std::io;

use crate::problem::Problem;

use super::ffi;

/// What was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// A user namespace and in it a network namespace.
    UserAndNetwork,
    /// A network namespace, as root.
    Network,
}

impl fmt::Display for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserAndNetwork => "user and network namespace",
            Self::Network => "network namespace (as root; user namespaces are forbidden here)",
        })
    }
}

/// Moves this process, which must have one thread, into new namespaces.
///
/// # Errors
/// Forbidden by the system, with the reason as far as it can be seen.
pub(super) fn enter() -> Result<Entered, Problem> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    match ffi::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) {
        Ok(()) => {
            map_ids(uid.as_raw(), gid.as_raw()).map_err(|e| forbidden("mapping this user was refused", &e))?;
            Ok(Entered::UserAndNetwork)
        }
        Err(_) if uid.is_root() => ffi::unshare(libc::CLONE_NEWNET)
            .map(|()| Entered::Network)
            .map_err(|e| Problem::new("cannot create a network namespace, even as root").cause(root_cause(&e))),
        Err(e) => Err(forbidden("unshare was refused", &e)),
    }
}

/// Maps root in the namespace to who we are outside.
fn map_ids(uid: u32, gid: u32) -> io::Result<()> {
    // An unprivileged process may map its group only after giving up setgroups(2) (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// The error for a system that forbids it, with the switch that does and the form that works. It is the
/// administrator's decision: no step here turns it off.
pub(super) fn forbidden(what: &str, error: &io::Error) -> Problem {
    Problem::new(format!("this system does not let an ordinary user make a network namespace ({what})"))
        .cause(cause(error, &|path| fs::read_to_string(path).ok()))
        .next("sudo burstlane lab -- CMD...   (the same lab as root, in a network namespace alone)")
        .next("from a clone: cargo build --release && sudo target/release/burstlane lab -- CMD...")
}

/// Which switch forbids user namespaces, as far as `read` shows.
fn cause(error: &io::Error, read: &dyn Fn(&str) -> Option<String>) -> String {
    let is = |path: &str, value: &str| read(path).is_some_and(|v| v.trim() == value);
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return "kernel.unprivileged_userns_clone is 0".to_owned();
    }
    if is("/proc/sys/user/max_user_namespaces", "0") {
        return "user.max_user_namespaces is 0".to_owned();
    }
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "AppArmor takes away capabilities in user namespaces \
                (kernel.apparmor_restrict_unprivileged_userns is 1, as on Ubuntu since 23.10)"
            .to_owned();
    }
    if read("/proc/self/status").is_some_and(|s| s.lines().any(|l| l.starts_with("Seccomp:") && !l.ends_with('0'))) {
        return format!("{error}: probably the container's seccomp profile (Docker's default forbids unshare)");
    }
    error.to_string()
}

fn root_cause(error: &io::Error) -> String {
    format!("{error}: this is probably a container without the capability SYS_ADMIN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_that_forbids_is_named_and_never_turned_off() {
        let denied = || io::Error::from_raw_os_error(libc::EPERM);
        for (path, value, said) in [
            ("/proc/sys/kernel/unprivileged_userns_clone", "0\n", "kernel.unprivileged_userns_clone is 0"),
            ("/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces is 0"),
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "AppArmor"),
            ("/proc/self/status", "Name:\tx\nSeccomp:\t2\n", "seccomp"),
        ] {
            let cause = cause(&denied(), &|asked| (asked == path).then(|| value.to_owned()));
            assert!(cause.contains(said), "{cause}");
        }
        let problem = forbidden("unshare was refused", &denied());
        assert!(problem.next.iter().all(|n| n.contains("sudo") && !n.contains("sysctl")), "{problem}");
    }
}
