//! The side that lets in: a client proves that it knows the password of a verifier.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::{BINDING, Key, MECHANISM, MECHANISM_PLUS, Verifier, hash, hmac, is_nonce, xor};

/// Answers a client's first message. `certificate_hash`: of this connection's certificate, where
/// SCRAM-SHA-256-PLUS was offered. `nonce`: of printable characters, at least 18 random bytes.
///
/// # Errors
/// The message is malformed, or asks for what was not offered.
pub fn answer_first<'a>(
    mechanism: &str,
    message: &str,
    nonce: &str,
    verifier: &'a Verifier,
    certificate_hash: Option<&[u8]>,
) -> Result<(Challenge<'a>, String), Refused> {
    let (gs2, bare) = split_gs2(message).ok_or(Refused::Malformed)?;
    let binding = match (mechanism, gs2.split(',').next(), certificate_hash) {
        (MECHANISM, Some("n"), _) | (MECHANISM, Some("y"), None) => &[][..],
        // It would have bound the channel and was not offered to: somebody is in between.
        (MECHANISM, Some("y"), Some(_)) => return Err(Refused::Downgraded),
        (MECHANISM_PLUS, Some(flag), Some(hash)) if flag.strip_prefix("p=") == Some(BINDING) => {
            hash
        }
        _ => return Err(Refused::Malformed),
    };
    let mut fields = bare.split(',');
    let user = fields.next().and_then(|field| field.strip_prefix("n="));
    let theirs = fields.next().and_then(|field| field.strip_prefix("r="));
    let (Some(_), Some(theirs)) = (user, theirs.filter(|nonce| is_nonce(nonce))) else {
        return Err(Refused::Malformed);
    };
    let salt = STANDARD.encode(&verifier.salt);
    let first = format!("r={theirs}{nonce},s={salt},i={}", verifier.iterations);
    let challenge = Challenge {
        verifier,
        bound: [gs2.as_bytes(), binding].concat(),
        nonce: format!("{theirs}{nonce}"),
        so_far: format!("{bare},{first}"),
    };
    Ok((challenge, first))
}

/// What a client was asked.
#[derive(Debug)]
pub struct Challenge<'a> {
    verifier: &'a Verifier,
    /// The header of the first message, and what binds the channel.
    bound: Vec<u8>,
    nonce: String,
    so_far: String,
}

impl Challenge<'_> {
    /// Judges the client's last message.
    ///
    /// # Errors
    /// [`Refused::Password`] where the proof does not fit; the client hears the same for a name
    /// that nobody has.
    pub fn answer_final(self, message: &str) -> Result<Accepted, Refused> {
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(Refused::Malformed)?;
        let mut fields = without_proof.split(',');
        let bound = fields.next().and_then(|field| field.strip_prefix("c="));
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        if nonce != Some(&self.nonce) {
            return Err(Refused::Malformed);
        }
        let bound = bound.and_then(|text| STANDARD.decode(text).ok()).ok_or(Refused::Malformed)?;
        if bound != self.bound {
            return Err(Refused::Binding);
        }
        let proof = STANDARD.decode(proof).ok().and_then(|proof| Key::try_from(proof).ok());
        let proof = proof.ok_or(Refused::Malformed)?;
        let messages = format!("{},{without_proof}", self.so_far);
        let signature = hmac(&self.verifier.stored_key, &[messages.as_bytes()]);
        let client_key = xor(&proof, &signature);
        if !bool::from(hash(&client_key).ct_eq(&self.verifier.stored_key)) {
            return Err(Refused::Password);
        }
        let signature = hmac(&self.verifier.server_key, &[messages.as_bytes()]);
        Ok(Accepted { last: format!("v={}", STANDARD.encode(signature)), client_key })
    }
}

/// A client that knows the password.
pub struct Accepted {
    /// The server's last message.
    pub last: String,
    /// With the verifier it logs in as this client, see [`super::Secret::Keys`].
    pub client_key: Key,
}

/// It has the key in it.
impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accepted")
    }
}

/// Why a client is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    #[error("malformed SCRAM message")]
    Malformed,
    #[error(
        "the client takes the server for one without channel binding, and it is not: somebody may be in between"
    )]
    Downgraded,
    #[error("SCRAM channel binding check failed")]
    Binding,
    #[error("password authentication failed")]
    Password,
}

/// The gs2 header with its comma, and the rest. No other identity may be asked for, and there are
/// no extensions.
fn split_gs2(message: &str) -> Option<(&str, &str)> {
    let flag = message.find(',')?;
    let identity = message[flag + 1..].find(',')?;
    if identity != 0 {
        return None;
    }
    Some(message.split_at(flag + 2))
}
