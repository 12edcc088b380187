//! The rules of `CONTRIBUTING.md` that a program can check, each a function from a file to what is wrong with it. A path
//! is relative to the root, with forward slashes.

use super::scan::{code, without_tests, words};

/// A source file.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One member of the workspace.
pub(crate) struct Member {
    /// Its folder: `transports/udp`.
    pub(crate) folder: String,
    /// The folders of the members that it depends on, tests aside.
    pub(crate) uses: Vec<String>,
    /// And those that its tests depend on.
    pub(crate) tests_use: Vec<String>,
}

/// The rules for files.
pub(crate) const FILE_RULES: [fn(&File) -> Vec<String>; 6] = [
    opens_with_a_purpose,
    framework_knows_no_transport,
    no_protocol_numbers,
    fits_a_reader,
    unsafe_in_its_place,
    sans_io,
];

/// A file says in its first line what it is; of `tests.rs` the name says it.
fn opens_with_a_purpose(file: &File) -> Vec<String> {
    if file.text.starts_with("//!") || file.path.ends_with("/tests.rs") {
        vec![]
    } else {
        vec![format!("{}: does not open with //!", file.path)]
    }
}

/// The framework does not so much as mention its first transport, not in a comment, not in a test. DCTCP is no mention: RFC 8257
/// named a congestion controller so, and any transport may have it.
fn framework_knows_no_transport(file: &File) -> Vec<String> {
    if !file.is_under("framework/src") {
        return vec![];
    }
    file.lines_with(&file.text, "names a transport", |line| line.to_lowercase().replace("dctcp", "").contains("tcp"))
}

/// A protocol number is somebody else's: `claim()` brings it. UDP's is known where datagrams are demultiplexed.
fn no_protocol_numbers(file: &File) -> Vec<String> {
    if !file.is_under("framework/src") || PROTOCOL_NUMBER_FILES.contains(&&*file.path) || file.is_test() {
        return vec![];
    }
    file.lines_with(&code(without_tests(&file.text)), "literal protocol number", |line| {
        // Where the number stands in IPv6's header is no protocol.
        let line = &line.replace("[6]", "").replace("get(6)", "");
        let about_protocols = words(&line.to_lowercase())
            .any(|word| word.contains("proto") || word.contains("next_header") || word.contains("segments"));
        let constant = words(line).any(|word| word == "const") && line.contains(": u8 =");
        (about_protocols || constant) && !line.contains("; 6]") && words(line).any(is_protocol_number)
    })
}

/// Whether a name stands in a line, not as the end of a longer one.
fn mentions(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn is_protocol_number(word: &str) -> bool {
    let number = word.strip_suffix("_u8").or(word.strip_suffix("u8")).unwrap_or(word);
    let value = match number.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => number.parse().ok(),
    };
    matches!(value, Some(6 | 17))
}

/// Past 600 lines nobody finds their way in a file; its tests are not counted.
fn fits_a_reader(file: &File) -> Vec<String> {
    let lines = without_tests(&file.text).lines().count();
    if file.is_test() || lines <= LINES_MAX {
        return vec![];
    }
    vec![format!("{}: {lines} lines without tests, the limit is {LINES_MAX}", file.path)]
}

/// Unsafe code stands where a reader looks for it, and the compiler is told so at each crate's root.
fn unsafe_in_its_place(file: &File) -> Vec<String> {
    let code = code(&file.text);
    let mut wrong = vec![];
    if !UNSAFE_PLACES.iter().any(|place| file.path.starts_with(place)) {
        wrong = file.lines_with(&code, "unsafe outside of its places", |line| words(line).any(|word| word == "unsafe"));
    }
    let root = file.path.strip_suffix("/src/lib.rs").filter(|_| !code.trim().is_empty());
    let demanded = match root {
        Some("framework") => "#![deny(unsafe_code)]",
        Some("drivers/tap" | "spec-tests/packetdrill") | None => return wrong,
        Some(_) => "#![forbid(unsafe_code)]",
    };
    if !code.contains(demanded) {
        wrong.push(format!("{}: {demanded} is missing", file.path));
    }
    wrong
}

