//! What a client says in one go: its bytes, and a line for each message to read when it fails.

use howdah_wire::message;

/// When enough has been heard to say more.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many ReadyForQuery.
    Ready(usize),
    /// One answer to an Execute; no Sync has been said.
    Answer,
    /// COPY has begun, or been refused, in a batch with or without its Sync.
    Copying { synced: bool },
}

/// One turn of a client.
#[derive(Clone, Default, Debug)]
pub struct Saying {
    pub lines: Vec<String>,
    pub bytes: Vec<u8>,
    pub readies: usize,
    pub until: Option<Until>,
    /// What comes next where COPY has begun, and where it has not.
    pub then: Option<Box<(Saying, Option<Saying>)>>,
}

impl Saying {
    pub fn until(&self) -> Until {
        self.until.unwrap_or(Until::Ready(self.readies))
    }

    fn say(&mut self, kind: u8, line: String, parts: &[&[u8]]) {
        message(&mut self.bytes, kind, parts);
        self.lines.push(line);
    }

    pub fn query(&mut self, sql: &str) {
        self.readies += 1;
        self.say(b'Q', format!("Query {}", shown(sql)), &[sql.as_bytes(), &[0]]);
    }

    pub fn parse(&mut self, name: &str, sql: &str) {
        let line = format!("Parse `{name}` {}", shown(sql));
        self.say(b'P', line, &[name.as_bytes(), &[0], sql.as_bytes(), &[0, 0, 0]]);
    }

    /// Values with their formats, and the format of all results.
    pub fn bind(&mut self, portal: &str, statement: &str, values: &[(u16, Vec<u8>)], result: u16) {
        let count = u16::try_from(values.len()).expect("few").to_be_bytes();
        let mut body = [portal.as_bytes(), &[0], statement.as_bytes(), &[0]].concat();
        body.extend(count);
        values.iter().for_each(|(format, _)| body.extend(format.to_be_bytes()));
        body.extend(count);
        for (_, value) in values {
            body.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
            body.extend(value);
        }
        body.extend([0, 1]);
        body.extend(result.to_be_bytes());
        let formats: Vec<_> = values.iter().map(|(format, value)| (format, value.len())).collect();
        let line = format!("Bind `{portal}` to `{statement}` {formats:?} -> {result}");
        self.say(b'B', line, &[&body]);
    }

    pub fn describe(&mut self, kind: u8, name: &str) {
        let line = format!("Describe {} `{name}`", char::from(kind));
        self.say(b'D', line, &[&[kind], name.as_bytes(), &[0]]);
    }

    pub fn execute(&mut self, portal: &str, rows: u32) {
        let line = format!("Execute `{portal}` {rows}");
        self.say(b'E', line, &[portal.as_bytes(), &[0], &rows.to_be_bytes()]);
    }

    pub fn close(&mut self, kind: u8, name: &str) {
        let line = format!("Close {} `{name}`", char::from(kind));
        self.say(b'C', line, &[&[kind], name.as_bytes(), &[0]]);
    }

    pub fn sync(&mut self) {
        self.readies += 1;
        self.say(b'S', "Sync".to_owned(), &[]);
    }

    pub fn flush(&mut self) {
        self.say(b'H', "Flush".to_owned(), &[]);
    }

    pub fn copy_data(&mut self, data: &str) {
        self.say(b'd', format!("CopyData {}", shown(data)), &[data.as_bytes()]);
    }

    pub fn copy_done(&mut self) {
        self.say(b'c', "CopyDone".to_owned(), &[]);
    }

    pub fn copy_fail(&mut self, why: &str) {
        self.say(b'f', format!("CopyFail {why}"), &[why.as_bytes(), &[0]]);
    }

    /// Calls a function by its number, with values as text.
    pub fn call(&mut self, function: u32, values: &[&str]) {
        self.readies += 1;
        let mut body = function.to_be_bytes().to_vec();
        body.extend([0, 0]);
        body.extend(u16::try_from(values.len()).expect("few").to_be_bytes());
        for value in values {
            body.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
            body.extend(value.as_bytes());
        }
        body.extend([0, 0]);
        self.say(b'F', format!("FunctionCall {function} {values:?}"), &[&body]);
    }
}

fn shown(text: &str) -> String {
    let beginning: String = text.chars().take(120).collect();
    match beginning.len() == text.len() {
        true => format!("`{text}`"),
        false => format!("`{beginning}...` ({} bytes)", text.len()),
    }
}
