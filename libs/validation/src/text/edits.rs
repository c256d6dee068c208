//! The number of edits of TER (Snover et al., 2006): insertions, deletions, substitutions and shifts of words, found as sacrebleu
//! 2.6.0's `lib_ter.py` finds them. Its limits and heuristics are Tercom's, and part of the definition.

const MAX_SHIFT_SIZE: usize = 10;
const MAX_SHIFT_DISTANCE: usize = 50;
const MAX_SHIFT_CANDIDATES: usize = 1_000;
const BEAM_WIDTH: usize = 25;

/// A cell that the beam does not reach.
const INFINITE: u64 = 1 << 53;

/// How many edits make `reference` of `text`.
pub(crate) fn edits(text: &[u32], reference: &[u32]) -> u64 {
    if reference.is_empty() {
        return text.len() as u64;
    }
    let mut text = text.to_vec();
    let (mut shifts, mut candidates) = (0, 0);
    loop {
        let table = Table::new(&text, reference);
        let best = best_shift(&table, &mut candidates);
        match best {
            Some(shift) if candidates < MAX_SHIFT_CANDIDATES && shift.gain > 0 => {
                text = shifted(&text, &shift);
                shifts += 1;
            }
            _ => return shifts + table.distance(),
        }
    }
}

/// A move of words within the text.
struct Shift {
    /// By how much it lessens the distance.
    gain: i64,
    start: usize,
    length: usize,
    /// Before which word it moves them.
    target: usize,
}

impl Shift {
    /// Tercom's order: the best is the one that gains most, then the longest, then the earliest, then the one with the earliest target.
    fn rank(&self) -> (i64, usize, std::cmp::Reverse<usize>, std::cmp::Reverse<usize>) {
        use std::cmp::Reverse;
        (self.gain, self.length, Reverse(self.start), Reverse(self.target))
    }
}

fn shifted(text: &[u32], shift: &Shift) -> Vec<u32> {
    let &Shift { start, length, target, .. } = shift;
    let mut words = text.to_vec();
    if target < start {
        words[target..start + length].rotate_right(length);
    } else if target > start + length {
        words[start..target].rotate_left(length);
    } else {
        let end = (length + target).min(words.len());
        words[start..end].rotate_left(length);
    }
    words
}

fn best_shift(table: &Table<'_>, candidates: &mut usize) -> Option<Shift> {
    let Table { words: text, reference, .. } = *table;
    let alignment = table.alignment();
    let mut best: Option<Shift> = None;
    for start in 0..text.len() {
        let nearest = start.saturating_sub(MAX_SHIFT_DISTANCE);
        let places = nearest..(start + MAX_SHIFT_DISTANCE + 1).min(reference.len());
        for place in places {
            let equal = text[start..].iter().zip(&reference[place..]).take(MAX_SHIFT_SIZE);
            let longest = equal.take_while(|(a, b)| a == b).count();
            for length in 1..=longest {
                // Only words that are wrong move, and only to where the reference is not matched.
                let wrong = |errors: &[bool], at| errors[at..at + length].contains(&true);
                let aligned = alignment.places[place];
                let inside = (start as i64..(start + length) as i64).contains(&aligned);
                if inside
                    || !wrong(&alignment.text_errors, start)
                    || !wrong(&alignment.reference_errors, place)
                {
                    continue;
                }
                let mut previous = None;
                for offset in 0..=length {
                    // Before the first word, then behind the word that each place is aligned with.
                    let target = match (place + offset).checked_sub(1) {
                        None => 0,
                        Some(at) if at < reference.len() => (alignment.places[at] + 1) as usize,
                        Some(_) => break,
                    };
                    if previous == Some(target) {
                        continue;
                    }
                    previous = Some(target);
                    let mut shift = Shift { gain: 0, start, length, target };
                    let words = shifted(text, &shift);
                    shift.gain = table.distance() as i64 - table.distance_to(&words) as i64;
                    *candidates += 1;
                    if best.as_ref().is_none_or(|best| shift.rank() > best.rank()) {
                        best = Some(shift);
                    }
                }
                if *candidates >= MAX_SHIFT_CANDIDATES {
                    return best;
                }
            }
        }
    }
    best
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Edit {
    Keep,
    Substitute,
    Delete,
    Insert,
}

/// A row of the table of distances: the cells from `first` on, all others being infinite.
#[derive(Debug, Clone, Default, PartialEq)]
struct Row {
    first: usize,
    costs: Vec<u64>,
}

impl Row {
    fn cost(&self, at: usize) -> u64 {
        at.checked_sub(self.first).and_then(|at| self.costs.get(at)).copied().unwrap_or(INFINITE)
    }
}

/// The table of edit distances between the beginnings of a text and of the reference, within a beam around the diagonal.
struct Table<'r> {
    words: &'r [u32],
    reference: &'r [u32],
    rows: Vec<Row>,
    beam: Beam,
}

/// Which cells of a row are looked at.
#[derive(Clone, Copy)]
struct Beam {
    /// Words of the reference for each of the text.
    ratio: f64,
    width: usize,
    /// Words of the text.
    last: usize,
    reference: usize,
}

impl Beam {
    fn new(text: usize, reference: usize) -> Self {
        let ratio = if text == 0 { 1.0 } else { reference as f64 / text as f64 };
        // With very different lengths the beam of one row would not touch that of the next.
        let width = if (BEAM_WIDTH as f64) < ratio / 2.0 {
            (ratio / 2.0 + BEAM_WIDTH as f64).ceil() as usize
        } else {
            BEAM_WIDTH
        };
        Self { ratio, width, last: text, reference }
    }

