//! Ports that no other test process is given at the same time.
//!
//! A block of ports is leased by a lock on a file: the kernel gives it back when the process
//! ends, however it ends. The blocks lie below the ephemeral range, so that no outgoing
//! connection sits on one.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

const FIRST: u16 = 20_000;
const END: u16 = 32_700;
const BLOCK: u16 = 36;
const LOCKS: &str = "/tmp/howdah-test-ports";

/// A leased block of ports; given back on drop.
#[derive(Debug)]
pub struct PortLease {
    first: u16,
    given: u16,
    /// Taken when this one is used up: only clusters of five nodes and more need it.
    further: Option<Box<PortLease>>,
    _lock: Flock<fs::File>,
}

impl PortLease {
    /// Leases the first block that nobody holds and whose ports are all free. Panics when every
    /// block is taken: then hundreds of clusters run, or something leaks them.
    pub fn take() -> PortLease {
        let locks = Path::new(LOCKS);
        fs::create_dir_all(locks).expect("make the directory of port locks");
        // Whoever comes first may be root; others must be able to lease too.
        fs::set_permissions(locks, fs::Permissions::from_mode(0o777)).ok();
        (FIRST..END - BLOCK)
            .step_by(usize::from(BLOCK))
            .find_map(|first| lease(locks, first))
            .expect("a free block of ports")
    }

    /// The next port of the block, or of a further one.
    pub fn next_port(&mut self) -> u16 {
        if self.given == BLOCK {
            return self.further.get_or_insert_with(|| Box::new(PortLease::take())).next_port();
        }
        self.given += 1;
        self.first + self.given - 1
    }
}

fn lease(locks: &Path, first: u16) -> Option<PortLease> {
    let path = locks.join(first.to_string());
    let file = fs::OpenOptions::new().create(true).append(true).open(path).ok()?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
    let all_free =
        (first..first + BLOCK).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    all_free.then_some(PortLease { first, given: 0, further: None, _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leases_never_share_a_port() {
        let (mut one, mut two) = (PortLease::take(), PortLease::take());
        let ones: Vec<u16> = (0..BLOCK + 1).map(|_| one.next_port()).collect();
        assert!((0..BLOCK + 1).map(|_| two.next_port()).all(|port| !ones.contains(&port)));
    }
}
