//! `howdah dsn`: how to connect.

use howdah_base::NodeName;
use serde_json::json;

use super::psql::Choice;
use crate::ask::known_node;
use crate::failure::Failure;
use crate::file::FileArg;
use crate::order::Form;
use crate::prepare::Layout;
use crate::prepare::client;
use crate::talk::say;

/// Print a connection URL: of an endpoint, or of one node's server
#[derive(clap::Args, Debug)]
pub struct Args {
    /// This node's own server instead of an endpoint
    node: Option<NodeName>,
    /// rw: the primary, ro: a standby, any: any server
    #[arg(long, value_enum, default_value = "rw", conflicts_with = "node")]
    endpoint: Choice,
    /// Log in as this role [default: the application's]
    #[arg(long)]
    role: Option<String>,
    /// Connect to this database [default: the role's own]
    #[arg(long)]
    database: Option<String>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    let spec = &file.spec;
    let layout = Layout::new(&spec.base_dir);
    let role = args.role.as_deref().or_else(|| client::usual_role(spec));
    let role = role.ok_or_else(|| {
        Failure::bad_input("the cluster file has no role that can log in")
            .hint("name one with --role, or add `[roles.app]` to the file")
    })?;
    let database = args.database.as_deref();
    let database = database.unwrap_or_else(|| client::usual_database(spec, role));
    let url = match &args.node {
        None => client::url(spec, &layout, args.endpoint.into(), role, database),
        Some(node) => client::url_of(known_node(spec, node)?.1, &layout, role, database),
    };
    args.form.print(&url, &json!({ "dsn": url }))?;
    if let Some(remedy) = client::remedy(&layout) {
        say(remedy);
    }
    Ok(())
}
