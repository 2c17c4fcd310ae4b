//! Conversations: turns of a client, drawn from a seed.

use std::collections::BTreeMap;

use super::chance::Chance;
use super::saying::{Saying, Until};
use super::statements;

/// One client's turns, from its table to its end.
pub fn conversation(seed: u64) -> Vec<Saying> {
    let mut script = Script { chance: Chance(seed), mark: seed, values: BTreeMap::new() };
    let mut first = Saying::default();
    first.query(&format!("create table t{seed} (a int, b text)"));
    let mut turns = vec![first];
    for _ in 0..10 + script.chance.below(25) {
        turns.push(script.turn());
    }
    turns
}

struct Script {
    chance: Chance,
    mark: u64,
    /// How many values a statement takes, by its name, if its last Parse has passed.
    values: BTreeMap<&'static str, usize>,
}

const STATEMENTS: [&str; 4] = ["", "s0", "s1", "s2"];
/// Of a statement of the protocol: seen where it stands alone.
const DEALLOCATE: &str = "DEALLOCATE prepare s1;";
const PORTALS: [&str; 3] = ["", "a", "b"];

impl Script {
    fn turn(&mut self) -> Saying {
        match self.chance.below(20) {
            0..=6 => self.simple(),
            7..=14 => self.pipeline(),
            15 => self.flushed(),
            16 => self.call(),
            17 => self.copy_simple(),
            18 => self.copy_extended(),
            _ => self.copy_at_once(),
        }
    }

    fn statement(&mut self) -> String {
        statements::any(&mut self.chance, self.mark)
    }

    /// One Query or several at once, each of one statement or several.
    fn simple(&mut self) -> Saying {
        let mut saying = Saying::default();
        for _ in 0..self.chance.of(&[1, 1, 1, 2, 4]) {
            let text = match self.chance.below(12) {
                0 => self
                    .chance
                    .of(&["discard all", "deallocate all", " DISCARD ALL;", DEALLOCATE])
                    .to_owned(),
                1..=3 => {
                    let count = self.chance.below(4) + 1;
                    let parts: Vec<_> = (0..count).map(|_| self.statement()).collect();
                    parts.join("; ")
                }
                4 => format!("select length('{}')", "y".repeat(self.chance.below(150_000))),
                _ => self.statement(),
            };
            saying.query(&text);
        }
        saying
    }

    /// Batches and queries, all said before anything is heard.
    fn pipeline(&mut self) -> Saying {
        let mut saying = Saying::default();
        for _ in 0..self.chance.of(&[1, 1, 2, 3]) {
            for _ in 0..self.chance.below(4) {
                self.unit(&mut saying);
            }
            saying.sync();
            if self.chance.percent(10) {
                saying.query(&self.statement());
            }
        }
        saying
    }

    fn unit(&mut self, saying: &mut Saying) {
        if self.chance.percent(2) {
            saying.parse("", DEALLOCATE);
            saying.bind("", "", &[], 0);
            return saying.execute("", 0);
        }
        let name = self.chance.of(&STATEMENTS);
        let portal = self.chance.of(&PORTALS);
        match self.chance.below(15) {
            0..=3 => {
                self.prepare("", saying);
                self.carry_out("", "", saying);
            }
            4..=6 => {
                self.prepare(name, saying);
                self.carry_out(name, portal, saying);
            }
            7..=9 => self.carry_out(name, portal, saying),
            10 => {
                self.prepare(name, saying);
                saying.describe(b'S', name);
            }
            11 => saying.close(self.chance.of(b"SP"), self.chance.of(&["", "s0", "s1", "a", "p0"])),
            // The unnamed one may be what an aborted transaction has left: PostgreSQL 15.18 dies of it.
            13 => saying.execute(self.chance.of(&["a", "b"]), self.chance.of(&[0, 2])),
            12 => saying.describe(b'P', portal),
            // In a batch of its own: see `heard::forget_what_is_prepared_again`.
            _ => {
                saying.sync();
                saying.describe(b'S', self.chance.of(&STATEMENTS));
                saying.sync();
            }
        }
    }

    fn prepare(&mut self, name: &'static str, saying: &mut Saying) {
        let text = self.statement();
        // What it answers depends on what there was when it was prepared, and it may be prepared again.
        let is_settled =
            name.is_empty() || !text.starts_with("execute") && !text.starts_with("fetch");
        let (text, values) = match is_settled && self.chance.percent(50) {
            true => (text, 0),
            false => statements::with_parameters(&mut self.chance, self.mark),
        };
        // Of two errors, that the name is taken and that the transaction is aborted, only one is told.
        let ends = text.starts_with("commit") || text.starts_with("rollback");
        if !name.is_empty() && (ends || self.chance.percent(60)) {
            saying.close(b'S', name);
        }
        saying.parse(name, &text);
        self.values.insert(name, values);
    }

