//! The parser's events to trees, within bounds of depth and size.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::{BadYaml, DEPTH_MAX, Entry, NODES_MAX, Node, Scalar, Value};

pub(super) fn documents(text: &str) -> Result<Vec<Node>, BadYaml> {
    // A mark of the byte order is no content.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        builder.take(event, span.start.line())?;
    }
    Ok(builder.done)
}

/// The parser's own words name no content of the text.
fn scan_error(error: &ScanError) -> BadYaml {
    BadYaml { line: error.marker().line(), what: format!("not YAML: {}", error.info()) }
}

#[derive(Default)]
struct Builder {
    done: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
}

/// A list or mapping whose end has not come.
struct Open {
    line: usize,
    anchor: usize,
    kind: Kind,
    /// Nodes in it so far.
    nodes: usize,
}

enum Kind {
    List(Vec<Node>),
    /// With the key whose value comes next.
    Map(Vec<Entry>, Option<String>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), BadYaml> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let scalar = Scalar { text: text.into_owned(), plain };
                self.put(Node { line, value: Value::Scalar(scalar) }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.begin(line, anchor, Kind::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(line, anchor, Kind::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some((node, nodes)) = self.anchors.get(&anchor).cloned() else {
                    return Err(bad(line, "an alias of something that has not ended"));
                };
                self.put(Node { line, ..node }, 0, nodes)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, line: usize, anchor: usize, kind: Kind) -> Result<(), BadYaml> {
        if self.open.len() >= DEPTH_MAX {
            return Err(bad(line, &format!("more than {DEPTH_MAX} levels")));
        }
        self.open.push(Open { line, anchor, kind, nodes: 1 });
        Ok(())
    }

    fn end(&mut self) -> Result<(), BadYaml> {
        let Some(Open { line, anchor, kind, nodes }) = self.open.pop() else { return Ok(()) };
        let value = match kind {
            Kind::List(items) => Value::List(items),
            Kind::Map(entries, _) => Value::Map(merged(entries)),
        };
        self.put(Node { line, value }, anchor, nodes)
    }

    /// `node` is whole, and stands for `nodes` of them.
    fn put(&mut self, node: Node, anchor: usize, nodes: usize) -> Result<(), BadYaml> {
        let line = node.line;
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(bad(line, &format!("more than {NODES_MAX} values")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), nodes));
        }
        let Some(open) = self.open.last_mut() else {
            if !node.is_null() {
                self.done.push(node);
            }
            return Ok(());
        };
        open.nodes += nodes;
        match &mut open.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(entries, key @ Some(_)) => {
                entries.push(Entry { key: key.take().unwrap_or_default(), node });
            }
            Kind::Map(_, key @ None) => match node.value {
                Value::Scalar(scalar) => *key = Some(scalar.text),
                _ => return Err(bad(line, "a key that is no scalar")),
            },
        }
        Ok(())
    }
}

/// With `<<: *other` resolved: own keys win over merged ones, earlier merged ones over later.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_merge);
    for merge in merges {
        let sources = match merge.node.value {
            Value::List(items) => items,
            value => vec![Node { line: merge.node.line, value }],
        };
        for entry in sources.into_iter().flat_map(entries_of) {
            if own.iter().all(|known| known.key != entry.key) {
                own.push(entry);
            }
        }
    }
    own
}

fn is_merge(entry: &Entry) -> bool {
    let mergeable = match &entry.node.value {
        Value::Map(_) => true,
        Value::List(items) => items.iter().all(Node::is_map),
        Value::Scalar(_) => false,
    };
    entry.key == "<<" && mergeable
}

fn entries_of(node: Node) -> Vec<Entry> {
    match node.value {
        Value::Map(entries) => entries,
        _ => Vec::new(),
    }
}

fn bad(line: usize, what: &str) -> BadYaml {
    BadYaml { line, what: what.to_owned() }
}
