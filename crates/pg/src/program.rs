//! PostgreSQL's own programs, run to their end.

use std::process::Stdio;

use tokio::process::Command;

use crate::PgError;
use crate::install::Install;

/// Runs `program`; it dies with its caller. Gives what it printed on both streams.
pub(crate) async fn run(
    install: &Install,
    program: &'static str,
    arguments: &[&str],
) -> Result<String, PgError> {
    let output = Command::new(install.program(program))
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(PgError::io("run", &install.program(program)))?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        return Ok(said);
    }
    let last: Vec<&str> = said.lines().rev().filter(|l| !l.trim().is_empty()).take(3).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(PgError::Program { program, said: last.join("; ") })
}
