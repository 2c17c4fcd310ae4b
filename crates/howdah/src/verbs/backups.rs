//! `howdah backups`: what the repository has of this cluster, and whether it can be relied on.

use howdah_api::when;
use howdah_archive::proof::green::{Head, KeyIs, why_not};
use howdah_archive::proof::{Drilled, Known, Verified};
use howdah_archive::schedule::Run;
use howdah_archive::schedule::book::Book;
use howdah_repo::manifest::Statistics;
use serde_json::{Value, json};
use tokio::runtime::Builder;

use crate::archive::green::{self, OfBackup};
use crate::archive::{door, words};
use crate::file::FileArg;
use crate::output::{Format, Table, data};
use crate::talk::{out, say};
use howdah_api::render::size;

/// List the backups of this cluster, and whether the newest is green
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How they are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Of this lineage [default: this cluster's]
    #[arg(long)]
    lineage: Option<String>,
    /// What the schedule did instead, the newest last
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    file: FileArg,
}

const COLUMNS: [&str; 12] = [
    "Backup", "Complete", "Size", "Stored", "Ratio", "Timeline", "WAL from", "WAL to", "Base",
    "Verified", "Drilled", "Green",
];

pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::talk::warnings();
    let file = args.file.load_for_backups()?;
    let format = if args.json { Format::Json } else { args.format };
    howdah_tls::install_provider();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    if args.history {
        let book = runtime.block_on(async {
            let lineage = door::lineage(&file, args.lineage.as_deref()).await?;
            let mut book = Book::default();
            book.read(&lineage).await?;
            anyhow::Ok(book)
        });
        let runs = book?.history().runs;
        match format {
            Format::Json | Format::Yaml => out(data(&runs.iter().map(run_json).collect(), format)),
            _ => out(table_of(&runs).print(format)),
        }
        return Ok(());
    }
    let overview = runtime.block_on(async {
        let lineage = door::lineage(&file, args.lineage.as_deref()).await?;
        green::look(&lineage, &file.spec, door::backup(&file)?).await
    })?;
    let head = overview.head().to_string();
    match format {
        Format::Pretty => out(head),
        // What programs read has it in each row.
        _ if matches!(overview.head(), Head::Green { .. }) => {}
        _ => say(head),
    }
    if matches!(format, Format::Json | Format::Yaml) {
        let all = overview.backups.iter().map(|backup| backup_json(backup, overview.key));
        out(data(&all.collect(), format));
        return Ok(());
    }
    let table = Table {
        title: None,
        columns: COLUMNS.map(str::to_owned).into(),
        rows: overview.backups.iter().map(|backup| row(backup, overview.key)).collect(),
        right: vec!["Size", "Stored", "Ratio"],
    };
    out(table.print(format));
    Ok(())
}

fn table_of(runs: &[Run]) -> Table {
    let columns = ["Run", "Task", "Node", "Begun", "Ended", "Outcome", "Backup", "Why"];
    let row = |run: &Run| {
        let end = run.end.as_ref();
        let texts = [
            run.number.to_string(),
            run.task.to_string(),
            run.node.clone(),
            second(run.begun),
            end.map(|end| second(end.at)).unwrap_or_default(),
            end.map_or("under way", |end| end.outcome.word()).to_owned(),
            end.and_then(|end| end.label.clone()).unwrap_or_default(),
            end.map(|end| end.why.clone()).unwrap_or_default(),
        ];
        texts.map(Value::String).into()
    };
    Table {
        title: None,
        columns: columns.map(str::to_owned).into(),
        rows: runs.iter().map(row).collect(),
        right: vec!["Run"],
    }
}

fn run_json(run: &Run) -> Value {
    let end = run.end.as_ref();
    json!({
        "run": run.number,
        "task": run.task.to_string(),
        "node": run.node,
        "begun": second(run.begun),
        "ended": end.map(|end| second(end.at)),
        "outcome": end.map(|end| end.outcome.word()),
        "backup": end.and_then(|end| end.label.as_ref()),
        "why": end.map(|end| end.why.as_str()).filter(|why| !why.is_empty()),
        "rpo_ms": end.and_then(|end| end.rpo_ms),
        "rto_ms": end.and_then(|end| end.rto_ms),
    })
}

