use burstlane::time::Instant;
use burstlane_sim::Damage;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Failure, Report, by_command, kept_scenarios, page};
use crate::packets::{ACK, SYN, Tcp4};
use crate::recording::{EventRecord, Happening, PacketRecord, Recording};
use crate::scenario::{Fault, Scenario, Side, Span, Trouble};

/// Any recording in order of time, of segments, of datagrams, and of bytes that are neither.
pub(super) fn any_recording() -> impl Strategy<Value = Recording> {
    let times = vec((0_u64..3_000_000, any::<bool>()), 0..30);
    let packets = vec((any::<bool>(), any_frame(), vec((0_u64..30_000_000, any_damage()), 0..4), trouble()), 30);
    let events = vec((0_u64..3_000_000, any::<bool>(), proptest::option::of(0_usize..7), any_happening()), 0..30);
    (times, packets, events, 0_u64..3).prop_map(|(times, packets, events, left_out)| {
        let (mut now, mut numbers) = (0, [0; 2]);
        let mut recording = Recording { left_out, ..Recording::default() };
        for ((step, is_numbered), (is_left, bytes, arrivals, trouble)) in times.into_iter().zip(packets) {
            now += step;
            let from = side(is_left);
            let number = is_numbered.then_some(numbers[from.index()]);
            numbers[from.index()] += u32::from(is_numbered);
            let arrivals =
                arrivals.into_iter().map(|(after, damage)| (Instant::from_nanos(now + after), damage)).collect();
            let sent_at = Instant::from_nanos(now);
            recording.packets.push(PacketRecord { number, from, sent_at, bytes, arrivals, trouble });
        }
        let mut now = 0;
        for (step, is_left, flow, what) in events {
            now += step;
            recording.events.push(EventRecord { side: side(is_left), at: Instant::from_nanos(now), flow, what });
        }
        recording
    })
}

fn side(is_left: bool) -> Side {
    if is_left { Side::Left } else { Side::Right }
}

fn trouble() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("dropped|\\PC{0,50}")
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let segment = (any::<u32>(), any::<u32>(), any::<u8>(), 0_usize..2000).prop_map(|(seq, ack, flags, bytes)| {
        let payload = vec![0; bytes];
        Tcp4 { from: 1, to: 2, source_port: 9, destination_port: 80, seq, ack, flags, window: 7, payload }.frame()
    });
    prop_oneof![segment, vec(any::<u8>(), 0..90)]
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![Just(Damage::None), any::<u32>().prop_map(Damage::FlipBit), any::<u32>().prop_map(Damage::Truncate)]
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let text = || "[A-Z-]{0,12}|\\PC{0,60}";
    prop_oneof![
        Just(Happening::Opened),
        text().prop_map(|reason| Happening::Closed { reason }),
        (text(), text()).prop_map(|(from, to)| Happening::State { from, to }),
        text().prop_map(|name| Happening::Timer { name }),
        any::<(u64, u64, u64)>().prop_map(|(cwnd, ssthresh, in_flight)| Happening::Congestion {
            cwnd,
            ssthresh,
            in_flight
        }),
        any::<(u64, u64)>().prop_map(|(offset, bytes)| Happening::Lost { offset, bytes }),
        any::<(u64, u64, u64)>().prop_map(|(rtt_us, srtt_us, rto_us)| Happening::Rtt { rtt_us, srtt_us, rto_us }),
        text().prop_map(|reason| Happening::Dropped { reason }),
        text().prop_map(|what| Happening::App { what }),
    ]
}

/// A scenario with all kinds of trouble that lasts.
pub(super) fn troubled() -> Scenario {
    let spell = |from_ms, ms, trouble| Fault::Spell { span: Span { from_ms, ms }, trouble };
    let mut scenario = Scenario::new("tcp", 7);
    scenario.faults = vec![
        spell(1, 2, Trouble::Partition(None)),
        spell(2, 9000, Trouble::BlackHole { from: Side::Left, mtu: 900 }),
        spell(3, 4, Trouble::Stall(Side::Right)),
        spell(900_000, 4, Trouble::Partition(Some(Side::Right))),
    ];
    scenario
}

fn page_of(recording: &Recording, scenario: &Scenario) -> String {
    page(&Report { scenario, recording, broken: None, name_packet: None, rerun: by_command }, "burstlane sim replay x")
}

/// Elements that are opened and not closed, or the other way; quotes that end where they should not.
fn is_well_formed(html: &str) -> Result<(), String> {
    let body = &html[html.find("<header>").ok_or("no header")?..html.find("<script>").ok_or("no script")?];
    let mut open: Vec<&str> = Vec::new();
    for tag in body.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').ok_or_else(|| format!("no end: <{tag}"))?;
        if inside.matches('"').count() % 2 != 0 {
            return Err(format!("quotes: <{inside}>"));
        }
        let name = inside.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if inside.starts_with('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
        } else if !inside.ends_with('/') {
            open.push(name);
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("left open: {open:?}")) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_recording_gives_a_well_formed_page_and_the_same_each_time(recording in any_recording()) {
        let html = page_of(&recording, &troubled());
        prop_assert_eq!(is_well_formed(&html), Ok(()));
        prop_assert!(!html.contains("NaN") && !html.contains("inf "), "{}", html);
        prop_assert_eq!(&html, &page_of(&recording, &troubled()));
        let drawn = html.matches("class=\"label ").count();
        prop_assert_eq!(drawn, recording.packets.len());
        let crosses = html.matches("<path class=\"cross\"").count() - 1; // one in the legend
        prop_assert_eq!(crosses, recording.packets.iter().filter(|packet| packet.arrivals.is_empty()).count());
    }
}

