//! Copy, Internet checksum (RFC 1071) and prefetch: the few loops worth vector instructions, each with a portable twin
//! that is its test oracle. Not here: where checksums stand in headers and what they cover (`net`).
//!
//! A *partial sum* is a `u64` congruent, modulo 2^16 - 1, to the sum of the 16-bit words of some bytes, read in the
//! machine's own byte order (RFC 1071 2(B): the byte order of the result is that of the words, so nothing is ever
//! swapped). It is zero only if all the bytes are zero. Partial sums of parts are joined by [`add`], or [`append`] where
//! a part may begin at an odd offset, and end in [`fold`]. To put a checksum into a header: `!fold(sum)` in native
//! order.

/// Partial sum of `bytes`; an odd last byte is padded with a zero behind it.
#[inline]
#[must_use]
pub fn sum(bytes: &[u8]) -> u64 {
    if bytes.len() <= INLINE_BYTES_MAX { sum_words(bytes) } else { sum_long(bytes) }
}

/// Copies `src` to `dst` and returns the partial sum of what was copied, in one pass over memory. The slices have the
/// same length; if not (a bug of the caller), the shorter decides.
#[inline]
pub fn copy_and_sum(dst: &mut [u8], src: &[u8]) -> u64 {
    debug_assert_eq!(dst.len(), src.len(), "a copy between lengths that differ");
    let bytes = dst.len().min(src.len());
    let (dst, src) = (dst.split_at_mut(bytes).0, src.split_at(bytes).0);
    if bytes <= INLINE_BYTES_MAX { copy_words(dst, src) } else { copy_long(dst, src) }
}

/// A partial sum as 16 bits, not complemented. Zero only if all that was summed was zero.
#[inline]
#[must_use]
pub const fn fold(sum: u64) -> u16 {
    let (sum, carry) = ((sum >> 32) as u32).overflowing_add(sum as u32);
    let sum = sum + carry as u32; // with a carry it is at most 2^32 - 2
    let (sum, carry) = ((sum >> 16) as u16).overflowing_add(sum as u16);
    sum + carry as u16
}

/// The partial sum of two parts, each beginning at an even offset: addition with the carry brought round.
#[inline]
#[must_use]
pub const fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u64
}

/// The partial sum of `total`, which covers the `offset` bytes before, and `part`, summed as if it began at an even
/// offset and standing at `offset`.
#[inline(always)]
#[must_use]
pub const fn append(total: u64, offset: usize, part: u64) -> u64 {
    if offset.is_multiple_of(2) { add(total, part) } else { add(total, at_odd_offset(part)) }
}

/// The partial sum of a part that really begins at an odd offset, from its sum as if it began at an even one: its bytes
/// change places (RFC 1071 2(B)).
#[cold]
#[must_use]
pub const fn at_odd_offset(part: u64) -> u64 {
    fold(part).swap_bytes() as u64
}

/// Asks for the cache line where `value` begins. Costs nothing but the instruction; changes nothing.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    prefetch_address(value);
}

/// Asks for all cache lines of `value`, as [`prefetch`] does for its first.
#[inline(always)]
pub fn prefetch_all<T>(value: &T) {
    let at = std::ptr::from_ref(value).cast::<u8>();
    for offset in (0..size_of::<T>()).step_by(CACHE_LINE_BYTES) {
        prefetch_address(at.wrapping_add(offset));
    }
}

/// Asks for the cache line of `slice[index]`; past the end, for whatever is there, which harms nobody.
#[inline(always)]
pub fn prefetch_slice<T>(slice: &[T], index: usize) {
    prefetch_address(slice.as_ptr().wrapping_add(index));
}

#[inline(always)]
fn prefetch_address<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and a prefetch reads nothing and faults at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

const CACHE_LINE_BYTES: usize = 64;

// ------------------------------------------------------------------------------------------ choosing

#[inline(never)]
fn sum_long(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: this processor has AVX2, which was just asked (a load and a test once the answer is cached).
        return unsafe { avx2::sum(bytes) };
    }
    sum_lanes(bytes)
}

#[inline(never)]
fn copy_long(dst: &mut [u8], src: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: as in `sum_long`.
        return unsafe { avx2::copy(dst, src) };
    }
    copy_lanes(dst, src)
}

