//! The nodes that were refused for good, as those hear of it who wait for a cluster: the
//! supervisor itself, or `up` that has put one into the background and reads its log.

use std::collections::BTreeSet;

use howdah_base::NodeName;
use tokio::sync::watch;

use crate::talk::say;

/// A set that is told of.
#[derive(Clone, Debug)]
pub struct GivenUp {
    nodes: watch::Sender<BTreeSet<NodeName>>,
}

impl GivenUp {
    pub fn new() -> GivenUp {
        GivenUp { nodes: watch::Sender::new(BTreeSet::new()) }
    }

    pub fn now(&self) -> BTreeSet<NodeName> {
        self.nodes.borrow().clone()
    }

    /// Says it, and remembers it.
    pub fn add(&self, node: &NodeName) {
        say(sentence(node));
        self.nodes.send_if_modified(|nodes| nodes.insert(node.clone()));
    }

    pub fn remove(&self, node: &NodeName) {
        self.nodes.send_if_modified(|nodes| nodes.remove(node));
    }

    /// Remembers it if that is what this line of a supervisor's log says.
    pub fn hear(&self, line: &str, nodes: impl Iterator<Item = NodeName>) {
        for node in nodes.filter(|node| sentence(node) == line) {
            self.nodes.send_if_modified(|given_up| given_up.insert(node));
        }
    }

    /// Waits until none of `all` nodes is left.
    pub async fn all(&self, all: usize) {
        let mut nodes = self.nodes.subscribe();
        // The sender is held by this very value.
        let _ = nodes.wait_for(|nodes| nodes.len() >= all).await;
    }
}

fn sentence(node: &NodeName) -> String {
    format!("{node}: is not tried again; `howdah up` does, once this is mended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        let name = |name: &str| name.parse::<NodeName>().expect("a name");
        let heard = GivenUp::new();
        let nodes = || ["n1", "n2"].map(name).into_iter();
        heard.hear("n2: its process ended with exit code 78", nodes());
        assert!(heard.now().is_empty());
        heard.hear(&sentence(&name("n2")), nodes());
        assert_eq!(heard.now(), BTreeSet::from([name("n2")]));
    }
}
