//! Conversations as text: upper lines ask, lower lines are what the server says and what becomes
//! of it.

use super::*;

/// Plays `script`: words that ask (`Parse`, `Parse-` for nobody, `Parse+` for a made answer) and
/// single messages of the server's in quotes. Says what the client hears, and what is left.
fn play(script: &str) -> String {
    let (mut replies, mut heard) = (Replies::default(), Vec::new());
    for word in script.split_whitespace() {
        if let Some(messages) = word.strip_prefix('\'') {
            for kind in messages.bytes().filter(|byte| *byte != b'\'') {
                match replies.hear(kind) {
                    Ok(verdict) => heard.extend(told(kind, verdict)),
                    Err(_) => heard.push(format!("{}!", char::from(kind))),
                }
                make(&mut replies, &mut heard);
            }
        } else {
            replies.ask(question(word));
            make(&mut replies, &mut heard);
        }
    }
    let failed: Vec<_> = replies.take_failed().map(|q| format!("{:?}", q.asked)).collect();
    let mut said = heard.join(" ");
    if !failed.is_empty() {
        said += &format!(" failed {}", failed.join(","));
    }
    match (replies.is_settled(), replies.syncs()) {
        (true, 0) => said,
        (settled, syncs) => format!("{said} settled {settled} syncs {syncs}"),
    }
}

fn make(replies: &mut Replies, heard: &mut Vec<String>) {
    while let Some(made) = replies.made() {
        heard.push(format!("({:?})", made.asked));
    }
}

fn told(kind: u8, verdict: Verdict) -> Option<String> {
    let kind = char::from(kind);
    match verdict {
        Verdict::Pass => Some(kind.to_string()),
        Verdict::Done(question) | Verdict::Failed(question) => match question.whose {
            Whose::Nobodys if kind != 'E' => None,
            _ => Some(kind.to_string()),
        },
        Verdict::Drop => None,
        Verdict::Aside => Some(format!("<{kind}>")),
    }
}

fn question(word: &str) -> Question {
    let (name, whose) = match word.strip_suffix(['-', '+']) {
        Some(name) if word.ends_with('-') => (name, Whose::Nobodys),
        Some(name) => (name, Whose::Made),
        None => (word, Whose::Clients),
    };
    let asked = match name {
        "Parse" => Asked::Parse,
        "Bind" => Asked::Bind,
        "DescribeS" => Asked::DescribeStatement,
        "DescribeP" => Asked::DescribePortal,
        "Execute" => Asked::Execute,
        "Close" => Asked::Close,
        "Sync" => Asked::Sync,
        "Query" => Asked::Query,
        "Call" => Asked::FunctionCall,
        "CopyEnd" => Asked::CopyEnd,
        other => panic!("`{other}` asks nothing"),
    };
    Question { asked, whose, tag: 0 }
}

#[track_caller]
fn check(script: &str, want: &str) {
    assert_eq!(play(script), want, "{script}");
}

#[test]
fn answers_come_in_the_order_of_the_questions() {
    check("Query 'TDDCZ'", "T D D C Z");
    check("Query 'TDCTDCIZ'", "T D C T D C I Z");
    check("Parse Bind DescribeP Execute Sync '12TDDCZ'", "1 2 T D D C Z");
    check("Parse DescribeS Sync '1tnZ' Bind Execute Sync '2sZ'", "1 t n Z 2 s Z");
    check("Call 'VZ'", "V Z");
    check("Query 'T", "T settled false syncs 1");
    check("Parse Bind Execute Sync Parse Bind Execute Sync '12CZ12CZ'", "1 2 C Z 1 2 C Z");
}

#[test]
fn what_the_pooler_asks_the_client_does_not_hear_and_what_it_answers_comes_in_its_turn() {
    check("Parse- Bind Execute Close+ Sync '12DCZ'", "2 D C (Close) Z");
    check("Parse+ Bind Execute Sync '2CZ'", "(Parse) 2 C Z");
    check("Bind Close+ Close+ Execute Sync '2CZ'", "2 (Close) (Close) C Z");
    check("Query- Query 'CZTDCZ'", "T D C Z");
    check("Close- Sync- Query '3ZCZ'", "C Z");
}

