//! A model without weights, for tests of everything above the [`Model`] contract.
//!
//! It keeps tokens in its pages where a real one keeps keys and values, reads each row's history back from them, and
//! derives the logits from that. So a wrong page table, a missing copy, a page written by two sequences or read before
//! it was written is an error or another text, as it would be with a real model.

use super::batch;
use crate::model::{Batch, LOGITS_BLOCK, Logits, Model, ModelError, ModelInfo, PageCopy, Span};

/// Name of its arithmetic.
const NUMERICS: &str = "fake";

/// What its logits are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FakeLogits {
    /// A hash of the whole history: the text is noise, and any mistake shows.
    History,
    /// The likeliest token is the last one plus 1: the text can be foretold.
    Successor,
    /// Tokens 16 to 23 are likely to follow each other in an order, the rest is noise of the whole history: the text
    /// repeats itself for a while. For a vocabulary of at least 24.
    Habit,
}

/// Sizes and habits of a [`FakeModel`].
#[derive(Debug, Clone)]
pub struct FakeConfig {
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Longest sequence.
    pub context_tokens: usize,
    /// Tokens of a page.
    pub page_tokens: usize,
    /// Most rows of a step.
    pub max_rows: usize,
    /// What the logits are made of.
    pub logits: FakeLogits,
    /// Most pages that can be reserved.
    pub max_pages: u32,
    /// What it says of its rows; they never depend on each other.
    pub batch_invariant: bool,
    /// A token after which all logits are NaN.
    pub nan_token: Option<u32>,
    /// A token that makes a step with it fail.
    pub error_token: Option<u32>,
    /// A token that makes a step with it panic.
    pub panic_token: Option<u32>,
}

impl Default for FakeConfig {
    fn default() -> FakeConfig {
        FakeConfig {
            vocab_size: 300,
            context_tokens: 256,
            page_tokens: 16,
            max_rows: 64,
            logits: FakeLogits::History,
            max_pages: u32::MAX,
            batch_invariant: true,
            nan_token: None,
            error_token: None,
            panic_token: None,
        }
    }
}

/// A stored token.
#[derive(Debug, Clone, Copy)]
struct Slot {
    token: u32,
    position: usize,
    /// The step that wrote it.
    step: u64,
}

/// A model that remembers tokens.
#[derive(Debug)]
pub struct FakeModel {
    info: ModelInfo,
    config: FakeConfig,
    slots: Vec<Option<Slot>>,
    step: u64,
}

impl FakeModel {
    /// A model with no pages yet.
    pub fn new(config: FakeConfig) -> FakeModel {
        let info = ModelInfo {
            vocab_size: config.vocab_size.max(1),
            context_tokens: config.context_tokens,
            page_tokens: config.page_tokens.max(1),
            page_bytes: config.page_tokens.max(1) * size_of::<Option<Slot>>(),
            max_rows: config.max_rows.max(1),
            numerics: NUMERICS.to_owned(),
            batch_invariant: config.batch_invariant,
        };
        FakeModel { info, config, slots: Vec::new(), step: 0 }
    }

    /// The logits that follow a history.
    pub fn logits_after(&self, history: &[u32]) -> Vec<f32> {
        let last = history.last().copied().unwrap_or(0);
        let vocab_size = self.info.vocab_size;
        if self.config.nan_token == Some(last) {
            return vec![f32::NAN; vocab_size];
        }
        let successor = (last as usize + 1) % vocab_size;
        let hash =
            history.iter().fold(history.len() as u64, |hash, &token| mix(hash ^ u64::from(token)));
        let habit = 16 + (last as usize * 5 + 3) % 8;
        let logit = |column: usize| match self.config.logits {
            FakeLogits::Successor if column == successor => 30.0,
            FakeLogits::Habit if column == habit => 17.0,
            // 1/1024 apart, so that some are equal.
            _ => (mix(hash ^ (column as u64) << 32) >> 52) as f32 / 1024.0 * 3.0,
        };
        (0..vocab_size).map(logit).collect()
    }

    fn pages(&self) -> u32 {
        (self.slots.len() / self.info.page_tokens) as u32
    }

    fn slot(&self, pages: &[u32], position: usize) -> Option<usize> {
        let page = *pages.get(position / self.info.page_tokens)?;
        Some(page as usize * self.info.page_tokens + position % self.info.page_tokens)
    }

    fn store(&mut self, span: &Span<'_>, tokens: &[u32]) {
        for (position, &token) in (span.first_position..).zip(tokens) {
            let step = self.step;
            let slot = self.slot(span.pages, position).and_then(|slot| self.slots.get_mut(slot));
            if let Some(slot) = slot {
                *slot = Some(Slot { token, position, step });
            }
        }
    }

    /// All tokens of a span's sequence up to its end, from the pages.
    fn history(&self, span: &Span<'_>) -> Result<Vec<u32>, ModelError> {
        let read = |position| {
            let slot = self.slot(span.pages, position);
            let problem = match slot.and_then(|slot| *self.slots.get(slot)?) {
                None => "was never written".to_owned(),
                Some(slot) if slot.position != position => {
                    format!("holds position {}", slot.position)
                }
                Some(slot) if position < span.first_position && slot.step == self.step => {
                    "is written by another span of this step".to_owned()
                }
                Some(slot) => return Ok(slot.token),
            };
            Err(ModelError::Batch(format!("the slot of position {position} {problem}")))
        };
        (0..span.first_position + span.rows).map(read).collect()
    }

    fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        let has = |token: Option<u32>| token.is_some_and(|token| tokens.contains(&token));
        assert!(!has(self.config.panic_token), "a token that the fake model panics at");
        match has(self.config.error_token) {
            true => Err(ModelError::Device("a token that the fake model fails at".to_owned())),
            false => Ok(()),
        }
    }
}

impl Model for FakeModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn reserve(&mut self, pages: u32) -> Result<(), ModelError> {
        if pages > self.config.max_pages {
            return Err(ModelError::Memory { pages, page_bytes: self.info.page_bytes });
        }
        let slots = pages as usize * self.info.page_tokens;
        self.slots.resize(slots.max(self.slots.len()), None);
        Ok(())
    }

    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), ModelError> {
        batch::check_copies(copies, &self.info, self.pages())?;
        // From what was before all of them: the contract promises no order.
        let before = self.slots.clone();
        for copy in copies {
            let [from, to] = [copy.from, copy.to].map(|page| page as usize * self.info.page_tokens);
            self.slots[to..][..copy.tokens].copy_from_slice(&before[from..][..copy.tokens]);
        }
        Ok(())
    }

    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Logits) -> Result<(), ModelError> {
        logits.rows = batch::check(batch, &self.info, self.pages())?;
        logits.values.clear();
        logits.block_max.clear();
        self.check_tokens(batch.tokens)?;
        self.step += 1;
        let mut rest = batch.tokens;
        for span in batch.spans {
            let (tokens, others) = rest.split_at(span.rows);
            self.store(span, tokens);
            rest = others;
        }
        for span in batch.spans {
            let history = self.history(span)?;
            for end in history.len() - batch::output_rows(span)..history.len() {
                let row = self.logits_after(&history[..=end]);
                let maximum = |block: &[f32]| {
                    block
                        .iter()
                        .copied()
                        .fold(f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a })
                };
                logits.block_max.extend(row.chunks(LOGITS_BLOCK).map(maximum));
                logits.values.extend(row);
            }
        }
        Ok(())
    }
}

/// SplitMix64's finaliser.
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outputs;

    fn model() -> FakeModel {
        let mut model = FakeModel::new(FakeConfig { page_tokens: 2, ..FakeConfig::default() });
        model.reserve(4).expect("four small pages");
        model
    }

    fn forward(model: &mut FakeModel, parts: &[(&[u32], usize, &[u32])]) -> Result<Logits, String> {
        let tokens: Vec<u32> = parts.iter().flat_map(|(tokens, ..)| *tokens).copied().collect();
        let span = |&(tokens, first_position, pages): &(&[u32], usize, _)| {
            let outputs = Outputs::Last;
            Span { rows: tokens.len(), first_position, pages, outputs }
        };
        let spans: Vec<Span<'_>> = parts.iter().map(span).collect();
        let mut logits = Logits::default();
        let done = model.forward(&Batch { tokens: &tokens, spans: &spans }, &mut logits);
        done.map(|()| logits).map_err(|error| error.to_string())
    }

    #[test]
    fn logits_follow_from_the_whole_history_however_it_came() {
        let mut model = model();
        let whole = forward(&mut model, &[(&[7, 8, 9], 0, &[0, 1])]).expect("valid");
        assert_eq!(whole.values, model.logits_after(&[7, 8, 9]));
        assert_ne!(whole.values, model.logits_after(&[6, 8, 9]));
        forward(&mut model, &[(&[7, 8], 0, &[3, 2])]).expect("valid");
        let parts = forward(&mut model, &[(&[9], 2, &[3, 2])]).expect("valid");
        assert_eq!(parts.values, whole.values);
        model.copy_pages(&[PageCopy { from: 3, to: 1, tokens: 1 }]).expect("valid");
        let copied = forward(&mut model, &[(&[8, 9], 1, &[1, 2])]).expect("valid");
        assert_eq!(copied.values, whole.values);
    }

    #[test]
    fn wrong_pages_are_errors() {
        let mut model = model();
        let error = forward(&mut model, &[(&[9], 2, &[0, 1])]).expect_err("page 0 is empty");
        assert_eq!(error, "invalid batch: the slot of position 0 was never written");
        forward(&mut model, &[(&[7, 8, 9, 9], 0, &[0, 1])]).expect("valid");
        let error = forward(&mut model, &[(&[9], 2, &[1, 2])]).expect_err("page 1 is the second");
        assert_eq!(error, "invalid batch: the slot of position 0 holds position 2");
        let parts: [(&[u32], _, &[u32]); 2] = [(&[7, 8], 0, &[0]), (&[9], 2, &[0, 3])];
        let error = forward(&mut model, &parts).expect_err("read while it is written");
        let expect =
            "invalid batch: the slot of position 0 is written by another span of this step";
        assert_eq!(error, expect);
    }
}
