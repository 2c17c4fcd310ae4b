//! What a client hears that has lost its server, message by message.

use super::*;
use crate::Message;
use crate::relay::Cuts;
use crate::replies::Question;

const ERROR: &[u8] = b"E\0\0\0\x05\0";

/// A server that was in the middle of what `asked` says, and told `said`.
fn server(asked: &[Asked], said: &[u8]) -> ServerHalf {
    let mut half = ServerHalf::default();
    for asked in asked {
        half.ask(Question { asked: *asked, whose: Whose::Clients, tag: 0 });
    }
    half.hear(said, &mut Cuts::default(), |_| {}).expect("a conversation");
    half
}

/// In a transaction block, with that asked after its BEGIN.
fn in_block(asked: &[Asked]) -> ServerHalf {
    let mut half = server(&[Asked::Query], b"C\0\0\0\x0aBEGIN\0Z\0\0\0\x05T");
    for asked in asked {
        half.ask(Question { asked: *asked, whose: Whose::Clients, tag: 0 });
    }
    half
}

/// What the client hears, by the kinds of the messages; ReadyForQuery with its status.
fn heard(bytes: &[u8]) -> String {
    let (mut rest, mut kinds) = (bytes, String::new());
    while let Some((message, after)) = Message::first(rest).expect("a message") {
        kinds.push(char::from(message.kind));
        if message.kind == b'Z' {
            kinds.push(char::from(message.body[0]));
        }
        rest = after;
    }
    kinds
}

/// What it hears of the loss, and of what it says then, message by message; `.` at its end.
fn goes_on(server: &ServerHalf, says: &[Says]) -> String {
    let mut out = Vec::new();
    let mut orphan = Orphan::of(server, ERROR, &mut out);
    let mut all = heard(&out);
    for says in says {
        let Some(alone) = &mut orphan else { break };
        out.clear();
        let stays = alone.hear(*says, &mut out);
        all += &format!(" {}", heard(&out));
        if !stays {
            orphan = None;
        }
    }
    all + if orphan.is_none() { "." } else { "" }
}

#[test]
fn who_waits_for_answers_hears_an_error_for_each() {
    assert_eq!(goes_on(&server(&[Asked::Query], b""), &[]), "EZI.");
    let batches = [Asked::Bind, Asked::Execute, Asked::Sync, Asked::Execute, Asked::Sync];
    assert_eq!(goes_on(&server(&batches, b""), &[]), "EZIEZI.");
    assert_eq!(goes_on(&server(&[], b""), &[]), ".");
}

#[test]
fn a_batch_is_passed_over_up_to_its_sync() {
    let begun = server(&[Asked::Parse, Asked::Bind], b"");
    let says = [Says::Execute, Says::Query(None), Says::Sync];
    assert_eq!(goes_on(&begun, &says), "E   ZI.");
    let two = server(&[Asked::Query, Asked::Bind], b"");
    assert_eq!(goes_on(&two, &[Says::Sync]), "EZIE ZI.");
    let failed = server(&[Asked::Parse], b"E\0\0\0\x05\0");
    assert_eq!(goes_on(&failed, &[Says::Sync]), " ZI.", "told already");
}

#[test]
fn a_transaction_that_is_lost_can_only_be_ended() {
    let back = Says::Query(Some(Ends::Back));
    let says = [Says::Query(None), Says::FunctionCall, back];
    assert_eq!(goes_on(&in_block(&[Asked::Query]), &says), "EZE EZE EZE CZI.");
    assert_eq!(goes_on(&in_block(&[]), &[Says::Query(None), back]), " EZE CZI.");
    assert_eq!(goes_on(&in_block(&[]), &[back]), " CZI.");
    let told = [Says::Query(None), Says::Query(Some(Ends::Done))];
    assert_eq!(goes_on(&in_block(&[]), &told), " EZE CZI.");
}

#[test]
fn a_commit_of_what_is_lost_is_no_success() {
    let done = Some(Ends::Done);
    assert_eq!(goes_on(&in_block(&[]), &[Says::Query(done)]), " EZI.");
    let says = [Says::Parse(done), Says::Bind(done), Says::Execute, Says::Close, Says::Sync];
    assert_eq!(goes_on(&in_block(&[]), &says), " 1 2 E  ZI.");
}

#[test]
fn a_rollback_by_messages_ends_it_too() {
    let back = Some(Ends::Back);
    let describe = Says::Describe { statement: true };
    let says = [Says::Parse(back), describe, Says::Bind(back), Says::Execute, Says::Sync];
    assert_eq!(goes_on(&in_block(&[Asked::Query]), &says), "EZE 1 tn 2 C ZI.");
    let others = [Says::Parse(None), Says::Bind(back), Says::Execute, Says::Sync];
    assert_eq!(goes_on(&in_block(&[Asked::Query]), &others), "EZE E   ZE");
}

#[test]
fn what_is_no_message_fails_and_what_follows_is_passed_over() {
    let back = Says::Query(Some(Ends::Back));
    let says = [Says::Malformed, Says::Parse(None), Says::Sync, back];
    assert_eq!(goes_on(&in_block(&[Asked::Query]), &says), "EZE E  ZE CZI.");
}

#[test]
fn statements_that_end_a_transaction_are_known() {
    for (text, expected) in [
        ("ROLLBACK", Some(Ends::Back)),
        (" abort work ;\0", Some(Ends::Back)),
        ("commit", Some(Ends::Done)),
        ("END TRANSACTION;", Some(Ends::Done)),
        ("rollback to a", None),
        ("commit and chain", None),
        ("commit; drop table t", None),
        ("", None),
    ] {
        assert_eq!(ends(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_last_word_becomes_an_error() {
    let body = b"SFATAL\0VFATAL\0C57P01\0Mterminating\0\0";
    assert!(is_last(body) && !is_last(b"SERROR\0VERROR\0C42601\0\0"));
    let error = as_error(body).expect("an error");
    let (message, rest) = Message::first(&error).expect("a length").expect("a whole one");
    assert_eq!((message.body, rest), (&b"SERROR\0VERROR\0C57P01\0Mterminating\0\0"[..], &b""[..]));
    assert_eq!(as_error(b"SFATAL"), None);
}
