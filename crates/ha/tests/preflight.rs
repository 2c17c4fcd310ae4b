//! Golden cases of what is said of a switchover before it is tried. `GOLDEN=write` as in
//! `golden.rs`.

use std::fmt::Write;
use std::path::PathBuf;

use howdah_base::status::Verdict;
use howdah_ha::{election, preflight};

mod words;

use words::World;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/preflight.txt")
}

/// The checks, and what a failover would lose while nobody leads.
fn check(case: &str) -> String {
    let World { view, memory, .. } = World::of(case);
    let mut out = String::new();
    for check in preflight::checks(&view) {
        let verdict = match check.verdict {
            Verdict::Fine => "fine",
            Verdict::Warns => "warns",
            Verdict::Prevents => "PREVENTS",
        };
        let _ = writeln!(out, "{}: {verdict}: {}", check.what, check.said);
    }
    for member in view.store.members.values() {
        if let Some(loss) = election::failover_loses(&view, &memory, member) {
            let _ = writeln!(out, "failover to {} loses: {loss}", member.node);
        }
    }
    out
}

#[test]
fn checks_are_as_written() {
    let write = std::env::var_os("GOLDEN").is_some_and(|value| value == "write");
    let text = std::fs::read_to_string(path()).expect("a file of cases");
    let (head, rest) = text.split_once("## ").expect("a case");
    let (mut wrong, mut fresh) = (String::new(), head.to_owned());
    for case in rest.split("\n## ") {
        let (input, want) = case.split_once("----\n").expect("what follows");
        let view = input.split_once('\n').map_or("", |(_, view)| view);
        let got = check(view);
        if got.trim_end() != want.trim_end() {
            let _ = writeln!(wrong, "{input}want:\n{want}\ngot:\n{got}");
        }
        let _ = write!(fresh, "## {input}----\n{got}\n");
    }
    if write {
        std::fs::write(path(), fresh.trim_end().to_owned() + "\n").expect("written");
    }
    assert!(write || wrong.is_empty(), "{wrong}");
}
