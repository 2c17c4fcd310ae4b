//! A repository on a directory and on a real S3 server: the same stories on both.

mod backups;
mod places;
mod runs;
mod storage;
mod wal;
