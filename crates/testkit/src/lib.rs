//! Real servers and real clusters for tests.
//!
//! [`Cluster`] starts three real nodes of our binary, [`EtcdCluster`] members of a real etcd;
//! [`Writer`] is a client that remembers what it was told; [`wait::until`] is the only way to
//! wait; [`process`] finds and kills by id. What a test starts ends with it, also when it panics
//! or is killed.

pub mod bad_s3;
pub mod cluster;
pub mod disk;
pub mod etcd;
pub mod file;
pub mod http;
pub mod journal;
mod load;
pub mod logs;
pub mod machines;
pub mod majors;
pub mod newcomers;
pub mod node;
pub mod pg_node;
pub mod ports;
pub mod process;
pub mod s3;
pub mod scratch;
pub mod setup;
mod shared_memory;
pub mod store;
mod time_of_day;
pub mod wait;
pub mod writer;

pub use cluster::Cluster;
pub use disk::Disk;
pub use etcd::{EtcdCluster, EtcdSetup};
pub use journal::Journal;
pub use load::Load;
pub use machines::{Machine, Machines};
pub use newcomers::Newcomers;
pub use node::Node;
pub use pg_node::PgNode;
pub use ports::PortLease;
pub use s3::S3Server;
pub use scratch::Scratch;
pub use setup::Setup;
pub use store::Store;
pub use writer::{Plan, Writer};
