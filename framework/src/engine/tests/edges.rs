//! Names, places, listeners, remnants, limits, events: what must hold when things end in an unusual order.

use super::probe::{Left, key};
use super::*;
use crate::net::Claim;
use crate::transport::FlowError;

#[test]
fn a_stale_name_touches_nobody() {
    let mut rig: Rig = Rig::new();
    let old = rig.open(7, 1);
    rig.owe(old, Class::Data, 1);
    rig.act(old, |cx, _| {
        cx.set_deadline(ms(5));
        cx.request_settle();
        cx.emit(Ready::READABLE);
    });
    rig.let_go(old);
    let new = rig.open(7, 2);
    assert_eq!(new.index, old.index);
    assert!(!rig.act(old, |_, _| unreachable!()));
    assert!(
        rig.core.io(old).is_none() && rig.core.endpoints(old).is_none() && rig.core.inspect(old, |_, _| ()).is_none()
    );
    assert_eq!(rig.core.ended(old), Some(Some(FlowError::Closed)));
    rig.let_go(old);
    rig.core.kill(&mut rig.lane, &mut rig.net, old);
    rig.calls();
    rig.transmit();
    rig.expire(ms(20));
    // Neither its deadline, nor its settling, nor its place on the list, nor its events became the new flow's.
    assert_eq!((rig.calls(), rig.sent(), rig.ready()), (vec![], vec![], vec![]));
    assert_eq!(rig.core.ended(new), None);
    rig.assert_clear();
}

#[test]
fn flows_that_come_and_go_while_nothing_can_leave_leave_no_entries_behind() {
    let mut rig: Rig = Rig::new();
    rig.net.set_room(WIRE, 0);
    for _ in 0..500 {
        let flow = rig.open(7, 1);
        rig.owe(flow, Class::Data, 1);
        rig.act(flow, |cx, _| cx.emit(Ready::READABLE));
        rig.let_go(flow);
        rig.transmit();
    }
    assert!(rig.core.ready.iter().all(super::super::ready::ReadyList::is_empty));
    assert!(rig.core.events.len() < 200, "events of an application that takes none");
    rig.assert_clear();
}

#[test]
fn a_place_is_freed_once_whichever_side_ends_first() {
    let mut rig: Rig = Rig::new();
    let (a, b, c) = (rig.open(7, 1), rig.open(7, 2), rig.open(7, 3));
    rig.act(a, |cx, _| cx.close(Some(FlowError::Reset)));
    assert_eq!((rig.core.ended(a), rig.core.flows(), rig.core.keys()), (Some(Some(FlowError::Reset)), 3, 2));
    assert!(rig.core.io(a).is_some(), "what was received can still be read");
    assert!(!rig.act(a, |_, _| unreachable!()), "its protocol is over");
    rig.let_go(a);
    rig.let_go(a);
    assert_eq!(rig.core.flows(), 2);
    rig.act(b, |_, conn| conn.lingers = true);
    rig.let_go(b);
    rig.let_go(b);
    assert_eq!((rig.core.flows(), rig.calls()), (2, vec![(Call::Close, b)]), "it finishes behind the back");
    rig.receive(&[('c', key(7, 2), 0)]);
    assert_eq!(rig.core.flows(), 1);
    rig.core.kill(&mut rig.lane, &mut rig.net, c);
    rig.core.kill(&mut rig.lane, &mut rig.net, c);
    assert_eq!(rig.core.ended(c), Some(Some(FlowError::Aborted)));
    rig.let_go(c);
    assert_eq!(rig.core.flows(), 0);
    rig.assert_clear();
}

#[test]
fn events_come_once_a_flow_in_order_and_only_for_flows_that_somebody_holds() {
    let mut rig: Rig = Rig::new();
    let port = rig.listen(9, 4);
    let (a, b, c) = (rig.open(7, 1), rig.open(7, 2), rig.open(7, 3));
    for (flow, ready) in [(b, Ready::READABLE), (a, Ready::OPEN), (b, Ready::WRITABLE), (c, Ready::READABLE)] {
        rig.act(flow, move |cx, _| {
            cx.emit(ready);
            let note = cx.id().index;
            let id = cx.id();
            cx.notify(Some(id), note);
        });
    }
    rig.act(a, |cx, _| cx.notify(None, 77));
    rig.let_go(c);
    rig.receive(&[('O', key(9, 1), 0), ('O', key(9, 2), 0)]);
    let events: Vec<String> = rig.events().iter().map(|event| format!("{event:?}")).collect();
    let expected = [
        EngineEvent::Acceptable(port),
        EngineEvent::Ready(b, Ready::READABLE | Ready::WRITABLE),
        EngineEvent::Ready(a, Ready::OPEN),
        EngineEvent::Notice(Some(b), 1),
        EngineEvent::Notice(Some(a), 0),
        EngineEvent::Notice(Some(b), 1),
        EngineEvent::Notice(None, 77),
    ];
    assert_eq!(events, expected.map(|event| format!("{event:?}")));
    assert!(rig.events().is_empty());
    rig.assert_clear();
}

