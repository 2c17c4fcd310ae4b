//! Resets the connections to an address before it goes.
//!
//! Without it their clients would be told nothing: from an address that is not here any more not
//! even a reset can be sent, and a client that waits for an answer waits until its own TCP gives
//! up. sock_diag(7), `SOCK_DESTROY` (Linux 4.5, `CONFIG_INET_DIAG_DESTROY`).

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use howdah_base::Tick;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{AF_INET, AF_INET6, IPPROTO_TCP, SockDiagDestroy, SockDiagMessage};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use super::error::VipError;
use crate::clock;

/// The removal of the address waits so long at most for connections to be found and reset.
const RESET_WITHIN: Duration = Duration::from_millis(200);
/// More than a node's endpoints take.
const CONNECTIONS_MAX: usize = 50_000;
/// The kernel gives a list in pieces of at most this many bytes.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Netlink messages begin at multiples of this (`NLMSG_ALIGNTO`).
const ALIGNED: usize = 4;

/// Resets whatever is connected to `address` here; how many.
pub fn reset(address: IpAddr) -> Result<usize, VipError> {
    let failed = VipError::system("reset the connections to the address");
    let by = clock::now() + RESET_WITHIN;
    find_and_reset(address, by).map_err(failed)
}

fn find_and_reset(address: IpAddr, by: Tick) -> Result<usize, Errno> {
    // A new one each time: what the kernel still has to say about the last ones ends with it.
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let patience = TimeVal::new(0, 50_000);
    setsockopt(&kernel, sockopt::ReceiveTimeout, &patience)?;
    let mut found = Vec::new();
    // A server that listens on all addresses of both kinds has IPv4 clients on IPv6 sockets.
    for family in [AF_INET, AF_INET6] {
        list(&kernel, family, address, by, &mut found)?;
    }
    for request in &found {
        let message = SockDiagDestroy::new(SockDiagMessage::InetRequest(request.clone()));
        // Fails for one that has ended by itself meanwhile.
        say(&kernel, NLM_F_REQUEST, message).ok();
        if clock::now() >= by {
            break;
        }
    }
    Ok(found.len())
}

/// Adds a request for each connection of `family` that ends at `address`.
fn list(
    kernel: &OwnedFd,
    family: u8,
    address: IpAddr,
    by: Tick,
    found: &mut Vec<InetRequest>,
) -> Result<(), Errno> {
    if family == AF_INET && address.is_ipv6() {
        return Ok(());
    }
    let any = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
    say(kernel, NLM_F_REQUEST | NLM_F_DUMP, SockDiagMessage::InetRequest(request(family, any)))?;
    let mut bytes = vec![0; PIECE_BYTES_MAX];
    while clock::now() < by && found.len() < CONNECTIONS_MAX {
        let count = recv(kernel.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(|_| Errno::EBADMSG)?;
            let length = (message.header.length as usize).next_multiple_of(ALIGNED);
            rest = rest.get(length..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(connection)) => {
                    let id = connection.header.socket_id;
                    if id.source_address.to_canonical() == address {
                        found.push(request(family, id));
                    }
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => {
                    return Err(Errno::from_raw(error.raw_code().saturating_neg()));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Those that somebody at the other end may wait on.
fn request(family: u8, socket_id: SocketId) -> InetRequest {
    let states = StateFlags::ESTABLISHED
        | StateFlags::SYN_RECV
        | StateFlags::CLOSE_WAIT
        | StateFlags::FIN_WAIT1
        | StateFlags::FIN_WAIT2;
    let extensions = ExtensionFlags::empty();
    InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id }
}

fn say<M>(kernel: &OwnedFd, flags: u16, message: M) -> Result<(), Errno>
where
    M: NetlinkSerializable + NetlinkDeserializable,
    NetlinkPayload<M>: From<M>,
{
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    send(kernel.as_raw_fd(), &bytes, MsgFlags::empty()).map(drop)
}
