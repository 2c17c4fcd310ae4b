//! The URL of a server that is to be adopted (libpq, "Connection URIs"), without its password: that
//! goes to psql by the environment, which other users cannot read.

use howdah_base::Redacted;

/// Where a running server is asked, and as whom.
#[derive(Clone, PartialEq, Debug)]
pub struct Address {
    /// As it was given, but without the password.
    pub url: String,
    pub user: Option<String>,
    pub password: Option<Redacted<String>>,
}

impl Address {
    /// `None` for what is no such URL: a directory.
    pub fn parse(text: &str) -> Option<Address> {
        let scheme = ["postgres://", "postgresql://"].into_iter().find(|s| text.starts_with(s))?;
        let rest = &text[scheme.len()..];
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (who, hosts) = match authority.rsplit_once('@') {
            Some((who, hosts)) => (Some(who), hosts),
            None => (None, authority),
        };
        let mut user = who.map(|who| who.split_once(':').map_or(who, |(user, _)| user));
        let mut password = who.and_then(|who| who.split_once(':')).map(|(_, password)| password);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("password", value)) => password = Some(value),
                Some(("user", value)) => user = Some(value),
                _ => kept.push(pair),
            }
        }
        let user = user.filter(|user| !user.is_empty());
        let at = user.map(|user| format!("{user}@")).unwrap_or_default();
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        Some(Address {
            url: format!("{scheme}{at}{hosts}{path}{query}"),
            user: user.map(decoded),
            password: password.map(decoded).filter(|text| !text.is_empty()).map(Redacted::new),
        })
    }
}

/// Without percent-encoding (RFC 3986, 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, url: &str, user: Option<&str>, password: Option<&str>) {
        let found = Address::parse(text).expect("a URL");
        assert_eq!(found.url, url);
        assert_eq!(found.user.as_deref(), user);
        assert_eq!(found.password.map(|p| p.expose().clone()).as_deref(), password);
    }

    #[test]
    fn the_password_is_taken_out_of_a_url() {
        check(
            "postgres://boss:a%40b%3A@h:1/d",
            "postgres://boss@h:1/d",
            Some("boss"),
            Some("a@b:"),
        );
        check("postgresql://h/d?x=1", "postgresql://h/d?x=1", None, None);
        check("postgres:///d?user=u&password=p&x=1", "postgres://u@/d?x=1", Some("u"), Some("p"));
        check("postgres://u:p@h1:1,h2:2", "postgres://u@h1:1,h2:2", Some("u"), Some("p"));
        assert_eq!(Address::parse("/var/lib/postgresql/15/main"), None);
    }
}
