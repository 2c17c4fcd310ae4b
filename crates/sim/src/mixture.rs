//! Several mistakes in one run: a rule that others insure shows only where those are left out too.

use crate::planted::{Planted, ROWS};

/// What is left out of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mistakes {
    /// The one that the run is about.
    pub about: Planted,
    set: u64,
}

impl Mistakes {
    pub fn none() -> Mistakes {
        Mistakes::default()
    }

    #[must_use]
    pub fn and(self, others: &[Planted]) -> Mistakes {
        let set = others.iter().fold(self.set, |set, other| set | 1 << *other as u64);
        Mistakes { set, ..self }
    }

    /// The others alone, in runs that are about this one.
    #[must_use]
    pub fn without_its_own(self) -> Mistakes {
        Mistakes { set: self.set & !(1 << self.about as u64), ..self }
    }

    pub fn has(self, planted: Planted) -> bool {
        self.set & 1 << planted as u64 != 0
    }

    pub fn is_empty(self) -> bool {
        self.set == 0
    }

    pub fn all(self) -> impl Iterator<Item = Planted> {
        ROWS.iter().map(|row| row.planted).filter(move |planted| self.has(*planted))
    }
}

impl From<Planted> for Mistakes {
    fn from(about: Planted) -> Mistakes {
        let none = Mistakes { about, set: 0 };
        if about == Planted::Nothing { none } else { none.and(&[about]) }
    }
}
