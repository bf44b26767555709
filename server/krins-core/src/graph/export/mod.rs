//! Pictures of the code graph: Graphviz, Mermaid, JSON, and one HTML page that opens by itself.
//!
//! A value in, a text out; who asks, and where the text is written, is not known here. File names are untrusted: each
//! format has one place that quotes them.

mod dot;
mod html;
mod json;
mod mermaid;
mod picture;
#[cfg(test)]
mod tests;
mod treemap;

use super::Graph;
use crate::page::visible;
use crate::path::RelPath;
use picture::{Limits, Picture};
use std::str::FromStr;

/// What the picture is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// A Graphviz digraph, clusters by directory.
    Dot,
    /// A Mermaid flowchart, within the limits that Mermaid has by default.
    Mermaid,
    /// One page with everything in it: a map of the files that is searched, zoomed and walked.
    Html,
    /// Nodes and edges.
    Json,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Dot, Self::Mermaid, Self::Html, Self::Json];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dot => "dot",
            Self::Mermaid => "mermaid",
            Self::Html => "html",
            Self::Json => "json",
        }
    }

    /// How many files and edges a picture of this format can show before nobody can read it.
    fn limits(self) -> Limits {
        match self {
            Self::Dot => Limits { files: 500, edges: 2000, directories: 120, text: usize::MAX },
            // Mermaid's defaults of `maxEdges` and `maxTextSize`; above them it refuses the whole text.
            Self::Mermaid => Limits { files: 200, edges: 500, directories: 60, text: 50_000 },
            Self::Html | Self::Json => Limits::NONE,
        }
    }

    fn write(self, picture: &Picture) -> String {
        match self {
            Self::Dot => dot::write(picture),
            Self::Mermaid => mermaid::write(picture),
            Self::Html => html::write(picture),
            Self::Json => json::write(picture),
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.as_str() == name).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("draw the graph as {0:?}: the formats are dot, mermaid, html and json")]
pub struct UnknownFormat(String);

/// What the picture shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub format: Format,
    /// Only this file and what is near it, along imports either way; the whole graph without it. A file that is not in
    /// the graph gives a picture without files: refuse it before.
    pub focus: Option<RelPath>,
    /// How many imports away from `focus` a file may be.
    pub depth: u32,
    /// Directories in place of files.
    pub dirs: bool,
    /// What the picture is of: the name of the root, as a person would say it.
    pub title: String,
}

impl Options {
    /// The whole graph, in files, as far as the format can show that.
    pub fn new(format: Format) -> Self {
        Self { format, focus: None, depth: 1, dirs: false, title: "Code graph".to_owned() }
    }
}

/// The picture that `options` ask for; the same graph and options give the same bytes.
///
/// Graphviz and Mermaid pictures that nobody could read are drawn in directories, with the number of imports on the
/// edges, and say so in their first line; with a focus, Graphviz keeps the files that were asked for.
pub fn export(graph: &Graph, options: &Options) -> String {
    options.format.write(&Picture::of(graph, options))
}
