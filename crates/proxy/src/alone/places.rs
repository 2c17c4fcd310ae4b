//! Places of clients, as many as the settings say now.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One for each client.
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// Places that are to go and were taken when fewer were wished for: they go when they are free.
    debt: Mutex<usize>,
}

impl Places {
    pub fn new(count: u32) -> Places {
        Places { free: Arc::new(Semaphore::new(count as usize)), debt: Mutex::new(0) }
    }

    /// A place, if one is free.
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        let mut debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner);
        *debt -= self.free.forget_permits(*debt);
        self.free.clone().try_acquire_owned().ok()
    }

    /// From so many to so many.
    pub fn change(&self, had: u32, has: u32) {
        let mut debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner);
        *debt += had.saturating_sub(has) as usize;
        let mut more = has.saturating_sub(had) as usize;
        let paid = more.min(*debt);
        *debt -= paid;
        more -= paid;
        self.free.add_permits(more);
        *debt -= self.free.forget_permits(*debt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_and_then_more_is_as_many_as_said() {
        let places = Places::new(3);
        let mut taken: Vec<_> = (0..3).filter_map(|_| places.take()).collect();
        places.change(3, 1);
        taken.pop();
        assert!(places.take().is_none(), "two have places, and one may");
        places.change(1, 3);
        taken.extend(places.take());
        assert_eq!(taken.len(), 3);
        assert!(places.take().is_none());
        places.change(3, 2);
        taken.clear();
        let taken: Vec<_> = (0..3).filter_map(|_| places.take()).collect();
        assert_eq!(taken.len(), 2);
    }
}
