//! What a client needs: connection URLs and the pgpass file that answers their password
//! question. The password itself is in no URL, so in no process list and no shell history.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use howdah_base::Redacted;
use howdah_spec::{ClusterSpec, NodeSpec, RoleKind};

use super::Layout;

/// An endpoint of every node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endpoint {
    Rw,
    Ro,
    Any,
}

impl Endpoint {
    pub const ALL: [Endpoint; 3] = [Endpoint::Rw, Endpoint::Ro, Endpoint::Any];

    pub fn port(self, node: &NodeSpec) -> u16 {
        match self {
            Endpoint::Rw => node.rw_port,
            Endpoint::Ro => node.ro_port,
            Endpoint::Any => node.any_port,
        }
    }
}

/// Seconds after which libpq tries the next host.
const CONNECT_TIMEOUT_S: u32 = 5;

/// A URL that names every node's endpoint, for a paste into `psql` on this machine.
pub fn url(
    spec: &ClusterSpec,
    layout: &Layout,
    endpoint: Endpoint,
    role: &str,
    database: &str,
) -> String {
    let hosts: Vec<String> = spec
        .nodes
        .values()
        .map(|node| format!("{}:{}", bracketed(&node.host), endpoint.port(node)))
        .collect();
    to(&hosts.join(","), layout, role, database)
}

/// The same for one node's own server, past the endpoints.
pub fn url_of(node: &NodeSpec, layout: &Layout, role: &str, database: &str) -> String {
    to(&format!("{}:{}", bracketed(&node.host), node.postgres_port), layout, role, database)
}

fn to(hosts: &str, layout: &Layout, role: &str, database: &str) -> String {
    format!(
        "postgresql://{}@{}/{}?sslmode=verify-ca&sslrootcert={}&passfile={}&connect_timeout={}",
        percent(role),
        hosts,
        percent(database),
        // Not the copy beside the passwords: applications run as users who may not enter there.
        percent_path(&layout.ca()),
        percent_path(&layout.client_pgpass()),
        CONNECT_TIMEOUT_S,
    )
}

/// What to do so that every user of this machine can check the server's certificate; `None` when
/// every user can.
pub fn remedy(layout: &Layout) -> Option<String> {
    let ca = layout.ca();
    let closed = closed_to_others(&ca)?;
    Some(format!(
        "hint: other users cannot read `{}`: chmod o+{} {}, or give them a copy and name it as \
         sslrootcert",
        ca.display(),
        if closed == ca { "r" } else { "x" },
        closed.display()
    ))
}

/// The first folder on the way that others may not enter, or the file that they may not read.
fn closed_to_others(file: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = file.ancestors().collect();
    way.reverse();
    let needs = |path: &Path| if path == file { 0o004 } else { 0o001 };
    let closed = way
        .into_iter()
        .find(|path| std::fs::metadata(path).is_ok_and(|meta| meta.mode() & needs(path) == 0));
    closed.map(Path::to_path_buf)
}

/// The role that a person tries first: an application's, else an administrator's.
pub fn usual_role(spec: &ClusterSpec) -> Option<&str> {
    let of_kind = |kind| spec.roles.iter().find(move |(_, role)| role.kind == kind);
    let found = of_kind(RoleKind::App)
        .or_else(|| of_kind(RoleKind::Admin))
        .or_else(|| spec.roles.iter().find(|(_, role)| role.kind != RoleKind::Group));
    found.map(|(name, _)| name.as_str())
}

/// The database that `role` owns, else the first one, else PostgreSQL's own.
pub fn usual_database<'a>(spec: &'a ClusterSpec, role: &str) -> &'a str {
    let owned = spec.databases.iter().find(|(_, database)| database.owner.as_deref() == Some(role));
    let found = owned.or_else(|| spec.databases.iter().next());
    found.map_or("postgres", |(name, _)| name.as_str())
}

/// One line for each host, port and role (libpq, "The Password File").
pub fn pgpass(spec: &ClusterSpec, passwords: &[(String, Redacted<String>)]) -> Redacted<String> {
    let mut text = String::new();
    for (role, password) in passwords {
        for node in spec.nodes.values() {
            for (host, port) in places(node) {
                let (host, role) = (escaped(&host), escaped(role));
                let password = escaped(password.expose());
                let _ = writeln!(text, "{host}:{port}:*:{role}:{password}");
            }
        }
    }
    Redacted::new(text)
}

