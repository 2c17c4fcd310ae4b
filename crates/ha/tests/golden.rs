//! Golden cases of decisions: a view in words, the rule with its sentence, and the commands.
//!
//! Each file below `golden/` is a phase. `GOLDEN=write cargo nextest run -p howdah-ha` writes
//! what comes out into the files, to be reviewed as a diff.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use howdah_base::record::Sync;
use howdah_ha::{Command, Rule, decide, election, preflight};

mod words;

use words::World;

const FILES: [&str; 9] =
    ["operator", "safety", "bootstrap", "lead", "lead_down", "elect", "revoke", "follow", "body"];

/// What a case decides, in words; and the rule.
fn check(case: &str) -> (String, Rule) {
    let World { view, mut memory, now } = World::of(case);
    let decision = decide(&mut memory, &view, now);
    let rule = decision.reason.rule;
    let mut out = format!("rule {}: {}\n", rule.number(), decision.reason);
    for command in &decision.commands {
        let _ = writeln!(out, "  {}", said(command));
    }
    for (said, yes) in [("leaving", decision.leaving), ("recreate", decision.recreate)] {
        if yes {
            let _ = writeln!(out, "  {said}");
        }
    }
    if let Some(report) = &decision.report {
        let _ = writeln!(out, "  reports {}", report.position);
    }
    if let Some(asked) = &decision.revokes {
        let _ = writeln!(out, "  asks to revoke term {}, revision {}", asked.term, asked.revision);
    }
    if let Some(ended) = &decision.ended {
        let _ = writeln!(out, "  says that its server ended at {}", ended.end);
    }
    (out, rule)
}

fn said(command: &Command) -> String {
    match command {
        Command::WriteSync(sync) => format!("write {}", record(sync)),
        Command::TakeOver(order) => format!(
            "take over ({:?}) term {} timeline {}, loss {}: {}",
            order.kind,
            order.term,
            order.timeline,
            order.loss,
            record(&order.sync)
        ),
        Command::OfferHandover(offer) => format!("offer to {} at {}", offer.to, offer.end),
        Command::RecordInitialize { sync, .. } => format!("initialize {}", record(sync)),
        other => format!("{other:?}"),
    }
}

fn record(sync: &Sync) -> String {
    let Sync { revision, term, directory, floor, voters, needed, .. } = sync;
    format!("sync {revision}: term {term} of {directory}, {needed} of {voters:?}, past {floor}")
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{file}.txt"))
}

/// A file is cases, each a story's name after `##`, the view in words, `----`, and what follows.
fn cases(file: &str) -> (String, Vec<(String, String)>) {
    let text = std::fs::read_to_string(path(file)).expect("a file of cases");
    let (head, rest) = text.split_once("## ").expect("a case");
    let cases = rest.split("\n## ").map(|case| {
        let (input, output) = case.split_once("----\n").unwrap_or((case, ""));
        (input.trim_end().to_owned(), output.trim_end().to_owned())
    });
    (head.to_owned(), cases.collect())
}

/// What differs from the cases of `file`, in words; written anew when that is asked for.
fn differences(file: &str, check: impl Fn(&str) -> String) -> String {
    let write = std::env::var_os("GOLDEN").is_some_and(|value| value == "write");
    let (head, cases) = cases(file);
    let (mut wrong, mut fresh) = (String::new(), head);
    for (input, want) in cases {
        let (story, view) = input.split_once('\n').unwrap_or((&input, ""));
        let got = check(view);
        if got.trim_end() != want {
            let _ = writeln!(wrong, "{file}: {story}\n{view}\nwant:\n{want}\ngot:\n{got}");
        }
        let _ = write!(fresh, "## {input}\n----\n{got}\n");
    }
    if write {
        std::fs::write(path(file), fresh.trim_end().to_owned() + "\n").expect("written");
        return String::new();
    }
    wrong
}

#[test]
fn decisions_are_as_written() {
    let of = |file: &&str| differences(file, |view| check(view).0);
    let wrong: String = FILES.iter().map(of).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

/// The checks, and what a failover would lose while nobody leads.
fn meets(case: &str) -> String {
    let World { view, memory, .. } = World::of(case);
    let mut out = String::new();
    for check in preflight::checks(&view) {
        let _ = writeln!(out, "{}: {:?}: {}", check.what, check.verdict, check.said);
    }
    for member in view.store.members.values() {
        if let Some(loss) = election::failover_loses(&view, &memory, member) {
            let _ = writeln!(out, "failover to {} loses: {loss}", member.node);
        }
    }
    out
}

#[test]
fn what_a_switchover_would_meet_is_as_written() {
    let wrong = differences("preflight", meets);
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_rule_is_reached() {
    if std::env::var_os("GOLDEN").is_some() {
        return; // The files are being written.
    }
    let mut reached = BTreeSet::new();
    for (input, _) in FILES.iter().flat_map(|file| cases(file).1) {
        let (_, view) = input.split_once('\n').unwrap_or((&input, ""));
        reached.insert(check(view).1);
    }
    let missing: Vec<_> = Rule::ALL.iter().filter(|rule| !reached.contains(rule)).collect();
    assert!(missing.is_empty(), "no case reaches {missing:?}");
}
