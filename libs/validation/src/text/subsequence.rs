//! Longest common subsequences, 64 rows of the table at a time (Hyyrö, 2004): time `a·b/64`.

use crate::text::ngrams::FastMap;

/// Every so many columns are kept to find the subsequence; those between are computed again.
const KEPT: usize = 256;

/// The length of the longest common subsequence.
pub(crate) fn common_length(a: &[u32], b: &[u32]) -> u64 {
    const SHORT: usize = 256;
    const FEW: usize = 4_096;
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let highest = short.iter().copied().max().unwrap_or(0) as usize;
    if short.len() > SHORT || highest > FEW {
        return Sequence::new(short).common(long);
    }
    // The places of each id as bits, in a table.
    let words = short.len().div_ceil(64).max(1);
    let mut places = vec![0; (highest + 1) * words];
    for (at, id) in short.iter().enumerate() {
        places[*id as usize * words + at / 64] |= 1 << (at % 64);
    }
    let mut column = vec![u64::MAX; words];
    for id in long {
        let start = *id as usize * words;
        if let Some(places) = places.get(start..start + words) {
            advance(&mut column, places);
        }
    }
    lengths(&column)
}

/// A sequence that others are compared with.
pub(crate) struct Sequence<'a> {
    ids: &'a [u32],
    /// The last place of each id, from 1.
    last: FastMap<u32, usize>,
    /// For each place the previous one of the same id, from 1; 0 if there is none.
    previous: Vec<usize>,
    /// The places of ids that occur more often than a column has words, as bits: at most 64 of them.
    frequent: FastMap<u32, Column>,
}

/// A column of the table: a zero bit marks a place of the sequence where the length grows.
type Column = Vec<u64>;

impl<'a> Sequence<'a> {
    pub(crate) fn new(ids: &'a [u32]) -> Self {
        let mut last = FastMap::default();
        let previous = ids.iter().zip(1..).map(|(id, at)| last.insert(*id, at).unwrap_or(0));
        let previous = previous.collect();
        let mut sequence = Self { ids, last, previous, frequent: FastMap::default() };
        sequence.frequent = sequence.columns_of_frequent();
        sequence
    }

    fn columns_of_frequent(&self) -> FastMap<u32, Column> {
        let words = self.ids.len().div_ceil(64);
        if words < 16 {
            return FastMap::default(); // going over the places is as fast
        }
        let mut counts: FastMap<u32, usize> = FastMap::default();
        self.ids.iter().for_each(|id| *counts.entry(*id).or_default() += 1);
        let frequent = counts.into_iter().filter(|(_, count)| *count > words);
        let column = |(id, _)| {
            let mut column = self.first_mask();
            self.mark(self.last.get(&id).copied().unwrap_or(0), &mut column);
            (id, column)
        };
        frequent.map(column).collect()
    }

    /// The length of the longest common subsequence.
    fn common(&self, other: &[u32]) -> u64 {
        let (mut column, mut mask) = (self.first_column(), self.first_mask());
        other.iter().for_each(|id| self.step(*id, &mut column, &mut mask));
        lengths(&column)
    }

    /// Calls `found` with the places of one longest common subsequence: rouge_score's, which at a tie leaves a token of this
    /// sequence out rather than one of `other`.
    pub(crate) fn places(&self, other: &[u32], mut found: impl FnMut(usize)) {
        let mut mask = self.first_mask();
        let mut kept = vec![self.first_column()];
        let mut column = self.first_column();
        for (at, id) in other.iter().enumerate() {
            self.step(*id, &mut column, &mut mask);
            if (at + 1).is_multiple_of(KEPT) {
                kept.push(column.clone());
            }
        }
        let (mut i, mut j) = (self.ids.len(), other.len());
        // The columns behind the last kept one that is not behind `j`.
        let mut columns: Vec<Column> = Vec::new();
        while i > 0 && j > 0 {
            let block = (j - 1) / KEPT;
            if let Some(start) = kept.get(block) {
                columns.clear();
                let mut column = start.clone();
                for id in other.iter().take(j).skip(block * KEPT) {
                    self.step(*id, &mut column, &mut mask);
                    columns.push(column.clone());
                }
            }
            while i > 0 && j > block * KEPT {
                if self.ids.get(i - 1) == other.get(j - 1) {
                    found(i - 1);
                    (i, j) = (i - 1, j - 1);
                } else if grows(&columns, j - 1 - block * KEPT, i - 1) {
                    j -= 1;
                } else {
                    i -= 1;
                }
            }
        }
    }

