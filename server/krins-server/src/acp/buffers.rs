//! The client's text, where it is not what is on disk.
//!
//! The protocol has no notice of open files; it can only be asked. So the files that a turn is about are read through the
//! client at three moments: when the context is chosen, before the change is shown, and right before a file is written. Text
//! that differs from the disk is an open document to the engine, and the diff, the merge and the apply are about it.
//!
//! What is saved is written by the journal: all files or none, safe against a crash, and undone byte for byte; editors load a
//! file anew that they have not changed. What is **not** saved is changed through `fs/write_text_file`, one file at a time and
//! before the journal's commit point: it is read once more right before, so that what was typed meanwhile is never written
//! over, and once more after, because an answer is believed by nobody. Where the client does not offer to write, such a file
//! is refused, and with it the whole change.

use super::session::Files;
use agent_client_protocol::Client;
use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema::{ReadTextFileRequest, SessionId, WriteTextFileRequest};
use async_trait::async_trait;
use futures::StreamExt as _;
use krins_core::{Entry, RelPath, Tree as _};
use krins_engine::Engine;
use krins_engine::apply::{BufferEdit, Editor, EditorRefused};
use krins_engine::documents::Document;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Files that are asked for while a context is chosen: some editors open each of them. What a change is about is asked for
/// to the last file.
pub const SOME: usize = 32;
const AT_ONCE: usize = 8;
/// How long an editor may take to say what a file holds, and to write one.
const READ: Duration = Duration::from_secs(2);
const WRITE: Duration = Duration::from_secs(5);
/// Longer texts are nobody's to type in.
const LONGEST: usize = 16 << 20;

#[derive(Clone)]
pub struct Buffers {
    pub connection: ConnectionTo<Client>,
    pub session: SessionId,
    pub files: Files,
    pub engine: Engine,
    /// The root as the client spells it.
    pub cwd: PathBuf,
}

/// What a client says of a file.
enum Said {
    Text(String),
    /// It has no such file, or does not give it.
    Nothing,
    /// No answer came in time, or one that is too long.
    Unanswered,
}

/// What stands on disk, and how its lines end.
struct OnDisk {
    text: String,
    mark: bool,
    crlf: bool,
}

impl Buffers {
    /// Looks at these files, and gives one that the client did not answer for.
    pub async fn look<'p>(&self, paths: impl IntoIterator<Item = &'p RelPath>) -> Option<RelPath> {
        if !self.files.read {
            return None;
        }
        let paths: BTreeSet<&RelPath> = paths.into_iter().collect();
        let read = |path: RelPath| async move {
            let said = self.read(&path).await;
            (path, said)
        };
        let mut texts = futures::stream::iter(paths.into_iter().cloned()).map(read).buffer_unordered(AT_ONCE);
        let mut unanswered = None;
        while let Some((path, said)) = texts.next().await {
            self.take(&path, &said);
            if matches!(said, Said::Unanswered) {
                unanswered = Some(path);
            }
        }
        unanswered
    }

    fn named(&self, path: &RelPath) -> PathBuf {
        self.cwd.join(path.as_str())
    }

    /// As the client has it.
    async fn read(&self, path: &RelPath) -> Said {
        let request = ReadTextFileRequest::new(self.session.clone(), self.named(path));
        match tokio::time::timeout(READ, self.connection.send_request(request).block_task()).await {
            Ok(Ok(answer)) if answer.content.len() <= LONGEST => Said::Text(answer.content),
            Ok(Err(_)) => Said::Nothing,
            Ok(Ok(_)) | Err(_) => Said::Unanswered,
        }
    }

    /// Notes what the client said.
    fn take(&self, path: &RelPath, said: &Said) {
        let (uri, documents) = (self.engine.root().uri(path), self.engine.documents());
        let known = documents.get(&uri);
        let is_missing = || self.engine.root().entry(path) == Entry::Missing;
        match said {
            Said::Nothing if is_missing() => documents.close(&uri),
            // It was asked for once, and is not said any more: what is known of it may be wrong.
            Said::Nothing | Said::Unanswered if known.is_some() => documents.desynchronise(&uri),
            Said::Nothing | Said::Unanswered => {}
            // Zed answers so for a file that is not there.
            Said::Text(said) if said.is_empty() && is_missing() => documents.close(&uri),
            Said::Text(said) => match self.on_disk(path) {
                Some(disk) if disk.is(said) => documents.close(&uri),
                disk => self.open(&uri, known.as_ref(), disk.map_or(said.clone(), |disk| disk.spelt(said))),
            },
        }
    }

    fn open(&self, uri: &str, known: Option<&Document>, text: String) {
        let documents = self.engine.documents();
        match known {
            Some(known) if *known.text == *text && !known.desynchronised => {}
            Some(known) => documents.open(uri, known.version.wrapping_add(1), text),
            None => documents.open(uri, 0, text),
        }
    }

    fn on_disk(&self, path: &RelPath) -> Option<OnDisk> {
        let Entry::File { bytes, .. } = self.engine.root().entry(path) else { return None };
        let text = String::from_utf8(bytes.to_vec()).ok()?;
        let mark = text.starts_with('\u{feff}');
        let crlf = text.contains("\r\n") && !text.replace("\r\n", "").contains('\n');
        Some(OnDisk { text, mark, crlf })
    }

    async fn write(&self, path: &RelPath, edit: &BufferEdit) -> Result<(), EditorRefused> {
        let refused = |why: &str| EditorRefused::new(why);
        if !self.files.write {
            return Err(refused("it is not saved, and this editor lets nobody else write it: save it first"));
        }
        let documents = self.engine.documents();
        let document = documents.get(&edit.uri).ok_or_else(|| refused("it was closed"))?;
        let Said::Text(said) = self.read(path).await else {
            return Err(refused("the editor did not say what it holds"));
        };
        let now = self.on_disk(path).map_or(said.clone(), |disk| disk.spelt(&said));
        if document.version != edit.version || now != *document.text {
            self.take(path, &Said::Text(said));
            return Err(refused("it was edited meanwhile"));
        }
        let after = edited(&document, edit, documents.encoding());
        // As the editor spells it: it brings its own line ends and mark back when it saves.
        let after = if said.contains("\r\n") { after } else { after.replace("\r\n", "\n") };
        let after = if said.starts_with('\u{feff}') { after.as_str() } else { after.trim_start_matches('\u{feff}') };
        let written = self.put(path, after).await;
        // Whatever it answered: what counts is what it holds now.
        let another = |why: &str, holds_another| Err(EditorRefused { why: why.to_owned(), holds_another });
        let Some(back) = self.held(path, &document).await else {
            return another("the editor did not say what it holds since it was asked to write it", true);
        };
        match (written, same(&back, after), same(&back, &said)) {
            (written, true, _) => written,
            (Ok(()), _, true) => another("the editor said that it wrote it, and did not", false),
            (Err(refused), _, is_as_it_was) => Err(EditorRefused { holds_another: !is_as_it_was, ..refused }),
            // It made something else of it: a formatter that runs when it saves, most often. A change is made whole, or not.
            (Ok(()), ..) => {
                let _ = self.put(path, &said).await;
                let back = self.held(path, &document).await;
                another(
                    "it holds something else than was written, as where a file is formatted when it is saved: save it first",
                    back.is_none_or(|back| !same(&back, &said)),
                )
            }
        }
    }

    async fn put(&self, path: &RelPath, text: &str) -> Result<(), EditorRefused> {
        let request = WriteTextFileRequest::new(self.session.clone(), self.named(path), text);
        match tokio::time::timeout(WRITE, self.connection.send_request(request).block_task()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(EditorRefused::new(format!("the editor answered with an error: {}", error.message))),
            Err(_) => Err(EditorRefused::new("the editor did not answer")),
        }
    }

    /// What the client holds of a document now, noted; `None` where it does not say.
    async fn held(&self, path: &RelPath, document: &Document) -> Option<String> {
        let (uri, documents) = (&document.uri, self.engine.documents());
        let Said::Text(back) = self.read(path).await else {
            documents.desynchronise(uri);
            return None;
        };
        let disk = self.on_disk(path);
        let saved = disk.as_ref().is_some_and(|disk| disk.is(&back));
        let known = documents.get(uri);
        self.open(uri, known.as_ref(), disk.map_or(back.clone(), |disk| disk.spelt(&back)));
        if saved {
            // It was opened a moment ago.
            let _ = documents.save(uri, None);
        }
        Some(back)
    }
}

