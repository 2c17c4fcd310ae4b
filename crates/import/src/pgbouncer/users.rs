//! `[users]`: what holds for one role.
//!
//! Source: PgBouncer's manual, pgbouncer.ini(5), "Section [users]".

use super::databases::pairs;
use super::settings::Own;
use super::values::{limit, mode, number};

/// Its values, and what is said of those that are not followed.
pub(super) fn user(text: &str) -> Result<(Own, Vec<String>), String> {
    let (mut own, mut notes) = (Own::default(), Vec::new());
    for (name, value) in pairs(text)? {
        let set = match name.as_str() {
            "pool_mode" => mode(&value).map(|mode| own.mode = Some(mode)),
            "pool_size" => number(&value).map(|count| own.size = Some(count)),
            "reserve_pool_size" => number(&value).map(|count| own.reserve = Some(count)),
            "max_user_connections" => limit(&value).map(|count| own.servers_max = count),
            "max_user_client_connections" => limit(&value).map(|count| own.clients_max = count),
            "query_timeout"
            | "transaction_timeout"
            | "idle_transaction_timeout"
            | "client_idle_timeout" => {
                notes.push(format!("`{name}`: not of one role yet; set it in `[pgbouncer]`"));
                Ok(())
            }
            _ => Err("not a key of a user".to_owned()),
        };
        set.map_err(|why| format!("{why}: `{name}={value}`"))?;
    }
    Ok((own, notes))
}
