//! The verbs on a running cluster, by Howdah's names and by patronictl's.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use howdah_testkit::Cluster;
use serde_json::Value;

use crate::nodes;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn every_verb_has_its_json() {
    let cluster = nodes(2).start();
    let json = |arguments: &[&str]| -> Value {
        let text = cluster.howdah_ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{text}"))
    };
    let leader = cluster.primary().name.clone();
    let standby = if leader == "n1" { "n2" } else { "n1" };
    assert_eq!(json(&["status"])["leader"], leader.as_str());
    assert_eq!(json(&["explain", standby])[0]["node"], standby);
    assert_eq!(json(&["history"])[0]["kind"], "bootstrap");
    assert_eq!(json(&["topology"])["members"].as_array().map(Vec::len), Some(2));
    assert_eq!(json(&["list"])[0]["Cluster"], "test");
    assert_eq!(json(&["switchover", "--check"])["fit"], serde_json::json!([standby]));
    assert!(json(&["dsn"])["dsn"].as_str().is_some_and(|url| url.starts_with("postgresql://app@")));
    assert_eq!(json(&["query", "SELECT 1 AS one, NULL AS none"])[0]["one"], "1");
    assert_eq!(json(&["version"])["nodes"][standby]["howdah"], env!("CARGO_PKG_VERSION"));
    assert!(json(&["config"])["text"].as_str().is_some_and(|text| text.contains("cluster =")));
    // One shape for what came of any request.
    let both = ["n1", "n2"];
    for (arguments, what, state, nodes) in [
        (&["pause", "--wait"][..], "pause", "done", &[][..]),
        (&["resume", "--wait"], "resume", "done", &[]),
        (&["reload"], "reload", "done", &both),
        (&["reload", standby], "reload", "done", &[standby]),
        (&["restart", standby], "restart", "done", &[standby]),
        (&["restart", standby, "--at", "+60min"], "restart", "planned", &[standby]),
        (&["restart", "--cancel"], "restart", "dropped", &[standby]),
        (&["switchover", standby, "--at", "+60min"], "switchover", "planned", &[standby]),
        (&["switchover", "--abort"], "switchover", "dropped", &[]),
        (&["fence", standby], "fence", "begun", &[standby]),
        (&["unfence", standby], "unfence", "done", &[standby]),
    ] {
        let answer = json(arguments);
        assert_eq!((&answer["what"], &answer["state"]), (&what.into(), &state.into()), "{answer}");
        assert!(answer["message"].as_str().is_some_and(|said| !said.is_empty()), "{answer}");
        let told = answer["nodes"].as_array().expect("a list");
        assert!(told.iter().all(|node| node["message"].is_string() && node["state"] == state));
        let names: Vec<&str> = told.iter().filter_map(|node| node["node"].as_str()).collect();
        assert_eq!(names, nodes, "{answer}");
    }
    cluster.wait_whole();
    let moved = json(&["switchover", standby]);
    assert_eq!((&moved["what"], &moved["state"]), (&"switchover".into(), &"done".into()));
    assert_eq!(moved["nodes"][0]["node"], standby, "{moved}");
    cluster.wait_whole();
    let copied = json(&["reinit", &leader]);
    assert_eq!(
        (&copied["what"], &copied["nodes"][0]["node"]),
        (&"reinit".into(), &(*leader).into())
    );
    let refused = cluster.howdah(&["reinit", standby, "--json"]);
    let refused: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert!(refused["error"].as_str().is_some_and(|why| why.contains("leads")), "{refused}");
    cluster.wait_whole();
    let audit = cluster.howdah_ok(&["audit", "--json", "-n", "500"]);
    let lines: Vec<Value> =
        audit.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let asked = |path: &str| {
        let fits = |line: &&Value| line["path"] == path && line["event"] == "asked";
        lines.iter().filter(fits).count()
    };
    assert_eq!((asked("/pause"), asked("/fence"), asked("/restart")), (1, 1, 4), "{audit}");
    assert!(lines.iter().all(|line| line["by"].is_string()), "who typed: {audit}");
}

