//! The buffers of a played editor, and what it does with a `WorkspaceEdit`.
//!
//! A value machine over strings and the workspace's disk: it must not know about processes or threads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::personas::{Confirmation, Edits, Resources, Unopened, Versions};
use crate::text::{self, Encoding};
use crate::workspace::path_of;

/// An open document.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub text: String,
    pub version: i32,
    /// The text differs from what was last read from or written to disk.
    pub dirty: bool,
    /// What the server has been told; `None` before `didOpen`.
    told: Option<String>,
}

/// Messages to send, in order.
pub type Outbox = Vec<(&'static str, Value)>;

/// What the person at the keyboard does when asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Person {
    /// Agrees to edits, dismisses questions.
    #[default]
    Agrees,
    /// Refuses edits, dismisses questions.
    Refuses,
    /// Agrees to edits, and chooses the action with this title.
    Chooses(String),
    /// Says nothing at all: no reply is ever sent.
    Away,
}

/// A reply: a result, or an error's code and message.
pub type Reply = Result<Value, (i64, String)>;

#[derive(Debug, Default)]
pub struct Editor {
    buffers: BTreeMap<String, Buffer>,
    pub encoding: Encoding,
    /// The server takes ranges, not whole texts.
    pub incremental: bool,
    /// `didSave` carries the text.
    pub save_with_text: bool,
    pub first_version: i32,
    pub person: Person,
}

impl Editor {
    /// An editor whose documents begin at this version.
    pub fn new(first_version: i32) -> Self {
        Self { first_version, ..Self::default() }
    }

    pub fn buffer(&self, uri: &str) -> Option<&Buffer> {
        self.buffers.get(uri)
    }

    /// URIs of unsaved buffers.
    pub fn dirty(&self) -> Vec<&str> {
        self.buffers.iter().filter(|(_, buffer)| buffer.dirty).map(|(uri, _)| uri.as_str()).collect()
    }

    /// Opens a document with this text.
    pub fn open(&mut self, uri: &str, text: String) -> Outbox {
        assert!(!self.buffers.contains_key(uri), "{uri} is open already");
        let buffer = Buffer { text, version: self.first_version, dirty: false, told: None };
        self.buffers.insert(uri.to_owned(), buffer);
        self.flush()
    }

    /// Types: replaces a buffer's text.
    pub fn set_text(&mut self, uri: &str, text: String) -> Outbox {
        self.edit(uri, text);
        self.flush()
    }

    fn edit(&mut self, uri: &str, text: String) {
        let buffer = self.buffers.get_mut(uri).unwrap_or_else(|| panic!("{uri} is not open"));
        if buffer.text != text {
            buffer.text = text;
            buffer.version += 1;
            buffer.dirty = true;
        }
    }

    /// Writes a buffer to disk.
    pub fn save(&mut self, uri: &str) -> Outbox {
        let mut out = self.flush();
        let with_text = self.save_with_text;
        let buffer = self.buffers.get_mut(uri).unwrap_or_else(|| panic!("{uri} is not open"));
        let path = path_of(uri).expect("a file");
        fs::write(&path, &buffer.text).unwrap_or_else(|error| panic!("failed to save {}: {error}", path.display()));
        buffer.dirty = false;
        let mut params = json!({"textDocument": {"uri": uri}});
        if with_text {
            params["text"] = json!(buffer.text);
        }
        out.push(("textDocument/didSave", params));
        out
    }

    /// Closes a document; unsaved text is lost.
    pub fn close(&mut self, uri: &str) -> Outbox {
        let mut out = self.flush();
        assert!(self.buffers.remove(uri).is_some(), "{uri} is not open");
        out.push(("textDocument/didClose", json!({"textDocument": {"uri": uri}})));
        out
    }

    /// Tells the server what it has not been told yet.
    pub fn flush(&mut self) -> Outbox {
        let (encoding, incremental) = (self.encoding, self.incremental);
        let mut out = Outbox::new();
        for (uri, buffer) in &mut self.buffers {
            match &buffer.told {
                Some(told) if *told == buffer.text => continue,
                Some(told) => {
                    let change = match incremental {
                        true => text::change(told, &buffer.text, encoding),
                        false => json!({"text": buffer.text}),
                    };
                    let document = json!({"uri": uri, "version": buffer.version});
                    let params = json!({"textDocument": document, "contentChanges": [change]});
                    out.push(("textDocument/didChange", params));
                }
                None => {
                    let document = json!({
                        "uri": uri,
                        "languageId": language(uri),
                        "version": buffer.version,
                        "text": buffer.text,
                    });
                    out.push(("textDocument/didOpen", json!({"textDocument": document})));
                }
            }
            buffer.told = Some(buffer.text.clone());
        }
        out
    }

