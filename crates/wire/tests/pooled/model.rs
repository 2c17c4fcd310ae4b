//! A model of PostgreSQL's rules for statements, portals, transactions and COPY FROM.

use std::collections::{HashMap, VecDeque};

/// What a server of its own says to all of it.
pub fn alone(said: &[u8]) -> Vec<u8> {
    let (mut model, mut out) = (Model::default(), Vec::new());
    model.input.extend(said);
    while model.turn(&mut out) {}
    out
}

/// PostgreSQL, as far as statements go.
#[derive(Default)]
pub struct Model {
    pub input: VecDeque<u8>,
    statements: HashMap<Vec<u8>, Vec<u8>>,
    portals: HashMap<Vec<u8>, Vec<u8>>,
    passing_over: bool,
    open: bool,
    failed: bool,
    /// What is read is data, for a Query or for an Execute.
    copying: Option<u8>,
}

impl Model {
    pub fn is_idle(&self) -> bool {
        self.input.is_empty() && !self.passing_over && !self.open && self.copying.is_none()
    }

    /// Works on one message.
    pub fn turn(&mut self, out: &mut Vec<u8>) -> bool {
        let head: Vec<u8> = self.input.iter().copied().take(5).collect();
        let [kind, ref len @ ..] = head[..] else { return false };
        let len = u32::from_be_bytes(<[u8; 4]>::try_from(len).expect("four")) as usize + 1;
        if self.input.len() < len {
            return false;
        }
        let message: Vec<u8> = self.input.drain(..len).collect();
        let fields: Vec<Vec<u8>> =
            message[5..].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        if let Some(of) = self.copying {
            self.copy(of, kind, &message[5..], out);
            return true;
        }
        if matches!(kind, b'd' | b'c' | b'f') || self.passing_over && kind != b'S' {
            return true;
        }
        if let Err(state) = self.answer(kind, &fields, out) {
            self.fail(kind, state, out);
        }
        true
    }

    fn fail(&mut self, kind: u8, state: &str, out: &mut Vec<u8>) {
        message(out, b'E', &[b"SERROR\0C", state.as_bytes(), b"\0\0"]);
        self.failed = self.open;
        self.passing_over = kind != b'Q';
        if !self.open {
            self.portals.clear();
        }
        if kind == b'Q' {
            self.ready(out);
        }
    }

    /// A message that COPY FROM reads: Flush and Sync are nothing to it.
    fn copy(&mut self, of: u8, kind: u8, body: &[u8], out: &mut Vec<u8>) {
        let failed = match (kind, body) {
            (b'd', b"wrong") => Some("22P02"),
            (b'd' | b'H' | b'S', _) => return,
            (b'c', _) => None,
            (b'f', _) => Some("57014"),
            _ => Some("08P01"),
        };
        self.copying = None;
        match failed {
            Some(state) => self.fail(of, state, out),
            None => {
                message(out, b'C', &[b"COPY 1\0"]);
                if of == b'Q' {
                    self.ready(out);
                }
            }
        }
    }

