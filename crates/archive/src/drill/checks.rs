//! What a copy that answers is asked: the canary, whether its indexes and tables are whole, and the
//! user's own questions.

use std::time::Duration;

use howdah_postgres::alone::{self, Said};
use howdah_postgres::session::Session;

use super::config::PORT;
use super::copy::Copy;
use super::place::Place;
use super::{CANARY, Check, Options};

/// A question of the cluster file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserCheck {
    pub name: String,
    pub database: String,
    pub sql: String,
    /// `None`: the answer has to be true.
    pub expect: Option<String>,
}

const AMCHECK: &str = "amcheck";
const SUMS: &str = "page checksums";

/// One after the other, so that a check finds the machine as free as the one before.
pub async fn all(
    options: &Options,
    copy: &Copy,
    place: &Place,
    token: Option<&str>,
    checks: &mut Vec<Check>,
) {
    if let Some(token) = token {
        checks.push(canary(copy, token).await);
    }
    for check in &options.checks {
        checks.push(users(copy, check, options.within).await);
    }
    checks.push(amcheck(options, copy, place).await);
}

async fn session(copy: &Copy, database: &str) -> Result<Session, String> {
    let connected = Session::connect(&copy.socket_dir, PORT, database).await;
    connected.map_err(|error| error.to_string())
}

async fn canary(copy: &Copy, token: &str) -> Check {
    let seen = match session(copy, "postgres").await {
        Ok(session) => session.has_canary(token).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match seen {
        Ok(true) => Check::passed(CANARY, "the row that was committed for this drill is there"),
        Ok(false) => Check::failed(
            CANARY,
            "the row that was committed for this drill is missing, although all WAL was replayed",
        ),
        Err(error) => Check::failed(CANARY, error),
    }
}

async fn users(copy: &Copy, check: &UserCheck, within: Duration) -> Check {
    let answer = match session(copy, &check.database).await {
        Ok(session) => session.first(&check.sql, within).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => judge(check, answer.as_deref()),
        Err(error) => Check::failed(&check.name, error),
    }
}

/// Whether it is the answer that was wanted.
fn judge(check: &UserCheck, answer: Option<&str>) -> Check {
    let said = answer.map_or("nothing".to_owned(), |answer| format!("`{answer}`"));
    match &check.expect {
        Some(wanted) if answer == Some(wanted) => Check::passed(&check.name, said),
        Some(wanted) => Check::failed(&check.name, format!("it answered {said}, not `{wanted}`")),
        None if matches!(answer, Some("t" | "true")) => Check::passed(&check.name, said),
        None => Check::failed(&check.name, format!("it answered {said}, which is not true")),
    }
}

async fn amcheck(options: &Options, copy: &Copy, place: &Place) -> Check {
    let available = "select count(*)::text from pg_catalog.pg_available_extensions \
                     where name = 'amcheck'";
    let asked = match session(copy, "postgres").await {
        Ok(session) => {
            session.first(available, options.within).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error),
    };
    match asked {
        Ok(Some(count)) if count != "0" => {}
        Ok(_) => {
            let why = "the installation has no extension amcheck; it is in PostgreSQL's contrib";
            return Check::not_checked(AMCHECK, why);
        }
        Err(error) => return Check::failed(AMCHECK, error),
    }
    match alone::amcheck(&copy.install, &place.socket_dir(), PORT, options.jobs).await {
        Ok(Said::Sound) => Check::passed(AMCHECK, "tables and indexes of all databases"),
        Ok(Said::Amiss(said)) => Check::failed(AMCHECK, said),
        Ok(Said::NoProgram) => by_sql(options, copy).await,
        Err(error) => Check::failed(AMCHECK, error.to_string()),
    }
}

/// Without the program: every B-tree of every database.
async fn by_sql(options: &Options, copy: &Copy) -> Check {
    let databases = "select datname from pg_catalog.pg_database where datallowconn order by 1";
    let looked = async {
        let postgres = session(copy, "postgres").await?;
        let named = postgres.column(databases, options.within).await;
        let names = named.map_err(|error| error.to_string())?;
        for name in &names {
            indexes(copy, name, options.within).await.map_err(|why| format!("{name}: {why}"))?;
        }
        Ok::<usize, String>(names.len())
    };
    match looked.await {
        Ok(count) => Check::passed(AMCHECK, format!("B-trees of {count} databases")),
        Err(error) => Check::failed(AMCHECK, error),
    }
}

async fn indexes(copy: &Copy, database: &str, within: Duration) -> Result<(), String> {
    let make = "set client_min_messages = warning; create extension if not exists amcheck";
    let check = "select count(bt_index_check(c.oid)) from pg_catalog.pg_class c \
        join pg_catalog.pg_am a on a.oid = c.relam join pg_catalog.pg_index i on i.indexrelid = c.oid \
        where a.amname = 'btree' and c.relkind = 'i' and c.relpersistence <> 't' and i.indisvalid \
        and i.indisready";
    let session = session(copy, database).await?;
    session.first(make, within).await.map_err(|error| error.to_string())?;
    session.first(check, within).await.map_err(|error| error.to_string())?;
    Ok(())
}

/// Of a copy that was shut down.
pub async fn page_checksums(copy: &Copy) -> Check {
    if !copy.control.checksums {
        return Check::not_checked(SUMS, "the cluster has none (initdb --data-checksums)");
    }
    match alone::checksums(&copy.install, &copy.data_dir).await {
        Ok(Said::Sound) => Check::passed(SUMS, "every page of every file"),
        Ok(Said::Amiss(said)) => Check::failed(SUMS, said),
        Ok(Said::NoProgram) => Check::not_checked(SUMS, "the installation has no pg_checksums"),
        Err(error) => Check::failed(SUMS, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::Outcome;

    #[test]
    fn an_answer_is_what_was_expected_or_else_true() {
        let judged = |expect: Option<&str>, answer| {
            let check = UserCheck {
                name: "orders".to_owned(),
                database: "app".to_owned(),
                sql: String::new(),
                expect: expect.map(str::to_owned),
            };
            let check = judge(&check, answer);
            (check.outcome == Outcome::Passed, check.said)
        };
        assert!(judged(None, Some("t")).0 && judged(None, Some("true")).0);
        assert!(judged(Some("12"), Some("12")).0);
        assert_eq!(
            judged(Some("12"), Some("13")),
            (false, "it answered `13`, not `12`".to_owned())
        );
        let untrue = "it answered `f`, which is not true".to_owned();
        assert_eq!(judged(None, Some("f")), (false, untrue));
        assert_eq!(judged(None, None).1, "it answered nothing, which is not true");
        assert!(!judged(Some("t"), None).0);
    }
}