#[test]
fn after_an_error_nothing_is_owed_up_to_the_next_sync() {
    check("Parse Bind Execute Sync 'EZ'", "E Z failed Parse,Bind,Execute");
    check("Parse Bind Close+ Sync '1EZ'", "1 E Z failed Bind,Close");
    check("Parse- Bind Execute Sync 'EZ'", "E Z failed Parse,Bind,Execute");
    check("Parse Bind Sync Bind Execute Sync '1EZ2CZ'", "1 E Z 2 C Z failed Bind");
    // It was sent before the error was heard.
    check("Parse 'E' Bind Execute Close+ Sync 'Z'", "E Z failed Parse,Bind,Execute,Close");
    check("Parse 'E' Query Sync 'Z' Query 'CZ'", "E Z C Z failed Parse,Query");
    check("Parse 'E'", "E failed Parse settled false syncs 0");
    check("Query 'TDEZ' Query 'CZ'", "T D E Z C Z");
    // A constraint that is checked at the end of the batch.
    check("Bind Execute Sync '2CEZ'", "2 C E Z");
}

#[test]
fn copy_passes_over_syncs_that_come_before_the_end_of_its_data() {
    check("Query 'G' CopyEnd 'CZ'", "G C Z");
    check("Query CopyEnd 'GCZ'", "G C Z");
    check("Query 'GEZ' CopyEnd Query 'CZ'", "G E Z C Z");
    check("Query 'HddcCZ'", "H d d c C Z");
    // libpq sends Sync with Execute, and another one after the data.
    check("Parse Bind Execute Sync '12G' CopyEnd Sync 'CZ'", "1 2 G C Z");
    check("Parse Bind Execute Sync CopyEnd Sync '12GCZ'", "1 2 G C Z");
    check("Execute 'G' Sync Sync CopyEnd Sync 'CZ'", "G C Z");
    // What is neither data nor its end: it is refused, and the Sync behind it is heard.
    check(
        "Execute Sync Bind Sync Query 'GEZCZ'",
        "G E Z C Z failed Execute,Bind settled false syncs 0",
    );
    // It was no COPY at all.
    check("Execute CopyEnd Sync 'CZ'", "C Z");
    check("Execute Sync CopyEnd Sync 'EZZ'", "E Z Z failed Execute");
    check("CopyEnd Query 'CZ'", "C Z");
    // Two in one Query.
    check("Query 'G' CopyEnd 'CG' CopyEnd 'CZ'", "G C G C Z");
}

#[test]
fn a_copy_that_fails_may_not_have_read_an_early_sync() {
    let spent = " failed Execute,CopyEnd settled false syncs 0";
    check("Execute Sync 'GE' CopyEnd Sync 'Z'", &format!("G E Z{spent}"));
    check("Execute Sync 'GE' CopyEnd Sync 'ZZ'", "G E Z Z failed Execute,CopyEnd");
    check("Execute 'G' Sync 'EZ' CopyEnd Sync 'Z'", "G E Z Z failed Execute");
    check("Execute Sync 'GEZZ'", "G E Z Z! failed Execute");
    // The second one comes before the answer to what was asked since, and is not taken for it.
    check("Execute Sync 'GE' CopyEnd Sync 'Z' Query 'ZCZ'", "G E Z Z C Z failed Execute,CopyEnd");
    check("Execute Sync 'GE' Sync 'Z' Bind Sync 'Z2Z'", "G E Z Z 2 Z failed Execute");
    // What was read is over.
    check("Execute Sync 'G' CopyEnd Sync 'CZ' Execute 'E' Sync 'Z'", "G C Z E Z failed Execute");
    check("Query 'GEZ'", "G E Z");
}

#[test]
fn what_nobody_asked_for_is_no_answer() {
    check("'NSAE'", "<N> <S> <A> <E>");
    check("Query 'NTSDACZ'", "<N> T <S> D <A> C Z");
    check("'Z'", "Z!");
    check("Query 'CZZ'", "C Z Z!");
    check("Parse Sync '2'", "2! settled false syncs 1");
    check("Bind Sync 'Z'", "Z! settled false syncs 1");
    check("Query '1'", "1! settled false syncs 1");
}
