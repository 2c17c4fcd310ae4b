//! The address on its interface: added with a lifetime, removed, announced. rtnetlink(7) and
//! packet(7), by sockets that are opened once.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressHeader, AddressHeaderFlags, AddressMessage, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily as SocketFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recv,
    send, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::error::VipError;
use super::frames;

/// The kernel answers at once; a bound all the same.
const ANSWER_WITHIN_S: i64 = 1;
const ANSWER_BYTES_MAX: usize = 8192;
/// Answers to something else that are passed over.
const STRAY_ANSWERS_MAX: u32 = 16;
/// The same address may be there with several prefixes, set by hand.
const COPIES_MAX: u32 = 8;
/// `ARPHRD_ETHER`, from `linux/if_arp.h`: only such interfaces have neighbours to tell.
const ETHERNET: u16 = 1;

#[derive(Debug)]
pub struct Kernel {
    interface: String,
    address: IpAddr,
    prefix: u8,
    netlink: OwnedFd,
    /// `None` without CAP_NET_RAW.
    packets: Option<OwnedFd>,
    sequence: u32,
}

impl Kernel {
    pub fn new(interface: &str, address: IpAddr, prefix: u8) -> Result<Kernel, VipError> {
        let netlink = socket(
            SocketFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )
        .map_err(VipError::system("speak to the kernel's address table"))?;
        let patience = TimeVal::new(ANSWER_WITHIN_S, 0);
        setsockopt(&netlink, sockopt::ReceiveTimeout, &patience)
            .map_err(VipError::system("bound the kernel's answer"))?;
        let packets = socket(SocketFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
        let interface = interface.to_owned();
        let kernel =
            Kernel { interface, address, prefix, netlink, packets: packets.ok(), sequence: 0 };
        kernel.index()?;
        Ok(kernel)
    }

    /// Adds the address, or prolongs it where it is there. `lifetime`: then the kernel removes it
    /// by itself, to the second.
    pub fn add(&mut self, lifetime: Duration) -> Result<(), VipError> {
        // Rounded down, and never zero, which the kernel refuses.
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX - 1).max(1);
        let mut message = self.message()?;
        // Its duplicate is known not to be there, by the lease: no probe before it is used.
        message.header.flags = AddressHeaderFlags::Nodad;
        let mut times = CacheInfo::default();
        times.ifa_valid = seconds;
        // IPv6: deprecated, so that what this machine begins itself does not come from it.
        times.ifa_preferred = if self.address.is_ipv4() { seconds } else { 0 };
        message.attributes.push(AddressAttribute::Address(self.address));
        message.attributes.push(AddressAttribute::CacheInfo(times));
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.ask(RouteNetlinkMessage::NewAddress(message), flags).map_err(|error| self.told(error))
    }

    /// Removes the address; that it is not there is what is wanted.
    pub fn remove(&mut self) -> Result<(), VipError> {
        for _ in 0..COPIES_MAX {
            let message = RouteNetlinkMessage::DelAddress(self.message()?);
            match self.ask(message, 0) {
                Ok(()) => {}
                Err(Errno::EADDRNOTAVAIL) => return Ok(()),
                Err(error) => return Err(self.told(error)),
            }
        }
        Err(self.told(Errno::EADDRINUSE))
    }

    /// Tells the neighbours. An interface that has none to tell is no error.
    pub fn announce(&self) -> Result<(), VipError> {
        let packets = self.packets.as_ref().ok_or_else(|| self.told(Errno::EPERM))?;
        let Some(link) = self.link()? else { return Ok(()) };
        let Some(mac) = link.addr().filter(|_| link.hatype() == ETHERNET) else { return Ok(()) };
        for frame in frames::announcements(self.address, mac) {
            // The kernel reads only the interface of it; whom it is for stands in the frame.
            sendto(packets.as_raw_fd(), &frame, &link, MsgFlags::empty())
                .map_err(VipError::system("announce the address"))?;
        }
        Ok(())
    }

    /// The interface's own link address, by which the kernel knows it.
    fn link(&self) -> Result<Option<LinkAddr>, VipError> {
        let all = getifaddrs().map_err(VipError::system("list the interfaces"))?;
        let mut own = all.filter(|entry| entry.interface_name == self.interface);
        Ok(own.find_map(|entry| entry.address?.as_link_addr().copied()))
    }

    fn index(&self) -> Result<u32, VipError> {
        let missing = |_| VipError::NoInterface { interface: self.interface.clone() };
        if_nametoindex(self.interface.as_str()).map_err(missing)
    }

    /// With the local address alone, so that a removal finds it whatever its prefix is.
    fn message(&self) -> Result<AddressMessage, VipError> {
        let family =
            if self.address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let mut message = AddressMessage::default();
        message.header = AddressHeader {
            family,
            prefix_len: self.prefix,
            index: self.index()?,
            ..AddressHeader::default()
        };
        message.attributes = vec![AddressAttribute::Local(self.address)];
        Ok(message)
    }

    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(self.netlink.as_raw_fd(), &bytes, MsgFlags::empty())?;
        for _ in 0..STRAY_ANSWERS_MAX {
            if let Some(outcome) = self.answer()? {
                return outcome;
            }
        }
        Err(Errno::ENOMSG)
    }

    /// `None`: of an earlier question, whose answer was not waited for.
    fn answer(&self) -> Result<Option<Result<(), Errno>>, Errno> {
        let mut bytes = [0; ANSWER_BYTES_MAX];
        let count = recv(self.netlink.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes[..count])
            .map_err(|_| Errno::EBADMSG)?;
        if answer.header.sequence_number != self.sequence {
            return Ok(None);
        }
        let NetlinkPayload::Error(error) = answer.payload else { return Ok(None) };
        Ok(Some(match error.raw_code() {
            0 => Ok(()),
            code => Err(Errno::from_raw(code.saturating_neg())),
        }))
    }

    fn told(&self, error: Errno) -> VipError {
        match error {
            Errno::EPERM | Errno::EACCES => {
                VipError::NotAllowed { interface: self.interface.clone() }
            }
            error => VipError::System { action: "change the address", source: error.into() },
        }
    }
}
