//! The token as it is printed and pasted: one word.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use howdah_base::{ClusterName, NodeName};
use serde::{Deserialize, Serialize};

/// Tells a token from anything else that is pasted; the digit rises when its form changes.
const PREFIX: &str = "howdah1-";

/// What a new machine must know before it knows anything.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub cluster: ClusterName,
    /// The node that the machine is to be.
    pub node: NodeName,
    /// Where the cluster lies on the machine that created the token.
    pub base_dir: PathBuf,
    /// Where the cluster answers, `host:port`.
    pub addresses: Vec<String>,
    /// SHA-256 of the CA's certificate, in hexadecimal.
    pub ca: String,
    /// Which token; no secret.
    pub id: String,
    pub secret: String,
    /// Seconds since 1970.
    pub until_unix: u64,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Token {
    /// The word. It holds the secret: it is printed once, for the one who asked for it.
    pub fn word(&self) -> anyhow::Result<String> {
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(self)?)))
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(word: &str) -> Result<Token, String> {
        let whole = || "the token is not whole: paste the word as it was printed".to_owned();
        let body = word.trim().strip_prefix(PREFIX);
        let body = body.ok_or_else(|| format!("a token begins with `{PREFIX}`"))?;
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| whole())?;
        serde_json::from_slice(&json).map_err(|_| whole())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_that_reads_back() {
        let token = Token {
            cluster: "demo".parse().expect("a name"),
            node: "n2".parse().expect("a name"),
            base_dir: "/var/lib/howdah/demo".into(),
            addresses: vec!["10.0.0.1:8008".to_owned()],
            ca: "00".repeat(32),
            id: "abc".to_owned(),
            secret: "hunter2".to_owned(),
            until_unix: 17,
        };
        let word = token.word().expect("a word");
        assert!(word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(word.parse::<Token>(), Ok(token.clone()));
        assert_eq!(format!(" {word}\n").parse::<Token>(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains("hunter2"));
        for bad in ["", "n2", &word[..word.len() - 9], &format!("{PREFIX}AAAA")] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }
}
