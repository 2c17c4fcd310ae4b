//! What stood in the cluster file and is taken out of it again: the server that will run does not
//! know the parameter, or does not take its value.

use crate::finding::Fate;
use crate::run::Imported;

impl Imported {
    /// Takes the value on `line` of the cluster file (counted from 1) out of it: it stays as a
    /// comment, and its findings are not carried, because of `why`. Whether there is one.
    pub fn leave_out(&mut self, line: usize, why: &str) -> bool {
        let mut lines: Vec<String> = self.toml.lines().map(str::to_owned).collect();
        let at = line.saturating_sub(1).min(lines.len());
        let (before, rest) = lines.split_at_mut(at);
        let Some(text) = rest.first_mut().filter(|text| !text.starts_with('#')) else {
            return false;
        };
        let Some((key, _)) = text.split_once(" = ") else { return false };
        let header = before.iter().rev().find_map(|line| {
            let (header, _) = line.strip_prefix('[')?.split_once(']')?;
            Some(format!("{header}."))
        });
        let path = format!("{}{key}", header.unwrap_or_default());
        *text = format!("# left out: {text}");
        self.toml = lines.iter().map(|line| format!("{line}\n")).collect();
        for finding in &mut self.findings {
            let Fate::Carried(to) = &finding.fate else { continue };
            let places = to.split_once(": ").map_or(to.as_str(), |(places, _)| places);
            let places = places.split_once(", but ").map_or(places, |(places, _)| places);
            if places == path {
                finding.fate = Fate::not_carried(why);
            } else if places.split(", ").any(|place| place == path) {
                finding.fate = Fate::Carried(format!("{to}, but {why}"));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::input::Input;
    use crate::run::import;

    #[test]
    fn what_is_left_out_is_a_comment_and_not_carried() {
        let text = "work_mem = 4MB\nnot_a_thing = 7\n\"a.b\" = 1\n".replace('"', "");
        let input = Input { file: "p.conf".to_owned(), text, kind: None, included: Vec::new() };
        let mut imported = import(&[input]).expect("imported");
        let place = |toml: &str, key: &str| {
            toml.lines().position(|line| line.starts_with(key)).expect("a line") + 1
        };
        let line = place(&imported.toml, "not_a_thing");
        assert!(imported.leave_out(line, "nobody has it"));
        assert!(imported.toml.contains("\n# left out: not_a_thing = 7  # p.conf:2\n"));
        assert!(!imported.leave_out(line, "twice"), "it is out");
        assert!(!imported.leave_out(1, "a comment") && !imported.leave_out(9999, "no line"));
        let line = place(&imported.toml, "\"a.b\"");
        assert!(imported.leave_out(line, "neither"));
        let fates: Vec<String> = imported.findings.iter().map(ToString::to_string).collect();
        let wanted = [
            "p.conf:1: work_mem: carried: postgresql.parameters.work_mem",
            "p.conf:2: not_a_thing: not carried: nobody has it",
            "p.conf:3: a.b: not carried: neither",
        ];
        assert_eq!(fates, wanted);
    }
}
