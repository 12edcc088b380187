//! Ready lists, classes, ranks, pacing, parking, deadlines, settling: whose turn it is.

use super::probe::key;
use super::*;
use crate::net::{NeighbourChange, Trouble};

fn order(rig: &mut Rig) -> Vec<(FlowId, Class)> {
    rig.transmit();
    rig.sent()
}

#[test]
fn classes_leave_in_order_and_flows_of_a_class_in_turn() {
    let mut rig: Rig = Rig::new();
    let (a, b) = (rig.open(7, 1), rig.open(7, 2));
    rig.owe(a, Class::Data, 1);
    rig.owe(b, Class::Data, 1);
    rig.owe(b, Class::Ack, 1);
    rig.owe(a, Class::Control, 2);
    use Class::{Ack, Control, Data};
    assert_eq!(order(&mut rig), [(a, Control), (a, Control), (b, Ack), (a, Data), (b, Data)]);
    assert_eq!(rig.core.next_deadline(), None);
    rig.assert_clear();
}

#[test]
fn flows_that_always_want_acks_do_not_starve_data() {
    let mut rig: Rig = Rig::new();
    let data = rig.open(7, 1);
    for n in 2..66 {
        let flow = rig.open(7, n);
        rig.act(flow, |cx, conn| {
            conn.always = Some(Class::Ack);
            cx.want_tx(Class::Ack);
        });
    }
    for _ in 0..10 {
        rig.owe(data, Class::Data, 1);
        let sent = order(&mut rig);
        assert_eq!((sent.len(), sent.last()), (65, Some(&(data, Class::Data))), "each once, then data");
        assert_eq!(rig.core.next_deadline(), Some(Instant::ZERO));
    }
    rig.assert_clear();
}

#[test]
fn a_flow_gets_its_quantum_and_goes_to_the_back() {
    let mut rig: Rig = Rig::new();
    let (a, b) = (rig.open(7, 1), rig.open(7, 2));
    for flow in [a, b] {
        rig.act(flow, |_, conn| conn.payload = 16_000);
        rig.owe(flow, Class::Data, 8);
    }
    let sent = order(&mut rig);
    let of = |flow| sent.iter().filter(|x| x.0 == flow).count();
    assert_eq!((of(a), of(b)), (5, 5), "64 KiB, the last packet whole");
    assert_eq!(order(&mut rig).len(), 6);
    rig.assert_clear();
}

#[test]
fn ranked_flows_go_by_rank_and_have_more_in_the_next_turn() {
    let mut rig: Rig = Rig::new();
    let flows = [1, 2, 3, 4].map(|n| rig.open(7, n));
    for flow in flows {
        rig.act(flow, |_, conn| conn.always = Some(Class::Data));
    }
    let [a, b, c, d] = flows;
    rig.act(a, move |cx, _| {
        for (flow, rank) in [(a, 0), (b, 9), (c, 3), (d, 9)] {
            cx.wake(flow, Class::Data, rank);
        }
        cx.wake(b, Class::Data, 1); // it stands there already
    });
    for _ in 0..3 {
        assert_eq!(order(&mut rig), [c, b, d, a].map(|flow| (flow, Class::Data)), "nobody starves, nobody goes twice");
    }
    rig.assert_clear();
}

#[test]
fn a_flow_woken_by_another_after_it_ended_is_nobody() {
    let mut rig: Rig = Rig::new();
    let (a, b) = (rig.open(7, 1), rig.open(7, 2));
    rig.let_go(b);
    let c = rig.open(7, 3);
    rig.act(a, move |cx, _| cx.wake(b, Class::Ack, 0));
    rig.transmit();
    assert_eq!((rig.core.slot(c).unwrap().head.ready, rig.core.next_deadline()), (0, None));
    rig.assert_clear();
}

