//! Who is not let in, and what it is told.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use howdah_base::record::ServerState;
use serde_json::{Value, json};

use crate::rig::Site;

/// The token with one of its fields changed.
fn forged(token: &str, field: &str, value: Value) -> String {
    let body = token.strip_prefix("howdah1-").expect("a token");
    let body = URL_SAFE_NO_PAD.decode(body).expect("base64");
    let mut body: Value = serde_json::from_slice(&body).expect("json");
    body[field] = value;
    format!("howdah1-{}", URL_SAFE_NO_PAD.encode(body.to_string()))
}

fn join(site: &Site, machine: u8, token: &str) -> String {
    let base = site.base(machine).display().to_string();
    site.refused(&["join", token, "--base-dir", &base])
}

#[test]
fn a_token_opens_once_for_its_node_and_in_its_time() {
    let site = Site::prepared();
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    let file = site.resolved(1);

    let said = site.refused(&["token", "create", "n7", "-f", &file]);
    assert!(said.contains("no such node: `n7`") && said.contains("howdah apply"), "{said}");
    let said = site.refused(&["token", "create", "n2", "--valid", "30d", "-f", &file]);
    assert!(said.contains("at most `7d`"), "{said}");

    let token = site.token("n2", &[]);
    let said = site.refused(&["join", &token, "--node", "n1"]);
    assert!(said.contains("the token is for another node: `n2`"), "{said}");
    let said = join(&site, 2, &token[..token.len() - 8]);
    assert!(said.contains("not whole"), "{said}");
    let said = join(&site, 2, &forged(&token, "secret", json!("x".repeat(32))));
    assert!(said.contains("the token is wrong"), "{said}");
    let said = join(&site, 2, &forged(&token, "id", json!("../../token")));
    assert!(said.contains("no such token"), "{said}");
    let said = join(&site, 2, &forged(&token, "node", json!("n1")));
    assert!(said.contains("the token is for another node: `n2`"), "{said}");
    let said = join(&site, 2, &forged(&token, "ca", json!("00".repeat(32))));
    assert!(said.contains("not the cluster of the token"), "{said}");
    let nobody = json!([format!("127.0.0.1:{}", site.ports[1].http)]);
    let said = join(&site, 2, &forged(&token, "addresses", nobody));
    assert!(said.contains("cannot connect"), "{said}");

    // None of that has used it up.
    let base = site.base(2).display().to_string();
    site.ok(&["join", &token, "--base-dir", &base]);
    let said = join(&site, 3, &token);
    assert!(said.contains("the token was used already"), "{said}");
    assert!(!site.base(3).join("tls").exists(), "nothing of it is left there");
}

#[test]
fn a_token_that_is_over_or_taken_back_opens_nothing() {
    let site = Site::prepared();
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    let short = site.token("n2", &["--valid", "1s"]);
    let file = site.resolved(1);
    site.wait("the token is over", || {
        site.ok(&["token", "list", "-f", &file]).contains("over").then_some(())
    });
    let said = join(&site, 2, &short);
    assert!(said.contains("the token expired"), "{said}");

    let token = site.token("n2", &[]);
    site.ok(&["token", "revoke", "n2", "-f", &file]);
    let said = join(&site, 2, &token);
    assert!(said.contains("no such token"), "{said}");
    let earlier = site.token("n2", &[]);
    site.token("n2", &[]);
    let said = join(&site, 2, &earlier);
    assert!(said.contains("no such token"), "a new one replaces it: {said}");
}

#[test]
fn guessing_voids_the_token() {
    let site = Site::prepared();
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    let token = site.token("n2", &[]);
    for _ in 0..5 {
        join(&site, 2, &forged(&token, "secret", json!("guess")));
    }
    let said = join(&site, 2, &token);
    assert!(said.contains("the token is wrong"), "{said}");
}

#[test]
fn a_node_that_is_alive_is_nobody_elses_name() {
    let site = Site::prepared();
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    // Asked for by the machine of n1 itself: only its running node answers.
    let address = json!([format!("127.0.0.1:{}", site.ports[0].http)]);
    let token = forged(&site.token("n1", &[]), "addresses", address);
    let said = join(&site, 2, &token);
    assert!(said.contains("node n1 is alive already"), "{said}");
}

#[test]
fn a_folder_of_another_cluster_stays_what_it_is() {
    let site = Site::prepared();
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    let token = site.token("n2", &[]);
    let other = Site::prepared();
    let ca = fs::read(other.base(1).join("tls/ca.crt")).expect("a CA");
    let base = other.base(1).display().to_string();
    let said = site.refused(&["join", &token, "--base-dir", &base]);
    assert!(said.contains("another cluster lies there already"), "{said}");
    assert_eq!(fs::read(other.base(1).join("tls/ca.crt")).expect("a CA"), ca);
}

#[test]
fn a_node_does_not_found_a_cluster_on_its_second_machine() {
    let site = Site::new();
    let text = fs::read_to_string(site.file()).expect("the file");
    // RFC 5737 keeps these addresses out of every network.
    let mut far = text.replacen("\"127.0.0.1\"", "\"198.51.100.1\"", 1);
    far = far.replace("[nodes.n1]", "[nodes.n1]\nlisten = [\"198.51.100.1\"]");
    let lines = far.lines().filter(|line| !line.starts_with("store ="));
    let far = lines.collect::<Vec<_>>().join("\n")
        + "\n[store.etcd]\nendpoints = [\"http://198.51.100.9:2379\"]\n";
    fs::write(site.file(), far).expect("write");
    let said = site.refused(&["run", "--node", "n2", "-f", &site.file()]);
    assert!(said.contains("is not one of cluster test yet"), "{said}");
    assert!(said.contains("howdah token create n2"), "{said}");
    assert!(!site.base(1).join("tls/ca.crt").exists());
    let said = site.refused(&["prepare", "--node", "n2", "-f", &site.file()]);
    assert!(said.contains("begins on the machine of `n1`"), "{said}");
    assert!(!site.base(1).join("tls/ca.crt").exists());
    let said = site.refused(&["up", "-f", &site.file()]);
    assert!(said.contains("runs the nodes of one machine"), "{said}");
}

/// A node of another cluster that was told of this one's store.
#[test]
fn a_node_of_another_cluster_gets_no_data() {
    let site = Site::prepared();
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    // The same file, and a CA that machine 2 made for itself.
    let text = fs::read_to_string(site.file()).expect("the file");
    let (one, two) = (site.base(1).display().to_string(), site.base(2).display().to_string());
    let file = site.path("second.toml");
    fs::write(&file, text.replace(&one, &two)).expect("write");
    site.ok(&["prepare", "-f", &file.display().to_string()]);
    let said = site.refused(&["run", "--node", "n2", "-f", &site.resolved(2)]);
    assert!(said.contains("with another CA"), "{said}");
    assert!(said.contains("howdah token create"), "{said}");
}
