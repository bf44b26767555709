//! A file that somebody is typing in: after every edit, its facts.
//!
//! A valid text is read as at rest, exactly. In a text that is in error, the part with what was typed since it was last
//! valid (a statement, a member of a class, or what stands between two of them) is read by the grammar that survives
//! errors, and everything around it exactly: an open brace or quote costs no more than its own statement. A text that
//! was never valid, or is in error in more places than were edited, is read by that grammar whole.
//!
//! The facts are always those of the text as it is now; nothing is carried over from before but where the text was valid.

use super::ecma::{self, Hole, Part, PartKind};
use super::{assemble, lines};
use crate::graph::{FileFacts, Indexed, analyse_as_typed};
use crate::path::RelPath;
use crate::syntax::{self, Language};
use crate::text::LineIndex;
use oxc_span::SourceType;
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

/// An open document.
pub struct LiveFile {
    path: RelPath,
    text: Arc<str>,
    indexed: Arc<Indexed>,
    index: LineIndex,
    /// How deeply the text can be nested at most.
    levels: usize,
    /// Of the last valid text.
    valid: Option<Valid>,
}

struct Valid {
    parts: Vec<Part>,
    /// Bytes of the valid text that were replaced since.
    replaced: Range<usize>,
    /// How many bytes came in their place.
    inserted: usize,
}

/// A part that is larger is not read by itself: the text before what was typed is taken for it.
const MAX_HOLE: usize = 48 << 10;

impl LiveFile {
    /// Opens a document.
    pub fn new(path: RelPath, text: Arc<str>) -> Self {
        let nothing = Indexed::live(Arc::from(""), FileFacts::default());
        let (index, levels) = (LineIndex::new(&text), syntax::levels_at_most(&text));
        let mut file = Self { path, text, indexed: Arc::new(nothing), index, levels, valid: None };
        file.read();
        file
    }

    pub fn path(&self) -> &RelPath {
        &self.path
    }

    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The facts of the text as it is.
    pub fn indexed(&self) -> &Arc<Indexed> {
        &self.indexed
    }

    /// Replaces the bytes of `range`, which is clamped to the text and to character boundaries.
    pub fn edit(&mut self, range: Range<usize>, new_text: &str) -> &Arc<Indexed> {
        let start = floor(&self.text, range.start);
        let end = floor(&self.text, range.end.max(range.start)).max(start);
        let text = format!("{}{new_text}{}", &self.text[..start], &self.text[end..]);
        self.follow(Arc::from(text), start..end, new_text.len())
    }

    /// Takes the whole text after any number of edits.
    pub fn update(&mut self, text: Arc<str>) -> &Arc<Indexed> {
        let (replaced, inserted) = difference(&self.text, &text);
        self.follow(text, replaced, inserted)
    }

