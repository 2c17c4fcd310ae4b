//! Passwords as PostgreSQL kept them before SCRAM: `md5` and the hash of password and name. Old
//! user lists are full of them; Howdah makes none.
//!
//! Source: PostgreSQL documentation, "MD5 password" of the message flow; `pg_md5_encrypt` in
//! `src/common/md5_common.c`.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// As it stands in `pg_authid.rolpassword`.
pub fn hash(password: &str, user: &str) -> String {
    format!("md5{}", digest(&[password.as_bytes(), user.as_bytes()]))
}

/// The answer to [`crate::Authentication::Md5`]; `None`: `hash` is no such hash.
pub fn answer(hash: &str, salt: [u8; 4]) -> Option<String> {
    let digits = hash.strip_prefix("md5").filter(|digits| digits.len() == 32)?;
    Some(format!("md5{}", digest(&[digits.as_bytes(), &salt])))
}

/// Whether `answer` is that of whoever has `hash`.
pub fn accepts(hash: &str, salt: [u8; 4], answer: &str) -> bool {
    self::answer(hash, salt).is_some_and(|want| want.as_bytes().ct_eq(answer.as_bytes()).into())
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_postgresqls() {
        // SELECT 'md5' || md5('secret' || 'app')
        assert_eq!(hash("secret", "app"), "md56a422f785c9e20873908ce25d1736ae2");
        let stored = hash("secret", "app");
        let answered = answer(&stored, *b"salt").expect("a hash");
        assert!(accepts(&stored, *b"salt", &answered));
        assert!(!accepts(&stored, *b"tals", &answered));
        assert!(!accepts(&hash("secrets", "app"), *b"salt", &answered));
        assert!(!accepts("secret", *b"salt", "secret"));
    }
}
