//! The architecture, checked: which crate may know which, what the framework must not know, where unsafe code and clocks
//! may stand, how long a file may get. The rules are in `rules`, with tests that show that each can fail.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: what is missing fails it")]

mod rules;
mod scan;

use std::path::{Path, PathBuf};
use std::process::Command;

use rules::{FILE_RULES, File, Member, imports_point_one_way};

#[test]
fn every_file_keeps_the_rules() {
    let mut files = Vec::new();
    for folder in ["framework", "transports", "drivers", "examples", "spec-tests", "tools"] {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.len() > 30, "only {} files found", files.len());
    let wrong: Vec<String> = files.iter().flat_map(|file| FILE_RULES.iter().flat_map(|rule| rule(file))).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_crate_imports_in_the_right_direction() {
    let members = members();
    assert!(members.len() >= 9, "only {} members found", members.len());
    let wrong: Vec<String> = members.iter().flat_map(imports_point_one_way).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn collect(folder: &Path, files: &mut Vec<File>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            files.push(File { path, text });
        }
    }
}

/// The workspace as cargo sees it.
fn members() -> Vec<Member> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let folder_of = |path: &str| {
        let relative = Path::new(path).strip_prefix(metadata["workspace_root"].as_str().unwrap()).unwrap();
        relative.to_string_lossy().replace('\\', "/")
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let mut member = Member {
                folder: folder_of(package["manifest_path"].as_str().unwrap().trim_end_matches("Cargo.toml")),
                uses: vec![],
                tests_use: vec![],
            };
            for dependency in package["dependencies"].as_array().unwrap() {
                let Some(path) = dependency["path"].as_str() else { continue };
                let list = if dependency["kind"] == "dev" { &mut member.tests_use } else { &mut member.uses };
                list.push(folder_of(path));
            }
            member
        })
        .collect()
}
