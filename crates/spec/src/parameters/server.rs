//! What the server that was found knows: the output of `postgres --describe-config`.

use std::collections::BTreeMap;
use std::fmt;

/// The parameters of one server.
#[derive(Clone, PartialEq, Debug)]
pub struct ServerParameters {
    pub major: u32,
    /// By name in lower case.
    parameters: BTreeMap<String, ServerParameter>,
}

/// One parameter, as its server describes it.
#[derive(Clone, PartialEq, Debug)]
pub struct ServerParameter {
    /// When it can be changed: `postmaster`, `sighup`, `superuser`, `user` and so on.
    pub context: String,
    pub vartype: VarType,
    /// In the parameter's own unit.
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// The type of a parameter's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VarType {
    Boolean,
    Integer,
    Real,
    Text,
    Enum,
}

/// The text is not the output of `postgres --describe-config`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadDescription {
    /// The line that cannot be read; empty when there are no lines.
    pub line: String,
}

impl fmt::Display for BadDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a line of `postgres --describe-config`: `{}`", self.line)
    }
}

impl std::error::Error for BadDescription {}

impl ServerParameters {
    /// Reads the output of `postgres --describe-config`: a line a parameter, fields set apart
    /// by tabs: name, context, group, type, default, least, most, two descriptions.
    pub fn parse(major: u32, text: &str) -> Result<ServerParameters, BadDescription> {
        let lines = text.lines().filter(|line| !line.is_empty());
        let parameters: BTreeMap<_, _> =
            lines.map(parse_line).collect::<Result<_, BadDescription>>()?;
        if parameters.is_empty() {
            return Err(BadDescription { line: String::new() });
        }
        Ok(ServerParameters { major, parameters })
    }

    /// The parameter `name`, in any case.
    pub fn get(&self, name: &str) -> Option<&ServerParameter> {
        self.parameters.get(&name.to_ascii_lowercase())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.keys().map(String::as_str)
    }
}

impl ServerParameter {
    /// Whether `ALTER ROLE ... SET` and `ALTER DATABASE ... SET` can set it.
    pub fn settable_in_session(&self) -> bool {
        !matches!(self.context.as_str(), "internal" | "postmaster" | "sighup")
    }
}

fn parse_line(line: &str) -> Result<(String, ServerParameter), BadDescription> {
    let bad = || BadDescription { line: line.to_owned() };
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, context, _group, vartype, _default, min, max, ..] = fields.as_slice() else {
        return Err(bad());
    };
    let vartype = match *vartype {
        "BOOLEAN" => VarType::Boolean,
        "INTEGER" => VarType::Integer,
        "REAL" => VarType::Real,
        "STRING" => VarType::Text,
        "ENUM" => VarType::Enum,
        _ => return Err(bad()),
    };
    let context = (*context).to_owned();
    let parameter =
        ServerParameter { context, vartype, min: min.parse().ok(), max: max.parse().ok() };
    Ok((name.to_ascii_lowercase(), parameter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK_MEM: &str = "work_mem\tuser\tResource Usage / Memory\tINTEGER\t4096\t64\t2147483647\tSets the maximum.\tMuch.\n";

    #[test]
    fn the_servers_own_description_is_read() {
        let server = ServerParameters::parse(15, WORK_MEM).expect("valid");
        let work_mem = server.get("Work_Mem").expect("listed");
        assert_eq!(work_mem.vartype, VarType::Integer);
        assert_eq!((work_mem.min, work_mem.max), (Some(64.0), Some(2_147_483_647.0)));
        assert!(work_mem.settable_in_session());
    }

    #[test]
    fn another_text_is_refused() {
        for bad in ["", "postgres: error", "a\tb\tc\tNUMBER\t1\t2\t3"] {
            assert!(ServerParameters::parse(15, bad).is_err(), "{bad}");
        }
    }
}
