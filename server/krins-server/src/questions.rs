//! Questions to the code graph, as every door asks them: what is meant, what the core says, and how it is told.
//! Blocking: the files are looked at first, so that an answer is about what they are now.

use crate::from_proto;
use crate::to_proto;
use crate::to_proto::graph::Teller;
use krins_core::graph::Graph;
use krins_core::graph::queries::{self, Change, Entries, Lookup, NameError, Named, Owners, PatchError};
use krins_core::text::Encoding;
use krins_core::{RelPath, Tree as _};
use krins_engine::base::Snapshot;
use krins_engine::index::{View, Wish};
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::graph::{GraphParams, GraphStats, Question};
use krins_protocol::lsp::Partial;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Entries of a list, when nobody says how many.
const LIMIT: u32 = 200;
const MOST: u32 = 10_000;
/// Steps of an impact, when nobody says how many.
const DEPTH: u32 = 3;
const DEEPEST: u32 = 64;
/// Longer patches and more targets are no question that a person asks.
const LARGEST_PATCH: usize = 64 << 20;
const MOST_TARGETS: usize = 1000;

/// How an answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// With URIs, and positions in the encoding.
    Lsp(Encoding),
    /// Names may be relative to the working directory.
    CommandLine,
    Http,
}

/// The answer: the document of `krins_protocol::graph` that belongs to the question.
pub fn answer(engine: &Engine, question: Question, params: &GraphParams, door: Door) -> Result<Value, Error> {
    if params.targets.len() + params.uris.len() > MOST_TARGETS {
        return Err(Error::new(ErrorKind::BadParams, format!("ask about more than {MOST_TARGETS} targets")));
    }
    let began = Instant::now();
    let snapshot = engine.snapshot();
    let View { graph, partial, .. } = match from_proto::patience(params.patience) {
        Some(patience) => {
            let focus = focus(engine, params);
            let words: Vec<&str> =
                params.targets.iter().chain(&params.from).chain(&params.to).map(String::as_str).collect();
            engine.graph_soon(&snapshot, &Wish { focus: focus.as_ref(), words: &words.join(" ") }, patience)
        }
        None => View { graph: engine.graph(), ..View::default() },
    };
    let asked = Asked {
        engine,
        params,
        door,
        snapshot: &snapshot,
        graph: &graph,
        partial: partial.map(to_proto::partial),
        millis: began.elapsed().as_secs_f64() * 1000.0,
        limit: params.limit.unwrap_or(LIMIT).min(MOST) as usize,
    };
    let answer = match question {
        Question::Stats => value(&asked.stats()),
        Question::Module => asked.module(),
        Question::Impact => asked.impact(),
        Question::References => asked.references(),
        Question::Owners => asked.owners(),
        Question::Tests => asked.tests(),
        Question::Path => asked.path(),
        Question::Unused => asked.unused(),
        Question::Cycles => value(&asked.teller().cycles(&queries::cycles(&graph))),
    };
    answer.map_err(|error| maybe_later(error, asked.partial))
}

fn value(answer: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(answer).map_err(|error| Error::new(ErrorKind::Internal, format!("write the answer: {error}")))
}

struct Asked<'a> {
    engine: &'a Engine,
    params: &'a GraphParams,
    door: Door,
    snapshot: &'a Snapshot,
    graph: &'a Graph,
    /// While not everything is in the graph.
    partial: Option<Partial>,
    /// How long it took to have the graph.
    millis: f64,
    limit: usize,
}