#[test]
fn pacing_wakes_in_time_and_each_class_by_itself() {
    let mut rig: Rig = Rig::new();
    let flow = rig.open(7, 1);
    rig.transmit();
    rig.act(flow, |_, conn| conn.paced_until = Some(ms(10)));
    rig.owe(flow, Class::Data, 1);
    assert_eq!(order(&mut rig), []);
    let due = rig.core.next_deadline().unwrap();
    assert!(due > ms(9) && due <= ms(10) + Duration::from_micros(17), "{due:?}");
    // Asking again does not help, and leaves no second entry.
    rig.owe(flow, Class::Data, 1);
    rig.expire(ms(9));
    assert_eq!(order(&mut rig), []);
    rig.act(flow, |_, conn| conn.paced_until = Some(ms(20)));
    rig.owe(flow, Class::Control, 1);
    assert_eq!((order(&mut rig), rig.core.pacing.len()), (vec![], 2));
    rig.expire(ms(11));
    assert_eq!((order(&mut rig), rig.core.pacing.len()), (vec![], 2), "data asked, and was told 20");
    rig.expire(ms(21));
    assert_eq!((order(&mut rig).len(), rig.core.pacing.len()), (3, 0));
    rig.assert_clear();
}

#[test]
fn a_deadline_fires_once_moved_later_earlier_or_not_at_all() {
    let mut rig: Rig = Rig::new();
    let flow = rig.open(7, 1);
    rig.transmit();
    let fired = |rig: &mut Rig, at| {
        rig.expire(at);
        rig.calls().len()
    };
    let set = |rig: &mut Rig, at| rig.act(flow, move |cx, _| cx.set_deadline(at));
    set(&mut rig, ms(10));
    set(&mut rig, ms(30));
    assert_eq!(rig.core.wheel.len(), 1, "moving it later touches no wheel");
    assert_eq!((fired(&mut rig, ms(12)), fired(&mut rig, ms(28))), (0, 0));
    assert_eq!((fired(&mut rig, ms(32)), fired(&mut rig, ms(90))), (1, 0));
    set(&mut rig, ms(200));
    set(&mut rig, ms(100));
    assert_eq!((fired(&mut rig, ms(102)), fired(&mut rig, ms(210))), (1, 0));
    set(&mut rig, ms(300));
    set(&mut rig, Instant::NEVER);
    assert_eq!((fired(&mut rig, ms(310)), rig.core.next_deadline()), (0, None));
    set(&mut rig, ms(5));
    assert_eq!(fired(&mut rig, ms(310)), 1, "one that is over already fires at the next occasion");
    rig.assert_clear();
}

#[test]
fn near_deadlines_that_come_and_go_leave_few_entries_for_the_far_one() {
    let mut rig: Rig = Rig::new();
    let flow = rig.open(7, 1);
    let far = Duration::from_secs(7200);
    for n in 0..2000u64 {
        let now = ms(n * 40);
        rig.act(flow, move |cx, _| cx.set_deadline(now + Duration::from_millis(30)));
        rig.expire(now + Duration::from_millis(35));
        assert_eq!(rig.calls().len(), 1);
        rig.act(flow, move |cx, _| cx.set_deadline(now + far));
    }
    assert!(rig.core.wheel.len() <= 2, "{}", rig.core.wheel.len());
    rig.expire(ms(2000 * 40) + far);
    rig.expire(ms(2000 * 40) + far + far);
    assert_eq!((rig.calls().len(), rig.core.wheel.len()), (1, 0));
    rig.assert_clear();
}

#[test]
fn the_lane_has_a_deadline_too() {
    let mut rig: Rig = Rig::new();
    let flow = rig.open(7, 1);
    rig.transmit();
    rig.act(flow, |cx, _| cx.set_lane_deadline(ms(5)));
    assert_eq!(rig.core.next_deadline(), Some(ms(5)));
    rig.expire(ms(4));
    rig.expire(ms(5));
    rig.expire(ms(6));
    assert_eq!((rig.core.transport.lane_deadlines, rig.core.next_deadline()), (1, None));
    rig.assert_clear();
}

