//! PgBouncer's list of users: two quoted fields a line, name and password, MD5 or SCRAM verifier.
//!
//! Source: PgBouncer's manual, pgbouncer.ini(5), "Authentication file format".

use howdah_base::Redacted;

use super::lines::unquote;

/// Who is in it; and, of each line that says nothing, its number.
pub fn userlist(text: &str) -> (Vec<(String, Redacted<String>)>, Vec<usize>) {
    let (mut users, mut bad) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        match user(line) {
            Some((name, password)) => users.push((name, Redacted::new(password))),
            None => bad.push(at + 1),
        }
    }
    (users, bad)
}

/// More fields are no mistake: PgBouncer passes over them too.
fn user(line: &str) -> Option<(String, String)> {
    let (name, rest) = unquote(line.strip_prefix('"')?, '"')?;
    let (password, _) = unquote(rest.trim_start().strip_prefix('"')?, '"')?;
    (!name.is_empty()).then_some((name, password))
}
