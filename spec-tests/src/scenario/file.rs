//! Scenarios in files. A file is read only if it is one: a FIFO would wait for ever, a device never end.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::Scenario;

/// The text of a scenario file, with U+FFFD for what no text has: bytes that are not UTF-8, and control characters that could
/// play with a terminal.
///
/// # Errors
/// Those of the file system; [`ErrorKind::InvalidInput`] for what is no regular file, or larger than [`FILE_BYTES_MAX`].
pub fn read_text(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    // A file may grow while it is read: its length says nothing.
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let error = format!("it is too large for a scenario; expected at most {} MiB", FILE_BYTES_MAX >> 20);
        return Err(io::Error::new(ErrorKind::InvalidInput, error));
    }
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    Ok(String::from_utf8_lossy(&bytes).replace(|c| !is_text(c), "\u{fffd}"))
}

/// Reads a scenario file.
///
/// # Errors
/// Those of [`read_text`], and [`ErrorKind::InvalidData`] for a text that is no scenario; each names the file.
pub fn read(path: &Path) -> io::Result<Scenario> {
    let named = |kind, error: &dyn std::fmt::Display| io::Error::new(kind, format!("{}: {error}", path.display()));
    let text = read_text(path).map_err(|error| named(error.kind(), &error))?;
    text.parse().map_err(|error| named(ErrorKind::InvalidData, &error as &super::text::ScenarioError))
}

/// More than any scenario that a person or a property test makes.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a file of these bytes.
    fn error_of(name: &str, bytes: &[u8]) -> io::Error {
        let path = std::env::temp_dir().join(format!("burstlane-{name}-{}.scenario", std::process::id()));
        fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        fs::remove_file(path).unwrap();
        error
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let error = read(&std::env::temp_dir()).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("no regular file"), "{error}");
        assert_eq!(read(Path::new("/nonexistent/file")).unwrap_err().kind(), ErrorKind::NotFound);
        #[cfg(unix)]
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("/dev/zero: it is no regular file"));
    }

    #[test]
    fn a_file_as_large_as_no_scenario_is_refused() {
        let error = error_of("large", &vec![b'\n'; FILE_BYTES_MAX as usize + 1]);
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("at most 16 MiB"), "{error}");
        let error = error_of("largest", &vec![b'\n'; FILE_BYTES_MAX as usize]);
        assert!(error.kind() == ErrorKind::InvalidData, "{error}");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        let error = error_of("control", b"burstlane scenario 1\ntransport t\nseed 1\n\x1b[2J\x07\xff").to_string();
        assert!(
            error.contains("line 4, column 1: found '\u{fffd}[2J") && !error.contains(char::is_control),
            "{error:?}"
        );
    }
}
