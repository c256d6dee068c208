//! The prefix tree: which pages hold the keys and values of which tokens after which others.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use crate::model::PageId;

pub(super) type NodeId = u32;

/// The empty prefix. It has no page.
pub(super) const ROOT: NodeId = 0;

/// Tokens of one page, after those of the parent. A full page may have children, a partial one has none.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) parent: NodeId,
    pub(super) tokens: Box<[u32]>,
    pub(super) page: PageId,
    /// When the last sequence that held the page let it go.
    pub(super) last_used: u64,
    /// By their tokens: in lexicographic order the longest common prefix is beside where a key would stand.
    children: BTreeMap<Box<[u32]>, NodeId>,
}

impl Node {
    fn new(parent: NodeId, tokens: &[u32], page: PageId) -> Node {
        Node { parent, tokens: tokens.into(), page, last_used: 0, children: BTreeMap::new() }
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }
}

#[derive(Debug)]
pub(super) struct PrefixTree {
    nodes: Vec<Node>,
    removed: Vec<NodeId>,
}

impl PrefixTree {
    pub(super) fn new() -> PrefixTree {
        PrefixTree { nodes: vec![Node::new(ROOT, &[], 0)], removed: Vec::new() }
    }

    pub(super) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node as usize]
    }

    pub(super) fn node_mut(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    /// The child with exactly these tokens.
    pub(super) fn child(&self, parent: NodeId, tokens: &[u32]) -> Option<NodeId> {
        self.node(parent).children.get(tokens).copied()
    }

    /// The child that shares the most tokens, from the first, with these; and how many.
    pub(super) fn closest(&self, parent: NodeId, tokens: &[u32]) -> Option<(NodeId, usize)> {
        let children = &self.node(parent).children;
        let before = children.range::<[u32], _>((Unbounded, Included(tokens))).next_back();
        let after = children.range::<[u32], _>((Included(tokens), Unbounded)).next();
        let beside = before.into_iter().chain(after);
        let best = beside
            .map(|(key, node)| (*node, common_prefix(key, tokens)))
            .max_by_key(|(_, shared)| *shared);
        best.filter(|(_, shared)| *shared > 0)
    }

    /// Adds a child; there is none with these tokens.
    pub(super) fn insert(&mut self, parent: NodeId, tokens: &[u32], page: PageId) -> NodeId {
        let node = Node::new(parent, tokens, page);
        let id = match self.removed.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as NodeId
            }
        };
        self.node_mut(parent).children.insert(tokens.into(), id);
        id
    }

    /// Gives a partial node more tokens of its page; its parent has no child with these.
    pub(super) fn extend(&mut self, id: NodeId, tokens: &[u32]) {
        let node = self.node_mut(id);
        let before = std::mem::replace(&mut node.tokens, tokens.into());
        let parent = node.parent;
        let children = &mut self.node_mut(parent).children;
        children.remove(&before);
        children.insert(tokens.into(), id);
    }

    /// Removes a leaf; returns its page and its parent.
    pub(super) fn remove(&mut self, id: NodeId) -> (PageId, NodeId) {
        let node = self.node_mut(id);
        let tokens = std::mem::take(&mut node.tokens);
        let (page, parent) = (node.page, node.parent);
        self.node_mut(parent).children.remove(&tokens);
        self.removed.push(id);
        (page, parent)
    }
}

/// Number of tokens that both begin with.
pub(super) fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_closest_child_is_the_one_a_search_of_all_finds(
            children in prop::collection::btree_set(prop::collection::vec(0u32..3, 1..6), 0..12),
            tokens in prop::collection::vec(0u32..3, 0..6),
        ) {
            let mut tree = PrefixTree::new();
            for (page, child) in (0..).zip(&children) {
                tree.insert(ROOT, child, page);
            }
            let expect = children.iter().map(|child| common_prefix(child, &tokens)).max().unwrap_or(0);
            let found = tree.closest(ROOT, &tokens);
            prop_assert_eq!(found.map_or(0, |(_, shared)| shared), expect);
            if let Some((node, shared)) = found {
                prop_assert_eq!(common_prefix(&tree.node(node).tokens, &tokens), shared);
            }
        }
    }

    #[test]
    fn an_extended_or_removed_node_is_found_by_its_new_tokens_only() {
        let mut tree = PrefixTree::new();
        let a = tree.insert(ROOT, &[1, 2], 7);
        tree.extend(a, &[1, 2, 3]);
        assert_eq!((tree.child(ROOT, &[1, 2]), tree.child(ROOT, &[1, 2, 3])), (None, Some(a)));
        let b = tree.insert(a, &[4], 8);
        assert!(!tree.node(a).is_leaf());
        assert_eq!(tree.remove(b), (8, a));
        assert!(tree.node(a).is_leaf());
        assert_eq!(tree.remove(a), (7, ROOT));
        assert_eq!(tree.closest(ROOT, &[1, 2, 3]), None);
        assert_eq!(tree.insert(ROOT, &[9], 1), a, "ids are used again");
    }
}
