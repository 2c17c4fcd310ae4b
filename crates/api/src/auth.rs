//! Who may change something: by a client certificate, the cluster's token, or a password.

use std::fmt;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use howdah_base::Redacted;
use howdah_base::ask::Refusal;
use subtle::ConstantTimeEq;

use crate::{Access, Asker, CertName};

/// `WWW-Authenticate` of a refusal for want of a proof.
pub const CHALLENGE: &str = "Bearer, Basic realm=\"howdah\"";

/// By what somebody has proved that they may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    Certificate(CertName),
    Token,
    User(String),
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proof::Certificate(name) => write!(f, "certificate {name}"),
            Proof::Token => f.write_str("token"),
            Proof::User(name) => write!(f, "user {name}"),
        }
    }
}

/// Why somebody may not: 401 asks for a proof, 403 for another way to come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    pub code: StatusCode,
    pub refusal: Refusal,
}

/// Judges a request that needs a proof. A secret that came over an open network counts for
/// nothing, unless the cluster file says otherwise: others have read it too.
pub fn admit(access: &Access, asker: &Asker, headers: &HeaderMap) -> Result<Proof, Denied> {
    if let Some(name) = asker.certificate.as_ref().filter(|_| asker.may_change()) {
        return Ok(Proof::Certificate(name.clone()));
    }
    if !asker.is_private() && !access.plain_changes {
        let refusal = Refusal::new("this request is taken from other machines over TLS only")
            .hint("ask by `https://`, or set `plain_changes` in `[http]` of the cluster file");
        return Err(Denied { code: StatusCode::FORBIDDEN, refusal });
    }
    let Some(given) = headers.get(AUTHORIZATION) else {
        return Err(match &asker.certificate {
            Some(other) => not_by(other),
            None => unproved("this request needs the cluster's token"),
        });
    };
    let found = given.to_str().ok().and_then(|given| by_secret(access, given));
    found.ok_or_else(|| unproved("neither the cluster's token nor its user's password"))
}

fn by_secret(access: &Access, given: &str) -> Option<Proof> {
    // The scheme's name is case-insensitive (RFC 9110, 11.1).
    let (scheme, rest) = given.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return same(&access.token, rest.trim()).then_some(Proof::Token);
    }
    let basic = access.basic.as_ref().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let decoded = STANDARD.decode(rest.trim()).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    // Both are compared, whichever is wrong.
    let (user_fits, password_fits) =
        (same(&Redacted::new(basic.user.clone()), user), same(&basic.password, password));
    (user_fits & password_fits).then(|| Proof::User(user.to_owned()))
}

/// In constant time: how long a refusal takes tells nothing about the secret.
fn same(wanted: &Redacted<String>, given: &str) -> bool {
    let wanted = wanted.expose().as_bytes();
    !wanted.is_empty() && bool::from(wanted.ct_eq(given.as_bytes()))
}

fn unproved(why: &str) -> Denied {
    let refusal = Refusal::new(why)
        .hint("send `Authorization: Bearer <token>`; `howdah` finds the token by itself");
    Denied { code: StatusCode::UNAUTHORIZED, refusal }
}

fn not_by(name: &CertName) -> Denied {
    let refusal = Refusal::new(format!("this certificate changes nothing: `{name}`"))
        .hint("use the certificate of a node or an operator, or the cluster's token");
    Denied { code: StatusCode::FORBIDDEN, refusal }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Basic;

    fn access() -> Access {
        let secret = |text: &str| Redacted::new(text.to_owned());
        let basic = Basic { user: "admin".to_owned(), password: secret("pass:word") };
        Access { token: secret("secret"), basic: Some(basic), ..Access::default() }
    }

    fn asker(address: &str, tls: bool, certificate: Option<CertName>) -> Asker {
        Asker { address: address.parse().expect("address"), tls, certificate }
    }

    fn ask(access: &Access, asker: &Asker, authorization: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(text) = authorization {
            headers.insert(AUTHORIZATION, text.parse().expect("header"));
        }
        match admit(access, asker, &headers) {
            Ok(proof) => proof.to_string(),
            Err(denied) => denied.code.as_u16().to_string(),
        }
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn a_token_or_a_password_opens() {
        let here = asker("127.0.0.1:1", false, None);
        let ask = |given: &str| ask(&access(), &here, Some(given));
        assert_eq!(ask("Bearer secret"), "token");
        assert_eq!(ask("bearer secret"), "token");
        assert_eq!(ask(&basic("admin:pass:word")), "user admin");
        for wrong in ["secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "Digest x"] {
            assert_eq!(ask(wrong), "401", "{wrong}");
        }
        for wrong in ["admin:pass", "Admin:pass:word", "admin", ":pass:word", ""] {
            assert_eq!(ask(&basic(wrong)), "401", "{wrong}");
        }
        assert_eq!(ask("Basic %%%"), "401");
    }

    #[test]
    fn what_is_not_set_opens_nothing() {
        let here = asker("127.0.0.1:1", false, None);
        let closed = Access::default();
        assert_eq!(ask(&closed, &here, Some("Bearer ")), "401");
        assert_eq!(ask(&closed, &here, Some(&basic(":"))), "401");
        assert_eq!(ask(&closed, &here, None), "401");
    }

    #[test]
    fn a_certificate_of_a_node_or_an_operator_opens() {
        let with = |name| asker("10.0.0.1:1", true, Some(name));
        let (node, operator) = (CertName::of("n1", true), CertName::of("operator:anna", false));
        assert_eq!(ask(&access(), &with(node), None), "certificate node:n1");
        assert_eq!(ask(&access(), &with(operator), None), "certificate operator:anna");
        let other = with(CertName::of("howdah_replicator", false));
        assert_eq!(ask(&access(), &other, None), "403");
        assert_eq!(ask(&access(), &other, Some("Bearer secret")), "token");
    }

    #[test]
    fn a_secret_over_an_open_network_counts_for_nothing() {
        let far = asker("10.0.0.1:1", false, None);
        assert_eq!(ask(&access(), &far, Some("Bearer secret")), "403");
        let open = Access { plain_changes: true, ..access() };
        assert_eq!(ask(&open, &far, Some("Bearer secret")), "token");
        let tls = asker("10.0.0.1:1", true, None);
        assert_eq!(ask(&access(), &tls, Some("Bearer secret")), "token");
    }
}
