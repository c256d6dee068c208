//! Verdicts on tokens, for a while. Pure: time is a parameter.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// Values that are forgotten at their time, and before that where there are too many.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    entries: HashMap<K, (Instant, V)>,
    capacity: usize,
}

impl<K: Hash + Eq + Copy, V: Clone> Cache<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity }
    }

    /// The value, until its time.
    pub(super) fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.entries.get(key).filter(|(end, _)| now < *end).map(|(_, value)| value.clone())
    }

    /// Keeps a value until `end`.
    pub(super) fn put(&mut self, key: K, value: V, end: Instant, now: Instant) {
        if self.entries.len() >= self.capacity {
            self.entries.retain(|_, (end, _)| now < *end);
        }
        if self.entries.len() >= self.capacity {
            // Any one: it only has to be asked for again.
            if let Some(victim) = self.entries.keys().next().copied() {
                self.entries.remove(&victim);
            }
        }
        self.entries.insert(key, (end, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_value_is_there_until_its_time() {
        let (mut cache, start) = (Cache::new(2), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        cache.put(1, "a", after(10), start);
        assert_eq!(cache.get(&1, after(9)), Some("a"));
        assert_eq!(cache.get(&1, after(10)), None);
        assert_eq!(cache.get(&2, start), None);
    }

    #[test]
    fn there_are_never_more_than_the_capacity_and_those_past_their_time_go_first() {
        let (mut cache, start) = (Cache::new(2), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        cache.put(1, "a", after(1), start);
        cache.put(2, "b", after(100), start);
        cache.put(3, "c", after(100), after(2));
        assert_eq!((cache.get(&2, after(2)), cache.get(&3, after(2))), (Some("b"), Some("c")));
        for key in 4..1_000 {
            cache.put(key, "d", after(100), after(2));
            assert_eq!(cache.entries.len(), 2);
            assert_eq!(cache.get(&key, after(2)), Some("d"));
        }
    }
}
