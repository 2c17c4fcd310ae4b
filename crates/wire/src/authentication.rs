//! How a login goes: what the side that lets in asks, and what the other answers. Written and read,
//! because a proxy is both.
//!
//! ```text
//! 'R' 0 | 3 | 5 salt | 10 mechanisms | 11 data | 12 data          'p' mechanism, data | data | password
//! ```
//! Source: PostgreSQL documentation, "Message Formats": Authentication*, SASL*, PasswordMessage.

use std::fmt;

/// What a login asks of whoever wants in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Authentication<'a> {
    Ok,
    /// The password itself.
    Cleartext,
    Md5 {
        salt: [u8; 4],
    },
    /// Names, each ended by a zero, without the last zero.
    Sasl {
        mechanisms: &'a [u8],
    },
    SaslContinue(&'a [u8]),
    SaslFinal(&'a [u8]),
    /// Kerberos and its like: its number.
    Other(u32),
}

impl<'a> Authentication<'a> {
    /// The body of a message `R`; `None`: it is none.
    pub fn read(body: &'a [u8]) -> Option<Authentication<'a>> {
        let (number, rest) = body.split_first_chunk::<4>()?;
        match (u32::from_be_bytes(*number), rest) {
            (0, []) => Some(Authentication::Ok),
            (3, []) => Some(Authentication::Cleartext),
            (5, salt) => Some(Authentication::Md5 { salt: salt.try_into().ok()? }),
            (10, names) => {
                let mechanisms = names.strip_suffix(&[0])?;
                mechanisms.ends_with(&[0]).then_some(Authentication::Sasl { mechanisms })
            }
            (11, data) => Some(Authentication::SaslContinue(data)),
            (12, data) => Some(Authentication::SaslFinal(data)),
            (0 | 3, _) => None,
            (other, _) => Some(Authentication::Other(other)),
        }
    }

    /// Appends the whole message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (number, data, ends): (u32, &[u8], &[u8]) = match self {
            Authentication::Ok => (0, &[], &[]),
            Authentication::Cleartext => (3, &[], &[]),
            Authentication::Md5 { salt } => (5, salt, &[]),
            Authentication::Sasl { mechanisms } => (10, mechanisms, &[0]),
            Authentication::SaslContinue(data) => (11, data, &[]),
            Authentication::SaslFinal(data) => (12, data, &[]),
            Authentication::Other(number) => (*number, &[], &[]),
        };
        message(out, b'R', &[&number.to_be_bytes(), data, ends]);
    }

    /// Whether SASL with this mechanism is offered.
    pub fn offers(&self, wanted: &str) -> bool {
        let Authentication::Sasl { mechanisms } = self else { return false };
        mechanisms.split(|byte| *byte == 0).any(|name| name == wanted.as_bytes())
    }
}

/// SASLInitialResponse: which mechanism, and its first message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InitialResponse<'a> {
    pub mechanism: &'a str,
    pub data: &'a str,
}

impl<'a> InitialResponse<'a> {
    /// The body of a message `p` that answers [`Authentication::Sasl`]; `None`: it is none. A
    /// response without data, which SCRAM does not have, is none.
    pub fn read(body: &'a [u8]) -> Option<InitialResponse<'a>> {
        let end = body.iter().position(|byte| *byte == 0)?;
        let (mechanism, rest) = (&body[..end], &body[end + 1..]);
        let (len, data) = rest.split_first_chunk::<4>()?;
        if data.len() != usize::try_from(i32::from_be_bytes(*len)).ok()? {
            return None;
        }
        let mechanism = std::str::from_utf8(mechanism).ok()?;
        Some(InitialResponse { mechanism, data: std::str::from_utf8(data).ok()? })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        // A mechanism's first message is some dozens of bytes.
        let len = i32::try_from(self.data.len()).unwrap_or(i32::MAX).to_be_bytes();
        message(out, b'p', &[self.mechanism.as_bytes(), &[0], &len, self.data.as_bytes()]);
    }
}

/// It proves a password.
impl fmt::Debug for InitialResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InitialResponse {{ mechanism: {:?} }}", self.mechanism)
    }
}

/// A later SASL message.
pub fn sasl_response(out: &mut Vec<u8>, data: &str) {
    message(out, b'p', &[data.as_bytes()]);
}

/// A password, or MD5's answer.
pub fn password(out: &mut Vec<u8>, text: &str) {
    message(out, b'p', &[text.as_bytes(), &[0]]);
}

/// A password as it came: up to its zero.
pub fn password_of(body: &[u8]) -> Option<&str> {
    let text = body.strip_suffix(&[0]).filter(|text| !text.contains(&0))?;
    std::str::from_utf8(text).ok()
}

/// Appends a message of `parts`; they are bounded by what caused them.
pub fn message(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let len = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.push(kind);
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn what_is_asked_is_read_as_it_was_written() {
        for asked in [
            Authentication::Ok,
            Authentication::Cleartext,
            Authentication::Md5 { salt: *b"salt" },
            Authentication::Sasl { mechanisms: b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0" },
            Authentication::SaslContinue(b"r=abc"),
            Authentication::SaslFinal(b"v=abc"),
            Authentication::Other(7),
        ] {
            let mut out = Vec::new();
            asked.write(&mut out);
            let (message, rest) = Message::first(&out).expect("a length").expect("a whole one");
            assert_eq!((message.kind, rest), (b'R', &b""[..]));
            assert_eq!(Authentication::read(message.body), Some(asked));
        }
        let sasl = Authentication::Sasl { mechanisms: b"SCRAM-SHA-256\0" };
        assert!(sasl.offers("SCRAM-SHA-256") && !sasl.offers("SCRAM-SHA-256-PLUS"));
    }

    #[test]
    fn what_is_cut_is_not_read() {
        for bad in [&b""[..], b"\0\0\0", b"\0\0\0\0x", b"\0\0\0\x05abc", b"\0\0\0\x0aSCRAM"] {
            assert_eq!(Authentication::read(bad), None, "{}", bad.escape_ascii());
        }
        for bad in [&b""[..], b"SCRAM", b"SCRAM\0", b"SCRAM\0\0\0\0\x02n", b"S\0\xff\xff\xff\xff"] {
            assert_eq!(InitialResponse::read(bad), None, "{}", bad.escape_ascii());
        }
        assert_eq!(password_of(b"secret"), None);
        assert_eq!(password_of(b"sec\0ret\0"), None);
        assert_eq!(password_of(b"secret\0"), Some("secret"));
    }

    #[test]
    fn an_answer_names_its_mechanism_and_shows_nothing_of_itself() {
        let answer = InitialResponse { mechanism: "SCRAM-SHA-256", data: "n,,n=,r=abc" };
        let mut out = Vec::new();
        answer.write(&mut out);
        let (message, _) = Message::first(&out).expect("a length").expect("a whole one");
        assert_eq!(InitialResponse::read(message.body), Some(answer));
        assert!(!format!("{answer:?}").contains("abc"));
    }
}
