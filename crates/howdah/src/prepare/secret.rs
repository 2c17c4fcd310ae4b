//! Passwords and tokens: made up where none is, read where the file refers to one.
//!
//! A value lives in a file that only its users can read, and in a [`Redacted`]; it is never
//! an argument of a process.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use howdah_base::Redacted;
use howdah_spec::SecretRef;

use crate::failure::Failure;

/// Characters of a secret that Howdah makes up: six bits each, so 192 bits.
const SECRET_LEN: usize = 32;

/// Letters that need no quoting in a URL, a shell, a pgpass file or a header.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A new random secret. It starts with a letter: one that starts with `-` reads as an option.
pub fn make_up() -> anyhow::Result<Redacted<String>> {
    let mut random = [0_u8; SECRET_LEN];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .context("read random bytes: `/dev/urandom`")?;
    Ok(Redacted::new(spell(&random)))
}

/// The secret called `name` that belongs to `master`: the same wherever `master` is known, and
/// as hard to guess for everybody else.
pub fn derive(master: &Redacted<String>, name: &str) -> Redacted<String> {
    let parts = [b"howdah secret 1 ", name.as_bytes(), b"\0", master.expose().as_bytes()];
    Redacted::new(spell(&howdah_tls::sha256(&parts)))
}

fn spell(random: &[u8]) -> String {
    let letters = random.iter().enumerate().map(|(place, byte)| match place {
        0 => ALPHABET[usize::from(byte % 32)],
        _ => ALPHABET[usize::from(byte % 64)],
    });
    letters.map(char::from).collect()
}

/// The value behind a reference; `None` for a file that is not there.
pub fn read(source: &SecretRef) -> anyhow::Result<Option<Redacted<String>>> {
    match source {
        SecretRef::File(path) => read_file(path),
        SecretRef::Env(name) => std::env::var(name)
            .map(|value| Some(Redacted::new(value)))
            .map_err(|_| unset(name).into()),
        SecretRef::Command(words) => read_command(words).map(Some),
    }
}

fn unset(name: &str) -> Failure {
    Failure::bad_input(format!("the environment variable of a password is not set: `{name}`"))
        .hint(format!("export {name}, for the nodes' services as well"))
}

/// A file's content without its last newline.
pub fn read_file(path: &Path) -> anyhow::Result<Option<Redacted<String>>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Redacted::new(without_newline(text)))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read file: `{}`", path.display())),
    }
}

fn read_command(words: &[String]) -> anyhow::Result<Redacted<String>> {
    let (program, arguments) = words.split_first().context("read an empty command")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("run the password command: `{program}`"))?;
    // What it wrote may be half a secret: the status is all that is said.
    anyhow::ensure!(output.status.success(), "the password command failed: `{program}`");
    let text = String::from_utf8(output.stdout)
        .map_err(|_| anyhow::anyhow!("the password command wrote no text: `{program}`"))?;
    Ok(Redacted::new(without_newline(text)))
}

fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_needs_no_quoting() {
        let secret = make_up().expect("random");
        let text = secret.expose();
        assert_eq!(text.len(), SECRET_LEN);
        assert!(text.starts_with(|first: char| first.is_ascii_alphabetic()), "{text}");
        assert!(text.bytes().all(|byte| ALPHABET.contains(&byte)), "{text}");
        assert_ne!(text, make_up().expect("random").expose());
    }

    #[test]
    fn a_derived_secret_is_the_same_everywhere_and_another_for_each_name() {
        let (one, two) = (Redacted::new("one".to_owned()), Redacted::new("two".to_owned()));
        let app = derive(&one, "app");
        assert_eq!(app.expose().len(), SECRET_LEN);
        assert_eq!(derive(&one, "app"), app);
        assert_ne!(derive(&one, "boss"), app);
        assert_ne!(derive(&two, "app"), app);
    }

    #[test]
    fn every_letter_of_the_alphabet_is_as_likely() {
        let all: Vec<u8> = (0..=255).collect();
        let spelled = spell(&all);
        for letter in ALPHABET {
            let times = spelled.bytes().skip(1).filter(|byte| byte == letter).count();
            assert!((3..=4).contains(&times), "{} {times}", char::from(*letter));
        }
    }

    #[test]
    fn one_newline_at_the_end_is_not_part_of_a_secret() {
        for (text, secret) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
            assert_eq!(without_newline(text.to_owned()), secret);
        }
        let command = SecretRef::Command(vec!["printf".into(), "x y\\n".into()]);
        assert_eq!(read(&command).expect("ran"), Some(Redacted::new("x y".into())));
    }
}