impl Asked<'_> {
    fn teller(&self) -> Teller<'_> {
        Teller::new(self.graph, self.snapshot, self.door, self.limit, self.partial)
    }

    fn stats(&self) -> GraphStats {
        let stats = self.graph.stats();
        GraphStats {
            files: stats.files as u64,
            symbols: stats.symbols as u64,
            exports: stats.exports as u64,
            edges: stats.edges as u64,
            unresolved: stats.unresolved as u64,
            broken: stats.broken as u64,
            lines: stats.lines,
            millis: self.millis,
            partial: self.partial,
        }
    }

    fn module(&self) -> Result<Value, Error> {
        let path = self.one()?.path().clone();
        let owners = self.codeowners();
        let owners = owners.as_ref().map(|owners| owners.of(&path)).unwrap_or_default();
        value(&self.teller().module(&path, &owners))
    }

    fn impact(&self) -> Result<Value, Error> {
        let mut touched = queries::Touched::default();
        if let Some(patch) = &self.params.patch {
            if patch.len() > LARGEST_PATCH {
                return Err(Error::new(ErrorKind::BadParams, "read the patch: it is larger than 64 MiB"));
            }
            let text = |path: &RelPath| self.snapshot.text(path);
            touched = queries::changes(self.graph, patch, &text).map_err(bad_patch)?;
        }
        for named in self.all()? {
            touched.changes.push(match named {
                Named::File(path) => Change::File(path),
                Named::Symbol(symbol) => Change::Symbol(symbol),
            });
        }
        if touched == queries::Touched::default() && self.params.patch.is_none() {
            return Err(nothing_named());
        }
        let depth = self.params.depth.unwrap_or(DEPTH).min(DEEPEST);
        let impact = queries::impact(self.graph, &touched.changes, depth);
        value(&self.teller().impact(&touched, &impact, self.codeowners().as_ref()))
    }

    fn references(&self) -> Result<Value, Error> {
        match self.one()? {
            Named::Symbol(symbol) => {
                // Who points at a declaration means that one; who says a name means all that has it.
                let references = match self.params.position {
                    Some(_) => queries::references_as_declared(self.graph, &symbol),
                    None => queries::references(self.graph, &symbol),
                };
                value(&self.teller().references(&symbol, &references))
            }
            Named::File(path) => {
                Err(Error::new(ErrorKind::BadParams, format!("find the references of {path}: it is a file")).hint(
                    format!(
                        "name a declaration of it ({path}#name, {path}:12); `krins graph module {path}` lists them"
                    ),
                ))
            }
        }
    }

    fn owners(&self) -> Result<Value, Error> {
        let paths: Vec<RelPath> = self.all_or_names()?;
        value(&self.teller().owners(self.codeowners().as_ref(), &paths))
    }

    fn tests(&self) -> Result<Value, Error> {
        let of = self.one()?;
        let text = |path: &RelPath| self.snapshot.text(path);
        let tests = queries::tests_of(self.graph, &of, &text);
        let covered = match &of {
            Named::File(path) if queries::is_test(path) => queries::covered_by(self.graph, path),
            _ => Vec::new(),
        };
        value(&self.teller().tests(&of, &tests, &covered))
    }

    fn path(&self) -> Result<Value, Error> {
        let (Some(from), Some(to)) = (&self.params.from, &self.params.to) else {
            return Err(Error::new(ErrorKind::BadParams, "find a path: `from` or `to` is missing")
                .hint("name two files or symbols: src/a.ts, src/a.ts#name, name"));
        };
        let (from, to) = (self.named(from)?, self.named(to)?);
        let there = queries::shortest_path(self.graph, &from, &to);
        let reversed = there.is_none();
        let steps = there.or_else(|| queries::shortest_path(self.graph, &to, &from));
        value(&self.teller().path(steps.as_deref(), reversed))
    }

    fn unused(&self) -> Result<Value, Error> {
        let walked = self.snapshot.walk();
        let packages = walked.files.iter().filter(|file| file.path.file_name() == "package.json");
        let texts: BTreeMap<RelPath, Arc<str>> =
            packages.filter_map(|file| Some((file.path.clone(), self.snapshot.text(&file.path)?))).collect();
        let mut unused = queries::unused(self.graph, &Entries::of(self.graph, &texts));
        let within = self.all_or_names()?;
        unused.retain(|unused| within.is_empty() || within.contains(&unused.symbol.path));
        unused.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then_with(|| a.symbol.cmp(&b.symbol)));
        value(&self.teller().unused(&unused))
    }

    fn codeowners(&self) -> Option<Owners> {
        let path = |place: &str| RelPath::new(place).ok();
        let text = |path: RelPath| self.snapshot.text(&path).map(|text| (path, text));
        let texts: BTreeMap<RelPath, Arc<str>> = Owners::places().filter_map(path).filter_map(text).collect();
        Owners::choose(&texts)
    }

    /// The one thing that is asked about.
    fn one(&self) -> Result<Named, Error> {
        let mut all = self.all()?;
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(nothing_named()),
            (Some(_), false) => Err(Error::new(ErrorKind::BadParams, "answer about more than one target")
                .hint("ask about one file or symbol")),
        }
    }

    fn all(&self) -> Result<Vec<Named>, Error> {
        let mut all = Vec::new();
        if let Some(uri) = &self.params.uri {
            all.push(self.at(uri)?);
        }
        for uri in &self.params.uris {
            all.push(Named::File(self.file(uri)?));
        }
        for target in &self.params.targets {
            all.push(self.named(target)?);
        }
        Ok(all)
    }

    /// Paths of what is named; of a file that is not in the graph, its own.
    fn all_or_names(&self) -> Result<Vec<RelPath>, Error> {
        let mut paths = Vec::new();
        for uri in self.params.uri.iter().chain(&self.params.uris) {
            paths.push(from_proto::path(self.engine, uri)?);
        }
        for target in &self.params.targets {
            match self.named(target) {
                Ok(named) => paths.push(named.path().clone()),
                Err(error) => paths.push(self.spelled(target).filter(|path| self.engine.has(path)).ok_or(error)?),
            }
        }
        Ok(paths)
    }

    fn file(&self, uri: &str) -> Result<RelPath, Error> {
        let path = from_proto::path(self.engine, uri)?;
        if self.graph.contains(&path) { Ok(path) } else { Err(bad_name(NameError::NoFile { path: path.to_string() })) }
    }

    /// The file of a URI, or the declaration that a position in it names or is in.
    fn at(&self, uri: &str) -> Result<Named, Error> {
        let path = self.file(uri)?;
        let Some(position) = self.params.position else { return Ok(Named::File(path)) };
        let text = self.snapshot.text(&path).unwrap_or_default();
        let offset = from_proto::offset(self.engine, &text, position);
        Ok(Lookup::new(self.graph).at(&path, offset))
    }

    fn named(&self, spelling: &str) -> Result<Named, Error> {
        let found = queries::find(self.graph, spelling);
        // As the root sees it first; else as the working directory does.
        let typed = match (&found, self.door) {
            (Err(NameError::NoFile { .. }), Door::CommandLine) => self.typed(spelling),
            _ => None,
        };
        match typed {
            Some(spelling) => queries::find(self.graph, &spelling).map_err(bad_name),
            None => found.map_err(bad_name),
        }
    }

    /// A path as it was typed in a shell, with what follows it, from the root.
    fn typed(&self, spelling: &str) -> Option<String> {
        let end = spelling.find('#').or_else(|| {
            let (path, line) = spelling.rsplit_once(':')?;
            line.parse::<u32>().is_ok().then_some(path.len())
        });
        let (name, rest) = spelling.split_at(end.unwrap_or(spelling.len()));
        Some(format!("{}{rest}", self.engine.root().typed(Path::new(name))?))
    }

    fn spelled(&self, target: &str) -> Option<RelPath> {
        let here = RelPath::new(target).ok().filter(|path| self.engine.has(path));
        match self.door {
            Door::CommandLine => here.or_else(|| self.engine.root().typed(Path::new(target))),
            Door::Lsp(_) | Door::Http => here,
        }
    }
}

