//! `/config`: Patroni's dynamic configuration is a view of the cluster file.
//!
//! Each setting that Howdah has is shown in Patroni's words and changes the file. The others are
//! refused with what Howdah does instead, unless they ask for just that; none is dropped.

mod edit;
mod keys;

use howdah_base::ask::{Ask, Refusal, RefusalClass};
use howdah_spec::{ClusterSpec, Context, Durability};
use serde_json::{Map, Value, json};

use crate::FileInForce;
use edit::Editor;
use keys::{KEYS, Key, Meaning, POSTGRESQL};

/// What a request to change the configuration comes to.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// In this order; none when everything is so already.
    pub asks: Vec<Ask>,
    /// The dynamic configuration that will be in force.
    pub shown: Value,
}

/// The dynamic configuration as `GET /config` shows it.
pub fn dynamic(spec: &ClusterSpec, paused: bool) -> Value {
    let (lease, renew) = (spec.ha.lease.0, spec.ha.renew.0);
    let quorum = spec.durability == Durability::Quorum;
    let parameters: Map<String, Value> = spec
        .postgresql
        .parameters
        .iter()
        .map(|(name, text)| (name.clone(), parameter(text)))
        .collect();
    let hba: Vec<&String> = spec.hba.iter().map(|rule| &rule.line).collect();
    let mut shown = json!({
        "ttl": keys::seconds(lease),
        "loop_wait": keys::seconds(renew),
        // Patroni's own rule: loop_wait + 2 * retry_timeout <= ttl.
        "retry_timeout": lease.saturating_sub(renew).as_secs() / 2,
        "maximum_lag_on_failover": spec.ha.max_lag_on_failover.0,
        "primary_start_timeout": keys::seconds(spec.ha.start_timeout.0),
        "synchronous_mode": if quorum { json!("quorum") } else { json!(false) },
        "synchronous_mode_strict": spec.strict,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": true,
            "parameters": parameters,
            "pg_hba": hba,
        },
    });
    if paused {
        shown["pause"] = Value::Bool(true);
    }
    shown
}

/// `PATCH`: what the request names is changed, and what it says `null` to goes back to its
/// default. Source: `patroni/utils.py::patch_config`.
pub fn patch(
    file: &FileInForce,
    paused: bool,
    request: &Map<String, Value>,
) -> Result<Change, Refusal> {
    let now = object(dynamic(&file.spec, paused));
    let mut wanted = now.clone();
    merge(&mut wanted, request);
    change(file, paused, &now, &wanted)
}

/// `PUT`: the request is the whole configuration; what it leaves out has its default.
pub fn replace(
    file: &FileInForce,
    paused: bool,
    request: &Map<String, Value>,
) -> Result<Change, Refusal> {
    let now = object(dynamic(&file.spec, paused));
    change(file, paused, &now, request)
}

fn change(
    file: &FileInForce,
    paused: bool,
    now: &Map<String, Value>,
    wanted: &Map<String, Value>,
) -> Result<Change, Refusal> {
    let mut draft = Draft { editor: Editor::of(&file.text)?, pause: paused, later: Vec::new() };
    let is_section = |name: &String| name == SECTION;
    let top = |of: &Map<String, Value>| -> Map<String, Value> {
        let own = of.iter().filter(|(name, _)| !is_section(name));
        own.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    draft.set_all(KEYS, "", &top(now), &top(wanted))?;
    draft.set_all(POSTGRESQL, "postgresql.", &section(now)?, &section(wanted)?)?;
    draft.finish(file, paused)
}

const SECTION: &str = "postgresql";

fn section(of: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    match of.get(SECTION) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(settings)) => Ok(settings.clone()),
        Some(_) => Err(keys::malformed(SECTION, "a table of settings")),
    }
}

/// What a request has come to so far.
struct Draft<'r> {
    editor: Editor,
    pause: bool,
    /// Wishes that the rest must turn out to fulfil: name, value, what Howdah does instead.
    later: Vec<(&'r str, Value, &'r str)>,
}

impl Draft<'_> {
    fn set_all(
        &mut self,
        table: &'static [Key],
        prefix: &str,
        now: &Map<String, Value>,
        wanted: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        if let Some(name) = wanted.keys().find(|name| table.iter().all(|key| key.name != *name)) {
            return Err(unheard_of(&format!("{prefix}{name}")));
        }
        for key in table {
            let value = wanted.get(key.name).unwrap_or(&Value::Null);
            if value != now.get(key.name).unwrap_or(&Value::Null) {
                self.set(key, value)?;
            }
        }
        Ok(())
    }

    /// One setting; `null` is its default.
    fn set(&mut self, key: &'static Key, value: &Value) -> Result<(), Refusal> {
        match key.meaning {
            Meaning::Pause => self.pause = keys::truth(key.name, value)?,
            Meaning::File { path, .. } if value.is_null() => self.editor.remove(path)?,
            Meaning::File { path, read } => self.editor.set(path, read(key.name, value)?)?,
            Meaning::Parameters => {
                self.editor.set_all(&["postgresql", "parameters"], &keys::parameters(value)?)?;
            }
            // Left out of a PUT, or taken back by a PATCH: no wish at all.
            Meaning::Always { .. } if value.is_null() => {}
            Meaning::Always { only, .. } if *value == only() => {}
            Meaning::Always { instead, .. } => {
                self.later.push((key.name, value.clone(), instead));
            }
        }
        Ok(())
    }

    fn finish(self, file: &FileInForce, paused: bool) -> Result<Change, Refusal> {
        let text = self.editor.text();
        let (spec, mut asks) = if text == file.text {
            (file.spec.as_ref().clone(), Vec::new())
        } else {
            (read(&text)?, vec![Ask::Apply { text, revision: Some(file.revision) }])
        };
        let shown = dynamic(&spec, self.pause);
        for (name, value, instead) in self.later {
            if shown.get(name) != Some(&value) {
                return Err(Refusal::new(format!("`{name}` cannot be `{value}` here: {instead}")));
            }
        }
        match (paused, self.pause) {
            (false, true) => asks.push(Ask::Pause),
            (true, false) => asks.push(Ask::Resume),
            _ => {}
        }
        Ok(Change { asks, shown })
    }
}

/// The file in force names all of its paths: where it lies makes no difference here.
fn read(text: &str) -> Result<ClusterSpec, Refusal> {
    let context = Context { default_base: "/".into(), relative_to: "/".into() };
    howdah_spec::parse("cluster file", text, &context).map_err(|mistakes| {
        Refusal::new(format!("the cluster file would not be valid\n{mistakes}"))
            .class(RefusalClass::Malformed)
    })
}

fn unheard_of(name: &str) -> Refusal {
    Refusal::new(format!("no setting has this name here: `{name}`"))
        .hint("docs/patroni.md lists the settings, `howdah config edit` edits the cluster file")
        .class(RefusalClass::Malformed)
}

/// What a `PATCH` makes of a configuration, before anybody has judged it.
pub fn merge_into(onto: &mut Value, request: &Map<String, Value>) {
    if let Value::Object(onto) = onto {
        merge(onto, request);
    }
}

fn merge(onto: &mut Map<String, Value>, request: &Map<String, Value>) {
    for (name, value) in request {
        match (onto.get_mut(name), value) {
            (_, Value::Null) => {
                onto.remove(name);
            }
            (Some(Value::Object(onto)), Value::Object(request)) => merge(onto, request),
            _ => {
                onto.insert(name.clone(), value.clone());
            }
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// As a number where it is one.
fn parameter(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| json!(text), Value::from)
}

#[cfg(test)]
mod tests;
