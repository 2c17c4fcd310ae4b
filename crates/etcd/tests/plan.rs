//! Golden cases of decisions: what a keeper sees in words, and its next step.
//!
//! `GOLDEN=write cargo nextest run -p howdah-etcd` writes what comes out into the file, to be
//! reviewed as a diff.
//!
//! `me n1`; `primary n1`; `wanted n1 n2 n3`; `file started`, `first` or `in force`; `founders n1 n2`; `data`,
//! `data 1` with the id that is remembered, `damaged`; `running`; and what a node says: `n2
//! silent`, `n2 stranger`, `n2: leader 2, n1=1 n2=2 n3=3`. A member's id is followed by `?` when
//! it has never run and by `+` when it is a learner; `_n3=4` has no name yet.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use howdah_base::NodeName;
use howdah_etcd::plan::{Data, File, Known, Other, Seen, Step, View, decide};

fn name(text: &str) -> NodeName {
    text.parse().expect("a node's name")
}

fn url(node: &str) -> String {
    format!("https://{node}:2380")
}

fn seen(case: &str) -> Seen {
    let mut seen = Seen {
        me: name("n1"),
        data: Data::Absent,
        alone: false,
        running: false,
        own: None,
        wanted: BTreeMap::new(),
        file: File::InForce,
        primary: None,
        founders: Default::default(),
        others: BTreeMap::new(),
    };
    let mut said = BTreeMap::new();
    let mut wanted = "n1 n2 n3";
    for line in case.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "me" => seen.me = name(rest),
            "wanted" => wanted = rest,
            "file" => seen.file = file(rest),
            "founders" => seen.founders = rest.split(' ').map(name).collect(),
            "data" => seen.data = Data::Present { id: rest.parse().ok() },
            "primary" => seen.primary = Some(name(rest)),
            "damaged" => seen.data = Data::Damaged(rest.to_owned()),
            "alone" => seen.alone = true,
            "running" => seen.running = true,
            node => drop(said.insert(name(node.trim_end_matches(':')), other(rest))),
        }
    }
    seen.wanted = wanted.split(' ').map(|node| (name(node), url(node))).collect();
    seen.own = match said.remove(&seen.me) {
        Some(Other::Answers(view)) => Some(view),
        _ => None,
    };
    let quiet = || Other::Silent("no answer".to_owned());
    let others = seen.wanted.keys().filter(|node| **node != seen.me);
    seen.others =
        others.map(|node| (node.clone(), said.remove(node).unwrap_or_else(quiet))).collect();
    assert!(said.is_empty(), "nobody asks {said:?}");
    seen
}

fn file(text: &str) -> File {
    match text {
        "started" => File::Started,
        "first" => File::First,
        _ => File::InForce,
    }
}

fn other(text: &str) -> Other {
    match text {
        "silent" => return Other::Silent("no answer".to_owned()),
        "stranger" => return Other::Stranger("its certificate is of another CA".to_owned()),
        _ => {}
    }
    let mut parts = text.rsplit(", ");
    let members = parts.next().expect("members").split(' ').map(known).collect();
    let mut view = View { cluster: 1, leader: None, members };
    for part in parts {
        let (word, value) = part.split_once(' ').unwrap_or((part, ""));
        match word {
            "leader" => view.leader = value.parse().ok(),
            "cluster" => view.cluster = value.parse().expect("a number"),
            _ => panic!("not understood: `{part}`"),
        }
    }
    Other::Answers(view)
}

fn known(text: &str) -> Known {
    let (name, id) = text.split_once('=').expect("a name and an id");
    Known {
        id: id.trim_end_matches(['?', '+']).parse().expect("an id"),
        name: if name.starts_with('_') { String::new() } else { name.to_owned() },
        peer_url: url(name.trim_start_matches('_')),
        published: !id.contains('?') && !name.starts_with('_'),
        learner: id.contains('+'),
    }
}

fn said(step: &Step) -> String {
    match step {
        Step::Wait(why) => format!("wait: {why}"),
        Step::Refuse(why) => format!("refuse: {why}"),
        Step::PutAside(why) => format!("put aside: {why}"),
        Step::Found(members) => {
            let members: Vec<_> = members.iter().map(ToString::to_string).collect();
            format!("found {}", members.join(" "))
        }
        Step::Join(members) => {
            let members: Vec<_> = members.iter().map(|(n, url)| format!("{n}={url}")).collect();
            format!("join {}", members.join(" "))
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plan.txt")
}

/// A story's name after `##`, what is seen, `----`, and the step.
fn cases() -> (String, Vec<(String, String)>) {
    let text = std::fs::read_to_string(path()).expect("a file of cases");
    let (head, rest) = text.split_once("## ").expect("a case");
    let cases = rest.split("\n## ").map(|case| {
        let (input, output) = case.split_once("----\n").unwrap_or((case, ""));
        (input.trim_end().to_owned(), output.trim_end().to_owned())
    });
    (head.to_owned(), cases.collect())
}

#[test]
fn steps_are_as_written() {
    let write = std::env::var_os("GOLDEN").is_some_and(|value| value == "write");
    let (mut fresh, cases) = cases();
    let mut wrong = String::new();
    for (input, want) in cases {
        let (story, case) = input.split_once('\n').unwrap_or((&input, ""));
        let got = said(&decide(&seen(case)));
        if got != want {
            let _ = writeln!(wrong, "{story}\n{case}\nwant:\n{want}\ngot:\n{got}\n");
        }
        let _ = write!(fresh, "## {input}\n----\n{got}\n\n");
    }
    if write {
        std::fs::write(path(), fresh.trim_end().to_owned() + "\n").expect("written");
    }
    assert!(write || wrong.is_empty(), "{wrong}");
}

/// Whatever the others say, a node without data and without the right never makes a store, and
/// nobody with data is given another's place.
#[test]
fn no_store_is_made_without_the_right() {
    let answers =
        ["silent", "stranger", "leader 2, n1=1 n2=2 n3=3", "n1=1 n2=2 n3=3", "leader 3, n2=2 n3=3"];
    for (data, file) in
        [("", "in force"), ("", "started"), ("data", "first"), ("data 7", "in force")]
    {
        for n2 in answers {
            for n3 in answers {
                let data = if data.is_empty() { String::new() } else { format!("{data}\n") };
                let case = format!("{data}file {file}\nn2: {n2}\nn3: {n3}");
                let case = case.replace(": silent", " silent").replace(": stranger", " stranger");
                let step = decide(&seen(&case));
                assert!(!matches!(step, Step::Found(_)), "{case}\n{step:?}");
                let with_data = matches!(step, Step::Remove(_) | Step::Add | Step::Join(_));
                assert!(data.is_empty() || !with_data, "{case}\n{step:?}");
            }
        }
    }
}
