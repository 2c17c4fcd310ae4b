//! What is too much, or cut where it matters.

use crate::check;

#[test]
fn a_pipeline_without_a_sync_is_flushed_before_the_client_is_made_to_wait() {
    let batch = |count: usize| vec!["B(,a)"; count].join(" ");
    let (there, more) = (batch(4_095), batch(3));
    let to_server = |text: &str| text.replace("(,a)", "(,#1)");
    let answers = vec!["2"; 4_095].join(" ");
    let script = format!(
        "> P(a,one) {there} {more}
        = P(#1,one) {} H
        < 1 {answers}
        = {}
        : 1 {answers}",
        to_server(&there),
        to_server(&more),
    );
    super::stage::check_in(&script, &[1_000_000, 997]);
}

#[test]
fn a_name_that_is_too_long_is_refused_however_it_is_cut() {
    let script = format!(
        "> B(,{}) S
        lost client: names of more than 2048 bytes cannot be bound through the pooler",
        "x".repeat(3_000)
    );
    super::stage::check_in(&script, &[1, 7, 2_047, 2_500, 10_000]);
}

#[test]
fn a_session_of_all_kinds_is_the_same_at_every_split() {
    check(
        "
        > Q(BEGIN) P(a,one) D(S,a) B(p,a) E(p) H
        = Q(BEGIN) P(#1,one) D(S,#1) B(p,#1) E(p) H
        < C(BEGIN) Z(T) 1 t T 2 D(row) D(row) s
        : C(BEGIN) Z(T) 1 t T 2 D(row) D(row) s
        > E(p) C(P,p) C(S,a) S
        = E(p) C(P,p) S
        < C(SELECT 3) 3 Z(T)
        : C(SELECT 3) 3 3 Z(T)
        > Q(fails)
        = Q(fails)
        < N E(42601) Z(E)
        : N E(42601) Z(E)
        > P(,x) B(,) E() S Q(ROLLBACK)
        = P(#2,x) B(,#2) E() S Q(ROLLBACK)
        < E(25P02) Z(E) C(ROLLBACK) Z(I)
        : E(25P02) Z(E) C(ROLLBACK) Z(I)
        clean
        > Q(copy)
        = Q(copy)
        < H d(row) d(row) c C(COPY 2) Z(I)
        : H d(row) d(row) c C(COPY 2) Z(I)
        clean
        ",
    );
}
