//! ARP for IPv4 over Ethernet (RFC 826): answers for our addresses, answers to our questions, and the least of RFC 5227's
//! defence. What others tell each other is not learned, only corrects what is known already.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket};

use super::drops::DropReason;
use super::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_VLAN, Link};
use super::neighbour::Solicit;
use super::netif::Netif;
use super::{Net, NetifId};
use crate::addr::{Ip, Mac};
use crate::frame::Frame;
use crate::time::Instant;

impl Net {
    /// One received ARP packet.
    #[cold]
    pub(super) fn arp_input(&mut self, now: Instant, netif: NetifId, link: Link, frame: &Frame) {
        let bytes = frame.bytes().get(link.bytes..).unwrap_or_default();
        if let Err(reason) = self.arp(now, netif, link, bytes) {
            self.drops.add(reason);
        }
    }

    fn arp(&mut self, now: Instant, netif: NetifId, link: Link, bytes: &[u8]) -> Result<(), DropReason> {
        let arp = ArpPacket::new(bytes).ok_or(DropReason("arp: truncated"))?;
        let shape =
            (arp.get_hardware_type(), arp.get_protocol_type().0, arp.get_hw_addr_len(), arp.get_proto_addr_len());
        if shape != (ArpHardwareTypes::Ethernet, ETHERTYPE_IPV4, 6, 4) {
            return Err(DropReason("arp: not of IPv4 over Ethernet"));
        }
        let (sender, target) = (Ip::from(arp.get_sender_proto_addr()), Ip::from(arp.get_target_proto_addr()));
        let mac = Mac(arp.get_sender_hw_addr().octets());
        let interface = self.netifs.get(usize::from(netif.0)).ok_or(DropReason("arp: no such interface"))?;
        if mac.is_multicast() || mac == Mac::default() {
            return Err(DropReason("arp: sender's hardware address"));
        }
        let for_us = self.locals.find(target).is_some_and(|a| a.netif == netif.0 && !a.broadcast);
        if self.locals.contains(sender) {
            if mac != interface.mac && self.defence.take(now) {
                // RFC 5227 2.4 (b): say once who has it.
                self.send_arp(netif, Question { operation: REQUEST, mac: Mac::BROADCAST, sender, target: sender });
            }
            return Err(DropReason("arp: somebody has our address"));
        }
        let probe = sender.is_unspecified();
        if !probe && (sender.is_multicast() || !self.locals.is_on_link(netif.0, sender)) {
            return Err(DropReason("arp: sender is not of this link"));
        }
        let request = arp.get_operation() == ArpOperations::Request;
        if !request && arp.get_operation() != ArpOperations::Reply {
            return Err(DropReason("arp: operation"));
        }
        if !probe {
            if request && for_us && self.neighbours.intern(netif.0, sender).is_none() {
                self.drops.add(DropReason("arp: neighbour cache is full"));
            }
            let answers = !request && for_us && !link.group;
            self.learn(now, netif, sender, mac, answers);
        }
        if request && for_us {
            self.send_arp(netif, Question { operation: REPLY, mac, sender: target, target: sender });
        }
        Ok(())
    }

    /// Puts a question about an IPv4 neighbour on its link.
    pub(super) fn arp_solicit(&mut self, solicit: Solicit) {
        let Some(sender) = self.locals.source_for(solicit.netif, solicit.target) else { return };
        let mac = solicit.unicast.unwrap_or(Mac::BROADCAST);
        self.send_arp(NetifId(solicit.netif), Question { operation: REQUEST, mac, sender, target: solicit.target });
    }

    fn send_arp(&mut self, netif: NetifId, question: Question) {
        let Some(interface) = self.netifs.get_mut(usize::from(netif.0)) else { return };
        let Some(mut frame) = interface.control_frame(&mut self.drops) else { return };
        if question.write(interface, &mut frame) {
            interface.outbox.push(frame);
        }
    }
}

/// A question or an answer to send.
struct Question {
    operation: u16,
    /// To whom, on the link.
    mac: Mac,
    sender: Ip,
    target: Ip,
}

impl Question {
    fn write(&self, netif: &Netif, frame: &mut Frame) -> bool {
        let tag = [ETHERTYPE_VLAN.to_be_bytes(), netif.vlan.unwrap_or(0).to_be_bytes()];
        let tag = if netif.vlan.is_some() { tag.as_flattened() } else { &[] };
        let known = if self.mac == Mac::BROADCAST { Mac::default() } else { self.mac };
        let parts: [&[u8]; 9] = [
            &self.mac.0,
            &netif.mac.0,
            tag,
            &ETHERTYPE_ARP.to_be_bytes(),
            &[0, 1, 0x08, 0x00, 6, 4, 0, self.operation as u8],
            &netif.mac.0,
            &self.sender.octets4(),
            &known.0,
            &self.target.octets4(),
        ];
        parts.iter().all(|part| frame.extend_from_slice(part))
    }
}

const REQUEST: u16 = 1;
const REPLY: u16 = 2;
