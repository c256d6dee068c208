//! The candidates of a row in their order, (logit descending, id ascending), sorted only as far as they are asked for.

use super::LogitsRow;

/// Sizes to which the sorted prefix grows before everything is sorted: most draws fall within the first.
const STEPS: [usize; 2] = [256, 4096];

/// A candidate as one integer whose order is the candidates' order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

impl Candidate {
    pub(super) fn new(logit: f32, id: usize) -> Candidate {
        // −0 + 0 is +0: equal logits must have equal keys.
        let bits = (logit + 0.0).to_bits();
        let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        Candidate(u64::from(!ascending) << 32 | id as u64)
    }

    pub(super) fn id(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn logit(self) -> f32 {
        let ascending = !((self.0 >> 32) as u32);
        f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
    }
}

/// Buffers that are reused from row to row.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    candidates: Vec<Candidate>,
    block_max: Vec<Candidate>,
}

/// The candidates of one row. The row has no NaN.
#[derive(Debug)]
pub(super) struct Ranking<'a> {
    row: LogitsRow<'a>,
    buffers: &'a mut Buffers,
    /// How many candidates, from the first, are in their place.
    sorted: usize,
    /// Whether `buffers.candidates` holds all of the row.
    complete: bool,
}

impl<'a> Ranking<'a> {
    pub(super) fn new(row: LogitsRow<'a>, buffers: &'a mut Buffers) -> Ranking<'a> {
        buffers.candidates.clear();
        Ranking { row, buffers, sorted: 0, complete: false }
    }

    /// The logits, in the order of ids.
    pub(super) fn values(&self) -> &'a [f32] {
        self.row.values
    }

    /// Number of candidates.
    pub(super) fn len(&self) -> usize {
        self.row.values.len()
    }

    /// The first `count` candidates (all, if there are fewer).
    pub(super) fn first(&mut self, count: usize) -> &[Candidate] {
        let count = count.min(self.len());
        if count > self.sorted {
            self.sort(count);
        }
        &self.buffers.candidates[..count]
    }

    /// The candidate of that rank, from 0; sorts ahead.
    pub(super) fn get(&mut self, rank: usize) -> Option<Candidate> {
        if rank >= self.sorted && rank < self.len() {
            let step = STEPS.into_iter().find(|&step| step > rank);
            self.sort(step.unwrap_or(usize::MAX).min(self.len()));
        }
        self.buffers.candidates.get(rank).copied()
    }

    /// Puts at least the first `count` into their places; `count` is at most the row's length.
    fn sort(&mut self, count: usize) {
        if count <= self.row.block_max.len() && !self.complete {
            self.gather_from_blocks(count);
            self.buffers.candidates.sort_unstable();
            self.sorted = self.buffers.candidates.len();
            return;
        }
        let candidates = &mut self.buffers.candidates;
        if !self.complete {
            candidates.clear();
            candidates.extend(
                self.row.values.iter().enumerate().map(|(id, &logit)| Candidate::new(logit, id)),
            );
            (self.complete, self.sorted) = (true, 0);
        }
        let rest = &mut candidates[self.sorted..];
        let wanted = count - self.sorted;
        if wanted < rest.len() {
            rest.select_nth_unstable(wanted);
        }
        rest[..wanted].sort_unstable();
        self.sorted = count;
    }

    /// Collects the `count` first candidates and those that equal or follow the last of them closely: the `count`-th
    /// largest block maximum is reached by `count` values at least, so nothing below it can be among them.
    fn gather_from_blocks(&mut self, count: usize) {
        let Buffers { candidates, block_max } = &mut *self.buffers;
        block_max.clear();
        block_max.extend(self.row.block_max.iter().map(|&maximum| Candidate::new(maximum, 0)));
        let (_, threshold, _) = block_max.select_nth_unstable(count - 1);
        let threshold = threshold.logit();
        candidates.clear();
        let mut first_id = 0;
        for (values, maximum) in self.row.blocks() {
            if maximum >= threshold {
                let reaching = values.iter().enumerate().filter(|&(_, &value)| value >= threshold);
                candidates.extend(
                    reaching.map(|(column, &value)| Candidate::new(value, first_id + column)),
                );
            }
            first_id += values.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LOGITS_BLOCK;
    use crate::sampling::block_maximum;
    use proptest::prelude::*;

    fn sorted(values: &[f32]) -> Vec<(f32, u32)> {
        let mut all: Vec<(f32, u32)> = values.iter().copied().zip(0..).collect();
        all.sort_by(|(a, i), (b, j)| b.partial_cmp(a).expect("no NaN").then(i.cmp(j)));
        all
    }

    fn pairs(candidates: &[Candidate]) -> Vec<(f32, u32)> {
        candidates.iter().map(|candidate| (candidate.logit(), candidate.id())).collect()
    }

    proptest! {
        #[test]
        fn every_prefix_is_that_of_a_full_sort(
            coarse in prop::collection::vec(-40i8..40, 1..3000),
            counts in prop::collection::vec(1usize..3200, 1..4),
        ) {
            // Coarse values make many ties; −0 and +0 among them.
            let values: Vec<f32> = coarse.iter().map(|&v| if v == -1 { -0.0 } else { f32::from(v) * 0.5 }).collect();
            let block_max: Vec<f32> = values.chunks(LOGITS_BLOCK).map(block_maximum).collect();
            let mut buffers = Buffers::default();
            let mut ranking = Ranking::new(LogitsRow { values: &values, block_max: &block_max }, &mut buffers);
            let expect = sorted(&values);
            for count in counts {
                let count = count.min(values.len());
                prop_assert_eq!(&pairs(ranking.first(count)), &expect[..count]);
                let next = ranking.get(count).map(|candidate| (candidate.logit(), candidate.id()));
                prop_assert_eq!(next, expect.get(count).copied());
            }
        }
    }

    #[test]
    fn a_candidate_keeps_every_logit_but_the_sign_of_zero() {
        for logit in
            [f32::NEG_INFINITY, f32::MIN, -1.5, -1e-40, 0.0, 1e-40, 3.25, f32::MAX, f32::INFINITY]
        {
            assert_eq!(Candidate::new(logit, 7).logit().to_bits(), logit.to_bits());
            assert_eq!(Candidate::new(logit, 7).id(), 7);
        }
        assert_eq!(Candidate::new(-0.0, 1), Candidate::new(0.0, 1));
    }
}
