//! What steady state costs the heap. The counter is the crate `allocation-counter`: a global allocator of this test's
//! binary that counts by thread, so tests running beside it do not disturb.

/// A counter that misses allocations would make every other test here pass.
#[test]
fn the_counter_sees_allocation_and_growth() {
    let count = |work: &dyn Fn()| allocation_counter::measure(work).count_total;
    assert_eq!(count(&|| assert_eq!(std::hint::black_box([7_u8; 64]).len(), 64)), 0);
    assert_eq!(count(&|| drop(std::hint::black_box(vec![0_u8; 64]))), 1);
    let grows = || {
        let mut bytes = std::hint::black_box(Vec::with_capacity(1));
        bytes.extend_from_slice(&[0_u8; 64]);
        std::hint::black_box(&bytes);
    };
    assert_eq!(count(&grows), 2);
}
