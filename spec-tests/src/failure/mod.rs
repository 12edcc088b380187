//! What a failure leaves behind: the scenario as a file that reruns it, a capture with what the hosts knew in its comments,
//! and a page with the sequence diagram. All three are functions of a [`Scenario`] and a [`Recording`]: the same run
//! leaves the same bytes.

mod capture;
mod decode;
mod diagram;
mod folder;
mod label;
mod state;
#[cfg(test)]
mod tests;
mod words;

pub use capture::write_capture;
pub use diagram::page;
pub use folder::default_folder;
pub use label::{Label, Labeller, NamePacket, Role};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::recording::Recording;
use crate::scenario::Scenario;

/// A law was broken, and this is the run in which it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The law's name, as the test's: `bytes_arrive_in_order_or_not_at_all`.
    pub law: String,
    /// How it was broken.
    pub message: String,
    /// What reruns it.
    pub scenario: Scenario,
    /// What happened.
    pub recording: Recording,
}

impl Failure {
    /// Writes the three files into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, folder: &Path) -> io::Result<Paths> {
        self.report().write(folder)
    }

    /// The same run as a report, to which names of packets can be added.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let broken = Some(Verdict { law: &self.law, message: &self.message });
        Report { scenario: &self.scenario, recording: &self.recording, broken, name_packet: None }
    }
}

/// A run, whether or not a law was broken, before it is written.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What reruns it.
    pub scenario: &'a Scenario,
    /// What happened.
    pub recording: &'a Recording,
    /// The law that was broken, if one was.
    pub broken: Option<Verdict<'a>>,
    /// Names the packets of a protocol of one's own.
    pub name_packet: Option<NamePacket>,
}

/// A broken law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Its name.
    pub law: &'a str,
    /// How it was broken.
    pub message: &'a str,
}

/// The files that a run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The scenario: what `burstlane sim replay` reads.
    pub scenario: PathBuf,
    /// The capture, pcapng.
    pub capture: PathBuf,
    /// The page with the sequence diagram.
    pub page: PathBuf,
}

impl Report<'_> {
    /// Writes the three files into `folder`, which is made if it is not there. Their names begin with
    /// [`name`](Self::name): a failure that is found again overwrites its own files and no others.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, folder: &Path) -> io::Result<Paths> {
        fs::create_dir_all(folder)?;
        let path = |extension: &str| folder.join(format!("{}.{extension}", self.name()));
        let paths = Paths { scenario: path("scenario"), capture: path("pcapng"), page: path("html") };
        fs::write(&paths.scenario, self.scenario_file())?;
        fs::write(&paths.capture, write_capture(self.recording, self.name_packet, Vec::new())?)?;
        fs::write(&paths.page, page(self, &format!("burstlane sim replay {}", paths.scenario.display())))?;
        Ok(paths)
    }

    /// `<transport>-<law>-<hash of the scenario>`; without a broken law `run` stands in its place.
    #[must_use]
    pub fn name(&self) -> String {
        let law = self.broken.map_or("run", |broken| broken.law);
        let hash = fnv1a(self.scenario.to_string().as_bytes());
        format!("{}-{}-{:08x}", file_word(&self.scenario.transport), file_word(law), hash >> 32)
    }

    /// The scenario, with what happened as a comment.
    #[must_use]
    pub fn scenario_file(&self) -> String {
        let mut text = String::new();
        if let Some(Verdict { law, message }) = self.broken {
            text.push_str(&format!("# broke {}\n", one_line(law)));
            message.lines().for_each(|line| text.push_str(&format!("# {}\n", one_line(line))));
        }
        text + &self.scenario.to_string()
    }
}

/// As part of a file's name: small letters, digits, hyphens.
fn file_word(text: &str) -> String {
    let mut word = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
        } else if !word.is_empty() && !word.ends_with('-') {
            word.push('-');
        }
    }
    word.truncate(WORD_BYTES_MAX);
    let word = word.trim_end_matches('-');
    if word.is_empty() { "x".to_owned() } else { word.to_owned() }
}

/// Without what would end a comment or play with a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The hash of Fowler, Noll and Vo, which no release of anything changes: names stay what they are.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Of a transport or a law in a file's name.
const WORD_BYTES_MAX: usize = 60;
