//! YAML (and JSON, its subset) to JSON values with the place of each node. No I/O.
//!
//! It reads the events of the parser under `serde-saphyr`, because a value that has passed through
//! serde no longer knows whether it was quoted, nor where it stood. Untrusted input: nesting, nodes,
//! and what aliases repeat are bounded, and keys must be unique.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::place::{Inside, Place, Position};
use super::scalar;
use crate::admission::quoted;

/// How deep lists and objects may nest.
pub const MAX_DEPTH: usize = 100;
/// How many nodes a file may have, those that aliases repeat included.
pub const MAX_NODES: usize = 500_000;
/// How many bytes of text a file may have when its aliases are expanded.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {message}", at.line, at.column)]
pub(super) struct Error {
    pub(super) at: Position,
    pub(super) message: String,
}

/// One document of a file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
    size: Size,
}

/// What a node costs when an alias repeats it.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    nodes: usize,
    text: usize,
    height: usize,
}

/// All documents of a text; empty ones are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Error> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    // As libyaml, and so kubectl.
    options.block_scalar_eof_without_line_feed = true;
    let parser = Parser::new_from_str_with_options(text, options);
    let mut loader = Loader { parser, anchors: HashMap::new(), nodes: 0, text: 0 };
    let mut documents = Vec::new();
    while let Some((event, span)) = loader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(..) => loader.anchors.clear(),
            event => {
                let node = loader.node(event, span, 0)?;
                if !node.value.is_null() {
                    documents.push(node);
                }
            }
        }
    }
    Ok(documents)
}

struct Loader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    text: usize,
}

impl<'t> Loader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Error> {
        self.parser.next().transpose().map_err(|error: ScanError| Error {
            at: position(error.marker().line(), error.marker().col()),
            message: format!("this is no YAML: {}", error.info()),
        })
    }

    /// The next event, where the document cannot be at its end.
    fn expect(&mut self, at: Position) -> Result<(Event<'t>, Span), Error> {
        let end = || Error { at, message: "the text ends inside a document".into() };
        self.next()?.ok_or_else(end)
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Error> {
        let at = start(&span);
        if depth > MAX_DEPTH {
            let message = format!("lists and objects nest more than {MAX_DEPTH} levels deep");
            return Err(Error { at, message });
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref(), at)?, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", at)?;
                (self.list(at, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "map", at)?;
                (self.object(at, depth)?, anchor)
            }
            Event::Alias(id) => (self.alias(id, at, depth)?, 0),
            _ => {
                return Err(Error { at, message: "a value is expected here".into() });
            }
        };
        if anchor != 0 {
            self.charge(node.size, at)?; // the copy that aliases repeat
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Position,
    ) -> Result<Node, Error> {
        let size = Size { nodes: 1, text: text.len(), height: 0 };
        self.charge(size, at)?;
        let plain = || {
            scalar::plain(text).map_err(|scalar::NotFinite| Error {
                at,
                message: format!("{text} is no number that JSON can express"),
            })
        };
        let value = match tag {
            None if style == ScalarStyle::Plain => plain()?,
            None => Value::String(text.to_owned()),
            Some(tag) => tagged(text, tag, plain, at)?,
        };
        Ok(Node { value, place: Place::new(at, Inside::Nothing), size })
    }

    fn list(&mut self, at: Position, depth: usize) -> Result<Node, Error> {
        let mut size = Size { nodes: 1, text: 0, height: 1 };
        self.charge(size, at)?;
        let (mut values, mut places) = (Vec::new(), Vec::new());
        loop {
            let (event, span) = self.expect(at)?;
            if event == Event::SequenceEnd {
                let place = Place::new(at, Inside::Items(places));
                return Ok(Node { value: Value::Array(values), place, size });
            }
            let node = self.node(event, span, depth + 1)?;
            size.add(node.size);
            values.push(node.value);
            places.push(node.place);
        }
    }

    fn object(&mut self, at: Position, depth: usize) -> Result<Node, Error> {
        let mut size = Size { nodes: 1, text: 0, height: 1 };
        self.charge(size, at)?;
        let mut fields = Fields::default();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.expect(at)?;
            if event == Event::MappingEnd {
                break;
            }
            let key_at = start(&span);
            let is_merge =
                matches!(&event, Event::Scalar(key, ScalarStyle::Plain, _, None) if key == "<<");
            let spelling = match &event {
                Event::Scalar(key, ScalarStyle::Plain, _, None) => Some(key.to_string()),
                _ => None,
            };
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.expect(key_at)?;
            let mut node = self.node(event, span, depth + 1)?;
            size.add(node.size);
            if is_merge {
                merged.push((key_at, node));
                continue;
            }
            node.place.spelling = spelling.filter(|_| key.value.is_boolean());
            let key = key_text(key.value, key_at)?;
            size.text = size.text.saturating_add(key.len());
            node.place.at = key_at;
            fields.insert(key, node)?;
        }
        for (at, node) in merged {
            fields.merge(node, at)?;
        }
        let place = Place::new(at, Inside::Fields(fields.places));
        Ok(Node { value: Value::Object(fields.values), place, size })
    }

    fn alias(&mut self, id: usize, at: Position, depth: usize) -> Result<Node, Error> {
        let Some(size) = self.anchors.get(&id).map(|node| node.size) else {
            return Err(Error {
                at,
                message: "an alias stands inside the value it repeats".into(),
            });
        };
        if depth + size.height > MAX_DEPTH {
            let message = format!("lists and objects nest more than {MAX_DEPTH} levels deep");
            return Err(Error { at, message });
        }
        self.charge(size, at)?; // before the copy is made
        let node = self.anchors.get(&id).cloned();
        node.ok_or_else(|| Error { at, message: "an alias names no anchor".into() })
    }

    fn charge(&mut self, size: Size, at: Position) -> Result<(), Error> {
        self.nodes = self.nodes.saturating_add(size.nodes);
        self.text = self.text.saturating_add(size.text);
        if self.nodes > MAX_NODES {
            let message = format!(
                "the file has more than {MAX_NODES} values; put large data in a file of its own and name it in spec.source"
            );
            return Err(Error { at, message });
        }
        if self.text > MAX_TEXT_BYTES {
            let message = format!(
                "the file has more than {MAX_TEXT_BYTES} bytes of text when its aliases are expanded"
            );
            return Err(Error { at, message });
        }
        Ok(())
    }
}

