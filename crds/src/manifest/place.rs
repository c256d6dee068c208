//! Where each node of a YAML document stands. No I/O.

use std::collections::HashMap;

/// A position in a file, both counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character of the line.
    pub column: usize,
}

/// The position of a node, and of all nodes in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Where the node's key stands, or the node itself if it has none.
    pub(super) at: Position,
    /// How the key is written, if YAML takes it for a boolean.
    pub(super) spelling: Option<String>,
    pub(super) inside: Inside,
}

/// What a node holds.
#[derive(Clone, Debug, Default)]
pub(super) enum Inside {
    #[default]
    Nothing,
    Fields(HashMap<String, Place>),
    Items(Vec<Place>),
}

impl Place {
    pub(super) fn new(at: Position, inside: Inside) -> Self {
        Self { at, spelling: None, inside }
    }

    /// The position of the field at `path` (`spec.columns[0].name`), or of its nearest parent that
    /// is in the file.
    pub(super) fn find(&self, path: &str) -> Position {
        let mut place = self;
        let mut rest = path;
        while let Some((child, after)) = place.child(rest) {
            place = child;
            rest = after;
        }
        place.at
    }

    /// The child that begins `path`, and what is left of the path. A key may hold dots, so the
    /// longest key that fits is taken.
    fn child<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a Place, &'p str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        match &self.inside {
            Inside::Nothing => None,
            Inside::Items(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                Some((items.get(index.parse::<usize>().ok()?)?, rest))
            }
            Inside::Fields(fields) => path
                .char_indices()
                .filter(|(_, letter)| matches!(letter, '.' | '['))
                .map(|(end, _)| end)
                .chain([path.len()])
                .rev()
                .find_map(|end| Some((fields.get(&path[..end])?, &path[end..]))),
        }
    }

    /// The place of one entry of the list under `field`.
    pub(super) fn item(&self, field: &str, index: usize) -> Option<&Place> {
        let Inside::Fields(fields) = &self.inside else {
            return None;
        };
        let Inside::Items(items) = &fields.get(field)?.inside else {
            return None;
        };
        items.get(index)
    }
}
