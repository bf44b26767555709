//! What the checks read of a patch: each text decoded once, each program parsed once, each lock file read once.
//!
//! Everything is read when the first check asks for it, and shared by checks that run side by side: who comes second waits
//! for the one file that the first is at. Judges nothing.

use super::honesty::{Signs, Suite};
use super::lock::{Lock, Unreadable};
use super::packages::{LockChange, ManifestChange};
use super::parts::{self, Part, Piece};
use super::sast::{Guards, Hit, Search};
use super::{honesty, is_test_path, sast, text};
use crate::patch::{FilePatch, Patch};
use crate::path::RelPath;
use crate::syntax;
use crate::tree::Tree;
use oxc_allocator::Allocator;
use oxc_parser::Parser;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A lock file as it was read; nothing for a name that is none.
pub(super) type LockRead = Option<Result<Lock, Unreadable>>;

/// One for each patch that is judged.
pub struct Reading<'p> {
    files: Vec<Both<'p>>,
    /// Lock files that the patch leaves alone.
    locks: Mutex<BTreeMap<RelPath, Arc<OnceLock<LockRead>>>>,
    lock_changes: OnceLock<(Vec<LockChange>, Vec<Unreadable>)>,
    manifest_changes: OnceLock<Vec<ManifestChange>>,
}

impl<'p> Reading<'p> {
    pub fn of(patch: &'p Patch) -> Self {
        Self {
            files: patch.files().iter().map(Both::of).collect(),
            locks: Mutex::default(),
            lock_changes: OnceLock::new(),
            manifest_changes: OnceLock::new(),
        }
    }

    /// The files of the patch, in its order.
    pub(super) fn files(&self) -> &[Both<'p>] {
        &self.files
    }

    /// The lock file as it is without the patch.
    pub(super) fn lock_before<R>(&self, path: &RelPath, base: &dyn Tree, ask: impl FnOnce(&LockRead) -> R) -> R {
        if let Some(side) = self.side_before(path) {
            return ask(side.map_or(&None, Side::lock));
        }
        let place = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(path.clone()).or_default().clone()
        };
        ask(place.get_or_init(|| base.text(path).and_then(|text| Lock::read(path, &text))))
    }

    /// A file's text as it is without the patch, whether or not the patch is in the files already.
    pub(super) fn text_before(&self, path: &RelPath, base: &dyn Tree) -> Option<String> {
        match self.side_before(path) {
            Some(side) => side.map(|side| side.text.clone().into_owned()),
            None => base.text(path).map(|text| text.to_string()),
        }
    }

    /// What the patch says of a file as it is without it: nothing, or that there is none, or what it is.
    fn side_before(&self, path: &RelPath) -> Option<Option<&Side<'p>>> {
        let before = self.files.iter().map(|both| &both.before).find(|side| side.path == path);
        let made = || self.files.iter().any(|both| both.after.path == path).then_some(None);
        before.map(|side| side.is_there.then_some(side)).or_else(made)
    }

    /// The lock file as it is with the patch.
    pub(super) fn lock_after<R>(&self, path: &RelPath, base: &dyn Tree, ask: impl FnOnce(&LockRead) -> R) -> R {
        if let Some(both) = self.files.iter().find(|both| both.after.path == path) {
            return ask(both.after.lock());
        }
        // What was renamed away is there no more.
        if self.files.iter().any(|both| both.before.path == path) {
            return ask(&None);
        }
        self.lock_before(path, base, ask)
    }

    pub(super) fn lock_changes(
        &self,
        make: impl FnOnce() -> (Vec<LockChange>, Vec<Unreadable>),
    ) -> &(Vec<LockChange>, Vec<Unreadable>) {
        self.lock_changes.get_or_init(make)
    }

    pub(super) fn manifest_changes(&self, make: impl FnOnce() -> Vec<ManifestChange>) -> &[ManifestChange] {
        self.manifest_changes.get_or_init(make)
    }
}

/// A file of the patch, as it was and as it will be.
pub(super) struct Both<'p> {
    pub file: &'p FilePatch,
    pub before: Side<'p>,
    pub after: Side<'p>,
    added: OnceLock<BTreeSet<u32>>,
    differing: OnceLock<Option<[Vec<Piece>; 2]>>,
}

/// A file on one side of the patch.
pub(super) struct Side<'p> {
    pub path: &'p RelPath,
    /// Empty where there is none.
    pub text: Cow<'p, str>,
    /// Whether there is a file at all.
    pub is_there: bool,
    code: OnceLock<Code>,
    search: OnceLock<Search>,
    lock: OnceLock<LockRead>,
}

