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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_unit_says_what_was_typed_and_by_whom_it_runs() {
        let dir =
            std::env::temp_dir().join(format!("howdah-unit-of-a-proxy-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        let known = r#"{"cluster":"demo","name":"app1","nodes":[]}"#;
        fs::write(dir.join("cluster.json"), known).expect("written");
        fs::write(dir.join("proxy.key"), "").expect("written");
        let options = Options {
            dir: dir.clone(),
            listen: vec![Ipv4Addr::LOCALHOST.into()],
            rw_port: 6432,
            ro_port: 6433,
            any_port: 6434,
            http: Some((Ipv4Addr::LOCALHOST, 8008).into()),
            nodes: vec!["db1:7433".to_owned()],
        };
        let text = Folder::open(&dir)
            .and_then(|folder| text(Path::new("/usr/bin/howdah"), &options, &folder));
        fs::remove_dir_all(&dir).expect("removed");
        let text = text.expect("a unit");
        let start = format!(
            "ExecStart=/usr/bin/howdah proxy --dir {} --listen 127.0.0.1 --rw-port 6432 \
             --ro-port 6433 --any-port 6434 --http 127.0.0.1:8008 --node db1:7433",
            dir.display()
        );
        assert!(text.lines().any(|line| line == start), "{text}");
        assert!(text.contains("RestartPreventExitStatus=64 78\n"), "{text}");
        let user = User::from_uid(nix::unistd::geteuid()).expect("looked up").expect("a user");
        assert!(text.contains(&format!("User={}\n", user.name)), "{text}");
    }
}
