//! `howdah verify`: whether what the repository holds is what was written.

use anyhow::Context;
use howdah_api::when;
use howdah_archive::proof::{self, Found, Proof, Verified};
use howdah_archive::verify::{self, Options, Progress, Which};
use howdah_repo::Lineage;
use howdah_repo::name::Label;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use crate::archive::door;
use crate::archive::lease::now_ms;
use crate::archive::words::{self, Shown};
use crate::failure::Failure;
use crate::file::FileArg;
use crate::prepare::account;
use crate::talk::{out, say};
use howdah_api::render::size;

/// Read backups and WAL in the repository, and hold them against their hashes
#[derive(clap::Args, Debug)]
pub struct Args {
    /// This backup [default: the newest]
    label: Option<Label>,
    /// All backups
    #[arg(long, conflicts_with = "label")]
    all: bool,
    /// Open only so many per cent of the frames and of the WAL, others each time; what there is, how
    /// large it is and all indexes are looked at nevertheless
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    sample: Option<f64>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Shown,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Of this lineage [default: this cluster's]
    #[arg(long)]
    lineage: Option<String>,
    #[command(flatten)]
    file: FileArg,
}

const TELL_EVERY: Duration = Duration::from_secs(2);

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim_end_matches('%').parse().map_err(|_| "not a number".to_owned())?;
    let fine = number > 0.0 && number <= 100.0;
    fine.then_some(number).ok_or_else(|| "write a number above 0, up to 100".to_owned())
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::talk::warnings();
    let file = args.file.load_for_backups()?;
    let jobs = usize::try_from(door::backup(&file)?.jobs)?;
    // Proofs are written, too, and belong to it.
    account::server_account(&file.spec.run_as)?.become_for_good()?;
    let found = door::runtime()?.block_on(async {
        let lineage = door::lineage(&file, args.lineage.as_deref()).await?;
        look(&lineage, args, jobs).await
    })?;
    tell(args, &found)
}

async fn look(
    lineage: &Lineage,
    args: &Args,
    jobs: usize,
) -> anyhow::Result<Vec<(Label, Verified)>> {
    let which = match &args.label {
        Some(label) => Which::Of(label.clone()),
        None if args.all => Which::All,
        None => Which::Newest,
    };
    let seed = when::now_unix_ms();
    let options = Options { which, percent: args.sample.unwrap_or(100.0), seed, jobs };
    let (told, progress) = watch::channel(Progress::default());
    let found = tokio::select! {
        found = verify::verify(lineage, &options, &told) => found?,
        () = follow(progress) => anyhow::bail!("nobody tells how far the verification is"),
    };
    for (label, verified) in &found {
        let found = Found::Verified(verified.clone());
        let proof = Proof { at_ms: now_ms(), by: words::host(), found };
        proof::keep(lineage, label, &proof).await.context("write the finding down")?;
    }
    Ok(found)
}

async fn follow(mut progress: watch::Receiver<Progress>) {
    loop {
        sleep(TELL_EVERY).await;
        let now = progress.borrow_and_update().clone();
        say(format!("howdah: backup `{}`: {} read", now.label, size(now.counts.bytes)));
    }
}

fn tell(args: &Args, found: &[(Label, Verified)]) -> anyhow::Result<()> {
    match if args.json { Shown::Json } else { args.format } {
        Shown::Json => {
            let object = |(label, found): &(Label, Verified)| json!({ "backup": label.as_str(), "verified": found });
            let all: Vec<_> = found.iter().map(object).collect();
            out(serde_json::to_string_pretty(&all).context("write JSON")?);
        }
        Shown::Text => {
            out(found.iter().map(|(label, found)| shown(label, found)).collect::<String>())
        }
    }
    let wrong: Vec<String> = found
        .iter()
        .filter(|(_, found)| !found.passed)
        .map(|(label, _)| format!("`{label}`"))
        .collect();
    match wrong.len() {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "backups are not as they were written: {}",
            wrong.join(", ")
        ))
        .hint("each fault above says what to do")
        .into()),
    }
}

fn shown(label: &Label, found: &Verified) -> String {
    let counts = &found.counts;
    let verdict = match found.faults_total {
        0 => "sound".to_owned(),
        1 => "1 fault".to_owned(),
        more => format!("{more} faults"),
    };
    let how = match found.percent {
        100.0 => String::new(),
        percent => format!(", a sample of {percent} %"),
    };
    let mut text = format!(
        "backup `{label}`: {verdict}{how}; {} packs, {} frames, {} files, {} segments of WAL, {} in {}\n",
        counts.packs,
        counts.frames,
        counts.files,
        counts.segments,
        size(counts.bytes),
        words::time(found.took_ms)
    );
    for fault in &found.faults {
        text += &format!(
            "  {}\n    {}\n    {}\n    hint: {}\n",
            fault.object, fault.what, fault.means, fault.next
        );
    }
    let more = found.faults_total.saturating_sub(found.faults.len() as u64);
    if more > 0 {
        text += &format!("  and {more} more\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_part_of_a_hundred() {
        assert_eq!((percent("5"), percent("2.5%")), (Ok(5.0), Ok(2.5)));
        for bad in ["0", "-1", "101", "x", "nan"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
