//! Whether a postmaster still takes connections: asked without logging in.
//!
//! The request for encryption (protocol documentation, "SSL Session Encryption") is the shortest
//! question that there is. On a Unix socket it is answered with one byte by the process that the
//! postmaster forks for the connection, before roles, rules or limits are looked at: also in
//! recovery, and when all connections are in use. A client that leaves then is not logged.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::PgError;

/// The length of the message, 8, and the code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Asks once. Any answer is one.
///
/// # Errors
/// There is no socket, nobody listens, or nothing came `within` the bound.
pub async fn knock(socket_dir: &Path, port: u16, within: Duration) -> Result<(), PgError> {
    let path = socket_dir.join(format!(".s.PGSQL.{port}"));
    let asked = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_u8().await
    };
    match timeout(within, asked).await {
        Ok(answer) => answer.map(drop).map_err(PgError::io("knock at", &path)),
        Err(_) => Err(PgError::Silent(within)),
    }
}
