//! YAML as lock files and workspace files use it: maps, lists and scalars as text.
//!
//! Bounded in depth and in size, aliases included, so that a hostile file cannot grow in memory.

use granit_parser::{Event, Parser, ScalarStyle};
use std::collections::BTreeMap;

/// Deeper than any lock file; a tool that nests more is not one of ours.
const DEEPEST: usize = 64;
/// Values in one file; a lock file of 50,000 packages has about a million.
const MOST: usize = 8_000_000;

/// A value; every scalar is its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Yaml {
    Scalar(String),
    List(Vec<Yaml>),
    /// In the order of the file.
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    /// The documents of a file; `None` when it is not YAML, nests too deeply or is too large.
    pub fn documents(text: &str) -> Option<Vec<Self>> {
        let mut reader = Reader::default();
        for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
            reader.take(event.ok()?.0)?;
        }
        Some(reader.documents)
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            Self::Scalar(_) | Self::List(_) => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text),
            Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The text under a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::as_str)
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            Self::Scalar(_) | Self::List(_) => &[],
        }
    }

    /// The entries of the map under a key.
    pub fn map(&self, key: &str) -> &[(String, Self)] {
        self.get(key).map_or(&[], Self::entries)
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Scalar(_) | Self::Map(_) => &[],
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Scalar(_) => 1,
            Self::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Self::Map(entries) => 1 + entries.iter().map(|(_, value)| 1 + value.size()).sum::<usize>(),
        }
    }
}

/// A list or map that is not closed yet.
struct Open {
    value: Yaml,
    /// Of a map: the key that waits for its value.
    key: Option<String>,
    anchor: usize,
}

#[derive(Default)]
struct Reader {
    documents: Vec<Yaml>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Yaml>,
    size: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                self.size += 1;
                // The parser's word for nothing, which no file of ours writes for anything else.
                let is_nothing = style == ScalarStyle::Plain && text == "~";
                let text = if is_nothing { String::new() } else { text.into_owned() };
                self.close(Yaml::Scalar(text), anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.start(Yaml::List(Vec::new()), anchor),
            Event::MappingStart(_, anchor, _) => self.start(Yaml::Map(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { value, anchor, .. } = self.open.pop()?;
                self.close(value, anchor)
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor)?.clone();
                self.size += value.size();
                self.close(value, 0)
            }
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Some(())
            }
            // Streams, ends of documents and comments hold no values.
            _ => Some(()),
        }
    }

    fn start(&mut self, value: Yaml, anchor: usize) -> Option<()> {
        self.size += 1;
        self.open.push(Open { value, key: None, anchor });
        (self.open.len() <= DEEPEST).then_some(())
    }

    fn close(&mut self, value: Yaml, anchor: usize) -> Option<()> {
        if anchor > 0 {
            self.size += value.size();
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut() {
            None => self.documents.push(value),
            Some(Open { value: Yaml::List(items), .. }) => items.push(value),
            Some(Open { value: Yaml::Map(entries), key, .. }) => match (key.take(), value) {
                (Some(key), value) => entries.push((key, value)),
                (None, Yaml::Scalar(text)) => *key = Some(text),
                // A list or map as a key: no tool of ours writes one.
                (None, _) => return None,
            },
            Some(Open { value: Yaml::Scalar(_), .. }) => return None,
        }
        (self.size <= MOST).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_lists_and_aliases_are_read() {
        let read = &Yaml::documents("a: &x [1, 'two']\n'b@c': {d: *x, e: }\n---\nz: 1\n").unwrap()[0];
        assert_eq!(read.get("a").unwrap().items().len(), 2);
        assert_eq!(read.get("b@c").unwrap().get("d"), read.get("a"));
        assert_eq!(read.get("b@c").unwrap().text("e"), Some(""));
        assert!(Yaml::documents("a: [").is_none());
    }

    #[test]
    fn a_bomb_is_refused_and_so_is_depth() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
        }
        assert_eq!(Yaml::documents(&bomb), None);
        assert_eq!(Yaml::documents(&"[".repeat(5_000)), None);
        assert_eq!(Yaml::documents(&format!("{}{}", "[".repeat(100), "]".repeat(100))), None);
    }
}
