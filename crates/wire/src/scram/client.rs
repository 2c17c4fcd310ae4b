//! The side that is let in: with a password, or with keys that another login has shown.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::verifier::ITERATIONS_MAX;
use super::{BINDING, Key, Verifier, hash, hmac, is_nonce, salted_password, xor};

/// What a client proves itself with.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Password(String),
    /// The key that a client has shown, and the verifier that it fits: only where the same one
    /// stands will it do.
    Keys {
        client_key: Key,
        verifier: Verifier,
    },
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A login that begins.
#[derive(Debug)]
pub struct Asking {
    gs2: String,
    binding: Vec<u8>,
    nonce: String,
}

impl Asking {
    /// `certificate_hash`: of the server's certificate, where the mechanism is SCRAM-SHA-256-PLUS.
    /// `nonce`: of printable characters, at least 18 random bytes.
    pub fn new(nonce: &str, certificate_hash: Option<&[u8]>) -> Asking {
        let gs2 = match certificate_hash {
            Some(_) => format!("p={BINDING},,"),
            None => "n,,".to_owned(),
        };
        let binding = certificate_hash.unwrap_or_default().to_vec();
        Asking { gs2, binding, nonce: nonce.to_owned() }
    }

    /// It could bind the channel, and is not offered to: a server that did offer it knows by this
    /// that somebody is in between.
    pub fn not_offered(nonce: &str) -> Asking {
        Asking { gs2: "y,,".to_owned(), ..Asking::new(nonce, None) }
    }

    /// The first message; the server knows the name already.
    pub fn first(&self) -> String {
        format!("{}n=,r={}", self.gs2, self.nonce)
    }

    /// Answers the server's question.
    ///
    /// # Errors
    /// The question is malformed, or not about the verifier that the keys fit.
    pub fn answer(self, question: &str, secret: &Secret) -> Result<Asked, ClientError> {
        let mut fields = question.split(',');
        let mut field = |name| fields.next().and_then(|field| field.strip_prefix(name));
        let (nonce, salt, iterations) = (field("r="), field("s="), field("i="));
        let nonce = nonce.filter(|nonce| {
            is_nonce(nonce) && nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce)
        });
        let salt = salt.and_then(|salt| STANDARD.decode(salt).ok());
        let iterations = iterations.and_then(|n| n.parse().ok());
        let iterations = iterations.filter(|n| (1..=ITERATIONS_MAX).contains(n));
        let (Some(nonce), Some(salt), Some(iterations)) = (nonce, salt, iterations) else {
            return Err(ClientError::Malformed);
        };
        let (client_key, server_key) = match secret {
            Secret::Password(password) => {
                let salted = salted_password(password, &salt, iterations);
                (hmac(&salted, &[b"Client Key"]), hmac(&salted, &[b"Server Key"]))
            }
            Secret::Keys { verifier, .. }
                if (&verifier.salt, verifier.iterations) != (&salt, iterations) =>
            {
                return Err(ClientError::OtherVerifier);
            }
            Secret::Keys { client_key, verifier } => (*client_key, verifier.server_key),
        };
        let bound = STANDARD.encode([self.gs2.as_bytes(), &self.binding].concat());
        let without_proof = format!("c={bound},r={nonce}");
        let messages = format!("n=,r={},{question},{without_proof}", self.nonce);
        let signature = hmac(&hash(&client_key), &[messages.as_bytes()]);
        let proof = STANDARD.encode(xor(&client_key, &signature));
        let expected = hmac(&server_key, &[messages.as_bytes()]);
        Ok(Asked { last: format!("{without_proof},p={proof}"), expected })
    }
}

/// The question has been answered, and the server has still to prove itself.
pub struct Asked {
    /// The client's last message.
    pub last: String,
    expected: Key,
}

/// It has the proof in it.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}

impl Asked {
    /// Judges the server's last message.
    ///
    /// # Errors
    /// It does not know the password either.
    pub fn check(self, message: &str) -> Result<Proved, ClientError> {
        let signature = message.strip_prefix("v=").and_then(|text| STANDARD.decode(text).ok());
        let signature = signature.ok_or(ClientError::Malformed)?;
        match bool::from(signature.ct_eq(&self.expected)) {
            true => Ok(Proved(())),
            false => Err(ClientError::Server),
        }
    }
}

/// The server knows the password: only now may its AuthenticationOk be believed.
#[derive(Debug)]
pub struct Proved(());

/// Why a server is not believed, or cannot be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    #[error("malformed SCRAM message")]
    Malformed,
    #[error("the server has another verifier: the password was changed")]
    OtherVerifier,
    #[error("the server does not know the password")]
    Server,
}
