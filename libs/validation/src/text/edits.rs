//! The number of edits of TER (Snover et al., 2006): insertions, deletions, substitutions and shifts of words, found as sacrebleu
//! 2.6.0's `lib_ter.py` finds them. Its limits and heuristics are Tercom's, and part of the definition.

const MAX_SHIFT_SIZE: usize = 10;
const MAX_SHIFT_DISTANCE: usize = 50;
const MAX_SHIFT_CANDIDATES: usize = 1_000;
const BEAM_WIDTH: usize = 25;

/// Words of the text or of the reference up to which shifts are looked for. Beyond, the other edits are counted in one pass: the oracle
/// would take hours and more memory than there is.
const MAX_SHIFTED: usize = 65_536;

/// A cell that the beam does not reach. No text has so many words.
const INFINITE: u32 = 1 << 30;

/// How many edits make `reference` of `text`.
pub(crate) fn edits(text: &[u32], reference: &[u32]) -> u64 {
    if reference.is_empty() {
        return text.len() as u64;
    }
    if text.len().max(reference.len()) > MAX_SHIFTED {
        return edits_without_shifts(text, reference);
    }
    let mut table = Table::new(text.to_vec(), reference);
    let (mut shifts, mut candidates) = (0, 0);
    loop {
        match best_shift(&table, &mut candidates) {
            Some(shift) if candidates < MAX_SHIFT_CANDIDATES && shift.gain > 0 => {
                table.shift(&shift);
                shifts += 1;
            }
            _ => return shifts + u64::from(table.distance()),
        }
    }
}

fn edits_without_shifts(text: &[u32], reference: &[u32]) -> u64 {
    let beam = Beam::new(text.len(), reference.len());
    let (mut row, mut above) = (Row::default(), Row::first(reference.len()));
    for (i, word) in text.iter().enumerate() {
        next_row(&mut row, &above, beam.of_row(i + 1), *word, reference);
        std::mem::swap(&mut row, &mut above);
    }
    u64::from(above.cost(reference.len()))
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

impl Shift {
    /// Writes the words of the part of the text that changes into `window`, as they then stand, and says where they begin.
    fn apply(&self, text: &[u32], window: &mut Vec<u32>) -> usize {
        let &Shift { start, length, target, .. } = self;
        window.clear();
        if target < start {
            window.extend_from_slice(&text[target..start + length]);
            window.rotate_right(length);
            return target;
        }
        let end = if target > start + length { target } else { (length + target).min(text.len()) };
        window.extend_from_slice(&text[start..end]);
        window.rotate_left(length);
        start
    }
}

fn best_shift(table: &Table<'_>, candidates: &mut usize) -> Option<Shift> {
    let Table { words: text, reference, .. } = table;
    let alignment = table.alignment();
    let mut best: Option<Shift> = None;
    let mut scratch = Scratch::default();
    for start in 0..text.len() {
        // Only words that are wrong move.
        if !alignment.is_wrong_from(start) {
            continue;
        }
        let nearest = start.saturating_sub(MAX_SHIFT_DISTANCE);
        let places = nearest..(start + MAX_SHIFT_DISTANCE + 1).min(reference.len());
        for place in places {
            let equal = text[start..].iter().zip(&reference[place..]).take(MAX_SHIFT_SIZE);
            let longest = equal.take_while(|(a, b)| a == b).count();
            for length in 1..=longest {
                // And only to where the reference is not matched.
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
                    let distance = table.distance_with(&shift, &mut scratch);
                    shift.gain = i64::from(table.distance()) - i64::from(distance);
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

/// Room for one candidate after the other.
#[derive(Default)]
struct Scratch {
    window: Vec<u32>,
    above: Row,
    row: Row,
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
    costs: Vec<u32>,
}

impl Row {
    /// The row of no words.
    fn first(reference: usize) -> Self {
        Self { first: 0, costs: (0..=reference as u32).collect() }
    }

    fn cost(&self, at: usize) -> u32 {
        at.checked_sub(self.first).and_then(|at| self.costs.get(at)).copied().unwrap_or(INFINITE)
    }
}

/// The table of edit distances between the beginnings of a text and of the reference, within a beam around the diagonal.
struct Table<'r> {
    words: Vec<u32>,
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
    fn new(words: Vec<u32>, reference: &'r [u32]) -> Self {
        let beam = Beam::new(words.len(), reference.len());
        let mut rows = Vec::with_capacity(words.len() + 1);
        rows.push(Row::first(reference.len()));
        for (i, word) in words.iter().enumerate() {
            let mut row = Row::default();
            if let Some(above) = rows.last() {
                next_row(&mut row, above, beam.of_row(i + 1), *word, reference);
            }
            rows.push(row);
        }
        Self { words, reference, rows, beam }
    }

    fn distance(&self) -> u32 {
        self.rows.last().map_or(INFINITE, |row| row.cost(self.reference.len()))
    }

    /// The distance if the shift were made.
    fn distance_with(&self, shift: &Shift, scratch: &mut Scratch) -> u32 {
        let Scratch { window, above, row } = scratch;
        let start = shift.apply(&self.words, window);
        let behind = start + window.len();
        let words = window.iter().chain(&self.words[behind..]);
        for (i, word) in (start..).zip(words) {
            let over = if i == start { &self.rows[start] } else { &*above };
            next_row(row, over, self.beam.of_row(i + 1), *word, self.reference);
            // Behind the words that moved, equal rows stay equal.
            if i + 1 >= behind && *row == self.rows[i + 1] {
                return self.distance();
            }
            std::mem::swap(row, above);
        }
        above.cost(self.reference.len())
    }

    /// Makes the shift.
    fn shift(&mut self, shift: &Shift) {
        let mut window = Vec::new();
        let start = shift.apply(&self.words, &mut window);
        let behind = start + window.len();
        self.words[start..behind].copy_from_slice(&window);
        for i in start..self.words.len() {
            let mut row = Row::default();
            let beam = self.beam.of_row(i + 1);
            next_row(&mut row, &self.rows[i], beam, self.words[i], self.reference);
            if i + 1 >= behind && row == self.rows[i + 1] {
                return;
            }
            self.rows[i + 1] = row;
        }
    }

    /// Which edit led to a cell: of equally good ones keep or substitute, then delete, then insert.
    fn edit(&self, i: usize, j: usize) -> Edit {
        match (i, j) {
            (0, _) => return Edit::Insert,
            (_, 0) => return Edit::Delete,
            _ => {}
        }
        let cost = self.rows[i].cost(j);
        let different = u32::from(self.words[i - 1] != self.reference[j - 1]);
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
                let different = u32::from(*other != word);
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

impl Alignment {
    /// Whether one of the words that could move together from `start` on is wrong.
    fn is_wrong_from(&self, start: usize) -> bool {
        self.text_errors[start..].iter().take(MAX_SHIFT_SIZE).any(|wrong| *wrong)
    }
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

    #[test]
    fn very_long_texts_are_compared_without_shifts() {
        let reference: Vec<u32> = (0..200_000).map(|i| i % 977).collect();
        assert_eq!(edits(&reference, &reference), 0);
        let mut text = reference.clone();
        text[500..504].rotate_left(2);
        text.remove(100_000);
        // Where a shift would be one edit, two words are deleted and inserted.
        assert_eq!(edits(&text, &reference), 5);
        assert_eq!(edits(&[1], &reference), 199_999);
        assert_eq!(edits(&reference, &[1]), 199_999);
    }
}