/// What the checks know of a program, made in one parse of it.
#[derive(Default)]
pub(super) struct Code {
    /// Whether it was read: it is a program, it is in no error, and it is not too deep.
    pub is_sound: bool,
    pub signs: Signs,
    pub guards: Guards,
    pub suite: Suite,
    /// Its statements, which cover the text.
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Before,
    After,
}

/// A larger program is not read: nobody writes one by hand.
const LARGEST: usize = 4 << 20;

impl<'p> Both<'p> {
    fn of(file: &'p FilePatch) -> Self {
        Self {
            file,
            before: Side::of(file.from.as_ref().unwrap_or(&file.path), file.before.as_deref()),
            after: Side::of(&file.path, file.after.as_deref()),
            added: OnceLock::new(),
            differing: OnceLock::new(),
        }
    }

    /// The lines of the patched text that the patch adds, from 1.
    pub fn added(&self) -> &BTreeSet<u32> {
        self.added.get_or_init(|| added_lines(self.file))
    }

    pub fn code_before(&self) -> &Code {
        self.before.code.get_or_init(|| self.read(Which::Before))
    }

    pub fn code_after(&self) -> &Code {
        self.after.code.get_or_init(|| self.read(Which::After))
    }

    /// What rules and flows find in the base. Of rules only what is in a statement that the patched text does not have: in
    /// the others both sides hold the same.
    pub fn hits_before(&self) -> &[Hit] {
        &self.search(Which::Before).hits
    }

    /// The same of the patched text.
    pub fn hits_after(&self) -> &[Hit] {
        &self.search(Which::After).hits
    }

    /// Why that search of the patched text left something out.
    pub fn left_out_after(&self) -> Option<&'static str> {
        self.search(Which::After).left_out
    }

    fn search(&self, which: Which) -> &Search {
        let side = self.side(which);
        side.search.get_or_init(|| {
            let within = self.differing().map(|[before, after]| match which {
                Which::Before => before.as_slice(),
                Which::After => after.as_slice(),
            });
            sast::search(side.path, &side.text, within)
        })
    }

    fn side(&self, which: Which) -> &Side<'p> {
        match which {
            Which::Before => &self.before,
            Which::After => &self.after,
        }
    }

    /// What of each side the other has not as often; `None`: the texts have to be taken as a whole.
    pub fn differing(&self) -> Option<&[Vec<Piece>; 2]> {
        let both = self.before.is_there && self.after.is_there;
        let made = self.differing.get_or_init(|| {
            let (before, after) = (self.code_before(), self.code_after());
            (before.is_sound && after.is_sound).then(|| {
                parts::differing((&self.before.text, &before.parts), (&self.after.text, &after.parts), &sast::may_carve)
            })
        });
        // One side alone is new as a whole.
        made.as_ref().filter(|_| both)
    }

    fn read(&self, which: Which) -> Code {
        let side = self.side(which);
        let (text, path) = (&*side.text, side.path);
        let types = syntax::source_types(path).unwrap_or_default();
        if text.is_empty() || text.len() > LARGEST {
            return Code::default();
        }
        let texts = [&*self.before.text, &*self.after.text];
        let tests = texts.iter().any(|text| honesty::may_hold_tests(text));
        let guards = !is_test_path(&self.file.path) && texts.iter().any(|text| sast::may_hold_guards(path, text));
        let read = || {
            types.into_iter().find_map(|source_type| {
                let allocator = Allocator::default();
                let parsed = Parser::new(&allocator, text, source_type).parse();
                if parsed.panicked || parsed.diagnostics.has_errors() {
                    return None;
                }
                let program = &parsed.program;
                Some(Code {
                    is_sound: true,
                    signs: honesty::signs(program, path, text),
                    guards: if guards { sast::guards(program, text) } else { Guards::default() },
                    suite: if tests { honesty::suite(program, text) } else { Suite::default() },
                    parts: parts::of_program(program, text),
                })
            })
        };
        syntax::if_shallow(text, read).flatten().unwrap_or_default()
    }
}

impl<'p> Side<'p> {
    fn of(path: &'p RelPath, bytes: Option<&'p [u8]>) -> Self {
        let (code, search, lock) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { path, text: text(bytes), is_there: bytes.is_some(), code, search, lock }
    }

    pub fn lock(&self) -> &LockRead {
        self.lock.get_or_init(|| if self.is_there { Lock::read(self.path, &self.text) } else { None })
    }
}

/// The lines of the patched text that the patch adds, from 1.
fn added_lines(file: &FilePatch) -> BTreeSet<u32> {
    let mut added = BTreeSet::new();
    for hunk in &file.hunks {
        let mut at = hunk.after[0] + 1;
        for line in &hunk.lines {
            match line.as_bytes().first() {
                Some(b'+') => {
                    added.insert(at);
                    at += 1;
                }
                Some(b'-' | b'\\') => {}
                _ => at += 1,
            }
        }
    }
    added
}
