//! What the end of a standby's server log says of WAL that its upstream has removed.
//!
//! Only the WAL receiver's own words count. Whoever may knock at the server writes to its log as
//! well: a name of a user or a database stands in each of its lines, in the prefix and in the
//! message.

/// A receiver's last word begins with the first (libpqwalreceiver.c) and quotes the upstream's
/// second (xlogreader's callback in walsender.c). In the server's language, which is English
/// unless the cluster's locale says otherwise.
///
/// Longer than a name can be: a name with a line break in it, which stands in a line's prefix as it
/// is, cannot say it.
const RECEIVED: &str = "could not receive data from WAL stream: ERROR:  requested WAL segment ";
const REMOVED: &str = "has already been removed";
/// The first line of a server's life (postmaster.c).
const STARTING: &str = "starting PostgreSQL ";

/// Whether the last fatal message of a process without a client, since the server was started,
/// is that of a WAL receiver whose segment is gone. `prefix` is `log_line_prefix`; one that names
/// the client before anything else that changes cannot be told from forged ones, and says nothing.
pub(crate) fn is_told(log: &str, prefix: &str) -> bool {
    let Some(shape) = Shape::of(prefix) else { return false };
    // A line break inside a message is followed by a tab (append_with_tabs in elog.c).
    let last = log.lines().rev().filter(|line| !line.starts_with('\t')).find_map(|line| {
        let (severity, message) = shape.own(line)?;
        match severity {
            "FATAL" | "PANIC" => Some(message.starts_with(RECEIVED) && message.contains(REMOVED)),
            "LOG" if message.starts_with(STARTING) => Some(false),
            _ => None,
        }
    });
    last.unwrap_or(false)
}

/// How the prefix of a process without a client ends: everything of the client's is empty there.
#[derive(Default)]
struct Shape {
    /// Fixed text behind the last thing that changes, up to the first of the client's.
    before: String,
    /// Up to the severity.
    whole: String,
    /// Something of the client's is in it.
    of_client: bool,
}

impl Shape {
    fn of(prefix: &str) -> Option<Shape> {
        let mut shape = Shape::default();
        let mut chars = prefix.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                shape.push(c);
                continue;
            }
            match chars.find(|c| !c.is_ascii_digit() && *c != '-')? {
                '%' => shape.push('%'),
                // Sessions only from here on.
                'q' => break,
                'u' | 'd' | 'a' | 'h' | 'r' => shape.of_client = true,
                _ if shape.of_client => return None,
                _ => shape = Shape::default(),
            }
        }
        Some(shape)
    }

    fn push(&mut self, c: char) {
        self.whole.push(c);
        if !self.of_client {
            self.before.push(c);
        }
    }

    /// Severity and message of a line, if a process without a client wrote it.
    fn own<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let (head, message) = line.split_once(":  ")?;
        let severity = head.rsplit(|c: char| !c.is_ascii_uppercase()).next()?;
        let prefix = head.strip_suffix(severity)?;
        let at = prefix.len().checked_sub(self.whole.len())?;
        let first = prefix.ends_with(&self.whole)
            && (!self.of_client || prefix.find(&self.before) == Some(at));
        first.then_some((severity, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ";
    const OWN: &str = "2026-01-01 00:00:00 UTC [7]: [1-1] user=,db=,app=,client= ";
    const GONE: &str = "FATAL:  could not receive data from WAL stream: ERROR:  requested WAL \
        segment 000000010000000000000003 has already been removed";

    #[test]
    fn the_receivers_last_word_counts() {
        assert!(is_told(&format!("{OWN}{GONE}\n"), PREFIX));
        let other = "FATAL:  could not connect to the primary server: no route";
        assert!(!is_told(&format!("{OWN}{GONE}\n{OWN}{other}\n"), PREFIX), "said later");
        let login = OWN.replace("user=", "user=app") + "FATAL:  no pg_hba.conf entry";
        assert!(is_told(&format!("{OWN}{GONE}\n{login}\n"), PREFIX), "a client's line between");
        let start = "LOG:  starting PostgreSQL 15.18 on x86_64";
        assert!(!is_told(&format!("{OWN}{GONE}\n{OWN}{start}\n"), PREFIX), "before the start");
        assert!(is_told(&format!("2026 [7] {GONE}"), "%m [%p] "));
        assert!(is_told(&format!("2026 [7] {GONE}"), "%m [%p] %q%u@%d "));
    }

    #[test]
    fn a_client_cannot_say_it() {
        let name = "requested WAL segment 3 has already been removed";
        let refused = |user: &str, app: &str| {
            let prefix = OWN.replace("user=", &format!("user={user}"));
            let prefix = prefix.replace("app=", &format!("app={app}"));
            format!("{prefix}FATAL:  password authentication failed for user \"{user}\"\n")
        };
        let forged = [
            refused(name, ""),
            refused(GONE, ""),
            refused("x", GONE),
            refused(&format!("{OWN}{GONE}"), ""),
            refused("x", &format!("-1] user=,db=,app=,client= {GONE}")),
            format!("{OWN}LOG:  statement: select '{OWN}{GONE}'"),
            format!("{OWN}FATAL:  role \"{GONE}\" does not exist"),
        ];
        for line in forged {
            assert!(!is_told(&line, PREFIX), "{line}");
        }
        let broken = format!("2026 [8] FATAL:  role \"x\n\t2026 [7] {GONE}\" does not exist\n");
        assert!(!is_told(&broken, "%m [%p] "), "a name with a line break in it");
        let user = "x\n] FATAL:  could not receive data from WAL stream: ";
        let split = format!(
            "2026 [8] {user}@ has already been removed\n FATAL:  no pg_hba.conf entry for host\n"
        );
        assert!(!is_told(&split, "%m [%p] %q%u@%d "), "two names, each too short");
        let unclear = format!("x@y 2026 {GONE}");
        assert!(!is_told(&unclear, "%u@%d %m "), "the client comes first");
    }
}