    fn follow(&mut self, text: Arc<str>, replaced: Range<usize>, inserted: usize) -> &Arc<Indexed> {
        if let Some(valid) = &mut self.valid {
            valid.note(&replaced, inserted);
        }
        // No word goes over the end of a line, so that only the lines of the edit have to be counted again.
        let end = replaced.start + inserted;
        let line = |text: &str, range: Range<usize>| {
            let start = text.as_bytes()[..range.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let rest = text.as_bytes()[range.end..].iter().position(|byte| *byte == b'\n');
            syntax::levels_at_most(&text[start..rest.map_or(text.len(), |at| range.end + at)])
        };
        let (gone, come) = (line(&self.text, replaced.clone()), line(&text, replaced.start..end));
        self.levels = self.levels + come - gone;
        self.index.splice(&text, replaced, inserted);
        self.text = text;
        self.read();
        &self.indexed
    }

    fn read(&mut self) {
        let text = self.text.clone();
        let facts = self.facts(&text);
        self.indexed = Arc::new(Indexed::live(text, facts));
    }

    fn facts(&mut self, text: &str) -> FileFacts {
        let types = syntax::source_types(&self.path).unwrap_or_default();
        let Some(language) = Language::of(&self.path).filter(|_| text.len() <= super::MAX_BYTES) else {
            self.valid = None;
            return super::facts(&self.path, text);
        };
        let generated = crate::graph::generated::is_generated(&self.path, text);
        let index = &self.index;
        let read = syntax::if_at_most(self.levels, || {
            let broken = self.valid.as_ref().is_some_and(|valid| valid.is_surely_broken(&types, text));
            if broken { None } else { ecma::read_with_parts(&types, text, index) }
        });
        match read {
            Some(Some((found, parts))) => {
                self.valid = Some(Valid { parts, replaced: 0..0, inserted: usize::MAX });
                return assemble(found, false, generated);
            }
            Some(None) => {}
            None => {
                self.valid = None;
                return super::facts(&self.path, text);
            }
        }
        let around = self.valid.as_ref().and_then(|valid| {
            let read = || valid.read_around(&types, language, text, index, generated);
            syntax::if_at_most(self.levels, read).flatten()
        });
        around.unwrap_or_else(|| {
            self.valid = None;
            FileFacts { broken: true, lines: lines(&self.index), ..analyse_as_typed(&self.path, text) }
        })
    }
}

impl Valid {
    /// Takes an edit of the text as it was before it.
    fn note(&mut self, replaced: &Range<usize>, inserted: usize) {
        if self.inserted == usize::MAX {
            (self.replaced, self.inserted) = (replaced.clone(), inserted);
            return;
        }
        let new_end = self.replaced.start + self.inserted;
        let before = self.replaced.start.saturating_sub(replaced.start);
        let after = replaced.end.saturating_sub(new_end);
        self.replaced = self.replaced.start - before..self.replaced.end + after;
        self.inserted = self.inserted + before + after + inserted - replaced.len();
    }

    /// Whether what was typed is in error where it stands, whatever the statements beside it say: they are left out, so
    /// that little has to be read.
    fn is_surely_broken(&self, types: &[SourceType], text: &str) -> bool {
        if self.inserted == usize::MAX {
            return false;
        }
        let (old_end, new_end) = (self.replaced.end, self.replaced.start + self.inserted);
        let now = |at: u32| match at as usize {
            at if at <= self.replaced.start => at,
            at => (at + new_end).saturating_sub(old_end),
        };
        let apart = |part: &&Part| part.end as usize + 1 < self.replaced.start || part.start as usize > old_end + 1;
        let units = || self.parts.iter().filter(|part| !part.is_list()).filter(apart);
        // The neighbours stay: `if (x)` is sound where a statement follows, `@d` where a member does, `else` after an `if`.
        let before = units().filter(|part| (part.start as usize) < self.replaced.start);
        let before = before.max_by_key(|part| (part.end, Reverse(part.start)));
        let after = units().filter(|part| part.start as usize > old_end);
        let after = after.min_by_key(|part| (part.start, Reverse(part.end)));
        let is_neighbour = |part: &Part| [before, after].into_iter().flatten().any(|other| std::ptr::eq(other, part));
        let mut bare = String::new();
        let mut from = 0;
        for part in units().filter(|part| !is_neighbour(part)) {
            let (start, end) = (now(part.start), now(part.end));
            if start < from {
                continue;
            }
            bare.push_str(text.get(from..start).unwrap_or_default());
            bare.push('\n');
            from = end;
        }
        bare.push_str(text.get(from..).unwrap_or_default());
        !types.iter().any(|source_type| ecma::is_valid(*source_type, &bare))
    }

    fn read_around(
        &self,
        types: &[SourceType],
        language: Language,
        text: &str,
        index: &LineIndex,
        generated: bool,
    ) -> Option<FileFacts> {
        let mut outer = Typed { range: self.replaced.clone(), glued: self.glued(text) };
        // Mostly the first try is it; the text around an edit that spans two lists is found on the second or third.
        for _ in 0..4 {
            let (part, of_class) = self.enclosing(&outer)?;
            let after = part.end - self.replaced.end;
            let range = part.start..self.replaced.start + self.inserted + after;
            if range.len() > MAX_HOLE {
                return self.without(types, text, index, generated);
            }
            let hole = Hole { range, of_class, language };
            if let Some(filled) = blanked(text, hole.range.clone(), hole.mark())
                && let Some(found) = ecma::read_around(types, text, &filled, index, &hole)
            {
                return Some(assemble(found, true, generated));
            }
            outer = Typed { range: part.start.saturating_sub(1)..part.end + 1, glued: [true; 2] };
        }
        None
    }

