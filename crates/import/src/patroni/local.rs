//! `restapi`, `ctl` and `postgresql`: what is one node's own.

use std::path::PathBuf;

use howdah_base::Redacted;

use super::address::{Address, Listen};
use super::{Login, Postgresql, RestApi, lines, texts_of};
use crate::yaml::Node;

const REST_PORT: u16 = 8008;
const POSTGRES_PORT: u16 = 5432;

pub(super) fn rest_api(top: &Node) -> RestApi {
    let path = |keys: &[&str]| top.at(keys).and_then(path_of);
    let login = top.at(&["restapi", "authentication"]).map(login).unwrap_or_default();
    RestApi {
        listen: listen(top, "restapi", REST_PORT),
        connect_address: connect_address(top, "restapi", REST_PORT),
        user: login.user,
        password: login.password,
        certfile: path(&["restapi", "certfile"]),
        keyfile: path(&["restapi", "keyfile"]),
        cafile: path(&["restapi", "cafile"]),
        verify_client: top
            .at(&["restapi", "verify_client"])
            .and_then(Node::text)
            .map(str::to_owned),
        ctl_certfile: path(&["ctl", "certfile"]),
        ctl_keyfile: path(&["ctl", "keyfile"]),
        ctl_cacert: path(&["ctl", "cacert"]),
        ctl_insecure: top.at(&["ctl", "insecure"]).and_then(Node::truth).unwrap_or(false),
    }
}

pub(super) fn postgresql(top: &Node) -> Postgresql {
    let path = |key| top.at(&["postgresql", key]).and_then(path_of);
    let login = |who| top.at(&["postgresql", "authentication", who]).map(login).unwrap_or_default();
    let texts = |key| top.at(&["postgresql", key]).map(texts_of).unwrap_or_default();
    let socket = top.at(&["postgresql", "use_unix_socket"]).and_then(Node::truth);
    Postgresql {
        listen: listen(top, "postgresql", POSTGRES_PORT),
        connect_address: connect_address(top, "postgresql", POSTGRES_PORT),
        data_dir: path("data_dir"),
        bin_dir: path("bin_dir"),
        config_dir: path("config_dir"),
        pgpass: path("pgpass"),
        use_unix_socket: socket.unwrap_or(false),
        superuser: login("superuser"),
        replication: login("replication"),
        rewind: login("rewind"),
        parameters: texts("parameters"),
        pg_hba: top.at(&["postgresql", "pg_hba"]).map(lines),
        callbacks: texts("callbacks"),
    }
}

fn listen(top: &Node, section: &str, port: u16) -> Option<Listen> {
    Listen::parse(top.at(&[section, "listen"])?.text()?, port)
}

fn connect_address(top: &Node, section: &str, port: u16) -> Option<Address> {
    Address::parse(top.at(&[section, "connect_address"])?.text()?, port)
}

fn login(node: &Node) -> Login {
    let text = |key| node.get(key).and_then(Node::text).filter(|text| !text.is_empty());
    Login {
        user: text("username").map(str::to_owned),
        password: text("password").map(|text| Redacted::new(text.to_owned())),
    }
}

/// An empty text is Patroni's way to say that it is not given.
fn path_of(node: &Node) -> Option<PathBuf> {
    node.text().filter(|text| !text.is_empty()).map(PathBuf::from)
}
