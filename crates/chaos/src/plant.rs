//! Faults put in on purpose, so that it shows that the judge finds them: a row that was
//! acknowledged is really deleted, two items of a list really change places.

use anyhow::{Context, Result, ensure};
use tokio_postgres::Config;

use crate::check::Verdict;
use crate::clients::tables;
use crate::history::{Final, History, Outcome, What};

/// What is put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    LostRow,
    Reorder,
}

impl Plant {
    pub fn named(name: &str) -> Option<Plant> {
        match name {
            "lost-row" => Some(Plant::LostRow),
            "reorder" => Some(Plant::Reorder),
            _ => None,
        }
    }

    /// Does it, on the primary behind `hosts`.
    pub async fn put_in(self, hosts: &[Config], history: &History) -> Result<()> {
        let sql = match self {
            Plant::LostRow => {
                let acknowledged = history.with(Outcome::Acknowledged);
                let mut rows = acknowledged.filter_map(|op| match op.what {
                    What::Insert { id } => Some(id),
                    _ => None,
                });
                let id = rows.next().context("a row that was acknowledged")?;
                format!("DELETE FROM chaos_rows WHERE id = {id} RETURNING id")
            }
            Plant::Reorder => {
                let held = tables::read(hosts).await?;
                let (key, items) = swapped(history, &held).context("a list of two items")?;
                let items: Vec<String> = items.iter().map(i64::to_string).collect();
                let items = items.join(",");
                format!(
                    "UPDATE chaos_lists SET items = ARRAY[{items}]::bigint[] \
                     WHERE key = '{key}' RETURNING key"
                )
            }
        };
        let changed = tables::run(hosts, &sql).await?;
        ensure!(changed.len() == 1, "`{sql}` changed {} rows", changed.len());
        Ok(())
    }

    /// Whether the judge found it, and nothing else. A reader may have seen the row.
    pub fn is_found(self, verdict: &Verdict) -> bool {
        let (found, besides) = match self {
            Plant::LostRow => (verdict.lost.len(), verdict.vanished.len()),
            Plant::Reorder => (verdict.reordered.len(), 0),
        };
        found == 1 && besides <= 1 && verdict.complaints().len() == 1 + besides
    }
}

/// A list in which the last item that was acknowledged stands where one stood that was
/// acknowledged before it was sent.
fn swapped(history: &History, held: &Final) -> Option<(String, Vec<i64>)> {
    held.lists.iter().find_map(|(key, items)| {
        let acknowledged = |item: &i64| {
            let mut ops = history.with(Outcome::Acknowledged);
            ops.find(|op| matches!(&op.what, What::Append { item: one, .. } if one == item))
        };
        let at = items.len().checked_sub(2)?;
        let (one, other) = (acknowledged(&items[at])?, acknowledged(&items[at + 1])?);
        let mut items = items.clone();
        items.swap(at, at + 1);
        (one.done < other.sent).then(|| (key.clone(), items))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::judge;
    use crate::history::Op;

    #[test]
    fn the_judge_finds_what_is_swapped() {
        let op = |item: i64, sent: u64| Op {
            client: "c".to_owned(),
            what: What::Append { key: "k".to_owned(), item },
            sent,
            done: sent + 1,
            outcome: Outcome::Acknowledged,
            made: None,
        };
        let ops = vec![op(1, 0), op(2, 10), op(3, 20)];
        let history = History { ops, ..History::default() };
        let lists = BTreeMap::from([("k".to_owned(), vec![1, 2, 3])]);
        let mut held = Final { lists, ..Final::default() };
        assert!(judge(&history, &held, 30).complaints().is_empty());
        let (key, items) = swapped(&history, &held).expect("two items");
        held.lists.insert(key, items);
        assert!(Plant::Reorder.is_found(&judge(&history, &held, 30)));
        assert!(!Plant::LostRow.is_found(&judge(&history, &held, 30)));
    }
}
