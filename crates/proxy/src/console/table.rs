//! Rows as PostgreSQL's protocol has them (RowDescription, DataRow), all values as texts.

use std::fmt::Display;

use howdah_wire::message;

/// A column's type, by PostgreSQL's number for it and the bytes of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Int4,
    Int8,
    Numeric,
}

impl Kind {
    fn oid_and_len(self) -> (u32, i16) {
        match self {
            Kind::Text => (25, -1),
            Kind::Int4 => (23, 4),
            Kind::Int8 => (20, 8),
            Kind::Numeric => (1_700, -1),
        }
    }
}

pub(super) type Column = (&'static str, Kind);

/// One answer.
#[derive(Debug)]
pub(super) struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

/// Values from the left to the right; `None` is NULL.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Row(pub Vec<Option<String>>);

impl Row {
    pub fn and(mut self, value: impl Display) -> Row {
        self.0.push(Some(value.to_string()));
        self
    }

    pub fn and_all<T: Display>(mut self, values: impl IntoIterator<Item = T>) -> Row {
        self.0.extend(values.into_iter().map(|value| Some(value.to_string())));
        self
    }

    pub fn or_null(mut self, value: Option<impl Display>) -> Row {
        self.0.push(value.map(|value| value.to_string()));
        self
    }
}

impl Table {
    pub fn new(columns: &[Column]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// All of it, without its CommandComplete.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut body = count(self.columns.len()).to_vec();
        for (name, kind) in &self.columns {
            let (oid, len) = kind.oid_and_len();
            body.extend_from_slice(name.as_bytes());
            // No table, no column of one.
            body.extend_from_slice(&[0; 7]);
            body.extend_from_slice(&oid.to_be_bytes());
            body.extend_from_slice(&len.to_be_bytes());
            body.extend_from_slice(&(-1_i32).to_be_bytes());
            body.extend_from_slice(&[0; 2]);
        }
        message(out, b'T', &[&body]);
        for Row(values) in &self.rows {
            body.clear();
            body.extend_from_slice(&count(values.len()));
            for value in values {
                match value {
                    None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
                    Some(value) => {
                        let len = i32::try_from(value.len()).unwrap_or(i32::MAX);
                        body.extend_from_slice(&len.to_be_bytes());
                        body.extend_from_slice(value.as_bytes());
                    }
                }
            }
            message(out, b'D', &[&body]);
        }
    }
}

fn count(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_bytes_that_pgbouncer_sends() {
        let mut table = Table::new(&[("key", Kind::Text), ("items", Kind::Int4)]);
        table.add(Row::default().and("pools").and(3));
        table.add(Row::default().or_null(None::<&str>).and(-1));
        let mut out = Vec::new();
        table.write(&mut out);
        let want = b"T\0\0\0\x34\0\x02key\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0\
            items\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0\
            D\0\0\0\x14\0\x02\0\0\0\x05pools\0\0\0\x013\
            D\0\0\0\x10\0\x02\xff\xff\xff\xff\0\0\0\x02-1";
        assert_eq!(out, want, "{}", out.escape_ascii());
    }
}
