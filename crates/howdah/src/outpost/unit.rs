//! The unit of systemd for a proxy on a host without a node, as a text.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use nix::unistd::{Uid, User};

use super::{Folder, Options};
use crate::failure::Exit;
use crate::units::quoted;

/// It runs as the owner of the proxy's key, with the options that were typed.
pub fn text(program: &Path, options: &Options, folder: &Folder) -> anyhow::Result<String> {
    let key = folder.proxy_pair().key;
    let owner = fs::metadata(&key).with_context(|| format!("look at `{}`", key.display()))?.uid();
    let user = User::from_uid(Uid::from_raw(owner)).context("look up a user")?;
    let user = user.map_or_else(|| owner.to_string(), |user| user.name);
    let listen: Vec<_> = options.listen.iter().map(ToString::to_string).collect();
    let mut words = vec![
        format!("--dir {}", quoted(folder.path())),
        format!("--listen {}", listen.join(",")),
        format!("--rw-port {}", options.rw_port),
        format!("--ro-port {}", options.ro_port),
        format!("--any-port {}", options.any_port),
    ];
    words.extend(options.http.map(|http| format!("--http {http}")));
    words.extend(options.nodes.iter().map(|node| format!("--node {node}")));
    let last = Exit::FINAL.map(|exit| (exit as u8).to_string()).join(" ");
    Ok(format!(
        "# Printed by `howdah proxy --unit`.\n\
         [Unit]\n\
         Description=Howdah, proxy {} of cluster {}\n\
         Wants=network-online.target\n\
         After=network-online.target time-sync.target\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=exec\n\
         User={user}\n\
         ExecStart={} proxy {}\n\
         Restart=on-failure\n\
         # A wrong folder or a port in use is for a person to mend.\n\
         RestartPreventExitStatus={last}\n\
         RestartSec=1\n\
         LimitNOFILE=65536\n\
         NoNewPrivileges=yes\n\
         ProtectSystem=strict\n\
         ReadWritePaths={}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        folder.known.name,
        folder.known.cluster,
        quoted(program),
        words.join(" "),
        quoted(folder.path()),
    ))
}
