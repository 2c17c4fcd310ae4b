//! `howdah flush`: what is planned is dropped; patronictl's name for it.

use clap::ValueEnum;
use howdah_api::client::Method;
use howdah_base::NodeName;
use serde_json::Value;

use super::restart::cancel;
use crate::ask::{Asker, block_on};
use crate::failure::Failure;
use crate::file::FileArg;
use crate::order::{self, Form};

/// Drop what is planned: restarts, or a switchover
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(value_enum)]
    what: What,
    /// Only the restarts of these nodes
    #[arg(value_name = "NODE")]
    nodes: Vec<NodeName>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Restart,
    Switchover,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    order::check_nodes(&file.spec, &args.nodes)?;
    if args.what == What::Restart {
        return args.form.tell(cancel(&file, &args.nodes));
    }
    // What is under way is not dropped by this: `howdah switchover --abort` is.
    let status = block_on(Asker::of_file(&file).status())?;
    if status.planned.is_none() {
        let none = Failure::failed("no switchover is planned").hint("howdah status");
        return args.form.tell(Err(none.into()));
    }
    args.form.tell(order::send(&file, Method::DELETE, "/switchover", &Value::Null))
}
