//! How a file meets the eye: its first line says why it exists, and neither it nor a function
//! in it is too long to be read at once.

use crate::source::shipped;

/// Longest file, in lines above its tests.
pub const FILE_LINES_MAX: usize = 500;
/// Longest function, in lines.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Complaints about one file. A file of tests may be as long as its cases need.
pub fn check_shape(file: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if !text.starts_with("//! ") {
        complaints.push(format!("{file}: the first line must say with `//!` why the file exists"));
    }
    if is_test(file) {
        return complaints;
    }
    let lines = shipped(text).lines().count();
    if lines > FILE_LINES_MAX {
        let most = FILE_LINES_MAX;
        complaints.push(format!("{file}: {lines} lines, more than {most}: it does two things"));
    }
    for (name, lines) in functions(shipped(text)) {
        if lines > FUNCTION_LINES_MAX {
            complaints.push(format!("{file}: `{name}` has {lines} lines, cut it into phases"));
        }
    }
    complaints
}

/// Whether a file holds tests only.
pub fn is_test(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("tests.rs")
}

/// Each function and its length, as rustfmt lays it out: the closing brace stands under `fn`.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, &str, usize)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if let Some(name) = function_name(line.trim_start()) {
            // What is still open at this depth ended on its own line: `fn f();`, `fn f() {}`.
            open.retain(|(_, _, at)| *at < indent);
            open.push((number, name, indent));
        }
        if line.trim() == "}" {
            open.retain(|(_, _, at)| *at <= indent);
            if let Some((start, name, _)) = open.pop_if(|(_, _, at)| *at == indent) {
                found.push((name, number - start + 1));
            }
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let before = line.find("fn ")?;
    let modifiers = line[..before].split_whitespace().all(|word| {
        word.starts_with("pub") || ["async", "const", "unsafe", "extern"].contains(&word)
    });
    let name = &line[before + 3..];
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (modifiers && end > 0).then_some(&name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_why_it_exists() {
        assert_eq!(check_shape("a.rs", "//! why\nfn a() {}\n").len(), 0);
        assert_eq!(check_shape("a.rs", "fn a() {}\n").len(), 1);
        assert_eq!(check_shape("a/tests/b.rs", "fn a() {}\n").len(), 1);
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_are_free() {
        let long = "//! why\n".to_owned() + &"// x\n".repeat(FILE_LINES_MAX);
        assert_eq!(check_shape("a.rs", &long).len(), 1);
        assert_eq!(check_shape("a/tests.rs", &long).len(), 0);
        let tests = "//! why\n#[cfg(test)]\nmod tests {\n".to_owned() + &"// x\n".repeat(600);
        assert_eq!(check_shape("a.rs", &tests).len(), 0);
    }

    #[test]
    fn a_long_function_is_found_wherever_it_hides() {
        let body = "        x();\n".repeat(FUNCTION_LINES_MAX);
        for text in [
            format!("//! why\nimpl A {{\n    pub(crate) async fn f(&self) {{\n{body}    }}\n}}\n"),
            format!("//! why\nfn f(\n    a: u8,\n) {{\n{body}}}\n"),
            format!(
                "//! why\npub const fn f() {{\n    fn g() {{\n        x();\n    }}\n{body}}}\n"
            ),
        ] {
            let complaints = check_shape("a.rs", &text);
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            assert!(complaints[0].contains("`f` has 7"), "{complaints:?}");
        }
        let two =
            format!("//! why\nfn f() {{\n}}\nfn g();\n{body}fn h() {{}}\n{body}fn i() {{\n}}\n");
        assert_eq!(check_shape("a.rs", &two), Vec::<String>::new());
    }
}
