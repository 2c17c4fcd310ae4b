//! `howdah switchover`: moves the primary while its node is alive.

use howdah_api::client::Method;
use howdah_api::preflight;
use howdah_base::NodeName;
use howdah_base::ask::Refusal;
use howdah_base::status::{Check, ClusterStatus, NodeStatus, Verdict};
use serde_json::{Value, json};

use crate::ask::{Asker, block_on, known_node};
use crate::failure::Failure;
use crate::file::{ClusterFile, FileArg};
use crate::order::{self, Form};
use crate::talk::{out, say};

/// Move the primary to a standby; no commit is lost, clients reconnect
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The standby that takes over [default: the best one]
    #[arg(value_name = "NODE")]
    to: Option<NodeName>,
    /// The same by its name
    #[arg(long = "to", value_name = "NODE", conflicts_with = "to", hide = true)]
    named: Option<NodeName>,
    /// Not now but then: RFC 3339, or +10min
    #[arg(long, value_name = "TIME", conflicts_with_all = ["check", "abort"])]
    at: Option<String>,
    /// Only say what it would meet, and who could take over now
    #[arg(long, conflicts_with = "abort")]
    check: bool,
    /// Drop the switchover that is planned, or give up one that has not stopped the primary yet
    #[arg(long, conflicts_with_all = ["to", "named"])]
    abort: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    let to = args.to.as_ref().or(args.named.as_ref());
    if let Some(to) = to {
        known_node(&file.spec, to)?;
    }
    if args.abort {
        return args.form.tell(order::send(&file, Method::DELETE, "/switchover", &Value::Null));
    }
    if args.check {
        return check(&file, to, args.form);
    }
    let who = to.map_or("the best standby", NodeName::as_str);
    let mut body = json!({ "to": to });
    match &args.at {
        Some(at) => {
            body["at"] = json!(order::moment(at)?);
            say(format!("planning to move the primary to {who}"));
        }
        None => say(format!("moving the primary to {who}; this answers when it is done")),
    }
    order::give(&file, "/switchover", &body, args.form)
}

fn check(file: &ClusterFile, to: Option<&NodeName>, form: Form) -> anyhow::Result<()> {
    let status = block_on(Asker::of_file(file).status())?;
    let judged = judged(&status, to);
    let fit: Vec<&NodeName> = judged.iter().flatten().map(|node| &node.node).collect();
    if form.json {
        let (leader, checks, refusal) = (&status.leader, &status.switchover, judged.as_ref().err());
        let error = refusal.map(|refusal| &refusal.error);
        let hint = refusal.and_then(|refusal| refusal.hint.as_ref());
        let possible = json!({ "possible": refusal.is_none(), "error": error, "hint": hint,
                               "leader": leader, "fit": fit, "checks": checks });
        out(possible.to_string());
    } else {
        status.switchover.iter().for_each(|check| out(line(check)));
    }
    match &judged {
        Ok(_) if form.json => Ok(()),
        Ok(_) => {
            let names: Vec<&str> = fit.iter().map(|name| name.as_str()).collect();
            out(format!("yes, it can be done now; can take over: {}", names.join(", ")));
            Ok(())
        }
        Err(refusal) => {
            let failure = Failure::failed(format!("no: {}", refusal.error));
            Err(Failure { hint: refusal.hint.clone(), ..failure }.into())
        }
    }
}

/// `warns     archive: 20 WAL files wait ...`
fn line(check: &Check) -> String {
    let verdict = match check.verdict {
        Verdict::Fine => "fine",
        Verdict::Warns => "warns",
        Verdict::Prevents => "prevents",
    };
    format!("{verdict:<9} {}: {}", check.what, check.said)
}

/// The nodes that could take over, by what a request is judged by.
fn judged<'s>(
    status: &'s ClusterStatus,
    to: Option<&NodeName>,
) -> Result<Vec<&'s NodeStatus>, Refusal> {
    let fit = preflight::can_switch_over(status, to)?;
    match preflight::under_way(status) {
        Some(check) => Err(Refusal::new(&check.said).hint("howdah status")),
        None => Ok(fit),
    }
}
