//! Errors in which a server calls a statement by its own name: the client hears its name for it.

use std::cell::RefCell;

use crate::authentication::message;
use crate::replies::{Asked, Question, Whose};

use super::server_half::Event;
use super::statements::{NAME_LEN, PREFIX};

/// The name that a client has for the statement with this number, to be put in by whoever knows.
pub type Called = RefCell<Option<Box<[u8]>>>;

/// What the client hears of an error, if that names a statement which the client has a name for.
pub(super) fn mended(
    question: &Question,
    body: u32,
    here: &[u8],
    tell: &mut impl FnMut(Event<'_>),
) -> Option<Vec<u8>> {
    let names = matches!(question.asked, Asked::Bind | Asked::DescribeStatement);
    let whole = here.len() == body as usize;
    if !names || question.whose != Whose::Clients || question.tag == 0 || !whole {
        return None;
    }
    find(here)?;
    let called = Called::default();
    tell(Event::Misnamed(question.tag, &called));
    Some(renamed(here, &called.take()?))
}

/// The error with `called` in the place of the server's names.
fn renamed(body: &[u8], called: &[u8]) -> Vec<u8> {
    let (mut new, mut rest) = (Vec::with_capacity(body.len()), body);
    while let Some(at) = find(rest) {
        new.extend_from_slice(&rest[..at]);
        new.extend_from_slice(called);
        rest = &rest[at + NAME_LEN..];
    }
    new.extend_from_slice(rest);
    let mut out = Vec::new();
    message(&mut out, b'E', &[&new]);
    out
}

fn find(body: &[u8]) -> Option<usize> {
    body.windows(NAME_LEN).position(|there| {
        let digits = there.strip_prefix(PREFIX.as_bytes());
        digits.is_some_and(|digits| digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_a_server_s_name_is_exchanged() {
        let body = b"Mprepared statement \"howdah_0123456789abcdef\" requires 1\0\0";
        assert!(find(body).is_some() && find(b"Mhowdah_0123456789abcdeg\0\0").is_none());
        let mut want = Vec::new();
        message(&mut want, b'E', &[b"Mprepared statement \"s1\" requires 1\0\0"]);
        assert_eq!(renamed(body, b"s1"), want);
    }
}
