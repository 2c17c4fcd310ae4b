//! Who may import whom. The table is ARCHITECTURE.md's drawing of the layers as data.

use toml::{Table, Value};

/// How near a crate is to the outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// Decides. Knows no clock, no I/O, no randomness, no async.
    Pure,
    /// Touches the outside and decides nothing.
    Door,
    /// Pure code in a door's words: translates between a core and a door's types, performs
    /// nothing, and so serves the shell and the simulation alike.
    Bridge,
    /// Joins cores to doors; does not know the other shells.
    Shell,
    /// Wires the shells together: the binary.
    Product,
    /// Tests all of it; nothing that ships imports it.
    Proof,
}

/// One crate's place and what of ours it may import.
#[derive(Debug)]
pub struct Place {
    /// The folder below `crates/`.
    pub name: &'static str,
    pub layer: Layer,
    pub may_import: &'static [&'static str],
}

impl Place {
    /// Whether its own code may name neither clock, file, socket, process nor thread.
    pub fn is_pure(&self) -> bool {
        matches!(self.layer, Layer::Pure | Layer::Bridge)
    }
}

const fn place(name: &'static str, layer: Layer, may_import: &'static [&'static str]) -> Place {
    Place { name, layer, may_import }
}

/// Every crate. Doors do not import `ha`: they decide nothing.
pub const PLACES: [Place; 23] = [
    place("base", Layer::Pure, &[]),
    place("spec", Layer::Pure, &["base"]),
    place("wire", Layer::Pure, &["base"]),
    place("ha", Layer::Pure, &["base"]),
    place("import", Layer::Pure, &["base", "spec"]),
    place("store", Layer::Door, &["base"]),
    place("guard", Layer::Door, &["base"]),
    place("etcd", Layer::Door, &["base"]),
    place("postgres", Layer::Door, &["base", "spec", "wire"]),
    place("tls", Layer::Door, &["base"]),
    place("repo", Layer::Door, &["base"]),
    place("ledger", Layer::Bridge, &["base", "ha", "store"]),
    place(
        "agent",
        Layer::Shell,
        &["base", "spec", "wire", "ha", "ledger", "store", "guard", "postgres", "tls"],
    ),
    place("proxy", Layer::Shell, &["base", "spec", "wire", "tls"]),
    place("archive", Layer::Shell, &["base", "spec", "wire", "postgres", "repo"]),
    place("hooks", Layer::Shell, &["base", "spec"]),
    place("api", Layer::Shell, &["base", "spec", "tls"]),
    place(
        "howdah",
        Layer::Product,
        &[
            "base", "spec", "wire", "ha", "ledger", "store", "guard", "etcd", "postgres", "tls",
            "agent", "proxy", "archive", "api", "hooks", "import", "repo",
        ],
    ),
    place("sim", Layer::Proof, &["base", "ha", "ledger", "store"]),
    place("testkit", Layer::Proof, &["base", "spec", "wire"]),
    place("bench", Layer::Proof, &["base", "testkit"]),
    place("chaos", Layer::Proof, &["ha", "testkit"]),
    place("house", Layer::Proof, &[]),
];

/// What of others a pure crate may use: values, text and errors, nothing that acts.
const PURE_MAY_USE: [&str; 14] = [
    "base64",
    "croner",
    "hmac",
    "jiff",
    "md-5",
    "memchr",
    "saphyr-parser",
    "serde",
    "serde_json",
    "sha2",
    "stringprep",
    "subtle",
    "thiserror",
    "toml",
];

/// The place of the crate in folder `name`.
pub fn place_of(name: &str) -> Option<&'static Place> {
    PLACES.iter().find(|place| place.name == name)
}

/// Complaints about one manifest. What tests import (`dev-dependencies`) is free: a test may
/// stand higher than what it tests.
pub fn check_manifest(name: &str, manifest: &str) -> Vec<String> {
    let Some(place) = place_of(name) else {
        return vec![format!("`{name}` has no place in house::layers: give it one")];
    };
    let manifest: Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("`{name}`: {error}")],
    };
    imports(&manifest).iter().filter_map(|import| complaint(place, import)).collect()
}

