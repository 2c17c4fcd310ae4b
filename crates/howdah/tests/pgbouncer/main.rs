//! `howdah pgbouncer`: PgBouncer's files in front of a real PostgreSQL, seen from outside.

mod life;
mod logins;
mod operator;
mod pools;
mod refusals;
mod rig;
mod tls;
