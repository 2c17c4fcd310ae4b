//! `show-config` and `edit-config`: the cluster file in Patroni's words.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use howdah_api::client::Method;
use howdah_api::patroni;
use serde_json::{Map, Value};

use super::confirm;
use crate::ask::{Asker, block_on, read_answer};
use crate::diff::lines;
use crate::draft::Draft;
use crate::failure::Failure;
use crate::file::ClusterFile;
use crate::talk::{out, say};
use crate::yaml::yaml;

/// What is to be changed. Nothing: the configuration is opened in an editor.
#[derive(clap::Args, Debug)]
pub struct Edit {
    /// Do not show changes
    #[arg(short, long)]
    quiet: bool,
    /// Set a value, such as ttl=30 or postgresql.parameters.work_mem=8MB; null removes it
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Set a parameter of PostgreSQL, such as work_mem=8MB
    #[arg(short, long = "pg", value_name = "KEY=VALUE")]
    pg: Vec<String>,
    /// Change what this file of YAML or JSON says; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "replace")]
    apply: Option<PathBuf>,
    /// Replace the configuration by this file of YAML or JSON; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "pg"])]
    replace: Option<PathBuf>,
    /// Do not ask
    #[arg(long, visible_alias = "yes")]
    force: bool,
}

/// Prints the dynamic configuration as YAML.
pub fn show(file: &ClusterFile) -> anyhow::Result<()> {
    out(yaml(&in_force(file)?));
    Ok(())
}

/// Makes the changes, after they were shown and agreed to.
pub fn edit(file: &ClusterFile, edit: &Edit) -> anyhow::Result<()> {
    let before = in_force(file)?;
    let mut after = before.clone();
    let by_hand =
        edit.set.is_empty() && edit.pg.is_empty() && edit.apply.is_none() && edit.replace.is_none();
    let (method, body) = if let Some(path) = &edit.replace {
        after = Value::Object(read(path)?);
        (Method::PUT, after.clone())
    } else if by_hand {
        after = in_editor(file, &before)?;
        // What somebody else changes in the meantime stays, unless it was changed here too.
        (Method::PATCH, difference(&before, &after))
    } else {
        let mut patch = edit.apply.as_deref().map(read).transpose()?.unwrap_or_default();
        set_all(&mut patch, edit)?;
        patroni::merge(&mut after, &patch);
        (Method::PATCH, Value::Object(patch))
    };
    if after == before {
        say("Not changed");
        return Ok(());
    }
    if !edit.quiet {
        say(lines(&yaml(&before), &yaml(&after)));
    }
    let piped = [&edit.apply, &edit.replace].into_iter().flatten().any(|path| is_stdin(path));
    if piped && !edit.force {
        say("Use --force option to apply changes");
        return Ok(());
    }
    confirm("Apply these changes?", edit.force)?;
    let answer = block_on(Asker::of_file(file).send(method, "/config", body.to_string()))?;
    read_answer(&answer)?;
    out("Configuration changed");
    Ok(())
}

/// The configuration as YAML, changed by hand.
fn in_editor(file: &ClusterFile, before: &Value) -> anyhow::Result<Value> {
    let draft = Draft::new(&format!("{}.yaml", file.spec.cluster), &yaml(before))?;
    let text = draft.edited()?;
    let after = object(&draft.path, &text)?;
    draft.remove()?;
    Ok(Value::Object(after))
}

