//! A text that only the holder of a secret can read: how the CA's key waits for a machine that
//! is to join, in a file that the servers' user may hold but not understand.
//!
//! AES-256-GCM under a key that HKDF-SHA256 makes of the secret. The secret is random and long,
//! so nothing slower is needed to make a key of it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use howdah_base::Redacted;

use crate::TlsError;

/// Tells this use of a secret from every other.
const PURPOSE: &[u8] = b"howdah sealed text 1";

/// Encrypts `text` for who knows `secret`: the nonce, then the ciphertext with its tag.
pub fn seal(secret: &[u8], text: &str) -> Result<Vec<u8>, TlsError> {
    let mut sealed = text.as_bytes().to_vec();
    let nonce = key(secret)?
        .seal_in_place_append_tag(Aad::from(PURPOSE), &mut sealed)
        .map_err(TlsError::crypto("a sealed text"))?;
    Ok([&nonce.as_ref()[..], &sealed].concat())
}

/// The text again; `None` when it was sealed for another secret, or was changed.
pub fn unseal(secret: &[u8], sealed: &[u8]) -> Option<Redacted<String>> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut text = text.to_vec();
    let key = key(secret).ok()?;
    let open = key.open_in_place(Nonce::from(nonce), Aad::from(PURPOSE), &mut text).ok()?;
    String::from_utf8(open.to_vec()).ok().map(Redacted::new)
}

/// Whether both are the same, in a time that does not tell where they differ.
pub fn same(one: &[u8], two: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, two).is_ok()
}

/// Bytes that nobody can guess.
///
/// # Panics
/// The machine has no randomness to give, without which nothing here is safe.
pub fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    aws_lc_rs::rand::fill(&mut bytes).expect("the machine's randomness");
    bytes
}

/// The hash of several parts, one behind the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn key(secret: &[u8]) -> Result<RandomizedNonceKey, TlsError> {
    struct Bytes;
    impl KeyType for Bytes {
        fn len(&self) -> usize {
            AES_256_GCM.key_len()
        }
    }
    let what = "the key of a sealed text";
    let mut key = vec![0; AES_256_GCM.key_len()];
    Salt::new(HKDF_SHA256, &[])
        .extract(secret)
        .expand(&[PURPOSE], Bytes)
        .and_then(|made| made.fill(&mut key))
        .map_err(TlsError::crypto(what))?;
    RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(TlsError::crypto(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens_what_it_sealed() {
        let sealed = seal(b"secret", "the key").expect("sealed");
        let opened = unseal(b"secret", &sealed).expect("opened");
        assert_eq!(opened.expose(), "the key");
        assert!(unseal(b"another", &sealed).is_none());
        assert!(!sealed.windows(3).any(|part| part == b"key"), "it is not to be read");
        assert_ne!(seal(b"secret", "the key").expect("sealed"), sealed, "a fresh nonce each time");
        for at in [0, sealed.len() / 2, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(unseal(b"secret", &changed).is_none(), "byte {at}");
        }
        assert!(unseal(b"secret", b"short").is_none());
    }

    #[test]
    fn the_hash_is_sha_256() {
        let hex: String = sha256(&[b"a", b"bc"]).iter().map(|byte| format!("{byte:02x}")).collect();
        // FIPS 180-2, the example "abc".
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
