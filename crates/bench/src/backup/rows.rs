//! The rows of the table: what is done in a round, in turns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::tools::{Tool, size_of};
use super::{Ground, Spent};

/// What is compared, and what is to be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Row {
    Full,
    Spread,
    Random,
    Restore,
    Delta,
    PushHeld,
    Get,
}

impl Row {
    pub const ALL: [Row; 7] =
        [Row::Full, Row::Spread, Row::Random, Row::Restore, Row::Delta, Row::PushHeld, Row::Get];

    pub fn name(self) -> &'static str {
        match self {
            Row::Full => "full",
            Row::Spread => "incremental, a row on each 100th page",
            Row::Random => "incremental, 1 % of the rows at random",
            Row::Restore => "restore",
            Row::Delta => "delta restore over the state before",
            Row::PushHeld => "push a segment that streaming has",
            Row::Get => "get a segment",
        }
    }

    /// In the words of the aim.
    pub fn aim(self) -> &'static str {
        match self {
            Row::Full => "half the processor, bytes within 4 %",
            Row::Spread => "a fifth of the wall, half the bytes",
            Row::Restore => "0.7 of the wall",
            Row::PushHeld => "a quarter of the wall",
            Row::Get => "no slower",
            Row::Random | Row::Delta => "",
        }
    }
}

/// One tool's figures, in the order of rounds.
#[derive(Debug, Default)]
pub struct Figures(pub std::collections::BTreeMap<Row, Vec<Spent>>);

/// Segments a round; a row has their mean.
const SEGMENTS: usize = 8;

/// One round of all rows. Who begins is told by the number of the round.
pub fn round(ground: &Ground, tools: &mut [(&dyn Tool, Figures)], number: usize) -> Result<()> {
    let begins = number % tools.len();
    tools.rotate_left(begins);
    let folder = |tool: &dyn Tool| ground.cluster.scratch().join(format!("back-{}", tool.name()));
    each(ground, tools, Row::Full, |tool| tool.run(tool.full()))?;
    for (tool, _) in tools.iter() {
        empty(&folder(*tool))?;
    }
    each(ground, tools, Row::Restore, |tool| tool.run(tool.restore(&folder(tool))))?;
    ground.update_spread()?;
    each(ground, tools, Row::Spread, |tool| tool.run(tool.incremental()))?;
    each(ground, tools, Row::Delta, |tool| tool.run(tool.delta(&folder(tool))))?;
    ground.update_random()?;
    each(ground, tools, Row::Random, |tool| tool.run(tool.incremental()))?;
    let segments = ground.segments(SEGMENTS)?;
    each(ground, tools, Row::PushHeld, |tool| mean(tool, &segments, |path| tool.push(path)))?;
    let got = ground.cluster.scratch().join("got");
    empty(&got)?;
    let into = got.join("segment");
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    each(ground, tools, Row::Get, |tool| {
        mean(tool, &segments, |path| tool.get(&name(path), &into))
    })?;
    tools.rotate_right(begins);
    Ok(())
}

/// Of each tool, once the agent has nothing to do but for this row.
fn each(
    ground: &Ground,
    tools: &mut [(&dyn Tool, Figures)],
    row: Row,
    what: impl Fn(&dyn Tool) -> Result<Spent>,
) -> Result<()> {
    for (tool, figures) in tools {
        ground.calm()?;
        let spent = what(*tool).with_context(|| format!("{}: {}", tool.name(), row.name()))?;
        figures.0.entry(row).or_default().push(spent);
    }
    Ok(())
}

fn mean(
    tool: &dyn Tool,
    segments: &[PathBuf],
    command: impl Fn(&Path) -> Command,
) -> Result<Spent> {
    let before = size_of(&tool.repository());
    let mut all = Spent::default();
    for segment in segments {
        let spent = super::spent::run(&mut command(segment))?;
        all.wall += spent.wall;
        all.processor += spent.processor;
        all.memory = all.memory.max(spent.memory);
    }
    let count = u32::try_from(segments.len()).unwrap_or(u32::MAX);
    all.wall /= count;
    all.processor /= count;
    all.bytes = size_of(&tool.repository()).saturating_sub(before) / u64::from(count);
    Ok(all)
}

/// An empty folder of the server's user.
fn empty(folder: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir(folder).with_context(|| format!("make `{}`", folder.display()))?;
    let chowned = Command::new("chown").arg("postgres:postgres").arg(folder).status()?;
    anyhow::ensure!(chowned.success(), "chown `{}`", folder.display());
    Ok(())
}
