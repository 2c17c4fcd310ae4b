//! What others configure PostgreSQL with, read into a cluster file: `patroni.yml` and others to
//! `howdah.toml`. Pure: whoever calls has read the files.

pub mod patroni;
pub mod yaml;
