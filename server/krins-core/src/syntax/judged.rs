//! Languages that are judged, not understood: is the text in error? Data by the parsers of their formats, which are the
//! word of the format; styles, pages and other programming languages by tree-sitter.

use super::{Placed, SyntaxError, difference, squeeze, tree_errors};
use crate::Digest;
use crate::path::RelPath;
use crate::text::LineIndex;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tree_sitter::{Parser, Tree};

/// A text that is larger is not judged: nobody writes one by hand.
const LARGEST: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Judged {
    Json,
    /// JSON with comments and trailing commas.
    Jsonc,
    Toml,
    Yaml,
    Css,
    Go,
    Html,
    Python,
    Rust,
}

impl Judged {
    pub fn of(path: &RelPath) -> Option<Self> {
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        Some(match path.extension() {
            "json" if is_commented(path.as_str(), name) => Self::Jsonc,
            "json" | "webmanifest" => Self::Json,
            "jsonc" | "code-workspace" => Self::Jsonc,
            "toml" => Self::Toml,
            "yml" | "yaml" => Self::Yaml,
            "css" => Self::Css,
            "go" => Self::Go,
            "html" | "htm" => Self::Html,
            "py" | "pyi" => Self::Python,
            "rs" => Self::Rust,
            _ => return None,
        })
    }

    fn grammar(self) -> Option<tree_sitter::Language> {
        match self {
            Self::Json | Self::Jsonc | Self::Toml | Self::Yaml => None,
            Self::Css => Some(tree_sitter_css::LANGUAGE.into()),
            Self::Go => Some(tree_sitter_go::LANGUAGE.into()),
            Self::Html => Some(tree_sitter_html::LANGUAGE.into()),
            Self::Python => Some(tree_sitter_python::LANGUAGE.into()),
            Self::Rust => Some(tree_sitter_rust::LANGUAGE.into()),
        }
    }

    /// What the parser of a data format objects to first; the outer `None`: it is not that kind, or cannot be asked.
    fn objection(self, text: &str) -> Option<Option<SyntaxError>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match self {
            Self::Json => Some(json_error(text)),
            Self::Jsonc => Some(json_error(text).filter(|_| crate::graph::jsonc::parse(text).is_none())),
            Self::Toml => Some(toml_error(text)),
            // A template of YAML is YAML only once it is filled in.
            Self::Yaml if text.contains("{{") || text.contains("{%") || text.contains("<%") => None,
            Self::Yaml => Some(yaml_error(text)),
            Self::Css | Self::Go | Self::Html | Self::Python | Self::Rust => None,
        }
    }
}

/// JSON files that their readers let have comments.
fn is_commented(path: &str, name: &str) -> bool {
    [
        "tsconfig",
        "jsconfig",
        ".eslintrc",
        "api-extractor",
        "devcontainer",
        "nx.json",
        "turbo.json",
        "biome.json",
        "deno.json",
        ".swcrc",
        "language-configuration",
        "renovate",
        "babel.config",
        ".babelrc",
        "wrangler",
        "typedoc",
        ".oxlintrc",
        "components",
        "lerna",
    ]
    .iter()
    .any(|start| name.starts_with(start))
        || ["vscode/", ".zed/", ".cursor/", ".devcontainer/"].iter().any(|dir| path.contains(dir))
        || name.contains("tsconfig")
        || name.ends_with(".code-snippets")
}

/// The errors of `after` that `before` does not have.
pub(super) fn new_errors(path: &RelPath, before: Option<&str>, after: &str) -> Vec<SyntaxError> {
    let Some(judged) = Judged::of(path) else { return Vec::new() };
    if after.len() > LARGEST {
        return Vec::new();
    }
    match judged.grammar() {
        None => new_objection(judged, before, after).into_iter().collect(),
        Some(grammar) => {
            let after = errors(judged, &grammar, after);
            if after.is_empty() {
                return Vec::new();
            }
            let before = before.map(|text| errors(judged, &grammar, text)).unwrap_or_default();
            difference(&before, after)
        }
    }
}

/// A text that was sound, or is new, and is not sound now. One that was broken stays what it was.
fn new_objection(judged: Judged, before: Option<&str>, after: &str) -> Option<SyntaxError> {
    let found = judged.objection(after)??;
    // An empty file is no JSON, and there are programs that write one.
    if after.trim().is_empty() {
        return None;
    }
    if let Some(before) = before
        && !matches!(judged.objection(before), Some(None))
    {
        return None;
    }
    // What is new may follow rules of its reader; it is in error only when it is no JSON of any kind.
    if judged == Judged::Json && before.is_none() && crate::graph::jsonc::parse(after).is_some() {
        return None;
    }
    Some(found)
}

fn error(line: usize, message: String) -> SyntaxError {
    let fingerprint = Digest::of(format!("data\0{message}"));
    SyntaxError { lines: [line.max(1) as u32; 2], message, fingerprint }
}

fn json_error(text: &str) -> Option<SyntaxError> {
    // Reads without making anything, so without recursion.
    let mut reader = serde_json::Deserializer::from_str(text);
    let read: Result<serde::de::IgnoredAny, _> = serde::Deserialize::deserialize(&mut reader);
    read.and_then(|_| reader.end()).err().map(|found| {
        let message = found.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        error(found.line(), message)
    })
}

fn toml_error(text: &str) -> Option<SyntaxError> {
    let found = toml::from_str::<toml::Table>(text).err()?;
    let line = found.span().map_or(0, |span| LineIndex::new(text).line_of(span.start.min(text.len())) + 1);
    Some(error(line, squeeze(found.message())))
}

/// Events of a YAML document that are looked at before it is taken as it is.
const MOST_EVENTS: usize = 2_000_000;

