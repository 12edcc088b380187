//! Drawing by a seed: the same sources and the same seed give the same sample everywhere.

use std::collections::HashMap;

use crate::mutant::Mutant;

/// The order in which mutants are drawn: by a hash of the seed, the file, the line as it reads, and what is made of it. Lines
/// may move, and others change: what is drawn of the rest stays the same.
pub fn order(mutants: &[Mutant], seed: u64) -> Vec<usize> {
    let mut seen = HashMap::new();
    let mut keyed: Vec<_> = mutants
        .iter()
        .enumerate()
        .map(|(number, mutant)| {
            let place = (&mutant.file, &mutant.source, &mutant.what);
            // Of several that look alike each has its turn.
            let alike: &mut u64 = seen.entry(place).or_default();
            *alike += 1;
            let texts = [mutant.file.as_str(), &mutant.source, &mutant.what];
            let words = texts.iter().flat_map(|text| text.bytes().map(u64::from).chain([u64::MAX]));
            (words.chain([*alike]).fold(mix(seed), |hash, word| mix(hash ^ word)), number)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, number)| number).collect()
}

/// The first `count` in this order that can stand in one program: at most one in each nest of expressions.
pub fn choose(mutants: &[Mutant], order: &[usize], count: usize, is_rejected: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut chosen: Vec<usize> = vec![];
    for &number in order {
        if chosen.len() == count {
            break;
        }
        if !is_rejected(number) && !chosen.iter().any(|&other| mutants[other].overlaps(&mutants[number])) {
            chosen.push(number);
        }
    }
    chosen
}

/// One step of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn mix(state: u64) -> u64 {
    let word = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::mutants_in;

    const TEXT: &str = "fn f(a: u8) {\n  g(a + 1, a + 1);\n  h(a - 2);\n  i(a * 3);\n}";

    #[test]
    fn all_are_drawn_once_by_any_seed() {
        let mutants = mutants_in("f.rs", TEXT).unwrap();
        for seed in 0..20 {
            let mut drawn = order(&mutants, seed);
            assert_ne!(drawn, order(&mutants, seed + 1));
            drawn.sort_unstable();
            assert_eq!(drawn, (0..mutants.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_stays_is_drawn_in_the_same_order() {
        let drawn = |text: &str| {
            let mutants = mutants_in("f.rs", text).unwrap();
            let lines = order(&mutants, 1)
                .into_iter()
                .map(|number| format!("{} {}", mutants[number].source, mutants[number].what));
            lines.filter(|line| !line.contains("h(a")).collect::<Vec<_>>()
        };
        assert_eq!(drawn(TEXT), drawn(&TEXT.replace("  h(a - 2);", "  h(a / 4);\n\n")));
    }

    #[test]
    fn one_of_a_nest_is_chosen_and_the_next_if_it_is_rejected() {
        let mutants = mutants_in("f.rs", "fn f(a: u8) -> u8 { a + a * a }").unwrap();
        assert_eq!(mutants.len(), 2);
        assert_eq!(choose(&mutants, &[0, 1], 2, |_| false), [0]);
        assert_eq!(choose(&mutants, &[0, 1], 2, |number| number == 0), [1]);
    }
}
