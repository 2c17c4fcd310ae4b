//! What binds a login to the TLS connection that it comes through: the hash of the server's
//! certificate (RFC 5929, section 4, `tls-server-end-point`).

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use x509_parser::oid_registry::{
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA,
    OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, Oid,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// By the hash that the certificate is signed with, and no weaker one than SHA-256. `None`: its
/// signature names none (Ed25519), and nothing can be bound to it.
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let by = algorithm(&parsed.signature_algorithm.algorithm)?;
    Some(digest(by, certificate).as_ref().to_vec())
}

fn algorithm(signature: &Oid<'_>) -> Option<&'static Algorithm> {
    let is_one_of = |all: &[Oid<'_>]| all.contains(signature);
    let weak = [OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA];
    if is_one_of(&weak) || is_one_of(&[OID_PKCS1_SHA256WITHRSA, OID_SIG_ECDSA_WITH_SHA256]) {
        Some(&SHA256)
    } else if is_one_of(&[OID_PKCS1_SHA384WITHRSA, OID_SIG_ECDSA_WITH_SHA384]) {
        Some(&SHA384)
    } else if is_one_of(&[OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA512]) {
        Some(&SHA512)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
    use rcgen::{PKCS_ED25519, SignatureAlgorithm};

    use super::*;

    fn bound_to(by: &'static SignatureAlgorithm) -> Option<usize> {
        let key = KeyPair::generate_for(by).expect("a key");
        let certificate = CertificateParams::default().self_signed(&key).expect("a certificate");
        end_point(certificate.der()).map(|hash| hash.len())
    }

    #[test]
    fn the_hash_is_the_signature_s() {
        assert_eq!(bound_to(&PKCS_ECDSA_P256_SHA256), Some(32));
        assert_eq!(bound_to(&PKCS_ECDSA_P384_SHA384), Some(48));
        assert_eq!(bound_to(&PKCS_ED25519), None);
        assert_eq!(end_point(b"no certificate"), None);
    }
}
