//! `howdah status`: the cluster as any node that answers sees it.

use std::time::Duration;

use anyhow::Context;
use howdah_api::render;
use howdah_base::status::ClusterStatus;
use tokio::time::sleep;

use crate::ask::{Asker, block_on};
use crate::file::FileArg;
use crate::moment;
use crate::talk::out;

/// Show the cluster: who is primary, who lags, what is wrong
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Show it anew each second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// As JSON; with --watch, one line a second
    #[arg(long)]
    json: bool,
}

const REDRAW: Duration = Duration::from_secs(1);
/// ANSI: cursor to the top left corner, then everything below it erased. In this order the
/// screen does not flicker.
const HOME: &str = "\x1b[H";
const ERASE_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    let asker = Asker::of_file(&file);
    moment::hold::tell(&file.spec);
    if args.watch {
        return block_on(watch(&asker, args.json));
    }
    let status = block_on(asker.status())?;
    if args.json {
        out(serde_json::to_string_pretty(&status).context("write the status as JSON")?);
    } else {
        out(render::screen(&status));
        if let Some(kept) = moment::kept(&file.spec) {
            out(kept);
        }
    }
    Ok(())
}

/// A cluster that does not answer for a while is what a watcher wants to see through.
pub async fn watch(asker: &Asker, json: bool) -> anyhow::Result<()> {
    loop {
        let status = asker.status().await;
        if json {
            if let Ok(status) = &status {
                out(serde_json::to_string(status).context("write the status as JSON")?);
            }
        } else {
            out(frame(&status));
        }
        sleep(REDRAW).await;
    }
}

fn frame(status: &anyhow::Result<ClusterStatus>) -> String {
    let text = match status {
        Ok(status) => render::screen(status),
        Err(error) => format!("{error:#}\n"),
    };
    let lines: String = text.lines().map(|line| format!("{line}{ERASE_LINE}\n")).collect();
    format!("{HOME}{lines}{ERASE_BELOW}")
}
