//! Quantities with their units, as scenario files and the command line write them. Reading takes only what can be
//! represented exactly; writing picks the largest unit that loses nothing.

use std::time::Duration;

/// What [`duration`] reads.
pub const DURATION: &str = "a time, for example 20ms, 1.5s, 300us or 40ns";
/// What [`rate`] reads.
pub const RATE: &str = "a rate, for example 10Mbit, 1.5Gbit or 56kbit";
/// What [`probability`] reads.
pub const PROBABILITY: &str = "a probability, for example 1% or 0.01";
/// What [`size`] reads.
pub const SIZE: &str = "a number of bytes, for example 1200, 100k or 64Ki";

/// Reads a time: a number and `ns`, `us`, `ms` or `s`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    scaled(text, &TIME_UNITS).map(Duration::from_nanos)
}

/// Writes what [`duration`] reads.
#[must_use]
pub fn print_duration(duration: Duration) -> String {
    if duration.is_zero() { "0ms".to_owned() } else { print_scaled(duration.as_nanos(), &TIME_UNITS) }
}

/// Reads bits a second: a number and `bit`, `kbit`, `Mbit` or `Gbit`.
#[must_use]
pub fn rate(text: &str) -> Option<u64> {
    scaled(text.strip_suffix("/s").unwrap_or(text), &RATE_UNITS)
}

/// Writes what [`rate`] reads.
#[must_use]
pub fn print_rate(bits_per_s: u64) -> String {
    print_scaled(bits_per_s.into(), &RATE_UNITS)
}

/// Reads bytes: a number alone, or with `k`, `M`, `G` (thousands) or `Ki`, `Mi`, `Gi` (of 1024).
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZE_UNITS)
}

/// Reads a probability: 0 to 1, or a percentage.
#[must_use]
pub fn probability(text: &str) -> Option<f64> {
    let (digits, unit) = match text.strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text, 1.0),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    digits.parse::<f64>().ok().map(|value| value / unit).filter(|value| (0.0..=1.0).contains(value))
}

/// Writes what [`probability`] reads: a percentage if that says it exactly.
#[must_use]
pub fn print_probability(value: f64) -> String {
    // Rounded to so many digits as a person would write; what does not survive that is written as it is.
    let percent = format!("{}%", (value * 1e6).round() / 1e4);
    if probability(&percent) == Some(value) { percent } else { value.to_string() }
}

/// A decimal number and its unit, as a whole number of the smallest unit. `None` if it is not whole, or too large.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, name) = text.split_at(digits_end);
    let (_, unit) = units.iter().find(|(known, _)| *known == name)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let parts = u128::from(*unit) * u128::from(fraction.parse::<u64>().ok()?);
    let divisor = 10_u128.pow(fraction.len() as u32);
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(*unit);
    (parts % divisor == 0).then(|| u64::try_from(whole + parts / divisor).ok())?
}

fn print_scaled(value: u128, units: &[(&str, u64)]) -> String {
    let fits = |unit: &&(&str, u64)| value != 0 && value.is_multiple_of(u128::from(unit.1));
    let (name, unit) = units.iter().find(fits).or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{name}", value / u128::from(unit))
}

/// Largest first.
const TIME_UNITS: [(&str, u64); 4] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];
const RATE_UNITS: [(&str, u64); 4] = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
const SIZE_UNITS: [(&str, u64); 7] =
    [("Gi", 1 << 30), ("G", 1_000_000_000), ("Mi", 1 << 20), ("M", 1_000_000), ("Ki", 1 << 10), ("k", 1_000), ("", 1)];
const FRACTION_DIGITS_MAX: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos: u64, bits: u64, value in 0.0..=1.0, parts in 0_u32..=10_000) {
            let time = Duration::from_nanos(nanos);
            prop_assert_eq!(duration(&print_duration(time)), Some(time));
            prop_assert_eq!(rate(&print_rate(bits)), Some(bits));
            for value in [value, f64::from(parts) / 1e4] {
                prop_assert_eq!(probability(&print_probability(value)), Some(value));
            }
        }

        #[test]
        fn any_text_is_a_quantity_or_none(text in "[0-9.]{0,30}[a-zA-Z%/]{0,5}|\\PC{0,9}") {
            let _ = (duration(&text), rate(&text), size(&text));
            prop_assert!(probability(&text).is_none_or(|value| (0.0..=1.0).contains(&value)));
        }
    }

    #[test]
    fn units_are_what_a_person_writes() {
        assert_eq!(duration("1.5ms"), Some(Duration::from_micros(1500)));
        assert_eq!(print_duration(Duration::from_secs(9)), "9s");
        assert_eq!(print_duration(Duration::from_micros(1500)), "1500us");
        assert_eq!((rate("10Mbit"), rate("1.5Gbit/s")), (Some(10_000_000), Some(1_500_000_000)));
        assert_eq!((size("100k"), size("64Ki"), size("7")), (Some(100_000), Some(65_536), Some(7)));
        assert_eq!((probability("1%"), probability("0.01")), (Some(0.01), Some(0.01)));
        assert_eq!((print_probability(0.07), print_probability(1e-9)), ("7%".into(), "0.000000001".into()));
        for wrong in ["", "5", "5 ms", "-5ms", ".5ms", "5.ms", "0.5ns", "1e3s", "99999999999999999999s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for wrong in ["", "%", "101%", "2", "-1%", "NaN", "inf", "1%%"] {
            assert_eq!(probability(wrong), None, "{wrong}");
        }
    }
}
