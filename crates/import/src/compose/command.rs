//! `command: postgres -c name=value ...`, as one text or as a list.

use crate::draft::{Draft, LeafId, Rank};
use crate::finding::Fate;
use crate::names;
use crate::parameters::{self, Origin};
use crate::tree::Tree;

/// Claims the parameters of a command line.
pub(super) fn carry(draft: &mut Draft, tree: &Tree<'_>) {
    let mut words: Vec<(String, LeafId)> = Vec::new();
    let listed = !tree.node.items().is_empty();
    let parts: Vec<Tree<'_>> = if listed { tree.items().collect() } else { vec![tree.clone()] };
    for part in parts {
        let (Some(leaf), Some(text)) = (part.leaf(draft), part.node.text()) else { continue };
        match if listed { Some(vec![text.to_owned()]) } else { names::words(text) } {
            Some(split) => words.extend(split.into_iter().map(|word| (word, leaf))),
            None => draft.tell(leaf, Fate::not_carried("a quote is not closed")),
        }
    }
    if words.first().is_some_and(|(first, _)| !is_server(first)) {
        let what = "a command of its own; what it prepares, prepare by hand";
        return words.iter().for_each(|(_, leaf)| draft.tell(*leaf, Fate::not_carried(what)));
    }
    let mut rest = words.into_iter().peekable();
    while let Some((word, leaf)) = rest.next() {
        // -c name=value, -cname=value, --name=value
        let setting = match (word.as_str(), word.strip_prefix("--").or(word.strip_prefix("-c"))) {
            ("-c", _) => rest.next(),
            (_, Some(setting)) if setting.contains('=') => Some((setting.to_owned(), leaf)),
            _ => None,
        };
        match setting.as_ref().and_then(|(setting, by)| Some((setting.split_once('=')?, *by))) {
            Some(((name, value), by)) => {
                let name = name.replace('-', "_");
                parameters::take(draft, by, &name, value, Rank::Conf, Origin::Other);
                if by != leaf {
                    draft.tell(leaf, Fate::replaced("it announces a parameter"));
                }
            }
            None if is_server(&word) => {
                draft.tell(leaf, Fate::replaced("Howdah starts the server"))
            }
            None => {
                let what = "an option that `[postgresql.parameters]` does not have";
                draft.tell(leaf, Fate::not_carried(what));
            }
        }
    }
}

fn is_server(word: &str) -> bool {
    word == "postgres" || word.ends_with("/postgres") || word.starts_with('-')
}
