//! Both sides against each other and against the RFC's own conversation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// RFC 7677, section 3.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVERS_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const QUESTION: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn pencil() -> Verifier {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
    Verifier::new("pencil", salt.try_into().expect("16 bytes"))
}

#[test]
fn a_server_holds_the_conversation_of_rfc_7677() {
    let verifier = pencil();
    let answered = answer_first(MECHANISM, FIRST, SERVERS_NONCE, &verifier, None);
    let (challenge, question) = answered.expect("a question");
    assert_eq!(question, QUESTION);
    let accepted = challenge.answer_final(LAST).expect("it is let in");
    assert_eq!(accepted.last, SIGNATURE);
}

/// What `client` with `secret` and the holder of `verifier` say to each other.
fn log_in(
    verifier: &Verifier,
    secret: &Secret,
    certificates: [Option<&[u8]>; 2],
) -> Result<Key, String> {
    let [theirs, ours] = certificates;
    let mechanism = if theirs.is_some() { MECHANISM_PLUS } else { MECHANISM };
    let asking = Asking::new("clients-nonce", theirs);
    let answered = answer_first(mechanism, &asking.first(), "servers", verifier, ours);
    let (challenge, question) = answered.map_err(|refused| refused.to_string())?;
    let asked = asking.answer(&question, secret).map_err(|error| error.to_string())?;
    let accepted = challenge.answer_final(&asked.last).map_err(|refused| refused.to_string())?;
    asked.check(&accepted.last).map_err(|error| error.to_string())?;
    Ok(accepted.client_key)
}

#[test]
fn a_key_that_was_shown_logs_in_where_the_same_verifier_stands_and_nowhere_else() {
    let verifier = pencil();
    let password = Secret::Password("pencil".to_owned());
    let client_key = log_in(&verifier, &password, [None, None]).expect("the password");
    let keys = Secret::Keys { client_key, verifier: verifier.clone() };
    assert_eq!(log_in(&verifier, &keys, [None, None]), Ok(client_key));
    let changed = Verifier::new("pencil", [7; 16]);
    let refused = ClientError::OtherVerifier.to_string();
    assert_eq!(log_in(&changed, &keys, [None, None]), Err(refused));
    assert_eq!(format!("{keys:?} {password:?}"), "*** ***");
}

#[test]
fn a_wrong_password_and_a_name_that_nobody_has_are_told_the_same() {
    let wrong = Secret::Password("pencils".to_owned());
    let nobody = Verifier::of_nobody("nobody", &[3; 32]);
    let refused = Err(Refused::Password.to_string());
    assert_eq!(log_in(&pencil(), &wrong, [None, None]), refused);
    assert_eq!(log_in(&nobody, &wrong, [None, None]), refused);
    assert_eq!(nobody, Verifier::of_nobody("nobody", &[3; 32]), "always the same salt");
}

#[test]
fn a_channel_is_bound_to_its_certificate() {
    let password = Secret::Password("pencil".to_owned());
    let (one, other) = (&[1; 32][..], &[2; 32][..]);
    assert!(log_in(&pencil(), &password, [Some(one), Some(one)]).is_ok());
    let refused = Err(Refused::Binding.to_string());
    assert_eq!(log_in(&pencil(), &password, [Some(one), Some(other)]), refused);
    let malformed = Err(Refused::Malformed.to_string());
    assert_eq!(log_in(&pencil(), &password, [Some(one), None]), malformed);
    // A client that does not want to bind may.
    assert!(log_in(&pencil(), &password, [None, Some(one)]).is_ok());
    let verifier = pencil();
    let downgraded = answer_first(MECHANISM, "y,,n=,r=abc", "s", &verifier, Some(one));
    assert_eq!(downgraded.err(), Some(Refused::Downgraded));
    assert!(answer_first(MECHANISM, "y,,n=,r=abc", "s", &verifier, None).is_ok());
    let asking = Asking::not_offered("rOprNGfwEbeRWgbNEkqO");
    let first = asking.first();
    assert!(answer_first(MECHANISM, &first, "s", &verifier, Some(one)).is_err());
    let answered = answer_first(MECHANISM, &first, "s", &verifier, None);
    let (challenge, question) = answered.expect("a question");
    let asked = asking.answer(&question, &password).expect("an answer");
    assert!(challenge.answer_final(&asked.last).is_ok());
}

#[test]
fn what_is_no_first_message_is_refused() {
    let verifier = pencil();
    for bad in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=",
        "n,,n=,r=",
        "n,,r=abc",
        "n,a=root,n=,r=abc",
        "n,,m=ext,n=,r=abc",
        "p=tls-unique,,n=,r=abc",
        "n,,n=,r=a b",
    ] {
        let answered = answer_first(MECHANISM, bad, "s", &verifier, None);
        assert_eq!(answered.err(), Some(Refused::Malformed), "{bad}");
    }
}

#[test]
fn what_is_no_last_message_is_refused() {
    let cuts = (0..LAST.len()).map(|at| LAST[..at].to_owned());
    let other_nonce = LAST.replacen("rOpr", "rOps", 1);
    for bad in cuts.chain([other_nonce]) {
        let verifier = pencil();
        let answered = answer_first(MECHANISM, FIRST, SERVERS_NONCE, &verifier, None);
        let (challenge, _) = answered.expect("a question");
        assert!(challenge.answer_final(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_server_that_proves_nothing_is_not_believed() {
    let secret = Secret::Password("pencil".to_owned());
    let asked =
        |question: &str| Asking::new("rOprNGfwEbeRWgbNEkqO", None).answer(question, &secret);
    for bad in ["", "v=", "v=AAAA", "e=other-error", SIGNATURE] {
        let answered = asked(QUESTION).expect("a question");
        assert!(answered.check(bad).is_err(), "{bad}");
    }
    for bad in [
        "",
        "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=other%hvYDpWUa2RaTCAfuxFIlj,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294967295",
        "m=ext,r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    ] {
        assert_eq!(asked(bad).err(), Some(ClientError::Malformed), "{bad}");
    }
}
