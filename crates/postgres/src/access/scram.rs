//! Passwords as PostgreSQL keeps them: SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677).
//!
//! ```text
//!   salted = PBKDF2(password, salt, n)       SCRAM-SHA-256$n:salt$StoredKey:ServerKey
//!   StoredKey = H(HMAC(salted, "Client Key"))    ServerKey = HMAC(salted, "Server Key")
//! ```

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Random bytes, drawn anew for each verifier.
pub type Salt = [u8; 16];

/// A salt of the kernel's random generator.
pub fn fresh_salt() -> io::Result<Salt> {
    let mut salt = Salt::default();
    File::open("/dev/urandom")?.read_exact(&mut salt)?;
    Ok(salt)
}

/// What a server keeps of a password. It proves knowledge of it and cannot be turned back.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

type Key = [u8; 32];

impl Verifier {
    pub fn new(password: &str, salt: Salt) -> Verifier {
        Verifier::derive(password, salt.to_vec(), ITERATIONS)
    }

    /// Whether this was made from `password`.
    pub fn accepts(&self, password: &str) -> bool {
        *self == Verifier::derive(password, self.salt.clone(), self.iterations)
    }

    fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> Verifier {
        // As the server and libpq do: what SASLprep forbids is taken as it is.
        let prepared = stringprep::saslprep(password);
        let prepared = prepared.as_deref().unwrap_or(password);
        let salted = pbkdf2(prepared.as_bytes(), &salt, iterations);
        let stored_key = Sha256::digest(hmac(&salted, &[b"Client Key"])).into();
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

/// PBKDF2 with HMAC-SHA-256 and one block of output (RFC 5802's `Hi`).
fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let mut block = hmac(password, &[salt, &1_u32.to_be_bytes()]);
    let mut sum = block;
    for _ in 1..iterations {
        block = hmac(password, &[&block]);
        sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

const MECHANISM: &str = "SCRAM-SHA-256";
/// PostgreSQL's default.
const ITERATIONS: u32 = 4096;
/// Half a second's work; a verifier with more is taken for another password's.
const ITERATIONS_MAX: u32 = 1_000_000;

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
    fn the_example_of_rfc_7677_holds() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let salted = pbkdf2(b"pencil", &salt, 4096);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                       r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                       c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac(&hmac(&salted, &[b"Server Key"]), &[message.as_bytes()]);
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
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