/// The endpoints and the server itself. A loopback address has several names, and libpq compares
/// the name that was typed.
fn places(node: &NodeSpec) -> Vec<(String, u16)> {
    let mut hosts = vec![node.host.clone()];
    if ["127.0.0.1", "::1", "localhost"].contains(&node.host.as_str()) {
        hosts.extend(["127.0.0.1", "localhost"].map(str::to_owned));
        hosts.sort();
        hosts.dedup();
    }
    let ports = Endpoint::ALL.map(|endpoint| endpoint.port(node));
    let ports: Vec<u16> = ports.into_iter().chain([node.postgres_port]).collect();
    let of_host =
        |host: &String| ports.iter().map(|port| (host.clone(), *port)).collect::<Vec<_>>();
    hosts.iter().flat_map(of_host).collect()
}

/// `:` separates a line's fields.
fn escaped(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn percent_path(path: &Path) -> String {
    percent(&path.to_string_lossy())
}

/// Percent-encodes what a URL or a double-quoted word of a shell would take for its own.
fn percent(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte);
    let mut encoded = String::new();
    for byte in text.bytes() {
        if keep(byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use howdah_spec::{Context, parse};

    use super::*;

    fn spec() -> ClusterSpec {
        let text = "cluster = \"demo\"\n\
                    [nodes.n1]\nrw_port = 6432\nro_port = 6433\nany_port = 6434\n\
                    [nodes.n2]\nrw_port = 6442\nro_port = 6443\nany_port = 6444\n\
                    [roles.app]\nkind = \"app\"\npassword = { file = \"app\" }\n\
                    [roles.boss]\nkind = \"admin\"\npassword = { file = \"boss\" }\n\
                    [databases.shop]\nowner = \"app\"\n";
        let context =
            Context { default_base: "/var/lib/howdah".into(), relative_to: "/etc".into() };
        parse("howdah.toml", text, &context).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    #[test]
    fn a_url_names_every_node_and_no_password() {
        let spec = spec();
        let layout = Layout::new(Path::new("/srv/my demo"));
        let role = usual_role(&spec).expect("a role");
        let url = url(&spec, &layout, Endpoint::Rw, role, usual_database(&spec, role));
        assert_eq!(
            url,
            "postgresql://app@127.0.0.1:6432,127.0.0.1:6442/shop?sslmode=verify-ca\
             &sslrootcert=/srv/my%20demo/tls/ca.crt&passfile=/srv/my%20demo/client/pgpass\
             &connect_timeout=5"
        );
    }

    #[test]
    fn a_folder_that_others_may_not_enter_is_named() {
        let top = std::env::temp_dir().join(format!("howdah-closed-{}", std::process::id()));
        let layout = Layout::new(&top.join("home/demo"));
        std::fs::create_dir_all(layout.tls()).expect("made");
        std::fs::write(layout.ca(), "CA").expect("written");
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        let folders = [top.clone(), top.join("home"), layout.base().to_owned(), layout.tls()];
        folders.iter().for_each(|path| set(path, 0o755));
        set(&layout.ca(), 0o644);
        assert_eq!(remedy(&layout), None);
        set(&layout.ca(), 0o640);
        assert!(remedy(&layout).is_some_and(|said| said.contains("chmod o+r")));
        set(&top.join("home"), 0o700);
        let said = remedy(&layout).expect("closed");
        assert!(said.contains(&format!("chmod o+x {},", top.join("home").display())), "{said}");
        std::fs::remove_dir_all(&top).expect("removed");
    }

    #[test]
    fn pgpass_has_a_line_for_each_name_port_and_role() {
        let passwords = [("app".to_owned(), Redacted::new("a:b\\c".to_owned()))];
        let text = pgpass(&spec(), &passwords);
        let lines: Vec<&str> = text.expose().lines().collect();
        assert_eq!(lines.len(), 2 * 2 * 4);
        assert!(lines.contains(&"127.0.0.1:6432:*:app:a\\:b\\\\c"), "{lines:?}");
        assert!(lines.contains(&"localhost:6444:*:app:a\\:b\\\\c"), "{lines:?}");
    }
}
