//! Editors as data: what each says in `initialize` (captured from the real one, beside this file) and how it behaves.
//!
//! The behaviour was measured against the real editors with one probe server; where a row rests on an editor's source or
//! documented default instead, its comment says so. A client quirk is a row here first, then a test, then code.

use std::time::Duration;

use serde_json::{Value, json};

/// One editor.
#[derive(Debug)]
pub struct Persona {
    pub name: &'static str,
    /// The captured `initialize` params, as JSON.
    capture: &'static str,
    /// Replaces the captured `clientInfo`: name, version.
    client: Option<(&'static str, &'static str)>,
    pub edits: Edits,
    /// What the server may ask of it; everything else gets -32601.
    pub answers: &'static [&'static str],
    /// How a person's refusal to choose arrives.
    pub dismissal: Dismissal,
    /// The version of a document when it is opened.
    pub first_version: i32,
    /// Whether it ever sends `$/cancelRequest`.
    pub cancels: bool,
    /// Whether it asks for code lenses.
    pub lenses: bool,
    /// Whether the changes of a document are sent in another order than they are made: every second one late.
    pub shuffles: bool,
}

/// How `workspace/applyEdit` is carried out, and what the reply is worth.
#[derive(Debug)]
pub struct Edits {
    pub versions: Versions,
    /// Reads `documentChanges`; one that does not knows `changes` alone, and is content with what it does not know.
    pub document_changes: bool,
    pub resources: Resources,
    pub unopened: Unopened,
    pub confirmation: Confirmation,
    /// When the resulting `didChange` is sent.
    pub changes: Changes,
}

/// What an edit for another version than the buffer's does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Nothing is changed, `applied: false`.
    RejectWhole,
    /// Only the first change is checked; a stale one is skipped, and the reply is `applied: true`.
    FirstOnly,
    /// The same, and version 0 counts as none.
    RejectWholeButZero,
    /// Changes before it stay, `applied: false` with `failedChange`.
    StopThere,
    /// Changes before it stay, and the reply is an error.
    StopWithError,
    /// Applied blindly.
    Ignored,
}

/// What creating, renaming and deleting does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resources {
    /// On disk; a failure stops, `applied: false`.
    OnDisk,
    /// On disk; a failure is only a message.
    OnDiskForgiving,
    /// As before, but a file created with `ignoreIfExists` is a buffer only.
    BufferForgiving,
    /// Nothing happens, `applied: true`.
    Ignored,
    /// An error reply, after the changes before it.
    Error,
}

/// Where an edit to a file that is not open goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// It is opened, and stays unsaved.
    Buffer,
    Disk,
}