#[test]
fn what_cannot_be_done_says_what_to_do_next() {
    let cluster = nodes(2).start();
    let leader = cluster.primary().name.clone();
    let checks = cluster.howdah_ok(&["switchover", "--check"]);
    assert!(checks.starts_with("fine ") && checks.contains("can take over: n"), "{checks}");
    for (arguments, code, words) in [
        (&["switchover", "n9"][..], 64, "the nodes are n1, n2"),
        (&["switchover", &leader], 1, "leads already"),
        (&["switchover", "--at", "tomorrow"], 64, "--at +10min"),
        (&["switchover", "--at", "2001-01-01T00:00:00Z"], 64, "has passed"),
        (&["switchover", "--abort"], 1, "hint: "),
        (&["failover", &leader], 1, "howdah switchover"),
        (&["resume"], 1, "not paused"),
        (&["restart", "--cancel"], 1, "no restart is planned"),
        (&["restart", "--pending"], 1, ""),
        (&["unfence", "n1"], 1, "not fenced"),
        (&["reinit", &leader], 1, "switchover"),
        (&["flush", "switchover"], 1, "no switchover is planned"),
        (&["remove"], 1, "howdah down --purge"),
        (&["query", "SELEC 1"], 1, "the query failed"),
    ] {
        let output = cluster.howdah(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if *arguments == ["restart", "--pending"] {
            assert!(output.status.success(), "nothing to do is no failure: {said}");
            continue;
        }
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn hands_that_know_patronictl_find_everything() {
    let cluster = nodes(2).start();
    let leader = cluster.primary().name.clone();
    let standby = if leader == "n1" { "n2" } else { "n1" };
    let list = ctl_ok(&cluster, &["list"]);
    assert!(list.starts_with("+ Cluster: test -"), "{list}");
    assert!(list.contains("| Member | Host ") && list.contains("| Quorum Standby | streaming |"));
    let rows: Value =
        serde_json::from_str(&ctl_ok(&cluster, &["list", "test", "-f", "json"])).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(2));
    assert!(ctl_ok(&cluster, &["topology", "test"]).contains(&format!("| + {standby}")));
    assert!(ctl_ok(&cluster, &["show-config", "test"]).contains("synchronous_mode: quorum\n"));
    assert!(ctl_ok(&cluster, &["dsn", "test"]).starts_with("host=127.0.0.1 port="));
    let query = ["query", "test", "-c", "SELECT 1 AS one", "-d", "app", "-U", "app"];
    assert_eq!(ctl_ok(&cluster, &query), "one\n1\n");
    assert!(ctl_ok(&cluster, &["version", "test"]).contains(&format!("{standby}: Howdah ")));

    ctl_ok(&cluster, &["pause", "--wait"]);
    assert!(ctl_ok(&cluster, &["list"]).contains("Maintenance mode: on"));
    ctl_ok(&cluster, &["resume", "--wait"]);
    let set = ["edit-config", "test", "-s", "ttl=9", "-p", "work_mem=7MB", "--force", "-q"];
    assert_eq!(ctl_ok(&cluster, &set), "Configuration changed\n");
    for node in cluster.nodes() {
        cluster.wait_for("the parameter is in force", SOON, || {
            (node.sql("SHOW work_mem").ok()? == "7MB").then_some(())
        });
    }
    assert!(ctl_ok(&cluster, &["show-config"]).contains("ttl: 9\n"));
    ctl_ok(&cluster, &["reload", "test", "--force"]);
    ctl_ok(&cluster, &["restart", "test", standby, "--force"]);
    cluster.wait_whole();
    ctl_ok(&cluster, &["restart", "test", "--scheduled", "2099-01-01T00:00:00Z", "--force"]);
    ctl_ok(&cluster, &["flush", "test", "restart", "--force"]);
    let words = ["switchover", "test", "--master", &leader, "--candidate", standby, "--force"];
    let moved = ctl_ok(&cluster, &words);
    assert!(moved.contains(&format!("| {standby} ")), "{moved}");
    assert_eq!(cluster.primary().name, standby);
    cluster.wait_whole();
    let refused = ctl(&cluster, &["switchover", "test", "--candidate", &leader]);
    assert!(!refused.status.success(), "without --force and without an answer nothing is done");
    assert_eq!(cluster.primary().name, standby);
    let other = ctl(&cluster, &["list", "other"]);
    assert_eq!(other.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&other.stderr).contains("`test`"));
    assert!(ctl_ok(&cluster, &["history", "test"]).contains("New Leader"));
}

/// `howdah config edit` with an editor that changes one line; a second editor that began before
/// it loses nothing and changes nothing.
#[test]
fn the_file_is_edited_where_it_is() {
    let cluster = nodes(2).start();
    let edit = |sed: &str| {
        Command::new(env!("CARGO_BIN_EXE_howdah"))
            .args(["config", "edit", "--yes", "-f"])
            .arg(cluster.file_path())
            .env("EDITOR", format!("sed -i {sed}"))
            .env_remove("VISUAL")
            .stdin(Stdio::null())
            .output()
            .expect("run howdah")
    };
    let output = edit("s/^lease.*/lease=\"8s\"/");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let shown = cluster.howdah_ok(&["show-config"]);
    assert!(shown.contains("ttl: 8\n"), "{shown}");
    let output = edit("s/^lease.*/lease=\"soon\"/");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("it is kept"), "{said}");
    let nothing = edit("s/nothing/like-this/");
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("nothing changes"));

    let words = Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(["edit-config", "--force", "-f"])
        .arg(cluster.file_path())
        .env("EDITOR", "sed -i -e /^ttl:/d -e s/^loop_wait:.1/loop_wait:\\x202/")
        .env_remove("VISUAL")
        .stdin(Stdio::null())
        .output()
        .expect("run howdah");
    let said = String::from_utf8_lossy(&words.stderr).into_owned();
    assert!(words.status.success() && said.contains("- ttl: 8\n"), "{said}");
    let shown = cluster.howdah_ok(&["show-config"]);
    assert!(shown.contains("ttl: 6\n") && shown.contains("loop_wait: 2\n"), "{shown}");

    let late = cluster.primary();
    let token = std::fs::read_to_string(cluster.base_dir().join("client/token")).expect("token");
    let headers = format!("Authorization: Bearer {}\r\n", token.trim());
    let stale = "/apply?revision=1";
    let text = "cluster = \"test\"\n";
    let answer = howdah_testkit::http::request(late.ports.http, "POST", stale, &headers, text);
    assert_eq!(answer.expect("an answer").code, 400, "not a file at all");
    let text = serde_json::from_str::<Value>(&cluster.howdah_ok(&["config", "--json"]));
    let text = text.expect("JSON")["text"].as_str().expect("text").to_owned();
    let answer = howdah_testkit::http::request(late.ports.http, "POST", stale, &headers, &text);
    assert_eq!(answer.expect("an answer").code, 409, "another revision is in force");
}

#[track_caller]
fn ctl_ok(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = ctl(cluster, arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{talk}\n{}", cluster.seen());
    said
}

fn ctl(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(["ctl", "-c"])
        .arg(cluster.file_path())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("run howdah")
}
