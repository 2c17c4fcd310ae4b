//! One member of etcd, run by a node itself: found on the machine, started, kept running, and
//! kept a member of its cluster.
//!
//! ```text
//!   howdah run ──spawn──▶ keeper process (own session) ──▶ etcd
//!        └──── ask ────▶  look ─▶ Seen ─▶ plan::decide ─▶ Step ─▶ perform
//! ```
//!
//! [`keep`] is the keeper process; [`spawn`] starts one that outlives its starter; [`ask`] hears
//! from it how the member is. What is to be done next is decided by one pure function,
//! [`plan::decide`].
//!
//! Absent on purpose: no consensus of our own, and nothing of the cluster's record but the
//! cluster file in force, which says who has a member, and where the primary is. The keeper never gives the member's data
//! away: what cannot be used is put aside.

mod arguments;
mod binary;
mod disk;
mod error;
mod founding;
mod keeper;
mod log;
mod look;
mod maintenance;
mod member;
mod options;
mod perform;
mod process;
mod report;
mod spawn;

pub mod plan;

pub use binary::{Binary, find};
pub use disk::order_alone;
pub use error::KeeperError;
pub use founding::Founding;
pub use keeper::keep;
pub use options::{MemberOptions, Parse, Place, TlsFiles};
pub use report::{Phase, Report, ask};
pub use spawn::spawn;
