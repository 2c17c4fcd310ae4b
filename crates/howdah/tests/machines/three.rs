//! Three machines in three commands each: two with data and a witness, joined by tokens while the
//! store has no majority yet.

use std::fs;
use std::time::{Duration, SystemTime};

use howdah_base::record::ServerState;
use howdah_base::{NodeName, Redacted};
use howdah_tls::{Authority, Certificate};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::machines::{Machines, address};
use crate::rig::{mode, text};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn three_machines_become_a_cluster_and_any_of_them_can_be_asked() {
    let Some(machines) = Machines::new() else {
        eprintln!("no network namespaces here: nothing was shown");
        return;
    };
    let written = machines.path("howdah.toml").display().to_string();
    machines.ok("db1", &["prepare", "--node", "db1", "-f", &written]);
    machines.run("db1");
    for node in ["db2", "w"] {
        join(&machines, node);
        machines.run(node);
    }
    // Either may create the cluster; the other copies it.
    let leads = |on: &str, node: &str| {
        let other = if node == "db1" { "db2" } else { "db1" };
        let is = |node, state| machines.line(on, node).is_some_and(|l| l.alive && l.state == state);
        is(node, ServerState::Primary) && is(other, ServerState::Streaming)
    };
    let primary = machines
        .wait("a whole cluster", || ["db1", "db2"].into_iter().find(|node| leads("db1", node)));
    let standby = if primary == "db1" { "db2" } else { "db1" };

    let witness = machines.base("w");
    assert!(!witness.join("tls/ca.key").exists(), "a witness can sign nothing");
    assert!(!witness.join("tls/db1.key").exists(), "and is nobody else");
    let key = |node: &str| fs::read(machines.base(node).join("tls/ca.key")).expect("the CA's key");
    assert_eq!(key("db1"), key("db2"));
    assert_eq!(mode(&machines.base("db2").join("tls/ca.key")), 0o600);

    // From the witness, which has no certificate of an operator: by TLS, and by the token.
    machines.wait("the witness sees the same", || leads("w", primary).then_some(()));
    machines.ok("w", &["switchover", "--to", standby, "-f", &machines.resolved("w")]);
    machines.wait("the standby leads", || leads("w", standby).then_some(()));
    plain_changes_are_refused(&machines);
    an_operator_needs_no_more_than_a_folder(&machines);
    the_witness_is_renewed(&machines);
}

fn join(machines: &Machines, node: &str) {
    let printed = machines.ok("db1", &["token", "create", node, "-f", &machines.resolved("db1")]);
    let words: Vec<&str> = printed.split_whitespace().collect();
    let ["howdah", "join", token] = words[..] else { panic!("{printed}") };
    let base = machines.base(node).display().to_string();
    // The first machine answers as soon as its port is open, long before its store does.
    machines.wait(&format!("{node} joins"), || {
        let joined = machines.on(node, crate::rig::BINARY, &["join", token, "--base-dir", &base]);
        let said = text(&joined.stderr);
        assert!(joined.status.success() || said.contains("cannot connect"), "{said}");
        joined.status.success().then_some(())
    });
}

fn plain_changes_are_refused(machines: &Machines) {
    let script = format!(
        "exec 3<>/dev/tcp/{}/8008; \
         printf 'POST /pause HTTP/1.0\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n' \
         \"$(cat {})\" >&3; cat <&3",
        address("db1"),
        machines.base("w").join("secrets/token").display()
    );
    let answer = text(&machines.on("w", "bash", &["-c", &script]).stdout);
    assert!(answer.starts_with("HTTP/1.1 403") || answer.starts_with("HTTP/1.0 403"), "{answer}");
    assert!(answer.contains("TLS only"), "{answer}");
    let answer = text(
        &machines.on("w", "bash", &["-c", &script.replace("POST /pause", "GET /status")]).stdout,
    );
    assert!(answer.contains(" 200 "), "reading needs nothing: {answer}");
}

/// On a machine that is no node: the file as it was written, and a certificate.
fn an_operator_needs_no_more_than_a_folder(machines: &Machines) {
    let folder = machines.path("anna").display().to_string();
    let file = machines.resolved("db2");
    machines.ok("db2", &["certs", "operator", "anna", "--out", &folder, "-f", &file]);
    let written = fs::read_to_string(machines.path("howdah.toml")).expect("the file");
    let laptop = written.replace(&machines.base("db1").display().to_string(), "/no/such/folder");
    let file = machines.path("laptop.toml").display().to_string();
    fs::write(&file, laptop).expect("written");
    machines.ok("w", &["pause", "--client", &folder, "-f", &file]);
    let paused = machines.wait("it is paused", || machines.status("w")?.paused);
    assert!(paused.by.contains("operator:anna"), "{paused:?}");
    machines.ok("w", &["resume", "--client", &folder, "-f", &file]);
    fs::remove_file(machines.path("anna/operator.crt")).expect("removed");
    let refused =
        machines.on("w", crate::rig::BINARY, &["pause", "--client", &folder, "-f", &file]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("neither a token nor"), "{said}");
}

/// Its certificate comes into its last third; a data node signs, the witness fetches, and the
/// running witness uses it.
fn the_witness_is_renewed(machines: &Machines) {
    let path = machines.base("w").join("tls/w.crt");
    let ca = fs::read_to_string(machines.base("db1").join("tls/ca.crt")).expect("the CA");
    let key = fs::read_to_string(machines.base("db1").join("tls/ca.key")).expect("its key");
    let then = SystemTime::now() - 300 * DAY;
    let authority = Authority::from_pem(&ca, &Redacted::new(key), then).expect("the CA");
    let shown = CertificateDer::from_pem_file(&path).expect("a certificate");
    let name: NodeName = "w".parse().expect("a name");
    let old = authority.certify_again(&name, &address("w"), &shown).expect("signed");
    fs::write(&path, old).expect("written");
    let serial = || Certificate::read(&path).expect("read").expect("there").serial;
    let old = serial();
    let (one, own) = (machines.resolved("db1"), machines.resolved("w"));
    // The data node goes by what the running witness shows, which follows within seconds.
    machines.wait("a data node signs for the witness", || {
        let said = machines.ok("db1", &["certs", "renew", "-f", &one]);
        said.contains("signed for w").then_some(())
    });
    let said = machines.ok("w", &["certs", "renew", "-f", &own]);
    assert!(said.contains("tls/w.crt"), "{said}");
    assert_ne!(serial(), old);
    machines.wait("the running witness shows it: nothing is due any more", || {
        machines.ok("db1", &["certs", "renew", "-f", &one]).is_empty().then_some(())
    });
}
