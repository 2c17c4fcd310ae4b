//! Hooks that hang, fail, or speak to a server that answers late: the cluster goes on without
//! them, and the status says what is wrong.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use howdah_testkit::{Writer, process};

use crate::told::Told;
use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

const SOON: Duration = Duration::from_secs(30);
/// With a lease of a few seconds, on a busy machine; the hook hangs for ten minutes.
const GAP_MAX: Duration = Duration::from_secs(20);
/// A node that stops gives its hooks ten seconds; PostgreSQL needs some too.
const STOP_MAX: Duration = Duration::from_secs(30);

#[test]
pub fn a_hook_that_hangs_delays_no_failover() {
    let told = Told::new();
    let hang = "echo $$ > \"$0/hangs-$HOWDAH_NODE\"; exec sleep 600";
    let command = format!("[\"/bin/sh\", \"-c\", {hang:?}, {:?}]", told.folder());
    let cluster = told
        .on(three())
        .set(
            "hooks.hang",
            "on",
            "[\"on_start\", \"on_stop\", \"on_role_change\", \"on_leader_change\"]",
        )
        .set("hooks.hang", "command", &command)
        .set("hooks.hang", "timeout", "\"10min\"")
        .start();
    let hangs = |node: &str| {
        let text = fs::read_to_string(told.folder().join(format!("hangs-{node}"))).ok()?;
        text.trim().parse::<i32>().ok().filter(|pid| process::is_alive(*pid))
    };
    for node in cluster.nodes() {
        cluster.wait_for("its hook hangs", SOON, || hangs(&node.name));
    }
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let old = cluster.primary();
    let lost_at = Instant::now();
    old.kill9_everything();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);
    cluster.wait_for("it hangs in the next call", SOON, || hangs(&new.name));
    // Hooks do not wait for each other either.
    cluster.wait_for("the other hook is told", SOON, || {
        let lines = told.lines(&new.name);
        lines.iter().any(|l| l.event == "on_role_change" && l.role == "primary").then_some(())
    });
    old.start();
    cluster.wait_whole();
    let gap = client.stop_and_check().longest_gap(lost_at).expect("rows").length;
    assert!(gap < GAP_MAX, "no row for {gap:?}\n{}", cluster.seen());

    let standby = cluster.standbys()[0];
    let left = cluster.wait_for("it hangs", SOON, || hangs(&standby.name));
    let asked = Instant::now();
    standby.stop();
    assert!(asked.elapsed() < STOP_MAX, "{:?}", asked.elapsed());
    assert!(!process::is_alive(left), "nothing of the hook is left");
    let stopped = |line: &crate::told::Line| line.event == "on_stop";
    assert!(told.lines(&standby.name).iter().any(stopped), "the other hook said so");
}

#[test]
pub fn a_webhook_is_repeated_by_the_same_id_until_it_is_taken() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("its number").port();
    let posts = serve(server);
    let cluster = three()
        .set("hooks.chat", "on", "[\"on_leader_change\"]")
        .set("hooks.chat", "webhook", &format!("\"http://127.0.0.1:{port}/told\""))
        .start();
    let first = posts.recv_timeout(SOON).expect("the first leader");
    let again = posts.recv_timeout(SOON).expect("it was refused the first time");
    assert_eq!((&first.key, &first.body), (&again.key, &again.body));
    let old = cluster.primary().name.clone();
    assert_eq!(again.body["leader"]["node"], old.as_str(), "{again:?}");

    cluster.howdah_ok(&["switchover"]);
    let new = cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN).name.clone();
    let post = posts.recv_timeout(SOON).expect("the next leader");
    assert_eq!(post.body["leader"]["node"], new.as_str(), "{post:?}");
    assert_eq!(post.body["node"], new.as_str(), "the new leader tells");
    assert_eq!(post.body["event"], "on_leader_change");
    assert_eq!(post.body["term"], cluster.status().term.0);
    let text = post.body["text"].as_str().expect("a sentence");
    assert!(text.contains(&format!("{new} leads now")), "{text}");
    assert_ne!(post.key, first.key);
    cluster.wait_whole();
    let more = posts.recv_timeout(Duration::from_secs(3));
    assert!(more.is_err(), "told twice: {more:?}");
}

#[test]
pub fn hooks_come_with_an_applied_file_and_one_that_fails_is_a_problem_until_it_succeeds() {
    let told = Told::new();
    let mut cluster = told.on(three()).start();
    cluster.expect_error("given up");
    let good = told.folder().join("good");
    let command = format!("[\"/usr/bin/test\", \"-e\", {good:?}]");
    cluster.file.set("hooks.picky", "on", "[\"on_pause\", \"on_resume\"]");
    cluster.file.set("hooks.picky", "command", &command);
    cluster.file.set("hooks.picky", "attempts", "1");
    cluster.write_file();
    cluster.howdah_ok(&["apply"]);
    for node in cluster.nodes() {
        cluster.wait_for("the file is in force", SOON, || {
            let log = node.log_text();
            log.contains("other hooks: they are started anew").then_some(())
        });
    }
    let problem = || {
        let primary = cluster.find_primary()?.own_status().ok()?;
        primary.problems.into_iter().find(|problem| problem.contains("hook `picky` failed"))
    };
    assert_eq!(problem(), None);
    cluster.howdah_ok(&["pause"]);
    let said = cluster.wait_for("the problem is in the status", SOON, problem);
    assert!(said.contains("once"), "{said}");
    let screen = cluster.howdah_ok(&["status"]);
    assert!(screen.contains("hook `picky` failed"), "{screen}");

    fs::write(&good, "").expect("better now");
    cluster.howdah_ok(&["resume"]);
    cluster.wait_for("the problem is gone", SOON, || problem().is_none().then_some(()));
    // The hook that was there before went on where it was.
    let primary = cluster.primary().name.clone();
    cluster.wait_for("both are told to the first hook", SOON, || {
        let lines = told.lines(&primary);
        let ends = |event: &str| lines.iter().filter(|line| line.event == event).count() == 1;
        (ends("on_pause") && ends("on_resume") && ends("on_start")).then_some(())
    });
    told.judge(&cluster);
}

#[derive(Debug)]
struct Post {
    key: String,
    body: serde_json::Value,
}

/// Refuses the first post, takes all others; hands each over.
fn serve(server: TcpListener) -> Receiver<Post> {
    let (posts, taken) = channel();
    thread::spawn(move || {
        for (number, stream) in server.incoming().flatten().enumerate() {
            let Some(post) = read(stream, number == 0) else { continue };
            if posts.send(post).is_err() {
                return;
            }
        }
    });
    taken
}

fn read(stream: TcpStream, refuse: bool) -> Option<Post> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream);
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => key = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let status = if refuse { "503 Later" } else { "204 Taken" };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all(answer.as_bytes()).ok()?;
    Some(Post { key, body: serde_json::from_slice(&body).ok()? })
}
