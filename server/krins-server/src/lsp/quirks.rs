//! What known clients do beside or against their capability flags: data, one tested row each.
//!
//! A flag is a hint. Every row was seen in the client's source or in a run of it.

use tower_lsp::ls_types::ClientInfo;

/// How a client differs from what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Handles `window/showDocument` without advertising it.
    pub shows_documents_unasked: bool,
}

struct Row {
    /// `clientInfo.name`, lower case, as a prefix.
    name: &'static str,
    quirks: Quirks,
}

const NONE: Quirks = Quirks { shows_documents_unasked: false };

const ROWS: &[Row] = &[
    // Helix 25.01 and 25.07 open the document although they do not say so.
    Row { name: "helix", quirks: Quirks { shows_documents_unasked: true } },
    Row { name: "visual studio code", quirks: NONE },
    Row { name: "neovim", quirks: NONE },
    Row { name: "kakoune", quirks: NONE },
    Row { name: "kak-lsp", quirks: NONE },
    Row { name: "emacs", quirks: NONE },
    Row { name: "eglot", quirks: NONE },
];

/// The row of a client; an unknown one gets none.
pub fn of(client: Option<&ClientInfo>) -> Quirks {
    let name = client.map(|client| client.name.to_lowercase()).unwrap_or_default();
    ROWS.iter().find(|row| name.starts_with(row.name)).map_or(NONE, |row| row.quirks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_the_start_of_their_name() {
        let of = |name: &str| super::of(Some(&ClientInfo { name: name.into(), version: None }));
        assert!(of("helix").shows_documents_unasked);
        assert_eq!(of("Visual Studio Code - Insiders"), NONE);
        assert_eq!(super::of(None), NONE);
    }
}
