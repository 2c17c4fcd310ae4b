//! COPY FROM whose end and whose error cross.

use crate::check;

#[test]
fn an_error_before_the_early_sync_is_read_costs_the_server_and_nobody_s_answer() {
    check(
        "
        > P(,copy) B(,) E() S
        = P(#1,copy) B(,#1) E() S
        < 1 2 G
        : 1 2 G
        > d(rows)
        = d(rows)
        < E(57014) Z(I)
        : E(57014) Z(I)
        clean
        > d(more) c S
        = c S
        < Z(I)
        : Z(I)
        clean
        ",
    );
    check(
        "
        > P(,copy) B(,) E() S
        = P(#1,copy) B(,#1) E() S
        < 1 2 G
        : 1 2 G
        > d(rows) c S
        = d(rows) c S
        < E(22P04) Z(I)
        : E(22P04) Z(I)
        spent
        < Z(I)
        : Z(I)
        clean
        ",
    );
}

#[test]
fn data_that_nobody_reads_any_more_goes_nowhere() {
    check(
        "
        > Q(copy)
        = Q(copy)
        < G
        : G
        > d(bad)
        = d(bad)
        < E(22P04) Z(I)
        : E(22P04) Z(I)
        clean
        > d(late) d(later) c Q(x)
        = c Q(x)
        < C(SELECT 1) Z(I)
        : C(SELECT 1) Z(I)
        clean
        ",
    );
    check(
        "
        > Q(copy)
        = Q(copy)
        < G
        : G
        > d(rows) f
        = d(rows) f
        < E(57014) Z(I)
        : E(57014) Z(I)
        clean
        ",
    );
}
