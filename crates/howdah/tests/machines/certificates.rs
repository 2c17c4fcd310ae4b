//! Certificates end, are renewed in time, and are used without a restart.

use std::fs;
use std::time::{Duration, SystemTime};

use howdah_base::record::ServerState;
use howdah_tls::Authority;
use serde_json::Value;

use crate::rig::Site;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Puts a certificate of n1 in place that was made so many days ago.
fn age(site: &Site, days: u32) {
    let tls = site.base(1).join("tls");
    let then = SystemTime::now() - days * DAY;
    let cluster = "test".parse().expect("a name");
    let authority = Authority::open_or_create(&tls, &cluster, then).expect("the CA");
    let owner = owner(&tls.join("n1.key"));
    authority
        .anew(true)
        .node(&"n1".parse().expect("a name"), "127.0.0.1", Some(owner))
        .expect("a certificate");
}

fn owner(path: &std::path::Path) -> howdah_tls::Owner {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(path).expect("a key");
    howdah_tls::Owner { uid: meta.uid(), gid: meta.gid() }
}

#[test]
fn a_renewed_certificate_is_seen_on_every_port_of_a_running_node() {
    let site = Site::prepared();
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    let ports = site.ports[0];
    let serials = || {
        let of = |port, postgres| site.shown(port, postgres).map(|c| c.serial);
        let rest = [of(ports.http, false), of(ports.rw, true), of(ports.postgres, true)];
        rest.into_iter().collect::<Option<Vec<_>>>()
    };
    let before = site.wait("all ports speak TLS", serials);
    assert!(before.iter().all(|serial| *serial == before[0]), "{before:?}");

    let file = site.resolved(1);
    let nothing = site.howdah(&["certs", "renew", "-f", &file]);
    assert!(nothing.status.success() && nothing.stdout.is_empty(), "nothing is due yet");
    let renewed = site.ok(&["certs", "renew", "--force", "-f", &file]);
    for name in ["tls/n1.crt", "tls/replicator.crt", "client/operator.crt"] {
        assert!(renewed.contains(name), "{renewed}");
    }
    let after = site.wait("all ports show the new certificate", || {
        serials().filter(|now| now.iter().all(|serial| *serial != before[0]))
    });
    assert!(after.iter().all(|serial| *serial == after[0]), "{after:?}");
    let log = fs::read_to_string(site.path("n1.log")).expect("log");
    assert!(log.contains("the node's certificate is a new one"), "{log}");
}

#[test]
fn what_is_due_is_renewed_and_what_ends_is_told() {
    let site = Site::prepared();
    let file = site.resolved(1);
    let state = || {
        let all: Vec<Value> =
            serde_json::from_str(&site.ok(&["certs", "--json", "-f", &file])).expect("json");
        let own = all.into_iter().find(|c| c["common_name"] == "n1").expect("n1's");
        own["state"].as_str().expect("a word").to_owned()
    };
    assert_eq!(state(), "good");
    age(&site, 300);
    assert_eq!(state(), "late");
    let shown = site.ok(&["certs", "-f", &file]);
    assert!(shown.lines().next().is_some_and(|head| head.starts_with("of ")), "{shown}");
    assert!(shown.contains("howdah cluster test") && shown.contains("operator:"), "{shown}");
    site.ok(&["certs", "renew", "-f", &file]);
    assert_eq!(state(), "good");

    age(&site, 400);
    assert_eq!(state(), "EXPIRED");
    // A node that can reach the CA's key starts with a new one.
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    assert_eq!(state(), "good");
    // And one whose certificate runs out while it runs says so.
    age(&site, 320);
    site.wait("the status tells of the certificate", || {
        let line = site.line(1, "n1")?;
        line.problems.iter().any(|p| p.contains("the certificate of n1 expires in")).then_some(())
    });
    let screen = site.ok(&["status", "-f", &file]);
    assert!(screen.contains("howdah certs renew"), "{screen}");
    age(&site, 400);
    site.wait("the status tells that it is over", || {
        let line = site.line(1, "n1")?;
        line.problems.iter().any(|p| p.contains("expired")).then_some(())
    });
    assert!(site.shown(site.ports[0].http, false).is_none(), "clients refuse it");
    site.ok(&["certs", "renew", "-f", &file]);
    site.wait("the sentence is gone", || site.line(1, "n1")?.problems.is_empty().then_some(()));
}

#[test]
fn an_operator_gets_a_folder_for_a_machine_that_is_no_node() {
    let site = Site::prepared();
    let file = site.resolved(1);
    let folder = site.path("anna");
    let shown = folder.display().to_string();
    site.ok(&["certs", "operator", "anna", "--out", &shown, "-f", &file]);
    for name in ["ca.crt", "operator.crt", "operator.key"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    assert_eq!(crate::rig::mode(&folder), 0o700);
    let said = site.refused(&["certs", "operator", "anna smith", "--out", &shown, "-f", &file]);
    assert!(said.contains("an operator's name has"), "{said}");
}

/// Who has lost the CA's key, as a witness never had it, can run, and can admit nobody.
#[test]
fn without_the_cas_key_nobody_is_admitted_and_nothing_is_lost() {
    let site = Site::prepared();
    let tls = site.base(1).join("tls");
    fs::remove_file(tls.join("ca.key")).expect("removed");
    let file = site.resolved(1);
    let said = site.refused(&["token", "create", "n2", "-f", &file]);
    assert!(said.contains("this machine has not the key of the cluster's CA"), "{said}");
    let said = site.refused(&["certs", "operator", "anna", "-f", &file]);
    assert!(said.contains("not to be had here"), "{said}");
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    fs::remove_file(tls.join("n1.crt")).expect("removed");
    let said = site.refused(&["prepare", "-f", &file]);
    assert!(said.contains("node n1 has no certificate"), "{said}");
}