    fn answer(
        &mut self,
        kind: u8,
        fields: &[Vec<u8>],
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        match kind {
            b'P' => {
                if fields[0].is_empty() {
                    self.statements.remove(&fields[0]);
                }
                self.judge(&fields[1])?;
                if !fields[0].is_empty() && self.statements.contains_key(&fields[0]) {
                    return Err("42P05");
                }
                self.statements.insert(fields[0].clone(), fields[1].clone());
                message(out, b'1', &[]);
            }
            b'B' => {
                let text = self.statements.get(&fields[1]).cloned().ok_or("26000")?;
                self.judge(&text)?;
                if !fields[0].is_empty() && self.portals.contains_key(&fields[0]) {
                    return Err("42P03");
                }
                self.portals.insert(fields[0].clone(), text);
                message(out, b'2', &[]);
            }
            b'D' => {
                let (of, name) = fields[0].split_first().expect("S or P");
                let text = match of {
                    b'S' => self.statements.get(name).ok_or("26000")?,
                    _ => self.portals.get(name).ok_or("34000")?,
                };
                let text = text.clone();
                self.judge(&text)?;
                if *of == b'S' {
                    message(out, b't', &[&[0, 0]]);
                }
                message(out, b'T', &[&text]);
            }
            b'E' => {
                let text = self.portals.get(&fields[0]).cloned().ok_or("34000")?;
                self.judge(&text)?;
                if let Some(tag) = self.deallocate(&text)? {
                    message(out, b'C', &[tag]);
                    return Ok(());
                }
                if text == b"copy" {
                    // It cannot be carried out once more.
                    self.portals.remove(&fields[0]);
                    self.copying = Some(b'E');
                    message(out, b'G', &[&[0, 0, 0]]);
                    return Ok(());
                }
                message(out, b'D', &[&text]);
                if text == b"breaks" {
                    return Err("22012");
                }
                message(out, b'C', &[b"SELECT 1\0"]);
            }
            b'C' => {
                let (of, name) = fields[0].split_first().expect("S or P");
                match of {
                    b'S' => drop(self.statements.remove(name)),
                    _ => drop(self.portals.remove(name)),
                }
                message(out, b'3', &[]);
            }
            b'S' => {
                self.passing_over = false;
                self.ready(out);
            }
            b'Q' => self.query(&fields[0], out)?,
            _ => {}
        }
        Ok(())
    }

    fn query(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.statements.remove(&b""[..]);
        match text {
            b"BEGIN" if self.failed => return Err("25P02"),
            b"BEGIN" => self.open = true,
            b"ROLLBACK" => (self.open, self.failed) = (false, false),
            b" discard ALL" => {
                self.judge(text)?;
                if self.open {
                    return Err("25001");
                }
                self.statements.clear();
                message(out, b'C', &[b"DISCARD ALL\0"]);
                self.ready(out);
                return Ok(());
            }
            _ => {
                self.judge(text)?;
                if let Some(tag) = self.deallocate(text)? {
                    message(out, b'C', &[tag]);
                    self.ready(out);
                    return Ok(());
                }
                if text == b"copy" {
                    self.copying = Some(b'Q');
                    message(out, b'G', &[&[0, 0, 0]]);
                    return Ok(());
                }
                message(out, b'D', &[text]);
                if text == b"breaks" {
                    return Err("22012");
                }
            }
        }
        message(out, b'C', &[b"SELECT 1\0"]);
        self.ready(out);
        Ok(())
    }

    /// The tag, if it is one: it takes away what it names, or all.
    fn deallocate(&mut self, text: &[u8]) -> Result<Option<&'static [u8]>, &'static str> {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix(b"deallocate ") {
            None => Ok(None),
            Some(b"all") => {
                // The one without a name stays (`DropAllPreparedStatements`, prepare.c).
                self.statements.retain(|name, _| name.is_empty());
                Ok(Some(b"DEALLOCATE ALL\0"))
            }
            Some(name) => {
                self.statements.remove(name).ok_or("26000")?;
                Ok(Some(b"DEALLOCATE\0"))
            }
        }
    }

    fn judge(&self, text: &[u8]) -> Result<(), &'static str> {
        match text {
            _ if self.failed => Err("25P02"),
            b"bad" => Err("42601"),
            _ => Ok(()),
        }
    }

    fn ready(&mut self, out: &mut Vec<u8>) {
        if !self.open {
            self.portals.clear();
        }
        let status = match (self.open, self.failed) {
            (false, _) => b"I",
            (true, false) => b"T",
            (true, true) => b"E",
        };
        message(out, b'Z', &[status]);
    }
}

pub fn message(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let len = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.push(kind);
    out.extend_from_slice(&u32::try_from(len).expect("a short one").to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}
