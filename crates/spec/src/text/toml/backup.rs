//! `[backup]` and `[backup.s3]`.

use super::{Writer, list, write_secret_as};
use crate::backup::{BackupSpec, DrillSpec, KeepSpec, RepositorySpec, S3Spec};
use crate::schedule::{Cron, ScheduleSpec, When};

pub(super) fn write(file: &mut Writer, backup: &BackupSpec) {
    file.table(&["backup"]);
    let place = match &backup.repository {
        RepositorySpec::Directory(path) => path.display().to_string(),
        RepositorySpec::S3(s3) if s3.prefix.is_empty() => format!("s3://{}", s3.bucket),
        RepositorySpec::S3(s3) => format!("s3://{}/{}", s3.bucket, s3.prefix),
    };
    file.text("repository", place);
    file.text("cipher", backup.cipher.word());
    write_secret_as(file, "key", backup.key.as_ref());
    file.value("jobs", backup.jobs);
    file.text("standbys", backup.standbys.word());
    write_keep(file, &backup.keep);
    write_drill(file, &backup.drill);
    write_schedule(file, &backup.schedule);
    if let RepositorySpec::S3(s3) = &backup.repository {
        write_s3(file, s3);
    }
}

fn write_keep(file: &mut Writer, keep: &KeepSpec) {
    file.table(&["backup", "keep"]);
    file.value("last", keep.last);
    file.text("within", keep.within);
    file.value("daily", keep.daily);
    file.value("weekly", keep.weekly);
    file.value("monthly", keep.monthly);
    file.value("yearly", keep.yearly);
    file.text("wal", keep.wal);
}

fn write_drill(file: &mut Writer, drill: &DrillSpec) {
    file.table(&["backup", "drill"]);
    file.text("scratch", drill.scratch.display());
    file.text("within", drill.within);
    file.value("preload", list(&drill.preload));
    for check in &drill.checks {
        file.line("\n[[backup.drill.checks]]");
        file.text("name", &check.name);
        file.text("database", &check.database);
        file.text("sql", &check.sql);
        if let Some(expect) = &check.expect {
            file.text("expect", expect);
        }
    }
}

fn write_schedule(file: &mut Writer, schedule: &ScheduleSpec) {
    file.table(&["backup", "schedule"]);
    let cron = |cron: &Option<Cron>| cron.as_ref().map_or(When::OFF, Cron::text).to_owned();
    file.text("backup", cron(&schedule.backup));
    file.text("full", cron(&schedule.full));
    file.text("verify", cron(&schedule.verify));
    file.text("drill", schedule.drill.text());
    file.text("expire", schedule.expire.text());
    file.text("zone", schedule.zone.name());
    file.text("at_most", schedule.at_most);
}

fn write_s3(file: &mut Writer, s3: &S3Spec) {
    file.table(&["backup", "s3"]);
    if let Some(endpoint) = &s3.endpoint {
        file.text("endpoint", endpoint);
    }
    file.text("region", &s3.region);
    file.value("path_style", s3.path_style);
    if let Some(ca) = &s3.ca {
        file.text("ca", ca.display());
    }
    write_secret_as(file, "access_key", s3.access_key.as_ref());
    write_secret_as(file, "secret_key", s3.secret_key.as_ref());
}
