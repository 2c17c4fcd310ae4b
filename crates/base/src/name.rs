//! Identity: who is meant. Names are checked once, where they enter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Longest node or cluster name, in bytes: a slot name (`howdah_<directory>_<term>`)
/// must fit PostgreSQL's 63.
pub const NAME_LEN_MAX: usize = 30;

/// The text cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName(pub String);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a name starts with a lower-case letter and has at most {NAME_LEN_MAX} lower-case \
             letters, digits and `-`: `{}`",
            self.0
        )
    }
}

impl std::error::Error for BadName {}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<$name, BadName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok($name(text.to_owned())) } else { Err(BadName(text.to_owned())) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_name!(
    /// The name of one node, unique in its cluster.
    NodeName,
    is_name
);
text_name!(
    /// The name of a cluster.
    ClusterName,
    is_name
);
text_name!(
    /// The identity of one data directory: `<node>_<8 hex digits>`, drawn at random when the
    /// directory is created and kept in it. A new copy is a new directory. Hyphens of the
    /// node's name become `_`, so that the id fits into a slot's name.
    DirectoryId,
    |text| {
        !text.is_empty()
            && text.len() <= NAME_LEN_MAX + 9
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }
);

impl DirectoryId {
    /// The id of a directory that `node` creates now; `random` is drawn by the caller.
    pub fn new(node: &NodeName, random: u32) -> DirectoryId {
        DirectoryId(format!("{}_{random:08x}", node.as_str().replace('-', "_")))
    }

    /// Whether `node` made this directory, now or earlier.
    pub fn is_of(&self, node: &NodeName) -> bool {
        let made_by = self.0.rsplit_once('_').map_or("", |(slug, _)| slug);
        made_by == node.as_str().replace('-', "_")
    }

    /// The slot through which this directory replicates in `term` (PROTOCOL section 3).
    pub fn slot(&self, term: Term) -> String {
        format!("howdah_{self}_{term}")
    }
}

/// A leader's number: rises by one with each new holder of the lease; the fencing token.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(pub u64);

impl Term {
    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        for good in ["n1", "db-east-2", "a"] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "1n", "N1", "a b", "a_b", &"x".repeat(31)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_longest_slot_name_fits_postgresql() {
        let node: NodeName = "x".repeat(NAME_LEN_MAX).parse().expect("valid");
        let slot = DirectoryId::new(&node, u32::MAX).slot(Term(9_999_999_999_999));
        assert!(slot.len() <= 63, "{slot}");
    }
}