    /// Carries out a `workspace/applyEdit` the way the editor does it.
    pub fn apply(&mut self, params: &Value, model: &Edits) -> Reply {
        let edit = &params["edit"];
        let changes = changes_of(edit, model.document_changes);
        let skip = match self.ask(edit, &changes, model.confirmation) {
            Asked::Go => false,
            Asked::SkipAnnotated => true,
            Asked::Answer(reply) => return reply,
        };
        let stale = |change: &Value| match model.versions {
            Versions::RejectWhole => self.is_stale(change),
            Versions::RejectWholeButZero => self.is_stale(change) && change["textDocument"]["version"] != 0,
            Versions::FirstOnly | Versions::StopThere | Versions::StopWithError | Versions::Ignored => false,
        };
        if changes.iter().any(stale) {
            return Ok(json!({"applied": false}));
        }
        for (index, change) in changes.iter().enumerate() {
            if let Some(kind) = change["kind"].as_str() {
                if let Some(reply) = resource(change, kind, index, model.resources) {
                    return reply;
                }
                continue;
            }
            if self.is_stale(change) {
                match model.versions {
                    Versions::RejectWhole | Versions::RejectWholeButZero | Versions::Ignored => {}
                    // Only a newer buffer counts there, and only for the first change.
                    Versions::FirstOnly if index == 0 => continue,
                    Versions::FirstOnly => {}
                    Versions::StopThere => return Ok(failed(index, "the document has changed")),
                    Versions::StopWithError => return Err((-32603, "Internal error".to_owned())),
                }
            }
            if let Err(error) = self.text_edits(change, skip, model.unopened) {
                return Ok(failed(index, &error));
            }
        }
        Ok(json!({"applied": true}))
    }

    fn ask(&self, edit: &Value, changes: &[Value], confirmation: Confirmation) -> Asked {
        let annotations = edit["changeAnnotations"].as_object();
        let needs = annotations.is_some_and(|all| all.values().any(|one| one["needsConfirmation"] == true));
        let refuses = self.person == Person::Refuses && !changes.is_empty();
        match confirmation {
            Confirmation::Annotated if needs && refuses => Asked::Answer(Ok(json!({"applied": false}))),
            Confirmation::AnnotatedSkipped if needs && refuses => Asked::SkipAnnotated,
            Confirmation::AlwaysError if refuses => Asked::Answer(Err((-32603, "cancelled".to_owned()))),
            Confirmation::AlwaysTrue if refuses => Asked::Answer(Ok(json!({"applied": true}))),
            Confirmation::Never
            | Confirmation::Annotated
            | Confirmation::AnnotatedSkipped
            | Confirmation::AlwaysError
            | Confirmation::AlwaysTrue => Asked::Go,
        }
    }

    fn is_stale(&self, change: &Value) -> bool {
        let buffer = change["textDocument"]["uri"].as_str().and_then(|uri| self.buffers.get(uri));
        match (buffer, change["textDocument"]["version"].as_i64()) {
            (Some(buffer), Some(version)) => i64::from(buffer.version) != version,
            _ => false,
        }
    }

    fn text_edits(&mut self, change: &Value, skip_annotated: bool, unopened: Unopened) -> Result<(), String> {
        let uri = change["textDocument"]["uri"].as_str().ok_or("an edit without a uri")?;
        let edits: Vec<Value> = change["edits"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|edit| !(skip_annotated && edit.get("annotationId").is_some()))
            .cloned()
            .collect();
        if let Some(buffer) = self.buffers.get(uri) {
            let text = text::apply_edits(&buffer.text, &edits, self.encoding);
            self.edit(uri, text);
            return Ok(());
        }
        let path = path_of(uri).ok_or_else(|| format!("{uri} is no file"))?;
        // A file created by the same edit may be a buffer only.
        let old = fs::read_to_string(&path).unwrap_or_default();
        let new = text::apply_edits(&old, &edits, self.encoding);
        match unopened {
            Unopened::Disk => write(&path, &new),
            Unopened::Buffer => {
                // Opened with the edit done: the server hears of it by one `didOpen`.
                let buffer = Buffer { dirty: old != new, text: new, version: self.first_version, told: None };
                self.buffers.insert(uri.to_owned(), buffer);
                Ok(())
            }
        }
    }
}

