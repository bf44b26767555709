//! Who may use the service. Only digests of tokens are kept, and they are compared without an early exit.

use krins_core::Digest;
use std::path::{Path, PathBuf};

/// Bearer tokens by tenant name. The same name on several lines is how a token is changed without a gap.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    entries: Vec<(String, Digest)>,
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("read the tokens file {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The line itself is not shown: it may hold a token.
    #[error("read line {line} of the tokens file {path}: each line is NAME SHA256-HEX")]
    Line { path: PathBuf, line: usize },
    #[error("use the token: it has fewer than {} characters", Tokens::MIN_LENGTH)]
    TooShort,
}

impl Tokens {
    /// A digest protects a long random token only.
    pub const MIN_LENGTH: usize = 16;
    /// The tenant of a token that came without a name.
    pub const DEFAULT_TENANT: &'static str = "default";

    /// One token in clear, as from the environment's `KRINS_SERVE_TOKEN`.
    pub fn add_clear(&mut self, token: &str) -> Result<(), TokenError> {
        let token = token.trim();
        if token.len() < Self::MIN_LENGTH {
            return Err(TokenError::TooShort);
        }
        self.entries.push((Self::DEFAULT_TENANT.to_owned(), Digest::of(token)));
        Ok(())
    }

    /// A file of `NAME SHA256-HEX` lines; empty lines and those that begin with `#` are skipped.
    pub fn add_file(&mut self, path: &Path) -> Result<(), TokenError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = parse_line(line).ok_or_else(|| TokenError::Line { path: path.to_owned(), line: index + 1 })?;
            self.entries.push(entry);
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tenant that an `Authorization` header stands for.
    pub(super) fn tenant(&self, authorization: Option<&str>) -> Option<&str> {
        let (scheme, token) = authorization?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let digest = Digest::of(token.trim());
        // Every entry is looked at, so that the time says nothing about which one matched.
        self.entries.iter().fold(
            None,
            |found, (name, known)| {
                if same(known, &digest) { Some(name.as_str()) } else { found }
            },
        )
    }
}

fn parse_line(line: &str) -> Option<(String, Digest)> {
    let mut words = line.split_whitespace();
    let (name, digest) = (words.next()?, words.next()?.parse().ok()?);
    words.next().is_none().then(|| (name.to_owned(), digest))
}

fn same(one: &Digest, other: &Digest) -> bool {
    let difference = one.as_bytes().iter().zip(other.as_bytes()).fold(0, |difference, (a, b)| difference | (a ^ b));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_their_digest_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let (old, new) = (Digest::of("old-secret-of-acme"), Digest::of("new-secret-of-acme"));
        std::fs::write(&path, format!("# team\n\nacme {old}\nacme {new}\n")).unwrap();
        let mut tokens = Tokens::default();
        tokens.add_file(&path).unwrap();
        tokens.add_clear("a-token-from-the-environment\n").unwrap();
        let rows = [
            (Some("Bearer old-secret-of-acme"), Some("acme")),
            (Some("bearer new-secret-of-acme"), Some("acme")),
            (Some("Bearer a-token-from-the-environment"), Some("default")),
            (Some("Bearer other"), None),
            (Some("Basic old-secret-of-acme"), None),
            (Some("Bearer"), None),
            (None, None),
        ];
        for (header, tenant) in rows {
            assert_eq!(tokens.tenant(header), tenant, "{header:?}");
        }
    }

    #[test]
    fn a_broken_line_is_named_but_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        std::fs::write(&path, "acme the-clear-token-by-mistake").unwrap();
        let error = Tokens::default().add_file(&path).unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("mistake"), "{error}");
        assert!(Tokens::default().add_clear("short").is_err());
    }
}
