//! Histories as text and what is due after them; and days that are lived through minute by minute.

use howdah_base::Span;
use howdah_spec::schedule::Zone;

use super::super::End;
use super::*;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn schedule(zone: &str, backup: &str) -> ScheduleSpec {
    ScheduleSpec {
        backup: Cron::parse(backup).ok(),
        full: None,
        verify: None,
        drill: When::Off,
        expire: When::Off,
        zone: Zone::named(zone).expect("a zone"),
        at_most: Span(std::time::Duration::from_secs(3600)),
    }
}

/// `hh:mm` of the fifth of May 2026, or of another day of that month before a `/`; UTC.
fn at(text: &str) -> u64 {
    let (day, time) = text.split_once('/').unwrap_or(("5", text));
    let (hour, minute) = time.split_once(':').expect("a time");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    // The first of May 2026 was day 20574.
    (20_574 + number(day) - 1) * 24 * HOUR + number(hour) * HOUR + number(minute) * MINUTE
}

fn told(ms: u64) -> String {
    let (day, rest) = (ms / (24 * HOUR) - 20_574 + 1, ms % (24 * HOUR));
    let time = format!("{:02}:{:02}", rest / HOUR, rest % HOUR / MINUTE);
    if day == 5 { time } else { format!("{day}/{time}") }
}

/// One word a thing that happened: `made@01:00-01:10`, `full@…`, `drill=failed@02:00-02:01`.
fn history(story: &str) -> History {
    let mut history = History { since: at("1/00:30"), ..History::default() };
    for (number, word) in story.split_whitespace().enumerate() {
        let (what, when) = word.split_once('@').expect("a moment");
        let (from, to) = when.split_once('-').expect("two moments");
        let (begun, stopped) = (at(from), at(to));
        let Some((task, outcome)) = what.split_once('=') else {
            let (label, full) = (word.to_owned(), what == "full");
            history.made.push(Made { label, started: begun, stopped, full });
            continue;
        };
        let end = End {
            at: stopped,
            outcome: Outcome::of(outcome),
            why: String::new(),
            label: None,
            bytes: None,
            rpo_ms: None,
            rto_ms: None,
        };
        history.runs.push(Run {
            number: number as u64,
            task: Task::of(task).expect("a task"),
            node: "n1".to_owned(),
            begun,
            end: Some(end),
        });
    }
    history
}

fn check(schedule: &ScheduleSpec, story: &str, now: &str, expected: &str) {
    let said = match next(schedule, &history(story), at(now)) {
        None => "never".to_owned(),
        Some(Wanted { task, due, at: from }) => {
            let when = if from <= at(now) { "now".to_owned() } else { told(from) };
            format!("{task} {when}, for {}", told(due))
        }
    };
    assert_eq!(said, expected, "{story} at {now}");
}

#[test]
fn a_backup_is_due_when_its_moment_has_come_and_once_for_all_it_missed() {
    let daily = schedule("UTC", "0 1 * * *");
    check(&daily, "", "1/00:31", "backup now, for 1/00:30");
    check(&daily, "full@1/00:31-1/00:35", "1/00:36", "backup 1/01:00, for 1/01:00");
    check(&daily, "made@01:00-01:10", "01:11", "backup 6/01:00, for 6/01:00");
    check(&daily, "made@1/01:00-1/01:10", "00:59", "backup now, for 4/01:00");
    check(&daily, "made@1/01:00-1/01:10", "01:00", "backup now, for 01:00");
    // It took longer than a day, and the next one begins at once.
    check(&daily, "made@2/01:00-4/02:00", "4/02:01", "backup now, for 4/01:00");
    // By hand, before its moment: that one is still done.
    check(&daily, "made@00:50-00:55", "01:00", "backup now, for 01:00");
    // One that a clock dates days ahead puts nothing off.
    let ahead = "made@1/01:00-1/01:10 made@20/01:00-20/01:10";
    check(&daily, ahead, "01:00", "backup now, for 01:00");
    check(&ScheduleSpec { backup: None, ..daily }, "", "00:59", "never");
}

