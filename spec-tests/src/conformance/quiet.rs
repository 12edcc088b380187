//! Panics under judgement are verdicts: they are caught, and told once, by their law. While shrinking there may be hundreds, so
//! the process's panic hook is kept from printing those of the thread that judges.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::thread;

thread_local! {
    static JUDGES: Cell<bool> = const { Cell::new(false) };
}

/// Runs `judge`, and returns the words of its panic if it panics, printing nothing.
pub(super) fn guarded<R>(judge: impl FnOnce() -> R) -> Result<R, String> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !JUDGES.get() {
                before(info);
            }
        }));
    });
    let before = JUDGES.replace(true);
    let outcome: thread::Result<R> = catch_unwind(AssertUnwindSafe(judge));
    JUDGES.set(before);
    outcome.map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_and_what_goes_well_passes() {
        assert_eq!(guarded(|| 7), Ok(7));
        assert_eq!(guarded(|| -> u8 { panic!("at {}", 7) }), Err("at 7".to_owned()));
        assert_eq!(guarded(|| -> u8 { panic!("words") }), Err("words".to_owned()));
        assert!(!JUDGES.get());
    }
}
