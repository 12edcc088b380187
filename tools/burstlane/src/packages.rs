//! Which package has a command, and how this distribution installs it.

use std::fs;

/// The line that installs the package with `tool`, if we know both.
pub fn install_command(tool: &str) -> Option<String> {
    command_for(tool, &fs::read_to_string("/etc/os-release").unwrap_or_default())
}

fn command_for(tool: &str, os_release: &str) -> Option<String> {
    let (_, debian, fedora) = TOOLS.iter().find(|(name, _, _)| *name == tool)?;
    let ids: Vec<&str> = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|ids| ids.trim_matches('"').split(' '))
        .collect();
    let is = |family: &[&str]| ids.iter().any(|id| family.contains(id));
    Some(match () {
        () if is(&["debian", "ubuntu"]) => format!("sudo apt install {debian}"),
        () if is(&["fedora", "rhel", "centos"]) => format!("sudo dnf install {fedora}"),
        () if is(&["arch"]) => format!("sudo pacman -S {}", if *tool == *"tshark" { "wireshark-cli" } else { fedora }),
        () if is(&["alpine"]) => format!("sudo apk add {debian}"),
        () if is(&["suse", "opensuse"]) => format!("sudo zypper install {debian}"),
        () => format!("install the package '{debian}'"),
    })
}

/// Command, package with Debian's name, with Fedora's.
const TOOLS: &[(&str, &str, &str)] = &[
    ("curl", "curl", "curl"),
    ("ip", "iproute2", "iproute"),
    ("ss", "iproute2", "iproute"),
    ("nft", "nftables", "nftables"),
    ("tshark", "tshark", "wireshark-cli"),
    ("tcpdump", "tcpdump", "tcpdump"),
    ("wget", "wget", "wget"),
    ("ping", "iputils-ping", "iputils"),
    ("nc", "netcat-openbsd", "netcat"),
    ("iperf3", "iperf3", "iperf3"),
    ("python3", "python3", "python3"),
    ("wrk", "wrk", "wrk"),
    ("ab", "apache2-utils", "httpd-tools"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_the_distributions_own() {
        let is = |tool, release: &str| command_for(tool, release);
        assert_eq!(is("ip", "ID=debian\n").unwrap(), "sudo apt install iproute2");
        assert_eq!(is("ip", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n").unwrap(), "sudo dnf install iproute");
        assert_eq!(is("tshark", "ID=arch\n").unwrap(), "sudo pacman -S wireshark-cli");
        assert_eq!(is("curl", "").unwrap(), "install the package 'curl'");
        assert_eq!(is("unheard-of", "ID=debian\n"), None);
    }
}
