//! How the tests reach their clusters.

use howdah_base::Redacted;
use howdah_store::etcd::{EtcdOptions, TlsFiles};
use howdah_testkit::EtcdCluster;

/// Everything that `etcd` asks for, for a cluster `name`.
pub fn options(etcd: &EtcdCluster, name: &str) -> EtcdOptions {
    let client = Some((etcd.certificate(), etcd.key()));
    let password = Redacted::new(EtcdCluster::PASSWORD.to_owned());
    EtcdOptions {
        endpoints: etcd.endpoints(),
        prefix: format!("/howdah/{name}/"),
        tls: etcd.ca().exists().then(|| TlsFiles { ca: etcd.ca(), client }),
        login: etcd.has_passwords().then(|| (EtcdCluster::USER.to_owned(), password)),
        timeout: EtcdOptions::TIMEOUT,
    }
}
