//! Where Howdah's code is another one than Patroni's: all there are, each with its reason.
//!
//! A difference that is not seen any more fails the test, and so does one whose reason is not in
//! `docs/patroni.md`.

use crate::pair::Case;

/// One kind of difference.
pub struct Difference {
    /// Which answers it is about, with the two codes.
    pub is: fn(&Case<'_>) -> bool,
    /// As it stands in `docs/patroni.md`.
    pub why: &'static str,
}

pub const DIFFERENCES: &[Difference] = &[
    Difference {
        is: |case| {
            let named = ["patroni", "cluster", "history", "config", "metrics", "liveness"];
            let first = case.path.trim_start_matches('/').split(['/', '?']).next().unwrap_or("");
            let reads = ["HEAD", "OPTIONS"].contains(&case.method);
            reads && (named.contains(&first) || first == "readiness") && case.codes == (503, 200)
        },
        why: "Patroni answers HEAD and OPTIONS of a page or a probe as if it were an unknown \
              health check, always 503; Howdah gives the code that GET gives.",
    },
    Difference {
        is: |case| {
            let reads = ["HEAD", "OPTIONS"].contains(&case.method);
            reads && case.path == "/failsafe" && case.codes == (503, 502)
        },
        why: "Patroni answers HEAD and OPTIONS of a page or a probe as if it were an unknown \
              health check, always 503; Howdah gives the code that GET gives.",
    },
    Difference {
        is: |case| case.path.contains("lag=much") && case.codes.1 == 400,
        why: "A lag that cannot be read is 400: Patroni ignores it, and reads go to a standby \
              however old it is.",
    },
    Difference {
        is: |case| case.path.starts_with("/quorum") && case.codes == (503, 200),
        why: "Debian's Patroni 3.0 does not know `/quorum` yet; Howdah answers as Patroni 4 does.",
    },
    Difference {
        is: |case| case.path.starts_with("/readiness") && case.codes == (200, 503),
        why: "A standby that does not stream is not ready, as in Patroni 4; for 3.0 it was enough \
              that PostgreSQL ran.",
    },
    Difference {
        is: |case| case.path == "/sigterm" && case.codes == (202, 501),
        why: "Patroni says 202 to `/sigterm` and does nothing outside its own tests; Howdah \
              refuses.",
    },
    Difference {
        is: |case| case.path == "/citus" && case.codes == (200, 501),
        why: "There is no support of Citus, and Howdah says so.",
    },
    Difference {
        is: |case| case.path == "/config" && case.body.contains("slots") && case.codes.1 == 409,
        why: "A setting that Howdah does not have is 409 with what it does instead; Patroni keeps \
              whatever it is given, and acts on what it knows.",
    },
    Difference {
        is: |case| case.body.contains("nobody_knows_this") && case.codes == (200, 400),
        why: "A setting that nobody knows is 400; Patroni keeps it and never looks at it.",
    },
];
