//! A node's own certificate as it lies on disk now: renewed files are used at the next
//! handshake, without a restart and without touching connections that are open.
//!
//! Handshakes never touch the disk: whoever owns the [`Identity`] calls [`Identity::look`] from a
//! thread that may wait.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::provider;
use crate::{Certificate, Pair, TlsError};

/// One pair in use, by all configurations that were made of it.
#[derive(Debug)]
pub struct Identity {
    pair: Pair,
    used: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<Stamps>,
}

/// What tells a rewritten file from the one that was read.
type Stamps = [Option<(i64, i64, u64, u64)>; 2];

impl Identity {
    /// Reads the pair; it must be usable.
    pub fn open(pair: &Pair) -> Result<Arc<Identity>, TlsError> {
        // Before the files are read: one that changes in between is read once more.
        let seen = stamps(pair);
        let used = pair.load(&provider())?;
        Ok(Arc::new(Identity {
            pair: pair.clone(),
            used: RwLock::new(Arc::new(used)),
            seen: Mutex::new(seen),
        }))
    }

    /// Uses the files anew if they have changed; says whether they had. What cannot be used is
    /// told once and leaves the old certificate in use.
    pub fn look(&self) -> Result<bool, TlsError> {
        let now = stamps(&self.pair);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now == *seen {
            return Ok(false);
        }
        *seen = now;
        let next = self.pair.load(&provider())?;
        let mut used = self.used.write().unwrap_or_else(PoisonError::into_inner);
        if used.cert == next.cert {
            return Ok(false);
        }
        *used = Arc::new(next);
        Ok(true)
    }

    /// What the certificate in use says of itself.
    pub fn certificate(&self) -> Option<Certificate> {
        self.in_use().cert.first().and_then(|first| Certificate::of(first).ok())
    }

    pub(crate) fn in_use(&self) -> Arc<CertifiedKey> {
        self.used.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn stamps(pair: &Pair) -> Stamps {
    let of = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.mtime(), meta.mtime_nsec(), meta.ino(), meta.len()))
    };
    [of(&pair.certificate), of(&pair.key)]
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The same with the CA's certificate behind it, so that somebody who knows only the CA's
/// fingerprint can verify the node.
#[derive(Debug)]
pub(crate) struct WithAuthority {
    pub identity: Arc<Identity>,
    pub authority: Vec<CertificateDer<'static>>,
}

impl ResolvesServerCert for WithAuthority {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = self.identity.in_use();
        let chain = own.cert.iter().chain(&self.authority).cloned().collect();
        Some(Arc::new(CertifiedKey::new(chain, own.key.clone())))
    }
}