#[test]
fn settling_is_asked_for_once_and_only_of_flows_on_no_list() {
    let mut rig: Rig = Rig::new();
    let (a, b, c) = (rig.open(7, 1), rig.open(7, 2), rig.open(7, 3));
    rig.transmit();
    for flow in [a, b, c, a] {
        rig.act(flow, |cx, _| cx.request_settle());
    }
    assert_eq!(rig.core.next_deadline(), Some(Instant::ZERO), "nobody sleeps on it");
    rig.owe(b, Class::Data, 1);
    rig.let_go(c);
    let d = rig.open(7, 4);
    assert_eq!(d.index, c.index);
    rig.calls();
    rig.transmit();
    assert_eq!(rig.calls(), [(Call::Settle, a)]);
    rig.transmit();
    assert_eq!((rig.calls(), rig.core.next_deadline()), (vec![], None));
    rig.assert_clear();
}

#[test]
fn a_flow_waits_for_its_neighbour_and_goes_on_when_it_answers() {
    let mut rig: Rig = Rig::new();
    let (a, b) = (rig.open_to(NEIGHBOUR, 7, 1), rig.open(7, 2));
    rig.owe(a, Class::Control, 1);
    rig.owe(a, Class::Data, 1);
    rig.owe(b, Class::Data, 1);
    assert_eq!(rig.transmit(), [1, 1], "the question, and what can leave");
    assert_eq!(rig.core.next_deadline(), None, "waiting costs no turns");
    rig.owe(a, Class::Data, 1);
    assert_eq!((rig.transmit(), rig.core.next_deadline()), ([0, 0], None));
    rig.sent();
    rig.answer_arp();
    assert_eq!(order(&mut rig), [(a, Class::Control), (a, Class::Data), (a, Class::Data)]);
    assert!(rig.core.parked.is_empty());
    rig.assert_clear();
}

#[test]
fn a_neighbour_that_does_not_answer_is_trouble_for_those_who_wait() {
    let mut rig: Rig = Rig::new();
    let (a, b) = (rig.open_to(NEIGHBOUR, 7, 1), rig.open_to(NEIGHBOUR, 7, 2));
    rig.owe(a, Class::Control, 1);
    rig.owe(b, Class::Control, 1);
    rig.transmit();
    rig.let_go(b);
    rig.calls();
    for s in 1..=3 {
        rig.expire(ms(s * 1000));
    }
    assert_eq!(rig.calls(), [(Call::Trouble, a)]);
    assert_eq!(rig.core.inspect(a, |_, conn| conn.trouble), Some(Some(Trouble::NeighbourFailed)));
    assert_eq!(rig.core.next_deadline(), Some(Instant::ZERO), "it may try again");
    assert!(rig.core.parked.is_empty());
    rig.assert_clear();
}

#[test]
fn a_flow_that_moves_to_another_path_waits_no_longer_for_the_old_one() {
    let mut rig: Rig = Rig::new();
    let flow = rig.open_to(NEIGHBOUR, 7, 1);
    rig.owe(flow, Class::Data, 1);
    rig.transmit();
    let home = rig.net.path(ms(0), None, HOME).unwrap();
    rig.act(flow, move |cx, _| cx.set_path(home));
    assert_eq!(rig.transmit(), [1, 0]);
    rig.calls();
    for s in 1..=3 {
        rig.expire(ms(s * 1000));
    }
    assert_eq!(rig.calls(), [], "the old neighbour's failure is not its trouble");
    rig.assert_clear();
}

