//! Sparklines: a curve in one line of text.

/// `values`, drawn `width` characters wide from zero to the largest. Fewer values are stretched, more are averaged;
/// what is negative or no number counts as zero. No values draw nothing.
pub(crate) fn sparkline(values: &[f64], width: usize) -> String {
    let columns: Vec<f64> = (0..width).filter_map(|column| bucket(values, column, width)).collect();
    let largest = columns.iter().copied().fold(0.0, f64::max);
    columns.iter().map(|&value| block(value, largest)).collect()
}

/// The value that `points` (time, value; by time) hold at the end of each of `width` equal parts of their time, ready
/// for [`sparkline`]: samples of a run come in bursts, a picture of it should not.
pub(crate) fn over_time(points: &[(f64, f64)], width: usize) -> Vec<f64> {
    let (Some(&(start, first)), Some(&(end, _))) = (points.first(), points.last()) else { return Vec::new() };
    let mut rest = points.iter().peekable();
    let mut held = first;
    (1..=width)
        .map(|column| {
            let until = start + (end - start) * column as f64 / width as f64;
            while let Some(&(_, value)) = rest.next_if(|&&(at, _)| at <= until) {
                held = value;
            }
            held
        })
        .collect()
}

/// The mean of the values that fall into a column, or the nearest where none does.
fn bucket(values: &[f64], column: usize, width: usize) -> Option<f64> {
    let from = column * values.len() / width;
    let to = ((column + 1) * values.len() / width).max(from + 1);
    let part = values.get(from..to)?;
    let sum: f64 = part.iter().map(|&value| if value.is_finite() { value.max(0.0) } else { 0.0 }).sum();
    Some(sum / part.len() as f64)
}

fn block(value: f64, largest: f64) -> char {
    let share = if largest > 0.0 { value / largest } else { 0.0 };
    let level = (share * (BLOCKS.len() - 1) as f64).round() as usize;
    BLOCKS.get(level).copied().unwrap_or('█')
}

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_values_fill_the_width(values in proptest::collection::vec(any::<f64>(), 1..50), width in 0_usize..80) {
            prop_assert_eq!(sparkline(&values, width).chars().count(), width);
        }
    }

    #[test]
    fn it_rises_with_its_values() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[4.0, 8.0], 4), "▅▅██");
        assert_eq!(sparkline(&[0.0, 0.0], 3), "▁▁▁");
        assert_eq!(sparkline(&[], 5), "");
    }

    #[test]
    fn time_and_not_the_number_of_samples_makes_the_width() {
        let points = [(0.0, 1.0), (0.1, 2.0), (0.2, 3.0), (0.3, 4.0), (10.0, 8.0)];
        assert_eq!(over_time(&points, 4), [4.0, 4.0, 4.0, 8.0]);
        assert!(over_time(&[], 4).is_empty());
    }
}