enum Asked {
    Go,
    SkipAnnotated,
    Answer(Reply),
}

fn failed(index: usize, why: &str) -> Value {
    json!({"applied": false, "failedChange": index, "failureReason": why})
}

/// `documentChanges`, or `changes` in that form.
fn changes_of(edit: &Value, document_changes: bool) -> Vec<Value> {
    if let Some(changes) = edit["documentChanges"].as_array().filter(|_| document_changes) {
        return changes.clone();
    }
    let by_uri = edit["changes"].as_object();
    by_uri
        .into_iter()
        .flatten()
        .map(|(uri, edits)| json!({"textDocument": {"uri": uri, "version": null}, "edits": edits}))
        .collect()
}

/// Does a resource operation; gives the reply when that ends the edit.
fn resource(change: &Value, kind: &str, index: usize, model: Resources) -> Option<Reply> {
    let done = match model {
        Resources::Ignored => return None,
        Resources::Error => return Some(Err((-32603, "Internal error".to_owned()))),
        Resources::BufferForgiving if kind == "create" && change["options"]["ignoreIfExists"] == true => return None,
        Resources::OnDisk | Resources::OnDiskForgiving | Resources::BufferForgiving => on_disk(change, kind),
    };
    match (done, model) {
        (Err(why), Resources::OnDisk) => Some(Ok(failed(index, &why))),
        _ => None,
    }
}