#[test]
fn a_listener_tells_once_until_it_was_emptied() {
    let mut rig: Rig = Rig::new();
    let port = rig.listen(7, 2);
    let acceptable = |rig: &mut Rig| rig.events().len();
    rig.receive(&[('O', key(7, 1), 0)]);
    rig.receive(&[('O', key(7, 2), 0), ('O', key(7, 3), 0)]);
    assert_eq!(rig.lane.drops.get("engine: the listener's queue is full"), 1);
    assert_eq!((acceptable(&mut rig), rig.core.listener(port).unwrap().queued), (1, 2));
    let first = rig.core.accept(port).unwrap();
    assert_eq!(rig.ready(), [(first, Ready::READABLE | Ready::WRITABLE)]);
    rig.receive(&[('O', key(7, 4), 0), ('c', key(7, 4), 0)]);
    assert_eq!(acceptable(&mut rig), 0);
    let (second, third) = (rig.core.accept(port).unwrap(), rig.core.accept(port).unwrap());
    assert!(
        rig.ready().iter().any(|(flow, ready)| *flow == third && ready.contains(Ready::CLOSED)),
        "it ended while it waited"
    );
    assert_eq!((rig.core.accept(port), rig.core.listener(port).unwrap().queued), (None, 0));
    rig.receive(&[('O', key(7, 5), 0)]);
    assert_eq!(acceptable(&mut rig), 1);
    for flow in [first, second, third] {
        rig.let_go(flow);
    }
    // An application that takes no events accepts thousands.
    for n in 0..600u16 {
        rig.receive(&[('O', key(7, 6 + n % 2), 0)]);
        let flow = rig.core.accept(port).unwrap();
        rig.let_go(flow);
    }
    assert!(rig.core.acceptable.len() <= 1 && rig.core.events.len() < 200);
    rig.assert_clear();
}

#[test]
fn a_listener_that_goes_takes_those_who_wait_and_the_half_open_along() {
    let mut rig: Rig = Rig::new();
    let port = rig.listen(7, 4);
    rig.receive(&[('O', key(7, 1), 0), ('O', key(7, 2), 0), ('s', key(7, 3), 0), ('s', key(7, 4), 0)]);
    let accepted = rig.core.accept(port).unwrap();
    let listener = rig.core.listener(port).unwrap();
    assert_eq!((listener.half_open, listener.queued), (2, 1));
    rig.core.unlisten(&mut rig.lane, &mut rig.net, port);
    rig.check();
    assert_eq!((rig.core.flows(), rig.core.remnants(), rig.core.ended(accepted)), (1, 0, None));
    assert!(rig.calls().iter().any(|(call, _)| *call == Call::Abort));
    // The next listener has nothing to do with it.
    let next = rig.listen(7, 4);
    assert_ne!(port, next);
    assert_eq!((rig.core.accept(port), rig.core.listener(port)), (None, None));
    rig.receive(&[('d', key(7, 3), 0), ('s', key(7, 5), 0)]);
    rig.core.unlisten(&mut rig.lane, &mut rig.net, port);
    assert_eq!(rig.core.listener(next).unwrap().half_open, 1);
    rig.check();
    rig.assert_clear();
}

