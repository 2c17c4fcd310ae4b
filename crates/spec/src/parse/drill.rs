//! `[backup.drill]` and `[[backup.drill.checks]]`.

use std::path::Path;
use std::time::Duration;

use howdah_base::Span;

use super::reader::{Table, Value};
use super::{Paths, keys};
use crate::backup::{DrillCheck, DrillSpec};

const WITHIN: Span = Span(Duration::from_secs(6 * 3600));
const WITHIN_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Of the table `[backup]`.
pub(super) fn read(backup: &Table<'_>, paths: &Paths<'_>, base_dir: &Path) -> DrillSpec {
    let table = backup.table("drill", &keys::BACKUP_DRILL);
    let within = table.span("within").unwrap_or(WITHIN);
    if let Some(value) = table.get("within")
        && (within.0.is_zero() || within.0 > WITHIN_MAX)
    {
        value.wrong(format!("not a bound: `{within}`"), "write a time from `\"1s\"` to `\"7d\"`");
    }
    let preload = table.texts("preload");
    let plain = |name: &String| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '$');
        !name.is_empty() && name.chars().all(known)
    };
    if let (false, Some(value)) = (preload.iter().all(plain), table.get("preload")) {
        let hint = "write names as shared_preload_libraries has them, each in quotes";
        value.wrong("not libraries: `backup.drill.preload`".to_owned(), hint);
    }
    let checks = table.get("checks").map(Value::list).unwrap_or_default();
    let mut found: Vec<DrillCheck> = Vec::new();
    for value in &checks {
        let Some(check) = read_check(value) else { continue };
        if found.iter().any(|known| known.name == check.name) {
            let hint = "give each a name of its own: reports call it so";
            value.wrong(format!("two checks are called `{}`", check.name), hint);
        }
        found.push(check);
    }
    DrillSpec {
        scratch: paths.read(&table, "scratch").unwrap_or_else(|| base_dir.join("drill")),
        within,
        preload,
        checks: found,
    }
}

fn read_check(value: &Value<'_>) -> Option<DrillCheck> {
    let table = value.table(&keys::DRILL_CHECK)?;
    let (name, sql) = (table.text("name"), table.text("sql"));
    for key in ["name", "sql"] {
        if table.get(key).is_none() {
            let hint = "a check has `name`, `sql`, and often `database` and `expect`";
            value.wrong(format!("a check of drills has no `{key}`"), hint);
        }
    }
    Some(DrillCheck {
        name: name?,
        database: table.text("database").unwrap_or_else(|| "postgres".to_owned()),
        sql: sql?,
        expect: table.text("expect"),
    })
}
