//! `howdah vip-helper`: holds the virtual IP of one node; started by the node while it is root, or
//! by a service manager.

use std::net::IpAddr;
use std::path::PathBuf;

use howdah_hooks::vip::{HelperOptions, run_helper};

/// Hold or drop a node's virtual IP, as its agent says; a node starts it
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where the node's agent finds it
    #[arg(long)]
    socket: PathBuf,
    /// The virtual IP with its prefix, such as 10.0.0.10/24
    #[arg(long, value_name = "ADDRESS/PREFIX", value_parser = address)]
    address: (IpAddr, u8),
    #[arg(long)]
    interface: String,
    /// Number of the user whose agent may speak to it; the own one if not given
    #[arg(long, value_name = "UID")]
    owner: Option<u32>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    let (address, prefix) = args.address;
    let (socket, interface) = (args.socket.clone(), args.interface.clone());
    Ok(run_helper(HelperOptions { socket, address, prefix, interface, owner: args.owner })?)
}

fn address(text: &str) -> Result<(IpAddr, u8), String> {
    let parsed = text.split_once('/').and_then(|(address, bits)| {
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
    });
    parsed.ok_or_else(|| "write an address and its prefix, such as `10.0.0.10/24`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_that_fits() {
        assert_eq!(address("10.0.0.10/24"), Ok(("10.0.0.10".parse().expect("an address"), 24)));
        assert_eq!(address("fd00::1/64").expect("an address").1, 64);
        for wrong in ["10.0.0.10", "10.0.0.10/33", "fd00::1/129", "db/24", "10.0.0.10/"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
