//! The Ethernet frames that tell a network where an address is now. Pure: bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub type Mac = [u8; 6];

const BROADCAST: Mac = [0xff; 6];
/// Where `ff02::1`, all nodes, is heard (RFC 2464, section 7).
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ICMPV6: u8 = 58;

/// What is sent so that neighbours know: for IPv4 both forms of a gratuitous ARP, because some
/// listen to only one; for IPv6 one unsolicited neighbour advertisement.
pub fn announcements(address: IpAddr, mac: Mac) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => {
            vec![arp(address, mac, Operation::Request), arp(address, mac, Operation::Reply)]
        }
        IpAddr::V6(address) => vec![advertisement(address, mac)],
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Request = 1,
    Reply = 2,
}

/// RFC 826; gratuitous (RFC 5227, section 3): sender and target are the same address.
fn arp(address: Ipv4Addr, mac: Mac, operation: Operation) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, 0x0806);
    // Ethernet, IPv4, lengths of their addresses.
    frame.extend([0, 1, 0x08, 0, 6, 4, 0, operation as u8]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend(BROADCAST);
    frame.extend(address.octets());
    frame
}

/// RFC 4861, sections 4.4 and 7.2.6.
fn advertisement(address: Ipv6Addr, mac: Mac) -> Vec<u8> {
    // Type 136; override: a cached address of another machine is replaced.
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(address.octets());
    // Target link-layer address, one unit of eight bytes.
    message.extend([2, 1]);
    message.extend(mac);
    let sum = checksum(address, ALL_NODES, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);

    let mut frame = ethernet(ALL_NODES_MAC, mac, 0x86dd);
    frame.extend([0x60, 0, 0, 0, 0, message.len() as u8, ICMPV6]);
    // Receivers drop it with less: so none comes from beyond the link.
    frame.push(255);
    frame.extend(address.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(message);
    frame
}

fn ethernet(to: Mac, from: Mac, kind: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(96);
    frame.extend(to);
    frame.extend(from);
    frame.extend(kind.to_be_bytes());
    frame
}

/// RFC 8200, section 8.1: over a pseudo-header and the message. The length is even here.
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let length = (message.len() as u32).to_be_bytes();
    let parts = [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, ICMPV6], message];
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) as u16 + (folded >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [0x02, 0, 0, 0, 0, 0x01];

    fn hex(frame: &[u8]) -> String {
        frame.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn gratuitous_arp_in_both_forms() {
        let frames = announcements("10.0.0.10".parse().expect("an address"), MAC);
        let form = |operation| {
            let head = "ffffffffffff0200000000010806";
            let sender = "0200000000010a00000a";
            format!("{head}000108000604000{operation}{sender}ffffffffffff0a00000a")
        };
        assert_eq!(frames.iter().map(|f| hex(f)).collect::<Vec<_>>(), [form(1), form(2)]);
    }

    #[test]
    fn neighbour_advertisement() {
        let address: Ipv6Addr = "2001:db8::10".parse().expect("an address");
        let frames = announcements(address.into(), MAC);
        assert_eq!(frames.len(), 1);
        let own = "20010db8000000000000000000000010";
        let head = "333300000001020000000001".to_owned() + "86dd" + "6000000000203aff";
        let all = "ff020000000000000000000000000001";
        let text = hex(&frames[0]);
        assert!(text.starts_with(&format!("{head}{own}{all}8800")), "{text}");
        assert!(text.ends_with(&format!("20000000{own}0201020000000001")), "{text}");
        // A receiver adds everything up, the checksum included, and finds all ones.
        assert_eq!(checksum(address, ALL_NODES, &frames[0][54..]), 0);
    }
}
