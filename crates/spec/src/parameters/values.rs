//! Whether a value is one that the server takes: type, unit, range, word.
//!
//! What the tables do not list is left to the server: a wrong "no" would be worse than a late
//! one.

use std::time::Duration;

use howdah_base::{Bytes, Span};

use super::server::{ServerParameter, VarType};
use super::tables::{SCALES, UNITLESS, UNITS, WORDS};

type Verdict = Result<(), (String, String)>;

pub(super) fn check(name: &str, parameter: &ServerParameter, value: &str) -> Verdict {
    let value = value.trim();
    match parameter.vartype {
        VarType::Text => Ok(()),
        VarType::Boolean if is_boolean(value) => Ok(()),
        VarType::Boolean => {
            let what = format!("`{name}` is neither on nor off: `{value}`");
            Err((what, "write `true` or `false`".to_owned()))
        }
        VarType::Enum => check_word(name, value),
        VarType::Integer | VarType::Real => check_number(name, parameter, value),
    }
}

/// As `parse_bool` of PostgreSQL: any beginning of these words that fits only one of them.
fn is_boolean(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    let words = [("true", 1), ("false", 1), ("yes", 1), ("no", 1), ("on", 2), ("off", 2)];
    value == "1" || value == "0" || words.iter().any(|(word, least)| begins(word, *least))
}

fn check_word(name: &str, value: &str) -> Verdict {
    let Some((_, words)) = WORDS.iter().find(|(known, _)| *known == name) else { return Ok(()) };
    let given = value.to_ascii_lowercase();
    // Where `on` is a word, PostgreSQL takes the other ways to say so.
    let spelled = words.contains(&"on") && is_boolean(&given);
    if spelled || words.contains(&given.as_str()) {
        return Ok(());
    }
    let what = format!("`{name}` does not know this word: `{value}`");
    Err((what, format!("write one of {}", words.join(", "))))
}

fn check_number(name: &str, parameter: &ServerParameter, value: &str) -> Verdict {
    let unit = UNITS.iter().find(|(_, names)| names.contains(&name)).map(|(unit, _)| *unit);
    let not_a_number = || {
        let (kind, hint) = kind_of_number(unit);
        (format!("`{name}` is not {kind}: `{value}`"), hint.to_owned())
    };
    let whole = parameter.vartype == VarType::Integer;
    let based = if whole { split_based(value) } else { None };
    let (number, suffix) = based.or_else(|| split(value)).ok_or_else(not_a_number)?;
    let number = match (suffix, unit) {
        ("", _) => number,
        (_, Some(unit)) => number * factor(suffix, unit).ok_or_else(not_a_number)?,
        // The unit of a parameter that is not in the table: the server will tell.
        (_, None) if is_unit(suffix) && !UNITLESS.contains(&name) => return Ok(()),
        _ => return Err(not_a_number()),
    };
    let number = if whole { number.round() } else { number };
    let low = parameter.min.is_some_and(|min| number < min);
    let high = parameter.max.is_some_and(|max| number > max);
    if !low && !high {
        return Ok(());
    }
    let bound = |bound: Option<f64>| shown(bound.unwrap_or_default(), unit);
    let hint = format!("write {} to {}", bound(parameter.min), bound(parameter.max));
    Err((format!("`{name}` is out of range: `{value}`"), hint))
}

/// What a parameter of this unit is called, and how it is written.
fn kind_of_number(unit: Option<&str>) -> (&'static str, &'static str) {
    match unit {
        None => ("a number", "write a plain number"),
        Some(unit) if is_size(unit) => {
            ("a size", "write it as `\"64MB\"`; units are B, kB, MB, GB, TB")
        }
        Some(_) => ("a duration", "write it as `\"10s\"`; units are us, ms, s, min, h, d"),
    }
}

/// A number and what follows it; `None` if it does not begin with a number.
fn split(value: &str) -> Option<(f64, &str)> {
    let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    let end = value.find(|c: char| !number(c)).unwrap_or(value.len());
    let (digits, suffix) = value.split_at(end);
    // `1e-3` is a number too, and no unit begins so.
    let exponent = value.parse().ok().map(|number| (number, ""));
    exponent.or_else(|| Some((digits.parse().ok()?, suffix.trim_start())))
}

