//! The subschemas of a JSON Schema and which of them a validator visits for an instance: what tells schemas that never end, or take
//! exponential time, from those that do not.

use std::collections::HashMap;

use serde_json::Value;

/// Subschemas that a schema may have, and on one path from its root: a validator calls itself for each.
const MAX_NODES: usize = 10_000;
const MAX_DEPTH: usize = 256;

/// Visits of subschemas that a schema without recursion may cause for one instance, not counting the instance's own size.
const MAX_VISITS: f64 = 1e5;

/// Subschemas within each other for one instance.
const MAX_NESTED: usize = 512;

/// Which parts of an instance a subschema is applied to.
#[derive(Debug, Clone, PartialEq)]
enum Edge {
    /// The instance itself.
    Same,
    /// One property.
    Property(String),
    /// Every property, or every one whose name a pattern matches.
    Properties,
    /// The element at a place.
    Element(usize),
    /// Every element.
    Elements,
}

/// The cost of an instance, as far as it is known.
struct Walk<'g> {
    graph: &'g SchemaGraph,
    budget: f64,
    /// By subschema, and list or object of the instance.
    known: HashMap<(usize, *const Value), f64>,
    /// Of all else: it has no parts.
    of_scalar: HashMap<usize, f64>,
}

impl Walk<'_> {
    fn cost(&mut self, node: usize, instance: &Value, depth: usize) -> f64 {
        let has_parts = matches!(instance, Value::Object(_) | Value::Array(_));
        let key = (node, std::ptr::from_ref(instance));
        let known = if has_parts { self.known.get(&key) } else { self.of_scalar.get(&node) };
        if let Some(cost) = known {
            return *cost;
        }
        if depth > MAX_NESTED {
            return f64::INFINITY;
        }
        let cost = self.sum(node, instance, depth);
        if has_parts {
            self.known.insert(key, cost);
        } else {
            self.of_scalar.insert(node, cost);
        }
        cost
    }

    fn sum(&mut self, node: usize, instance: &Value, depth: usize) -> f64 {
        let graph = self.graph;
        let mut cost = 1.0;
        for (edge, to) in graph.nodes.get(node).into_iter().flatten() {
            let parts: Box<dyn Iterator<Item = &Value>> = match (edge, instance) {
                (Edge::Same, _) => Box::new(std::iter::once(instance)),
                (Edge::Property(name), Value::Object(fields)) => {
                    Box::new(fields.get(name).into_iter())
                }
                (Edge::Properties, Value::Object(fields)) => Box::new(fields.values()),
                (Edge::Element(at), Value::Array(elements)) => {
                    Box::new(elements.get(*at).into_iter())
                }
                (Edge::Elements, Value::Array(elements)) => Box::new(elements.iter()),
                _ => continue,
            };
            for part in parts {
                cost += self.cost(*to, part, depth + 1);
                if cost > self.budget {
                    return f64::INFINITY;
                }
            }
        }
        cost
    }
}

/// A schema as a graph.
#[derive(Debug, Clone)]
pub(crate) struct SchemaGraph {
    /// Of each subschema, the root first: what it applies to what.
    nodes: Vec<Vec<(Edge, usize)>>,
    recursive: bool,
}

