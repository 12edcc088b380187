//! Where failures are kept: `burstlane/failures` in the target folder of the build.

use std::env;
use std::path::{Path, PathBuf};

/// The folder for failures: below `CARGO_TARGET_DIR` if that is set, else in the `target` beside the nearest `Cargo.lock`
/// at or above the current folder, else in `target` here.
#[must_use]
pub fn default_folder() -> PathBuf {
    let here = env::current_dir().unwrap_or_default();
    target_folder(env::var_os("CARGO_TARGET_DIR").map(PathBuf::from), &here).join("burstlane").join("failures")
}

fn target_folder(told: Option<PathBuf>, here: &Path) -> PathBuf {
    if let Some(told) = told.filter(|told| !told.as_os_str().is_empty()) {
        return told;
    }
    let root = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    // A relative path is what a person wants to read and type, where it is one.
    match root {
        Some(root) if root != here => root.join("target"),
        Some(_) | None => PathBuf::from("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_where_cargo_builds() {
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = crate_folder.parent().unwrap();
        assert_eq!(target_folder(None, &crate_folder.join("src")), root.join("target"));
        assert_eq!(target_folder(None, root), Path::new("target"));
        assert_eq!(target_folder(Some("elsewhere".into()), crate_folder), Path::new("elsewhere"));
        assert_eq!(target_folder(Some("".into()), Path::new("/nowhere")), Path::new("target"));
    }
}
