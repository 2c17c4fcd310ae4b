//! `howdah audit`: who changed what, and who was turned away, on all nodes.

use howdah_base::NodeName;
use serde_json::Value;

use crate::ask::{Asker, block_on};
use crate::failure::Failure;
use crate::file::FileArg;
use crate::order::Form;
use crate::talk::{out, say};

/// Show who changed what, and who was turned away
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The last so many lines of each node
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
    /// Only this node's log
    node: Option<NodeName>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    let path = format!("/audit?lines={}", args.lines);
    let mut entries = Vec::new();
    let mut heard = false;
    for (node, answer) in block_on(Asker::of_file(&file).each(&path))? {
        if args.node.as_ref().is_some_and(|only| *only != node) {
            continue;
        }
        match answer {
            Ok(answer) if answer.code == 200 => {
                heard = true;
                entries.extend(answer.body.lines().filter_map(|line| read(&node, line)));
            }
            Ok(answer) => say(format!("{node}: {}", answer.body.trim_end())),
            Err(error) => say(format!("{node}: {error}")),
        }
    }
    if !heard {
        return Err(Failure::failed("no node showed its audit log").hint("howdah status").into());
    }
    entries.sort_by(|one, other| text(one, "at").cmp(text(other, "at")));
    for entry in &entries {
        out(if args.form.json { entry.to_string() } else { line(entry) });
    }
    Ok(())
}

fn read(node: &NodeName, line: &str) -> Option<Value> {
    let mut entry: Value = serde_json::from_str(line).ok()?;
    entry["node"] = node.as_str().into();
    Some(entry)
}

/// `2026-05-20T12:34:56.123  n1  POST /restart  asked by anna (token, 127.0.0.1): {...}`
fn line(entry: &Value) -> String {
    let at = text(entry, "at").trim_end_matches("+00:00");
    let (node, method, path) = (text(entry, "node"), text(entry, "method"), text(entry, "path"));
    let head = format!("{at}  {node}  {method} {path}");
    let who = match entry.get("who").and_then(Value::as_str) {
        Some(who) => format!("{who}, {}", text(entry, "address")),
        None => text(entry, "address").to_owned(),
    };
    let by = match entry.get("by").and_then(Value::as_str) {
        Some(by) => format!("{by} ({who})"),
        None => who,
    };
    match text(entry, "event") {
        "asked" => {
            let body = entry.get("body").map(|body| format!(": {body}")).unwrap_or_default();
            format!("{head}  asked by {by}{body}")
        }
        event => {
            let (code, ms) = (&entry["code"], &entry["ms"]);
            let took = if event == "denied" { String::new() } else { format!(" after {ms} ms") };
            format!("{head}  {event} {code}{took}, {by}: {}", text(entry, "message"))
        }
    }
}

fn text<'e>(entry: &'e Value, field: &str) -> &'e str {
    entry.get(field).and_then(Value::as_str).unwrap_or("")
}
