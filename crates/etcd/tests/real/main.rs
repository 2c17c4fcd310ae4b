//! Keepers with real members of etcd, on loopback.

mod damage;
mod membership;
mod restarts;
mod rig;
mod strangers;