#[test]
fn a_failure_is_tried_again_with_growing_pauses() {
    let daily = schedule("UTC", "0 1 * * *");
    let before = "made@4/01:00-4/01:10 backup=failed@4/00:10-4/00:20";
    let after = |tries: &str, now: &str, expected: &str| {
        check(&daily, &format!("{before} {tries}"), now, expected);
    };
    after("", "01:00", "backup now, for 01:00");
    after("backup=failed@01:00-01:02", "01:02", "backup 01:03, for 01:00");
    let two = "backup=failed@01:00-01:02 backup=failed@01:03-01:05";
    after(two, "01:06", "backup 01:07, for 01:00");
    after(two, "01:07", "backup now, for 01:00");
    let many: String = (1..60).map(|m| format!("backup=failed@01:{m:02}-01:{m:02} ")).collect();
    after(&many, "02:58", "backup 02:59, for 01:00");
    after(&many, "6/01:00", "backup now, for 6/01:00");
    // Its node went away: at once, but not for ever so.
    after("backup=interrupted@01:00-01:02", "01:02", "backup now, for 01:00");
    let gone = "backup=interrupted@01:00-01:02 backup=interrupted@01:02-01:04";
    after(gone, "01:04", "backup now, for 01:00");
    let gone = format!("{gone} backup=interrupted@01:04-01:06");
    after(&gone, "01:06", "backup 01:07, for 01:00");
    // Its history was not written, but it is there.
    after(
        "made@01:00-01:10 backup=interrupted@01:00-01:12",
        "01:12",
        "backup 6/01:00, for 6/01:00",
    );
}

#[test]
fn expiry_and_drills_follow_on_backups() {
    let (drill, expire) = (When::AfterBackup, When::AfterBackup);
    let follow = ScheduleSpec { drill, expire, ..schedule("UTC", "0 */6 * * *") };
    let first = "made@00:00-00:10";
    check(&follow, first, "00:11", "expire now, for 00:10");
    let expired = format!("{first} expire=done@00:11-00:11");
    check(&follow, &expired, "00:12", "drill now, for 00:10");
    let drilled = format!("{expired} drill=done@00:12-00:20");
    check(&follow, &drilled, "00:21", "backup 06:00, for 06:00");
    // One drill a day is enough, expiry is cheap.
    let second = format!("{drilled} made@06:00-06:10");
    check(&follow, &second, "06:11", "expire now, for 06:10");
    let second = format!("{second} expire=done@06:11-06:11");
    check(&follow, &second, "06:12", "backup 12:00, for 12:00");
    let next_day = format!("{second} made@6/00:00-6/00:10 expire=done@6/00:11-6/00:11");
    check(&follow, &next_day, "6/00:12", "drill now, for 6/00:10");
    // It is the zone's day.
    let follow = ScheduleSpec { zone: Zone::named("Asia/Kolkata").expect("a zone"), ..follow };
    let night = format!("{drilled} made@18:00-18:10 expire=done@18:11-18:11");
    check(&follow, &night, "18:12", "backup 18:30, for 18:30");
    let night = format!("{drilled} made@18:30-18:40 expire=done@18:41-18:41");
    check(&follow, &night, "18:42", "drill now, for 18:40");
}

#[test]
fn what_is_no_backup_is_given_up_until_the_next_time() {
    let weekly = ScheduleSpec {
        verify: Cron::parse("0 5 * * *").ok(),
        drill: When::AfterBackup,
        ..schedule("UTC", "0 1 * * *")
    };
    let tries = |task: &str, count: usize| {
        let tries = (0..count).map(|n| format!("{task}=failed@05:{n:02}-05:{n:02} "));
        format!("made@01:00-01:10 {}", tries.collect::<String>())
    };
    let drilled = "drill=done@01:11-01:20";
    check(&weekly, &format!("{} {drilled}", tries("verify", 4)), "05:30", "verify now, for 05:00");
    let given_up = format!("{} {drilled}", tries("verify", 5));
    check(&weekly, &given_up, "05:30", "backup 6/01:00, for 6/01:00");
    check(&weekly, &tries("drill", 5), "06:30", "verify now, for 05:00");
}