impl Size {
    fn add(&mut self, child: Size) {
        self.nodes = self.nodes.saturating_add(child.nodes);
        self.text = self.text.saturating_add(child.text);
        self.height = self.height.max(child.height + 1);
    }
}

/// The fields of one object.
#[derive(Default)]
struct Fields {
    values: Map<String, Value>,
    places: HashMap<String, Place>,
}

impl Fields {
    fn insert(&mut self, key: String, node: Node) -> Result<(), Error> {
        match self.places.entry(key.clone()) {
            Entry::Occupied(first) => {
                let Position { line, column } = first.get().at;
                let message = format!("key {} is already set at {line}:{column}", quoted(&key));
                Err(Error { at: node.place.at, message })
            }
            Entry::Vacant(vacant) => {
                vacant.insert(node.place);
                self.values.insert(key, node.value);
                Ok(())
            }
        }
    }

    /// `<<: *base`: the fields of another object, or of several, that are not set here.
    fn merge(&mut self, node: Node, at: Position) -> Result<(), Error> {
        match (node.value, node.place.inside) {
            (Value::Object(values), Inside::Fields(mut places)) => {
                for (key, value) in values {
                    if let Entry::Vacant(vacant) = self.places.entry(key.clone()) {
                        vacant.insert(places.remove(&key).unwrap_or_default());
                        self.values.insert(key, value);
                    }
                }
                Ok(())
            }
            (Value::Array(values), Inside::Items(places)) => {
                for (value, place) in values.into_iter().zip(places) {
                    if value.is_array() {
                        return Err(Error {
                            at,
                            message: "`<<` takes an object, or a list of objects".into(),
                        });
                    }
                    self.merge(Node { value, place, size: Size::default() }, at)?;
                }
                Ok(())
            }
            _ => Err(Error { at, message: "`<<` takes an object, or a list of objects".into() }),
        }
    }
}

/// A scalar with an explicit tag.
fn tagged(
    text: &str,
    tag: &Tag,
    plain: impl Fn() -> Result<Value, Error>,
    at: Position,
) -> Result<Value, Error> {
    let name = match (tag.handle(), tag.suffix()) {
        ("!", "") | ("", "!") => "str", // the non-specific tag
        ("tag:yaml.org,2002:", suffix) => suffix,
        _ => {
            return Err(Error {
                at,
                message: format!("the tag {}{} is not supported", tag.handle(), tag.suffix()),
            });
        }
    };
    let value = match name {
        "str" => return Ok(Value::String(text.to_owned())),
        "int" | "float" | "bool" | "null" => plain()?,
        _ => {
            return Err(Error { at, message: format!("the tag !!{name} is not supported") });
        }
    };
    let fits = match name {
        "int" => value.is_i64(),
        "float" => value.is_number(),
        "bool" => value.is_boolean(),
        _ => value.is_null(),
    };
    if fits {
        return Ok(value);
    }
    Err(Error { at, message: format!("{} is no !!{name}", quoted(text)) })
}

fn collection_tag(tag: Option<&Tag>, expected: &str, at: Position) -> Result<(), Error> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.handle() == "tag:yaml.org,2002:" && tag.suffix() == expected => Ok(()),
        Some(tag) => {
            let message = format!("the tag {}{} is not supported", tag.handle(), tag.suffix());
            Err(Error { at, message })
        }
    }
}

/// A key as JSON writes it; kubectl does the same with numbers and booleans.
fn key_text(key: Value, at: Position) -> Result<String, Error> {
    match key {
        Value::String(key) => Ok(key),
        Value::Bool(key) => Ok(key.to_string()),
        Value::Number(key) => Ok(key.to_string()),
        Value::Null => Err(Error { at, message: "a key is empty".into() }),
        _ => Err(Error { at, message: "a key must be a text, not a list or an object".into() }),
    }
}

fn start(span: &Span) -> Position {
    position(span.start.line(), span.start.col())
}

/// The parser counts columns from 0.
fn position(line: usize, column: usize) -> Position {
    Position { line, column: column.saturating_add(1) }
}
