//! What a failure leaves behind: the scenario as a file that reruns it, a capture with what the hosts knew in its comments,
//! and a page with the sequence diagram. All three are functions of a [`Scenario`] and a [`Recording`]: the same run
//! leaves the same bytes.

mod capture;
mod decode;
mod diagram;
mod folder;
mod label;
mod rerun;
mod state;
#[cfg(test)]
mod tests;
mod words;

pub use capture::write_capture;
pub use diagram::page;
pub use folder::default_folder;
pub use label::{Label, Labeller, NamePacket, Role};
pub use rerun::{Rerun, by_command, by_test};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burstlane::time::Instant;

use crate::recording::Recording;
use crate::scenario::text::units;
use crate::scenario::{Scenario, file};

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
        Report { scenario: &self.scenario, recording: &self.recording, broken, name_packet: None, rerun: by_command }
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
    /// How the scenario's file is run again.
    pub rerun: Rerun,
}

/// A broken law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Its name.
    pub law: &'a str,
    /// How it was broken.
    pub message: &'a str,
}

impl Verdict<'_> {
    /// When, if the message says it as the judge's do: `at 0.070062400s: ...`.
    fn at(&self) -> Option<Instant> {
        let (time, _) = self.message.strip_prefix("at ")?.split_once(':')?;
        Some(Instant::ZERO + units::duration(time)?)
    }
}

/// The files that a run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The scenario: what [`Report::rerun`] is about.
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
        let scenario = self.write_scenario(folder)?;
        let (capture, page_path) = (scenario.with_extension("pcapng"), scenario.with_extension("html"));
        write_capture(self.recording, self.name_packet, fs::File::create(&capture)?)?;
        fs::write(&page_path, page(self, &(self.rerun)(&scenario)))?;
        Ok(Paths { scenario, capture, page: page_path })
    }

    /// Writes the scenario alone: what is kept of a failure in a repository. A file that says the same already stays as
    /// it is, with what a person wrote into it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_scenario(&self, folder: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}.scenario", self.name()));
        let is_there = fs::read_to_string(&path).is_ok_and(|text| text.parse().as_ref() == Ok(self.scenario));
        if !is_there {
            fs::write(&path, self.scenario_file())?;
        }
        Ok(path)
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

/// The scenarios that were kept in a folder, in the order of their names; none if there is no such folder. Other files
/// are passed over.
///
/// # Errors
/// Those of the file system, and a file that is no scenario, by name.
pub fn kept_scenarios(folder: &Path) -> io::Result<Vec<(PathBuf, Scenario)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "scenario"));
    paths.sort();
    paths.into_iter().map(|path| file::read(&path).map(|scenario| (path, scenario))).collect()
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
