//! Connection strings as URLs: who connects to which database.

use super::Variable;
use super::families::CERTIFICATES;
use crate::draft::{Draft, Rank};
use crate::finding::Fate;
use crate::roles::{self, Attributes};

/// `postgresql://user:password@host:port/database?parameters`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Url<'t> {
    user: Option<&'t str>,
    password: Option<&'t str>,
    database: Option<&'t str>,
}

/// Carries over a login, if the variable's value is a URL of PostgreSQL's.
pub(super) fn carry(draft: &mut Draft, variable: &Variable) {
    let Some(url) = parse(&variable.value) else { return };
    let leaf = variable.leaf;
    let user = url.user.filter(|user| !user.contains(['$', '%']));
    if user.is_some_and(|user| draft.replicators.contains(user)) {
        return draft.tell(leaf, Fate::replaced(CERTIFICATES));
    }
    if let Some(user) = user {
        // postgres_exporter's.
        let monitor = variable.name.starts_with("DATA_SOURCE_");
        let attributes = Attributes { monitor, ..Attributes::default() };
        roles::declare(draft, user, attributes, leaf, Rank::Client);
        if monitor {
            let what = "metrics are not built yet: keep what collects them";
            draft.tell(leaf, Fate::not_carried(what));
        }
        if let Some(password) = url.password.filter(|_| !roles::is_superuser(user)) {
            roles::password(draft, user, password, leaf, Rank::Client);
        }
        if monitor {
            return;
        }
    }
    if let Some(database) = url.database.filter(|name| !name.contains(['$', '%'])) {
        roles::database(draft, database, user, leaf, Rank::Client);
    }
    let what = "clients name the endpoints of all nodes from now on: rw, ro or any";
    draft.tell(leaf, Fate::replaced(what));
}

fn parse(text: &str) -> Option<Url<'_>> {
    let text = text.strip_prefix("jdbc:").unwrap_or(text);
    let (scheme, rest) = text.split_once("://")?;
    // SQLAlchemy names its driver behind a plus.
    let scheme = scheme.split('+').next()?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return None;
    }
    let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let login = authority.rsplit_once('@').map(|(login, _)| login);
    let (user, password) = match login {
        Some(login) => match login.split_once(':') {
            Some((user, password)) => (Some(user), Some(password)),
            None => (Some(login), None),
        },
        None => (None, None),
    };
    let given = |text: &&str| !text.is_empty();
    Some(Url {
        user: user.filter(given),
        password: password.filter(given),
        database: Some(database).filter(given),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_with_drivers_and_parameters() {
        let url = parse("postgresql+asyncpg://me:pw@h:5432/shop?sslmode=require").expect("a URL");
        assert_eq!((url.user, url.password, url.database), (Some("me"), Some("pw"), Some("shop")));
        let url = parse("jdbc:postgresql://h1:5432,h2:5432/shop").expect("a URL");
        assert_eq!((url.user, url.password, url.database), (None, None, Some("shop")));
        assert_eq!(parse("postgres://").expect("a URL"), Url::default());
        assert_eq!(parse("redis://h/0"), None);
        assert_eq!(parse("hello"), None);
    }
}