/// For programs: numbers are numbers, sizes are bytes.
fn backup_json(backup: &OfBackup, key: KeyIs) -> Value {
    let OfBackup { about, known } = backup;
    let why: Vec<String> = why_not(known, key).iter().map(ToString::to_string).collect();
    let statistics = &about.statistics;
    let ratio = (statistics.stored > 0).then(|| statistics.new as f64 / statistics.stored as f64);
    json!({
        "backup": about.label,
        "complete": when::rfc3339(u64::try_from(about.stopped_ms).unwrap_or(0)),
        "bytes": statistics.bytes,
        "new_bytes": statistics.new,
        "stored_bytes": statistics.stored,
        "ratio": ratio,
        "timeline": about.timeline.0,
        "wal_from": about.start_lsn.to_string(),
        "wal_to": about.stop_lsn.to_string(),
        "base": about.base,
        "verified": verified_json(known),
        "drilled": drilled_json(known),
        "green": why.is_empty(),
        "why_not": why,
    })
}

fn row(backup: &OfBackup, key: KeyIs) -> Vec<Value> {
    let OfBackup { about, known } = backup;
    let why = why_not(known, key);
    let texts = [
        about.label.clone(),
        when::rfc3339(u64::try_from(about.stopped_ms).unwrap_or(0)),
        size(about.statistics.bytes),
        size(about.statistics.stored),
        ratio(&about.statistics),
        about.timeline.to_string(),
        about.start_lsn.to_string(),
        about.stop_lsn.to_string(),
        about.base.clone().unwrap_or_default(),
    ];
    let mut row: Vec<Value> = texts.map(Value::String).into();
    let verified = known.verified.as_ref().map(|(at, found)| verified_word(*at, found));
    let drilled = known.drilled.as_ref().map(|(at, found)| drilled_word(*at, found));
    row.push(Value::String(verified.unwrap_or_default()));
    row.push(Value::String(drilled.unwrap_or_default()));
    row.push(Value::String(if why.is_empty() { "yes" } else { "no" }.to_owned()));
    row
}

fn second(unix_ms: u64) -> String {
    when::rfc3339(unix_ms / 1000 * 1000)
}

/// To the second, which is enough of what nobody goes back to.
fn moment(unix_ms: i64) -> String {
    second(u64::try_from(unix_ms).unwrap_or(0))
}

/// How much smaller what was stored is than what it was.
fn ratio(statistics: &Statistics) -> String {
    match statistics.stored {
        0 => String::new(),
        stored => format!("{:.1}", statistics.new as f64 / stored as f64),
    }
}

fn verified_word(at_ms: i64, found: &Verified) -> String {
    let word = match found.passed {
        true => format!("{} %", found.percent),
        false => format!("{} FAULTS", found.faults_total),
    };
    format!("{word}, {}", moment(at_ms))
}

fn drilled_word(at_ms: i64, found: &Drilled) -> String {
    let time = |ms: Option<u64>| ms.map_or_else(|| "unknown".to_owned(), words::time);
    let word = match found.why_red() {
        Some(check) => format!("RED, {}", check.name),
        None => format!("RPO {}, RTO {}", time(found.rpo_ms), time(found.rto_ms)),
    };
    format!("{word}, {}", moment(at_ms))
}

fn verified_json(known: &Known) -> Value {
    known.verified.as_ref().map_or(Value::Null, |(at, found)| {
        json!({ "at": moment(*at), "passed": found.passed, "percent": found.percent,
            "faults": found.faults_total })
    })
}

fn drilled_json(known: &Known) -> Value {
    known.drilled.as_ref().map_or(Value::Null, |(at, found)| {
        let red = found.why_red();
        json!({ "at": moment(*at), "passed": found.passed, "target": found.target,
            "rpo_ms": found.rpo_ms, "rto_ms": found.rto_ms,
            "why": red.map(|check| format!("{}: {}", check.name, check.said)) })
    })
}
