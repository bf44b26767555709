//! Open documents as the editor owns them: text, version, and whether both are still in step with it.
//!
//! Every call is short and never waits for the client. A document outside the root, or without a file, is kept by its
//! URI alone. This module must not know LSP types, and it never reads or writes a file.

use crate::workspace::Root;
use krins_core::text::{Encoding, LineIndex, Position};
use krins_core::{Digest, RelPath};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// One open document at one version. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Document {
    /// As the editor spells it; answers go back with this spelling.
    pub uri: Arc<str>,
    /// Its place in the root, if it has one.
    pub path: Option<RelPath>,
    pub version: i32,
    pub text: Arc<str>,
    lines: Arc<LineIndex>,
    /// True after a change that came out of order or could not be applied: the text is not what the editor shows,
    /// until the next full text.
    pub desynchronised: bool,
    /// True once the editor said it saved this very version.
    pub saved: bool,
}

impl Document {
    pub fn lines(&self) -> &LineIndex {
        &self.lines
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&*self.text)
    }
}

/// One content change: a range of the text so far, or the full text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `None` replaces everything.
    pub range: Option<Range<Position>>,
    pub text: String,
}

/// Why a notification was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("change {uri}: the document is not open")]
    NotOpen { uri: String },
    #[error("change {uri}: version {got} came after version {known}")]
    OutOfOrder { uri: String, known: i32, got: i32 },
    #[error("change {uri}: it is out of step with the editor since an earlier change")]
    Desynchronised { uri: String },
}

/// All open documents at one moment.
#[derive(Clone, Debug, Default)]
pub struct OpenDocuments {
    by_uri: BTreeMap<Arc<str>, Document>,
    by_path: BTreeMap<RelPath, Arc<str>>,
}

impl OpenDocuments {
    pub fn uri(&self, uri: &str) -> Option<&Document> {
        self.by_uri.get(uri)
    }

    pub fn path(&self, path: &RelPath) -> Option<&Document> {
        self.by_uri.get(self.by_path.get(path)?)
    }

    /// The text of the open document at `path`; `None` when none is open there or it is out of step.
    pub fn text(&self, path: &RelPath) -> Option<Arc<str>> {
        self.path(path).filter(|document| !document.desynchronised).map(|document| document.text.clone())
    }

    /// Sorted by URI.
    pub fn iter(&self) -> impl Iterator<Item = &Document> {
        self.by_uri.values()
    }
}

/// The live documents.
#[derive(Debug)]
pub struct Documents {
    root: Arc<Root>,
    encoding: Encoding,
    open: Mutex<Arc<OpenDocuments>>,
    changed: watch::Sender<u64>,
}

