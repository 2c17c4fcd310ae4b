//! The virtual IP: an address that the primary's machine holds, and no other.
//!
//! ```text
//!  agent, user postgres                     helper, CAP_NET_ADMIN and CAP_NET_RAW, one loop
//!  Seen ─► Holder ── hold until T | drop ──► timer on CLOCK_BOOTTIME ── netlink ──► interface
//!                  Unix socket, JSON lines      at T: removes the address     (lifetime: T)
//!                                               while held: gratuitous ARP, unsolicited NA
//!                                               before it goes: connections to it are reset
//! ```
//! The helper holds a deadline as the guard does: an agent that is frozen, killed or cut off
//! from the store does not extend it, and the address goes. The kernel holds it a second time,
//! as the address's own lifetime, so that it goes also when the helper is frozen or killed.
//!
//! Netlink and not `ip(8)`: at the deadline nothing may be read from a disk that hangs, and no
//! process be started on a machine that has no room for one. The helper's memory is locked.
//!
//! Absent on purpose: any other address than the one of its command line. What the agent, or
//! who has taken it over, can do with the helper's privilege is to hold this one or drop it.

mod connections;
mod duty;
mod error;
mod frames;
mod holder;
mod kernel;
mod message;
mod serve;
mod setup;
mod spawn;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use error::VipError;
pub(crate) use holder::Holder;
pub use message::{Reply, Request};
pub use setup::run_helper;
pub use spawn::{end_helper, spawn_helper};

/// So long before the deadline the helper removes the address: when the guard begins to end
/// PostgreSQL, clients are no longer led to it.
pub const DROP_BEFORE: Duration = Duration::from_millis(700);

/// What `howdah vip-helper` is told on its command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HelperOptions {
    /// Where it listens. Its lock is beside it, with `.lock` appended.
    pub socket: PathBuf,
    pub address: IpAddr,
    /// Bits of the network's prefix.
    pub prefix: u8,
    pub interface: String,
    /// The user whose agent may speak to it; its own when `None`.
    pub owner: Option<u32>,
}

impl HelperOptions {
    /// The command line that means this: `vip-helper --socket S --address A/P --interface I`,
    /// with `--owner UID` where there is one.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![
            "vip-helper".into(),
            "--socket".into(),
            self.socket.clone().into(),
            "--address".into(),
            format!("{}/{}", self.address, self.prefix).into(),
            "--interface".into(),
            self.interface.clone().into(),
        ];
        if let Some(owner) = self.owner {
            words.extend(["--owner".into(), owner.to_string().into()]);
        }
        words
    }
}