    /// The facts without what was typed, when that leaves a valid text: of a declaration too long to be read anew.
    fn without(&self, types: &[SourceType], text: &str, index: &LineIndex, generated: bool) -> Option<FileFacts> {
        let typed = self.replaced.start..self.replaced.start + self.inserted;
        let filled = blanked(text, typed, "")?;
        let found = ecma::read(types, &filled, index)?;
        Some(assemble(found, true, generated))
    }

    /// Whether what was typed touches the words before and after it.
    fn glued(&self, text: &str) -> [bool; 2] {
        let meets = |at: usize| {
            let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
            let blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
            !blank(before.chars().next_back()) && !blank(after.chars().next())
        };
        [meets(self.replaced.start), meets(self.replaced.start + self.inserted)]
    }

    /// The bytes of the valid text that have to be left out for `typed` to be, and whether that is in a class.
    fn enclosing(&self, typed: &Typed) -> Option<(Range<usize>, bool)> {
        let bytes = |part: &Part| part.start as usize..part.end as usize;
        // Parts are in the order of their starts, the outer ones first: the last one around it is the innermost.
        let inner = self.parts.iter().rev().find(|part| typed.is_in(part))?;
        let (list_kind, of_class) = match inner.kind {
            PartKind::Statement => return Some((bytes(inner), false)),
            PartKind::Member => return Some((bytes(inner), true)),
            PartKind::Statements => (PartKind::Statement, false),
            PartKind::Members => (PartKind::Member, true),
        };
        // What the edit touches in the list goes with it.
        let in_list = |part: &&Part| part.kind == list_kind && inner.start <= part.start && part.end <= inner.end;
        let touched = self.parts.iter().filter(in_list).filter(|part| typed.touches(part));
        let whole = touched.fold(typed.range.clone(), |whole, part| {
            whole.start.min(part.start as usize)..whole.end.max(part.end as usize)
        });
        Some((whole, of_class))
    }
}

/// Bytes of the valid text that were replaced.
struct Typed {
    range: Range<usize>,
    /// Whether what stands there now touches the words before and after it.
    glued: [bool; 2],
}

impl Typed {
    fn touches(&self, part: &Part) -> bool {
        let (start, end) = (part.start as usize, part.end as usize);
        let [before, after] = self.glued;
        (start < self.range.end || start == self.range.end && after)
            && (self.range.start < end || self.range.start == end && before)
    }

    fn is_in(&self, part: &Part) -> bool {
        let around = part.start as usize <= self.range.start && self.range.end <= part.end as usize;
        around && (part.is_list() || self.touches(part))
    }
}

/// The text with a range blanked, but for its line ends and the mark at its start. `None`: the mark does not fit.
fn blanked(text: &str, range: Range<usize>, mark: &str) -> Option<String> {
    let part = text.get(range.clone())?;
    if part.len() < mark.len() {
        return None;
    }
    let mut filled = String::with_capacity(text.len());
    filled.push_str(&text[..range.start]);
    filled.push_str(mark);
    filled.extend(
        part.bytes().skip(mark.len()).map(|byte| if matches!(byte, b'\n' | b'\r') { byte as char } else { ' ' }),
    );
    filled.push_str(&text[range.end..]);
    Some(filled)
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The bytes of `old` that differ, and how many bytes of `new` stand there.
fn difference(old: &str, new: &str) -> (Range<usize>, usize) {
    let same = |(a, b): &(u8, u8)| a == b;
    let start = old.bytes().zip(new.bytes()).take_while(same).count();
    let most = old.len().min(new.len()) - start;
    let end = old.bytes().rev().zip(new.bytes().rev()).take(most).take_while(same).count();
    (start..old.len() - end, new.len() - end - start)
}

#[cfg(test)]
mod tests;
