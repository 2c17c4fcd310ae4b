//! One pg_hba line to a rule, as `parse_hba_line` of PostgreSQL's hba.c reads it.
//!
//! What PostgreSQL would take but an endpoint could not judge (membership, host names, regular
//! expressions, files) is refused here, so that no rule is silently passed over.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::token::{self, TOKEN_LEN_MAX, Token};
use super::{AddressMatch, DatabaseMatch, HbaRule, Method, RoleMatch, Transport};

/// The line is not a rule that Howdah enforces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRule {
    pub message: String,
    pub hint: Option<&'static str>,
}

impl fmt::Display for BadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BadRule {}

const METHOD_HINT: &str =
    "methods are `scram-sha-256`, `md5`, `password`, `cert`, `reject`, and `peer` on `local` lines";
const ADDRESS_HINT: &str = "write `all`, `samehost`, `10.0.0.0/8`, or an address and a mask";

fn bad(what: &str, value: &str, hint: &'static str) -> BadRule {
    BadRule { message: format!("{what}: `{value}`"), hint: Some(hint) }
}

pub(super) fn rule(line: &str, trusts: bool) -> Result<HbaRule, BadRule> {
    let mut fields = Fields { line, left: split(line)?.into_iter() };
    let transport = transport(&fields.one("a connection type")?)?;
    let databases =
        fields.list("a database")?.into_iter().map(database).collect::<Result<_, _>>()?;
    let roles = fields.list("a role")?.into_iter().map(role).collect::<Result<_, _>>()?;
    let address = match transport {
        Transport::Local => None,
        _ => Some(address(&mut fields)?),
    };
    let method = match fields.one("an authentication method")? {
        token if trusts && token.text == "trust" => Method::Trust,
        token => method(&token, transport)?,
    };
    let options = fields
        .left
        .flatten()
        .map(|token| option(&token, transport, method))
        .collect::<Result<_, _>>()?;
    Ok(HbaRule { line: line.to_owned(), transport, databases, roles, address, method, options })
}

/// The line's fields, after what would change the meaning of the *next* line in the file.
fn split(line: &str) -> Result<Vec<Vec<Token>>, BadRule> {
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return Err(bad(
            "a rule is one line without control characters",
            &line.escape_debug().to_string(),
            "write each rule as an entry of its own",
        ));
    }
    if line.ends_with('\\') {
        return Err(bad("a rule ends with a backslash", line, "write the rule on one line"));
    }
    let fields = token::fields(line)
        .map_err(|_| bad("a quote is not closed", line, "close the name with `\"`"))?;
    match fields.iter().flatten().find(|token| token.text.len() > TOKEN_LEN_MAX) {
        None => Ok(fields),
        Some(token) => Err(bad("a word is longer than 255 bytes", &token.text, "shorten it")),
    }
}

struct Fields<'a> {
    line: &'a str,
    left: std::vec::IntoIter<Vec<Token>>,
}

impl Fields<'_> {
    fn list(&mut self, what: &str) -> Result<Vec<Token>, BadRule> {
        self.left.next().ok_or_else(|| {
            bad(
                &format!("the rule ends where {what} is expected"),
                self.line,
                "write `TYPE DATABASE USER [ADDRESS] METHOD`, such as \
                 `hostssl all all 10.0.0.0/8 scram-sha-256`",
            )
        })
    }

    fn one(&mut self, what: &str) -> Result<Token, BadRule> {
        let list = self.list(what)?;
        <[Token; 1]>::try_from(list).map(|[token]| token).map_err(|list| {
            let words: Vec<_> = list.into_iter().map(|token| token.text).collect();
            bad(&format!("only one of {what} fits here"), &words.join(","), "write one rule each")
        })
    }
}

fn transport(token: &Token) -> Result<Transport, BadRule> {
    Ok(match token.text.as_str() {
        "local" => Transport::Local,
        "host" => Transport::Host,
        "hostssl" => Transport::HostSsl,
        "hostnossl" => Transport::HostNoSsl,
        "hostgssenc" => Transport::HostGssEnc,
        "hostnogssenc" => Transport::HostNoGssEnc,
        other => {
            return Err(bad(
                "not a connection type",
                other,
                "types are `local`, `host`, `hostssl`, `hostnossl`, `hostgssenc`, `hostnogssenc`",
            ));
        }
    })
}

fn database(token: Token) -> Result<DatabaseMatch, BadRule> {
    if token.is_keyword("samerole") || token.is_keyword("samegroup") {
        return Err(membership(&token));
    }
    if token.is_keyword("all") {
        return Ok(DatabaseMatch::All);
    }
    if token.is_keyword("sameuser") {
        return Ok(DatabaseMatch::SameUser);
    }
    if token.is_keyword("replication") {
        return Ok(DatabaseMatch::Replication);
    }
    plain_name(token).map(DatabaseMatch::Name)
}

