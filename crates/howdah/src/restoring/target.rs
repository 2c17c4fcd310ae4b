//! What a verb is told of a moment, and of where tablespaces go.

use std::path::PathBuf;

use howdah_api::when;
use howdah_archive::restore::plan::{Target, Wish};
use howdah_base::Timeline;

use crate::failure::Failure;

/// To which moment, along which way.
#[derive(clap::Args, Clone, Debug)]
pub struct MomentArgs {
    /// Where to: latest, immediate, time=..., lsn=..., xid=..., name=...
    #[arg(long, value_name = "TARGET", default_value = "latest")]
    pub to: String,
    /// Along this timeline [default: the newest]
    #[arg(long, value_name = "NUMBER")]
    pub target_timeline: Option<u32>,
    /// From this backup [default: the newest that leads there]
    #[arg(long, value_name = "LABEL")]
    pub backup: Option<String>,
}

pub const TARGETS: &str = "\
Targets:
  latest      the end of the WAL that is there
  immediate   as soon as the backup is consistent
  time=2030-01-31T04:00:00+02:00   before the first commit after that
  lsn=0/3000060, xid=747, name=before_the_release
";

impl MomentArgs {
    pub fn wish(&self) -> anyhow::Result<Wish> {
        Ok(Wish {
            target: target(&self.to)?,
            timeline: self.target_timeline.map(Timeline),
            backup: self.backup.clone(),
        })
    }

    /// The same for another process of this executable.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["--to".to_owned(), self.to.clone()];
        if let Some(timeline) = self.target_timeline {
            words.extend(["--target-timeline".to_owned(), timeline.to_string()]);
        }
        if let Some(backup) = &self.backup {
            words.extend(["--backup".to_owned(), backup.clone()]);
        }
        words
    }
}

pub fn target(text: &str) -> anyhow::Result<Target> {
    let bad = |why: String| Failure::bad_input(why).hint("howdah restore --help");
    let (kind, value) = text.split_once('=').unwrap_or((text, ""));
    Ok(match (kind, value) {
        ("latest", "") => Target::Latest,
        ("immediate", "") => Target::Immediate,
        ("time", moment) => Target::Time(
            when::parse(moment, when::now_unix_ms()).map_err(|error| bad(error.to_string()))?,
        ),
        ("lsn", lsn) => {
            Target::Lsn(lsn.parse().map_err(|e: howdah_base::BadLsn| bad(e.to_string()))?)
        }
        ("xid", xid) => {
            Target::Xid(xid.parse().map_err(|_| bad(format!("not a transaction: `{xid}`")))?)
        }
        ("name", name) if !name.is_empty() => Target::Name(name.to_owned()),
        _ => return Err(bad(format!("not a target: `{text}`")).into()),
    })
}

/// A tablespace of a backup, as it is named on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tablespace {
    Oid(u32),
    /// Where it was.
    At(PathBuf),
}

/// `OID=DIR` or `OLD=NEW`.
pub fn tablespace(text: &str) -> anyhow::Result<(Tablespace, PathBuf)> {
    let which = |old: &str| match old.starts_with('/') {
        true => Some(Tablespace::At(PathBuf::from(old))),
        false => old.parse().ok().map(Tablespace::Oid),
    };
    let parts = text.split_once('=').and_then(|(old, new)| Some((which(old)?, new)));
    let (which, new) = parts.ok_or_else(|| {
        Failure::bad_input(format!("not a tablespace: `{text}`"))
            .hint("write OLD=NEW, two folders, or OID=NEW")
    })?;
    Ok((which, std::path::absolute(new)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tablespaces_are_named_by_number_or_place() {
        let new = || PathBuf::from("/new");
        let reads = |text: &str| tablespace(text).ok();
        assert_eq!(reads("16400=/new"), Some((Tablespace::Oid(16400), new())));
        assert_eq!(reads("/far/away=/new"), Some((Tablespace::At("/far/away".into()), new())));
        for bad in ["16400", "far=/new", "", "-1=/new"] {
            assert_eq!(reads(bad), None, "{bad}");
        }
    }

    #[test]
    fn another_process_is_told_the_same() {
        let moment = MomentArgs {
            to: "lsn=0/3000060".to_owned(),
            target_timeline: Some(3),
            backup: Some("20300131-040000".to_owned()),
        };
        let words = moment.words();
        let said =
            ["--to", "lsn=0/3000060", "--target-timeline", "3", "--backup", "20300131-040000"];
        assert_eq!(words, said);
        assert!(moment.wish().is_ok());
    }
}
