//! The scratch copy of the workspace in which mutants are planted. Only what differs is written, so that the compiler does
//! again only what it must.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::find::mutants_in;
use crate::mutant::{Mutant, SWITCH, plant};
use crate::suite::CRATES;

/// The copy.
pub struct Scratch {
    /// Its root.
    pub root: PathBuf,
    /// What may be mutated: text by file.
    sources: BTreeMap<String, String>,
    /// Text of each crate's root, which gets the switch.
    crate_roots: BTreeMap<String, String>,
}

impl Scratch {
    /// Copies what Git knows of the workspace at `from`, changes that are not committed included.
    pub fn copy(from: &Path, root: PathBuf) -> Result<Self> {
        let files = tracked_files(from)?;
        let known: HashSet<_> = files.iter().map(PathBuf::from).collect();
        remove_strangers(&root, &root, &known)?;
        for file in &files {
            let bytes = fs::read(from.join(file)).with_context(|| format!("reading {file}"))?;
            write_if_changed(&root.join(file), &bytes)?;
        }
        let mut scratch = Self { root, sources: BTreeMap::new(), crate_roots: BTreeMap::new() };
        for file in &files {
            let Some(part) = CRATES.iter().find(|part| part.folders.iter().any(|folder| file.starts_with(folder)))
            else {
                continue;
            };
            if is_source(file) {
                scratch.sources.insert(file.clone(), fs::read_to_string(from.join(file))?);
            }
            let root = part.root.to_owned();
            let text = fs::read_to_string(from.join(&root)).with_context(|| format!("reading {root}"))?;
            scratch.crate_roots.insert(root, text);
        }
        ensure!(!scratch.sources.is_empty(), "there is nothing to mutate in {}", from.display());
        Ok(scratch)
    }

    /// All that could be planted, in the order of files and lines.
    pub fn mutants(&self) -> Result<Vec<Mutant>> {
        let mut all = vec![];
        for (file, text) in &self.sources {
            all.extend(mutants_in(file, text)?);
        }
        Ok(all)
    }

    /// Writes the sources with these mutants, by number, and tells where each stands.
    pub fn write(&self, mutants: &[Mutant], chosen: &[usize]) -> Result<Vec<Place>> {
        let mut places = vec![];
        let files: BTreeMap<_, _> = self.crate_roots.iter().chain(&self.sources).collect();
        for (file, text) in files {
            let here = chosen.iter().map(|&number| (number, &mutants[number])).filter(|(_, it)| it.file == *file);
            let mut mutated = plant(text, here);
            if self.crate_roots.contains_key(file) {
                mutated.text += SWITCH;
            }
            write_if_changed(&self.root.join(file), mutated.text.as_bytes())?;
            places.extend(mutated.places.into_iter().map(|(number, range)| Place {
                file: file.clone(),
                range,
                number,
            }));
        }
        Ok(places)
    }
}

/// Where a mutant stands in the copy.
pub struct Place {
    pub file: String,
    pub range: Range<usize>,
    pub number: usize,
}

/// Not tests, and not the mistakes that are planted by hand.
fn is_source(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    file.ends_with(".rs") && !file.contains("/tests/") && name != "tests.rs" && name != "planted.rs"
}

fn tracked_files(from: &Path) -> Result<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    let output = Command::new("git").args(arguments).current_dir(from).output().context("running git")?;
    ensure!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).context("names of files")?;
    let files = names.split('\0').filter(|name| !name.is_empty() && from.join(name).is_file());
    Ok(files.map(str::to_owned).collect())
}

/// Removes what earlier runs left: files that are gone, and what failing tests keep.
fn remove_strangers(root: &Path, folder: &Path, known: &HashSet<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_strangers(root, &path, known)?;
        } else if !known.contains(path.strip_prefix(root)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