/// What was found, and what is allowed.
pub(crate) type Refused = (String, &'static str);

impl SchemaGraph {
    /// Reads a schema.
    ///
    /// # Errors
    /// What is refused: a reference out of the schema or to nothing, one that leads to itself without a step into the instance, and
    /// a schema that visits more than 100,000 subschemas for one instance.
    pub(crate) fn new(schema: &Value) -> Result<Self, Refused> {
        if let Some(id) = inner_id(schema) {
            return Err((format!("$id {id:?} below the root"), "no $id but the root's"));
        }
        let mut reader = Reader { root: schema, nodes: Vec::new(), known: HashMap::new() };
        reader.read(schema)?;
        let mut graph = Self { nodes: reader.nodes, recursive: false };
        if graph.order(|edge| *edge == Edge::Same).is_none() {
            return Err((
                "a reference that leads back to itself at the same place of the text".to_owned(),
                "references that end, or go on at a property or an element",
            ));
        }
        let order = graph.order(|_| true);
        graph.recursive = order.is_none();
        let (visits, depth) = match order {
            Some(order) => graph.visits_and_depth(&order),
            // The longest path is not easily found: it has at most all subschemas.
            None => (1.0, graph.nodes.len()),
        };
        if visits > MAX_VISITS {
            let found = format!("a schema that visits {visits:.0} subschemas for one text");
            return Err((found, "at most 100,000"));
        }
        if depth > MAX_DEPTH {
            return Err(match graph.recursive {
                true => {
                    (format!("{depth} subschemas in a schema that refers to itself"), "at most 256")
                }
                false => (format!("{depth} subschemas within each other"), "at most 256"),
            });
        }
        Ok(graph)
    }

    /// Whether a validator visits subschemas at most `budget` times for `instance`, and not too many within each other. It takes no more
    /// than that many steps to say so.
    pub(crate) fn is_within(&self, budget: f64, instance: &Value) -> bool {
        let mut walk =
            Walk { graph: self, budget, known: HashMap::new(), of_scalar: HashMap::new() };
        walk.cost(0, instance, 0) <= budget
    }

    /// The subschemas so that edges of this kind lead only to later ones (Kahn's algorithm); `None` if such edges form a cycle.
    fn order(&self, counts: impl Fn(&Edge) -> bool) -> Option<Vec<usize>> {
        let targets = |node: usize| {
            let edges = self.nodes.get(node).into_iter().flatten();
            edges.filter(|(edge, _)| counts(edge)).map(|(_, to)| *to)
        };
        let mut incoming = vec![0_usize; self.nodes.len()];
        (0..self.nodes.len()).flat_map(targets).for_each(|to| incoming[to] += 1);
        let mut order: Vec<usize> = (0..self.nodes.len()).filter(|n| incoming[*n] == 0).collect();
        let mut next = 0;
        while let Some(node) = order.get(next).copied() {
            next += 1;
            for to in targets(node) {
                incoming[to] -= 1;
                if incoming[to] == 0 {
                    order.push(to);
                }
            }
        }
        (order.len() == self.nodes.len()).then_some(order)
    }

    /// Paths from the root of a graph without cycles, and the subschemas on the longest.
    fn visits_and_depth(&self, order: &[usize]) -> (f64, usize) {
        let (mut paths, mut depths) = (vec![0.0; self.nodes.len()], vec![1; self.nodes.len()]);
        paths[0] = 1.0;
        for &node in order {
            let (of_node, depth): (f64, usize) = (paths[node], depths[node]);
            for (_, to) in &self.nodes[node] {
                paths[*to] += of_node;
                depths[*to] = depths[*to].max(depth + 1);
            }
        }
        (paths.iter().sum(), depths.into_iter().max().unwrap_or(0))
    }
}

struct Reader<'s> {
    root: &'s Value,
    nodes: Vec<Vec<(Edge, usize)>>,
    known: HashMap<*const Value, usize>,
}

impl<'s> Reader<'s> {
    /// Reads all that the root leads to, one after the other: a schema from YAML may be nested more deeply than calls should be.
    fn read(&mut self, root: &'s Value) -> Result<(), Refused> {
        let mut open = Vec::new();
        self.number(root, &mut open)?;
        while let Some(schema) = open.pop() {
            let number = self.number(schema, &mut open)?;
            if let Value::Object(keywords) = schema {
                let mut found = Vec::new();
                for (keyword, value) in keywords {
                    self.edges(keyword, value, &mut found)?;
                }
                for (edge, to) in found {
                    let to = self.number(to, &mut open)?;
                    self.nodes[number].push((edge, to));
                }
            }
        }
        Ok(())
    }

