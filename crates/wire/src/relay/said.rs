//! One message of a client's: what it asks for, what it names, and how it goes to a server under
//! another name.

use crate::frontend::{Bind, Named, Parse, executed};
use crate::replies::Asked;
use crate::walk::{HEAD_LEN, Lost};

use super::Cuts;
use super::server_half::PEEK_MAX;
use super::statements::ServerName;

/// One message of the client's, as far as it is here.
pub(super) struct Message<'a> {
    pub kind: u8,
    pub body: u32,
    pub here: &'a [u8],
    /// Where its head stands in what came.
    pub at: usize,
}

/// What it asks for, and what it names.
pub(super) enum Said<'a> {
    Parse(Parse<'a>),
    Bind(Bind<'a>),
    Describe(Named<'a>),
    Close(Named<'a>),
    /// As far as it is here.
    Query(&'a [u8]),
    /// The portal's name; none, where it is no good message: the server says so.
    Execute(&'a [u8]),
    CopyData,
    /// It asks for this and is no good message: the server says so, and passes over what follows.
    Malformed(Asked),
    /// It names no statement; `None`: nothing answers it.
    Plain(Option<Asked>),
}

impl<'a> Said<'a> {
    pub fn statement(&self) -> Option<&'a [u8]> {
        match self {
            Said::Parse(parse) => Some(parse.name),
            Said::Bind(bind) => Some(bind.statement),
            Said::Describe(Named::Statement(name)) | Said::Close(Named::Statement(name)) => {
                Some(name)
            }
            _ => None,
        }
    }
}

impl<'a> Message<'a> {
    pub fn read(&self) -> Result<Said<'a>, ClientLost> {
        let malformed = |asked| move |_| Said::Malformed(asked);
        Ok(match self.kind {
            b'P' => Parse::read(self.here).map_or_else(malformed(Asked::Parse), Said::Parse),
            b'B' => self.read_bind()?.map_or(Said::Malformed(Asked::Bind), Said::Bind),
            b'D' => {
                Named::read(self.here).map_or_else(malformed(Asked::DescribePortal), Said::Describe)
            }
            b'C' => Named::read(self.here).map_or_else(malformed(Asked::Close), Said::Close),
            b'Q' => Said::Query(self.here),
            b'E' => Said::Execute(executed(self.here).unwrap_or_default()),
            b'S' => Said::Plain(Some(Asked::Sync)),
            b'F' => Said::Plain(Some(Asked::FunctionCall)),
            b'c' | b'f' => Said::Plain(Some(Asked::CopyEnd)),
            b'd' => Said::CopyData,
            _ => Said::Plain(None),
        })
    }

    /// `None`: it is no good one, and all of it is here.
    fn read_bind(&self) -> Result<Option<Bind<'a>>, ClientLost> {
        // What is here beyond that is chance.
        match Bind::read(&self.here[..self.here.len().min(PEEK_MAX)]) {
            Ok(bind) => Ok(Some(bind)),
            Err(_) if self.body as usize <= PEEK_MAX => Ok(None),
            Err(_) => Err(ClientLost::LongNames { max: PEEK_MAX }),
        }
    }

    pub fn is_whole(&self) -> bool {
        self.here.len() == self.body as usize
    }

    pub fn end(&self) -> usize {
        self.at + HEAD_LEN + self.here.len()
    }

    pub fn pass(&self, to_server: &mut Cuts) {
        to_server.pass(self.at..self.end());
    }

    /// With the server's name in the place of a name that stands somewhere in the body.
    pub fn pass_renamed(&self, name: Option<(usize, &[u8], ServerName)>, to_server: &mut Cuts) {
        match name {
            Some((from, name, new)) => self.renamed(from, name, new, to_server),
            None => self.pass(to_server),
        }
    }

    /// With the server's name in the place of `name`, which stands at `from` in the body.
    pub fn renamed(&self, from: usize, name: &[u8], new: ServerName, to_server: &mut Cuts) {
        let new = new.as_bytes();
        to_server.make(|out| {
            out.push(self.kind);
            let len = 4 + self.body as usize - name.len() + new.len();
            // A body is at most 1 GB.
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(&self.here[..from]);
            out.extend_from_slice(new);
        });
        // Its zero comes along.
        to_server.pass(self.at + HEAD_LEN + from + name.len()..self.end());
    }
}

/// The client's session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientLost {
    #[error(transparent)]
    Stream(#[from] Lost),
    #[error("a statement of more than {max} bytes cannot be prepared through the pooler")]
    TooLong { max: usize },
    /// What follows the names may be longer than what is kept of a client.
    #[error("names of more than {max} bytes cannot be bound through the pooler")]
    LongNames { max: usize },
}
