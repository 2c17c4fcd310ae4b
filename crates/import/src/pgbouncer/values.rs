//! Values as PgBouncer writes them.

use std::time::Duration;

use howdah_spec::PoolMode;

pub(super) fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "not a number in its range".to_owned())
}

/// 0 is "no limit".
pub(super) fn limit(text: &str) -> Result<Option<u32>, String> {
    Ok(Some(number(text)?).filter(|count| *count > 0))
}

pub(super) fn yes(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" | "yes" | "t" | "y" => Ok(true),
        "0" | "off" | "false" | "no" | "f" | "n" => Ok(false),
        _ => Err("neither 0 nor 1".to_owned()),
    }
}

/// Seconds, with a fraction perhaps.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = number(text)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "not a number of seconds".to_owned())
}

/// 0 is "no limit".
pub(super) fn time(text: &str) -> Result<Option<Duration>, String> {
    Ok(Some(seconds(text)?).filter(|time| !time.is_zero()))
}

/// Names with commas between.
pub(super) fn list(text: &str) -> Vec<String> {
    let names = text.split(',').map(|name| name.trim().trim_matches('"').to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

pub(super) fn mode(text: &str) -> Result<PoolMode, String> {
    match text {
        "session" => Ok(PoolMode::Session),
        "transaction" => Ok(PoolMode::Transaction),
        "statement" => Ok(PoolMode::Statement),
        _ => Err("not one of session, transaction, statement".to_owned()),
    }
}

/// One of these words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("not one of {}", words.join(", "))
    })
}
