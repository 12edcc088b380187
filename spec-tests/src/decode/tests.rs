//! What is right passes, whatever is planted is found, and nothing makes the decoder stumble.

mod corpus;
mod device;
mod flaws;

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use corpus::{Kind, corpus, frame};

#[test]
fn what_hosts_send_is_read_as_what_it_is() {
    for kind in Kind::ALL {
        let bytes = frame(kind);
        let decoded = decode(bytes, &Rules { fragments_of: &[UDP], ..Rules::default() });
        assert!(decoded.is_ok(), "{kind:?}: {decoded:?}");
    }
    let Ok(Decoded::Ip(header, Content::Tcp(segment))) = decode(frame(Kind::Syn4), &Rules::default()) else {
        panic!("no SYN")
    };
    assert_eq!((header.source, header.protocol), (IpAddr::from([10, 0, 0, 1]), TCP));
    assert_eq!((segment.flags, segment.ack, segment.payload.len()), (2, None, 0));
    assert_eq!((segment.options.mss, segment.options.sack_permitted), (Some(1460), true));
    assert!(segment.options.timestamps.is_some() && segment.options.window_scale.is_some());
    let Ok(Decoded::Ip(_, Content::Tcp(segment))) = decode(frame(Kind::Sack4), &Rules::default()) else {
        panic!("no SACK")
    };
    assert!(!segment.options.sack().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_frame_or_a_flaw(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ether_type in proptest::option::of(prop_oneof![Just(IPV4), Just(IPV6), Just(ARP), Just(VLAN)]),
    ) {
        let mut bytes = bytes;
        if let (Some(ether_type), Some(place)) = (ether_type, bytes.get_mut(12..14)) {
            place.copy_from_slice(&ether_type.to_be_bytes());
        }
        let _ = decode(&bytes, &Rules::default());
    }

    #[test]
    fn any_change_to_a_frame_leaves_a_frame_or_a_flaw(
        kind in proptest::sample::select(&Kind::ALL),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep in any::<prop::sample::Index>(),
        is_repaired: bool,
    ) {
        let mut bytes = frame(kind).to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_repaired {
            corpus::repair(&mut bytes);
        } else {
            bytes.truncate(keep.index(bytes.len() + 1));
        }
        let rules = Rules { fragments_of: &[UDP], ..Rules::default() };
        if let Ok(Decoded::Ip(header, Content::Fragment(fragment))) = decode(&bytes, &rules) {
            let _ = Fragments::default().take(&header, &fragment);
        }
    }

    /// RFC 1071 finds every single bit.
    #[test]
    fn any_flipped_bit_behind_ethernet_is_found(
        at in any::<prop::sample::Index>(),
        pick in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        // In a fragment nothing protects the piece, only the whole; in an ARP packet nothing protects anything; IPv6 leaves
        // the most of its header to others.
        let is_summed = |frame: &&Vec<u8>| frame[12..14] == [8, 0] && frame[20] & 0x3f == 0 && frame[21] == 0;
        let summed: Vec<&Vec<u8>> = corpus().iter().filter(is_summed).collect();
        let mut bytes = summed[pick.index(summed.len())].clone();
        let at = ETHERNET_BYTES + at.index(bytes.len() - ETHERNET_BYTES);
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes, &Rules::default()).is_err(), "bit {} of byte {}", bit, at);
    }

    #[test]
    fn any_cut_off_end_is_found(pick in any::<prop::sample::Index>(), keep in any::<prop::sample::Index>()) {
        let frame = &corpus()[pick.index(corpus().len())];
        let keep = keep.index(frame.len());
        let rules = Rules { fragments_of: &[UDP], ..Rules::default() };
        prop_assert!(decode(&frame[..keep], &rules).is_err());
    }
}

const ETHERNET_BYTES: usize = 14;
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