    /// The number of a subschema, which is put among the open ones when it is new.
    fn number(&mut self, schema: &'s Value, open: &mut Vec<&'s Value>) -> Result<usize, Refused> {
        let next = self.nodes.len();
        let number = *self.known.entry(std::ptr::from_ref(schema)).or_insert(next);
        if number == next {
            if next == MAX_NODES {
                let found = format!("more than {MAX_NODES} subschemas");
                return Err((found, "at most 10,000"));
            }
            self.nodes.push(Vec::new());
            open.push(schema);
        }
        Ok(number)
    }

    /// What a keyword applies.
    fn edges(
        &self,
        keyword: &str,
        value: &'s Value,
        found: &mut Vec<(Edge, &'s Value)>,
    ) -> Result<(), Refused> {
        match (keyword, value) {
            ("$ref", Value::String(to)) => found.push((Edge::Same, self.resolve(to)?)),
            ("$dynamicRef" | "$recursiveRef", _) => {
                return Err((format!("the keyword {keyword}"), "$ref"));
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
                found.extend(all.iter().map(|schema| (Edge::Same, schema)));
            }
            ("not" | "if" | "then" | "else", _) => found.push((Edge::Same, value)),
            ("dependentSchemas" | "dependencies", Value::Object(all)) => {
                found.extend(all.values().filter(|s| !s.is_array()).map(|s| (Edge::Same, s)));
            }
            ("properties", Value::Object(all)) => found
                .extend(all.iter().map(|(name, schema)| (Edge::Property(name.clone()), schema))),
            ("patternProperties", Value::Object(all)) => {
                found.extend(all.values().map(|schema| (Edge::Properties, schema)));
            }
            ("additionalProperties" | "unevaluatedProperties" | "propertyNames", _) => {
                found.push((Edge::Properties, value));
            }
            ("prefixItems" | "items", Value::Array(all)) => {
                found.extend(all.iter().enumerate().map(|(at, s)| (Edge::Element(at), s)));
            }
            ("items" | "additionalItems" | "unevaluatedItems" | "contains", _) => {
                found.push((Edge::Elements, value));
            }
            _ => {}
        }
        Ok(())
    }

    /// What `#`, `#/a/pointer` or `#anchor` means.
    fn resolve(&self, reference: &str) -> Result<&'s Value, Refused> {
        let allowed = "references within the schema: #, #/$defs/NAME or #ANCHOR";
        let lost =
            || (format!("the reference {reference:?}, which leads to nothing here"), allowed);
        let Some(fragment) = reference.strip_prefix('#') else {
            return Err((format!("the reference {reference:?}"), allowed));
        };
        if fragment.is_empty() || fragment.starts_with('/') {
            let decoded = percent_decoded(fragment).ok_or_else(lost)?;
            return self.root.pointer(&decoded).ok_or_else(lost);
        }
        anchored(self.root, fragment).ok_or_else(lost)
    }
}

/// A `$id` that is not the root's: references below it would start from there.
fn inner_id(schema: &Value) -> Option<&str> {
    let mut open: Vec<&Value> = match schema {
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    };
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(id)) = fields.get("$id") {
                    return Some(id);
                }
                open.extend(fields.values());
            }
            Value::Array(elements) => open.extend(elements),
            _ => {}
        }
    }
    None
}

/// The first subschema with this `$anchor`.
fn anchored<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if fields.get("$anchor").is_some_and(|anchor| anchor == name) {
                    return Some(value);
                }
                open.extend(fields.values());
            }
            Value::Array(elements) => open.extend(elements),
            _ => {}
        }
    }
    None
}

