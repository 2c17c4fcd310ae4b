//! What a pure crate may not name: clocks, files, sockets, processes, threads, async, and
//! collections whose order is random.

use crate::source::{code, shipped};

/// Parts of `std` that a decision has no use for. A prefix counts up to a `::`.
const FORBIDDEN: [&str; 15] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::time::Instant",
    "std::time::SystemTime",
    // Their order differs from run to run: a decision that walks one cannot be repeated.
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::hash::RandomState",
];

/// Modules that may not be imported whole: below them something forbidden could be named.
const WHOLE: [&str; 5] = ["std", "std::net", "std::time", "std::collections", "std::hash"];

const FORBIDDEN_WORDS: [&str; 5] = ["async", "await", "tokio", "rand", "unsafe"];

/// Complaints about one file of a pure crate.
pub fn check_purity(file: &str, text: &str) -> Vec<String> {
    let code = code(shipped(text));
    let paths = std_paths(&code).into_iter().filter(|path| is_forbidden(path));
    let words = FORBIDDEN_WORDS.iter().filter(|word| has_word(&code, word));
    let found = paths.chain(words.map(|word| (*word).to_owned()));
    found.map(|name| format!("{file}: a pure crate must not name `{name}`")).collect()
}

fn is_forbidden(path: &str) -> bool {
    let path = path.replacen("core::", "std::", 1);
    let below = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("::"));
    FORBIDDEN.iter().any(|part| path == *part || below(part))
        || WHOLE.iter().any(|module| path == *module || path == format!("{module}::*"))
}

/// Every path into `std` or `core`, with groups spelled out: `std::{a, b::c}` is two.
fn std_paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["std", "core"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            let after = &code[at + root.len()..];
            let imported = code[..at].trim_end().ends_with("use") && is_end(after);
            if before.is_some_and(is_word) || !(after.trim_start().starts_with("::") || imported) {
                continue;
            }
            expand(root.to_owned(), after, &mut found);
        }
    }
    found
}

/// Follows `::name`, `::{…}` and `::*` from `prefix`; gives what is left of the text.
fn expand<'a>(prefix: String, text: &'a str, found: &mut Vec<String>) -> &'a str {
    let trimmed = text.trim_start();
    let Some(rest) = trimmed.strip_prefix("::").map(str::trim_start) else {
        found.push(prefix);
        return text;
    };
    if let Some(rest) = rest.strip_prefix('*') {
        found.push(format!("{prefix}::*"));
        return rest;
    }
    match rest.strip_prefix('{') {
        Some(group) => expand_group(&prefix, group, found),
        None => {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            expand(format!("{prefix}::{}", &rest[..end]), &rest[end..], found)
        }
    }
}

fn expand_group<'a>(prefix: &str, group: &'a str, found: &mut Vec<String>) -> &'a str {
    let mut rest = group.trim_start();
    while !rest.is_empty() && !rest.starts_with('}') {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = match name {
            "" => after.strip_prefix('*').map_or(&after[first(after)..], |after| {
                found.push(format!("{prefix}::*"));
                after
            }),
            "self" => {
                found.push(prefix.to_owned());
                after
            }
            name => expand(format!("{prefix}::{name}"), after, found),
        };
        // `as other` and commas carry nothing.
        let next = rest.find([',', '}']).unwrap_or(rest.len());
        rest = rest[next..].trim_start_matches(',').trim_start();
    }
    rest.strip_prefix('}').unwrap_or(rest)
}

fn first(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

fn is_end(after: &str) -> bool {
    after.trim_start().starts_with(';') || after.trim_start().starts_with("as ")
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c| !is_word(c)).any(|part| part == word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        let names = check_purity("f", text).into_iter();
        names.filter_map(|line| line.split('`').nth(1).map(str::to_owned)).collect()
    }

    #[test]
    fn values_pass() {
        for fine in [
            "use std::collections::{BTreeMap, BTreeSet};",
            "use std::net::{IpAddr, Ipv4Addr};",
            "use std::time::Duration;\nuse std::fmt::{self, Write};",
            "fn f(operand: u8) { standard::fs() }",
            "// std::fs\nlet x = \"std::fs async\";",
            "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
        ] {
            assert_eq!(complaints(fine), Vec::<String>::new(), "{fine}");
        }
    }

    #[test]
    fn each_planted_mistake_is_found() {
        for (text, name) in [
            ("use std::fs;", "std::fs"),
            ("let x = std::fs::read(path);", "std::fs::read"),
            ("use std::{fmt, fs};", "std::fs"),
            ("use std::{fmt::{self}, time::{Duration, Instant}};", "std::time::Instant"),
            ("use ::std::process::Command;", "std::process::Command"),
            ("let now = std :: time :: SystemTime :: now();", "std::time::SystemTime::now"),
            ("use std::net::{IpAddr, TcpStream as Wire};", "std::net::TcpStream"),
            ("use std::net;", "std::net"),
            ("use std::time::{self, Duration};", "std::time"),
            ("use std::collections::*;", "std::collections::*"),
            ("use std as s;", "std"),
            ("use core::time::{*};", "core::time::*"),
            ("let m: std::collections::HashMap<u8, u8>;", "std::collections::HashMap"),
            ("async fn f() {}", "async"),
            ("use tokio::sync::watch;", "tokio"),
            ("unsafe { x() }", "unsafe"),
            ("#[cfg(test)]\nuse std::env;", "std::env"),
        ] {
            assert_eq!(complaints(text), [name], "{text}");
        }
    }
}
