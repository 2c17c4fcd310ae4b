//! A summary as it is kept in the repository: JSON, one line for each count.

use std::fmt::Write;

use howdah_ha::Rule;

use crate::{Effect, Summary};

/// What is said of a sweep besides what it counted.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Of the source that was run.
    pub commit: String,
    /// The first seed.
    pub from: u64,
    pub seconds: u64,
    pub threads: usize,
}

/// `summary` as JSON.
pub fn json(summary: &Summary, about: &About) -> String {
    let mut text = String::from("{\n");
    let _ = writeln!(text, "  \"commit\": {},", quoted(&about.commit));
    let numbers = [
        ("from", about.from),
        ("seeds", summary.seeds),
        ("seconds", about.seconds),
        ("threads", about.threads as u64),
        ("acknowledged_commits", summary.acknowledged),
        ("terms", summary.terms),
        ("steps", summary.steps),
        ("violations", summary.wrong.len() as u64),
    ];
    for (name, number) in numbers {
        let _ = writeln!(text, "  \"{name}\": {number},");
    }
    let wrong = summary.wrong.iter().map(|verdict| {
        let why = verdict.wrong.as_deref().unwrap_or_default();
        (verdict.seed.to_string(), quoted(why))
    });
    object(&mut text, "wrong", wrong, ",");
    let effects = Effect::ALL.iter().map(|e| (e.words().to_owned(), summary.effects.of(*e)));
    object(&mut text, "took_effect", effects, ",");
    let counts = summary.trail.counts();
    let rules = Rule::ALL
        .iter()
        .map(|rule| (rule.number().to_string(), counts.get(rule).copied().unwrap_or_default()));
    object(&mut text, "rules", rules, ",");
    let followed = summary.trail.followed().iter();
    let steps = followed.map(|((from, to), n)| (format!("{} {}", from.number(), to.number()), *n));
    object(&mut text, "transitions", steps, "");
    text + "}\n"
}

fn object<V: std::fmt::Display>(
    text: &mut String,
    name: &str,
    fields: impl Iterator<Item = (String, V)>,
    end: &str,
) {
    let fields: Vec<String> =
        fields.map(|(key, value)| format!("    {}: {value}", quoted(&key))).collect();
    let inner =
        if fields.is_empty() { String::new() } else { format!("\n{}\n  ", fields.join(",\n")) };
    let _ = writeln!(text, "  \"{name}\": {{{inner}}}{end}");
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out + "\""
}

/// The counts under `name` in a summary as [`json`] writes it, one a line.
///
/// # Errors
/// What is not there, or no count.
pub fn object_of(text: &str, name: &str) -> Result<Vec<(String, u64)>, String> {
    let begin = format!("  \"{name}\": {{");
    let (_, rest) = text.split_once(&begin).ok_or(format!("`{name}` is not in the summary"))?;
    let (inner, _) = rest.split_once('}').ok_or(format!("`{name}` does not end"))?;
    let lines = inner.lines().map(str::trim).filter(|line| !line.is_empty());
    let field = |line: &str| {
        let (key, count) = line.trim_end_matches(',').split_once(": ")?;
        Some((key.trim_matches('"').to_owned(), count.parse().ok()?))
    };
    lines.map(|line| field(line).ok_or(format!("no count: `{line}`"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_without_violations_is_json_with_every_count() {
        let about = About { commit: "a\"b".to_owned(), from: 1, seconds: 2, threads: 3 };
        let text = json(&Summary::default(), &about);
        assert!(text.starts_with("{\n  \"commit\": \"a\\\"b\",\n  \"from\": 1,\n"), "{text}");
        assert!(text.contains("  \"wrong\": {},\n"), "{text}");
        assert!(text.contains("    \"101\": 0,\n"), "{text}");
        assert!(text.ends_with("  \"transitions\": {}\n}\n"), "{text}");
    }
}
