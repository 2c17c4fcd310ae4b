//! `howdah init`: a cluster file to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use howdah_base::ClusterName;

use crate::failure::Failure;
use crate::file;
use crate::talk::{out, say};

/// Write a cluster file to start from
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A cluster to try things on: `demo`, three nodes on this machine
    #[arg(long)]
    demo: bool,
    /// The cluster's name [default: main, or demo with --demo]
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterName>,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    nodes: u32,
    /// Where to write it; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "howdah.toml")]
    output: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let usual = if args.demo { "demo" } else { "main" };
    let cluster = args.cluster.clone().map_or_else(|| usual.parse().context("name it"), Ok)?;
    let repository = file::default_base().join(cluster.as_str()).join("backups");
    let text = howdah_spec::init_text(&cluster, args.nodes, &repository);
    if args.output.as_os_str() == "-" {
        out(text);
        return Ok(());
    }
    write_new(&args.output, &text)?;
    let path = args.output.display();
    let plural = if args.nodes == 1 { "node" } else { "nodes" };
    say(format!("wrote cluster {cluster}, {} {plural}: `{path}`", args.nodes));
    let named =
        if path.to_string() == "howdah.toml" { String::new() } else { format!(" -f {path}") };
    say(format!("hint: howdah check{named}, then howdah up{named}"));
    Ok(())
}

/// Never over a file that is there: it may be the only description of a cluster.
pub fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
        return Err(Failure::bad_input(format!("the file exists already: `{}`", path.display()))
            .hint("howdah up, to start what it describes; --output, to write another")
            .into());
    }
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("write file: `{}`", path.display()))
}
