//! One sequence: its tokens, and how much of them has keys and values in which pages.

use super::kv::KvCache;
use super::prefix::{NodeId, ROOT};
use super::speculation::Proposer;
use crate::model::PageId;

/// A sequence's name: later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub(super) u64);

#[derive(Debug)]
pub(super) struct Sequence {
    /// Prompt and completion.
    pub(super) tokens: Vec<u32>,
    pub(super) prompt_tokens: usize,
    /// Most tokens, prompt and completion together.
    pub(super) max_tokens: usize,
    /// Tokens whose keys and values are stored.
    pub(super) computed: usize,
    /// Pages from position 0; they may reach beyond the tokens.
    pub(super) pages: Vec<PageId>,
    /// How many of the pages are in the prefix tree.
    published: usize,
    /// Node of the last of these.
    node: NodeId,
    /// Node of the page after them, if the tree knows the beginning of it.
    tail: Option<NodeId>,
    /// Prompt tokens that were found in the prefix tree when the sequence first ran.
    pub(super) cached_tokens: Option<usize>,
    pub(super) proposer: Proposer,
}

impl Sequence {
    pub(super) fn new(prompt: Vec<u32>, max_tokens: usize) -> Sequence {
        Sequence {
            prompt_tokens: prompt.len(),
            tokens: prompt,
            max_tokens,
            computed: 0,
            pages: Vec::new(),
            published: 0,
            node: ROOT,
            tail: None,
            cached_tokens: None,
            proposer: Proposer::new(),
        }
    }

    /// Tokens that still have no keys and values; at least 1.
    pub(super) fn remaining(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// What others could copy: a sequence always computes its last token itself, for its logits.
    pub(super) fn reusable(&self) -> &[u32] {
        self.tokens.split_last().map_or(&[], |(_, before)| before)
    }

    /// Pages that it will need once half of what it may still generate is there.
    pub(super) fn expected_pages(&self, kv: &KvCache) -> usize {
        let to_come = self.max_tokens.saturating_sub(self.tokens.len());
        kv.pages_for(self.tokens.len() + to_come.div_ceil(2))
    }

    /// Starts with pages of the prefix tree, which the caller holds.
    pub(super) fn start(&mut self, pages: Vec<PageId>, node: NodeId, computed: usize) {
        self.computed = computed;
        self.published = pages.len();
        self.pages = pages;
        self.node = node;
    }

    /// Notes that `rows` more tokens are stored, and makes what is complete known to others.
    pub(super) fn advance(&mut self, rows: usize, kv: &mut KvCache) {
        let prefilling = self.computed < self.prompt_tokens;
        self.computed += rows;
        self.publish_pages(kv);
        if prefilling && self.computed >= self.prompt_tokens {
            self.publish_tail(kv);
        }
    }

    fn publish_pages(&mut self, kv: &mut KvCache) {
        if !kv.reuse() {
            return;
        }
        let size = kv.page_tokens();
        while (self.published + 1) * size <= self.computed {
            let tokens = &self.tokens[self.published * size..][..size];
            let page = self.pages[self.published];
            let (node, page) = kv.publish(self.node, tokens, page, self.tail.take());
            (self.node, self.pages[self.published]) = (node, page);
            self.published += 1;
        }
    }

    /// Makes the filled part of the last page known to others.
    pub(super) fn publish_tail(&mut self, kv: &mut KvCache) {
        let tokens = &self.tokens[self.published * kv.page_tokens()..self.computed];
        if kv.reuse() && !tokens.is_empty() {
            self.tail = kv.publish_tail(self.node, tokens, self.pages[self.published], self.tail);
        }
    }

    /// Lets all pages go. What is published stays in the prefix tree until the space is needed.
    pub(super) fn release(&mut self, kv: &mut KvCache) {
        // From the end: the ends of sequences are evicted first.
        for page in self.pages.drain(..).rev() {
            kv.release(page);
        }
        (self.computed, self.published, self.node, self.tail) = (0, 0, ROOT, None);
    }
}
