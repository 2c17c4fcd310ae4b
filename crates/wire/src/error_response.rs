//! ErrorResponse: what a client is told before it is let go.

/// An error as the server would send it. PostgreSQL's words are used where it has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorResponse {
    pub severity: Severity,
    /// SQLSTATE: five characters.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// What becomes of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
}

impl ErrorResponse {
    /// A FATAL without a hint.
    pub fn fatal(code: &'static str, message: impl Into<String>) -> ErrorResponse {
        ErrorResponse { severity: Severity::Fatal, code, message: message.into(), hint: None }
    }

    /// The same with a hint.
    pub fn hint(self, hint: impl Into<String>) -> ErrorResponse {
        ErrorResponse { hint: Some(hint.into()), ..self }
    }

    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(b"E\0\0\0\0");
        let severity = match self.severity {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        };
        field(out, b'S', severity);
        field(out, b'V', severity);
        field(out, b'C', self.code);
        field(out, b'M', &self.message);
        if let Some(hint) = &self.hint {
            field(out, b'H', hint);
        }
        out.push(0);
        // The text is bounded by the packet that caused it; a saturated length would only make
        // the client hang up, which it is about to do.
        let len = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX);
        out[start + 1..start + 5].copy_from_slice(&len.to_be_bytes());
    }
}

/// A zero inside `text` would end the field early and turn the rest into fields.
fn field(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend(text.bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_bytes_that_postgresql_sends() {
        let mut out = b"before".to_vec();
        ErrorResponse::fatal("53300", "sorry, too many clients already").encode(&mut out);
        let want = b"beforeE\0\0\0\x3bSFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0";
        assert_eq!(out, want, "{}", out.escape_ascii());
    }

    #[test]
    fn a_zero_in_a_text_does_not_end_its_field() {
        let mut out = Vec::new();
        ErrorResponse::fatal("57P03", "a\0C00000").hint("h").encode(&mut out);
        assert!(out.ends_with(b"Ma C00000\0Hh\0\0"), "{}", out.escape_ascii());
    }
}
