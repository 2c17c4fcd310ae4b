//! Errors in our own logs that no test asked for: each is a bug, or a message that should not
//! be an error.

use crate::node::Node;

/// Lines of the nodes' logs that say ERROR or that a thread panicked, less those that contain
/// one of `expected`.
pub fn undeclared(nodes: &[Node], expected: &[String]) -> String {
    let mut found = String::new();
    for node in nodes {
        for line in errors(&node.log_text(), expected) {
            found += &format!("{}: {line}\n", node.name);
        }
    }
    found
}

/// PostgreSQL writes its own `ERROR:` for what clients get wrong; ours has no colon.
fn errors<'t>(text: &'t str, expected: &[String]) -> Vec<&'t str> {
    let bad = |line: &&str| {
        line.contains(" ERROR ") || line.contains("ERROR\x1b") || line.contains("panicked at")
    };
    let declared = |line: &str| expected.iter().any(|part| line.contains(part));
    text.lines().filter(bad).filter(|line| !declared(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_undeclared_errors_are_found() {
        let text = "2026-11-21 INFO agent: fine\n\
                    2026-11-21 ERROR agent: lost its way\n\
                    2026-11-21 ERROR guard: the disk is full\n\
                    2026-11-21 10:00 UTC [7] ERROR:  syntax error\n\
                    thread 'main' panicked at src/x.rs:1\n";
        let expected = ["the disk is full".to_owned()];
        assert_eq!(
            errors(text, &expected),
            ["2026-11-21 ERROR agent: lost its way", "thread 'main' panicked at src/x.rs:1"]
        );
    }
}
