//! Text to documents.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, Span, StrInput};

use super::{Key, Value, Yaml, json, scalar};

/// Deeper nesting than any Kubernetes object has.
const MAX_DEPTH: usize = 100;

/// How many nodes aliases may add to a document: a few lines can otherwise stand for gigabytes.
const MAX_ALIASED: usize = 100_000;

/// A document of a stream, or why it is none.
pub type Document = Result<Yaml, SyntaxError>;

/// Text that is not YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid YAML: {reason}")]
pub struct SyntaxError {
    /// Where, from 1.
    pub line: u32,
    /// What is wrong.
    pub reason: String,
}

/// The documents of a stream, those without content left out. Each is parsed by itself: a broken one costs no other.
#[must_use]
pub fn documents(text: &str) -> Vec<Document> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    for (first_line, chunk) in chunks(text) {
        for (lines, value) in json::values(chunk) {
            Builder::new(value, first_line + lines).run(&mut documents);
        }
    }
    documents
}

/// The text cut before each line that starts a document, with the number of lines before each piece.
fn chunks(text: &str) -> Vec<(u32, &str)> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    for (line_number, line) in (0_u32..).zip(text.split_inclusive('\n')) {
        let starts = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if starts && at > start {
            chunks.push((start_line, text.get(start..at).unwrap_or_default()));
            (start, start_line) = (at, line_number);
        }
        at += line.len();
    }
    chunks.push((start_line, text.get(start..).unwrap_or_default()));
    chunks
}

/// Builds trees from the parser's events, without recursion.
struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    lines_before: u32,
    open: Vec<Open>,
    anchors: HashMap<usize, Yaml>,
    aliased: usize,
}

/// A list or mapping whose end is still to come.
struct Open {
    line: u32,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Yaml>),
    Map(Vec<(Key, Yaml)>, Option<Key>),
}

impl<'a> Builder<'a> {
    fn new(chunk: &'a str, lines_before: u32) -> Self {
        Self {
            parser: Parser::new_from_str(chunk),
            lines_before,
            open: Vec::new(),
            anchors: HashMap::new(),
            aliased: 0,
        }
    }

    fn run(mut self, documents: &mut Vec<Document>) {
        while let Some(event) = self.parser.next_event() {
            let done = match event {
                Ok((Event::StreamEnd, _)) => break,
                Ok((event, span)) => self.event(event, span),
                Err(error) => Err(self.error(error.marker().line(), error.info())),
            };
            match done {
                Ok(Some(Yaml { value: Value::Null, .. }) | None) => {}
                Ok(Some(document)) => documents.push(Ok(document)),
                Err(error) => return documents.push(Err(error)),
            }
        }
    }

    /// Takes one event; the root, once it is whole.
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<Option<Yaml>, SyntaxError> {
        let line = self.lines_before + u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                return self.add(anchor, Yaml { line, value: scalar::value(&text, style, tag.as_deref()) });
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value =
                    value.ok_or_else(|| self.error(span.start.line(), "an alias to an unfinished anchor"))?;
                self.spend(nodes(&value), line)?;
                return self.add(0, value);
            }
            Event::SequenceStart(anchor, _) => self.enter(line, anchor, Items::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => self.enter(line, anchor, Items::Map(Vec::new(), None))?,
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(None) };
                let value = match open.items {
                    Items::List(items) => Value::List(items),
                    Items::Map(entries, _) => {
                        no_key_twice(&entries)?;
                        Value::Map(merged(entries))
                    }
                };
                return self.add(open.anchor, Yaml { line: open.line, value });
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(None)
    }

    fn enter(&mut self, line: u32, anchor: usize, items: Items) -> Result<(), SyntaxError> {
        if self.open.len() == MAX_DEPTH {
            return Err(SyntaxError { line, reason: format!("nested deeper than {MAX_DEPTH} levels") });
        }
        self.open.push(Open { line, anchor, items });
        Ok(())
    }

    /// Puts a finished node into the list or mapping it belongs to; the node itself where that is the document.
    fn add(&mut self, anchor: usize, node: Yaml) -> Result<Option<Yaml>, SyntaxError> {
        if anchor != 0 {
            self.spend(nodes(&node), node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => return Ok(Some(node)),
            Some(Open { items: Items::List(items), .. }) => items.push(node),
            Some(Open { items: Items::Map(entries, key), .. }) => match key.take() {
                None => *key = Some(as_key(node)?),
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(None)
    }

    fn spend(&mut self, nodes: usize, line: u32) -> Result<(), SyntaxError> {
        self.aliased += nodes;
        if self.aliased > MAX_ALIASED {
            return Err(SyntaxError {
                line,
                reason: format!("aliases stand for more than {MAX_ALIASED} nodes"),
            });
        }
        Ok(())
    }

    fn error(&self, line: usize, reason: &str) -> SyntaxError {
        SyntaxError {
            line: self.lines_before + u32::try_from(line).unwrap_or(u32::MAX),
            reason: reason.to_owned(),
        }
    }
}

/// A node as a key. Kubernetes' keys are strings; a number or a boolean stands for its text.
fn as_key(node: Yaml) -> Result<Key, SyntaxError> {
    let line = node.line;
    let text = match node.value {
        Value::String(text) => text,
        Value::Int(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Bool(bool) => bool.to_string(),
        // `kubectl` makes `true` or `false` of it; what is written says more.
        Value::OldBool(_, text) => text,
        Value::Null => "null".to_owned(),
        Value::List(_) | Value::Map(_) => {
            let reason = "a key must be a string (a `{{ template }}` must be rendered first)".to_owned();
            return Err(SyntaxError { line, reason });
        }
    };
    Ok(Key { line, text })
}

fn no_key_twice(entries: &[(Key, Yaml)]) -> Result<(), SyntaxError> {
    let mut keys: Vec<&Key> = entries.iter().map(|(key, _)| key).filter(|key| key.text != MERGE).collect();
    keys.sort_by_key(|key| (&key.text, key.line));
    for pair in keys.windows(2) {
        if let [first, again] = pair
            && first.text == again.text
        {
            let reason = format!("key {:?} is given twice, first on line {}", again.text, first.line);
            return Err(SyntaxError { line: again.line, reason });
        }
    }
    Ok(())
}

/// The key that takes another mapping's entries over, which `kubectl` knows as well.
const MERGE: &str = "<<";

fn merged(entries: Vec<(Key, Yaml)>) -> Vec<(Key, Yaml)> {
    if !entries.iter().any(|(key, _)| key.text == MERGE) {
        return entries;
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| key.text == MERGE);
    for (_, source) in merges {
        let sources = match source.value {
            Value::List(items) => items,
            _ => vec![source],
        };
        for (key, value) in sources.into_iter().filter_map(into_entries).flatten() {
            if !own.iter().any(|(known, _)| known.text == key.text) {
                own.push((key, value));
            }
        }
    }
    own
}

fn into_entries(node: Yaml) -> Option<Vec<(Key, Yaml)>> {
    match node.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    }
}

/// How many nodes a tree has.
fn nodes(node: &Yaml) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(nodes).sum(),
        Value::Map(entries) => entries.iter().map(|(_, value)| nodes(value)).sum(),
        _ => 0,
    }
}