// ------------------------------------------------------------------------------------------ portable

/// Eight bytes at a time with the carry brought round: shortest for headers.
#[inline(always)]
fn sum_words(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut total = sum_tail(tail);
    for word in words {
        total = add(total, u64::from_ne_bytes(*word));
    }
    total
}

/// Two words a turn, because a loop of one is turned into a call of `memcpy` and a second pass.
#[inline(always)]
fn copy_words(dst: &mut [u8], src: &[u8]) -> u64 {
    let (words, tail) = src.as_chunks::<8>();
    let (dst_words, dst_tail) = dst.as_chunks_mut::<8>();
    let mut total = copy_tail(dst_tail, tail);
    let (pairs, odd) = words.as_chunks::<2>();
    let (dst_pairs, dst_odd) = dst_words.as_chunks_mut::<2>();
    for ([to_a, to_b], [a, b]) in dst_pairs.iter_mut().zip(pairs) {
        let (a, b) = (u64::from_ne_bytes(*a), u64::from_ne_bytes(*b));
        *to_a = a.to_ne_bytes();
        *to_b = b.to_ne_bytes();
        total = add(add(total, a), b);
    }
    if let ([to], [word]) = (dst_odd, odd) {
        *to = *word;
        total = add(total, u64::from_ne_bytes(*word));
    }
    total
}

/// Eight 32-bit words at a time into lanes of 64 bits, which no slice is long enough to overflow: a compiler makes
/// vector instructions of it.
fn sum_lanes(bytes: &[u8]) -> u64 {
    let (blocks, tail) = bytes.as_chunks::<32>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        add_block(&mut lanes, block);
    }
    lanes.into_iter().fold(sum_words(tail), add)
}

fn copy_lanes(dst: &mut [u8], src: &[u8]) -> u64 {
    let (blocks, tail) = src.as_chunks::<32>();
    let (dst_blocks, dst_tail) = dst.as_chunks_mut::<32>();
    let mut lanes = [0u64; 8];
    for (to, block) in dst_blocks.iter_mut().zip(blocks) {
        *to = *block;
        add_block(&mut lanes, block);
    }
    lanes.into_iter().fold(copy_words(dst_tail, tail), add)
}

#[inline(always)]
fn add_block(lanes: &mut [u64; 8], block: &[u8; 32]) {
    for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
        *lane += u64::from(u32::from_ne_bytes(*word));
    }
}

/// Fewer than eight bytes.
#[inline(always)]
fn sum_tail(bytes: &[u8]) -> u64 {
    let (fours, rest) = bytes.as_chunks::<4>();
    let (twos, last) = rest.as_chunks::<2>();
    let mut total = 0;
    if let [four] = fours {
        total += u64::from(u32::from_ne_bytes(*four));
    }
    if let [two] = twos {
        total += u64::from(u16::from_ne_bytes(*two));
    }
    if let [byte] = last {
        total += u64::from(u16::from_ne_bytes([*byte, 0]));
    }
    total
}

#[inline(always)]
fn copy_tail(dst: &mut [u8], src: &[u8]) -> u64 {
    let ((fours, rest), (dst_fours, dst_rest)) = (src.as_chunks::<4>(), dst.as_chunks_mut::<4>());
    let ((twos, last), (dst_twos, dst_last)) = (rest.as_chunks::<2>(), dst_rest.as_chunks_mut::<2>());
    let mut total = 0;
    if let ([to], [four]) = (dst_fours, fours) {
        *to = *four;
        total += u64::from(u32::from_ne_bytes(*four));
    }
    if let ([to], [two]) = (dst_twos, twos) {
        *to = *two;
        total += u64::from(u16::from_ne_bytes(*two));
    }
    if let ([to], [byte]) = (dst_last, last) {
        *to = *byte;
        total += u64::from(u16::from_ne_bytes([*byte, 0]));
    }
    total
}

/// Up to here sums are inlined word loops: a call and horizontal additions cost more than they save.
const INLINE_BYTES_MAX: usize = 128;

// ------------------------------------------------------------------------------------------ AVX2