/// Framework and transports are told the time and are given their randomness; they open nothing and start nothing.
fn sans_io(file: &File) -> Vec<String> {
    let transport = file.is_under("transports");
    if file.is_test() || SANS_IO_EXCEPTIONS.contains(&&*file.path) || !(transport || file.is_under("framework/src")) {
        return vec![];
    }
    let never = ["Instant::now", "SystemTime", "thread::sleep", "RandomState", "getrandom", "thread_rng", "OsRng"];
    let not_in_transports = ["std::net::Udp", "std::net::Tcp", "std::thread", "std::fs", "std::io::std", "static mut"];
    file.lines_with(&code(without_tests(&file.text)), "clock, entropy or I/O", |line| {
        let std_table = line.contains("std::collections") && (line.contains("HashMap") || line.contains("HashSet"));
        std_table
            || never.iter().any(|name| mentions(line, name))
            || (transport && not_in_transports.iter().any(|name| line.contains(name)))
    })
}

/// Imports point one way: tools, examples and tests to transports and drivers, those to the framework, that to nothing. The
/// decoder judges everybody, so it knows nobody; it is the one thing that the framework's tests may borrow.
pub(crate) fn imports_point_one_way(member: &Member) -> Vec<String> {
    let kind = |folder: &str| folder.split('/').next().unwrap_or_default().to_owned();
    let may_use: &[&str] = match &*kind(&member.folder) {
        "framework" => &[],
        "transports" | "drivers" => &["framework"],
        "examples" => &["framework", "transports", "drivers"],
        "spec-tests" if member.folder == DECODER => &[],
        // The bundled transports as subjects are a crate of their own, so that others need not build them.
        "spec-tests" => &["framework", "transports", "drivers", "examples", "spec-tests"],
        _ => return vec![],
    };
    let mut wrong: Vec<String> = member
        .uses
        .iter()
        .filter(|used| !may_use.contains(&&*kind(used)))
        .map(|used| format!("{} depends on {used}", member.folder))
        .collect();
    if member.folder == "framework" {
        let borrowed = member.tests_use.iter().filter(|used| *used != DECODER);
        wrong.extend(borrowed.map(|used| format!("the framework's tests depend on {used}")));
    }
    wrong
}

