//! Findings as people read them: what needs them first, in few lines.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::finding::{Fate, Finding, shown};
use crate::run::Imported;

/// Keys that are named for one reason, and places of one key; the rest is counted.
const NAMED_MAX: usize = 3;

/// Everything but the file itself.
pub fn text(imported: &Imported) -> String {
    let mut text = String::new();
    let of = |word: &str| -> Vec<&Finding> {
        imported.findings.iter().filter(|finding| finding.fate.parts().0 == word).collect()
    };
    let carried = of("carried");
    let (partly, whole): (Vec<_>, Vec<_>) = carried.into_iter().partition(|f| has_more(f));
    section(&mut text, "unknown", "nobody knows these keys", &of("unknown"));
    section(&mut text, "not carried", "to be done by hand", &of("not carried"));
    section(&mut text, "replaced", "Howdah does it itself", &of("replaced"));
    section(&mut text, "carried, with a word", "see the file", &partly);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "carried: {} keys; the file names the origin of each",
        whole.len() + partly.len()
    );
    if !imported.secrets.is_empty() {
        text += "\nsecrets: none is in the file; put each where the file looks for it\n";
        for secret in &imported.secrets {
            let (of, place, found) =
                (shown(&secret.of), shown(&secret.place), shown(&secret.found));
            let _ = writeln!(text, "  {of}: {place}  (was in {found})");
        }
    }
    text
}

fn has_more(finding: &Finding) -> bool {
    matches!(&finding.fate, Fate::Carried(to) if to.contains(", but ") || to.contains(": "))
}

/// Findings with the same reason together.
fn section(text: &mut String, word: &str, meaning: &str, findings: &[&Finding]) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(text, "{word} ({}): {meaning}", findings.len());
    let mut groups: Vec<(&str, Group<'_>)> = Vec::new();
    for finding in findings {
        let detail = finding.fate.parts().1;
        let group = match groups.iter().position(|(known, _)| *known == detail) {
            Some(place) => groups.get_mut(place),
            None => {
                groups.push((detail, Group::default()));
                groups.last_mut()
            }
        };
        if let Some((_, group)) = group {
            let places = group.entry(&finding.key).or_default();
            places.push(format!("{}:{}", base(&finding.file), finding.line));
        }
    }
    for (detail, group) in groups {
        let key =
            |(key, places): (&&str, &Vec<String>)| format!("{} ({})", shown(key), few(places));
        let keys: Vec<String> = group.iter().map(key).collect();
        let _ = writeln!(text, "  {}", few(&keys));
        if !detail.is_empty() {
            let _ = writeln!(text, "      {}", shown(detail));
        }
    }
    text.push('\n');
}

/// Keys and where they stand.
type Group<'f> = BTreeMap<&'f str, Vec<String>>;

/// The first of many, and how many more.
fn few(all: &[String]) -> String {
    let named = all.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
