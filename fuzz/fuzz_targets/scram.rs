//! Both sides of SCRAM against whatever the other says: nobody gets in, and nothing panics; and
//! what a session says before it begins.
#![no_main]

use std::sync::LazyLock;

use howdah_wire::scram::{Asking, MECHANISM, MECHANISM_PLUS, Secret, Verifier, answer_first};
use howdah_wire::{Authentication, InitialResponse, Message, UntilReady};
use libfuzzer_sys::fuzz_target;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| Verifier::new("pencil", [7; 16]));
const HASH: &[u8] = &[9; 32];

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    if let Ok(Some((message, _))) = Message::first(bytes) {
        let _ = (message.sqlstate(), message.asks_for_sasl());
    }
    UntilReady::default().sees(bytes);
    if let Some(question) = Authentication::read(bytes) {
        let _ = question.offers(MECHANISM);
    }
    let _ = InitialResponse::read(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = text.parse::<Verifier>();
    let (first, last) = text.split_once('\n').unwrap_or((&text, ""));
    let hash = (how & 1 == 1).then_some(HASH);
    let mechanism = if how & 2 == 2 { MECHANISM_PLUS } else { MECHANISM };
    if let Ok((challenge, _)) = answer_first(mechanism, first, "servers", &VERIFIER, hash) {
        assert!(challenge.answer_final(last).is_err(), "let in without the password");
    }
    // A question may ask for very many rounds: those that are allowed cost time, and are the
    // server's to choose.
    let rounds = first.rsplit_once("i=").and_then(|(_, n)| n.parse::<u32>().ok());
    if rounds.is_none_or(|rounds| rounds <= 64) {
        let secret = Secret::Password("pencil".to_owned());
        if let Ok(asked) = Asking::new("clients", hash).answer(first, &secret) {
            assert!(asked.check(last).is_err(), "a server that knows no password is believed");
        }
    }
});