impl File {
    fn is_under(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether the whole file is tests.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    fn lines_with(&self, text: &str, what: &str, wrong: impl Fn(&str) -> bool) -> Vec<String> {
        let numbered = text.lines().enumerate().filter(|(_, line)| wrong(line));
        numbered.map(|(i, line)| format!("{}:{}: {what}: {}", self.path, i + 1, line.trim())).collect()
    }
}

const LINES_MAX: usize = 600;

/// Bytes in, a verdict out, with `pnet_packet` alone behind it.
const DECODER: &str = "spec-tests/decode";

/// Where the framework itself speaks a protocol above IP: datagrams carry transports that claim a port; and ICMP, which
/// says at which byte a header is wrong.
const PROTOCOL_NUMBER_FILES: [&str; 2] = ["framework/src/net/udp.rs", "framework/src/net/icmp.rs"];

/// Where unsafe code may stand, by the beginning of the path.
const UNSAFE_PLACES: [&str; 7] = [
    "framework/src/frame/",
    "framework/src/simd",
    "drivers/tap/src/ffi.rs",
    "tools/burstlane/src/lab/ffi.rs",
    "spec-tests/packetdrill/src/ffi.rs",
    "spec-tests/packetdrill/src/ffi/",
    "spec-tests/packetdrill/tests/face/ffi.rs",
];

/// Files of the framework that drive a lane in real time, and so read its clock.
const SANS_IO_EXCEPTIONS: [&str; 1] = ["framework/src/runtime.rs"];

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: format!("//! A file.\n{text}") };
        FILE_RULES.iter().flat_map(|rule| rule(&file)).collect()
    }

    #[test]
    fn each_rule_catches_what_it_is_for() {
        for (path, text) in [
            ("framework/src/engine/mod.rs", "// like Tcp does\n"),
            ("framework/src/net/ipv4.rs", "if header.protocol == 6 {\n"),
            ("framework/src/net/ipv4.rs", "    if protocol == 0x11 {\n"),
            ("framework/src/net/ipv6.rs", "match next_header { 17 => 1,\n"),
            ("framework/src/net/mod.rs", "const STREAM: u8 = 6;\n"),
            ("framework/src/engine/mod.rs", "let x = unsafe { y() };\n"),
            ("drivers/tap/src/driver.rs", "unsafe impl Send for X {}\n"),
            ("transports/udp/src/conn.rs", "let now = std::time::Instant::now();\n"),
            ("transports/udp/src/conn.rs", "use std::net::UdpSocket;\n"),
            ("framework/src/engine/table.rs", "use std::collections::HashMap;\n"),
            ("transports/udp/src/lib.rs", "pub mod conn;\n"),
            ("framework/src/lib.rs", "// #![deny(unsafe_code)]\npub mod addr;\n"),
        ] {
            assert_eq!(broken(path, text).len(), 1, "{path}: {text}{:?}", broken(path, text));
        }
        assert_eq!(broken("tools/burstlane/src/main.rs", &"//\n".repeat(LINES_MAX)).len(), 1);
        assert_eq!(opens_with_a_purpose(&File { path: "x.rs".into(), text: "fn f() {}".into() }).len(), 1);
    }

    #[test]
    fn no_rule_minds_what_is_allowed() {
        for (path, text) in [
            ("transports/tcp/src/lib.rs", "//! TCP.\n#![forbid(unsafe_code)]\npub const PROTOCOL: u8 = 6;\n"),
            ("framework/src/net/udp.rs", "pub const PROTOCOL: u8 = 17;\n"),
            ("framework/src/net/ipv4.rs", "// protocol 6 is a number\nlet mac: [u8; 6] = proto.mac();\n"),
            ("framework/src/net/ipv4.rs", "ok();\n#[cfg(test)]\nmod tests { const PROTOCOL: u8 = 17; }\n"),
            ("framework/src/frame/pool.rs", "unsafe { x() }\n"),
            ("framework/src/engine/mod.rs", "//! unsafe in words\nlet s = \"unsafe\"; // unsafe\n"),
            ("drivers/tap/src/driver.rs", "let t = Instant::now();\n"),
            ("tools/burstlane/src/main.rs", &format!("x();\n#[cfg(test)]\n{}", "//\n".repeat(LINES_MAX))),
        ] {
            assert_eq!(broken(path, text), [""; 0], "{path}");
        }
    }

    #[test]
    fn imports_that_point_back_or_aside_are_caught() {
        let member = |folder: &str, uses: &[&str]| Member {
            folder: folder.to_owned(),
            uses: uses.iter().map(|&used| used.to_owned()).collect(),
            tests_use: vec![],
        };
        for (folder, uses, wrong) in [
            ("framework", &["transports/udp"][..], 1),
            ("transports/udp", &["framework", "drivers/sim", "transports/rudp"], 2),
            ("drivers/sim", &["framework", "transports/udp"], 1),
            ("spec-tests", &["framework", "drivers/sim", DECODER], 0),
            (DECODER, &["framework"], 1),
            ("examples/x", &["framework", "drivers/sim", "tools/burstlane"], 1),
            ("tools/burstlane", &["framework", "drivers/sim", "examples/x"], 0),
        ] {
            assert_eq!(imports_point_one_way(&member(folder, uses)).len(), wrong, "{folder}");
        }
        let mut framework = member("framework", &[]);
        framework.tests_use.extend(["drivers/sim", DECODER].map(str::to_owned));
        assert_eq!(imports_point_one_way(&framework).len(), 1);
    }
}