impl Documents {
    /// `encoding` is the negotiated position encoding.
    pub fn new(root: Arc<Root>, encoding: Encoding) -> Self {
        Self { root, encoding, open: Mutex::default(), changed: watch::channel(0).0 }
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// All documents as they are now. Costs one reference count.
    pub fn snapshot(&self) -> Arc<OpenDocuments> {
        self.lock().clone()
    }

    pub fn get(&self, uri: &str) -> Option<Document> {
        self.lock().uri(uri).cloned()
    }

    /// Opens a document, or opens it anew.
    pub fn open(&self, uri: &str, version: i32, text: String) {
        let path = self.root.relative_uri(uri);
        let lines = Arc::new(LineIndex::new(&text));
        let document =
            Document { uri: uri.into(), path, version, text: text.into(), lines, desynchronised: false, saved: false };
        self.update(|open| {
            if let Some(path) = &document.path {
                open.by_path.insert(path.clone(), document.uri.clone());
            }
            open.by_uri.insert(document.uri.clone(), document);
            Ok(())
        })
        .unwrap_or_default();
    }

    /// Applies the changes of one notification, in order. On an error the document is marked as out of step.
    pub fn change(&self, uri: &str, version: i32, changes: &[Change]) -> Result<(), DocumentError> {
        let encoding = self.encoding;
        self.update(|open| {
            let document = open.by_uri.get_mut(uri).ok_or_else(|| DocumentError::NotOpen { uri: uri.into() })?;
            change(document, version, changes, encoding)
        })
    }

    /// The editor saved it; `text` is the saved text when the editor sends it.
    pub fn save(&self, uri: &str, text: Option<String>) -> Result<(), DocumentError> {
        self.update(|open| {
            let document = open.by_uri.get_mut(uri).ok_or_else(|| DocumentError::NotOpen { uri: uri.into() })?;
            if let Some(text) = text {
                replace_all(document, text);
            }
            document.saved = true;
            Ok(())
        })
    }

    /// What it holds is no longer known: a change to it was lost. It is refused until its next full text.
    pub fn desynchronise(&self, uri: &str) {
        // A document that is not open has nothing to lose.
        let _ = self.update(|open| {
            if let Some(document) = open.by_uri.get_mut(uri) {
                document.desynchronised = true;
            }
            Ok(())
        });
    }

    /// Forgets it; what is on disk is the truth again.
    pub fn close(&self, uri: &str) {
        self.update(|open| {
            let path = open.by_uri.remove(uri).and_then(|document| document.path);
            if let Some(path) = path.filter(|path| open.by_path.get(path).is_some_and(|spelt| &**spelt == uri)) {
                open.by_path.remove(&path);
            }
            Ok(())
        })
        .unwrap_or_default();
    }

    /// Ticks at every change of any document.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waits until `done` holds for the document (`None`: closed), at most `limit`. Gives the document as it was last.
    pub async fn wait_until(
        &self,
        uri: &str,
        limit: Duration,
        done: impl Fn(Option<&Document>) -> bool,
    ) -> Option<Document> {
        let mut ticks = self.watch();
        let settled = async {
            loop {
                ticks.borrow_and_update();
                let document = self.get(uri);
                if done(document.as_ref()) || ticks.changed().await.is_err() {
                    return document;
                }
            }
        };
        match tokio::time::timeout(limit, settled).await {
            Ok(document) => document,
            Err(_) => self.get(uri),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<OpenDocuments>> {
        // A panic while it was held left at worst one document half changed; it is marked below before it is touched.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(
        &self,
        update: impl FnOnce(&mut OpenDocuments) -> Result<(), DocumentError>,
    ) -> Result<(), DocumentError> {
        let result = update(Arc::make_mut(&mut self.lock()));
        self.changed.send_modify(|tick| *tick = tick.wrapping_add(1));
        result
    }
}

fn change(document: &mut Document, version: i32, changes: &[Change], encoding: Encoding) -> Result<(), DocumentError> {
    let uri = || document.uri.to_string();
    // Everything before the last full text is overwritten by it anyway.
    let full = changes.iter().rposition(|change| change.range.is_none());
    if full.is_none() {
        let known = document.version;
        if document.desynchronised {
            return Err(DocumentError::Desynchronised { uri: uri() });
        }
        if version <= known {
            let error = DocumentError::OutOfOrder { uri: uri(), known, got: version };
            document.desynchronised = true;
            return Err(error);
        }
    }
    document.version = version;
    document.saved = false;
    let mut text = match full {
        Some(at) => changes[at].text.clone(),
        None => document.text.to_string(),
    };
    let mut lines = match full {
        Some(_) => LineIndex::new(&text),
        None => LineIndex::clone(&document.lines),
    };
    for change in &changes[full.map_or(0, |at| at + 1)..] {
        let Some(range) = &change.range else { continue };
        let start = lines.offset(&text, range.start, encoding);
        let end = lines.offset(&text, range.end, encoding).max(start);
        text.replace_range(start..end, &change.text);
        lines.splice(&text, start..end, change.text.len());
    }
    document.text = text.into();
    document.lines = Arc::new(lines);
    document.desynchronised = false;
    Ok(())
}

fn replace_all(document: &mut Document, text: String) {
    if *document.text != *text {
        document.lines = Arc::new(LineIndex::new(&text));
        document.text = text.into();
    }
    document.desynchronised = false;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

    fn documents(encoding: Encoding) -> (tempfile::TempDir, Documents) {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        (dir, Documents::new(root, encoding))
    }

    fn at(line: u32, column: u32) -> Position {
        Position { line, column }
    }

    fn edit(range: Range<Position>, text: &str) -> Change {
        Change { range: Some(range), text: text.into() }
    }

    /// The naive model: a list of characters; lines are found by walking, columns by counting units.
    fn naive_offset(text: &[char], position: Position, encoding: Encoding) -> usize {
        let mut line = 0;
        let mut at = 0;
        while line < position.line {
            match text.get(at) {
                None => return text.len(),
                Some('\r') if text.get(at + 1) == Some(&'\n') => (at, line) = (at + 2, line + 1),
                Some('\r' | '\n') => (at, line) = (at + 1, line + 1),
                Some(_) => at += 1,
            }
        }
        let mut left = position.column as usize;
        while let Some(c) = text.get(at).filter(|c| !matches!(c, '\r' | '\n')) {
            let units = match encoding {
                Encoding::Utf8 => c.len_utf8(),
                Encoding::Utf16 => c.len_utf16(),
                Encoding::Utf32 => 1,
            };
            if left < units {
                break;
            }
            left -= units;
            at += 1;
        }
        at
    }

    fn texts() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                Just("\n"),
                Just("\r"),
                Just("\r\n"),
                Just("a"),
                Just("é"),
                Just("日"),
                Just("𝄞"),
                Just("let x;")
            ],
            0..12,
        )
        .prop_map(|parts| parts.concat())
    }