fn yaml_error(text: &str) -> Option<SyntaxError> {
    let mut events = granit_parser::Parser::new_from_str(text).take(MOST_EVENTS);
    let found = events.find_map(Result::err)?;
    Some(error(found.marker().line(), squeeze(&found.info())))
}

thread_local! {
    /// One parser a language: making one costs more than parsing a small file.
    static PARSERS: RefCell<BTreeMap<Judged, Parser>> = const { RefCell::new(BTreeMap::new()) };
}

fn errors(judged: Judged, grammar: &tree_sitter::Language, text: &str) -> Vec<Placed> {
    if text.len() > LARGEST
        || judged == Judged::Html && (text.contains("{{") || text.contains("{%") || text.contains("<%"))
    {
        return Vec::new();
    }
    match parse(judged, grammar, text) {
        Some(tree) => tree_errors(&tree, text),
        None => Vec::new(),
    }
}

fn parse(judged: Judged, grammar: &tree_sitter::Language, text: &str) -> Option<Tree> {
    PARSERS.with_borrow_mut(|parsers| {
        let parser = parsers.entry(judged).or_insert_with(|| {
            let mut parser = Parser::new();
            parser.set_language(grammar).expect("the grammars are built for this tree-sitter, which a test holds");
            parser
        });
        parser.parse(text, None)
    })
}

#[cfg(test)]
mod tests {
    use super::super::new_errors;
    use super::*;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).unwrap()
    }

    /// A name, a sound text, and what makes it unsound when it is put in another's place.
    type Broken = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

    const TEXTS: &[Broken] = &[
        (
            "a.json",
            "{ \"a\": [1, 2], \"b\": null }\n",
            &[("]", ""), ("null }", "null"), ("1,", "1,,"), ("\"a\"", "a"), ("2]", "2,]")],
        ),
        ("package.json", "{ \"a\": 1 }\n", &[("1", "1,"), ("{", "{ // x\n")]),
        ("tsconfig.json", "{ // why\n  \"a\": [1, 2,], }\n", &[("]", ""), ("}", "")]),
        (
            "a.toml",
            "[a]\nb = \"c\"\nd = [1, 2]\n",
            &[("\"c\"", "\"c"), ("]\nb", "\nb"), ("= [1", "[1"), ("d =", "b =")],
        ),
        (
            "a.yml",
            "a:\n  - b: 1\n    c: [1, 2]\nd: 'x'\n",
            &[("2]", "2"), ("'x'", "'x"), ("d:", "\td:"), ("  - b", " - b:\n: -")],
        ),
        ("a.css", "a { color: red; }\n.b > c { margin: 0 }\n", &[("}\n.b", "\n.b {"), ("{ margin", " margin")]),
        (
            "a.go",
            "package a\n\nfunc f(x int) int {\n\treturn x + 1\n}\n",
            &[("}", ""), ("x + 1", "x +"), ("(x int)", "(x int")],
        ),
        ("a.html", "<!doctype html>\n<p>Hi <b>you</b></p>\n", &[("</b>", "</b"), ("<b>", "<b")]),
        (
            "a.py",
            "def f(x):\n    if x:\n        return [1, x]\n    return f'{x}'\n",
            &[("]", ""), ("(x):", "(x:"), (":\n        return", "\n        return")],
        ),
        (
            "a.rs",
            "fn f(x: u8) -> u8 {\n    match x { 0 => 1, _ => x }\n}\n",
            &[("}\n}", "}\n"), ("(x: u8)", "(x: u8"), ("=> 1", "=>")],
        ),
    ];

    #[test]
    fn what_a_patch_breaks_is_found_and_what_it_leaves_is_not() {
        for (name, sound, breaks) in TEXTS {
            assert_eq!(new_errors(&path(name), None, sound), [], "{name}");
            for (from, to) in *breaks {
                let broken = sound.replacen(from, to, 1);
                assert_ne!(&broken, sound);
                assert!(!new_errors(&path(name), Some(sound), &broken).is_empty(), "{name}: {broken}");
                assert!(
                    !new_errors(&path(name), None, &broken).is_empty()
                        || name.ends_with(".json") && crate::graph::jsonc::parse(&broken).is_some(),
                    "{name}: {broken}"
                );
                assert_eq!(new_errors(&path(name), Some(&broken), &broken), [], "{name}: {broken}");
                assert_eq!(new_errors(&path(name), Some(&broken), sound), [], "{name}");
            }
        }
    }

    #[test]
    fn what_only_its_reader_understands_is_left_alone() {
        for (name, text) in [
            ("chart/templates/a.yaml", "a: {{ .Values.a }}\n{{- if .b }}\nc: 1\n{{- end }}\n"),
            (".vscode/settings.json", "{\n  // why\n  \"a\": 1,\n}\n"),
            ("a.json", ""),
            ("a.yml", "Key: !Ref Thing\nother: !Sub '${A}'\n"),
            ("a.yml", "a: &x 1\nb: *x\n---\nc: 2\n"),
            ("a.json5", "{a: 1}"),
            ("a.html", "<p>{{ name }}<b"),
        ] {
            assert_eq!(new_errors(&path(name), None, text), [], "{name}: {text}");
        }
    }

    #[test]
    fn deep_texts_are_read_without_a_stack() {
        for (name, open, close) in
            [("a.json", "[", "]"), ("a.yml", "[", "]"), ("a.css", "a {", "}"), ("a.py", "(", ")"), ("a.rs", "{", "}")]
        {
            let deep = format!("{}{}", open.repeat(20_000), close.repeat(20_000));
            let _ = new_errors(&path(name), Some(""), &deep);
        }
    }
}
