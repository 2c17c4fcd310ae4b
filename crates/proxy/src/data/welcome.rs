//! What a client is told once it is in (PostgreSQL documentation, "Start-up"): that it is, what its
//! settings are, how to cancel, and that it may begin.

use howdah_wire::{Authentication, message};

use super::thread::Thread;

impl Thread {
    /// The server at `server` has the client's settings.
    pub(super) fn welcome(&mut self, at: usize, server: usize) {
        let (Some(client), Some(server)) = (self.clients.get_mut(at), self.servers.get(server))
        else {
            return;
        };
        let mut out = Vec::new();
        Authentication::Ok.write(&mut out);
        for (name, value) in &server.parameters {
            message(&mut out, b'S', &[name, &[0], value, &[0]]);
        }
        message(&mut out, b'K', &[&process(at), &client.secret]);
        message(&mut out, b'Z', &[b"I"]);
        client.welcomed = true;
        client.conn.rest = std::mem::take(&mut client.early);
        // Its end shows when it is read from.
        let _ = client.conn.send(std::iter::once(&out[..]));
    }

    /// The client that a cancel request with this key is about.
    pub(super) fn of_key(&self, key: &[u8]) -> Option<usize> {
        let (number, secret) = key.split_first_chunk::<4>()?;
        let at = usize::try_from(u32::from_be_bytes(*number).checked_sub(1)?).ok()?;
        let client = self.clients.get(at)?;
        (secret == client.secret && client.welcomed).then_some(at)
    }
}

/// The process that a client is told is its server's; none has 0.
fn process(at: usize) -> [u8; 4] {
    u32::try_from(at + 1).unwrap_or(u32::MAX).to_be_bytes()
}
