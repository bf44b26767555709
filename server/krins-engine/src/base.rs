//! Open documents over the disk: the workspace as it is now ([`Current`]), and as it was when a task began ([`Base`]).
//!
//! Only a [`Snapshot`] makes a base. A base does not give the text of a file that the person keeps out
//! ([`crate::exclude`]): everything that a prompt can be made of is read through it. And it pins each file at its first read: the same path always gives the same
//! bytes, whatever happens to the file later.

use crate::documents::{Document, Documents, OpenDocuments};
use crate::exclude::Exclusions;
use crate::workspace::{Root, Walk};
use krins_core::{Digest, Entry, RelPath, Surroundings, Tree};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One moment of the open documents over a root. Taken before a request's first await.
#[derive(Clone, Debug)]
pub struct Snapshot {
    root: Arc<Root>,
    documents: Arc<OpenDocuments>,
}

impl Snapshot {
    pub fn take(root: &Arc<Root>, documents: &Documents) -> Self {
        Self { root: root.clone(), documents: documents.snapshot() }
    }

    /// Without open documents, for the command line.
    pub fn of_disk(root: &Arc<Root>) -> Self {
        Self { root: root.clone(), documents: Arc::default() }
    }

    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    pub fn documents(&self) -> &OpenDocuments {
        &self.documents
    }

    /// The base of a task that begins now.
    pub fn base(&self) -> Base {
        Base { snapshot: self.clone(), exclusions: Exclusions::of(&self.root), pins: Mutex::default() }
    }

    /// The files on disk and the open documents in the root that are not on disk yet, sorted by path.
    pub fn walk(&self) -> Walk {
        let mut walk = self.root.walk();
        let exclusions = Exclusions::of(&self.root);
        for document in self.documents.iter() {
            let Some(path) = &document.path else { continue };
            if let Err(at) = walk.files.binary_search_by(|file| file.path.cmp(path)) {
                // An ignored file stays ignored while it is open, so only new files are added.
                if self.root.entry(path) == Entry::Missing && !exclusions.hold(path) {
                    walk.files.insert(
                        at,
                        crate::workspace::Walked {
                            path: path.clone(),
                            size: document.text.len() as u64,
                            modified: None,
                        },
                    );
                }
            }
        }
        walk
    }
}

impl Tree for Snapshot {
    fn entry(&self, path: &RelPath) -> Entry {
        entry(&self.root, &self.documents, path)
    }

    fn text(&self, path: &RelPath) -> Option<Arc<str>> {
        text(&self.root, &self.documents, path)
    }

    fn surroundings(&self) -> Option<&dyn Surroundings> {
        Some(&*self.root)
    }
}

/// What a task read, pinned.
#[derive(Debug)]
pub struct Base {
    snapshot: Snapshot,
    exclusions: Exclusions,
    pins: Mutex<BTreeMap<RelPath, Entry>>,
}

/// A file that a task read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub path: RelPath,
    /// The open document's version; `None` for a file read from disk.
    pub version: Option<i32>,
    /// `None` for a file that is not there or was refused.
    pub sha256: Option<Digest>,
}

