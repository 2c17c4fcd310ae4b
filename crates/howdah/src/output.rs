//! Rows in the forms that `patronictl` prints: pretty, tsv, json, yaml.

use std::fmt::Write;

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::yaml::yaml;

/// How rows are printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    #[default]
    Pretty,
    Tsv,
    Json,
    #[value(alias = "yml")]
    Yaml,
}

/// What programs read, which needs no columns: YAML where that is asked for, else JSON.
pub fn data(value: &Value, format: Format) -> String {
    match format {
        Format::Yaml => yaml(value),
        Format::Pretty | Format::Tsv | Format::Json => spaced(value) + "\n",
    }
}

/// Rows under their columns' names.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Table {
    /// Stands in the upper line of a pretty table. A table that has one leaves empty fields out
    /// of JSON and YAML.
    pub title: Option<String>,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    /// Columns whose fields stand at the right.
    pub right: Vec<&'static str>,
}

impl Table {
    pub fn print(&self, format: Format) -> String {
        match format {
            Format::Pretty => self.pretty(),
            Format::Tsv => self.separated("\t"),
            Format::Json | Format::Yaml => data(&self.objects(), format),
        }
    }

    fn objects(&self) -> Value {
        let shown = |value: &Value| self.title.is_none() || !word(value).is_empty();
        let object = |row: &Vec<Value>| {
            let fields = self.columns.iter().zip(row).filter(|(_, value)| shown(value));
            fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
        };
        self.rows.iter().map(object).map(Value::Object).collect()
    }

    /// Fields with `delimiter` between them.
    pub fn separated(&self, delimiter: &str) -> String {
        let rows = self.rows.iter().map(|row| row.iter().map(word).collect::<Vec<_>>());
        let lines = [self.columns.clone()].into_iter().chain(rows);
        lines.map(|line| line.join(delimiter) + "\n").collect()
    }

    /// As PrettyTable frames it: the title in the upper line, one blank beside each field.
    fn pretty(&self) -> String {
        let cells: Vec<Vec<Vec<String>>> = self.rows.iter().map(|row| lines_of(row)).collect();
        let width = |column: usize| {
            let of_row = |row: &Vec<Vec<String>>| {
                row.get(column).into_iter().flatten().map(|line| len(line)).max()
            };
            let most = cells.iter().filter_map(of_row).max().unwrap_or(0);
            most.max(len(&self.columns[column]))
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let rule: String =
            widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect();
        let rule = rule + "+";
        let mut text = self.titled(&rule) + "\n";
        let heading: Vec<Vec<String>> =
            self.columns.iter().map(|name| vec![name.clone()]).collect();
        self.write_row(&mut text, &heading, &widths);
        text += &format!("{rule}\n");
        // Rows of several lines are told apart by rules.
        let tall = cells.iter().flatten().any(|lines| lines.len() > 1);
        for (number, row) in cells.iter().enumerate() {
            self.write_row(&mut text, row, &widths);
            if tall && number + 1 < cells.len() {
                text += &format!("{rule}\n");
            }
        }
        text + &rule + "\n"
    }

    fn titled(&self, rule: &str) -> String {
        let Some(title) = &self.title else { return rule.to_owned() };
        let title: String =
            format!(" {title} ").chars().take(rule.len().saturating_sub(2)).collect();
        format!("+{title}{}", &rule[(1 + len(&title)).min(rule.len())..])
    }

    fn write_row(&self, text: &mut String, row: &[Vec<String>], widths: &[usize]) {
        let height = row.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            for ((cell, width), name) in row.iter().zip(widths).zip(&self.columns) {
                let field = cell.get(line).map_or("", String::as_str);
                let blanks = " ".repeat(width - len(field));
                let right = self.right.contains(&name.as_str());
                // Writing to a string does not fail.
                let _ = match right {
                    true => write!(text, "| {blanks}{field} "),
                    false => write!(text, "| {field}{blanks} "),
                };
            }
            *text += "|\n";
        }
    }
}

fn lines_of(row: &[Value]) -> Vec<Vec<String>> {
    row.iter().map(|value| word(value).split('\n').map(str::to_owned).collect()).collect()
}

fn len(text: &str) -> usize {
    text.chars().count()
}

/// A field as it stands in a line.
fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON with a blank after `,` and `:`, as Python prints it.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            format!("[{}]", list.iter().map(spaced).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let field = |(name, value): (&String, &Value)| {
                format!("{}: {}", Value::from(name.as_str()), spaced(value))
            };
            format!("{{{}}}", map.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members() -> Table {
        let columns = ["Cluster", "Member", "TL", "Lag in MB"];
        Table {
            title: Some("Cluster: demo".to_owned()),
            columns: columns.map(str::to_owned).to_vec(),
            rows: vec![
                vec![json!("demo"), json!("n1"), json!(1), json!("")],
                vec![json!("demo"), json!("n2"), json!(1), json!(0)],
            ],
            right: vec!["TL", "Lag in MB"],
        }
    }

    #[test]
    fn a_table_in_every_form() {
        let pretty = "\
+ Cluster: demo ---+----+-----------+
| Cluster | Member | TL | Lag in MB |
+---------+--------+----+-----------+
| demo    | n1     |  1 |           |
| demo    | n2     |  1 |         0 |
+---------+--------+----+-----------+
";
        assert_eq!(members().print(Format::Pretty), pretty);
        let tsv = "Cluster\tMember\tTL\tLag in MB\ndemo\tn1\t1\t\ndemo\tn2\t1\t0\n";
        assert_eq!(members().print(Format::Tsv), tsv);
        let json = "[{\"Cluster\": \"demo\", \"Member\": \"n1\", \"TL\": 1}, \
                    {\"Cluster\": \"demo\", \"Lag in MB\": 0, \"Member\": \"n2\", \"TL\": 1}]\n";
        assert_eq!(members().print(Format::Json), json);
        let yaml = "- Cluster: demo\n  Member: n1\n  TL: 1\n\
                    - Cluster: demo\n  Lag in MB: 0\n  Member: n2\n  TL: 1\n";
        assert_eq!(members().print(Format::Yaml), yaml);
        assert_eq!(Table::default().print(Format::Json), "[]\n");
    }

    #[test]
    fn a_field_of_several_lines_stands_in_several() {
        let columns = vec!["a".to_owned(), "b".to_owned()];
        let rows = vec![vec![json!("x\nyy"), Value::Null], vec![json!("z"), json!(true)]];
        let table = Table { title: None, columns, rows, right: Vec::new() };
        let wanted = "\
+----+------+
| a  | b    |
+----+------+
| x  |      |
| yy |      |
+----+------+
| z  | true |
+----+------+
";
        assert_eq!(table.print(Format::Pretty), wanted);
    }
}
