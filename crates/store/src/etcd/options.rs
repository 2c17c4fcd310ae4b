//! How an etcd cluster is reached: members, prefix, credentials, time.

use std::path::PathBuf;
use std::time::Duration;

use howdah_base::Redacted;
use tonic::transport::Uri;

use crate::StoreError;

/// Everything that [`Etcd::open`](super::Etcd::open) needs to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EtcdOptions {
    /// Members of **one** etcd cluster, such as `https://10.0.0.1:2379`. All of them, so that
    /// the loss of any one costs a fraction of [`timeout`](EtcdOptions::timeout).
    pub endpoints: Vec<String>,
    /// All keys lie below it; ends in `/`. Such as `/howdah/<cluster>/`.
    pub prefix: String,
    /// Needed by `https://`, refused with `http://`.
    pub tls: Option<TlsFiles>,
    /// User and password, where etcd's authentication is on. The user needs to read and write
    /// what lies below the prefix, and nothing else.
    pub login: Option<(String, Redacted<String>)>,
    /// How long any call may take, all its tries together. A third of the lease or less, so
    /// that a renewal can fail and be made once more.
    pub timeout: Duration,
}

/// PEM files. They are read at each connection, so that renewed ones are used from then on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// Whose certificates etcd's members show.
    pub ca: PathBuf,
    /// Certificate and key that are shown to etcd.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl EtcdOptions {
    /// For calls in a cluster with a lease of six seconds that is renewed every second.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// Finds what can be told without asking etcd.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], with what to write instead.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.endpoints.is_empty() {
            return self.unusable("no endpoint is given", "name every member of etcd");
        }
        if !self.prefix.ends_with('/') || self.prefix.len() < 2 {
            let why = format!("the prefix does not end in `/`: `{}`", self.prefix);
            return self.unusable(&why, "such as `/howdah/<cluster>/`");
        }
        self.endpoints.iter().try_for_each(|endpoint| self.check_endpoint(endpoint))
    }

    fn check_endpoint(&self, endpoint: &str) -> Result<(), StoreError> {
        let uri = endpoint.parse::<Uri>().ok().filter(|uri| uri.port().is_some());
        match (uri.as_ref().and_then(Uri::scheme_str), &self.tls) {
            (Some("https"), Some(_)) | (Some("http"), None) => Ok(()),
            (Some("https"), None) => {
                let why = format!("no CA is given for `{endpoint}`");
                self.unusable(&why, "name the file of the CA that signed etcd's certificates")
            }
            (Some("http"), Some(_)) => {
                let why = format!("TLS files are given, the endpoint is `{endpoint}`");
                self.unusable(&why, "write `https://`, or leave the TLS files out")
            }
            _ => {
                let why = format!("not an endpoint: `{endpoint}`");
                self.unusable(&why, "write it as `https://10.0.0.1:2379`")
            }
        }
    }

    fn unusable(&self, why: &str, hint: &'static str) -> Result<(), StoreError> {
        Err(StoreError::Unusable { store: self.name(), why: why.to_owned(), hint })
    }

    /// The store in messages.
    pub(super) fn name(&self) -> String {
        format!("etcd at {}, below {}", self.endpoints.join(" "), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoints: &[&str], prefix: &str, tls: bool) -> String {
        let options = EtcdOptions {
            endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
            prefix: prefix.to_owned(),
            tls: tls.then(|| TlsFiles { ca: "ca.crt".into(), client: None }),
            login: Some(("howdah".to_owned(), Redacted::new("hunter2".to_owned()))),
            timeout: EtcdOptions::TIMEOUT,
        };
        assert!(!format!("{options:?}").contains("hunter2"));
        match options.check() {
            Ok(()) => "good".to_owned(),
            Err(StoreError::Unusable { why, hint, .. }) => format!("{why}; {hint}"),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_work_is_said_before_etcd_is_asked() {
        assert_eq!(
            check(&["https://10.0.0.1:2379", "https://e2:2379"], "/howdah/a/", true),
            "good"
        );
        assert_eq!(check(&["http://127.0.0.1:2379"], "a/", false), "good");
        assert_eq!(check(&[], "/a/", false), "no endpoint is given; name every member of etcd");
        assert_eq!(
            check(&["http://e1:2379"], "/a", false),
            "the prefix does not end in `/`: `/a`; such as `/howdah/<cluster>/`"
        );
        assert_eq!(
            check(&["https://e1:2379"], "/a/", false),
            "no CA is given for `https://e1:2379`; \
             name the file of the CA that signed etcd's certificates"
        );
        assert_eq!(
            check(&["http://e1:2379"], "/a/", true),
            "TLS files are given, the endpoint is `http://e1:2379`; \
             write `https://`, or leave the TLS files out"
        );
        for bad in ["e1:2379", "https://e1", "ftp://e1:21", "https://", ""] {
            assert!(check(&[bad], "/a/", true).starts_with("not an endpoint"), "{bad}");
        }
    }
}