/// Everything that the shipped code of a crate imports, by package name.
pub fn imports(manifest: &Table) -> Vec<String> {
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(Value::as_table);
    tables.extend(targets.into_iter().flat_map(|t| t.values()).filter_map(Value::as_table));
    let kinds = ["dependencies", "build-dependencies"];
    let found = tables.iter().flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)));
    found.filter_map(Value::as_table).flatten().map(package_name).collect()
}

/// A dependency may be renamed; its package is what counts.
fn package_name((key, value): (&String, &Value)) -> String {
    value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned()
}

fn complaint(place: &Place, import: &str) -> Option<String> {
    let name = place.name;
    let ours = if import == "house" { Some("house") } else { our_folder(import) };
    match ours {
        Some(ours) if place.may_import.contains(&ours) => None,
        Some(ours) => Some(format!("`{name}` ({:?}) must not import `{ours}`", place.layer)),
        None if !place.is_pure() || PURE_MAY_USE.contains(&import) => None,
        None => Some(format!("`{name}` is pure and must not use `{import}`")),
    }
}

fn our_folder(package: &str) -> Option<&str> {
    if package == "howdah" { Some("howdah") } else { package.strip_prefix("howdah-") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, dependencies: &str) -> String {
        check_manifest(name, &format!("[dependencies]\n{dependencies}")).join("; ")
    }

    #[test]
    fn what_is_allowed_passes() {
        assert_eq!(check("ha", "howdah-base.workspace = true\nserde = '1'"), "");
        assert_eq!(check("agent", "howdah-ha.workspace = true\ntokio = '1'"), "");
    }

    #[test]
    fn what_must_not_be_is_found() {
        assert_eq!(check("ha", "tokio.workspace = true"), "`ha` is pure and must not use `tokio`");
        assert_eq!(check("store", "howdah-ha = '1'"), "`store` (Door) must not import `ha`");
        assert_eq!(check("proxy", "howdah-agent = '1'"), "`proxy` (Shell) must not import `agent`");
        assert_eq!(
            check("howdah", "howdah-testkit = '1'"),
            "`howdah` (Product) must not import `testkit`"
        );
        assert_eq!(check("mystery", ""), "`mystery` has no place in house::layers: give it one");
    }

    #[test]
    fn another_name_or_a_target_does_not_hide_an_import() {
        assert_eq!(
            check("ha", "clock = { package = 'tokio', version = '1' }"),
            "`ha` is pure and must not use `tokio`"
        );
        let manifest = "[target.'cfg(unix)'.dependencies]\nnix = '1'\n";
        assert_eq!(check_manifest("ha", manifest).len(), 1);
        let manifest = "[build-dependencies]\ncc = '1'\n";
        assert_eq!(check_manifest("wire", manifest).len(), 1);
    }

    #[test]
    fn tests_may_stand_higher() {
        let manifest = "[dev-dependencies]\nhowdah-testkit = '1'\ntokio = '1'\n";
        assert_eq!(check_manifest("ha", manifest), Vec::<String>::new());
    }

    #[test]
    fn the_table_has_no_way_around() {
        for place in &PLACES {
            for import in place.may_import {
                let import = place_of(import).expect("known");
                let lower = match place.layer {
                    Layer::Pure => import.layer == Layer::Pure,
                    Layer::Door => import.layer == Layer::Pure,
                    Layer::Bridge => matches!(import.layer, Layer::Pure | Layer::Door),
                    Layer::Shell => {
                        !matches!(import.layer, Layer::Shell | Layer::Product | Layer::Proof)
                    }
                    Layer::Product => import.layer != Layer::Proof,
                    Layer::Proof => true,
                };
                assert!(lower, "{} must not import {}", place.name, import.name);
            }
        }
    }
}
