//! Files of this machine: the socket, and what is brought. Blocking.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use howdah_postgres::wal::segment::HEAD;
use howdah_repo::pack::Hash;
use tokio::net::UnixListener;

/// Stays in the processor's cache, and costs no fresh memory a segment.
const READ_BYTES: usize = 256 << 10;

/// Takes the place at `socket`, for this user only.
///
/// # Errors
/// What the system says, with the path.
pub fn listen(socket: &Path) -> io::Result<UnixListener> {
    let said = |error: io::Error| {
        io::Error::new(error.kind(), format!("listen at `{}`: {error}", socket.display()))
    };
    // A lock elsewhere sees to it that a node has one agent: what lies here is of one that is gone.
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(said(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(said)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600)).map_err(said)?;
    Ok(listener)
}

/// Enough of a file to tell whose segment it is.
pub fn begin(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HEAD as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// BLAKE3 of a file, and its length.
pub fn hash(path: &Path) -> io::Result<(Hash, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut len = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((*hasher.finalize().as_bytes(), len));
        }
        hasher.update(&buffer[..read]);
        len += read as u64;
    }
}
