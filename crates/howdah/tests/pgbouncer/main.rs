//! `howdah pgbouncer`: PgBouncer's files in front of a real PostgreSQL, seen from outside.

mod doors;
mod hostile;
mod keys;
mod life;
mod logins;
mod operator;
mod pools;
mod refusals;
mod rig;
mod sizes;
mod talk;
mod times;
mod tls;
