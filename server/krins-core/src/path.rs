//! Paths inside a workspace root.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A path relative to a workspace root: `/` between components, never empty, absolute, or with a `.`, `..`, `\`,
/// NUL or control character in it. Holding one proves the spelling is harmless; symbolic links are the opener's business.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelPath(Arc<str>);

/// Why a spelling is not a [`RelPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use path {path:?}: {why}")]
pub struct BadPath {
    pub path: String,
    pub why: &'static str,
}

impl RelPath {
    /// Takes `a/b.ts` and `./a/b.ts`; refuses everything that could mean a place outside the root.
    pub fn new(path: &str) -> Result<Self, BadPath> {
        let refuse = |why| Err(BadPath { path: path.chars().take(200).collect(), why });
        let trimmed = path.strip_prefix("./").unwrap_or(path);
        if trimmed.is_empty() {
            return refuse("it is empty");
        }
        if trimmed.len() > 4096 {
            return refuse("it is longer than 4,096 bytes");
        }
        if trimmed.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        if trimmed.contains('\\') {
            return refuse("it holds a backslash");
        }
        if trimmed.starts_with('/')
            || trimmed.as_bytes().get(1) == Some(&b':') && trimmed.as_bytes()[0].is_ascii_alphabetic()
        {
            return refuse("it is absolute");
        }
        for component in trimmed.split('/') {
            match component {
                "" => return refuse("it has an empty component"),
                "." | ".." => return refuse("it has a `.` or `..` component"),
                _ => {}
            }
        }
        Ok(Self(trimmed.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory, `""` for the root.
    pub fn dir(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(dir, _)| dir)
    }

    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// What follows the last `.` of the file name, `""` without one.
    pub fn extension(&self) -> &str {
        match self.file_name().rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => extension,
            _ => "",
        }
    }

    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Resolves `relative` (which may hold `.` and `..`) against this file's directory; `None` when it leaves the root.
    pub fn join_relative(&self, relative: &str) -> Option<Self> {
        Self::join_dir(self.dir(), relative)
    }

    /// Resolves `relative` against the directory `dir` (`""` is the root); `None` when it leaves the root.
    pub fn join_dir(dir: &str, relative: &str) -> Option<Self> {
        Self::new(&normalise(dir, relative)?).ok()
    }
}

/// `relative` from the directory `dir`, without `.` and `..`; `""` is the root, `None` is outside.
pub(crate) fn normalise(dir: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Sets and maps of paths can be asked with a plain text.
impl Borrow<str> for RelPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for RelPath {
    type Err = BadPath;

    fn from_str(path: &str) -> Result<Self, BadPath> {
        Self::new(path)
    }
}

impl AsRef<std::path::Path> for RelPath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&*self.0)
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_that_could_leave_the_root_are_refused() {
        for path in ["", "/etc/passwd", "../a", "a/../b", "a//b", "a/./b", "C:/x", "a\\b", "a\0b", "a\nb", ".", ".."] {
            assert!(RelPath::new(path).is_err(), "{path:?}");
        }
        assert_eq!(RelPath::new("./src/a.ts").unwrap().as_str(), "src/a.ts");
    }

    #[test]
    fn relative_specifiers_resolve_inside_the_root_only() {
        let from = RelPath::new("src/ui/list.ts").unwrap();
        assert_eq!(from.join_relative("../model/todo.ts").unwrap().as_str(), "src/model/todo.ts");
        assert_eq!(from.join_relative("../../../x"), None);
        assert_eq!(from.join_relative("../.."), None);
    }
}
