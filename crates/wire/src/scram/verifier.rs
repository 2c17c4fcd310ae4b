//! Passwords as PostgreSQL keeps them: SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677).
//!
//! ```text
//!   salted = PBKDF2(password, salt, n)       SCRAM-SHA-256$n:salt$StoredKey:ServerKey
//!   StoredKey = H(HMAC(salted, "Client Key"))    ServerKey = HMAC(salted, "Server Key")
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Key, hash, hmac, salted_password};

/// Random bytes, drawn anew for each verifier.
pub type Salt = [u8; 16];

/// What a server keeps of a password. It proves knowledge of it and cannot be turned back.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

impl Verifier {
    pub fn new(password: &str, salt: Salt) -> Verifier {
        Verifier::derive(password, salt.to_vec(), ITERATIONS)
    }

    /// Whether this was made from `password`.
    pub fn accepts(&self, password: &str) -> bool {
        *self == Verifier::derive(password, self.salt.clone(), self.iterations)
    }

    /// For a name that nobody has, so that it is asked like any other: always the same salt for
    /// one name, and no password fits. `secret` is drawn anew at each start.
    pub fn of_nobody(user: &str, secret: &Key) -> Verifier {
        let salt = hmac(secret, &[user.as_bytes()])[..SALT_LEN].to_vec();
        Verifier { iterations: ITERATIONS, salt, stored_key: [0; 32], server_key: *secret }
    }

    fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> Verifier {
        let salted = salted_password(password, &salt, iterations);
        let stored_key = hash(&hmac(&salted, &[b"Client Key"]));
        let server_key = hmac(&salted, &[b"Server Key"]);
        Verifier { iterations, salt, stored_key, server_key }
    }
}

/// The form in `pg_authid.rolpassword`, which `ALTER ROLE ... PASSWORD` takes as it is.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verifier { iterations, salt, stored_key, server_key } = self;
        let text = |bytes: &[u8]| STANDARD.encode(bytes);
        write!(
            f,
            "{MECHANISM}${iterations}:{}${}:{}",
            text(salt),
            text(stored_key),
            text(server_key)
        )
    }
}

/// A verifier lets its holder pose as the server, and guess at the password offline.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The text is no SCRAM verifier: a password in clear, MD5, or damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoVerifier;

impl FromStr for Verifier {
    type Err = NoVerifier;

    fn from_str(text: &str) -> Result<Verifier, NoVerifier> {
        parse(text).ok_or(NoVerifier)
    }
}

fn parse(text: &str) -> Option<Verifier> {
    let (parameters, keys) = text.strip_prefix(MECHANISM)?.strip_prefix('$')?.split_once('$')?;
    let (iterations, salt) = parameters.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let iterations = iterations.parse().ok().filter(|n| (1..=ITERATIONS_MAX).contains(n))?;
    let bytes = |text: &str| STANDARD.decode(text).ok();
    Some(Verifier {
        iterations,
        salt: bytes(salt)?,
        stored_key: bytes(stored_key)?.try_into().ok()?,
        server_key: bytes(server_key)?.try_into().ok()?,
    })
}

const MECHANISM: &str = "SCRAM-SHA-256";
/// PostgreSQL's default.
const ITERATIONS: u32 = 4096;
const SALT_LEN: usize = size_of::<Salt>();
/// Half a second's work; a verifier with more is taken for another password's.
pub(super) const ITERATIONS_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by PostgreSQL's own test of postgres-protocol's salted form: password `foo`.
    const OF_FOO: &str = "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==";

    #[test]
    fn a_verifier_is_read_back_and_knows_its_password() {
        let verifier = Verifier::new("foo", [0; 16]);
        let text = verifier.to_string();
        assert!(text.starts_with(OF_FOO), "{text}");
        assert_eq!(text.parse(), Ok(verifier.clone()));
        assert!(verifier.accepts("foo"));
        assert!(!verifier.accepts("fop"));
        assert_eq!(format!("{verifier:?}"), "***");
    }

    #[test]
    fn what_is_no_verifier_is_refused() {
        for bad in [
            "",
            "secret",
            "md5d41d8cd98f00b204e9800998ecf8427e",
            "SCRAM-SHA-256$4096:AA==$AA==:AA==",
            "SCRAM-SHA-256$0:AA==$AA==:AA==",
            "SCRAM-SHA-256$4096",
        ] {
            assert_eq!(bad.parse::<Verifier>(), Err(NoVerifier), "{bad}");
        }
    }
}
