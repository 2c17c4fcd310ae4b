//! Documents that say what the source and the kept run say. `HOWDAH_BLESS=1` writes them anew.

use std::path::{Path, PathBuf};

use howdah_sim::Trail;
use howdah_sim::planted::table;

/// Steps from a rule that are rarer than this are left out of the drawing, in a hundred.
const DRAWN_PERCENT: u64 = 5;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What stands between `from` and `to` in the document is `want`.
fn holds(document: &str, from: &str, to: &str, want: &str) {
    let path = docs().join(document);
    let text = read(&path);
    let (head, rest) = text.split_once(from).unwrap_or_else(|| panic!("no `{from}`"));
    let (there, tail) = rest.split_once(to).unwrap_or_else(|| panic!("no `{to}`"));
    if std::env::var_os("HOWDAH_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{from}{want}{to}{tail}")).expect("written");
        return;
    }
    assert!(there == want, "docs/{document} is out of date; hint: HOWDAH_BLESS=1 writes it anew");
}

#[test]
fn the_table_of_planted_mistakes_is_the_one_that_is_tested() {
    let from = "<!-- planted: written by the tests -->\n";
    holds("simulation.md", from, "<!-- end -->", &table());
}

/// The newest run that is kept, by its name.
fn kept() -> String {
    let files = std::fs::read_dir(docs().join("simulation")).expect("kept runs");
    let mut files: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.sort();
    read(files.last().expect("a kept run"))
}

#[test]
fn the_drawing_is_of_the_rules_that_explain_prints_and_of_the_kept_run() {
    let trail = Trail::of_summary(&kept()).expect("a summary");
    let drawing = trail.drawing(DRAWN_PERCENT);
    holds("transitions.md", "```mermaid\n", "```", &drawing);
}