#[test]
fn each_verdict_on_a_remnant() {
    let mut rig: Rig = Rig::new();
    let port = rig.listen(7, 9);
    let half_open = |rig: &Rig| rig.core.listener(port).unwrap().half_open;
    for peer in 1..=5 {
        rig.receive(&[('s', key(7, peer), 0)]);
    }
    assert_eq!((half_open(&rig), rig.core.remnants()), (5, 5));
    rig.expire(ms(600));
    rig.receive(&[('s', key(7, 1), 0), ('c', key(7, 2), 0), ('d', key(7, 3), 9), ('p', key(7, 4), 9)]);
    assert_eq!((half_open(&rig), rig.core.remnants()), (2, 2), "kept, gone, promoted twice");
    assert_eq!(rig.core.transport.delivered.get(&key(7, 3)), Some(&vec![(1, 'd', 9)]));
    assert_eq!(rig.core.transport.delivered.get(&key(7, 4)), None, "its packet was consumed");
    rig.expire(ms(1005));
    assert_eq!((half_open(&rig), rig.core.transport.remnant_deadlines), (1, 1), "the kept one lives on");
    rig.expire(ms(1605));
    assert_eq!((half_open(&rig), rig.core.transport.remnant_deadlines, rig.core.remnants()), (0, 2, 0));
    // A flow that retires leaves a remnant that no listener counts, and that steps aside for a new flow.
    rig.receive(&[('r', key(7, 3), 0)]);
    assert_eq!((half_open(&rig), rig.core.remnants()), (0, 1));
    rig.receive(&[('O', key(7, 3), 8)]);
    assert_eq!((rig.core.remnants(), rig.core.listener(port).unwrap().queued), (0, 3));
    assert_eq!(rig.core.transport.delivered[&key(7, 3)].last(), Some(&(2, 'O', 8)));
    rig.assert_clear();
}

#[test]
fn limits_refuse_and_count_and_leak_nothing() {
    let mut rig: Rig = Rig::with(EngineLimits { flows_max: 2, remnants_max: 1 });
    let port = rig.listen(7, 9);
    rig.receive(&[('s', key(7, 1), 0), ('s', key(7, 2), 0)]);
    assert_eq!(rig.lane.drops.get("engine: no room for a remnant, or its key is taken"), 1);
    rig.receive(&[('O', key(7, 3), 0), ('O', key(7, 4), 0), ('O', key(7, 5), 0), ('d', key(7, 1), 0)]);
    assert_eq!(rig.lane.drops.get("engine: too many flows"), 2, "one new, one promoted");
    assert_eq!((rig.core.remnants(), rig.core.listener(port).unwrap().half_open), (0, 0));
    let refused = rig.core.connect(&mut rig.lane, &mut rig.net, None, Endpoint::new(HOME, 9));
    assert_eq!(refused, Err(FlowError::NoMemory));
    let flow = rig.core.accept(port).unwrap();
    rig.receive(&[('r', key(7, 3), 0), ('r', key(7, 4), 0)]);
    assert_eq!(rig.core.remnants(), 1, "the other is forgotten");
    rig.let_go(flow);
    rig.check();
    rig.assert_clear();
}

#[test]
fn a_key_is_one_flows_and_more_keys_come_and_go() {
    let mut rig: Rig = Rig::new();
    let (a, b) = (rig.open(7, 1), rig.open(7, 2));
    let taken = rig.core.connect(&mut rig.lane, &mut rig.net, Some(Endpoint::new(Ip::ANY, 7)), Endpoint::new(HOME, 1));
    assert_eq!((taken, rig.core.flows()), (Err(FlowError::InUse), 2));
    rig.act(a, |cx, _| {
        assert!(cx.add_key(key(8, 8)) && !cx.add_key(key(7, 2)) && !cx.add_key(key(7, 1)) && !cx.add_key(key(8, 8)));
        assert!(cx.add_key(key(8, 9)) && cx.has_key(&key(8, 9)));
        cx.remove_key(&key(8, 9));
        cx.remove_key(&key(7, 1)); // the first one stays
        cx.remove_key(&key(7, 2)); // another's
    });
    rig.receive(&[('d', key(8, 8), 1), ('d', key(7, 2), 2), ('d', key(7, 1), 3), ('d', key(8, 9), 4)]);
    assert_eq!(rig.calls(), [(Call::Run, a), (Call::Run, b)]);
    assert_eq!(rig.core.transport.delivered[&key(7, 1)], [(1, 'd', 1), (1, 'd', 3)], "one run for both keys");
    rig.let_go(a);
    assert_eq!(rig.core.keys(), 1);
    rig.act(b, |cx, _| assert!(cx.add_key(key(8, 8))));
    rig.assert_clear();
}