/// A URI fragment as text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
        bytes.push(match byte {
            b'%' => (hex(rest.next())? * 16 + hex(rest.next())?) as u8,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(schema: Value) -> String {
        SchemaGraph::new(&schema).map(|_| ()).unwrap_err().0
    }

    #[test]
    fn references_within_the_schema_are_followed_and_others_refused() {
        let fine = json!({
            "$id": "https://example.com/s",
            "$defs": {"a/b": {"type": "string"}, "c": {"$anchor": "here", "type": "null"}},
            "anyOf": [{"$ref": "#/$defs/a~1b"}, {"$ref": "#here"}, {"$ref": "#/$defs/a%7E1b"}],
        });
        assert!(!SchemaGraph::new(&fine).unwrap().recursive);
        for schema in [
            json!({"$ref": "https://example.com/other"}),
            json!({"$ref": "#/nothing"}),
            json!({"$ref": "#nowhere"}),
            json!({"$ref": "#/%zz"}),
            json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}),
        ] {
            assert!(refused(schema.clone()).contains("reference"), "{schema}");
        }
        assert!(refused(json!({"$dynamicRef": "#x"})).contains("$dynamicRef"));
        assert!(refused(json!({"items": {"$id": "https://example.com/t"}})).contains("$id"));
        // Also where nothing leads to it but a pointer through it.
        let hidden = json!({"$defs": {"x": {"$id": "http://x/", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "a": {}}, "$ref": "#/$defs/x/$defs/a"});
        assert!(refused(hidden).contains("$id"));
    }

    #[test]
    fn a_reference_that_leads_to_itself_without_a_step_is_refused() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}),
        ] {
            assert!(refused(schema.clone()).contains("back to itself"), "{schema}");
        }
        // One that no part of the schema applies is dead, and harmless.
        let unused = json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "type": "string"});
        assert!(SchemaGraph::new(&unused).is_ok());
    }

    #[test]
    fn schemas_whose_visits_multiply_are_refused_and_deep_texts_of_recursive_ones_are_costly() {
        let mut defs = serde_json::Map::new();
        for i in 0..30 {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            defs.insert(format!("d{i}"), json!({"allOf": [next, next]}));
        }
        defs.insert("d30".into(), json!({"type": "string"}));
        assert!(refused(json!({"$defs": defs, "$ref": "#/$defs/d0"})).contains("visits"));

        let twice = json!({"anyOf": [
            {"properties": {"x": {"$ref": "#"}}, "required": ["y"]},
            {"properties": {"x": {"$ref": "#"}}, "required": ["z"]},
        ]});
        let graph = SchemaGraph::new(&twice).unwrap();
        let deep = (0..100).fold(json!({}), |inner, _| json!({"x": inner}));
        assert!(graph.recursive && !graph.is_within(1e15, &deep));
        assert!(graph.is_within(20.0, &json!({"x": 1})));

        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        let graph = SchemaGraph::new(&tree).unwrap();
        let full = (0..10).fold(json!({}), |half, _| json!({"left": half, "right": half}));
        assert!(graph.is_within(10_000.0, &full));
    }

    #[test]
    fn long_chains_of_references_are_refused_and_a_budget_is_never_overdrawn() {
        let chain = |last: Value, length: usize| {
            let mut defs = serde_json::Map::new();
            for i in 0..length {
                defs.insert(format!("a{i}"), json!({"$ref": format!("#/$defs/a{}", i + 1)}));
            }
            defs.insert(format!("a{length}"), last);
            json!({"$defs": defs, "$ref": "#/$defs/a0"})
        };
        let again = json!({"items": {"$ref": "#/$defs/a0"}});
        assert!(refused(chain(json!({}), 900)).contains("within each other"));
        assert!(refused(chain(again.clone(), 900)).contains("refers to itself"));
        let graph = SchemaGraph::new(&chain(again, 100)).unwrap();
        let deep = (0..100).fold(json!([]), |inner, _| json!([inner]));
        assert!(!graph.is_within(1e9, &deep), "too many calls within each other");
        // Many subschemas over many elements: no more is looked at than the budget allows.
        let wide = json!({"anyOf": vec![json!({}); 200], "items": {"$ref": "#"}});
        let graph = SchemaGraph::new(&wide).unwrap();
        assert!(!graph.is_within(2e6, &json!(vec![1; 300_000])));
        assert!(graph.is_within(2e6, &json!(vec![1; 3_000])));
    }
}
