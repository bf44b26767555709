//! What known clients do beside or against their capability flags: data, one tested row each.
//!
//! A flag is a hint. Every row was seen in the client's source or in a run of it.

use std::time::Duration;
use tower_lsp::ls_types::ClientInfo;

/// How long a person may take to say yes to an edit; no machine's answer takes that long.
const A_PERSON: Duration = Duration::from_secs(120);

/// How a client differs from what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Handles `window/showDocument` without advertising it.
    pub shows_documents_unasked: bool,
    /// Asks the person before it takes an edit, and answers when the person has.
    pub asks_before_edits: bool,
    /// Sends the changes of a document in another order than it made them; its versions go up by one.
    pub shuffles_changes: bool,
    /// Leaves what it reads together with a reply lying until more comes.
    pub stops_at_replies: bool,
}

impl Quirks {
    /// How long the answer to an edit may take; `None` is as long as any client's.
    pub fn patience(self) -> Option<Duration> {
        self.asks_before_edits.then_some(A_PERSON)
    }
}

struct Row {
    /// `clientInfo.name`, lower case, as a prefix.
    name: &'static str,
    /// Only versions that are smaller, as texts.
    before: Option<&'static str>,
    quirks: Quirks,
}

const NONE: Quirks = Quirks {
    shows_documents_unasked: false,
    asks_before_edits: false,
    shuffles_changes: false,
    stops_at_replies: false,
};

/// Asks by `eglot-confirm-server-initiated-edits`, since Emacs 30 where `eglot-confirm-server-edits` says so. Up to Emacs 29 a reply
/// that is waited for leaves the filter that reads, and what it had read beside.
const EGLOT: Quirks = Quirks { asks_before_edits: true, stops_at_replies: true, ..NONE };

/// Helix 25.01 and 25.07 open a document although they do not say that they can.
const HELIX: Quirks = Quirks { shows_documents_unasked: true, ..NONE };

/// The first that fits counts.
const ROWS: &[Row] = &[
    // Until then each notification was sent by a task of its own.
    row("helix", Some("25.07"), Quirks { shuffles_changes: true, ..HELIX }),
    row("helix", None, HELIX),
    row("visual studio code", None, NONE),
    row("code-server", None, NONE),
    row("neovim", None, NONE),
    row("kakoune", None, NONE),
    row("kak-lsp", None, NONE),
    // lsp-mode.
    row("emacs", None, NONE),
    row("eglot", None, EGLOT),
];

const fn row(name: &'static str, before: Option<&'static str>, quirks: Quirks) -> Row {
    Row { name, before, quirks }
}

/// The row of a client; an unknown one gets none. Eglot up to 1.9 has no name, and nobody loses by what it needs: patience, and
/// something more to read.
pub fn of(client: Option<&ClientInfo>) -> Quirks {
    match client {
        Some(client) => find(client).map_or(NONE, |row| row.quirks),
        None => EGLOT,
    }
}

fn find(client: &ClientInfo) -> Option<&'static Row> {
    let name = client.name.to_lowercase();
    let version = client.version.as_deref();
    ROWS.iter().find(|row| {
        name.starts_with(row.name) && row.before.is_none_or(|before| version.is_some_and(|version| version < before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_the_start_of_their_name() {
        let of = |name: &str| super::of(Some(&ClientInfo { name: name.into(), version: None }));
        assert!(of("helix").shows_documents_unasked);
        assert_eq!(of("Visual Studio Code - Insiders"), NONE);
        assert_eq!(of("some editor"), NONE);
    }

    /// What each captured client says of itself finds its row.
    #[test]
    fn every_captured_client_has_a_row() {
        let named = |quirks: Quirks| {
            [
                (quirks.shows_documents_unasked, "shows"),
                (quirks.asks_before_edits, "asks"),
                (quirks.shuffles_changes, "shuffles"),
                (quirks.stops_at_replies, "stops"),
            ]
            .into_iter()
            .filter_map(|(has, name)| has.then_some(name))
            .collect::<Vec<_>>()
        };
        for (capture, expected) in [
            (include_str!("../../../../tests/src/personas/vscode-1.139.json"), vec![]),
            (include_str!("../../../../tests/src/personas/neovim-0.7.json"), vec![]),
            (include_str!("../../../../tests/src/personas/neovim-0.10.json"), vec![]),
            (include_str!("../../../../tests/src/personas/neovim-0.12.json"), vec![]),
            (include_str!("../../../../tests/src/personas/helix-25.01.json"), vec!["shows", "shuffles"]),
            (include_str!("../../../../tests/src/personas/helix-2026-07.json"), vec!["shows"]),
            (include_str!("../../../../tests/src/personas/kakoune.json"), vec![]),
            (include_str!("../../../../tests/src/personas/eglot-1.9.json"), vec!["asks", "stops"]),
            (include_str!("../../../../tests/src/personas/eglot-1.17.json"), vec!["asks", "stops"]),
            (include_str!("../../../../tests/src/personas/lsp-mode-8.0.json"), vec![]),
        ] {
            let params: serde_json::Value = serde_json::from_str(capture).unwrap();
            let client: Option<ClientInfo> = serde_json::from_value(params["clientInfo"].clone()).unwrap();
            assert!(client.as_ref().is_none_or(|client| find(client).is_some()), "{client:?}");
            assert_eq!(named(of(client.as_ref())), expected, "{client:?}");
        }
    }
}
