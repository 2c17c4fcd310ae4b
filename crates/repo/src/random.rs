//! Random bytes from the kernel. A library's own generator gathers entropy for some 40 ms when a process asks
//! it for the first time: as long as all else that a short command does.

use std::fs::File;
use std::io::{self, Read};

pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
