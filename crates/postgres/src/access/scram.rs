//! SCRAM verifiers of passwords, with salts of the kernel's random generator.

use std::fs::File;
use std::io::{self, Read};

pub use howdah_wire::scram::{Salt, Verifier};

/// A salt that nobody can foresee.
pub fn fresh_salt() -> io::Result<Salt> {
    let mut salt = Salt::default();
    File::open("/dev/urandom")?.read_exact(&mut salt)?;
    Ok(salt)
}