#[test]
fn what_the_lane_owes_waits_for_its_neighbour() {
    let mut rig: Rig = Rig::new();
    let path = rig.net.path(ms(0), None, NEIGHBOUR).unwrap();
    let flow = rig.open(7, 1);
    rig.core.transport.lane_owed = Some((path, 2));
    rig.act(flow, |cx, _| cx.want_lane_tx());
    assert_eq!((rig.transmit(), rig.core.next_deadline()), ([0, 1], None));
    rig.answer_arp();
    assert_eq!(rig.core.next_deadline(), Some(Instant::ZERO));
    assert_eq!((rig.transmit(), rig.core.next_deadline()), ([0, 2], None));
    rig.net.set_room(WIRE, 0);
    rig.core.transport.lane_owed = Some((path, 1));
    rig.act(flow, |cx, _| cx.want_lane_tx());
    assert_eq!((rig.transmit(), rig.core.next_deadline()), ([0, 0], Some(Instant::ZERO)), "no room is tried again");
    rig.assert_clear();
}

#[test]
fn without_room_in_any_device_few_are_asked_and_all_in_turn() {
    let mut rig: Rig = Rig::new();
    let flows: Vec<_> = (1..=90).map(|n| rig.open_to(NEIGHBOUR, 7, n)).collect();
    rig.owe(flows[0], Class::Data, 1);
    rig.transmit();
    rig.answer_arp();
    rig.transmit();
    rig.net.set_room(WIRE, 0);
    flows.iter().for_each(|flow| rig.owe(*flow, Class::Data, 1));
    rig.sent();
    assert_eq!(order(&mut rig), []);
    // The flow over the own loopback gets its turn though the device takes nothing.
    let home = rig.open(8, 1);
    rig.owe(home, Class::Data, 1);
    let mut turns = 0;
    while order(&mut rig) != [(home, Class::Data)] {
        turns += 1;
        assert!(turns < 10);
    }
    rig.net.set_room(WIRE, 128);
    assert_eq!(order(&mut rig).len(), 90);
    rig.assert_clear();
}

#[test]
fn no_packet_memory_is_tried_again_and_loses_nothing() {
    let mut rig: Rig = Rig::new();
    let flow = rig.open_to(NEIGHBOUR, 7, 1);
    rig.owe(flow, Class::Control, 1);
    rig.transmit();
    rig.answer_arp();
    let held: Vec<_> = std::iter::from_fn(|| rig.pool.alloc()).collect();
    assert_eq!((rig.transmit(), rig.core.next_deadline()), ([0, 0], Some(Instant::ZERO)));
    drop(held);
    assert_eq!((rig.transmit(), rig.core.next_deadline()), ([0, 1], None));
    rig.assert_clear();
}

#[test]
fn a_change_of_a_neighbour_that_nobody_waits_for_changes_nothing() {
    let mut rig: Rig = Rig::new();
    let flow = rig.open_to(NEIGHBOUR, 7, 1);
    let path = rig.core.slot(flow).unwrap().head.path.unwrap();
    let neighbour = rig.net.path_info(path).unwrap().neighbour.unwrap();
    rig.receive(&[('d', key(7, 1), 0)]);
    rig.calls();
    for change in [NeighbourChange::Resolved(neighbour), NeighbourChange::Failed(neighbour)] {
        rig.core.neighbour(&mut rig.lane, &mut rig.net, &change);
    }
    assert_eq!(rig.calls(), []);
    rig.assert_clear();
}

#[test]
fn what_sending_tells_asks_for_a_turn_if_events_are_taken() {
    let mut rig: Rig = Rig::new();
    let flow = rig.open(7, 1);
    rig.transmit();
    rig.act(flow, |_, conn| conn.tells = true);
    let sends = |rig: &mut Rig| {
        rig.owe(flow, Class::Data, 1);
        rig.transmit();
        rig.core.has_news()
    };
    assert!(sends(&mut rig), "the application had its turn before");
    rig.transmit();
    assert!(!rig.core.has_news(), "it had a turn, and left it");
    assert!(!sends(&mut rig), "it does not take events");
    assert_eq!(rig.ready(), [(flow, Ready::WRITABLE)]);
    assert!(sends(&mut rig));
    rig.assert_clear();
}