/// The file that is asked about, as far as that can be known before there is a graph.
fn focus(engine: &Engine, params: &GraphParams) -> Option<RelPath> {
    let uri = params.uri.as_ref().or(params.uris.first());
    let spelled = params.targets.first().or(params.from.as_ref()).map(|target| {
        let path = target.split('#').next().unwrap_or_default();
        path.rsplit_once(':').map_or(path, |(path, _)| path)
    });
    let path = uri.and_then(|uri| from_proto::path(engine, uri).ok());
    path.or_else(|| RelPath::new(spelled?).ok()).filter(|path| engine.has(path))
}

/// What is not found may be in a file that is not read yet.
fn maybe_later(error: Error, partial: Option<Partial>) -> Error {
    match partial {
        None => error,
        Some(Partial { read, total }) => {
            let hint = format!("{read} of {total} files are read; ask again, or with more `patience`");
            error.hint(hint)
        }
    }
}

fn nothing_named() -> Error {
    Error::new(ErrorKind::BadParams, "answer: no file and no symbol is named")
        .hint("name one: src/a.ts, src/a.ts#name, src/a.ts#Class.method, src/a.ts:12, or a name that one file declares")
}

fn bad_name(error: NameError) -> Error {
    let hint = match &error {
        NameError::NoFile { .. } => {
            "the graph holds TypeScript and JavaScript files that no ignore rule leaves out; paths are relative to the root".to_owned()
        }
        NameError::NoSymbol { near, .. } if !near.is_empty() => format!("did you mean {}?", near.join(", ")),
        NameError::NoSymbol { .. } => "write it as it is declared, such as src/a.ts#Class.method".to_owned(),
        NameError::NotInFile { there, .. } if there.is_empty() => "the file declares nothing".to_owned(),
        NameError::NotInFile { there, .. } => format!("the file declares {}", there.join(", ")),
        NameError::NoLine { .. } => "lines are counted from 1".to_owned(),
        NameError::Ambiguous { candidates, .. } => {
            let shown: Vec<&str> = candidates.iter().take(12).map(String::as_str).collect();
            let more = if candidates.len() > shown.len() { ", …" } else { "" };
            format!("name one of {}{more}", shown.join(", "))
        }
    };
    Error::new(ErrorKind::BadParams, error.to_string()).hint(hint)
}

fn bad_patch(error: PatchError) -> Error {
    Error::new(ErrorKind::BadParams, error.to_string())
        .hint("pass a unified diff with paths relative to the root, as `git diff` prints it")
}