/// Whether a person is asked before an edit is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    Never,
    /// For annotated edits; refused: `applied: false`.
    Annotated,
    /// For annotated edits; refused: they are skipped, the reply is `applied: true`.
    AnnotatedSkipped,
    /// Always; refused: an error reply.
    AlwaysError,
    /// Always; refused: `applied: true` with nothing done.
    AlwaysTrue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    BeforeReply,
    /// After the reply, this long.
    AfterReply(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dismissal {
    /// A null result.
    Null,
    /// Error -32800.
    Error,
}

/// Requests that every one of them answers.
const BASIC: &[&str] = &[
    "workspace/applyEdit",
    "workspace/configuration",
    "workspace/workspaceFolders",
    "client/registerCapability",
    "client/unregisterCapability",
];

const PROGRESS: &str = "window/workDoneProgress/create";
const QUESTION: &str = "window/showMessageRequest";
const SHOW: &str = "window/showDocument";
const LENS: &str = "workspace/codeLens/refresh";
const HINTS: &str = "workspace/inlayHint/refresh";
const PULL: &str = "workspace/diagnostic/refresh";
const TOKENS: &str = "workspace/semanticTokens/refresh";

impl Persona {
    /// VS Code 1.139 with vscode-languageclient 11.
    pub const VSCODE: Self = Self {
        name: "vscode",
        capture: include_str!("vscode-1.139.json"),
        // Captured in code-server, the same workbench under another name.
        client: Some(("Visual Studio Code", "1.139.1")),
        edits: Edits {
            versions: Versions::RejectWhole,
            document_changes: true,
            resources: Resources::OnDisk,
            unopened: Unopened::Buffer,
            confirmation: Confirmation::Annotated,
            // The edit's promise resolves after its change events (documented order, not measured).
            changes: Changes::BeforeReply,
        },
        answers: &[PROGRESS, QUESTION, SHOW, LENS, HINTS, PULL, TOKENS],
        dismissal: Dismissal::Null,
        first_version: 1,
        cancels: true,
        lenses: true,
        shuffles: false,
    };

    /// Neovim 0.12, which speaks for 0.11 as well.
    pub const NEOVIM: Self = Self {
        name: "neovim-0.12",
        capture: include_str!("neovim-0.12.json"),
        client: None,
        edits: Edits {
            versions: Versions::FirstOnly,
            document_changes: true,
            resources: Resources::BufferForgiving,
            unopened: Unopened::Buffer,
            confirmation: Confirmation::AnnotatedSkipped,
            // `debounce_text_changes`, by default 150 ms; flushed before a request of the client's own.
            changes: Changes::AfterReply(Duration::from_millis(150)),
        },
        answers: &[PROGRESS, QUESTION, SHOW, LENS, HINTS, PULL, TOKENS],
        dismissal: Dismissal::Null,
        first_version: 0,
        cancels: false,
        lenses: true,
        shuffles: false,
    };

    /// Neovim 0.10: UTF-16 only, no annotations.
    pub const NEOVIM_0_10: Self = Self {
        name: "neovim-0.10",
        capture: include_str!("neovim-0.10.json"),
        edits: Edits { confirmation: Confirmation::Never, ..Self::NEOVIM.edits },
        answers: &[PROGRESS, QUESTION, SHOW, LENS, HINTS, TOKENS],
        ..Self::NEOVIM
    };

    /// Neovim 0.7, as Debian 12 has it: no `window/showDocument`, no refreshes.
    pub const NEOVIM_0_7: Self = Self {
        name: "neovim-0.7",
        capture: include_str!("neovim-0.7.json"),
        answers: &[PROGRESS, QUESTION],
        ..Self::NEOVIM_0_10
    };

    /// Helix 25.01.
    pub const HELIX_25_01: Self = Self {
        name: "helix-25.01",
        capture: include_str!("helix-25.01.json"),
        client: None,
        edits: Edits {
            versions: Versions::StopThere,
            document_changes: true,
            resources: Resources::OnDisk,
            unopened: Unopened::Buffer,
            confirmation: Confirmation::Never,
            // A document's change event is sent where the change is made (read in its source).
            changes: Changes::BeforeReply,
        },
        // showDocument is answered although it is not advertised.
        answers: &[PROGRESS, SHOW],
        dismissal: Dismissal::Null,
        first_version: 0,
        cancels: false,
        lenses: false,
        shuffles: true,
    };

    /// Helix 25.07, the stable release: the capabilities of 25.01 (by its source), and still no question.
    pub const HELIX: Self =
        Self { name: "helix-25.07", client: Some(("helix", "25.07.1")), shuffles: false, ..Self::HELIX_25_01 };

    /// A Helix build of July 2026, which calls itself 25.07.1 too.
    pub const HELIX_NEXT: Self = Self {
        name: "helix-next",
        capture: include_str!("helix-2026-07.json"),
        client: None,
        edits: Edits { resources: Resources::OnDiskForgiving, ..Self::HELIX_25_01.edits },
        answers: &[PROGRESS, QUESTION, SHOW, PULL],
        shuffles: false,
        ..Self::HELIX_25_01
    };

    /// Kakoune with kak-lsp 22.
    pub const KAKOUNE: Self = Self {
        name: "kakoune",
        capture: include_str!("kakoune.json"),
        client: None,
        edits: Edits {
            versions: Versions::Ignored,
            document_changes: true,
            resources: Resources::OnDisk,
            unopened: Unopened::Disk,
            confirmation: Confirmation::Never,
            // The edit goes through the editor's command queue, its hook sends the change (assumed delay).
            changes: Changes::AfterReply(Duration::from_millis(50)),
        },
        answers: &[PROGRESS, QUESTION, LENS, HINTS, TOKENS],
        dismissal: Dismissal::Null,
        first_version: 1,
        cancels: true,
        lenses: true,
        shuffles: false,
    };

    /// Emacs 30 with its own Eglot 1.17.
    pub const EGLOT: Self = Self {
        name: "eglot-1.17",
        capture: include_str!("eglot-1.17.json"),
        client: None,
        edits: Edits {
            versions: Versions::StopWithError,
            document_changes: true,
            resources: Resources::Error,
            unopened: Unopened::Buffer,
            confirmation: Confirmation::AlwaysTrue,
            // `eglot-send-changes-idle-time`, by default half a second.
            changes: Changes::AfterReply(Duration::from_millis(500)),
        },
        answers: &[PROGRESS, QUESTION, SHOW],
        dismissal: Dismissal::Error,
        first_version: 0,
        cancels: false,
        lenses: false,
        shuffles: false,
    };

    /// Emacs 28 with Eglot 1.9: no progress, no resource operations, no clientInfo.
    pub const EGLOT_1_9: Self = Self {
        name: "eglot-1.9",
        capture: include_str!("eglot-1.9.json"),
        edits: Edits { resources: Resources::Ignored, confirmation: Confirmation::AlwaysError, ..Self::EGLOT.edits },
        answers: &[QUESTION],
        ..Self::EGLOT
    };

    /// Emacs 28 with lsp-mode 8.0.
    pub const LSP_MODE: Self = Self {
        name: "lsp-mode-8.0",
        capture: include_str!("lsp-mode-8.0.json"),
        client: None,
        edits: Edits {
            // Every version is compared before the first edit is made (read in its source).
            versions: Versions::RejectWholeButZero,
            document_changes: true,
            resources: Resources::OnDisk,
            unopened: Unopened::Buffer,
            confirmation: Confirmation::Never,
            // Incremental changes are sent where they are made (read in its source).
            changes: Changes::BeforeReply,
        },
        answers: &[PROGRESS, QUESTION, LENS, TOKENS],
        dismissal: Dismissal::Null,
        first_version: 0,
        cancels: true,
        lenses: true,
        shuffles: false,
    };

    /// No editor in particular: one that states nothing, and knows what the first version of the protocol had.
    pub const PLAIN: Self = Self {
        name: "plain",
        capture: "{\"capabilities\": {}}",
        client: None,
        edits: Edits {
            versions: Versions::Ignored,
            document_changes: false,
            resources: Resources::Ignored,
            unopened: Unopened::Buffer,
            confirmation: Confirmation::Never,
            changes: Changes::BeforeReply,
        },
        answers: &[],
        dismissal: Dismissal::Null,
        first_version: 1,
        cancels: false,
        lenses: false,
        shuffles: false,
    };

    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::VSCODE,
        Self::NEOVIM,
        Self::NEOVIM_0_10,
        Self::NEOVIM_0_7,
        Self::HELIX,
        Self::HELIX_25_01,
        Self::HELIX_NEXT,
        Self::KAKOUNE,
        Self::EGLOT,
        Self::EGLOT_1_9,
        Self::LSP_MODE,
        Self::PLAIN,
    ];

    /// Its `initialize` params for a workspace, with the process id of who plays it.
    pub fn initialize_params(&self, root: &std::path::Path) -> Value {
        let mut params: Value = serde_json::from_str(self.capture).expect("the capture is JSON");
        let uri = crate::workspace::uri(root);
        params["processId"] = json!(std::process::id());
        params["rootUri"] = json!(uri);
        // Only where it names them at all.
        if !params["rootPath"].is_null() {
            params["rootPath"] = json!(root);
        }
        if !params["workspaceFolders"].is_null() {
            params["workspaceFolders"] = json!([{"uri": uri, "name": "ws"}]);
        }
        if let Some((name, version)) = self.client {
            params["clientInfo"] = json!({"name": name, "version": version});
        }
        params
    }

    /// The position encodings it offers; utf-16 when it names none.
    pub fn encodings(&self) -> Vec<String> {
        let params: Value = serde_json::from_str(self.capture).expect("the capture is JSON");
        let named = params.pointer("/capabilities/general/positionEncodings").and_then(Value::as_array);
        named.map_or_else(
            || vec!["utf-16".to_owned()],
            |names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        )
    }

    /// Whether it says that it shows progress.
    pub fn shows_progress(&self) -> bool {
        let params: Value = serde_json::from_str(self.capture).expect("the capture is JSON");
        params.pointer("/capabilities/window/workDoneProgress") == Some(&json!(true))
    }

    /// Whether a person is asked before each edit.
    pub fn asks_before_edits(&self) -> bool {
        matches!(self.edits.confirmation, Confirmation::AlwaysError | Confirmation::AlwaysTrue)
    }

    /// Whether it answers a request of the server's.
    pub fn handles(&self, method: &str) -> bool {
        BASIC.contains(&method) || self.answers.contains(&method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capture_is_an_initialize() {
        for persona in Persona::ALL {
            let params = persona.initialize_params(std::path::Path::new("/some/where"));
            assert!(params["capabilities"].is_object(), "{}", persona.name);
            assert_eq!(params["rootUri"], "file:///some/where");
            assert!(!params.to_string().contains("\"/ws"), "{} keeps a captured path", persona.name);
            assert!(!persona.encodings().is_empty());
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<&str> = Persona::ALL.iter().map(|persona| persona.name).collect();
        assert_eq!(names.len(), Persona::ALL.len());
    }
}
