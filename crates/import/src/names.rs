//! Names, versions and words of others, made fit for the cluster file.

/// Longest name of a node or cluster, in bytes.
const NAME_LEN_MAX: usize = 30;

/// `text` as a name of a node or cluster: lower case, `-` for whatever else is not a letter or
/// digit, and `prefix` before a digit.
pub(crate) fn tidy(text: &str, prefix: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => name.push(c),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.insert_str(0, prefix);
    }
    name.truncate(NAME_LEN_MAX);
    name.trim_end_matches('-').to_owned()
}

/// `name`, or with a number after it where that is taken.
pub(crate) fn unique(name: &str, taken: &dyn Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    let numbered = |number: usize| {
        let number = format!("-{number}");
        let room = NAME_LEN_MAX - number.len();
        format!("{}{number}", &name[..name.len().min(room)])
    };
    // Among more numbers than there are inputs one is free.
    (2..).map(numbered).find(|name| !taken(name)).unwrap_or_default()
}

/// The major version in a path such as `/usr/lib/postgresql/15/bin` or `/usr/pgsql-15/bin`.
pub(crate) fn major_of_path(path: &str) -> Option<i64> {
    let parts: Vec<&str> = path.split('/').collect();
    let after = |word: &str| {
        let at = parts.iter().position(|part| *part == word)?;
        parts.get(at + 1)
    };
    let debian = after("postgresql").and_then(|part| major(part));
    let red_hat = || parts.iter().find_map(|part| major(part.strip_prefix("pgsql-")?));
    debian.or_else(red_hat)
}

/// The major version of an image such as `ghcr.io/cloudnative-pg/postgresql:16.2-bookworm`.
pub(crate) fn major_of_image(image: &str) -> Option<i64> {
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    let (repository, tag) = image.rsplit_once(':')?;
    let name = repository.rsplit('/').next().unwrap_or_default();
    // timescale/timescaledb:latest-pg15, but postgis/postgis:15-3.4 and postgres:15-alpine.
    let marked = tag.split(['-', '_']).find_map(|part| major(part.strip_prefix("pg")?));
    let named = || is_server(name).then(|| major(tag.split(['-', '_']).next()?))?;
    marked.or_else(named)
}

/// Whether the last part of an image's name is that of a PostgreSQL server.
pub(crate) fn is_server(name: &str) -> bool {
    const OTHERS: [&str; 8] =
        ["bouncer", "exporter", "admin", "backup", "barman", "pgpool", "operator", "postgrest"];
    const SERVERS: [&str; 8] =
        ["postgres", "postgis", "patroni", "spilo", "timescale", "pgvector", "citus", "pgsql"];
    let name = name.to_ascii_lowercase();
    SERVERS.iter().any(|word| name.contains(word)) && !OTHERS.iter().any(|word| name.contains(word))
}

/// `16`, `16.2`, `15beta1`; nothing below 9, which are no versions.
pub(crate) fn major(text: &str) -> Option<i64> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|major| (9..100).contains(major))
}

/// The words of a command line, as a POSIX shell splits them; nothing when a quote is open.
pub(crate) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// Whether a value that is no password by its key may hold one all the same.
pub(crate) fn holds_secret(value: &str) -> bool {
    const SIGNS: [&str; 7] =
        ["password", "passwd", "secret", "token", "access_key", "access-key", "apikey"];
    let lower = value.to_ascii_lowercase();
    // A secret is assigned: `PGPASSWORD=x`, `--password x`, `secret: x`.
    let assigned = |sign: &str| {
        let mut found = lower.match_indices(sign);
        found.any(|(at, _)| {
            let rest = lower[at + sign.len()..]
                .trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            rest.starts_with(['=', ':', ' '])
        })
    };
    SIGNS.iter().any(|sign| assigned(sign)) || has_login(value)
}

/// `scheme://user:password@host`.
fn has_login(value: &str) -> bool {
    value.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', ' ', '"', '\'']).next().unwrap_or_default();
        authority.split_once('@').is_some_and(|(login, _)| login.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_names() {
        for (from, to) in [
            ("pg_node_1", "pg-node-1"),
            ("DB1.example.com", "db1-example-com"),
            ("15-main", "n15-main"),
            ("_", "n"),
            ("a-very-long-name-of-a-node-in-a-zone", "a-very-long-name-of-a-node-in"),
        ] {
            assert_eq!(tidy(from, "n"), to);
            assert!(to.parse::<howdah_base::NodeName>().is_ok(), "{to}");
        }
        assert_eq!(unique("n1", &|name| name == "n1" || name == "n1-2"), "n1-3");
    }

    #[test]
    fn versions_are_found_where_people_write_them() {
        assert_eq!(major_of_path("/usr/lib/postgresql/15/bin"), Some(15));
        assert_eq!(major_of_path("/var/lib/postgresql/16/main"), Some(16));
        assert_eq!(major_of_path("/usr/pgsql-14/bin/"), Some(14));
        assert_eq!(major_of_path("/var/lib/postgresql/data"), None);
        for (image, major) in [
            ("postgres:15-alpine", Some(15)),
            ("ghcr.io/cloudnative-pg/postgresql:16.2", Some(16)),
            ("bitnami/postgresql:14.5.0-debian-11-r3", Some(14)),
            ("timescale/timescaledb:latest-pg15", Some(15)),
            ("pgvector/pgvector:pg16", Some(16)),
            ("registry:5000/postgres", None),
            ("postgres:latest", None),
            ("edoburu/pgbouncer:1.21", None),
            ("postgres@sha256:0123", None),
        ] {
            assert_eq!(major_of_image(image), major, "{image}");
        }
    }

    #[test]
    fn commands_are_split_as_a_shell_splits_them() {
        let split = |text| words(text).expect("closed");
        assert_eq!(
            split("/bin/cb  --zone 'a b' \"c \\\" d\" e\\ f ''"),
            ["/bin/cb", "--zone", "a b", "c \" d", "e f", ""]
        );
        assert_eq!(words("a 'b"), None);
        assert_eq!(words("a \\"), None);
    }

    #[test]
    fn secrets_are_suspected() {
        for held in [
            "host=a password=b",
            "PGPASSWORD=x pg_basebackup",
            "s3cmd --access_key=AK put",
            "curl https://me:pw@host/x",
            "tool --secret-token abc",
        ] {
            assert!(holds_secret(held), "{held}");
        }
        for free in [
            "test ! -f /a/%f && cp %p /a/%f",
            "pgbackrest --stanza=a archive-push %p",
            "https://host/x",
        ] {
            assert!(!holds_secret(free), "{free}");
        }
    }
}
