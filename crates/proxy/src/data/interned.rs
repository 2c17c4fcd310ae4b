//! Settings of sessions as clients share them: equal ones are one, so that comparing two clients'
//! is comparing two pointers.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use howdah_wire::relay::session::Settings;

/// Dead ones are swept out when so many more than the living are kept.
const DEAD_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Interned {
    known: BTreeMap<Settings, Weak<Settings>>,
    sweep_at: usize,
}

impl Interned {
    pub fn of(&mut self, settings: Settings) -> Rc<Settings> {
        if let Some(known) = self.known.get(&settings).and_then(Weak::upgrade) {
            return known;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, settings| settings.strong_count() > 0);
            self.sweep_at = 2 * self.known.len() + DEAD_MAX;
        }
        let new = Rc::new(settings.clone());
        self.known.insert(settings, Rc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_settings_are_one_and_dead_ones_go() {
        let settings = |value: usize| -> Settings {
            [("work_mem".into(), value.to_string().into())].into_iter().collect()
        };
        let mut interned = Interned::default();
        let one = interned.of(settings(1));
        assert!(Rc::ptr_eq(&one, &interned.of(settings(1))));
        for value in 2..1_000 {
            drop(interned.of(settings(value)));
        }
        assert!(interned.known.len() <= 2 * DEAD_MAX + 2, "{}", interned.known.len());
        assert!(Rc::ptr_eq(&one, &interned.of(settings(1))));
    }
}
