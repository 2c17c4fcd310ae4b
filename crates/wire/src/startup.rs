//! StartupMessage: who wants which database, read with PostgreSQL's own tolerance, and what is
//! answered to one that asks for more than is spoken here.
//!
//! What is decided from these values must be what the server decides from the same bytes later:
//! the last of repeated parameters counts, an empty database means the user's, and names are cut
//! to 63 bytes. Reading them otherwise would let a client be judged as someone else.

use std::borrow::Cow;

use crate::Malformed;
use crate::authentication::message;

/// Bytes of a name: PostgreSQL's NAMEDATALEN less its terminator.
pub const NAME_LEN_MAX: usize = 63;

/// The newest minor version that is spoken here. 3.2 has longer cancel keys, and nothing else that
/// is new; 3.1 was never given out.
pub const MINOR_MAX: u16 = 2;
/// Options of the protocol itself; there are none yet.
const OPTION: &[u8] = b"_pq_.";

/// A client's StartupMessage, protocol 3.x.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Startup<'a> {
    /// Whoever serves it negotiates it down if it must.
    pub minor: u16,
    /// What kind of session it will be.
    pub replication: Replication,
    /// Name, zero, value, zero, and so on, without the terminator; the layout has been checked.
    parameters: &'a [u8],
}

/// The `replication` parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replication {
    No,
    Physical,
    /// Bound to a database.
    Logical,
}

impl<'a> Startup<'a> {
    pub(crate) fn parse(minor: u16, body: &'a [u8]) -> Result<Startup<'a>, Malformed> {
        let parameters = body.strip_suffix(&[0]).ok_or(Malformed::Layout)?;
        let mut startup = Startup { minor, replication: Replication::No, parameters };
        let fields = parameters.split(|byte| *byte == 0).count();
        let ends_well = parameters.is_empty() || parameters.ends_with(&[0]) && fields % 2 == 1;
        if !ends_well || startup.parameters().any(|(name, _)| name.is_empty()) {
            return Err(Malformed::Layout);
        }
        startup.replication = replication(startup.parameters())?;
        match startup.parameter("user") {
            None | Some(b"") => Err(Malformed::NoUser),
            Some(_) => Ok(startup),
        }
    }

    /// All parameters as they came.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut fields = self.parameters.split(|byte| *byte == 0);
        // The last field is what follows the last value's zero: nothing.
        std::iter::from_fn(move || Some((fields.next()?, fields.next()?)))
    }

    /// The value that counts: the last one.
    pub fn parameter(&self, wanted: &str) -> Option<&'a [u8]> {
        self.parameters().filter(|(name, _)| *name == wanted.as_bytes()).last().map(|(_, v)| v)
    }

    /// The minor version that is spoken with it.
    pub fn spoken(&self) -> u16 {
        self.minor.min(MINOR_MAX)
    }

    /// NegotiateProtocolVersion: what is spoken, and which options are unknown. `None`: it asks
    /// for nothing that is not here. As `ProcessStartupPacket` does it, before anything else.
    pub fn negotiation(&self) -> Option<Vec<u8>> {
        let unknown: Vec<&[u8]> = self
            .parameters()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with(OPTION))
            .collect();
        if self.minor <= MINOR_MAX && unknown.is_empty() {
            return None;
        }
        // A first packet has far fewer.
        let count = u32::try_from(unknown.len()).unwrap_or(u32::MAX).to_be_bytes();
        let version = (3 << 16 | u32::from(self.spoken())).to_be_bytes();
        let mut parts = vec![&version[..], &count];
        unknown.iter().for_each(|name| parts.extend([name, &b"\0"[..]]));
        let mut out = Vec::new();
        message(&mut out, b'v', &parts);
        Some(out)
    }

    pub fn user(&self) -> Cow<'a, str> {
        name(self.parameter("user").unwrap_or_default())
    }

    pub fn database(&self) -> Cow<'a, str> {
        match self.parameter("database") {
            None | Some(b"") => self.user(),
            Some(database) => name(database),
        }
    }
}

/// A byte that is no UTF-8 becomes a sign that no rule of ours can name.
fn name(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(NAME_LEN_MAX)])
}

fn replication<'a>(
    parameters: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Replication, Malformed> {
    let (mut walsender, mut of_database) = (false, false);
    for (_, value) in parameters.filter(|(name, _)| *name == b"replication") {
        if value == b"database" {
            (walsender, of_database) = (true, true);
        } else {
            walsender = boolean(value).ok_or_else(|| {
                Malformed::Replication(String::from_utf8_lossy(value).into_owned())
            })?;
        }
    }
    Ok(match (walsender, of_database) {
        (false, _) => Replication::No,
        (true, false) => Replication::Physical,
        (true, true) => Replication::Logical,
    })
}

/// PostgreSQL's `parse_bool`: unique prefixes count, in any case.
fn boolean(value: &[u8]) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let starts =
        |word: &str, least: usize| value.len() >= least && word.as_bytes().starts_with(&value);
    if starts("true", 1) || starts("yes", 1) || starts("on", 2) || value == b"1" {
        Some(true)
    } else if starts("false", 1) || starts("no", 1) || starts("off", 2) || value == b"0" {
        Some(false)
    } else {
        None
    }
}
