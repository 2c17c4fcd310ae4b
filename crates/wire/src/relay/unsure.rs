//! A commit whose wait for a standby was cancelled: PostgreSQL says a warning and then that it is
//! committed. Whoever counts on a standby must not take that for a success.
//!
//! Source: `SyncRepWaitForLSN` in `src/backend/replication/syncrep.c`. The warning has no code of its
//! own and is translated; its field `R` is neither.

use crate::error_response::{ErrorResponse, Severity};

/// Whether a NoticeResponse is that warning.
pub(super) fn is_unsure(body: &[u8]) -> bool {
    let mut fields = body.split(|byte| *byte == 0);
    fields.any(|field| field.split_first() == Some((&b'R', b"SyncRepWaitForLSN")))
}

/// What the client hears behind it.
pub(super) fn error() -> ErrorResponse {
    ErrorResponse {
        severity: Severity::Error,
        code: "40003",
        message: "no standby has confirmed this commit: its wait was cancelled".to_owned(),
        hint: Some(
            "it is committed on this server, and lost if that fails before a standby has it; look \
             before you repeat it"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_is_known_in_any_language() {
        let body = b"SWARNUNG\0VWARNING\0C01000\0MWarten\0Fsyncrep.c\0L300\0RSyncRepWaitForLSN\0\0";
        assert!(is_unsure(body));
        assert!(!is_unsure(b"SNOTICE\0C00000\0MRSyncRepWaitForLSN\0Rexec_stmt_raise\0\0"));
    }
}
