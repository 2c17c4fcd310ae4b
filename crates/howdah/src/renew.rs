//! Certificates are renewed long before they end: by whoever can read the CA's key, for this
//! machine and for witnesses, who have none.
//!
//! ```text
//! data node, daily:  own certificates; looks at each witness and signs anew what is due
//! witness, daily:    asks the data nodes for what waits for it
//! ```

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use howdah_api::client::Client;
use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, NodeKind, NodeSpec};
use howdah_tls::{Authority, Certificate, Life, Pair};

use crate::ask::{block_on, http_address};
use crate::failure::Failure;
use crate::prepare::certificates::{Wanted, owner_of, renew_operator};
use crate::prepare::lock::Lock;
use crate::prepare::{Layout, account, here, make_dir, write_file};
use crate::talk::say;

/// How often a cluster that has no timer of the system looks whether something is due.
pub const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// A node that does not answer by then is asked again tomorrow.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What a renewal did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Renewed {
    /// Certificates that are others now.
    pub certificates: Vec<PathBuf>,
    /// Nodes for which one waits to be fetched.
    pub waiting: Vec<NodeName>,
}

/// Renews what is due on this machine; `everything`: also what is not.
pub fn renew(spec: &ClusterSpec, everything: bool) -> anyhow::Result<Renewed> {
    let layout = Layout::new(&spec.base_dir);
    if !layout.ca().exists() {
        return Err(Failure::failed(format!(
            "this machine has no certificates yet: `{}`",
            layout.tls().display()
        ))
        .hint("howdah prepare, on the first machine; howdah join, on others")
        .into());
    }
    let server = account::server_account(&spec.run_as)?;
    let nodes = here::here(spec, &layout);
    let _lock = Lock::wait_for(&layout.prepare_lock())?;
    let wanted = Wanted { layout: &layout, cluster: &spec.cluster, nodes: &nodes, server: &server };
    let Some(authority) = wanted.open()? else {
        let fetched = nodes.iter().filter(|(name, _)| is_due(&layout, name));
        let fetched = fetched.filter_map(|(name, _)| fetch(spec, &layout, name).transpose());
        let certificates = fetched.collect::<anyhow::Result<_>>()?;
        return Ok(Renewed { certificates, waiting: Vec::new() });
    };
    let authority = authority.anew(everything);
    let pairs = wanted.sign_all(&authority)?;
    let operator = layout.client_operator();
    let before = Certificate::read(&operator.certificate).ok().flatten();
    if operator.key.exists() {
        renew_operator(&authority, &layout, &account::invoker()?)?;
    }
    let mut certificates: Vec<PathBuf> = pairs.into_iter().map(|pair| pair.certificate).collect();
    if Certificate::read(&operator.certificate)? != before {
        certificates.push(operator.certificate);
    }
    Ok(Renewed { certificates, waiting: sign_for_witnesses(spec, &layout, &authority)? })
}

fn is_due(layout: &Layout, node: &NodeName) -> bool {
    let pair = Pair::at(&layout.tls(), node.as_str());
    let there = Certificate::read(&pair.certificate).ok().flatten();
    there.is_some_and(|certificate| certificate.life(SystemTime::now()) != Life::Good)
}

/// Signs anew, for the key that it shows, what a witness will need soon. Its handshake proves
/// that it holds the key, so nothing is believed that the network says.
fn sign_for_witnesses(
    spec: &ClusterSpec,
    layout: &Layout,
    authority: &Authority,
) -> anyhow::Result<Vec<NodeName>> {
    let elsewhere = |name: &NodeName| !Pair::at(&layout.tls(), name.as_str()).key.exists();
    let witnesses =
        spec.nodes.iter().filter(|(name, n)| n.kind == NodeKind::Witness && elsewhere(name));
    let mut waiting = Vec::new();
    for (name, node) in witnesses {
        match sign_for(name, node, layout, authority) {
            Ok(true) => waiting.push(name.clone()),
            Ok(false) => {}
            Err(error) => {
                say(format!("howdah: cannot look at the certificate of {name}: {error:#}"))
            }
        }
    }
    Ok(waiting)
}

fn sign_for(
    name: &NodeName,
    node: &NodeSpec,
    layout: &Layout,
    authority: &Authority,
) -> anyhow::Result<bool> {
    let client = Client::by_tls(howdah_tls::to_http(&layout.ca(), None)?);
    let address = http_address(node);
    let shown = block_on(async { Ok(client.certificate(&address).await?) })?;
    let certificate = Certificate::of(&shown).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(
        certificate.common_name == name.as_str(),
        "another node answers at its address: `{}`",
        certificate.common_name
    );
    if certificate.life(SystemTime::now()) == Life::Good {
        return Ok(false);
    }
    make_dir(&layout.issued(), 0o755)?;
    let path = layout.issued().join(format!("{name}.crt"));
    let signed = authority.certify_again(name, &node.host, &shown)?;
    write_file(&path, 0o644, signed.as_bytes())?;
    Ok(true)
}

/// Asks the other nodes for a certificate that one of them has signed for `node`.
fn fetch(spec: &ClusterSpec, layout: &Layout, node: &NodeName) -> anyhow::Result<Option<PathBuf>> {
    let pair = Pair::at(&layout.tls(), node.as_str());
    let client = Client::by_tls(howdah_tls::to_http(&layout.ca(), None)?);
    let server = account::server_account(&spec.run_as)?;
    let path = format!("/certificates/{node}");
    for (_, other) in spec.nodes.iter().filter(|(name, _)| *name != node) {
        let address = http_address(other);
        let answer = block_on(async { Ok(client.get(&address, &path, ANSWER_WITHIN).await) })?;
        let Some(text) = answer.ok().filter(|answer| answer.code == 200).map(|a| a.body) else {
            continue;
        };
        let owner = Some(owner_of(&server));
        let replaced = pair.replace(&layout.ca(), &text, SystemTime::now(), owner);
        if replaced.with_context(|| format!("use the certificate that `{address}` gave"))? {
            return Ok(Some(pair.certificate));
        }
    }
    say(format!("howdah: no node has a newer certificate for {node} yet; a data node's daily"));
    say("        renewal signs one, or `howdah certs renew` there");
    Ok(None)
}
