//! Sessions with nodes that are kept for the next question.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use howdah_base::NodeName;

/// With all nodes together.
const KEPT_MAX: usize = 8;
/// A node hangs up when it has been asked nothing for a minute.
const KEPT_FOR: Duration = Duration::from_secs(50);

/// The last one that was used stands last.
pub(super) struct Kept<S>(VecDeque<(NodeName, S, Instant)>);

impl<S> Default for Kept<S> {
    fn default() -> Kept<S> {
        Kept(VecDeque::new())
    }
}

impl<S> Kept<S> {
    /// When there are too many, the one goes that nobody has used for longest.
    pub fn keep(&mut self, node: NodeName, session: S, now: Instant) {
        self.forget(now);
        while self.0.len() >= KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back((node, session, now));
    }

    pub fn take(&mut self, node: &NodeName, now: Instant) -> Option<S> {
        self.forget(now);
        let at = self.0.iter().rposition(|(of, ..)| of == node)?;
        self.0.remove(at).map(|(_, session, _)| session)
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|(.., used)| now.duration_since(*used) < KEPT_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        name.parse().expect("a name")
    }

    #[test]
    fn a_node_that_is_gone_keeps_no_place() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        for number in 0..KEPT_MAX {
            kept.keep(node("gone"), number, now);
        }
        kept.keep(node("n2"), 100, now);
        assert_eq!(kept.take(&node("n2"), now), Some(100));
        assert_eq!(kept.take(&node("n2"), now), None);
        let left = std::iter::from_fn(|| kept.take(&node("gone"), now)).collect::<Vec<_>>();
        assert_eq!(left, (1..KEPT_MAX).rev().collect::<Vec<_>>(), "the oldest has gone");
    }

    #[test]
    fn what_a_node_is_about_to_end_is_not_used() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        kept.keep(node("n1"), 1, now);
        kept.keep(node("n1"), 2, now + Duration::from_secs(20));
        assert_eq!(kept.take(&node("n1"), now + KEPT_FOR), Some(2));
        assert_eq!(kept.take(&node("n1"), now + KEPT_FOR), None);
    }
}
