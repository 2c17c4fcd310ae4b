//! Which rules of the decision core fired, as the nodes' logs say, and which of them chaos cannot
//! reach, each with the reason.

use std::collections::BTreeSet;

use howdah_ha::Rule;

/// Rules that no run of chaos reaches, and why. All others must fire in the set of all runs.
pub const BEYOND: &[(Rule, &str)] = &[
    (Rule::RefusedDirectory, "no directory of another cluster or version is put in"),
    (Rule::Busy, "it is not logged: the rule that began the operation is"),
    (Rule::Paused, "nobody pauses the cluster"),
    (Rule::Fenced, "nobody fences a node"),
    (Rule::FenceNode, "nobody fences a node"),
    (Rule::RestartOrdered, "nobody orders a restart"),
    (Rule::ReinitOrdered, "nobody orders a new copy"),
    (Rule::EndOrder, "nobody gives a node an order"),
    (Rule::Witness, "every node has a server"),
    (Rule::StoreForgot, "the store's data are never taken away"),
    (Rule::BeginPlanned, "switchovers are asked for at once, not for later"),
    (
        Rule::WrongTimeline,
        "no promotion of PostgreSQL takes another timeline than the one it is led to",
    ),
    (Rule::Forced, "nobody orders a failover"),
    (Rule::StopForCopy, "no directory is taken away from a running server"),
];

/// The rules that the text of a log names.
pub fn fired(log: &str) -> BTreeSet<u16> {
    let numbers = log.split("rule=").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    });
    numbers.collect()
}

/// Rules that chaos can reach and that are not among `fired`.
pub fn missing(fired: &BTreeSet<u16>) -> Vec<Rule> {
    let beyond = |rule: &Rule| BEYOND.iter().any(|(each, _)| each == rule);
    let unreached = |rule: &&Rule| !fired.contains(&rule.number()) && !beyond(rule);
    Rule::ALL.iter().filter(unreached).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_log_are_found() {
        let log = "INFO agent: this node leads rule=321\nINFO agent: x rule=509 y\nrule=\n";
        assert_eq!(fired(log), [321, 509].into());
    }

    #[test]
    fn what_has_not_fired_is_named_unless_it_is_out_of_reach() {
        let all: BTreeSet<u16> = Rule::ALL.iter().map(|rule| rule.number()).collect();
        assert!(missing(&all).is_empty());
        let mut some = all;
        some.remove(&Rule::Lead.number());
        some.remove(&Rule::Witness.number());
        assert_eq!(missing(&some), [Rule::Lead]);
    }
}
