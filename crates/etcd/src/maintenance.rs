//! A member that has run out of its quota: history is forgotten, room given back, and the alarm
//! taken back when there is room.

use crate::member::{Member, Silence, Status};

/// Above this share of the quota a member makes room before etcd stops all writes, percent.
const MUCH_PERCENT: u64 = 80;

/// Makes room where it is needed; what is wrong, in a sentence.
pub(crate) async fn tend(status: &Status, member: &Member, quota: u64) -> Option<String> {
    match make_room(status, member, quota).await {
        Ok(problem) => problem,
        Err(silence) => Some(format!("etcd's quota cannot be looked after: {}", silence.why())),
    }
}

async fn make_room(
    status: &Status,
    member: &Member,
    quota: u64,
) -> Result<Option<String>, Silence> {
    let full = member.full().await?;
    let much = quota / 100 * MUCH_PERCENT;
    if !full.contains(&status.id) {
        if status.db_bytes > much {
            tracing::warn!("etcd uses {} of {quota} bytes: makes room", status.db_bytes);
            member.compact(status.revision).await?;
            member.defragment().await?;
        }
        let other = (!full.is_empty()).then(|| FULL_ELSEWHERE.to_owned());
        return Ok(other);
    }
    member.compact(status.revision).await?;
    member.defragment().await?;
    let after = member.status().await?;
    if after.db_bytes > much {
        let used = after.db_bytes >> 20;
        return Ok(Some(format!(
            "etcd's quota is used up ({used} MiB) and what is in it is still needed: no write is \
             taken until somebody else's keys are removed"
        )));
    }
    member.disarm(status.id).await?;
    tracing::info!("etcd has room again: {} of {quota} bytes", after.db_bytes);
    Ok(None)
}

const FULL_ELSEWHERE: &str = "another member's quota is used up: etcd takes no write until that \
                              member has made room";