fn on_disk(change: &Value, kind: &str) -> Result<(), String> {
    let path = |key: &str| change[key].as_str().and_then(path_of).ok_or_else(|| format!("{kind} without {key}"));
    match kind {
        "create" => {
            let path = path("uri")?;
            if path.exists() && change["options"]["overwrite"] != true {
                return match change["options"]["ignoreIfExists"] == true {
                    true => Ok(()),
                    false => Err("it exists".to_owned()),
                };
            }
            write(&path, "")
        }
        "rename" => {
            let (old, new) = (path("oldUri")?, path("newUri")?);
            if new.exists() && change["options"]["overwrite"] != true {
                return Err("the target exists".to_owned());
            }
            fs::rename(old, new).map_err(|error| error.to_string())
        }
        "delete" => fs::remove_file(path("uri")?).map_err(|error| error.to_string()),
        other => Err(format!("{other} is no resource operation")),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let parent = path.parent().ok_or("no directory")?;
    fs::create_dir_all(parent).and_then(|()| fs::write(path, text)).map_err(|error| error.to_string())
}

fn language(uri: &str) -> &'static str {
    match uri.rsplit('.').next() {
        Some("ts" | "mts" | "cts") => "typescript",
        Some("tsx") => "typescriptreact",
        Some("js" | "mjs" | "cjs") => "javascript",
        Some("jsx") => "javascriptreact",
        Some("json") => "json",
        _ => "plaintext",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personas::Persona;
    use crate::workspace::Workspace;

    /// `a` and `b` open and typed in once, so that their first version is stale.
    fn world(persona: &Persona) -> (Workspace, Editor, String, String) {
        let workspace = Workspace::from_fixture("//- /a.ts\nold a\n//- /b.ts\nold b\n//- /c.ts\nold c\n");
        let mut editor = Editor { first_version: persona.first_version, incremental: true, ..Editor::default() };
        let (a, b) = (workspace.uri("a.ts"), workspace.uri("b.ts"));
        for uri in [&a, &b] {
            editor.open(uri, "old\n".to_owned());
            editor.set_text(uri, "now\n".to_owned());
        }
        (workspace, editor, a, b)
    }

    fn text_edit(uri: &str, version: Option<i32>, new: &str) -> Value {
        let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 0}});
        json!({"textDocument": {"uri": uri, "version": version}, "edits": [{"range": range, "newText": new}]})
    }

    fn params(changes: &[Value]) -> Value {
        json!({"edit": {"documentChanges": changes}})
    }

    /// The rows "stale" and "stale2" of what the real editors did.
    #[test]
    fn stale_versions() {
        for (persona, stale, stale_second) in [
            // (reply, a, b): T true, F false, E error; N new, - unchanged
            (Persona::VSCODE, "F--", "F--"),
            (Persona::NEOVIM, "T-N", "TNN"),
            (Persona::NEOVIM_0_10, "T-N", "TNN"),
            (Persona::NEOVIM_0_7, "T-N", "TNN"),
            (Persona::HELIX, "F--", "F-N"),
            (Persona::HELIX_NEXT, "F--", "F-N"),
            (Persona::EGLOT, "E--", "E-N"),
            (Persona::EGLOT_1_9, "E--", "E-N"),
            (Persona::KAKOUNE, "TNN", "TNN"),
            // The stale version is the first, which is 0 there and counts as none.
            (Persona::LSP_MODE, "TNN", "TNN"),
            (Persona::PLAIN, "T--", "T--"),
        ] {
            for (second, expected) in [(false, stale), (true, stale_second)] {
                let (_workspace, mut editor, a, b) = world(&persona);
                let first = Some(persona.first_version);
                let mut changes =
                    [text_edit(&a, first, "new\n"), text_edit(&b, Some(persona.first_version + 1), "new\n")];
                if second {
                    changes.reverse();
                }
                let reply = editor.apply(&params(&changes), &persona.edits);
                let seen = match &reply {
                    Ok(reply) if reply["applied"] == true => "T",
                    Ok(_) => "F",
                    Err(_) => "E",
                };
                let state = |uri: &str| if editor.buffer(uri).unwrap().text == "new\n" { "N" } else { "-" };
                assert_eq!([seen, state(&a), state(&b)].concat(), expected, "{} {second}", persona.name);
            }
        }
    }

    /// The row "partial": an edit, a rename that fails, an edit.
    #[test]
    fn partial_failure() {
        for (persona, applied, a_changed, b_changed) in [
            (Persona::VSCODE, Some(false), true, false),
            (Persona::NEOVIM, Some(true), true, true),
            (Persona::HELIX, Some(false), true, false),
            (Persona::HELIX_NEXT, Some(true), true, true),
            (Persona::EGLOT, None, true, false),
            (Persona::KAKOUNE, Some(false), true, false),
        ] {
            let (workspace, mut editor, a, b) = world(&persona);
            let rename = json!({"kind": "rename", "oldUri": workspace.uri("none.ts"), "newUri": workspace.uri("x.ts")});
            let changes = [text_edit(&a, None, "new\n"), rename, text_edit(&b, None, "new\n")];
            let reply = editor.apply(&params(&changes), &persona.edits).ok().map(|reply| reply["applied"] == true);
            let new = |uri: &str| editor.buffer(uri).unwrap().text == "new\n";
            assert_eq!((reply, new(&a), new(&b)), (applied, a_changed, b_changed), "{}", persona.name);
        }
    }

    #[test]
    fn refusal() {
        for (persona, expected) in [
            (Persona::VSCODE, Some(false)),
            (Persona::NEOVIM, Some(true)),
            (Persona::EGLOT, Some(true)),
            (Persona::EGLOT_1_9, None),
        ] {
            let (_workspace, mut editor, a, _) = world(&persona);
            editor.person = Person::Refuses;
            let mut edit = params(&[text_edit(&a, None, "new\n")]);
            edit["edit"]["documentChanges"][0]["edits"][0]["annotationId"] = json!("x");
            edit["edit"]["changeAnnotations"] = json!({"x": {"label": "x", "needsConfirmation": true}});
            let reply = editor.apply(&edit, &persona.edits).ok().map(|reply| reply["applied"] == true);
            assert_eq!(reply, expected, "{}", persona.name);
            assert_eq!(editor.buffer(&a).unwrap().text, "now\n", "{}", persona.name);
        }
    }

    #[test]
    fn a_file_that_is_not_open() {
        for (persona, on_disk) in [(Persona::VSCODE, false), (Persona::KAKOUNE, true)] {
            let (workspace, mut editor, ..) = world(&persona);
            let uri = workspace.uri("c.ts");
            editor.apply(&params(&[text_edit(&uri, None, "new\n")]), &persona.edits).unwrap();
            assert_eq!(workspace.read("c.ts") == "new\n", on_disk, "{}", persona.name);
            assert_eq!(editor.dirty().contains(&uri.as_str()), !on_disk);
            let opened = editor.flush().iter().any(|(method, _)| *method == "textDocument/didOpen");
            assert_eq!(opened, !on_disk);
        }
    }

    #[test]
    fn the_server_is_told_each_change_once() {
        let (_workspace, mut editor, a, _) = world(&Persona::VSCODE);
        assert!(editor.flush().is_empty());
        let told = editor.set_text(&a, "now!\n".to_owned());
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1["contentChanges"][0]["text"], "!");
        assert_eq!(told[0].1["textDocument"]["version"], 3);
        assert!(editor.flush().is_empty());
    }
}
