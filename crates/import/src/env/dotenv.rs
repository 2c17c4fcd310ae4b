//! `NAME=value` lines: an `.env` file, systemd's `EnvironmentFile`, a shell's exports.

/// One variable of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// A line that is none of a file's kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Garbled(pub(crate) usize);

/// Every line but blank ones and comments.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = Result<Pair, Garbled>> {
    let lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| pair(line, number).ok_or(Garbled(number)))
}

fn pair(line: &str, number: usize) -> Option<Pair> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, rest) = line.split_once('=')?;
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    Some(Pair { name: name.to_owned(), value: value(rest.trim()), line: number })
}

/// Without quotes around it, or a comment behind it.
fn value(text: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote)
            && let Some(end) = rest.find(quote)
        {
            return rest[..end].to_owned();
        }
    }
    let end = text.find(" #").unwrap_or(text.len());
    text[..end].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_several_forms() {
        let text = "# x\nA=1\nexport B='two words' # why\nC=\"a#b\"\nD=a#b # c\nE=\n\nnothing\n";
        let read: Vec<_> = pairs(text)
            .map(|pair| pair.map(|p| format!("{}={}@{}", p.name, p.value, p.line)))
            .collect();
        let wanted = ["A=1@2", "B=two words@3", "C=a#b@4", "D=a#b@5", "E=@6"];
        let mut wanted: Vec<_> = wanted.iter().map(|text| Ok((*text).to_owned())).collect();
        wanted.push(Err(Garbled(8)));
        assert_eq!(read, wanted);
    }
}
