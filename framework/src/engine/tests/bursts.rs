//! A burst has the effect of its packets coming one by one; and what becomes of a packet that nobody took.

use proptest::prelude::*;

use super::probe::{Left, key};
use super::*;

type State = (std::collections::BTreeMap<u16, Vec<(u32, char, u8)>>, Vec<(u16, Option<u32>)>, Vec<(u16, bool)>);

/// What an application and a peer could know: deliveries of each key, flows by key, remnants by key.
fn state(rig: &Rig) -> State {
    let mut flows: Vec<_> =
        rig.core.slots.iter().flatten().map(|s| (s.head.key, s.conn.as_ref().map(|conn| conn.serial))).collect();
    flows.sort_unstable();
    let mut remnants: Vec<_> = rig.core.remnants.iter().map(|(_, s)| (s.key, s.remnant == Left::Waiting)).collect();
    remnants.sort_unstable();
    (rig.core.transport.delivered.clone(), flows, remnants)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_burst_has_the_effect_of_its_packets_one_by_one(
        packets in prop::collection::vec((prop::sample::select(vec!['O', 's', 'd', 'd', 'c', 'r', 'x', 'p']), 1u16..4), 1..40),
        cuts in prop::collection::vec(1usize..20, 40),
        consumes: bool,
    ) {
        let packets: Vec<_> = packets.iter().enumerate().map(|(n, (letter, peer))| (*letter, key(7, *peer), n as u8)).collect();
        let rig = || {
            let mut rig = Rig::new();
            rig.core.transport.consumes = consumes;
            rig.listen(7, 1000);
            rig
        };
        let (mut single, mut burst) = (rig(), rig());
        let mut rest = &packets[..];
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            now.iter().for_each(|packet| single.receive(&[*packet]));
            burst.receive(now);
            prop_assert_eq!(state(&single), state(&burst));
            prop_assert_eq!(single.lane.drops.total(), burst.lane.drops.total());
        }
        single.assert_clear();
        burst.assert_clear();
    }
}

#[test]
fn one_call_for_all_packets_of_a_flow_in_the_order_of_arrival() {
    let mut rig: Rig = Rig::new();
    let (a, b) = (rig.open(7, 1), rig.open(7, 2));
    let (ka, kb) = (key(7, 1), key(7, 2));
    rig.receive(&[('d', ka, 1), ('d', kb, 2), ('d', ka, 3), ('z', key(9, 9), 4), ('d', kb, 5), ('d', ka, 6)]);
    assert_eq!(rig.calls(), [(Call::Run, a), (Call::Run, b)]);
    let got = |k| rig.core.transport.delivered[&k].iter().map(|x| x.2).collect::<Vec<_>>();
    assert_eq!((got(ka), got(kb)), (vec![1, 3, 6], vec![2, 5]));
    rig.assert_clear();
}

#[test]
fn an_opening_its_copy_a_close_and_an_opening_in_one_burst_are_two_flows() {
    let mut rig: Rig = Rig::new();
    let port = rig.listen(7, 10);
    let k = key(7, 1);
    rig.receive(&[('s', k, 0), ('s', k, 1), ('d', k, 2), ('d', k, 3), ('r', k, 4), ('O', k, 5), ('d', k, 6)]);
    let got = [(1, 'd', 2), (1, 'd', 3), (1, 'r', 4), (2, 'O', 5), (2, 'd', 6)];
    assert_eq!(rig.core.transport.delivered[&k], got);
    let flows = [(); 3].map(|()| rig.core.accept(port));
    assert_eq!((rig.core.ended(flows[0].unwrap()), rig.core.ended(flows[1].unwrap())), (Some(None), None));
    assert_eq!(flows[2], None);
    rig.assert_clear();
}

#[test]
fn a_packet_that_its_flow_does_not_take_is_counted() {
    let mut rig: Rig = Rig::new();
    rig.open(7, 1);
    rig.receive(&[('d', key(7, 1), 0), ('q', key(7, 1), 1), ('d', key(7, 1), 2)]);
    assert_eq!(rig.lane.drops.get("engine: not taken by its flow"), 2);
    rig.receive(&[('z', key(8, 1), 0)]);
    assert_eq!(rig.lane.drops.get("probe: nobody listens"), 1);
    let mut short = rig.packet('d', 0, 0);
    short.frame.truncate(3);
    rig.core.receive(&mut rig.lane, &mut rig.net, &mut vec![Some(short), None]);
    assert_eq!(rig.lane.drops.get("probe: short"), 1);
    rig.assert_clear();
}

#[test]
fn a_less_specific_key_gets_what_no_flow_has() {
    let mut rig: Rig = Rig::new();
    let bound = rig.core.bind(&mut rig.lane, &mut rig.net, Endpoint::new(Ip::ANY, 7)).unwrap();
    let connected = rig.open(7, 1);
    rig.receive(&[('d', key(7, 1), 0), ('d', key(7, 2), 1), ('c', key(7, 1), 2)]);
    rig.receive(&[('d', key(7, 1), 3)]);
    assert_eq!(rig.core.transport.delivered[&key(7, 0)], [(1, 'd', 1), (1, 'd', 3)]);
    assert!(rig.core.ended(connected).is_some() && rig.core.ended(bound).is_none());
    rig.assert_clear();
}

#[test]
fn a_packet_for_a_flow_that_is_gone_does_not_reach_the_next_in_its_place() {
    let mut rig: Rig = Rig::new();
    let old = rig.open(7, 1);
    rig.core.transport.deliver_to = Some(old);
    rig.receive(&[('u', key(9, 9), 0)]);
    assert_eq!(rig.core.transport.delivered.len(), 1);
    rig.let_go(old);
    let new = rig.open(7, 2);
    assert_eq!((new.index, new.generation != old.generation), (old.index, true));
    rig.receive(&[('u', key(9, 9), 1), ('u', key(9, 9), 2)]);
    assert!(!rig.core.transport.delivered.contains_key(&key(7, 2)));
    rig.assert_clear();
}

#[test]
fn an_icmp_error_finds_the_flow_by_its_quote() {
    let mut rig: Rig = Rig::new();
    let flow = rig.open_to(NEIGHBOUR, 7, 1);
    let path = rig.core.slot(flow).unwrap().head.path.unwrap();
    let mut quote = crate::net::Quote { src: HOME, dst: HOME, src_port: 0, dst_port: 0, bytes: Default::default() };
    quote.bytes.extend(key(7, 1).to_be_bytes());
    let trouble = crate::net::Trouble::TooBig { mtu: 900 };
    rig.core.trouble(&mut rig.lane, &mut rig.net, &quote, &trouble);
    assert_eq!(rig.core.inspect(flow, |_, conn| conn.trouble), Some(Some(trouble)));
    assert_eq!(rig.net.path_info(path).unwrap().mtu, 900);
    quote.bytes.clear();
    rig.core.trouble(&mut rig.lane, &mut rig.net, &quote, &trouble);
    assert_eq!(rig.calls().len(), 1);
    rig.assert_clear();
}
