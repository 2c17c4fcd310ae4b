//! `howdah query`: one command of SQL through the endpoints, its rows in a form of choice.
//!
//! psql asks; its rows come back with separators that no text holds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use howdah_base::NodeName;
use serde_json::{Value, json};

use super::psql::{self, Choice};
use crate::ask::known_node;
use crate::failure::{Failure, why};
use crate::file::{ClusterFile, FileArg};
use crate::output::{Format, Table};
use crate::prepare::Layout;
use crate::prepare::client;
use crate::talk::out;

/// Run SQL through an endpoint and print its rows
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The SQL
    #[arg(value_name = "SQL", required_unless_present = "from")]
    sql: Option<String>,
    /// Read the SQL from this file
    #[arg(long = "sql-file", value_name = "FILE", conflicts_with = "sql")]
    pub from: Option<PathBuf>,
    /// rw: the primary, ro: a standby, any: any server
    #[arg(long, value_enum, default_value = "rw")]
    pub endpoint: Choice,
    /// This node's own server instead of an endpoint
    #[arg(long, conflicts_with = "endpoint")]
    pub node: Option<NodeName>,
    /// Log in as this role [default: the application's]
    #[arg(long)]
    pub role: Option<String>,
    /// Connect to this database [default: the role's own]
    #[arg(long)]
    pub database: Option<String>,
    #[arg(long, value_enum, default_value = "pretty")]
    pub format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    #[command(flatten)]
    pub file: FileArg,
}

/// Between fields, between rows, and for NULL: control characters that SQL text does not print.
const FIELD: char = '\u{1f}';
const ROW: char = '\u{1e}';
const NULL: &str = "\u{1d}";

pub fn run(args: &Args) -> anyhow::Result<()> {
    let asked = Asked {
        sql: args.sql.as_deref(),
        from: args.from.as_deref(),
        endpoint: args.endpoint,
        node: args.node.as_ref(),
        role: args.role.as_deref(),
        database: args.database.as_deref(),
    };
    let format = if args.json { Format::Json } else { args.format };
    out(ask(&args.file.load_running()?, &asked)?.print(format));
    Ok(())
}

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub sql: Option<&'a str>,
    pub from: Option<&'a Path>,
    pub endpoint: Choice,
    /// This node's own server instead of an endpoint.
    pub node: Option<&'a NodeName>,
    pub role: Option<&'a str>,
    pub database: Option<&'a str>,
}

/// The rows of the answer.
pub fn ask(file: &ClusterFile, asked: &Asked<'_>) -> anyhow::Result<Table> {
    let spec = &file.spec;
    let layout = Layout::new(&spec.base_dir);
    psql::check_readable(&layout)?;
    let role = psql::role(asked.role, spec)?;
    let database = asked.database.unwrap_or_else(|| client::usual_database(spec, &role));
    let url = match asked.node {
        None => client::url(spec, &layout, asked.endpoint.into(), &role, database),
        Some(node) => client::url_of(known_node(spec, node)?.1, &layout, &role, database),
    };
    let mut command = Command::new(psql::program(spec));
    command.arg(url).args(["--no-psqlrc", "--quiet", "--no-align", "--set=ON_ERROR_STOP=1"]);
    command.arg(format!("--field-separator={FIELD}")).arg(format!("--record-separator={ROW}"));
    command.arg("--pset=footer=off").arg(format!("--pset=null={NULL}"));
    match (asked.sql, asked.from) {
        (Some(sql), _) => command.arg("--command").arg(sql),
        (None, Some(path)) => command.arg("--file").arg(path),
        (None, None) => return Err(Failure::bad_input("there is no SQL to run").into()),
    };
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| {
            Failure::failed(format!("cannot run psql, {}", why(&error)))
                .hint("install PostgreSQL's client programs")
        })?;
    if !output.status.success() {
        return Err(Failure::failed("the query failed").into());
    }
    let text = String::from_utf8(output.stdout).context("read what psql printed")?;
    Ok(rows(&text))
}

/// The first row is the heading; a command without rows has none.
fn rows(text: &str) -> Table {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix(ROW).unwrap_or(text);
    let mut lines = text.split(ROW).filter(|_| !text.is_empty()).map(|row| row.split(FIELD));
    let columns = lines.next().map(|head| head.map(str::to_owned).collect()).unwrap_or_default();
    let field = |field: &str| if field == NULL { Value::Null } else { json!(field) };
    let rows = lines.map(|row| row.map(field).collect()).collect();
    Table { title: None, columns, rows, right: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_psql_prints_is_read_field_by_field() {
        let table = rows("a\u{1f}b\u{1e}1\u{1f}x\ny\u{1e}2\u{1f}\u{1d}\n");
        assert_eq!(table.columns, ["a", "b"]);
        assert_eq!(table.rows, [[json!("1"), json!("x\ny")], [json!("2"), Value::Null]]);
        assert!(rows("").columns.is_empty());
        assert_eq!(rows("n\n").columns, ["n"]);
    }
}