#[test]
fn opening_gives_back_what_it_took_when_it_fails() {
    let mut rig: Rig<true> = Rig::new();
    let ports = rig.net.udp_ports().clone();
    let mut connect = |ip, local, remote| {
        let flow = rig.core.connect(
            &mut rig.lane,
            &mut rig.net,
            Some(Endpoint::new(Ip::ANY, local)),
            Endpoint::new(ip, remote),
        );
        rig.core.check_invariants();
        flow
    };
    assert_eq!(connect(HOME, 50, 99), Err(FlowError::Unsupported));
    assert_eq!(connect(Ip::ANY, 50, 1), Err(FlowError::Unreachable));
    assert_eq!(connect(Ip::v4([192, 0, 2, 1]), 50, 1), Err(FlowError::Unreachable));
    assert_eq!(ports.lookup(50), None);
    let flow = connect(HOME, 50, 1).unwrap();
    assert_eq!((ports.lookup(50), connect(HOME, 50, 1)), (Some(ENGINE), Err(FlowError::InUse)));
    ports.claim(51, EngineIndex(9)).unwrap();
    assert_eq!(connect(HOME, 51, 1), Err(FlowError::InUse));
    let ephemeral = connect(HOME, 0, 1).unwrap();
    let chosen = rig.core.slot(ephemeral).unwrap().head.udp_port;
    assert_eq!(ports.lookup(chosen), Some(ENGINE));
    rig.let_go(flow);
    rig.let_go(ephemeral);
    assert_eq!((ports.lookup(50), ports.lookup(chosen)), (None, None));
    let foreign = Endpoint::new(Ip::v4([192, 0, 2, 1]), 5);
    assert_eq!(rig.core.listen(&mut rig.net, foreign, 1), Err(FlowError::Unreachable));
    assert_eq!(rig.core.claim(), Claim::Udp);
    rig.assert_clear();
}

#[test]
fn a_udp_port_is_kept_by_its_listener_its_flows_and_their_remnants() {
    let mut rig: Rig<true> = Rig::new();
    let ports = rig.net.udp_ports().clone();
    let port = rig.listen(7, 4);
    assert_eq!(rig.core.listen(&mut rig.net, Endpoint::new(Ip::ANY, 7), 4), Err(FlowError::InUse));
    rig.receive(&[('O', key(7, 1), 0), ('s', key(7, 2), 0), ('d', key(7, 2), 0)]);
    let (a, b) = (rig.core.accept(port).unwrap(), rig.core.accept(port).unwrap());
    rig.core.unlisten(&mut rig.lane, &mut rig.net, port);
    assert_eq!(ports.lookup(7), Some(ENGINE), "accepted flows outlive their listener");
    rig.receive(&[('c', key(7, 1), 0), ('r', key(7, 2), 0)]);
    assert_eq!((ports.lookup(7), rig.core.remnants.iter().next().unwrap().1.remnant), (Some(ENGINE), Left::Waiting));
    rig.expire(ms(1005));
    assert_eq!((ports.lookup(7), rig.core.remnants()), (None, 0));
    rig.let_go(a);
    rig.let_go(b);
    rig.listen(8, 4);
    rig.core.clear(&mut rig.lane, &mut rig.net);
    assert_eq!(ports.lookup(8), None);
    rig.assert_clear();
}

#[test]
fn a_flow_holds_the_path_that_it_is_on_and_remnants_hold_none() {
    let mut rig: Rig = Rig::new();
    rig.listen(7, 4);
    let flow = rig.open_to(NEIGHBOUR, 8, 1);
    assert_eq!(rig.net.held_paths(), 1);
    let other = rig.net.path(ms(0), None, HOME).unwrap();
    rig.act(flow, move |cx, _| {
        cx.set_path(other);
        cx.set_path(other);
    });
    let path = rig.core.slot(flow).unwrap().head.path;
    assert_eq!((rig.net.held_paths(), path), (1, Some(other)));
    rig.receive(&[('s', key(7, 1), 0), ('r', key(8, 1), 0)]);
    assert_eq!((rig.net.held_paths(), rig.core.remnants()), (0, 2), "forged addresses would fill the tables");
    rig.let_go(flow);
    rig.receive(&[('d', key(7, 1), 0)]);
    rig.expire(ms(1005));
    assert_eq!((rig.net.held_paths(), rig.core.remnants()), (1, 0), "the promoted flow's");
    rig.receive(&[('c', key(7, 1), 0)]);
    assert_eq!(rig.net.held_paths(), 0);
    rig.assert_clear();
}