/// Three instructions for sixteen words: `word ^ 0x8000`, read as signed, is `word - 32768`; `pmaddwd` with ones adds
/// neighbours into 32 bits; the 32768s are added back at the end.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{add, copy_words, sum_words};
    use std::arch::x86_64::{
        __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_add_epi32, _mm256_castsi256_si128,
        _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi16, _mm256_setzero_si256,
        _mm256_storeu_si256, _mm256_xor_si256,
    };

    #[target_feature(enable = "avx2")]
    pub(super) fn sum(bytes: &[u8]) -> u64 {
        let mut total = 0;
        for piece in bytes.chunks(PIECE_BYTES) {
            total = add(total, sum_piece(piece));
        }
        total
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn copy(dst: &mut [u8], src: &[u8]) -> u64 {
        let mut total = 0;
        for (to, from) in dst.chunks_mut(PIECE_BYTES).zip(src.chunks(PIECE_BYTES)) {
            total = add(total, copy_piece(to, from));
        }
        total
    }

    #[target_feature(enable = "avx2")]
    fn sum_piece(piece: &[u8]) -> u64 {
        let (vectors, tail) = piece.as_chunks::<32>();
        let (fours, rest) = vectors.as_chunks::<4>();
        let (pairs, last) = rest.as_chunks::<2>();
        let mut acc = [_mm256_setzero_si256(); 4];
        for [a, b, c, d] in fours {
            acc = step(acc, [load(a), load(b), load(c), load(d)]);
        }
        if let [[a, b]] = pairs {
            acc[0] = accumulate(acc[0], load(a));
            acc[1] = accumulate(acc[1], load(b));
        }
        if let [a] = last {
            acc[2] = accumulate(acc[2], load(a));
        }
        add(finish(acc, vectors.len()), sum_words(tail))
    }

    /// What is left behind the groups of four is not a loop: a compiler would make a call of `memcpy` of it.
    #[target_feature(enable = "avx2")]
    fn copy_piece(dst: &mut [u8], src: &[u8]) -> u64 {
        let bytes = dst.len().min(src.len()); // One length for both, also for the compiler.
        let (vectors, tail) = src.split_at(bytes).0.as_chunks::<32>();
        let (dst_vectors, dst_tail) = dst.split_at_mut(bytes).0.as_chunks_mut::<32>();
        let (fours, rest) = vectors.as_chunks::<4>();
        let (dst_fours, dst_rest) = dst_vectors.as_chunks_mut::<4>();
        let (pairs, last) = rest.as_chunks::<2>();
        let (dst_pairs, dst_last) = dst_rest.as_chunks_mut::<2>();
        let mut acc = [_mm256_setzero_si256(); 4];
        for ([to_a, to_b, to_c, to_d], [a, b, c, d]) in dst_fours.iter_mut().zip(fours) {
            let four = [load(a), load(b), load(c), load(d)];
            store(to_a, four[0]);
            store(to_b, four[1]);
            store(to_c, four[2]);
            store(to_d, four[3]);
            acc = step(acc, four);
        }
        if let ([[to_a, to_b]], [[a, b]]) = (dst_pairs, pairs) {
            let (a, b) = (load(a), load(b));
            store(to_a, a);
            store(to_b, b);
            acc[0] = accumulate(acc[0], a);
            acc[1] = accumulate(acc[1], b);
        }
        if let ([to], [a]) = (dst_last, last) {
            let a = load(a);
            store(to, a);
            acc[2] = accumulate(acc[2], a);
        }
        add(finish(acc, vectors.len()), copy_words(dst_tail, tail))
    }

    /// Four accumulators, so that additions do not wait for each other.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn step(acc: [__m256i; 4], four: [__m256i; 4]) -> [__m256i; 4] {
        [
            accumulate(acc[0], four[0]),
            accumulate(acc[1], four[1]),
            accumulate(acc[2], four[2]),
            accumulate(acc[3], four[3]),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn accumulate(acc: __m256i, vector: __m256i) -> __m256i {
        let signed = _mm256_xor_si256(vector, _mm256_set1_epi16(i16::MIN));
        _mm256_add_epi32(acc, _mm256_madd_epi16(signed, _mm256_set1_epi16(1)))
    }

    /// Adds up the lanes and takes out the bias of the `vectors` x 16 words that went in.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn finish(acc: [__m256i; 4], vectors: usize) -> u64 {
        let all = _mm256_add_epi32(_mm256_add_epi32(acc[0], acc[1]), _mm256_add_epi32(acc[2], acc[3]));
        let four = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
        let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
        let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
        let biased = i64::from(_mm_cvtsi128_si32(one));
        // Never negative: it is the plain sum of the words.
        (biased + vectors as i64 * 16 * 32768) as u64
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(from: &[u8; 32]) -> __m256i {
        // SAFETY: the reference is to 32 readable bytes; the instruction asks for no alignment.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store(to: &mut [u8; 32], vector: __m256i) {
        // SAFETY: the reference is to 32 writable bytes, ours alone; the instruction asks for no alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) }
    }

    /// The biased sum of so many bytes fits an `i32`: 32,768 words, each between -32,768 and 32,767. A multiple of 32, so
    /// pieces begin at even offsets.
    const PIECE_BYTES: usize = 64 * 1024;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(bytes: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in bytes.chunks(2) {
            total += u32::from(u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            total = (total & 0xffff) + (total >> 16);
        }
        total as u16
    }

    type Sum = fn(&[u8]) -> u64;
    type Copy = fn(&mut [u8], &[u8]) -> u64;

    /// Each twin by itself, and the public functions that choose.
    fn twins() -> Vec<(Sum, Copy)> {
        let mut twins: Vec<(Sum, Copy)> = vec![(sum, copy_and_sum), (sum_words, copy_words), (sum_lanes, copy_lanes)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: AVX2 is there.
            twins.push((|b| unsafe { avx2::sum(b) }, |d, s| unsafe { avx2::copy(d, s) }));
        }
        twins
    }

    fn check(bytes: &[u8], dst_offset: usize) {
        let expected = naive(bytes);
        let mut dst = vec![0x5a; dst_offset + bytes.len() + 8];
        for (sum, copy) in twins() {
            assert_eq!(fold(sum(bytes)), expected, "sum of {} bytes", bytes.len());
            dst.fill(0x5a);
            let (before, rest) = dst.split_at_mut(dst_offset);
            let (to, after) = rest.split_at_mut(bytes.len());
            assert_eq!(fold(copy(to, bytes)), expected, "copy of {} bytes", bytes.len());
            assert_eq!(to, bytes);
            assert!(before.iter().chain(after.iter()).all(|b| *b == 0x5a), "wrote outside");
        }
    }

    #[test]
    fn every_length_and_alignment_sums_as_the_naive_loop() {
        let data: Vec<u8> = (0..700u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for len in 0..600 {
            check(&data[len % 37..len % 37 + len], len % 35);
        }
        for start in 0..64 {
            check(&data[start..start + 300], 64 - start);
        }
    }

    #[test]
    fn the_heaviest_bytes_overflow_nothing() {
        for len in [0, 1, 2, 63, 64, 65, 65_535, 65_536, 65_537, 1 << 20] {
            check(&vec![0xff; len], 1);
            check(&vec![0; len], 0);
        }
        assert_eq!(add(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(add(u64::MAX, 1)), 1);
    }

    proptest! {
        #[test]
        fn all_twins_agree_with_the_naive_loop(data in prop::collection::vec(any::<u8>(), 0..4000), skip in 0usize..64, dst in 0usize..64) {
            check(&data[skip.min(data.len())..], dst);
        }

        #[test]
        fn parts_join_to_the_whole(data in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(0usize..300, 0..5)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(data.len())).chain([0, data.len()]).collect();
            cuts.sort_unstable();
            let total = cuts.windows(2).fold(0, |total, w| append(total, w[0], sum(&data[w[0]..w[1]])));
            prop_assert_eq!(fold(total), naive(&data));
        }

        #[test]
        fn fold_keeps_the_value_modulo_65535(a: u64, b: u64) {
            prop_assert_eq!(u64::from(fold(a)) % 0xffff, a % 0xffff);
            let exact = (u128::from(a) + u128::from(b)) % 0xffff;
            prop_assert_eq!(u128::from(fold(add(a, b))) % 0xffff, exact);
        }
    }
}