#[test]
fn a_full_backup_is_a_backup_too() {
    let both =
        ScheduleSpec { full: Cron::parse("0 1 * * TUE").ok(), ..schedule("UTC", "0 1 * * *") };
    // The fifth of May 2026 was a Tuesday.
    check(&both, "full@1/00:31-1/00:40 made@4/01:00-4/01:05", "01:00", "full now, for 01:00");
    let done = "full@1/00:31-1/00:40 made@4/01:00-4/01:05 full@01:00-01:30";
    check(&both, done, "01:30", "backup 6/01:00, for 6/01:00");
    let failed = "full@1/00:31-1/00:40 made@4/01:00-4/01:05 full=failed@01:00-01:01";
    check(&both, failed, "01:01", "backup now, for 01:00");
}

#[test]
fn a_schedule_that_is_not_kept_is_told() {
    let daily = schedule("UTC", "0 1 * * *");
    let is = |story: &str, now: &str| is_late(&daily, &history(story), at(now));
    assert!(!is("made@1/01:00-1/01:10", "3/01:10"));
    assert!(is("made@1/01:00-1/01:10", "3/01:11"));
    assert!(!is("", "3/00:30"));
    assert!(is("", "3/00:31"));
    // A clock that was days ahead made one: it does not keep the others from being missed.
    assert!(is("made@1/01:00-1/01:10 made@20/01:00-20/01:10", "3/01:11"));
    assert!(!is_late(&ScheduleSpec { backup: None, ..daily }, &history(""), at("5/00:00")));
}

/// Lives through some days, a minute a time; what is due is done and takes five minutes. `away`: nobody
/// is there. When each run began.
fn live(schedule: &ScheduleSpec, from: u64, to: u64, away: impl Fn(u64) -> bool) -> Vec<u64> {
    let mut history = History { since: from, ..History::default() };
    let mut begun = Vec::new();
    let mut now = from;
    while now < to {
        now += MINUTE;
        let due = next(schedule, &history, now).filter(|wanted| wanted.at <= now);
        if due.is_none() || away(now) {
            continue;
        }
        begun.push(now);
        let (started, stopped, label) = (now, now + 5 * MINUTE, now.to_string());
        history.made.push(Made { label, started, stopped, full: false });
        now = stopped;
    }
    begun
}

#[test]
fn each_day_has_one_backup_whatever_clocks_do_and_whoever_is_away() {
    // From the 20th of March, and of October, 2026: days 20532 and 20746.
    for (zone, first_day) in
        [("Europe/Berlin", 20_532), ("Europe/Berlin", 20_746), ("America/Sao_Paulo", 20_532)]
    {
        for backup in ["0 1 * * *", "30 2 * * *", "59 2 * * *", "0 3 * * *", "0 0 * * *"] {
            let schedule = schedule(zone, backup);
            let from = first_day * 24 * HOUR + 12 * HOUR;
            let begun = live(&schedule, from, from + 20 * 24 * HOUR, |_| false);
            let days: Vec<_> = begun.iter().map(|at| schedule.zone.date(*at)).collect();
            // The first one is at once, and that day has no other.
            assert_eq!(begun.len(), 21, "{zone} {backup}");
            assert!(days.windows(2).all(|two| two[0] < two[1]), "{zone} {backup}: {days:?}");
        }
    }
    let schedule = schedule("UTC", "0 1 * * *");
    let from = at("1/12:00");
    let away = |now: u64| (at("3/00:00")..at("7/12:00")).contains(&now);
    let begun = live(&schedule, from, at("9/12:00"), away);
    let begun: Vec<String> = begun.into_iter().map(told).collect();
    assert_eq!(begun, ["1/12:01", "2/01:00", "7/12:00", "8/01:00", "9/01:00"]);
}
