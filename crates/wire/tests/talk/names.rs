//! Statements that are prepared, taken away, and asked for in vain.

use crate::{check, check_with_a};

#[test]
fn a_statement_is_prepared_once_and_bound_under_its_server_s_name() {
    check(
        "
        > P(a,one) S
        = P(#1,one) S
        < 1 Z(I)
        : 1 Z(I)
        clean
        > P(b,one) B(,a) E() S
        = B(,#1) E() S
        < 2 D(x) C(SELECT 1) Z(I)
        : 1 2 D(x) C(SELECT 1) Z(I)
        clean
        ",
    );
}

#[test]
fn a_name_that_the_client_has_is_refused_by_the_server_in_its_own_words() {
    check(
        "
        > P(a,one) S
        = P(#1,one) S
        < 1 Z(I)
        : 1 Z(I)
        clean
        > P(a,two) S
        = P(#1,two) S
        < E(42P05) Z(I)
        : E(42P05) Z(I)
        clean
        > P(a,two) S
        = P(#1,two) S
        < 1 Z(I)
        lost server: the server took a statement under a name that it was to have already
        ",
    );
}

#[test]
fn what_follows_deallocate_all_waits_until_it_is_known_what_is_left() {
    check(
        "
        > P(a,one) P(b,two) S
        = P(#1,one) P(#2,two) S
        < 1 1 Z(I)
        : 1 1 Z(I)
        clean
        > P(,deallocate all) B(,) E() P(a,one) B(,a) E() S
        = P(#3,deallocate all) B(,#3) E() H
        < 1 2 C(DEALLOCATE ALL)
        = P(#1,one) B(,#1) E() S
        : 1 2 C(DEALLOCATE ALL)
        < 1 2 C(SELECT 1) Z(I)
        : 1 2 C(SELECT 1) Z(I)
        clean
        > B(,b) S
        = B(,b) S
        < E(26000) Z(I)
        : E(26000) Z(I)
        clean
        > B(,a) E() S
        = B(,#1) E() S
        < 2 C(SELECT 1) Z(I)
        : 2 C(SELECT 1) Z(I)
        clean
        ",
    );
}

#[test]
fn deallocate_all_that_fails_has_taken_nothing() {
    check(
        "
        > P(a,one) S
        = P(#1,one) S
        < 1 Z(I)
        : 1 Z(I)
        clean
        > Q(DISCARD ALL) B(,a) E() S
        = Q(DISCARD ALL)
        < E(25001) Z(I)
        = B(,#1) E() S
        : E(25001) Z(I)
        < 2 C(SELECT 1) Z(I)
        : 2 C(SELECT 1) Z(I)
        clean
        ",
    );
}

#[test]
fn deallocate_of_one_name_is_the_pooler_s_to_answer() {
    check(
        "
        > P(a,one) S
        = P(#1,one) S
        < 1 Z(I)
        : 1 Z(I)
        clean
        > Q(DEALLOCATE A)
        : C(DEALLOCATE) Z(I)
        clean
        > Q(deallocate a)
        = Q(deallocate a)
        < E(26000) Z(I)
        : E(26000) Z(I)
        clean
        > P(a,one) P(d,deallocate \"a\") B(,d) E() B(,a) S
        = P(#2,deallocate \"a\") B(,#2) H
        : 1
        < 1 2
        = B(,a) S
        : 1 2
        < E(26000) Z(I)
        : C(DEALLOCATE) E(26000) Z(I)
        clean
        ",
    );
}

#[test]
fn deallocate_in_a_transaction_is_answered_as_the_transaction_stands() {
    check(
        "
        > P(a,one) Q(BEGIN) Q(deallocate a)
        = P(#1,one) Q(BEGIN)
        < 1 C(BEGIN) Z(T)
        : 1 C(BEGIN) Z(T) C(DEALLOCATE) Z(T)
        > P(a,one) Q(fails) Q(deallocate a)
        = Q(fails)
        < E(42601) Z(E)
        = Q(deallocate a)
        : 1 E(42601) Z(E)
        < E(25P02) Z(E)
        : E(25P02) Z(E)
        ",
    );
}

#[test]
fn the_unnamed_statement_does_not_make_a_pipeline_wait() {
    check(
        "
        > P(,one) B(,) E() S P(,two) B(,) E() S P(,one) B(,) E() S
        = P(#1,one) B(,#1) E() S P(#2,two) B(,#2) E() S C(S,#1) P(#1,one) B(,#1) E() S
        < 1 2 C(SELECT 1) Z(I) 1 2 C(SELECT 2) Z(I) 3 1 2 C(SELECT 1) Z(I)
        : 1 2 C(SELECT 1) Z(I) 1 2 C(SELECT 2) Z(I) 1 2 C(SELECT 1) Z(I)
        clean
        > P(,one) B(,) S B(,) S
        = B(,#1) S
        < 2 Z(I)
        = B(,#1) S
        : 1 2 Z(I)
        < 2 Z(I)
        : 2 Z(I)
        clean
        ",
    );
}

#[test]
fn ddl_of_the_session_s_own_makes_a_text_that_is_parsed_anew_mean_what_it_means_now() {
    check(
        "
        > P(,one) B(,) E() S
        = P(#1,one) B(,#1) E() S
        < 1 2 C(SELECT 1) Z(I)
        : 1 2 C(SELECT 1) Z(I)
        clean
        > Q(BEGIN) Q(alter)
        = Q(BEGIN) Q(alter)
        < C(BEGIN) Z(T) C(ALTER TABLE) Z(T)
        : C(BEGIN) Z(T) C(ALTER TABLE) Z(T)
        > P(,one) B(,) E() S
        = C(S,#1) P(#1,one) B(,#1) E() S
        < 3 1 2 C(SELECT 1) Z(T)
        : 1 2 C(SELECT 1) Z(T)
        > Q(ROLLBACK)
        = Q(ROLLBACK)
        < C(ROLLBACK) Z(I)
        : C(ROLLBACK) Z(I)
        clean
        > P(,one) B(,) E() S
        = C(S,#1) P(#1,one) B(,#1) E() S
        ",
    );
}

#[test]
fn deallocate_among_other_statements_is_the_server_s_in_its_turn() {
    check_with_a(
        "> Q(select 1; deallocate a)
        = C(S,a) P(a,) Q(select 1; deallocate a) C(S,a) S
        < 3 1 C(SELECT 1) C(DEALLOCATE) Z(I) 3 Z(I)
        : C(SELECT 1) C(DEALLOCATE) Z(I)
        clean
        > B(,a) S
        = B(,a) S
        < E(26000) Z(I)
        : E(26000) Z(I)
        clean",
    );
    // Of two names one is the server's own, and one is not come to.
    check_with_a(
        "> Q(deallocate sql; fail; deallocate a)
        = C(S,a) P(a,) Q(deallocate sql; fail; deallocate a) C(S,a) S
        < 3 1 C(DEALLOCATE) E(42601) Z(I) 3 Z(I)
        : C(DEALLOCATE) E(42601) Z(I)
        clean
        > B(,a) S
        = B(,#1) S",
    );
    // What is said behind it waits, and what it waits for is said first.
    check(
        "> P(a,one) S Q(x; deallocate a) B(,a) S
        = P(#1,one) S
        < 1 Z(I)
        = C(S,a) P(a,) Q(x; deallocate a) C(S,a) S
        : 1 Z(I)
        < 3 1 C(SELECT 1) C(DEALLOCATE) Z(I) 3 Z(I)
        = B(,a) S
        : C(SELECT 1) C(DEALLOCATE) Z(I)
        < E(26000) Z(I)
        : E(26000) Z(I)
        clean",
    );
}

#[test]
fn a_name_that_is_taken_is_refused_by_what_no_transaction_refuses() {
    check_with_a(
        "> B(,a) H
        = B(,#1) H
        < E(26000)
        : E(26000)
        > S
        = S
        < Z(I)
        : Z(I)
        clean
        > P(a,) S
        = P(#2,) P(#2,) S
        < 1 E(42P05) Z(I)
        : E(42P05) Z(I)
        clean
        > P(a,) S
        = P(#2,) S
        < E(42P05) Z(I)
        : E(42P05) Z(I)
        clean",
    );
}
