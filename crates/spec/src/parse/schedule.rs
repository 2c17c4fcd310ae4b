//! `[backup.schedule]`.

use std::time::Duration;

use howdah_base::Span;

use super::keys;
use super::reader::{Table, Value};
use crate::schedule::{Cron, ScheduleSpec, When, Zone};

const DAILY: &str = "0 1 * * *";
const WEEKLY: &str = "0 5 * * 0";
const DAY: Duration = Duration::from_secs(86_400);
const FIELDS: &str = "minute, hour, day of the month, month, day of the week: `\"0 1 * * *\"` is each \
     day at one, `\"*/30 * * * *\"` each half hour, `\"0 5 * * SUN\"` each Sunday at five; `\"off\"` is \
     never";

pub(super) fn read(backup: &Table<'_>) -> ScheduleSpec {
    let table = backup.table("schedule", &keys::BACKUP_SCHEDULE);
    let usual = |text| Cron::parse(text).ok();
    let zone = table.get("zone").and_then(read_zone).unwrap_or_else(Zone::utc);
    ScheduleSpec {
        backup: table
            .get("backup")
            .map_or_else(|| usual(DAILY), |v| read_when(v, false).cron().cloned()),
        full: table.get("full").and_then(|value| read_when(value, false).cron().cloned()),
        verify: table
            .get("verify")
            .map_or_else(|| usual(WEEKLY), |v| read_when(v, false).cron().cloned()),
        drill: table.get("drill").map_or(When::AfterBackup, |value| read_when(value, true)),
        expire: table.get("expire").map_or(When::AfterBackup, |value| read_when(value, true)),
        zone,
        at_most: table.span("at_most").unwrap_or(Span(DAY)),
    }
}

fn read_when(value: &Value<'_>, may_follow: bool) -> When {
    let Some(text) = value.text() else { return When::Off };
    match text.trim() {
        "" | When::OFF => When::Off,
        When::AFTER_BACKUP if may_follow => When::AfterBackup,
        text => match Cron::parse(text) {
            Ok(cron) => When::At(cron),
            Err(why) => {
                let also = if may_follow { ", `\"after-backup\"` follows on backups" } else { "" };
                let what = format!("`{}` is not a cron expression, {why}: `{text}`", value.path);
                value.wrong(what, format!("{FIELDS}{also}"));
                When::Off
            }
        },
    }
}

fn read_zone(value: &Value<'_>) -> Option<Zone> {
    let name = value.text()?;
    let zone = Zone::named(&name);
    if zone.is_none() {
        let hint =
            "write a name of the IANA's time zones, such as `\"Europe/Berlin\"` or `\"UTC\"`";
        value.wrong(format!("no time zone is called so: `{name}`"), hint);
    }
    zone
}
