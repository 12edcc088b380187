//! As much of rtnetlink as a lab needs: an interface up, an address on it. No `ip` command is called.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::spec::Cidr;

/// A socket to the kernel's routing part.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// A new one.
    pub(super) fn open() -> io::Result<Self> {
        // Protocol zero is NETLINK_ROUTE.
        let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Brings `name` up, with a queue of so many frames if given.
    pub(super) fn set_up(&mut self, name: &str, tx_queue_frames: Option<u32>) -> io::Result<()> {
        let up = (libc::IFF_UP as u32).to_ne_bytes();
        let mut message = Message::new(libc::RTM_NEWLINK);
        // struct ifinfomsg: family, padding, type; index; flags; which flags change.
        message.put(&[0; 4]).put(&self.index(name)?.to_ne_bytes()).put(&up).put(&up);
        if let Some(frames) = tx_queue_frames {
            message.attribute(libc::IFLA_TXQLEN, &frames.to_ne_bytes());
        }
        self.request(message)
    }

    /// Gives `name` an address, usable at once: there is no one else in this network to ask for duplicates.
    pub(super) fn add_address(&mut self, name: &str, cidr: Cidr) -> io::Result<()> {
        let (family, octets) = match cidr.address {
            IpAddr::V4(a) => (libc::AF_INET, a.octets().to_vec()),
            IpAddr::V6(a) => (libc::AF_INET6, a.octets().to_vec()),
        };
        let mut message = Message::new(libc::RTM_NEWADDR);
        // struct ifaddrmsg: family, prefix length, flags, scope; index.
        message.put(&[family as u8, cidr.prefix_bits, IFA_F_NODAD, 0]).put(&self.index(name)?.to_ne_bytes());
        message.attribute(libc::IFA_LOCAL, &octets);
        message.attribute(libc::IFA_ADDRESS, &octets);
        self.request(message)
    }

    fn index(&self, name: &str) -> io::Result<u32> {
        Ok(net::netdevice::name_to_index(&self.socket, name)?)
    }

    /// Sends and waits for the kernel's answer.
    fn request(&mut self, message: Message) -> io::Result<()> {
        self.sequence += 1;
        net::send(&self.socket, &message.finish(self.sequence), SendFlags::empty())?;
        let mut reply = [0; 4096];
        let (_, count) = net::recv(&self.socket, &mut reply, RecvFlags::empty())?;
        acknowledged(reply.get(..count).unwrap_or_default())
    }
}

/// What an NLMSG_ERROR message says: zero is success (RFC 3549 2.3.2.2).
fn acknowledged(reply: &[u8]) -> io::Result<()> {
    let kind = reply.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    let code = reply.get(16..20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    match (kind.map(i32::from), code) {
        (Some(libc::NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(libc::NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        _ => Err(io::Error::other("the kernel's answer over rtnetlink makes no sense")),
    }
}

/// A message being built: header, fixed part, attributes, each aligned to four bytes (RFC 3549 2.3.2).
struct Message {
    kind: u16,
    body: Vec<u8>,
}

impl Message {
    fn new(kind: u16) -> Self {
        Self { kind, body: Vec::new() }
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.body.extend_from_slice(bytes);
        self
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (value.len() + ATTRIBUTE_HEADER_BYTES) as u16;
        self.put(&length.to_ne_bytes()).put(&kind.to_ne_bytes()).put(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    fn finish(self, sequence: u32) -> Vec<u8> {
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE) as u16;
        let length = (self.body.len() + MESSAGE_HEADER_BYTES) as u32;
        let mut bytes = Vec::with_capacity(self.body.len() + MESSAGE_HEADER_BYTES);
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&self.kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

const IFA_F_NODAD: u8 = 2;
const MESSAGE_HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_carries_its_length_and_aligned_attributes() {
        let mut message = Message::new(libc::RTM_NEWLINK);
        message.put(&[0; 16]).attribute(3, b"lo\0");
        let bytes = message.finish(7);
        assert_eq!(bytes.len(), 16 + 16 + 8);
        assert_eq!(bytes[..4], 40u32.to_ne_bytes());
        assert_eq!(bytes[32..], [7u16.to_ne_bytes(), 3u16.to_ne_bytes(), *b"lo", [0, 0]].concat());
    }

    #[test]
    fn an_answer_is_success_an_errno_or_nonsense() {
        let reply = |code: i32| [&[0; 4][..], &2u16.to_ne_bytes(), &[0; 10], &code.to_ne_bytes()].concat();
        assert!(acknowledged(&reply(0)).is_ok());
        assert_eq!(acknowledged(&reply(-libc::EEXIST)).unwrap_err().raw_os_error(), Some(libc::EEXIST));
        assert!(acknowledged(&[]).is_err());
    }
}
