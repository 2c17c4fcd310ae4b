//! How often a directory is mended by itself: some rewinds, then copies with growing pauses, then
//! an operator must look. The counts survive restarts of the agent.

use std::time::Duration;

use howdah_base::record::OrderKind;

use super::{Case, Step, operator};
use crate::Rule;

/// Rewinds begun, without the directory having streamed since, after which it is copied.
pub(crate) const REWINDS_MAX: u32 = 3;
/// Copies begun, likewise, after which an operator must look.
pub(crate) const COPIES_MAX: u32 = 10;
/// After the first copy that came to nothing; it doubles, milliseconds.
const PAUSE_MS: u64 = 5_000;
const PAUSE_MAX_MS: u64 = 600_000;

/// What comes in place of another copy; `None` when it may be made.
pub(crate) fn instead_of_copy(case: &Case<'_>) -> Option<Step> {
    let view = case.view;
    let order = operator::due(case).map(|order| &order.kind);
    let copies = view.local.attempts.copies;
    if copies == 0 || matches!(order, Some(OrderKind::Reinit { .. })) {
        return None;
    }
    if copies >= COPIES_MAX {
        let detail = format!("{copies} copies; hint: howdah reinit {}", view.me);
        return Some(Step::wait(Rule::GiveUp, detail));
    }
    let pause = (PAUSE_MS << (copies - 1).min(16)).min(PAUSE_MAX_MS);
    let left = pause.checked_sub(view.wall_ms.checked_sub(view.local.attempts.last_unix_ms)?)?;
    (left > 0).then(|| {
        let detail =
            format!("{copies} of {COPIES_MAX} copies, the next one after {} s", pause / 1000);
        Step::wait(Rule::CopyLater, detail).until(case.now + Duration::from_millis(left))
    })
}