    fn edits() -> impl Strategy<Value = Vec<(u32, u32, u32, u32, String)>> {
        proptest::collection::vec((0..6u32, 0..9u32, 0..4u32, 0..9u32, texts()), 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn edits_give_what_a_naive_model_gives(start in texts(), edits in edits(), one_notification: bool) {
            for encoding in ENCODINGS {
                let (_dir, documents) = documents(encoding);
                documents.open("untitled:x", 1, start.clone());
                let mut model: Vec<char> = start.chars().collect();
                let mut changes = Vec::new();
                for (line, column, more, end_column, text) in &edits {
                    let range = at(*line, *column)..at(line + more, *end_column);
                    let from = naive_offset(&model, range.start, encoding);
                    let to = naive_offset(&model, range.end, encoding).max(from);
                    model.splice(from..to, text.chars());
                    changes.push(edit(range, text));
                }
                if one_notification {
                    documents.change("untitled:x", 2, &changes).unwrap();
                } else {
                    for (version, change) in changes.iter().enumerate() {
                        documents.change("untitled:x", version as i32 + 2, std::slice::from_ref(change)).unwrap();
                    }
                }
                let document = documents.get("untitled:x").unwrap();
                prop_assert_eq!(&*document.text, model.iter().collect::<String>());
                prop_assert_eq!(document.lines(), &LineIndex::new(&document.text));
            }
        }
    }

    #[test]
    fn a_change_out_of_order_desynchronises_until_the_next_full_text() {
        let (_dir, documents) = documents(Encoding::Utf16);
        documents.open("untitled:x", 5, "abc".into());
        assert!(matches!(
            documents.change("untitled:x", 5, &[edit(at(0, 0)..at(0, 1), "")]),
            Err(DocumentError::OutOfOrder { known: 5, got: 5, .. })
        ));
        assert!(documents.get("untitled:x").unwrap().desynchronised);
        assert!(documents.change("untitled:x", 6, &[edit(at(0, 0)..at(0, 1), "")]).is_err());
        assert_eq!(&*documents.get("untitled:x").unwrap().text, "abc");
        documents
            .change("untitled:x", 7, &[Change { range: None, text: "new".into() }, edit(at(0, 0)..at(0, 1), "N")])
            .unwrap();
        let document = documents.get("untitled:x").unwrap();
        assert_eq!((&*document.text, document.version, document.desynchronised), ("New", 7, false));
    }

    #[test]
    fn documents_are_found_by_path_until_they_are_closed() {
        let (dir, documents) = documents(Encoding::Utf16);
        let uri = format!("file://{}/a%20b.ts", dir.path().display());
        let path = RelPath::new("a b.ts").unwrap();
        documents.open(&uri, 1, "x".into());
        documents.open("file:///elsewhere/b.ts", 1, "y".into());
        let before = documents.snapshot();
        assert_eq!(before.path(&path).unwrap().uri.as_ref(), uri);
        assert!(before.uri("file:///elsewhere/b.ts").unwrap().path.is_none());
        documents.close(&uri);
        assert!(documents.snapshot().path(&path).is_none());
        assert!(before.path(&path).is_some(), "a snapshot does not change");
        assert!(matches!(documents.change(&uri, 2, &[]), Err(DocumentError::NotOpen { .. })));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_change_or_with_the_limit() {
        let (_dir, documents) = documents(Encoding::Utf16);
        let documents = Arc::new(documents);
        documents.open("untitled:x", 1, "a".into());
        let waiter = tokio::spawn({
            let documents = documents.clone();
            async move {
                documents
                    .wait_until("untitled:x", Duration::from_secs(10), |d| d.is_some_and(|d| &*d.text == "ab"))
                    .await
            }
        });
        tokio::task::yield_now().await;
        documents.change("untitled:x", 2, &[edit(at(0, 1)..at(0, 1), "b")]).unwrap();
        assert_eq!(waiter.await.unwrap().unwrap().version, 2);
        let late = documents.wait_until("untitled:x", Duration::from_millis(5), |d| d.is_none()).await;
        assert_eq!(late.unwrap().version, 2);
    }
}
