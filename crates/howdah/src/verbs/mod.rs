//! One file a verb. A verb reads as a runbook; what several need lies beside this folder.

pub mod adopt;
pub mod apply;
pub mod certs;
pub mod check;
pub mod down;
pub mod explain;
pub mod failover;
pub mod guard;
pub mod history;
pub mod init;
pub mod keep_store;
pub mod join;
pub mod logs;
pub mod prepare;
pub mod psql;
pub mod run;
pub mod status;
pub mod switchover;
pub mod token;
pub mod tune;
pub mod up;
