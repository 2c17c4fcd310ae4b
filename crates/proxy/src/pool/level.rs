//! One limit on servers: of a pool, of a database, of a role, or of all. What is guaranteed to a
//! class is kept free of the others at each of them, while the class has clients there.

use super::accounts::Class;

/// No limit.
pub(super) const NO_LIMIT: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Level {
    limit: u32,
    /// By class.
    parts: Vec<Part>,
    in_use: u32,
    /// Connections to servers, used or not, and those that are being opened.
    pub connections: u32,
    /// Pools that count here.
    pub pools: u32,
}

#[derive(Clone, Copy, Default, Debug)]
struct Part {
    in_use: u32,
    clients: u32,
}

impl Level {
    pub fn new(limit: Option<u32>, classes: usize) -> Level {
        Level {
            limit: limit.unwrap_or(NO_LIMIT),
            parts: vec![Part::default(); classes],
            in_use: 0,
            connections: 0,
            pools: 0,
        }
    }

    /// More servers, or fewer: those in use stay until they come back.
    pub fn resize(&mut self, limit: Option<u32>) {
        self.limit = limit.unwrap_or(NO_LIMIT);
    }

    /// So many classes from now on.
    pub fn grow(&mut self, classes: usize) {
        self.parts.resize(classes, Part::default());
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    pub fn in_use(&self) -> u32 {
        self.in_use
    }

    pub fn in_use_by(&self, class: usize) -> u32 {
        self.parts[class].in_use
    }

    pub fn enter(&mut self, class: usize) {
        self.parts[class].clients += 1;
    }

    pub fn leave(&mut self, class: usize) {
        self.parts[class].clients -= 1;
    }

    pub fn take(&mut self, class: usize) {
        self.in_use += 1;
        self.parts[class].in_use += 1;
    }

    pub fn give_back(&mut self, class: usize) {
        self.in_use -= 1;
        self.parts[class].in_use -= 1;
    }

    /// Whether a class may have one more, with `more` beyond the limit: something is free, less
    /// what must stay free for the others. A class with less than its guarantee takes from nobody's,
    /// and one that has nothing may always have one: nobody is shut out by others' idleness.
    pub fn may_take(&self, class: usize, classes: &[Class], more: u32) -> bool {
        if self.limit == NO_LIMIT {
            return true;
        }
        let limit = self.limit.saturating_add(more);
        let free = limit.saturating_sub(self.in_use);
        let own = guaranteed(classes[class], limit).max(1);
        if free == 0 || self.parts[class].in_use < own {
            return free > 0;
        }
        let others = self.parts.iter().zip(classes).enumerate().filter(|(at, _)| *at != class);
        let kept: u32 = others
            .filter(|(_, (part, _))| part.clients > 0)
            .map(|(_, (part, class))| guaranteed(*class, limit).saturating_sub(part.in_use))
            .sum();
        free > kept
    }
}

/// Servers of `limit` that are a class's whatever the others do.
fn guaranteed(class: Class, limit: u32) -> u32 {
    let part = u64::from(limit) * u64::from(class.guaranteed.min(100)) / 100;
    u32::try_from(part).unwrap_or(limit)
}
