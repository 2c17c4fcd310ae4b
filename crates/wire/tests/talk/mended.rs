//! What a server says of its statements that is the pooler's to mend.

use crate::check_with_a;

#[test]
fn a_plan_that_is_out_of_date_is_made_anew_and_the_client_hears_nothing_of_it() {
    check_with_a(
        "> B(,a) D(P,) E() S
        = B(,#1) D(P,) E() S
        < E(0A000) Z(I)
        = C(S,#1) P(#1,one) B(,#1) D(P,) E() S
        < 3 1 2 T C(SELECT 1) Z(I)
        : 2 T C(SELECT 1) Z(I)
        clean
        > B(,a) E() S
        = B(,#1) E() S
        < 2 C(SELECT 1) Z(I)
        : 2 C(SELECT 1) Z(I)
        clean",
    );
    check_with_a(
        "> P(,one) D(S,) B(,) E() S
        = D(S,#1) B(,#1) E() S
        < E(0A000) Z(I)
        = C(S,#1) P(#1,one) D(S,#1) B(,#1) E() S
        < 3 1 t T 2 C(SELECT 1) Z(I)
        : 1 t T 2 C(SELECT 1) Z(I)
        clean",
    );
}

#[test]
fn it_is_tried_once() {
    check_with_a(
        "> B(,a) D(P,) E() S
        = B(,#1) D(P,) E() S
        < E(0A000) Z(I)
        = C(S,#1) P(#1,one) B(,#1) D(P,) E() S
        < 3 1 E(0A000) Z(I)
        : E(0A000) Z(I)
        clean
        > B(,a) D(P,) E() S
        = C(S,#1) P(#1,one) B(,#1) D(P,) E() S
        < 3 1 2 T C(SELECT 1) Z(I)
        : 2 T C(SELECT 1) Z(I)
        clean",
    );
}

#[test]
fn where_it_cannot_be_said_again_the_next_try_succeeds() {
    // Something of it was heard.
    check_with_a(
        "> B(,a) B(p,a) S
        = B(,#1) B(p,#1) S
        < 2 E(0A000) Z(I)
        : 2 E(0A000) Z(I)
        clean
        > B(,a) S
        = C(S,#1) P(#1,one) B(,#1) S",
    );
    // More was said behind it.
    check_with_a(
        "> B(,a) S Q(x)
        = B(,#1) S Q(x)
        < E(0A000) Z(I) C(SELECT 1) Z(I)
        : E(0A000) Z(I) C(SELECT 1) Z(I)
        clean
        > B(,a) S
        = C(S,#1) P(#1,one) B(,#1) S",
    );
    // A transaction is aborted.
    check_with_a(
        "> Q(BEGIN)
        = Q(BEGIN)
        < C(BEGIN) Z(T)
        : C(BEGIN) Z(T)
        > B(,a) S
        = B(,#1) S
        < E(0A000) Z(E)
        : E(0A000) Z(E)
        > Q(ROLLBACK)
        = Q(ROLLBACK)
        < C(ROLLBACK) Z(I)
        : C(ROLLBACK) Z(I)
        clean
        > B(,a) S
        = C(S,#1) P(#1,one) B(,#1) S",
    );
    // Its client goes by what it was told of the rows before.
    check_with_a(
        "> B(,a) E() S
        = B(,#1) E() S
        < E(0A000) Z(I)
        : E(0A000) Z(I)
        clean
        > B(,a) E() S
        = C(S,#1) P(#1,one) B(,#1) E() S",
    );
    // Its Sync has not come.
    check_with_a(
        "> B(,a) H
        = B(,#1) H
        < E(0A000)
        : E(0A000)
        > S
        = S
        < Z(I)
        : Z(I)
        clean",
    );
}

#[test]
fn what_the_client_says_behind_it_waits() {
    check_with_a(
        "> B(,a) S
        = B(,#1) S
        < E(26000)
        > Q(x)
        < Z(I)
        = C(S,#1) P(#1,one) B(,#1) S Q(x)
        < 3 1 2 Z(I) C(SELECT 1) Z(I)
        : 2 Z(I) C(SELECT 1) Z(I)
        clean",
    );
}

#[test]
fn a_statement_that_is_gone_puts_all_others_in_doubt() {
    check_with_a(
        "> P(b,two) S
        = P(#2,two) S
        < 1 Z(I)
        : 1 Z(I)
        clean
        > B(,a) S
        = B(,#1) S
        < E(26000) Z(I)
        = C(S,#1) P(#1,one) B(,#1) S
        < 3 1 2 Z(I)
        : 2 Z(I)
        clean
        > B(,b) S
        = C(S,#2) P(#2,two) B(,#2) S",
    );
}

#[test]
fn a_name_that_nobody_knows_is_the_client_s_mistake() {
    check_with_a(
        "> B(,z) S
        = B(,z) S
        < E(26000) Z(I)
        : E(26000) Z(I)
        clean
        > B(,a) S
        = B(,#1) S",
    );
}
