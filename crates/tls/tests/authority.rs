//! The files of the cluster CA: made once, kept while good, and never open to others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use howdah_base::{ClusterName, NodeName};
use howdah_tls::{Authority, Identity, Owner, Pair, TlsError};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn authority(directory: &Path, now: SystemTime) -> Authority {
    let cluster: ClusterName = "demo".parse().expect("name");
    Authority::open_or_create(directory, &cluster, now).expect("authority")
}

fn n1() -> NodeName {
    "n1".parse().expect("name")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
}

fn both(pair: &Pair) -> (String, String) {
    (
        fs::read_to_string(&pair.certificate).expect("certificate"),
        fs::read_to_string(&pair.key).expect("key"),
    )
}

#[test]
fn a_second_start_keeps_what_the_first_made() {
    let tls = tempfile::tempdir().expect("tempdir");
    let now = SystemTime::now();
    let first = authority(tls.path(), now).node(&n1(), "db1.example", None).expect("node");
    let ca = both(&Pair::at(tls.path(), "ca"));
    let before = both(&first);

    let second = authority(tls.path(), now).node(&n1(), "db1.example", None).expect("node");
    assert_eq!(both(&second), before);
    assert_eq!(both(&Pair::at(tls.path(), "ca")), ca);
}

#[test]
fn keys_are_closed_and_certificates_open() {
    let tls = tempfile::tempdir().expect("tempdir");
    let authority = authority(tls.path(), SystemTime::now());
    let node = authority.node(&n1(), "127.0.0.1", None).expect("node");
    let replicator = authority.replicator(None).expect("replicator");
    for pair in [Pair::at(tls.path(), "ca"), node, replicator] {
        assert_eq!(mode(&pair.key), 0o600, "{pair:?}");
        assert_eq!(mode(&pair.certificate), 0o644, "{pair:?}");
    }
    let leftovers = fs::read_dir(tls.path()).expect("read_dir").count();
    assert_eq!(leftovers, 6, "only certificates and keys stay");
}

#[test]
fn a_key_that_others_may_read_is_an_error() {
    let tls = tempfile::tempdir().expect("tempdir");
    let now = SystemTime::now();
    let node = authority(tls.path(), now).node(&n1(), "127.0.0.1", None).expect("node");
    fs::set_permissions(&node.key, fs::Permissions::from_mode(0o640)).expect("chmod");

    let error = authority(tls.path(), now).node(&n1(), "127.0.0.1", None).expect_err("open key");
    assert!(matches!(error, TlsError::KeyMode { mode: 0o640, .. }), "{error}");
    assert!(error.to_string().contains("hint: "), "{error}");
    let error = Identity::open(&node).expect_err("open key");
    assert!(matches!(error, TlsError::KeyMode { .. }), "{error}");
}

#[test]
fn what_is_no_longer_good_is_made_anew() {
    let tls = tempfile::tempdir().expect("tempdir");
    let now = SystemTime::now();
    let node = |host, now| both(&authority(tls.path(), now).node(&n1(), host, None).expect("node"));
    let made = node("db1.example", now);

    let moved = node("db2.example", now);
    assert_ne!(moved, made, "another host");

    fs::write(tls.path().join("n1.crt"), "damaged").expect("write");
    let mended = node("db2.example", now);
    assert_ne!(mended.0, "damaged");

    fs::remove_file(tls.path().join("n1.key")).expect("remove");
    assert_ne!(node("db2.example", now).1, mended.1, "a lost key");

    let early = tempfile::tempdir().expect("tempdir");
    let old = both(&authority(early.path(), now - YEAR).node(&n1(), "h", None).expect("old"));
    let kept = authority(early.path(), now - YEAR / 2).node(&n1(), "h", None).expect("kept");
    assert_eq!(both(&kept), old, "half its time is left");
    let due = authority(early.path(), now - YEAR / 4).node(&n1(), "h", None).expect("renewed");
    assert_ne!(both(&due).0, old.0, "its last third");
    assert_eq!(both(&due).1, old.1, "for the same key");
    let renewed = authority(early.path(), now + YEAR).node(&n1(), "h", None).expect("renewed");
    assert_ne!(both(&renewed).0, old.0, "its time is over");

    let other = tempfile::tempdir().expect("tempdir");
    let foreign = both(&authority(other.path(), now).node(&n1(), "h", None).expect("foreign"));
    for (file, text) in [("n1.crt", &foreign.0), ("n1.key", &foreign.1)] {
        fs::write(early.path().join(file), text).expect("write");
    }
    let own = authority(early.path(), now).node(&n1(), "h", None).expect("made anew");
    assert_ne!(both(&own).1, foreign.1, "another cluster's key is not certified");
}