/// As [`split`], for whole numbers that begin with a zero: octal, or hexadecimal after `0x`, as
/// `parse_int` of PostgreSQL takes them by `strtol`.
fn split_based(value: &str) -> Option<(f64, &str)> {
    let (sign, rest) = match value.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, value.strip_prefix('+').unwrap_or(value)),
    };
    let (base, digits) = match rest.strip_prefix("0x").or(rest.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None if rest.starts_with('0') => (8, rest),
        None => return None,
    };
    let end = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
    let (digits, suffix) = digits.split_at(end);
    let number = u32::from_str_radix(digits, base).ok()?;
    let is_real = suffix.starts_with(['.', 'e', 'E']);
    (!is_real).then(|| (sign * f64::from(number), suffix.trim_start()))
}

/// How many of `unit` one of `suffix` is; `None` if they measure different things.
fn factor(suffix: &str, unit: &str) -> Option<f64> {
    let amount = |of: &str| SCALES.iter().find(|(name, _)| *name == of).map(|(_, amount)| *amount);
    let same_kind = is_size(suffix) == is_size(unit);
    if same_kind { Some(amount(suffix)? / amount(unit)?) } else { None }
}

fn is_unit(suffix: &str) -> bool {
    SCALES.iter().any(|(name, _)| *name == suffix)
}

fn is_size(unit: &str) -> bool {
    unit.ends_with('B')
}

/// A bound as the file would have it: `"128kB"` rather than `16` blocks of 8kB.
fn shown(bound: f64, unit: Option<&str>) -> String {
    let amount = unit.and_then(|unit| factor(unit, if is_size(unit) { "B" } else { "us" }));
    let (Some(unit), Some(amount)) = (unit, amount) else { return format!("`{bound}`") };
    if bound <= 0.0 {
        return format!("`{bound}`");
    }
    // `as` saturates, and a bound beyond 64 bits of bytes is no bound to anyone.
    let total = (bound * amount) as u64;
    if is_size(unit) {
        format!("`\"{}\"`", Bytes(total))
    } else {
        format!("`\"{}\"`", Span(Duration::from_micros(total)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_integer(name: &str, min: f64, max: f64, value: &str) -> bool {
        let parameter = ServerParameter {
            context: "sighup".to_owned(),
            vartype: VarType::Integer,
            min: Some(min),
            max: Some(max),
        };
        check(name, &parameter, value).is_ok()
    }

    #[test]
    fn units_are_the_parameters_own() {
        for good in ["128MB", "16384", "1.5GB", "128 kB"] {
            assert!(check_integer("shared_buffers", 16.0, 1_073_741_823.0, good), "{good}");
        }
        for bad in ["128mb", "10s", "64kB", "lots", "", "-1"] {
            assert!(!check_integer("shared_buffers", 16.0, 1_073_741_823.0, bad), "{bad}");
        }
        assert!(check_integer("checkpoint_timeout", 30.0, 86_400.0, "15min"));
        assert!(!check_integer("checkpoint_timeout", 30.0, 86_400.0, "2d"));
        assert!(!check_integer("max_connections", 1.0, 262_143.0, "2GB"));
        assert!(check_integer("not_in_the_table", 1.0, 5.0, "2GB"));
    }

    #[test]
    fn a_leading_zero_means_another_base() {
        for good in ["0600", "0777", "511", "0x1ff", "0"] {
            assert!(check_integer("log_file_mode", 0.0, 511.0, good), "{good}");
        }
        for bad in ["01000", "0x200", "600", "08"] {
            assert!(!check_integer("log_file_mode", 0.0, 511.0, bad), "{bad}");
        }
        assert!(check_integer("work_mem", 64.0, 2_147_483_647.0, "0.5GB"));
        assert!(check_integer("work_mem", 64.0, 2_147_483_647.0, "0x400kB"));
    }

    #[test]
    fn truth_values_are_postgresqls() {
        for good in ["on", "OFF", "t", "fal", "yes", "n", "1"] {
            assert!(is_boolean(good), "{good}");
        }
        for bad in ["o", "", "2", "truee"] {
            assert!(!is_boolean(bad), "{bad}");
        }
    }
}
