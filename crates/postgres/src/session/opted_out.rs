//! Roles and databases whose sessions begin with a `synchronous_commit` below `on`.

use howdah_base::commits::OptedOut;

use super::Session;
use crate::PgError;

/// `on` has five spellings in PostgreSQL (`config_enum` options of `synchronous_commit`), and
/// `remote_apply` asks for more. A number of rows that nobody reads would only fill the status.
const SQL: &str = "
select coalesce(json_agg(t), '[]')::text from (
  select r.rolname as role, d.datname as database, substr(setting, strpos(setting, '=') + 1) as value
  from pg_db_role_setting s
  cross join lateral unnest(s.setconfig) as setting
  left join pg_roles r on r.oid = s.setrole
  left join pg_database d on d.oid = s.setdatabase
  where lower(split_part(setting, '=', 1)) = 'synchronous_commit'
    and lower(substr(setting, strpos(setting, '=') + 1))
      not in ('on', 'true', 'yes', '1', 'remote_apply')
  order by 1 nulls first, 2 nulls first limit 50) t";

impl Session {
    /// What `pg_db_role_setting` says now, 50 rows at most. The session gives up a statement after
    /// three seconds from then on.
    pub async fn opted_out(&self) -> Result<Vec<OptedOut>, PgError> {
        self.run("set statement_timeout = '3s'").await?;
        let text = self.text(SQL).await?;
        serde_json::from_str(&text).map_err(|error| PgError::Unexpected(error.to_string()))
    }
}
