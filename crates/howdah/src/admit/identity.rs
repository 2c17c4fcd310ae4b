//! One prefix holds one cluster: who comes first writes down whose it is.

use std::path::Path;

use howdah_base::record::{Identity, key};
use howdah_store::{Snapshot, Store, Txn, TxnOutcome};
use howdah_tls::Fingerprint;

use crate::failure::Failure;
use crate::prepare::Prepared;

/// Compares the store's identity with this cluster's, and writes it where there is none.
pub async fn check(
    prepared: &Prepared,
    store: &dyn Store,
    snapshot: &Snapshot,
) -> anyhow::Result<()> {
    let own = own(prepared)?;
    if let Some((found, _)) = snapshot.get::<Identity>(key::IDENTITY)? {
        return judge(&own, &found);
    }
    let txn = Txn::new().absent(key::IDENTITY).put(key::IDENTITY, &own);
    match store.txn(txn).await? {
        TxnOutcome::Applied { .. } => Ok(()),
        TxnOutcome::Refused { snapshot } => {
            // Another node was faster.
            let found = snapshot.get::<Identity>(key::IDENTITY)?;
            found.map_or(Ok(()), |(found, _)| judge(&own, &found))
        }
    }
}

/// What tells this cluster from others of its name: the beginning of its CA's fingerprint.
pub fn short_identity(prepared: &Prepared) -> anyhow::Result<String> {
    Ok(short(&own(prepared)?.authority).to_owned())
}

/// The same by the CA's certificate alone.
pub fn identity_at(ca: &Path) -> anyhow::Result<String> {
    Ok(short(&authority(ca)?).to_owned())
}

fn own(prepared: &Prepared) -> anyhow::Result<Identity> {
    let authority = authority(&prepared.layout.ca())?;
    Ok(Identity { cluster: prepared.spec.cluster.clone(), authority })
}

fn authority(ca: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(ca)?;
    Ok(Fingerprint::of_pem(&text, ca)?.to_string())
}

fn judge(own: &Identity, found: &Identity) -> anyhow::Result<()> {
    if own == found {
        return Ok(());
    }
    if own.cluster != found.cluster {
        return Err(Failure::refused(format!(
            "the store at this prefix holds another cluster, `{}`, and this node is of `{}`",
            found.cluster, own.cluster
        ))
        .hint("give each cluster a prefix of its own: `store.etcd.prefix`")
        .into());
    }
    let (theirs, ours) = (short(&found.authority), short(&own.authority));
    Err(Failure::refused(format!(
        "the store holds a cluster of the same name, `{}`, with another CA: {theirs} there, \
         {ours} here",
        own.cluster
    ))
    .hint(
        "a new machine joins by `howdah token create NODE` on one that is in; two clusters need \
         two prefixes, `store.etcd.prefix`; and a cluster that is made anew at the place of an \
         old one needs an empty one: `etcdctl del --prefix PREFIX`",
    )
    .into())
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..16).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cluster_is_told_from_another_ca() {
        let of = |cluster: &str, authority: &str| Identity {
            cluster: cluster.parse().expect("a name"),
            authority: authority.repeat(32),
        };
        let judged = |found| judge(&of("shop", "ab"), &found).map_err(|error| error.to_string());
        assert_eq!(judged(of("shop", "ab")), Ok(()));
        let error = judged(of("bank", "ab")).expect_err("refused");
        assert!(error.contains("another cluster, `bank`"), "{error}");
        let error = judged(of("shop", "cd")).expect_err("refused");
        assert!(error.contains("cdcdcdcdcdcdcdcd there, abababababababab here"), "{error}");
    }
}
