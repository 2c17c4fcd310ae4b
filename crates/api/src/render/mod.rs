//! The cluster in words: the same text on the page and on the terminal.
//!
//! Pure: a [`ClusterStatus`] in, text out; readable without colour, one screen wide.

mod backups;
mod explain;
mod history;
mod screen;
mod table;
mod topology;
mod words;

pub use explain::explain;
pub use history::history;
use howdah_base::status::ClusterStatus;
pub use screen::screen;
pub use topology::topology;
pub use words::size;

/// One line's worth: `all is well`, or how much is not.
pub fn verdict(status: &ClusterStatus) -> String {
    match problems(status).len() {
        0 => "all is well".to_owned(),
        1 => "1 problem".to_owned(),
        more => format!("{more} problems"),
    }
}

/// What is wrong, one sentence each. The agent's own sentences first; then what follows from
/// the facts and it has not put into words: a status that shows a dead node and says "all is
/// well" would be a lie.
pub fn problems(status: &ClusterStatus) -> Vec<String> {
    let mut all = status.problems.clone();
    all.extend(unsaid(status));
    for node in &status.nodes {
        for problem in &node.problems {
            if !all.iter().any(|known| known.contains(problem.as_str())) {
                all.push(format!("{}: {problem}", node.node));
            }
        }
        if !node.pending_restart.is_empty() {
            let names = node.pending_restart.join(", ");
            all.push(format!("{}: waits for a restart to change: {names}", node.node));
        }
    }
    all
}

fn unsaid(status: &ClusterStatus) -> Vec<String> {
    let said = |word: &str| status.problems.iter().any(|problem| mentions(problem, word));
    let mut all = Vec::new();
    if !status.store.reachable && !said("store") {
        let why = status.store.error.as_deref().unwrap_or("no reason was given");
        all.push(format!("the store cannot be reached: {why}"));
    }
    if status.leader.is_none() && !said("lease") && !said("leader") {
        all.push("no node holds the lease: nobody accepts writes".to_owned());
    }
    for name in status.nodes.iter().filter(|node| !node.alive).map(|node| &node.node) {
        if !said(name.as_str()) {
            all.push(format!("{name} does not report: it is down, or cut off from the store"));
        }
    }
    all
}

fn mentions(sentence: &str, word: &str) -> bool {
    sentence.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|part| part == word)
}

#[cfg(test)]
mod tests;