fn role(token: Token) -> Result<RoleMatch, BadRule> {
    if token.has_sign('+') {
        return Err(membership(&token));
    }
    if token.is_keyword("all") {
        return Ok(RoleMatch::All);
    }
    plain_name(token).map(RoleMatch::Name)
}

fn membership(token: &Token) -> BadRule {
    bad(
        "membership in a role is not judged at endpoints yet",
        &token.text,
        "name the roles, separated by commas",
    )
}

fn plain_name(token: Token) -> Result<String, BadRule> {
    if token.has_sign('@') {
        return Err(bad(
            "names are not read from another file",
            &token.text,
            "name them here, separated by commas",
        ));
    }
    // PostgreSQL 16 takes a quoted one as a regular expression too.
    if token.text.starts_with('/') {
        return Err(bad(
            "regular expressions are not judged at endpoints yet",
            &token.text,
            "name what it stands for, separated by commas",
        ));
    }
    Ok(token.text)
}

fn address(fields: &mut Fields<'_>) -> Result<AddressMatch, BadRule> {
    let token = fields.one("an address")?;
    if token.is_keyword("all") {
        return Ok(AddressMatch::All);
    }
    if token.is_keyword("samehost") {
        return Ok(AddressMatch::SameHost);
    }
    if token.is_keyword("samenet") {
        return Err(bad(
            "networks of the machine are not judged at endpoints yet",
            &token.text,
            "write the network, such as `10.0.0.0/8`",
        ));
    }
    match token.text.split_once('/') {
        Some((address, bits)) => {
            let address = numeric(address)?;
            let mask = prefix_mask(address, bits)
                .ok_or_else(|| bad("not a CIDR mask", &token.text, ADDRESS_HINT))?;
            Ok(AddressMatch::Masked { address, mask })
        }
        None => {
            let address = numeric(&token.text)?;
            let mask = fields.one("an address mask")?;
            match mask.text.parse::<IpAddr>() {
                Ok(mask) if mask.is_ipv4() == address.is_ipv4() => {
                    Ok(AddressMatch::Masked { address, mask })
                }
                _ => Err(bad("not a mask for this address", &mask.text, ADDRESS_HINT)),
            }
        }
    }
}

fn numeric(text: &str) -> Result<IpAddr, BadRule> {
    text.parse().map_err(|_| {
        bad("host names are not judged at endpoints, addresses are", text, ADDRESS_HINT)
    })
}

/// The mask of `/bits`; nothing when there are too many for the family.
fn prefix_mask(address: IpAddr, bits: &str) -> Option<IpAddr> {
    let bits: u32 = bits.parse().ok()?;
    match address {
        IpAddr::V4(_) => {
            let host = 32_u32.checked_sub(bits)?;
            Some(Ipv4Addr::from_bits(u32::MAX.checked_shl(host).unwrap_or(0)).into())
        }
        IpAddr::V6(_) => {
            let host = 128_u32.checked_sub(bits)?;
            Some(Ipv6Addr::from_bits(u128::MAX.checked_shl(host).unwrap_or(0)).into())
        }
    }
}

fn method(token: &Token, transport: Transport) -> Result<Method, BadRule> {
    Ok(match token.text.as_str() {
        "scram-sha-256" => Method::ScramSha256,
        "md5" => Method::Md5,
        "password" => Method::Password,
        "reject" => Method::Reject,
        "cert" if transport == Transport::HostSsl => Method::Cert,
        "cert" => {
            return Err(bad("only `hostssl` lines can ask for", "cert", "write `hostssl`"));
        }
        "peer" if transport == Transport::Local => Method::Peer,
        "peer" => return Err(bad("only `local` lines can ask for", "peer", METHOD_HINT)),
        "trust" => {
            return Err(bad(
                "howdah lets nobody in without proof",
                "trust",
                "write `scram-sha-256`, and keep the password in ~/.pgpass",
            ));
        }
        other => return Err(bad("not a method that howdah knows", other, METHOD_HINT)),
    })
}

fn option(
    token: &Token,
    transport: Transport,
    method: Method,
) -> Result<(String, String), BadRule> {
    const HINT: &str = "options are `clientcert=verify-ca|verify-full` and `clientname=CN|DN` on \
                        `hostssl` lines, and `map=NAME` with `cert` or `peer`";
    let refused = || bad("not an option of this rule", &token.text, HINT);
    let (name, value) = token.text.split_once('=').ok_or_else(refused)?;
    let fits = match (name, value) {
        ("clientcert", "verify-full") => transport == Transport::HostSsl,
        ("clientcert", "verify-ca") => transport == Transport::HostSsl && method != Method::Cert,
        ("clientname", "CN" | "DN") => transport == Transport::HostSsl,
        ("map", _) => matches!(method, Method::Cert | Method::Peer),
        _ => false,
    };
    if fits { Ok((name.to_owned(), value.to_owned())) } else { Err(refused()) }
}
