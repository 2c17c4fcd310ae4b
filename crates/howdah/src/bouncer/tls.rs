//! Keys and certificates that an ini names.

use std::path::Path;

use howdah_import::pgbouncer::{Settings, SslMode, TlsFiles};
use howdah_proxy::alone::{ClientTls, ServerTls};
use howdah_tls::{Pair, ServerCheck, TlsError};

/// TLS both ways.
pub struct Tls {
    pub clients: Option<ClientTls>,
    pub servers: ServerTls,
}

pub fn load(settings: &Settings, mistakes: &mut Vec<String>) -> Option<Tls> {
    let clients = clients(&settings.client_tls);
    let servers = servers(&settings.server_tls);
    match (clients, servers) {
        (Ok(clients), Ok(servers)) => Some(Tls { clients, servers }),
        (clients, servers) => {
            let told = |side: &str, error: TlsError| format!("{side}: {error}");
            mistakes.extend(clients.err().map(|error| told("client_tls", error)));
            mistakes.extend(servers.err().map(|error| told("server_tls", error)));
            None
        }
    }
}

fn pair(files: &TlsFiles) -> Option<Pair> {
    let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else { return None };
    Some(Pair { certificate: certificate.into(), key: key.into() })
}

fn clients(files: &TlsFiles) -> Result<Option<ClientTls>, TlsError> {
    let Some(pair) = pair(files).filter(|_| files.mode != SslMode::Disable) else {
        return Ok(None);
    };
    let demands = files.mode >= SslMode::VerifyCa;
    let ca = files.ca.as_ref().map(Path::new);
    let config = howdah_tls::for_anybody(&pair, ca, demands, files.only_13)?;
    Ok(Some(ClientTls { config, required: files.mode >= SslMode::Require }))
}

fn servers(files: &TlsFiles) -> Result<ServerTls, TlsError> {
    let ca = files.ca.as_ref().map(Path::new);
    let check = match (files.mode, ca) {
        (SslMode::Disable, _) => return Ok(ServerTls { config: None, required: false }),
        (SslMode::VerifyFull, Some(ca)) => ServerCheck::CaAndName(ca),
        (SslMode::VerifyCa, Some(ca)) => ServerCheck::Ca(ca),
        _ => ServerCheck::Nothing,
    };
    let config = howdah_tls::to_servers(check, pair(files).as_ref(), files.only_13)?;
    Ok(ServerTls { config: Some(config), required: files.mode >= SslMode::Require })
}
