//! Settings that a client asks for with its first packet.
//!
//! Source: `process_startup_options` in `src/backend/utils/init/postinit.c`: the switches of
//! `options` first, then the packet's other parameters; the last of one name counts.
//! `pg_split_opts` there cuts at white space, a backslash keeps the character after it.

use crate::Startup;
use crate::relay::session::Settings;

impl Startup<'_> {
    /// All settings that it asks for, by their names in lower case; `None`: `options` has a switch
    /// that is none.
    pub fn settings(&self) -> Option<Settings> {
        let switched = switches(&words(self.parameter("options").unwrap_or_default()));
        let switched: Vec<_> = switched.into_iter().collect::<Option<_>>()?;
        let others = ["user", "database", "options", "replication"];
        let given = self.parameters().map(|(name, value)| {
            (
                String::from_utf8_lossy(name).into_owned(),
                String::from_utf8_lossy(value).into_owned(),
            )
        });
        let given =
            given.filter(|(name, _)| !others.contains(&&**name) && !name.starts_with("_pq_."));
        let all = switched.into_iter().chain(given);
        let all = all.map(|(name, value)| (name.to_ascii_lowercase().into(), value.into()));
        Some(all.collect())
    }

    /// The value that the session begins with, if the client asks for one. `name` in lower case.
    pub fn asks_for(&self, name: &str) -> Option<String> {
        let options = self.parameter("options").unwrap_or_default();
        let switched = switches(&words(options)).into_iter().flatten();
        let given =
            self.parameters().filter(|(name, _)| *name != b"options").map(|(name, value)| {
                (
                    String::from_utf8_lossy(name).into_owned(),
                    String::from_utf8_lossy(value).into_owned(),
                )
            });
        let of_name = |(other, _): &(String, String)| other.eq_ignore_ascii_case(name);
        switched.chain(given).filter(of_name).last().map(|(_, value)| value)
    }
}

fn words(options: &[u8]) -> Vec<String> {
    let mut words = vec![String::new()];
    let text = String::from_utf8_lossy(options);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = words.len() - 1;
        match letter {
            '\\' => words[last].extend(letters.next()),
            space if space.is_ascii_whitespace() => words.push(String::new()),
            other => words[last].push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `-c name=value`, `-cname=value` and `--name=value`, in which `-` stands for `_` too; `None` for
/// each word that is none of them.
fn switches(words: &[String]) -> Vec<Option<(String, String)>> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c") {
            Some("") => words.next().map(String::as_str),
            Some(rest) => Some(rest),
            None => word.strip_prefix("--"),
        };
        let setting = setting.and_then(|setting| setting.split_once('='));
        found.push(setting.map(|(name, value)| (name.replace('-', "_"), value.to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::{Opening, Step, opening};

    fn asked(parameters: &str) -> Option<String> {
        let body = format!("user\0app\0{}\0", parameters.replace('|', "\0"));
        let mut packet = u32::try_from(body.len() + 8).expect("short").to_be_bytes().to_vec();
        packet.extend([0, 3, 0, 0]);
        packet.extend(body.as_bytes());
        match opening(&packet) {
            Ok(Step::Packet(Opening::Startup(startup), _)) => {
                startup.asks_for("synchronous_commit")
            }
            other => panic!("not a first packet: {other:?}"),
        }
    }

    #[test]
    fn settings_are_found_where_postgresql_finds_them() {
        for (parameters, value) in [
            ("", None),
            ("application_name|synchronous_commit=off|", None),
            ("synchronous_commit|off|", Some("off")),
            ("Synchronous_Commit|local|", Some("local")),
            ("options|-c synchronous_commit=off|", Some("off")),
            ("options|-csynchronous_commit=off -c work_mem=1MB|", Some("off")),
            ("options|--synchronous-commit=off|", Some("off")),
            ("options|-c  search_path=a\\ -c\\ synchronous_commit=off|", None),
            ("options|-c synchronous_commit=off -c synchronous_commit=on|", Some("on")),
            ("synchronous_commit|on|options|-c synchronous_commit=off|", Some("on")),
            ("options|-c|", None),
            ("options|-c synchronous_commit|", None),
        ] {
            assert_eq!(asked(parameters).as_deref(), value, "{parameters}");
        }
    }
}
