//! Guards whose node is gone: each still holds a PostgreSQL, until its deadline.

use howdah_spec::ClusterSpec;

use crate::prepare::Account;

/// Stops them, and says whether there were any.
pub fn stop_guards(_spec: &ClusterSpec, _server: &Account) -> anyhow::Result<bool> {
    Ok(false)
}
