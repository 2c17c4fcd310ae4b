//! The endpoints against real servers: two nodes' proxies in this process, topologies by hand.

mod admission;
mod away;
mod begun;
mod closing;
mod commits;
mod console;
mod conversations;
mod drivers;
mod hand;
mod isolation;
mod limits;
mod peers;
mod pg;
mod pgbouncer;
mod pooled;
mod pressure;
mod protocol;
mod raw;
mod rig;
mod routing;
mod settings;
mod statements;
mod threads;
mod tls;
mod tokio_app;
mod wal;