#[test]
fn text_cannot_break_out_of_the_page() {
    let mut scenario = troubled();
    scenario.transport = "<script>alert(1)</script>".into();
    let what = Happening::App { what: "\"><b>&\u{1b}".into() };
    let events = vec![EventRecord { side: Side::Left, at: Instant::ZERO, flow: None, what }];
    let html = page_of(&Recording { events, ..Recording::default() }, &scenario);
    assert!(!html.contains("<script>alert") && !html.contains("<b>") && !html.contains('\u{1b}'));
}

fn failure() -> Failure {
    let packet = |flags| PacketRecord {
        number: Some(0),
        from: Side::Left,
        sent_at: Instant::ZERO,
        bytes: Tcp4 {
            from: 1,
            to: 2,
            source_port: 9,
            destination_port: 80,
            seq: 5,
            ack: 0,
            flags,
            window: 7,
            payload: vec![],
        }
        .frame(),
        arrivals: vec![],
        trouble: Some("dropped".into()),
    };
    Failure {
        law: "bytes arrive in order, or not at all".into(),
        message: "flow 0: byte 7\nis wrong".into(),
        scenario: troubled(),
        recording: Recording { packets: vec![packet(SYN), packet(ACK)], ..Recording::default() },
    }
}

#[test]
fn a_failure_leaves_a_scenario_a_capture_and_a_page() {
    let folder = std::env::temp_dir().join(format!("burstlane-failure-{}", std::process::id()));
    let failure = failure();
    let paths = failure.write(&folder.join("made/for/it")).unwrap();
    let name = paths.scenario.file_stem().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("tcp-bytes-arrive-in-order-or-not-at-all-"), "{name}");
    let text = std::fs::read_to_string(&paths.scenario).unwrap();
    assert!(text.starts_with("# broke bytes arrive in order, or not at all\n# flow 0: byte 7\n# is wrong\n"), "{text}");
    assert_eq!(text.parse::<Scenario>(), Ok(failure.scenario.clone()));
    let html = std::fs::read_to_string(&paths.page).unwrap();
    assert!(html.contains("byte 7\nis wrong") && html.contains(&format!("{name}.scenario")));
    assert!(!html.contains("http://") || html.matches("http://").count() == html.matches("http://www.w3.org").count());
    let capture = std::fs::read(&paths.capture).unwrap();
    let comment = b"left packet 0: SYN 0 win 7; lost (dropped)";
    assert!(capture.windows(comment.len()).any(|part| part == comment));
    // Found again: the same files, byte for byte.
    assert_eq!(failure.write(paths.scenario.parent().unwrap()).unwrap(), paths);
    assert_eq!(std::fs::read(&paths.capture).unwrap(), capture);
    // What a person adds stays, and what is kept is read back.
    std::fs::write(&paths.scenario, format!("# why\n{text}")).unwrap();
    let kept = &paths.scenario.parent().unwrap().to_owned();
    assert_eq!(failure.report().write_scenario(kept).unwrap(), paths.scenario);
    assert!(std::fs::read_to_string(&paths.scenario).unwrap().starts_with("# why\n"));
    assert_eq!(kept_scenarios(kept).unwrap(), [(paths.scenario, failure.scenario)]);
    std::fs::write(kept.join("b.scenario"), "nonsense").unwrap();
    assert!(kept_scenarios(kept).unwrap_err().to_string().contains("b.scenario: line 1, column 1"));
    assert_eq!(kept_scenarios(&folder.join("nowhere")).unwrap(), []);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_page_shows_where_the_law_was_broken() {
    let mut failure = failure();
    let marked = |failure: &Failure| page(&failure.report(), "").contains("here the law was broken");
    assert!(!marked(&failure), "its message names no time");
    failure.message = "at 0.000000000s: flow 0, right: a wrong byte".into();
    assert!(marked(&failure) && is_well_formed(&page(&failure.report(), "")).is_ok());
    failure.message = format!("at {}: never mind", Instant::NEVER);
    assert!(!marked(&failure));
}

#[test]
fn of_thousands_of_packets_some_are_drawn_and_the_page_says_so() {
    let one = failure().recording.packets[0].clone();
    let packets = (0..5000_u64).map(|i| PacketRecord { sent_at: Instant::from_nanos(i * 1_000_000), ..one.clone() });
    let recording = Recording { packets: packets.collect(), ..Recording::default() };
    let html = page_of(&recording, &Scenario::new("tcp", 1));
    assert_eq!(html.matches("class=\"label ").count(), 600);
    assert!(html.contains("4400 packets in 4.4 s are not drawn") && html.contains("Of 5000 packets"));
    assert!(html.len() < 600_000, "{} bytes", html.len());
}
