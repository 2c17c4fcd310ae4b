//! The way to the store: embedded, the nodes' own etcd, or somebody else's; and the wait for one
//! that is not there yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use howdah_base::NodeName;
use howdah_etcd::{Phase, Report};
use howdah_spec::{EtcdSpec, StoreSpec};
use howdah_store::embedded::{Embedded, Options};
use howdah_store::etcd::{Etcd, EtcdOptions, TlsFiles};
use howdah_store::{Snapshot, Store, StoreError};
use howdah_tls::Pair;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::keeper;
use crate::prepare::Prepared;

/// Between tries of a store that does not answer yet.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// What waiting does not help is said to an operator, but what passes while machines start is
/// waited for.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Opens the store of `node`. etcd that does not answer is no error.
///
/// # Errors
/// What a person must change: wrong options, a wrong password, a refused certificate.
pub async fn open(prepared: &Prepared, node: &NodeName) -> anyhow::Result<Arc<dyn Store>> {
    match &prepared.spec.store {
        StoreSpec::Embedded { path } => {
            let options = Options::of_this_machine()?;
            Ok(Arc::new(Embedded::open(path, options).await?))
        }
        StoreSpec::Etcd(etcd) if etcd.managed => {
            Ok(Arc::new(Etcd::open(own_options(prepared, etcd, node)).await?))
        }
        StoreSpec::Etcd(etcd) => {
            Ok(Arc::new(Etcd::open(foreign_options(prepared, etcd).await?).await?))
        }
    }
}

/// The own member first: it is nearest, and the others are asked when it does not answer.
fn own_options(prepared: &Prepared, etcd: &EtcdSpec, node: &NodeName) -> EtcdOptions {
    let tls = prepared.layout.tls();
    let pair = Pair::at(&tls, node.as_str());
    let mut endpoints = Vec::new();
    for (name, place) in keeper::places(&prepared.spec) {
        if name == *node {
            // Reached whatever becomes of the network.
            endpoints.insert(0, format!("https://127.0.0.1:{}", place.client_port));
        } else {
            endpoints.push(place.client_url());
        }
    }
    EtcdOptions {
        endpoints,
        prefix: etcd.prefix.clone(),
        tls: Some(TlsFiles {
            ca: prepared.layout.ca(),
            client: Some((pair.certificate, pair.key)),
        }),
        login: None,
        timeout: timeout(prepared),
    }
}

async fn foreign_options(prepared: &Prepared, etcd: &EtcdSpec) -> anyhow::Result<EtcdOptions> {
    let secure = etcd.endpoints.iter().any(|endpoint| endpoint.starts_with("https://"));
    let tls = match (&etcd.ca, secure) {
        (_, false) => None,
        (Some(ca), true) => Some(ca.clone()),
        (None, true) => Some(system_authorities()?),
    };
    let client = etcd.cert.clone().zip(etcd.key.clone());
    let login = match etcd.user.clone().zip(etcd.password.as_ref()) {
        None => None,
        Some((user, reference)) => {
            let secret = howdah_agent::secret(reference, &prepared.layout.client_secrets()).await;
            let secret = secret.map_err(|why| {
                Failure::failed(format!("the password of etcd's user `{user}`: {why}"))
                    .hint("`store.etcd.password` says where it is found")
            })?;
            Some((user, secret))
        }
    };
    Ok(EtcdOptions {
        endpoints: etcd.endpoints.clone(),
        prefix: etcd.prefix.clone(),
        tls: tls.map(|ca| TlsFiles { ca, client }),
        login,
        timeout: timeout(prepared),
    })
}

/// A third of the lease at most, so that a renewal can fail and be made once more.
fn timeout(prepared: &Prepared) -> Duration {
    EtcdOptions::TIMEOUT.min(prepared.spec.ha.lease.0 / 3)
}

/// Where distributions keep the authorities that they trust.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

fn system_authorities() -> anyhow::Result<PathBuf> {
    let found = AUTHORITIES.iter().map(Path::new).find(|path| path.is_file());
    found.map(Path::to_path_buf).ok_or_else(|| {
        Failure::failed(
            "no authorities are installed on this machine to check etcd's certificate by",
        )
        .hint("name etcd's CA as `store.etcd.ca`, or apt-get install ca-certificates")
        .into()
    })
}

/// Waits until the store answers; says why it does not, once a reason, in the log and through
/// `why`.
///
/// # Errors
/// What waiting does not help.
pub async fn wait(
    prepared: &Prepared,
    node: &NodeName,
    kept: &watch::Receiver<Option<Report>>,
    why: &watch::Sender<String>,
) -> anyhow::Result<(Arc<dyn Store>, Snapshot)> {
    let mut refused_since: Option<Instant> = None;
    loop {
        let refusal = match try_once(prepared, node).await {
            Ok(found) => return Ok(found),
            Err(refusal) => refusal,
        };
        let report = kept.borrow().clone();
        let (sentence, lasting) = judge(prepared, &refusal, report.as_ref());
        let since = *refused_since.get_or_insert_with(Instant::now);
        if !lasting {
            refused_since = None;
        } else if since.elapsed() >= REFUSED_FOR || keeper::managed(&prepared.spec).is_none() {
            return Err(refusal_of(sentence, refusal));
        }
        if *why.borrow() != sentence {
            tracing::warn!("waits for the store: {sentence}");
            why.send_replace(sentence);
        }
        sleep(TRY_EVERY).await;
    }
}

async fn try_once(
    prepared: &Prepared,
    node: &NodeName,
) -> anyhow::Result<(Arc<dyn Store>, Snapshot)> {
    let store = open(prepared, node).await?;
    let snapshot = store.snapshot().await?;
    Ok((store, snapshot))
}

/// The sentence, and whether waiting does not help. What the keeper says of the own member
/// explains more than that nobody answers.
fn judge(prepared: &Prepared, error: &anyhow::Error, report: Option<&Report>) -> (String, bool) {
    if let Some(report) = report.filter(|r| r.phase != Phase::Well && !r.why.is_empty()) {
        return (report.why.clone(), report.phase == Phase::Refused);
    }
    let waits = match error.downcast_ref() {
        Some(StoreError::Unreachable { .. }) => true,
        // A file of this machine will not mend itself.
        Some(StoreError::Io { .. }) => matches!(prepared.spec.store, StoreSpec::Etcd(_)),
        _ => false,
    };
    (format!("{error:#}"), !waits)
}

fn refusal_of(sentence: String, error: anyhow::Error) -> anyhow::Error {
    if format!("{error:#}") == sentence {
        return error;
    }
    anyhow!(Failure::failed(format!("the store cannot be used: {sentence}")).hint("howdah logs"))
}
