//! What waiting does not mend is said at once, with what to do.

use std::fs;
use std::time::Duration;

use howdah_base::Redacted;
use howdah_store::etcd::{Etcd, EtcdOptions, TlsFiles};
use howdah_store::{Store, StoreError, Txn, TxnOutcome};
use howdah_testkit::{EtcdCluster, EtcdSetup};

use crate::contract::soon;
use crate::options::options;
use crate::relay::Relay;

fn guarded() -> EtcdCluster {
    let only_below = Some("/howdah/".to_owned());
    EtcdCluster::start(1, EtcdSetup { tls: true, only_below, ..EtcdSetup::default() })
}

/// Why such a store cannot be used, and the hint.
async fn unusable(options: EtcdOptions) -> String {
    match Etcd::open(options).await {
        Err(StoreError::Unusable { why, hint, .. }) => format!("{why}; {hint}"),
        Ok(store) => panic!("opened; a read says {:?}", store.snapshot().await),
        Err(other) => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} in: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_etcd_does_not_want() {
    let etcd = guarded();
    let good = options(&etcd, "a");
    let user = EtcdCluster::USER.to_owned();
    let login = Some((user.clone(), Redacted::new("hunter2".to_owned())));
    let text = unusable(EtcdOptions { login, ..good.clone() }).await;
    assert_says(&text, &[&etcd.endpoint(0), "authentication failed", "check `user`"]);
    assert!(!text.contains("hunter2"));
    // The certificate's name is no user of etcd's either.
    let text = unusable(EtcdOptions { login: None, ..good.clone() }).await;
    assert_says(&text, &["permission denied"]);
    let text = unusable(EtcdOptions { prefix: "/other/".to_owned(), ..good.clone() }).await;
    assert_says(&text, &["permission denied", "role grant-permission"]);
    let store = Etcd::open(good).await.expect("the right ones are let in");
    assert!(!format!("{store:?}").contains(EtcdCluster::PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_one_side_refuses() {
    let (etcd, stranger) = (guarded(), guarded());
    let good = options(&etcd, "a");
    let tls = |ca, client| EtcdOptions { tls: Some(TlsFiles { ca, client }), ..good.clone() };
    let own = || Some((etcd.certificate(), etcd.key()));
    let text = unusable(tls(stranger.ca(), own())).await;
    assert_says(&text, &["invalid peer certificate", "is the CA the one"]);
    let strange = Some((stranger.certificate(), stranger.key()));
    let text = unusable(tls(etcd.ca(), strange)).await;
    assert_says(&text, &["alert", "etcd refuses this node's certificate"]);
    let text = unusable(tls(etcd.ca(), None)).await;
    assert_says(&text, &["alert", "etcd refuses this node's certificate"]);
    let text = unusable(tls("/nowhere/ca.crt".into(), own())).await;
    assert_says(&text, &["cannot read `/nowhere/ca.crt`", "No such file"]);
}

/// It looks like a member that is about to end, so it is no reason to give up.
#[tokio::test(flavor = "multi_thread")]
async fn one_side_speaks_tls_and_the_other_does_not() {
    let (etcd, plain) = (guarded(), EtcdCluster::start(1, EtcdSetup::default()));
    let mut good = options(&etcd, "a");
    good.timeout = Duration::from_secs(5);
    let endpoints = vec![plain.endpoint(0).replace("http:", "https:")];
    let store = Etcd::open(EtcdOptions { endpoints, ..good.clone() }).await.expect("opens");
    let error = store.snapshot().await.expect_err("no TLS").to_string();
    assert_says(&error, &["handshake", "is it one that speaks TLS?"]);
    let endpoints = vec![etcd.endpoint(0).replace("https:", "http:")];
    let store = Etcd::open(EtcdOptions { endpoints, tls: None, ..good }).await.expect("opens");
    let error = store.snapshot().await.expect_err("only TLS").to_string();
    assert_says(&error, &["does it want `https://`?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificates_are_used_from_the_next_connection_on() {
    let mut etcd = guarded();
    // As long as a loaded machine may take to start an etcd and log in there.
    let patient = EtcdOptions { timeout: Duration::from_secs(20), ..options(&etcd, "a") };
    let store = Etcd::open(patient).await.expect("opens");
    let (certificate, key) = (etcd.certificate(), etcd.key());
    let good = [&certificate, &key].map(|path| fs::read(path).expect("read"));
    let stranger = guarded();
    fs::copy(stranger.certificate(), &certificate).expect("copy");
    fs::copy(stranger.key(), &key).expect("copy");
    store.snapshot().await.expect("the connection that is there stays");
    etcd.kill(0);
    etcd.restart(0);
    let found = store.snapshot().await;
    let refused = matches!(&found, Err(e) if e.to_string().contains("alert"));
    assert!(refused, "{found:?}");
    for (path, text) in [&certificate, &key].into_iter().zip(good) {
        fs::write(path, text).expect("write");
    }
    etcd.leader();
    store.snapshot().await.expect("the renewed ones are good");
}

/// The watch tries again by itself: an attempt of its own is on the way when the files change.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_from_before_the_renewal_does_not_speak_for_the_renewed_files() {
    let (etcd, stranger) = (guarded(), guarded());
    let relay = Relay::before(&etcd.endpoint(0)).await;
    let (endpoints, timeout) = (vec![relay.endpoint.clone()], Duration::from_secs(20));
    let good = EtcdOptions { endpoints, timeout, ..options(&etcd, "a") };
    let store = Etcd::open(good).await.expect("opens");
    let own = [etcd.certificate(), etcd.key()];
    let strange = [stranger.certificate(), stranger.key()];
    let kept = own.clone().map(|path| fs::read(path).expect("read"));
    relay.cut();
    soon("the end of the watch", store.changed(u64::MAX)).await.expect_err("it is cut");
    for (to, from) in own.iter().zip(strange) {
        fs::copy(from, to).expect("copy");
    }
    relay.heal();
    relay.delay(Duration::from_millis(200));
    let before = relay.asked();
    let begun = async {
        while relay.asked() == before {
            tokio::task::yield_now().await
        }
    };
    soon("an attempt of the watch", begun).await;
    own.iter().zip(kept).for_each(|(path, text)| fs::write(path, text).expect("write"));
    store.snapshot().await.expect("its own attempt reads the renewed ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_two_etcd_clusters_in_one_list() {
    let mut etcd = EtcdCluster::start(1, EtcdSetup::default());
    let other = EtcdCluster::start(1, EtcdSetup::default());
    let mut mixed = options(&etcd, "a");
    mixed.endpoints.extend(other.endpoints());
    let store = Etcd::open(mixed).await.expect("the first one answers");
    etcd.kill(0);
    match store.snapshot().await {
        Err(error) => assert_says(&error.to_string(), &["it is of etcd cluster"]),
        Ok(snapshot) => panic!("{snapshot:?}"),
    }
    let put = other.ctl(&["get", "--prefix", "/howdah/"]);
    assert_eq!(put, "", "nothing is written there");
}

/// An operator adds a user: etcd takes back the logins of everybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_users_costs_no_call() {
    let etcd = guarded();
    let store = Etcd::open(options(&etcd, "a")).await.expect("opens");
    for number in 0..3_u64 {
        etcd.ctl(&["user", "add", &format!("user{number}:secret")]);
        let put = store.txn(Txn::new().put("term", &number)).await.expect("writes");
        assert!(matches!(put, TxnOutcome::Applied { .. }));
        etcd.ctl(&["user", "delete", &format!("user{number}")]);
        store.snapshot().await.expect("reads");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_fits_into_memory_is_refused() {
    let etcd = EtcdCluster::start(1, EtcdSetup::default());
    let store = Etcd::open(options(&etcd, "a")).await.expect("opens");
    let large = "x".repeat(1024 * 1024);
    let put = |number: u32| store.txn(Txn::new().put(format!("history{number}"), &large));
    for number in 0..15 {
        put(number).await.expect("writes");
    }
    assert_eq!(store.snapshot().await.expect("reads").entries.len(), 15);
    put(15).await.expect("writes");
    match store.snapshot().await {
        Err(StoreError::Unusable { why, hint, .. }) => {
            assert_says(&format!("{why}; {hint}"), &["too large", "more below the prefix"]);
        }
        other => panic!("{:?}", other.map(|snapshot| snapshot.entries.len())),
    }
    let text = "x".repeat(2 * 1024 * 1024);
    match store.txn(Txn::new().put("history", &text)).await {
        Err(StoreError::Unusable { why, hint, .. }) => {
            assert_says(&format!("{why}; {hint}"), &["message larger than", "--max-request-bytes"]);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_where_etcd_asks_for_none() {
    let etcd = EtcdCluster::start(1, EtcdSetup::default());
    let login = Some(("howdah".to_owned(), Redacted::new("any".to_owned())));
    let options = EtcdOptions { login, ..options(&etcd, "a") };
    let store = Etcd::open(options).await.expect("as etcd's own client, it goes on without");
    store.grant(Duration::from_secs(6)).await.expect("grants");
}