/// The patch that leads from one to the other: what is gone is `null`.
fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return after.clone() };
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let mut patch: Map<String, Value> = gone.map(|name| (name.clone(), Value::Null)).collect();
    for (name, value) in new {
        match old.get(name) {
            Some(there) if there == value => {}
            Some(there) if there.is_object() && value.is_object() => {
                patch.insert(name.clone(), difference(there, value));
            }
            _ => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

fn in_force(file: &ClusterFile) -> anyhow::Result<Value> {
    let answer = block_on(Asker::of_file(file).send(Method::GET, "/config", String::new()))?;
    read_answer(&answer)?;
    serde_json::from_str(&answer.body).context("read the configuration")
}

fn set_all(patch: &mut Map<String, Value>, edit: &Edit) -> anyhow::Result<()> {
    for pair in &edit.set {
        let (key, value) = pair_of(pair)?;
        let path: Vec<&str> = match key.strip_prefix(PARAMETERS) {
            // The name of a parameter may have dots of its own.
            Some(name) => ["postgresql", "parameters"].into_iter().chain([name]).collect(),
            None => key.split('.').collect(),
        };
        set(patch, &path, value);
    }
    for pair in &edit.pg {
        let (key, value) = pair_of(pair)?;
        set(patch, &["postgresql", "parameters", key], value);
    }
    Ok(())
}

const PARAMETERS: &str = "postgresql.parameters.";

fn set(map: &mut Map<String, Value>, path: &[&str], value: Value) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        map.insert((*name).to_owned(), value);
        return;
    }
    let inner = map.entry(*name).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Value::Object(inner) = inner {
        set(inner, rest, value);
    }
}

fn pair_of(pair: &str) -> anyhow::Result<(&str, Value)> {
    match pair.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim(), value_of(value.trim()))),
        _ => Err(Failure::bad_input(format!("not a setting: `{pair}`"))
            .hint("write KEY=VALUE, such as ttl=30")
            .into()),
    }
}

/// A value as YAML would read it; one that it cannot read is a text.
fn value_of(text: &str) -> Value {
    crate::yaml::read(text).unwrap_or_else(|_| Value::from(text))
}

fn read(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let mut text = String::new();
    if is_stdin(path) {
        std::io::stdin().read_to_string(&mut text).context("read standard input")?;
    } else {
        text = crate::file::read(path)?;
    }
    object(path, &text)
}

fn object(path: &Path, text: &str) -> anyhow::Result<Map<String, Value>> {
    let bad = |why: &str| {
        Failure::bad_input(format!("cannot read the settings, {why}: `{}`", path.display()))
            .hint("write them as `howdah show-config` does")
    };
    match crate::yaml::read(text).map_err(|error| bad(&error.to_string()))? {
        Value::Object(map) => Ok(map),
        _ => Err(bad("they are no mapping").into()),
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(set: &[&str], pg: &[&str]) -> Value {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let edit = Edit {
            quiet: false,
            set: owned(set),
            pg: owned(pg),
            apply: None,
            replace: None,
            force: false,
        };
        let mut patch = Map::new();
        set_all(&mut patch, &edit).expect("settings");
        Value::Object(patch)
    }

    #[test]
    fn settings_are_paths_and_yamls_scalars() {
        assert_eq!(
            patch(
                &["ttl=30", "pause=on", "synchronous_mode = quorum", "loop_wait=null"],
                &["work_mem=8MB", "pg_stat_statements.max=100"],
            ),
            json!({
                "ttl": 30, "pause": true, "synchronous_mode": "quorum", "loop_wait": null,
                "postgresql": { "parameters": { "work_mem": "8MB", "pg_stat_statements.max": 100 } },
            })
        );
        assert_eq!(
            patch(&["postgresql.parameters.a.b=1", "postgresql.use_slots=true"], &[]),
            json!({ "postgresql": { "parameters": { "a.b": 1 }, "use_slots": true } })
        );
        assert!(pair_of("ttl").is_err() && pair_of("=5").is_err());
    }

    #[test]
    fn what_was_changed_by_hand_is_a_patch() {
        let before = json!({
            "ttl": 6, "loop_wait": 1,
            "postgresql": { "parameters": { "a": 1, "b": 2 }, "use_slots": true },
        });
        let after = json!({
            "ttl": 9, "pause": true,
            "postgresql": { "parameters": { "a": 1, "c": 3 }, "use_slots": true },
        });
        let patch = difference(&before, &after);
        let wanted = json!({
            "ttl": 9, "loop_wait": null, "pause": true,
            "postgresql": { "parameters": { "b": null, "c": 3 } },
        });
        assert_eq!(patch, wanted);
        assert_eq!(difference(&before, &before), json!({}));
    }
}