    fn first_column(&self) -> Column {
        vec![u64::MAX; self.ids.len().div_ceil(64)]
    }

    fn first_mask(&self) -> Column {
        vec![0; self.ids.len().div_ceil(64)]
    }

    /// The next column; `mask` is all zero before and after.
    fn step(&self, id: u32, column: &mut [u64], mask: &mut [u64]) {
        let Some(last) = self.last.get(&id) else { return };
        if let Some(places) = self.frequent.get(&id) {
            return advance(column, places);
        }
        self.mark(*last, mask);
        advance(column, mask);
        self.mark(*last, mask);
    }

    /// Turns over the bits of all places of the id whose last place this is.
    fn mark(&self, last: usize, mask: &mut [u64]) {
        let mut at = last;
        while let Some(place) = at.checked_sub(1) {
            if let Some(bits) = mask.get_mut(place / 64) {
                *bits ^= 1 << (place % 64);
            }
            at = self.previous.get(place).copied().unwrap_or(0);
        }
    }
}

/// The column behind one, of the places of the sequence that have the next id.
fn advance(column: &mut [u64], places: &[u64]) {
    let mut carry = false;
    for (bits, mask) in column.iter_mut().zip(places) {
        let matched = *bits & mask;
        let (sum, one) = bits.overflowing_add(matched);
        let (sum, two) = sum.overflowing_add(u64::from(carry));
        carry = one || two;
        *bits = sum | (*bits & !mask);
    }
}

fn lengths(column: &[u64]) -> u64 {
    column.iter().map(|bits| u64::from(bits.count_zeros())).sum()
}

fn grows(columns: &[Column], column: usize, place: usize) -> bool {
    let bits = columns.get(column).and_then(|column| column.get(place / 64));
    bits.is_some_and(|bits| bits >> (place % 64) & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(a: &[u32], b: &[u32]) -> Vec<Vec<u64>> {
        let mut lengths = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                lengths[i][j] = if a[i - 1] == b[j - 1] {
                    lengths[i - 1][j - 1] + 1
                } else {
                    lengths[i - 1][j].max(lengths[i][j - 1])
                };
            }
        }
        lengths
    }

    /// `_backtrack_norec` of rouge_score.
    fn backtrack(table: &[Vec<u64>], a: &[u32], b: &[u32]) -> Vec<usize> {
        let (mut i, mut j, mut places) = (a.len(), b.len(), Vec::new());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                places.push(i - 1);
                (i, j) = (i - 1, j - 1);
            } else if table[i][j - 1] > table[i - 1][j] {
                j -= 1;
            } else {
                i -= 1;
            }
        }
        places
    }

    #[test]
    fn the_subsequence_is_the_tables() {
        let mut state = 1_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for round in 0..300 {
            let most = if round % 20 == 0 { 1_500 } else { 150 };
            let mut ids =
                || -> Vec<u32> { (0..next(most)).map(|_| next(2 + round % 9) as u32).collect() };
            let (a, b) = (ids(), ids());
            let table = table(&a, &b);
            let sequence = Sequence::new(&a);
            assert_eq!(sequence.common(&b), table[a.len()][b.len()], "{a:?} {b:?}");
            assert_eq!(common_length(&a, &b), table[a.len()][b.len()], "{a:?} {b:?}");
            let mut places = Vec::new();
            sequence.places(&b, |place| places.push(place));
            assert_eq!(places, backtrack(&table, &a, &b), "{a:?} {b:?}");
        }
    }
}
