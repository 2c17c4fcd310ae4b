//! A count of things that end by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many hold it now. A clone looks at the same count and is no holder.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicUsize>);

/// One of a [`Gauge`]'s holders; dropping it lets go.
#[derive(Debug)]
pub struct Held(Arc<AtomicUsize>);

impl Gauge {
    pub fn held(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub fn hold(&self) -> Held {
        self.0.fetch_add(1, Ordering::SeqCst);
        Held(Arc::clone(&self.0))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_count_and_lookers_do_not() {
        let gauge = Gauge::default();
        let looker = gauge.clone();
        let (one, two) = (gauge.hold(), looker.hold());
        assert_eq!((gauge.held(), looker.held()), (2, 2));
        drop(one);
        assert_eq!(looker.held(), 1);
        drop(two);
        assert_eq!(gauge.held(), 0);
    }
}
