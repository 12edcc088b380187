//! Which key is whose. Keyed hash: a peer that chooses keys cannot make them collide. (The device's steering hash must
//! never be used here: it is linear, and zero-extended it defeats the table's tags.)

use std::hash::{BuildHasher, Hash};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use hashbrown::HashTable;

use super::FlowId;

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Flow(FlowId),
    Remnant(u32),
}

pub(crate) struct Demux<K> {
    table: HashTable<(K, Place)>,
    hasher: SeedableRandomState,
}

impl<K: Copy + Eq + Hash> Demux<K> {
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self { table: HashTable::with_capacity(INITIAL_KEYS), hasher }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<Place> {
        self.get_hashed(self.hash(key), key)
    }

    #[inline]
    pub(crate) fn get_hashed(&self, hash: u64, key: &K) -> Option<Place> {
        self.table.find(hash, |entry| entry.0 == *key).map(|entry| entry.1)
    }

    /// `false`, and no change, if the key is taken.
    #[must_use]
    pub(crate) fn insert(&mut self, key: K, place: Place) -> bool {
        self.insert_over(key, place, None)
    }

    /// The same, but a key that leads to `old` is not taken: a remnant becomes a flow, or a flow a remnant.
    #[must_use]
    pub(crate) fn insert_over(&mut self, key: K, place: Place, old: Option<Place>) -> bool {
        let hash = self.hash(&key);
        let hasher = &self.hasher;
        let entry = self.table.entry(hash, |entry| entry.0 == key, |entry| hasher.hash_one(entry.0));
        match entry {
            hashbrown::hash_table::Entry::Occupied(mut taken) => {
                let is_old = Some(taken.get().1) == old;
                if is_old {
                    taken.get_mut().1 = place;
                }
                is_old
            }
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                vacant.insert((key, place));
                true
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) {
        let hash = self.hash(key);
        if let Ok(entry) = self.table.find_entry(hash, |entry| entry.0 == *key) {
            entry.remove();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

/// Sized for a small server, so that the first connections do not rehash.
const INITIAL_KEYS: usize = 1024;
