//! What is left to the device is judged as the device finishes it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burstlane::driver::{Driver, ProtocolSet};
use burstlane::frame::Frame;
use burstlane_sim::{EndConfig, Ideal, Network};
use burstlane_tcp::Tcp;

use super::corpus::{Kind, frame};
use super::*;
use crate::packets::checksum;
use crate::{Hosts, HostsConfig, Transfer, TransferConfig};

#[test]
fn large_frames_and_unfinished_checksums_of_a_transfer_are_right() {
    for is_v6 in [false, true] {
        let mut config = HostsConfig { is_v6, ..HostsConfig::new(1) };
        config.ends = config.ends.map(|end| end.with_offloads(ProtocolSet::NONE.with(TCP)));
        let hosts = Hosts::new(config);
        let engines = hosts.add::<Tcp>(burstlane_tcp::Config::default());
        Transfer::start(&hosts, engines, TransferConfig::new(1, [400_000, 1000]))
            .finish(&hosts, std::time::Duration::from_secs(60));
        let sent = hosts.members[1].end.received();
        assert!(sent.delivered_bytes / sent.delivered > 1500, "no large frames: {sent:?}");
        hosts.assert_clean();
    }
}

/// Sends one frame of this kind by a device with offloads. What the decoder says, if it says anything.
fn verdict(kind: Kind, change: impl Fn(&mut Frame)) -> Option<String> {
    let config = EndConfig::host(1).with_offloads(ProtocolSet::NONE.with(TCP));
    let (end, _peer) =
        Network::new().link(config, EndConfig::host(2), Box::<Ideal>::default(), Box::<Ideal>::default());
    let mut bytes = frame(kind).to_vec();
    bytes[6..12].copy_from_slice(&end.capabilities().mac.0);
    let mut frame = end.pool().alloc().unwrap();
    assert!(frame.extend_from_slice(&bytes));
    change(&mut frame);
    let mut driver = CheckedDriver::boxed(Box::new(end));
    let said = catch_unwind(AssertUnwindSafe(|| driver.tx_burst(&mut vec![frame]).unwrap()));
    said.err().map(|said| said.downcast_ref::<String>().unwrap().clone())
}

/// Leaves the checksum to the device, as the framework does.
fn leave_sum(frame: &mut Frame) {
    let bytes = frame.bytes_mut();
    let length = bytes.len() - 34;
    let mut pseudo = bytes[26..34].to_vec();
    pseudo.extend([0, TCP]);
    pseudo.extend((length as u16).to_be_bytes());
    // The sum itself: what is written into a header is its complement.
    bytes[50..52].copy_from_slice(&(!checksum(&pseudo)).to_be_bytes());
    frame.set_partial_checksum(34, 16);
}

fn leave_cut(frame: &mut Frame, segment_bytes: u16) {
    leave_sum(frame);
    frame.meta.segment_protocol = TCP;
    frame.meta.segment_bytes = segment_bytes;
    frame.meta.header_bytes = 34 + u16::from(frame.bytes()[46] >> 4) * 4;
}

#[test]
fn what_a_device_is_told_wrongly_is_found() {
    type Row = (&'static str, fn(&mut Frame), Option<&'static str>);
    let rows: [Row; 8] = [
        ("a whole frame", |_| (), None),
        ("a frame to finish", leave_sum, None),
        ("a frame to finish and cut", |f| leave_cut(f, 400), None),
        (
            "a pseudo-header's sum that is wrong",
            |f| {
                leave_sum(f);
                f.bytes_mut()[50] ^= 1;
            },
            Some("TCP: checksum"),
        ),
        (
            "another header length",
            |f| {
                leave_cut(f, 400);
                f.meta.header_bytes += 4;
            },
            Some("bytes of headers"),
        ),
        (
            "another protocol",
            |f| {
                leave_cut(f, 400);
                f.meta.segment_protocol = UDP;
            },
            Some("to be cut as 17"),
        ),
        ("segments larger than the MTU", |f| leave_cut(f, 1461), Some("to be cut into packets")),
        ("one segment only", |f| leave_cut(f, 1448), Some("is one segment")),
    ];
    for (name, change, reason) in rows {
        let said = verdict(Kind::Data4, change);
        match reason {
            None => assert_eq!(said, None, "{name}"),
            Some(reason) => assert!(said.as_ref().is_some_and(|said| said.contains(reason)), "{name}: {said:?}"),
        }
    }
}

#[test]
fn a_flawed_frame_ends_the_test_with_its_bytes() {
    let said = verdict(Kind::Syn4, |frame| frame.bytes_mut()[50] ^= 1).expect("a wrong checksum");
    assert!(
        said.contains("a frame of ours is wrong: TCP: checksum") && said.contains("0000  02 00 00 00 00"),
        "{said}"
    );
}