#[test]
fn a_ca_without_its_key_is_not_replaced() {
    let tls = tempfile::tempdir().expect("tempdir");
    let now = SystemTime::now();
    authority(tls.path(), now);
    fs::remove_file(tls.path().join("ca.key")).expect("remove");

    let cluster: ClusterName = "demo".parse().expect("name");
    let error = Authority::open_or_create(tls.path(), &cluster, now).expect_err("no key");
    assert!(matches!(error, TlsError::AuthorityKeyMissing { .. }), "{error}");
}

#[test]
fn a_crash_before_the_ca_certificate_is_made_good() {
    let tls = tempfile::tempdir().expect("tempdir");
    let now = SystemTime::now();
    authority(tls.path(), now);
    let ca = Pair::at(tls.path(), "ca");
    let key = both(&ca).1;
    fs::remove_file(&ca.certificate).expect("remove");

    authority(tls.path(), now).node(&n1(), "127.0.0.1", None).expect("node");
    assert_eq!(both(&ca).1, key);
}

#[test]
fn another_clusters_key_beside_the_ca_is_refused() {
    let (one, two) = (tempfile::tempdir().expect("tempdir"), tempfile::tempdir().expect("tempdir"));
    let now = SystemTime::now();
    authority(one.path(), now);
    authority(two.path(), now);
    fs::copy(two.path().join("ca.key"), one.path().join("ca.key")).expect("copy");

    let cluster: ClusterName = "demo".parse().expect("name");
    let error = Authority::open_or_create(one.path(), &cluster, now).expect_err("mixed");
    assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
}

#[test]
fn a_host_that_is_no_name_is_named() {
    let tls = tempfile::tempdir().expect("tempdir");
    let authority = authority(tls.path(), SystemTime::now());
    let error = authority.node(&n1(), "not a host", None).expect_err("bad host");
    assert!(error.to_string().starts_with("neither a host name nor an address: `not a host`"));
}

#[test]
fn the_nodes_user_owns_the_nodes_key() {
    // Only root can give files away; everybody else can give them to themselves.
    let tls = tempfile::tempdir().expect("tempdir");
    let me = std::os::unix::fs::MetadataExt::uid(&fs::metadata(tls.path()).expect("metadata"));
    let owner = if me == 0 { Owner { uid: 65534, gid: 65534 } } else { return };
    let authority = authority(tls.path(), SystemTime::now());
    let node = authority.node(&n1(), "127.0.0.1", Some(owner)).expect("node");
    let held = fs::metadata(&node.key).expect("metadata");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&held), 65534);
    let ca = fs::metadata(tls.path().join("ca.key")).expect("metadata");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&ca), 0, "the CA's key stays");
}

/// A second opinion: another implementation accepts what this one made.
#[test]
fn openssl_accepts_the_certificates() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("openssl is not installed: nothing to compare with");
        return;
    }
    let tls = tempfile::tempdir().expect("tempdir");
    let authority = authority(tls.path(), SystemTime::now());
    let node = authority.node(&n1(), "10.1.2.3", None).expect("node");
    let replicator = authority.replicator(None).expect("replicator");
    let ca = tls.path().join("ca.crt");

    let verify = |arguments: &[&str], pair: &Pair| {
        let done = Command::new("openssl")
            .args(["verify", "-x509_strict", "-CAfile"])
            .arg(&ca)
            .args(arguments)
            .arg(&pair.certificate)
            .output()
            .expect("openssl");
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    for arguments in [
        ["-purpose", "sslserver", "-verify_ip", "10.1.2.3"],
        ["-purpose", "sslserver", "-verify_ip", "::1"],
        ["-purpose", "sslserver", "-verify_hostname", "n1"],
        ["-purpose", "sslclient", "-verify_hostname", "localhost"],
    ] {
        assert_eq!(verify(&arguments, &node), (true, String::new()), "{arguments:?}");
    }
    assert!(verify(&["-purpose", "sslclient"], &replicator).0);
    assert!(!verify(&["-purpose", "sslserver"], &replicator).0, "it is no server");
    assert!(!verify(&["-verify_hostname", "n2"], &node).0, "it is not n2");
}
