//! Names and values as they stand in a statement.

/// A name in double quotes, whatever it contains.
pub(super) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A parameter's name: an extension's has its prefix before a dot.
pub(super) fn parameter(parameter: &str) -> String {
    parameter.split('.').map(name).collect::<Vec<_>>().join(".")
}

/// A value in single quotes, read the same whatever `standard_conforming_strings` says.
pub(super) fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_its_quotes() {
        assert_eq!(name("app"), "\"app\"");
        assert_eq!(name("a\"b; --"), "\"a\"\"b; --\"");
        assert_eq!(parameter("auto_explain.log_min_duration").matches('"').count(), 4);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\'"), "E'\\\\'''");
    }
}
