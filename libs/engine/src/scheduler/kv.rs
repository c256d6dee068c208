//! The KV cache's bookkeeping: pages and the prefix tree together, and what to do when pages run out.

use std::collections::BTreeSet;

use super::pages::{Pages, Reserve};
use super::prefix::{NodeId, PrefixTree, ROOT, common_prefix};
use crate::model::PageId;

/// The longest prefix of some tokens whose keys and values there are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prefix {
    /// Full pages.
    pub(super) pages: Vec<PageId>,
    /// Node of the last full page.
    pub(super) node: NodeId,
    /// A page whose first positions hold what comes next, and how many of them.
    pub(super) partial: Option<(PageId, usize)>,
}

/// Pages of all sequences. Every page is held by the sequences that have it in their table and by the tree if a node
/// names it. Whoever holds a node's page holds those of its ancestors.
#[derive(Debug)]
pub(super) struct KvCache {
    pages: Pages,
    tree: PrefixTree,
    /// The node that names a page.
    node_of: Vec<Option<NodeId>>,
    /// Leaves whose pages only the tree holds, the longest unused first.
    evictable: BTreeSet<(u64, NodeId)>,
    /// Pages that only the tree holds.
    unused: usize,
    page_tokens: usize,
    reuse: bool,
    clock: u64,
}

impl KvCache {
    /// `limit` pages at most. Without `reuse` the tree stays empty.
    pub(super) fn new(page_tokens: usize, limit: u32, reuse: bool) -> KvCache {
        KvCache {
            pages: Pages::new(limit),
            tree: PrefixTree::new(),
            node_of: Vec::new(),
            evictable: BTreeSet::new(),
            unused: 0,
            page_tokens,
            reuse,
            clock: 0,
        }
    }

