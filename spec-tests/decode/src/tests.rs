//! A datagram that is right passes, and any bit that is not finds its way to the test. What else is found, and in frames
//! that hosts really sent, is shown where there are hosts: in `burstlane-spec`.

use super::*;

/// A datagram from 10.0.0.1 port 4000 to 10.0.0.2 port 5000, with sums that were worked out by hand.
const DATAGRAM: [u8; 46] = [
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
    0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0x26, 0xcb, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
    0x0f, 0xa0, 0x13, 0x88, 0, 12, 0xc4, 0xa5, // UDP
    1, 2, 3, 4,
];
const IP_AT: usize = 14;
const UDP_AT: usize = 34;
const SUM_FIELD: usize = 6;

fn watch(completes_checksums: bool) -> Watch {
    Watch::new(Device { completes_checksums, ..Device::default() })
}

#[test]
fn any_flipped_bit_behind_ethernet_is_found() {
    assert_eq!(watch(false).check(&DATAGRAM, &Task::default()), Ok(()));
    for bit in IP_AT * 8..DATAGRAM.len() * 8 {
        let mut frame = DATAGRAM;
        frame[bit / 8] ^= 0x80 >> (bit % 8);
        assert!(watch(false).check(&frame, &Task::default()).is_err(), "bit {bit}");
    }
}

#[test]
#[should_panic(expected = "a frame of ours is wrong: UDP: checksum")]
fn a_wrong_byte_ends_the_test() {
    let mut frame = DATAGRAM;
    frame[UDP_AT + 8] ^= 1;
    watch(false).demand(&frame, &Task::default());
}

#[test]
fn a_checksum_is_left_only_to_a_device_that_completes_it() {
    let mut frame = DATAGRAM;
    // The pseudo-header's sum: addresses, protocol, length.
    let sum = fold(ones_sum(&frame[26..34]) + u64::from(UDP) + 12);
    frame[UDP_AT + SUM_FIELD..UDP_AT + SUM_FIELD + 2].copy_from_slice(&sum.to_be_bytes());
    let task = Task { checksum: Some((UDP_AT, SUM_FIELD)), ..Task::default() };
    assert_eq!(watch(true).check(&frame, &task), Ok(()));
    assert!(watch(false).check(&frame, &task).is_err());
    assert!(watch(true).check(&frame, &Task::default()).is_err(), "nobody completes it");
    frame[UDP_AT + SUM_FIELD] ^= 1;
    assert!(watch(true).check(&frame, &task).is_err());
}
