//! smoltcp as our twin: both get the same segments and the same calls, and step by step they must say the same.

mod difference;
mod host;
mod ours;
mod reply;
mod rules;
pub(crate) mod script;
mod stage;

use std::cell::Cell;
use std::fmt::Write;

use proptest::prelude::*;

use difference::Difference;
use host::Twin;
use reply::{Listener, Reply};
use rules::RULES;
use script::{Script, Stamp, script};
use stage::Stage;

/// Plays a script to both. `used` counts the rules that explained a difference; where the two go different ways, the script
/// ends.
fn run(script: &Script, used: &[Cell<u32>]) {
    let mut stage = Stage::new(script);
    let first = stage.replies();
    assert_eq!(first[0], first[1], "the first word");
    let mut story = String::new();
    for (at, step) in script.steps.iter().enumerate() {
        let before = stage.twins.each_ref().map(Twin::state);
        let said = stage.said(step);
        if stage.contradicts_itself(said) {
            continue;
        }
        stage.past.is_full = stage.is_full();
        let heard = stage.take(step);
        let replies = stage.replies();
        let after = stage.twins.each_ref().map(Twin::state);
        writeln!(story, "{at}: {step:?}\n   {before:?} -> {after:?}").unwrap();
        writeln!(story, "   ours {:?}\n   smol {:?}", replies[0], replies[1]).unwrap();
        let is_same = replies[0] == replies[1] && heard[0] == heard[1] && after[0] == after[1];
        if !is_same {
            let difference = Difference {
                step,
                before,
                after,
                replies: replies.each_ref().map(Vec::as_slice),
                heard: heard.each_ref(),
                said,
                past: &stage.past,
            };
            let Some(rule) = RULES.iter().position(|rule| (rule.explains)(&difference)) else {
                panic!("no rule explains the last step ({said:?}):\n{story}");
            };
            used[rule].set(used[rule].get() + 1);
            if RULES[rule].ends || after[0] != after[1] || stage.listeners[0].place() != stage.listeners[1].place() {
                return;
            }
            writeln!(story, "   allowed: {}", RULES[rule].name).unwrap();
        }
        if let Some(said) = said {
            if stage.past.has_timestamps && (said.lacks(Stamp::Old) || said.lacks(Stamp::Missing)) {
                // The answer may be the same; but smoltcp took the segment, and we did not (see the rules for both).
                return;
            }
            stage.note(said, before[0]);
        }
        stage.past.has_acknowledged |= said.is_some() && replies[1].iter().any(Reply::is_bare_ack);
    }
}

/// What one of the two says to each step of a script.
fn answers(script: &Script, side: usize) -> Vec<Vec<Reply>> {
    let mut stage = Stage::new(script);
    stage.play_all().into_iter().map(|mut both| std::mem::take(&mut both[side])).collect()
}

/// Whether smoltcp has something outstanding after a script, no timer for it, and says no more.
pub(crate) fn smoltcp_is_stuck_after(script: &Script) -> bool {
    let mut stage = Stage::new(script);
    stage.play_all();
    let smol = &mut stage.twins[1];
    smol.has_lost_its_timer() && smol.wait(SECONDS).is_empty()
}

/// What smoltcp says for ten minutes after a script, repetitions included.
pub(crate) fn smoltcp_says_for_long_after(script: &Script) -> Vec<Reply> {
    let mut stage = Stage::new(script);
    stage.play_all();
    let frames = stage.twins[1].wait(SECONDS);
    frames.iter().filter_map(|frame| Listener::default().hear(frame, false)).collect()
}

/// Longer than any timeout.
const SECONDS: u32 = 600;

/// Counters for the rules.
fn unused() -> Vec<Cell<u32>> {
    RULES.iter().map(|_| Cell::default()).collect()
}

proptest! {
    #![proptest_config(crate::config(1200))]

    #[test]
    fn the_same_segments_get_the_same_answers(script in script()) {
        run(&script, &unused());
    }
}

/// A rule that no example needs any more is one too many, and so is one that another has made superfluous.
#[test]
fn every_rule_is_needed_where_its_example_says() {
    for (at, rule) in RULES.iter().enumerate() {
        let used = unused();
        run(&(rule.example)(), &used);
        assert!(used[at].get() > 0, "stale: `{}` ({})", rule.name, rule.reason);
    }
}
