//! Changes of single values in the cluster file's text; comments and order stay.

use howdah_base::ask::{Refusal, RefusalClass};
use toml_edit::{DocumentMut, Item, Table, TableLike};

/// A cluster file under change.
pub(super) struct Editor {
    document: DocumentMut,
}

impl Editor {
    pub fn of(text: &str) -> Result<Editor, Refusal> {
        let document = text.parse().map_err(|error| {
            // It is in force, so it has been read before.
            Refusal::new(format!("cannot read the cluster file in force: {error}"))
                .class(RefusalClass::Unavailable)
        })?;
        Ok(Editor { document })
    }

    /// Gives the key at `path` this value; a comment behind the old one stays.
    pub fn set(&mut self, path: &[&str], item: Item) -> Result<(), Refusal> {
        let Some((key, tables)) = path.split_last() else { return Ok(()) };
        put(self.table(tables)?, key, item);
        Ok(())
    }

    /// Takes the key at `path` out, so that its default is in force.
    pub fn remove(&mut self, path: &[&str]) -> Result<(), Refusal> {
        let Some((key, tables)) = path.split_last() else { return Ok(()) };
        self.table(tables)?.remove(key);
        Ok(())
    }

    /// Makes the table at `path` hold exactly these.
    pub fn set_all(&mut self, path: &[&str], items: &[(String, Item)]) -> Result<(), Refusal> {
        let table = self.table(path)?;
        let there: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
        for key in there.iter().filter(|key| !items.iter().any(|(name, _)| name == *key)) {
            table.remove(key);
        }
        for (key, item) in items {
            if !says_the_same(table.get(key), item) {
                put(table, key, item.clone());
            }
        }
        Ok(())
    }

    pub fn text(&self) -> String {
        self.document.to_string()
    }

    /// The table at `path`, made where it is missing.
    fn table(&mut self, path: &[&str]) -> Result<&mut dyn TableLike, Refusal> {
        let mut table: &mut dyn TableLike = self.document.as_table_mut();
        for key in path {
            let item = table.entry(key).or_insert_with(|| Item::Table(Table::new()));
            table = item.as_table_like_mut().ok_or_else(|| {
                Refusal::new(format!("not a table in the cluster file: `{key}`"))
                    .class(RefusalClass::Malformed)
            })?;
        }
        Ok(table)
    }
}

fn put(table: &mut dyn TableLike, key: &str, mut item: Item) {
    let there = table.get_mut(key).and_then(Item::as_value_mut);
    if let (Some(there), Some(value)) = (there, item.as_value_mut()) {
        *value.decor_mut() = there.decor().clone();
        *there = value.clone();
    } else {
        table.insert(key, item);
    }
}

/// `"200"` and `200` are one for PostgreSQL.
fn says_the_same(there: Option<&Item>, wanted: &Item) -> bool {
    let text = |item: &Item| {
        item.as_str().map_or_else(|| item.to_string().trim().to_owned(), str::to_owned)
    };
    there.is_some_and(|there| text(there) == text(wanted))
}