impl Base {
    /// Every file that was read so far, sorted by path.
    pub fn pins(&self) -> Vec<Pinned> {
        let pins: Vec<(RelPath, Entry)> =
            self.lock().iter().map(|(path, entry)| (path.clone(), entry.clone())).collect();
        let pinned = |(path, entry): (RelPath, Entry)| {
            let version = self.snapshot.documents.path(&path).map(|document| document.version);
            let sha256 = match entry {
                Entry::File { bytes, .. } => Some(Digest::of(&bytes)),
                Entry::Missing | Entry::Refused(_) => None,
            };
            Pinned { path, version, sha256 }
        };
        pins.into_iter().map(pinned).collect()
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What is in memory of a file, pinned or open, without pinning it.
    pub(crate) fn known(&self, path: &RelPath) -> Option<Entry> {
        let pinned = self.lock().get(path).cloned();
        pinned.or_else(|| self.snapshot.documents.path(path).is_some().then(|| self.read(path)))
    }

    pub fn exclusions(&self) -> &Exclusions {
        &self.exclusions
    }

    /// A file that is not there has no text to keep in, so that a task may still make it.
    fn read(&self, path: &RelPath) -> Entry {
        match self.snapshot.entry(path) {
            Entry::File { .. } if self.exclusions.hold(path) => Entry::Refused("kept out by an ignore file".into()),
            entry => entry,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RelPath, Entry>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree for Base {
    fn entry(&self, path: &RelPath) -> Entry {
        if let Some(pinned) = self.lock().get(path) {
            return pinned.clone();
        }
        // Read without the lock; whoever pins first wins, so that all readers see the same bytes.
        let entry = self.read(path);
        self.lock().entry(path.clone()).or_insert(entry).clone()
    }

    fn surroundings(&self) -> Option<&dyn Surroundings> {
        self.snapshot.surroundings()
    }
}

/// The workspace as it is at each call: open documents over the disk.
#[derive(Clone, Debug)]
pub struct Current {
    root: Arc<Root>,
    documents: Arc<Documents>,
}

impl Current {
    pub fn new(root: Arc<Root>, documents: Arc<Documents>) -> Self {
        Self { root, documents }
    }

    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    pub fn documents(&self) -> &Arc<Documents> {
        &self.documents
    }
}

impl Tree for Current {
    fn entry(&self, path: &RelPath) -> Entry {
        entry(&self.root, &self.documents.snapshot(), path)
    }

    fn text(&self, path: &RelPath) -> Option<Arc<str>> {
        text(&self.root, &self.documents.snapshot(), path)
    }

    fn surroundings(&self) -> Option<&dyn Surroundings> {
        Some(&*self.root)
    }
}

fn entry(root: &Root, documents: &OpenDocuments, path: &RelPath) -> Entry {
    match documents.path(path) {
        Some(document) if document.desynchronised => Entry::Refused(out_of_step(document)),
        Some(document) => {
            let executable = matches!(root.entry(path), Entry::File { executable: true, .. });
            Entry::File { bytes: document.text.as_bytes().into(), executable }
        }
        None => root.entry(path),
    }
}

fn text(root: &Root, documents: &OpenDocuments, path: &RelPath) -> Option<Arc<str>> {
    match documents.path(path) {
        Some(document) => (!document.desynchronised).then(|| document.text.clone()),
        None => root.text(path),
    }
}

fn out_of_step(document: &Document) -> String {
    format!("out of step with the editor since version {}: close and reopen it", document.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_core::text::Encoding;

    fn rel(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    fn sample() -> (tempfile::TempDir, Arc<Root>, Arc<Documents>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.ts"), "disk a").unwrap();
        std::fs::write(dir.path().join("b.ts"), "disk b").unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let documents = Arc::new(Documents::new(root.clone(), Encoding::Utf16));
        (dir, root, documents)
    }

    #[test]
    fn a_base_does_not_change_after_the_first_read() {
        let (dir, root, documents) = sample();
        documents.open(&root.uri(&rel("a.ts")), 3, "buffer a".into());
        let base = Snapshot::take(&root, &documents).base();
        let current = Current::new(root.clone(), documents.clone());
        assert_eq!(base.text(&rel("b.ts")).as_deref(), Some("disk b"));
        assert_eq!(base.entry(&rel("none.ts")), Entry::Missing);
        documents
            .change(&root.uri(&rel("a.ts")), 4, &[crate::documents::Change { range: None, text: "later".into() }])
            .unwrap();
        for name in ["b.ts", "none.ts"] {
            std::fs::write(dir.path().join(name), "later").unwrap();
            assert_eq!(current.text(&rel(name)).as_deref(), Some("later"));
        }
        assert_eq!(base.text(&rel("a.ts")).as_deref(), Some("buffer a"));
        assert_eq!(base.text(&rel("b.ts")).as_deref(), Some("disk b"));
        assert_eq!(base.entry(&rel("none.ts")), Entry::Missing);
        assert_eq!(current.text(&rel("a.ts")).as_deref(), Some("later"));
        let pins = base.pins();
        assert_eq!(pins[0], Pinned { path: rel("a.ts"), version: Some(3), sha256: Some(Digest::of("buffer a")) });
        assert_eq!(pins[1], Pinned { path: rel("b.ts"), version: None, sha256: Some(Digest::of("disk b")) });
        assert_eq!(pins[2].sha256, None);
    }

    #[test]
    fn a_document_out_of_step_is_refused_not_read_from_disk() {
        let (_dir, root, documents) = sample();
        let uri = root.uri(&rel("a.ts"));
        documents.open(&uri, 3, "buffer a".into());
        let stale = crate::documents::Change { range: Some(Default::default()..Default::default()), text: "x".into() };
        documents.change(&uri, 2, &[stale]).unwrap_err();
        let snapshot = Snapshot::take(&root, &documents);
        assert!(matches!(snapshot.entry(&rel("a.ts")), Entry::Refused(_)));
        assert_eq!(snapshot.text(&rel("a.ts")), None);
    }

    #[test]
    fn a_walk_holds_open_files_that_are_not_on_disk_yet() {
        let (_dir, root, documents) = sample();
        documents.open(&root.uri(&rel("aa.ts")), 1, "new".into());
        documents.open(&root.uri(&rel("b.ts")), 1, "b".into());
        let walk = Snapshot::take(&root, &documents).walk();
        assert_eq!(walk.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a.ts", "aa.ts", "b.ts"]);
    }

    #[test]
    fn what_is_kept_out_is_not_read_from_disk_nor_from_a_buffer() {
        let (dir, root, documents) = sample();
        std::fs::write(dir.path().join(".krinsignore"), "b.ts\nnew.ts\n").unwrap();
        for name in ["b.ts", "new.ts"] {
            let uri = root.uri(&rel(name));
            let read = || Snapshot::take(&root, &documents).base().text(&rel(name));
            assert_eq!(read(), None, "{name}");
            documents.open(&uri, 1, "typed".into());
            assert_eq!(read(), None, "{name} in a buffer");
        }
        let snapshot = Snapshot::take(&root, &documents);
        assert!(snapshot.walk().files.iter().all(|file| !matches!(file.path.as_str(), "b.ts" | "new.ts")));
        assert_eq!(snapshot.base().text(&rel("a.ts")).as_deref(), Some("disk a"));
    }
}
