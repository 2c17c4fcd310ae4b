//! Messages that are none: the server refuses each, and passes over what follows up to the Sync.

use crate::{check, check_with_a};

#[test]
fn the_server_refuses_it_and_the_session_goes_on() {
    for bad in ["P(!)", "B(!)", "D(!)", "C(!)", "E(!)"] {
        check_with_a(&format!(
            "> {bad} B(,a) S
            = {bad} B(,#1) S
            < E(08P01) Z(I)
            : E(08P01) Z(I)
            clean
            > B(,a) S
            = B(,#1) S
            < 2 Z(I)
            : 2 Z(I)
            clean"
        ));
    }
}

#[test]
fn what_stands_before_it_is_answered_and_names_behind_it_are_not_given() {
    check_with_a(
        "> P(b,two) P(!) P(c,three) S
        = P(#2,two) P(!) P(#3,three) S
        < 1 E(08P01) Z(I)
        : 1 E(08P01) Z(I)
        clean
        > B(,b) B(,c) S
        = B(,#2) B(,c) S",
    );
}

#[test]
fn a_server_that_takes_it_is_lost() {
    check(
        "> P(!) S
        = P(!) S
        < 1 Z(I)
        lost server: the server took a statement under a name that it was to have already",
    );
}