    pub(super) fn pages_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.page_tokens)
    }

    pub(super) fn page_tokens(&self) -> usize {
        self.page_tokens
    }

    pub(super) fn reuse(&self) -> bool {
        self.reuse
    }

    pub(super) fn limit(&self) -> usize {
        self.pages.limit()
    }

    /// Pages that the model has reserved.
    pub(super) fn usable(&self) -> usize {
        self.pages.usable()
    }

    /// Pages that sequences hold.
    pub(super) fn used(&self) -> usize {
        self.pages.usable() - self.pages.free() - self.unused
    }

    /// Pages that only the tree holds.
    pub(super) fn unused(&self) -> usize {
        self.unused
    }

    /// Pages that [`KvCache::allocate`] can still give.
    pub(super) fn available(&self) -> usize {
        self.pages.free() + self.pages.growable() + self.unused
    }

    /// Longest known prefix of these tokens. Holds nothing.
    pub(super) fn lookup(&self, tokens: &[u32]) -> Prefix {
        let mut prefix = Prefix { pages: Vec::new(), node: ROOT, partial: None };
        let mut rest = tokens;
        while let Some((page, after)) = rest.split_at_checked(self.page_tokens) {
            let Some(child) = self.tree.child(prefix.node, page) else { break };
            prefix.pages.push(self.tree.node(child).page);
            prefix.node = child;
            rest = after;
        }
        let next = &rest[..rest.len().min(self.page_tokens)];
        let closest = self.tree.closest(prefix.node, next);
        prefix.partial = closest.map(|(node, shared)| (self.tree.node(node).page, shared));
        prefix
    }

    /// A page that nothing else holds. A free one; or a new one, as long as more than half of those there are is in
    /// use (so that a job that never repeats a prompt does not fill the memory with old ones); or the longest unused.
    pub(super) fn allocate(&mut self, reserve: &mut Reserve<'_>) -> Option<PageId> {
        if let Some(page) = self.pages.take() {
            return Some(page);
        }
        let grow_first = self.unused * 2 <= self.pages.usable();
        let found =
            (grow_first && self.pages.grow(reserve)) || self.evict() || self.pages.grow(reserve);
        self.node_of.resize(self.pages.usable(), None);
        if found { self.pages.take() } else { None }
    }

    /// A page that is free as things are.
    pub(super) fn take_free(&mut self) -> Option<PageId> {
        self.pages.take()
    }

    /// Frees the page of the leaf that has been unused the longest.
    fn evict(&mut self) -> bool {
        let Some((_, node)) = self.evictable.pop_first() else { return false };
        let (page, parent) = self.tree.remove(node);
        self.node_of[page as usize] = None;
        self.unused -= 1;
        self.pages.release(page);
        self.offer(parent);
        true
    }

    /// Makes a node evictable if it is an unused leaf.
    fn offer(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        if id != ROOT && node.is_leaf() && self.pages.holders(node.page) == 1 {
            self.evictable.insert((node.last_used, id));
        }
    }

    /// One holder more.
    pub(super) fn hold(&mut self, page: PageId) {
        if let (Some(node), 1) = (self.node_of[page as usize], self.pages.holders(page)) {
            self.unused -= 1;
            self.evictable.remove(&(self.tree.node(node).last_used, node));
        }
        self.pages.hold(page);
    }

    /// One holder fewer.
    pub(super) fn release(&mut self, page: PageId) {
        let holders = self.pages.release(page);
        if let (Some(node), 1) = (self.node_of[page as usize], holders) {
            self.clock += 1;
            self.tree.node_mut(node).last_used = self.clock;
            self.unused += 1;
            self.offer(node);
        }
    }

    /// Makes a full page, held by the caller, known under its tokens. If the tree has such a page already, the caller
    /// gets that one instead of its own. `tail` is the page's node if it was known while partly filled.
    pub(super) fn publish(
        &mut self,
        parent: NodeId,
        tokens: &[u32],
        page: PageId,
        tail: Option<NodeId>,
    ) -> (NodeId, PageId) {
        if let Some(node) = self.tree.child(parent, tokens) {
            let known = self.tree.node(node).page;
            if known == page {
                return (node, page);
            }
            self.hold(known);
            self.withdraw(tail);
            self.release(page);
            return (node, known);
        }
        match tail {
            Some(node) => {
                self.tree.extend(node, tokens);
                (node, page)
            }
            None => (self.add(parent, tokens, page), page),
        }
    }

    /// Makes the filled part of a page, held by the caller, known, so that others can copy it; the caller may go on
    /// writing behind it. Returns the page's node, or `None` if others hold these tokens.
    pub(super) fn publish_tail(
        &mut self,
        parent: NodeId,
        tokens: &[u32],
        page: PageId,
        tail: Option<NodeId>,
    ) -> Option<NodeId> {
        let other = self
            .tree
            .closest(parent, tokens)
            .filter(|&(node, shared)| shared == tokens.len() && self.tree.node(node).page != page);
        if other.is_some() {
            self.withdraw(tail);
            return None;
        }
        match tail {
            Some(node) if common_prefix(&self.tree.node(node).tokens, tokens) < tokens.len() => {
                self.tree.extend(node, tokens);
                Some(node)
            }
            Some(node) => Some(node),
            None => Some(self.add(parent, tokens, page)),
        }
    }

    fn add(&mut self, parent: NodeId, tokens: &[u32], page: PageId) -> NodeId {
        self.pages.hold(page);
        let node = self.tree.insert(parent, tokens, page);
        self.node_of[page as usize] = Some(node);
        node
    }

    /// Takes a partly filled page, which the caller holds, out of the tree.
    fn withdraw(&mut self, tail: Option<NodeId>) {
        if let Some(node) = tail {
            let (page, _) = self.tree.remove(node);
            self.node_of[page as usize] = None;
            self.pages.release(page);
        }
    }
}

#[cfg(test)]
impl KvCache {
    /// Checks the counts against the page tables of all sequences.
    pub(super) fn check(&self, tables: &std::collections::BTreeMap<PageId, u32>) {
        let mut unused = 0;
        for (page, node) in (0..).zip(&self.node_of) {
            let sequences = tables.get(&page).copied().unwrap_or(0);
            let holders = sequences + u32::from(node.is_some());
            assert_eq!(self.pages.holders(page), holders, "holders of page {page}");
            let Some(node) = *node else { continue };
            assert_eq!(self.tree.node(node).page, page);
            if sequences == 0 {
                unused += 1;
                let key = (self.tree.node(node).last_used, node);
                assert_eq!(self.evictable.contains(&key), self.tree.node(node).is_leaf());
            } else if self.tree.node(node).parent != ROOT {
                let parent = self.tree.node(self.tree.node(node).parent).page;
                assert!(tables.contains_key(&parent), "a page is held and its parent is not");
            }
        }
        assert_eq!(self.unused, unused);
        assert_eq!(
            self.evictable.iter().filter(|(_, node)| self.tree.node(*node).is_leaf()).count(),
            self.evictable.len()
        );
        let free = (0..self.pages.usable() as PageId)
            .filter(|&page| self.pages.holders(page) == 0)
            .count();
        assert_eq!(self.pages.free(), free, "free pages");
    }
}
