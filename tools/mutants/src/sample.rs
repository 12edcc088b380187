//! Drawing by a seed: the same sources and the same seed give the same sample everywhere.

use crate::mutant::Mutant;

/// The order in which mutants are drawn: all of them, shuffled.
pub fn order(count: usize, seed: u64) -> Vec<usize> {
    let mut dice = SplitMix(seed);
    let mut order: Vec<_> = (0..count).collect();
    for at in (1..count).rev() {
        // The bias of the remainder is below 1 in 2^50.
        order.swap(at, (dice.next() % (at as u64 + 1)) as usize);
    }
    order
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

/// Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators (2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::mutants_in;

    #[test]
    fn all_are_drawn_once_by_any_seed() {
        for seed in 0..20 {
            let mut drawn = order(100, seed);
            assert_ne!(drawn, order(100, seed + 1));
            drawn.sort_unstable();
            assert_eq!(drawn, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_of_a_nest_is_chosen_and_the_next_if_it_is_rejected() {
        let mutants = mutants_in("f.rs", "fn f(a: u8) -> u8 { a + a * a }").unwrap();
        assert_eq!(mutants.len(), 2);
        assert_eq!(choose(&mutants, &[0, 1], 2, |_| false), [0]);
        assert_eq!(choose(&mutants, &[0, 1], 2, |number| number == 0), [1]);
    }
}
