//! The rules of the house, applied to this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use house::layers::{self, PLACES};
use house::{licences, paths, shape, source};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("repository")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Folders below `crates/` that hold a crate.
fn crates() -> Vec<String> {
    let entries = fs::read_dir(root().join("crates")).expect("crates");
    let folders = entries.map(|entry| entry.expect("entry"));
    let folders = folders.filter(|entry| entry.path().join("Cargo.toml").is_file());
    let mut names: Vec<_> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every Rust file below `folder`, as the path from the repository's root and its text.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root");
                found.push((name.display().to_string(), read(&path)));
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n  {}\n", complaints.join("\n  "));
}

#[test]
fn crates_import_only_what_their_layer_allows() {
    let manifest = |name: &str| read(&root().join("crates").join(name).join("Cargo.toml"));
    let check = |name: &String| layers::check_manifest(name, &manifest(name));
    none(crates().iter().flat_map(check).collect());
}

#[test]
fn pure_crates_are_pure() {
    let pure = PLACES.iter().filter(|place| place.is_pure());
    let files = pure.flat_map(|place| sources(&root().join("crates").join(place.name).join("src")));
    let shipped = files.filter(|(file, _)| !shape::is_test(file));
    none(shipped.flat_map(|(file, text)| paths::check_purity(&file, &text)).collect());
}

#[test]
fn files_and_functions_can_be_read_at_once() {
    let files = sources(&root().join("crates"));
    assert!(files.len() > 50, "the sources were not found");
    none(files.iter().flat_map(|(file, text)| shape::check_shape(file, text)).collect());
}

/// The part that relays whole connections stays small; what the pooler has or uses too (peers,
/// routes, sockets, counters) is not counted.
#[test]
fn the_relaying_part_of_the_proxy_stays_small() {
    const RELAY_LINES_MAX: usize = 400;
    const RELAYING: [&str; 3] = ["lib.rs", "client.rs", "relay.rs"];
    let files = sources(&root().join("crates/proxy/src"));
    let relays =
        |file: &str| RELAYING.iter().any(|name| file.ends_with(&format!("proxy/src/{name}")));
    let shipped = files.iter().filter(|(file, _)| relays(file));
    let is_code = |line: &&str| !line.trim().is_empty();
    let count = |text: &String| source::code(source::shipped(text)).lines().filter(is_code).count();
    let lines: usize = shipped.map(|(_, text)| count(text)).sum();
    assert!((1..RELAY_LINES_MAX).contains(&lines), "{lines} lines of code");
}

#[test]
fn every_dependency_comes_under_a_permissive_licence() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    none(licences::check_metadata(&String::from_utf8_lossy(&output.stdout)));
}

/// A dependency that nobody can give a reason for is not needed.
#[test]
fn every_direct_dependency_has_its_reason() {
    let reasons = read(&root().join("docs/decisions/0001-dependencies.md"));
    let mut complaints = Vec::new();
    for name in crates() {
        let manifest = read(&root().join("crates").join(&name).join("Cargo.toml"));
        let manifest: toml::Table = manifest.parse().expect("manifest");
        for import in layers::imports(&manifest) {
            let ours = import.starts_with("howdah") || import == "house";
            if !ours && !reasons.contains(&format!("`{import}`")) {
                complaints
                    .push(format!("`{name}` uses `{import}`, 0001-dependencies.md says not why"));
            }
        }
    }
    none(complaints);
}

#[test]
fn a_newcomer_finds_the_papers() {
    for (file, telling) in [
        ("README.md", "howdah"),
        ("ARCHITECTURE.md", "crates/"),
        ("CHANGELOG.md", "Unreleased"),
        ("LICENSE", "Apache License"),
    ] {
        assert!(read(&root().join(file)).contains(telling), "{file} does not say `{telling}`");
    }
}
