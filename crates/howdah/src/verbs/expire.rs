//! `howdah expire`: removes what neither a kept backup nor a moment of the recovery window needs.

use std::collections::BTreeSet;

use anyhow::Context;
use howdah_api::when;
use howdah_archive::expire::keep::{Dated, Day, Rules, Why, keep};
use howdah_archive::expire::reach::{Inventory, Moments, Removal, bases, removal};
use howdah_archive::expire::run::{look, remove};
use howdah_archive::proof::{self, put_back};
use howdah_repo::Lineage;
use howdah_repo::name::Label;
use howdah_spec::backup::KeepSpec;
use howdah_spec::schedule::{Date, Zone};
use serde_json::json;
use tokio::runtime::Builder;

use crate::archive::{door, lease, words};
use crate::failure::Failure;
use crate::file::FileArg;
use crate::order::Form;
use crate::prepare::account;

/// Remove backups and WAL that nobody needs any more
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Say what would go, and touch nothing
    #[arg(long)]
    dry_run: bool,
    /// This backup's manifest was taken away, and nobody will put it back
    #[arg(long, value_name = "LABEL")]
    give_up: Vec<Label>,
    /// Of this lineage [default: this cluster's]
    #[arg(long)]
    lineage: Option<String>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

/// What is younger may belong to something that is being made.
const SETTLED_MS: u64 = 24 * 60 * 60 * 1000;

pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::talk::warnings();
    let file = args.file.load_for_backups()?;
    let backup = door::backup(&file)?;
    let (rules, zone) = (backup.keep, backup.schedule.zone.clone());
    account::server_account(&file.spec.run_as)?.become_for_good()?;
    howdah_tls::install_provider();
    let runtime = Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(async {
        let lineage = door::lineage(&file, args.lineage.as_deref()).await?;
        expire(&lineage, &rules, &zone, args).await
    })
}

async fn expire(
    lineage: &Lineage,
    rules: &KeepSpec,
    zone: &Zone,
    args: &Args,
) -> anyhow::Result<()> {
    if args.dry_run {
        return look_and_tell(lineage, rules, zone, args).await.map(drop);
    }
    // Before anything is looked at: what is being made then is not there to be looked at.
    let holder = format!("expire, {}", words::process());
    let held = lease::acquire(lineage.repository(), holder).await?;
    let lease = held.lease().await;
    let work = async {
        let (given_up, gone) = look_and_tell(lineage, rules, zone, args).await?;
        for label in &given_up {
            lineage.forget_proofs(label).await?;
        }
        remove(lineage, &lease, &gone, lease::now_ms).await?;
        anyhow::Ok(())
    };
    let done = tokio::select! {
        done = work => done,
        error = held.keep() => return Err(error),
    };
    held.release().await;
    done
}

/// What is given up, and what goes.
async fn look_and_tell(
    lineage: &Lineage,
    rules: &KeepSpec,
    zone: &Zone,
    args: &Args,
) -> anyhow::Result<(Vec<Label>, Removal)> {
    let given_up = given_up(lineage, args).await?;
    let all = look(lineage).await?;
    let now = when::now_unix_ms();
    let why = reasons(&all, rules, zone, now);
    let stay = why.iter().filter(|(_, why)| !why.is_empty());
    let stay: BTreeSet<String> = stay.map(|(label, _)| label.clone()).collect();
    let gone = removal(&all, &stay, moments(rules, now));
    args.form.print(&shown(&why, &gone), &told(&why, &gone))?;
    Ok((given_up, gone))
}

/// Backups that are missed, when all of them are given up: what one needs that is not is known to nobody,
/// and must not go before its manifest is back.
async fn given_up(lineage: &Lineage, args: &Args) -> anyhow::Result<Vec<Label>> {
    let missed = proof::missing(lineage).await?;
    if let Some(label) = args.give_up.iter().find(|l| missed.iter().all(|m| m.label != **l)) {
        let what = format!("backup `{label}` is not missing: nothing was removed");
        return Err(Failure::bad_input(what).hint("howdah backups").into());
    }
    match missed.iter().find(|missed| !args.give_up.contains(&missed.label)) {
        None => Ok(missed.into_iter().map(|missed| missed.label).collect()),
        Some(missed) => {
            let at = when::rfc3339(u64::try_from(missed.committed_ms).unwrap_or(0));
            let what = format!(
                "backup `{}` of {at} is missing, its manifest was taken away: nothing is removed, \
                 because nobody knows what it needs",
                missed.label
            );
            Err(Failure::failed(what).hint(put_back(missed.label.as_str())).into())
        }
    }
}

fn moments(rules: &KeepSpec, now: u64) -> Moments {
    let window = u64::try_from(rules.wal.0.as_millis()).unwrap_or(u64::MAX);
    Moments {
        window_from: now.saturating_sub(window),
        settled_before: now.saturating_sub(SETTLED_MS),
    }
}

/// Why each backup stays.
fn reasons(
    all: &Inventory,
    rules: &KeepSpec,
    zone: &Zone,
    now: u64,
) -> Vec<(String, BTreeSet<Why>)> {
    let dated = all.backups.iter().map(|backup| Dated {
        label: backup.label.clone(),
        stopped_at: backup.stopped_at,
        day: day(zone, backup.stopped_at),
    });
    let dated: Vec<Dated> = dated.collect();
    let within_ms = u64::try_from(rules.within.0.as_millis()).unwrap_or(u64::MAX);
    let KeepSpec { last, daily, weekly, monthly, yearly, .. } = *rules;
    let rules_of = Rules { last, within_ms, daily, weekly, monthly, yearly };
    let bases = bases(all, moments(rules, now).window_from);
    let why = keep(&dated, &rules_of, now);
    let of = |(backup, mut why): (Dated, BTreeSet<Why>)| {
        if bases.contains(&backup.label) {
            why.insert(Why::Window);
        }
        (backup.label, why)
    };
    dated.into_iter().zip(why).map(of).collect()
}

/// A moment that no calendar has is as old as any.
fn day(zone: &Zone, unix_ms: u64) -> Day {
    let Date { year, month, day, week } = zone.date(unix_ms).unwrap_or_else(|| zone.first_day());
    Day { year, month, day, week }
}

fn shown(why: &[(String, BTreeSet<Why>)], gone: &Removal) -> String {
    let mut text = String::new();
    for (label, why) in why {
        let reasons: Vec<String> = why.iter().map(Why::to_string).collect();
        let word = if why.is_empty() { "goes".to_owned() } else { reasons.join(", ") };
        text += &format!("{label}  {word}\n");
    }
    let (backups, packs, wal) = (gone.backups.len(), gone.packs.len(), gone.wal.len());
    text + &format!("backups that go: {backups}, packs: {packs}, objects of WAL: {wal}\n")
}

fn told(why: &[(String, BTreeSet<Why>)], gone: &Removal) -> serde_json::Value {
    let backups = why.iter().map(|(label, why)| {
        let why: Vec<String> = why.iter().map(Why::to_string).collect();
        json!({ "backup": label, "stays": why })
    });
    let (packs, wal) = (gone.packs.len(), gone.wal.len());
    json!({ "backups": backups.collect::<Vec<_>>(), "packs": packs, "wal": wal })
}
