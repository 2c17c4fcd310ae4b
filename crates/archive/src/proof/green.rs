//! When a backup is green: it was restored, and whoever loses every machine still has its key. Pure.

use std::fmt;

use super::Known;

/// Where the repository's key is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyIs {
    /// There is none: the repository is not sealed.
    Unneeded,
    /// The cluster file names a place that Howdah does not keep.
    External,
    /// Howdah keeps it, and has given it out.
    Exported,
    /// It lies with the cluster, and is lost with it.
    OnlyHere,
}

/// Why a backup is not green.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotGreen {
    NotDrilled,
    DrillFailed {
        check: String,
        said: String,
    },
    /// Nobody knows whether the WAL up to the last commit came through.
    NoCanary,
    VerifyFailed {
        object: String,
        what: String,
    },
    KeyOnlyHere,
}

/// Nothing: it is green.
pub fn why_not(known: &Known, key: KeyIs) -> Vec<NotGreen> {
    let mut why = Vec::new();
    match &known.drilled {
        None => why.push(NotGreen::NotDrilled),
        Some((_, drill)) if !drill.passed => {
            let failed = drill.why_red();
            let (check, said) = failed.map_or_else(
                || ("drill".to_owned(), "it did not end".to_owned()),
                |check| (check.name.clone(), check.said.clone()),
            );
            why.push(NotGreen::DrillFailed { check, said });
        }
        Some((_, drill)) if !drill.saw_canary() => why.push(NotGreen::NoCanary),
        Some(_) => {}
    }
    // A drill that came later has read what counts.
    let drilled_at = known.drilled.as_ref().map_or(i64::MIN, |(at, _)| *at);
    if let Some((at, verified)) = &known.verified
        && !verified.passed
        && *at > drilled_at
    {
        let first = verified.faults.first();
        let (object, what) =
            first.map_or_else(Default::default, |fault| (fault.object.clone(), fault.what.clone()));
        why.push(NotGreen::VerifyFailed { object, what });
    }
    if key == KeyIs::OnlyHere {
        why.push(NotGreen::KeyOnlyHere);
    }
    why
}

/// What is said above the list of backups, which are in the order of their completion.
pub fn head(backups: &[(String, Known)], key: KeyIs) -> Head {
    let Some((label, known)) = backups.last() else { return Head::NoBackup };
    let why = why_not(known, key);
    if why.is_empty() {
        return Head::Green { label: label.clone() };
    }
    let is_green = |(_, known): &&(String, Known)| why_not(known, key).is_empty();
    let before = backups.iter().rev().find(is_green).map(|(label, _)| label.clone());
    Head::NotGreen { label: label.clone(), why, before }
}

impl Head {
    /// The same where a newer backup, `label`, cannot even be read.
    #[must_use]
    pub fn behind(self, label: &str, what: &str) -> Head {
        let before = match self {
            Head::NoBackup => None,
            Head::Green { label } => Some(label),
            Head::NotGreen { before, .. } => before,
        };
        let why = NotGreen::VerifyFailed { object: label.to_owned(), what: what.to_owned() };
        Head::NotGreen { label: label.to_owned(), why: vec![why], before }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Head {
    NoBackup,
    /// The newest backup is.
    Green {
        label: String,
    },
    NotGreen {
        /// Of the newest.
        label: String,
        why: Vec<NotGreen>,
        /// The newest that is.
        before: Option<String>,
    },
}

impl NotGreen {
    /// What to type.
    pub fn next(&self) -> &'static str {
        match self {
            NotGreen::NotDrilled | NotGreen::NoCanary => "howdah drill restore",
            NotGreen::DrillFailed { .. } => "mend that, then howdah drill restore",
            NotGreen::VerifyFailed { .. } => "howdah backup --full",
            NotGreen::KeyOnlyHere => "howdah repository key --export FILE, and keep it elsewhere",
        }
    }
}

impl fmt::Display for NotGreen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotGreen::NotDrilled => f.write_str("it has never been restored"),
            NotGreen::DrillFailed { check, said } => write!(f, "its drill failed, {check}: {said}"),
            NotGreen::NoCanary => {
                f.write_str("its drill looked for no canary, so its recovery point is not known")
            }
            NotGreen::VerifyFailed { object, what } => {
                write!(f, "a verification found `{object}`: {what}")
            }
            NotGreen::KeyOnlyHere => {
                f.write_str("the repository's key lies nowhere but with the cluster")
            }
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Head::NoBackup => f.write_str("not green: there is no backup\nhint: howdah backup"),
            Head::Green { label } => {
                write!(f, "green: the newest backup, `{label}`, has been restored")
            }
            Head::NotGreen { label, why, before } => {
                write!(f, "not green: the newest backup is `{label}`, and ")?;
                for (number, why) in why.iter().enumerate() {
                    write!(f, "{}{why}", if number > 0 { "; " } else { "" })?;
                }
                if let Some(before) = before {
                    write!(f, "; `{before}` before it is green")?;
                }
                why.iter().try_for_each(|why| write!(f, "\nhint: {}", why.next()))
            }
        }
    }
}

#[cfg(test)]
#[path = "green_tests.rs"]
mod tests;
