//! One message of a client's: what it asks for, what it names, and how it goes to a server under
//! another name.

use crate::frontend::{Bind, Malformed, Named, Parse, executed};
use crate::replies::Asked;
use crate::walk::HEAD_LEN;

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
    pub fn read(&self) -> Result<Said<'a>, Malformed> {
        Ok(match self.kind {
            b'P' => Said::Parse(Parse::read(self.here)?),
            // What is here beyond that is chance.
            b'B' => Said::Bind(Bind::read(&self.here[..self.here.len().min(PEEK_MAX)])?),
            b'D' => Said::Describe(Named::read(self.here)?),
            b'C' => Said::Close(Named::read(self.here)?),
            b'Q' => Said::Query(self.here),
            b'E' => Said::Execute(executed(self.here).unwrap_or_default()),
            b'S' => Said::Plain(Some(Asked::Sync)),
            b'F' => Said::Plain(Some(Asked::FunctionCall)),
            b'c' | b'f' => Said::Plain(Some(Asked::CopyEnd)),
            b'd' => Said::CopyData,
            _ => Said::Plain(None),
        })
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
