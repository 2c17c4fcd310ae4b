//! What goes ahead of a client's word, and what becomes of that word where it fails.

use crate::check_with_a;

#[test]
fn nobody_hears_of_what_goes_ahead_and_succeeds() {
    check_with_a(
        "+ settings
        = P(,BEGIN) B(,) E() Q(sets; COMMIT)
        > P(b,one) B(,b) E() S
        = B(,#1) E() S
        < 1 2 C(BEGIN) T D(x) C(SELECT 1) C(COMMIT) Z(I) 2 C(SELECT 1) Z(I)
        : 1 2 C(SELECT 1) Z(I)
        clean
        + settings, begin
        = P(,BEGIN) B(,) E() Q(sets; COMMIT) P(,begin) B(,) E() C(S,) C(P,)
        > Q(select 1)
        = Q(select 1)
        < 1 2 C(BEGIN) C(SELECT 1) C(COMMIT) Z(I) 1 2 C(BEGIN) 3 3 C(SELECT 1) Z(T)
        : C(SELECT 1) Z(T)
        > Q(commit)
        = Q(commit)
        < C(COMMIT) Z(I)
        : C(COMMIT) Z(I)
        clean",
    );
}

#[test]
fn a_plan_that_is_out_of_date_is_made_anew_behind_settings() {
    check_with_a(
        "+ settings
        = P(,BEGIN) B(,) E() Q(sets; COMMIT)
        > B(,a) D(P,) E() S
        = B(,#1) D(P,) E() S
        < 1 2 C(BEGIN) C(SELECT 1) C(COMMIT) Z(I) E(0A000) Z(I)
        = C(S,#1) P(#1,one) B(,#1) D(P,) E() S
        < 3 1 2 T C(SELECT 1) Z(I)
        : 2 T C(SELECT 1) Z(I)
        clean",
    );
}

#[test]
fn what_deallocate_waits_for_is_a_transaction_too() {
    check_with_a(
        "+ begin
        = P(,begin) B(,) E() C(S,) C(P,)
        > Q(deallocate a)
        = H
        < 1 2 C(BEGIN) 3 3
        = S
        < Z(T)
        : C(DEALLOCATE) Z(T)",
    );
}

#[test]
fn what_fails_ahead_is_told_and_nothing_is_carried_out() {
    check_with_a(
        "+ begin
        = P(,begin) B(,) E() C(S,) C(P,)
        > Q(select 1)
        = Q(select 1)
        < 1 2 E(0A000)
        not Begin",
    );
    check_with_a(
        "+ settings
        = P(,BEGIN) B(,) E() Q(sets; COMMIT)
        > B(,a) E() S
        = B(,#1) E() S
        < E(57014) Z(I)
        : Z(I)
        not Settings
        clean",
    );
}
