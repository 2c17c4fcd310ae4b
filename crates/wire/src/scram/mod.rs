//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides, without I/O and without randomness: nonces
//! are handed in (RFC 5802, RFC 7677; PostgreSQL documentation, "SASL Authentication").
//!
//! ```text
//! client                                             server
//!   gs2,,n=,r=C                                ->
//!                                              <-    r=CS,s=salt,i=n
//!   c=base64(gs2,, + binding),r=CS,p=proof     ->    StoredKey fits the proof, which shows ClientKey
//!                                              <-    v=signature by ServerKey
//! ```
//! Whoever has seen a client's proof knows its ClientKey, and logs in with it ([`Secret::Keys`])
//! wherever the same verifier stands: no password is kept.

mod client;
mod server;
mod verifier;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

pub use client::{Asked, Asking, ClientError, Proved, Secret};
pub use server::{Accepted, Challenge, Refused, answer_first};
pub use verifier::{NoVerifier, Salt, Verifier};

/// What HMAC-SHA-256 gives.
pub type Key = [u8; 32];

/// Without and with channel binding.
pub const MECHANISM: &str = "SCRAM-SHA-256";
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// The one kind of binding that PostgreSQL speaks: the hash of the server's certificate
/// (RFC 5929, section 4).
const BINDING: &str = "tls-server-end-point";

/// PBKDF2 with HMAC-SHA-256 and one block of output (RFC 5802's `Hi`). As the server and libpq do,
/// a password that SASLprep forbids is taken as it is.
fn salted_password(password: &str, salt: &[u8], iterations: u32) -> Key {
    let prepared = stringprep::saslprep(password);
    let password = prepared.as_deref().unwrap_or(password).as_bytes();
    let mac = Hmac::<Sha256>::new_from_slice(password).expect("HMAC takes keys of any length");
    let with = |parts: &[&[u8]]| -> Key {
        let mut mac = mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut block = with(&[salt, &1_u32.to_be_bytes()]);
    let mut sum = block;
    for _ in 1..iterations {
        block = with(&[&block]);
        sum = xor(&sum, &block);
    }
    sum
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn hash(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

fn xor(one: &Key, other: &Key) -> Key {
    std::array::from_fn(|at| one[at] ^ other[at])
}

/// A nonce: printable, without a comma (RFC 5802, section 7).
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b',')
}

#[cfg(test)]
mod tests;