impl OnDisk {
    /// Whether a text is this one, whatever the editor makes of line ends and mark.
    fn is(&self, said: &str) -> bool {
        self.spelt(said) == self.text
    }

    /// The text with the line ends and the mark of the file, where the editor left them out.
    fn spelt(&self, said: &str) -> String {
        let mut text = if self.crlf && !said.contains('\r') { said.replace('\n', "\r\n") } else { said.to_owned() };
        if self.mark && !text.starts_with('\u{feff}') {
            text.insert(0, '\u{feff}');
        }
        text
    }
}

/// Whatever the editor makes of line ends.
fn same(one: &str, other: &str) -> bool {
    one.lines().eq(other.lines()) && one.ends_with('\n') == other.ends_with('\n')
}

/// The document's text with the edits, which are sorted and do not overlap.
fn edited(document: &Document, edit: &BufferEdit, encoding: krins_core::text::Encoding) -> String {
    let mut text = document.text.to_string();
    let offset = |position| document.lines().offset(&document.text, position, encoding);
    for edit in edit.edits.iter().rev() {
        let (start, end) = (offset(edit.range.start), offset(edit.range.end));
        text.replace_range(start..end.max(start), &edit.text);
    }
    text
}

#[async_trait]
impl Editor for Buffers {
    async fn apply_edit(&self, edit: BufferEdit) -> Result<(), EditorRefused> {
        let path = self.engine.root().relative_uri(&edit.uri);
        let path = path.ok_or_else(|| EditorRefused::new("it is not in this workspace"))?;
        self.write(&path, &edit).await
    }

    /// A look, the write and a look, and what was there before put back.
    fn patience(&self) -> Option<Duration> {
        Some(3 * READ + 2 * WRITE + READ)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_a_mark_that_an_editor_leaves_out_are_no_change() {
        let disk = |text: &str| OnDisk {
            text: text.to_owned(),
            mark: text.starts_with('\u{feff}'),
            crlf: text.contains("\r\n") && !text.replace("\r\n", "").contains('\n'),
        };
        let windows = disk("\u{feff}a\r\nb\r\n");
        assert!(windows.is("a\nb\n") && windows.is("\u{feff}a\r\nb\r\n") && !windows.is("a\nc\n"));
        assert_eq!(windows.spelt("x\ny\n"), "\u{feff}x\r\ny\r\n");
        // Mixed line ends are what they are.
        let mixed = disk("a\r\nb\n");
        assert!(mixed.is("a\r\nb\n") && !mixed.is("a\nb\n"));
        assert!(disk("a\nb\n").is("a\nb\n"));
    }
}