    fn of_row(&self, i: usize) -> std::ops::Range<usize> {
        let diagonal = (i as f64 * self.ratio).floor() as usize;
        let end = if i == self.last { usize::MAX } else { diagonal + self.width };
        diagonal.saturating_sub(self.width)..end.min(self.reference + 1)
    }
}

impl<'r> Table<'r> {
    fn new(words: &'r [u32], reference: &'r [u32]) -> Self {
        let beam = Beam::new(words.len(), reference.len());
        let mut rows = Vec::with_capacity(words.len() + 1);
        rows.push(Row { first: 0, costs: (0..=reference.len() as u64).collect() });
        for (i, word) in words.iter().enumerate() {
            let mut row = Row::default();
            if let Some(above) = rows.last() {
                next_row(&mut row, above, beam.of_row(i + 1), *word, reference);
            }
            rows.push(row);
        }
        Self { words, reference, rows, beam }
    }

    fn distance(&self) -> u64 {
        self.rows.last().map_or(INFINITE, |row| row.cost(self.reference.len()))
    }

    /// The distance of the table's words in another order.
    fn distance_to(&self, words: &[u32]) -> u64 {
        let text = self.words;
        let same = |(a, b): (&u32, &u32)| a == b;
        let before = text.iter().zip(words).take_while(|pair| same(*pair)).count();
        let after =
            text.iter().rev().zip(words.iter().rev()).take_while(|pair| same(*pair)).count();
        let changed = text.len().saturating_sub(after);
        let mut above = self.rows[before].clone();
        let mut row = Row::default();
        for (i, word) in words.iter().enumerate().skip(before) {
            next_row(&mut row, &above, self.beam.of_row(i + 1), *word, self.reference);
            std::mem::swap(&mut row, &mut above);
            // Behind the words that moved, equal rows stay equal.
            if i + 1 >= changed && above == self.rows[i + 1] {
                return self.distance();
            }
        }
        above.cost(self.reference.len())
    }

    /// Which edit led to a cell: of equally good ones keep or substitute, then delete, then insert.
    fn edit(&self, i: usize, j: usize) -> Edit {
        match (i, j) {
            (0, _) => return Edit::Insert,
            (_, 0) => return Edit::Delete,
            _ => {}
        }
        let cost = self.rows[i].cost(j);
        let different = u64::from(self.words[i - 1] != self.reference[j - 1]);
        if self.rows[i - 1].cost(j - 1) + different == cost {
            if different == 0 { Edit::Keep } else { Edit::Substitute }
        } else if self.rows[i - 1].cost(j) + 1 == cost {
            Edit::Delete
        } else {
            Edit::Insert
        }
    }
}

/// Computes the cells `beam` of the row below `above`.
fn next_row(
    row: &mut Row,
    above: &Row,
    beam: std::ops::Range<usize>,
    word: u32,
    reference: &[u32],
) {
    row.first = beam.start;
    row.costs.clear();
    let mut left = INFINITE;
    let mut diagonal = beam.start.checked_sub(1).map_or(INFINITE, |j| above.cost(j));
    for j in beam {
        let up = above.cost(j);
        let cost = match j.checked_sub(1).and_then(|j| reference.get(j)) {
            None => up + 1,
            Some(other) => {
                let different = u64::from(*other != word);
                (diagonal + different).min(up + 1).min(left + 1).min(INFINITE)
            }
        };
        row.costs.push(cost);
        (left, diagonal) = (cost, up);
    }
}

/// Which words stand for which.
struct Alignment {
    /// For each word of the reference the last word of the text that stands before or for it; −1 before the first.
    places: Vec<i64>,
    text_errors: Vec<bool>,
    reference_errors: Vec<bool>,
}

impl Table<'_> {
    /// The edits from the first words to the last.
    fn trace(&self) -> Vec<Edit> {
        let (mut i, mut j) = (self.rows.len() - 1, self.reference.len());
        let mut edits = Vec::with_capacity(i + j);
        while i > 0 || j > 0 {
            let edit = self.edit(i, j);
            match edit {
                Edit::Keep | Edit::Substitute => (i, j) = (i - 1, j - 1),
                Edit::Delete => i -= 1,
                Edit::Insert => j -= 1,
            }
            edits.push(edit);
        }
        edits.reverse();
        edits
    }

    fn alignment(&self) -> Alignment {
        let mut alignment =
            Alignment { places: Vec::new(), text_errors: Vec::new(), reference_errors: Vec::new() };
        let mut place = -1;
        for edit in self.trace() {
            let wrong = edit != Edit::Keep;
            if edit != Edit::Insert {
                place += 1;
                alignment.text_errors.push(wrong);
            }
            if edit != Edit::Delete {
                alignment.places.push(place);
                alignment.reference_errors.push(wrong);
            }
        }
        alignment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_one_edit() {
        assert_eq!(edits(&[], &[]), 0);
        assert_eq!(edits(&[1, 2], &[]), 2);
        assert_eq!(edits(&[], &[1, 2]), 2);
        assert_eq!(edits(&[1, 2, 3], &[1, 2, 3]), 0);
        assert_eq!(edits(&[1, 2, 3, 4], &[3, 4, 1, 2]), 1);
        assert_eq!(edits(&[1, 2, 3, 4, 5], &[9, 3, 4, 5, 1, 2]), 2);
    }
}
