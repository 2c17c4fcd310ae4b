//! YAML as patronictl prints and reads it.

use howdah_import::yaml::{self, BadYaml, Node};
use serde_json::{Map, Value};

/// YAML in block style, as `patronictl` prints configurations.
pub fn yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut text, map, 0, ""),
        Value::Array(list) if !list.is_empty() => write_list(&mut text, list, 0),
        other => text = flow(other) + "\n",
    }
    text
}

/// `first`: what stands before the first line instead of its indentation.
fn write_map(text: &mut String, map: &Map<String, Value>, indent: usize, first: &str) {
    for (number, (name, value)) in map.iter().enumerate() {
        let margin = " ".repeat(indent);
        let margin = if number == 0 && !first.is_empty() { first } else { &margin };
        let name = scalar(name);
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                *text += &format!("{margin}{name}:\n");
                write_map(text, inner, indent + 2, "");
            }
            Value::Array(inner) if !inner.is_empty() => {
                *text += &format!("{margin}{name}:\n");
                write_list(text, inner, indent);
            }
            other => *text += &format!("{margin}{name}: {}\n", flow(other)),
        }
    }
}

fn write_list(text: &mut String, list: &[Value], indent: usize) {
    let margin = " ".repeat(indent);
    for value in list {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                write_map(text, inner, indent + 2, &format!("{margin}- "));
            }
            other => *text += &format!("{margin}- {}\n", flow(other)),
        }
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text without quotes where YAML would read the same text from it.
fn scalar(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "_-./ ".contains(c);
    let plain = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text.chars().all(word)
        && !text.ends_with(' ');
    let special = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if plain && !special.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    if text.contains(|c: char| c.is_control()) {
        // JSON's strings are YAML's double-quoted ones.
        return Value::from(text).to_string();
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// Reads YAML as Patroni does (PyYAML, which is YAML 1.1), as JSON. JSON is YAML.
pub fn read(text: &str) -> Result<Value, BadYaml> {
    Ok(yaml::document(text)?.as_ref().map_or(Value::Null, value))
}

fn value(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Scalar(scalar) if scalar.plain => plain(&scalar.text),
        yaml::Value::Scalar(scalar) => Value::from(scalar.text.as_str()),
        yaml::Value::List(items) => items.iter().map(value).collect(),
        yaml::Value::Map(entries) => {
            let fields = entries.iter().map(|entry| (entry.key.clone(), value(&entry.node)));
            Value::Object(fields.collect())
        }
    }
}

/// A scalar without quotes.
pub fn plain(text: &str) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" => return Value::Null,
        "true" | "yes" | "on" => return Value::Bool(true),
        "false" | "no" | "off" => return Value::Bool(false),
        _ => {}
    }
    let number = text.parse::<i64>().map(Value::from).ok();
    let real = || text.parse::<f64>().ok().filter(|_| text.contains('.')).map(Value::from);
    number.or_else(real).unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_quotes_what_would_read_as_something_else() {
        let value = json!({
            "ttl": 30, "pause": true, "nothing": null, "empty": {}, "none": [],
            "postgresql": {
                "parameters": { "jit": "off", "work_mem": "16MB", "log_line_prefix": "%m [%p] " },
                "pg_hba": ["host all all ::1/128 md5", "local all all trust"],
            },
            "odd": ["it's", "a\nb", "", "- x", "a: b", "12", "#no"],
        });
        let wanted = "\
empty: {}
none: []
nothing: null
odd:
- 'it''s'
- \"a\\nb\"
- ''
- '- x'
- 'a: b'
- '12'
- '#no'
pause: true
postgresql:
  parameters:
    jit: 'off'
    log_line_prefix: '%m [%p] '
    work_mem: '16MB'
  pg_hba:
  - 'host all all ::1/128 md5'
  - local all all trust
ttl: 30
";
        assert_eq!(yaml(&value), wanted);
        assert_eq!(read(wanted).expect("YAML"), value, "it reads back");
    }

    #[test]
    fn scalars_are_read_as_patroni_reads_them() {
        let text = "ttl: 30\npause: on\nquoted: 'on'\nnothing:\nreal: 0.5\nname: n1.example\n";
        let wanted = json!({
            "ttl": 30, "pause": true, "quoted": "on", "nothing": null, "real": 0.5,
            "name": "n1.example",
        });
        assert_eq!(read(text).expect("YAML"), wanted);
        assert_eq!(
            read(r#"{"ttl": 30, "a": ["x"]}"#).expect("JSON"),
            json!({ "ttl": 30, "a": ["x"] })
        );
        assert!(read("a: [").is_err());
    }
}