    fn carry_out(&mut self, name: &'static str, portal: &str, saying: &mut Saying) {
        let count = self.values.get(name).copied().unwrap_or(0);
        let count = if self.chance.percent(3) { 1 } else { count };
        let values: Vec<_> = (0..count).map(|_| self.value()).collect();
        // A statement that SQL has prepared is the server's own.
        let name = if self.chance.percent(4) { "p0" } else { name };
        saying.bind(portal, name, &values, self.chance.of(&[0, 0, 1]));
        if self.chance.percent(50) {
            saying.describe(b'P', portal);
        }
        let rows = self.chance.of(&[0, 0, 1, 3]);
        saying.execute(portal, rows);
        if rows > 0 && self.chance.percent(60) {
            saying.execute(portal, 2);
        }
        if self.chance.percent(15) {
            saying.close(b'P', portal);
        }
    }

    fn value(&mut self) -> (u16, Vec<u8>) {
        let n = self.chance.below(7);
        match self.chance.below(10) {
            0 => (1, u32::try_from(n).expect("small").to_be_bytes().to_vec()),
            1 => (0, "z".repeat(self.chance.below(120_000)).into_bytes()),
            2 => (0, format!("v{}", self.mark).into_bytes()),
            _ => (0, n.to_string().into_bytes()),
        }
    }

    /// A Flush is answered before there is a Sync.
    fn flushed(&mut self) -> Saying {
        let mut saying = Saying { until: Some(Until::Answer), ..Saying::default() };
        let (text, count) = statements::with_parameters(&mut self.chance, self.mark);
        let values: Vec<_> = (0..count).map(|_| self.value()).collect();
        saying.parse("", &text);
        saying.bind("", "", &values, 0);
        saying.execute("", 2);
        saying.flush();
        let mut rest = Saying::default();
        self.unit(&mut rest);
        rest.sync();
        saying.then = Some(Box::new((rest.clone(), Some(rest))));
        saying
    }

    fn call(&mut self) -> Saying {
        let mut saying = Saying::default();
        // int4pl, lower, and none.
        match self.chance.below(4) {
            0 => saying.call(177, &["4", "5"]),
            1 => saying.call(870, &["ABC"]),
            2 => saying.call(177, &["4", "five"]),
            _ => saying.call(1, &[]),
        }
        saying
    }

    fn copy_text(&mut self) -> String {
        let mark = self.mark;
        let more = self.chance.of(&["", "", "; select 'behind'"]);
        match self.chance.below(8) {
            0 => "copy missing from stdin".to_owned(),
            _ => format!("copy t{mark} from stdin{more}"),
        }
    }

    fn data(&mut self, saying: &mut Saying) {
        for _ in 0..self.chance.below(4) {
            match self.chance.below(9) {
                0 => saying.copy_data("no number\tx\n"),
                1 => saying.copy_data(&"7\tmany\n".repeat(self.chance.below(9_000))),
                2 => saying.copy_data("1\tcut"),
                _ => saying.copy_data("1\tone\n2\ttwo\n"),
            }
        }
        match self.chance.percent(20) {
            true => saying.copy_fail("enough"),
            false => saying.copy_done(),
        }
    }

    fn copy_simple(&mut self) -> Saying {
        let mut saying = Saying::default();
        saying.query(&self.copy_text());
        saying.until = Some(Until::Copying { synced: true });
        let mut copied = Saying { readies: 1, ..Saying::default() };
        self.data(&mut copied);
        saying.then = Some(Box::new((copied, None)));
        saying
    }

    fn copy_extended(&mut self) -> Saying {
        let mut saying = Saying::default();
        // libpq says Sync at once, which COPY passes over.
        let synced = self.chance.percent(50);
        saying.parse(
            "",
            &format!("copy {}{} from stdin", self.chance.of(&["t", "t", "u"]), self.mark),
        );
        saying.bind("", "", &[], 0);
        saying.execute("", 0);
        if synced {
            saying.sync()
        } else {
            saying.flush()
        }
        saying.until = Some(Until::Copying { synced });
        let mut copied = Saying::default();
        self.data(&mut copied);
        copied.sync();
        let mut refused = Saying::default();
        if !synced {
            refused.sync();
        }
        for saying in [&mut copied, &mut refused] {
            forget(saying);
        }
        saying.then = Some(Box::new((copied, Some(refused))));
        saying
    }

    /// Without waiting for COPY to begin.
    fn copy_at_once(&mut self) -> Saying {
        let mut saying = Saying::default();
        if self.chance.percent(50) {
            saying.query(&self.copy_text());
            self.data(&mut saying);
        } else {
            saying.parse("", &format!("copy t{} from stdin", self.mark));
            saying.bind("", "", &[], 0);
            saying.execute("", 0);
            self.data(&mut saying);
            saying.sync();
            forget(&mut saying);
        }
        saying
    }
}

/// The unnamed statement is COPY no more: whoever speaks of other things while the server reads data
/// loses its session.
fn forget(saying: &mut Saying) {
    saying.parse("", "select 0");
    saying.sync();
}
