//! Answers of the code graph → wire values: with lines, and over LSP with URIs and ranges.

use crate::questions::Door;
use krins_core::graph::queries::{
    Affected, AffectedFile, Cycle, CycleKind, FoundKind, Impact, Lookup, Named, Owners, Ownership, References, Step,
    SymbolRef, Testing, Touched, Unused, Why, qualified_name,
};
use krins_core::graph::{FileFacts, Graph, ReferenceKind};
use krins_core::text::{Encoding, LineIndex};
use krins_core::{RelPath, Tree as _};
use krins_engine::base::Snapshot;
use krins_protocol::graph as wire;
use krins_protocol::lsp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// Names of declarations that are listed for a file that is reached.
const NAMES: usize = 8;
/// Characters of a line of code in an answer.
const SHOWN: usize = 200;

/// Tells answers about one graph.
pub struct Teller<'a> {
    lookup: Lookup<'a>,
    snapshot: &'a Snapshot,
    door: Door,
    limit: usize,
    partial: Option<lsp::Partial>,
    texts: RefCell<BTreeMap<RelPath, Rc<Text>>>,
}

struct Text {
    text: Arc<str>,
    index: LineIndex,
}

impl Text {
    /// 1-based.
    fn line(&self, at: u32) -> u32 {
        self.index.line_of(at as usize) as u32 + 1
    }

    /// 1-based, in characters.
    fn column(&self, at: u32) -> u32 {
        self.index.position(&self.text, at as usize, Encoding::Utf32).column + 1
    }

    fn shown(&self, line: u32) -> String {
        let range = self.index.line_range(line.max(1) as usize - 1);
        self.text.get(range).unwrap_or_default().trim().chars().take(SHOWN).collect()
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Three digits say all that a weight says.
fn weight(weight: f64) -> f64 {
    (weight * 1000.0).round() / 1000.0
}

impl<'a> Teller<'a> {
    /// At most `limit` entries in a list; `partial` while the graph is.
    pub fn new(
        graph: &'a Graph,
        snapshot: &'a Snapshot,
        door: Door,
        limit: usize,
        partial: Option<lsp::Partial>,
    ) -> Self {
        Self { lookup: Lookup::new(graph), snapshot, door, limit, partial, texts: RefCell::default() }
    }

    fn text(&self, path: &RelPath) -> Rc<Text> {
        if let Some(known) = self.texts.borrow().get(path) {
            return known.clone();
        }
        let text = self.snapshot.text(path).unwrap_or_default();
        let text = Rc::new(Text { index: LineIndex::new(&text), text });
        self.texts.borrow_mut().insert(path.clone(), text.clone());
        text
    }

    fn file(&self, path: &RelPath) -> wire::GraphFile {
        let uri = matches!(self.door, Door::Lsp(_)).then(|| self.snapshot.root().uri(path));
        wire::GraphFile { path: path.to_string(), uri }
    }

    fn range(&self, path: &RelPath, bytes: Range<usize>) -> Option<lsp::Range> {
        let Door::Lsp(encoding) = self.door else { return None };
        let text = self.text(path);
        let at = |offset: usize| {
            let position = text.index.position(&text.text, offset, encoding);
            lsp::Position { line: position.line, character: position.column }
        };
        Some(lsp::Range { start: at(bytes.start), end: at(bytes.end) })
    }

    fn facts(&self, path: &RelPath) -> Arc<FileFacts> {
        self.lookup.facts(path).unwrap_or_default()
    }

    /// What `targets` take for the symbol.
    fn id(&self, symbol: &SymbolRef) -> String {
        format!("{}#{}", symbol.path, self.lookup.name(symbol))
    }

    fn symbol(&self, symbol: &SymbolRef, signed: bool) -> wire::GraphSymbol {
        let facts = self.facts(&symbol.path);
        let file = self.file(&symbol.path);
        let Some(declared) = facts.symbols.get(symbol.index) else { return self.top_level(&symbol.path) };
        let name = qualified_name(&facts, symbol.index);
        wire::GraphSymbol {
            symbol: format!("{}#{name}", symbol.path),
            name,
            kind: format!("{:?}", declared.kind),
            path: file.path,
            uri: file.uri,
            lines: declared.lines,
            range: self.range(&symbol.path, declared.name_range.clone()),
            signature: signed.then(|| declared.signature(&self.text(&symbol.path).text)),
            exported: declared.exported,
        }
    }

    /// A file's code outside of declarations.
    fn top_level(&self, path: &RelPath) -> wire::GraphSymbol {
        let file = self.file(path);
        wire::GraphSymbol {
            symbol: file.path.clone(),
            name: String::new(),
            kind: "File".to_owned(),
            path: file.path,
            uri: file.uri,
            lines: [1, self.facts(path).lines.max(1)],
            range: None,
            signature: None,
            exported: false,
        }
    }

    fn cut<T, R>(&self, all: &[T], mut tell: impl FnMut(&T) -> R) -> Vec<R> {
        all.iter().take(self.limit).map(&mut tell).collect()
    }

    pub fn module(&self, path: &RelPath, owners: &Ownership<'_>) -> wire::ModuleResult {
        let facts = self.facts(path);
        let graph = self.lookup.graph();
        let symbols: Vec<SymbolRef> =
            (0..facts.symbols.len()).map(|index| SymbolRef { path: path.clone(), index }).collect();
        let resolved = graph.resolved(path);
        let outside = facts.imports.iter().zip(resolved).filter(|(_, target)| target.is_none());
        let mut external: Vec<String> = outside.map(|(import, _)| import.specifier.clone()).collect();
        external.sort();
        external.dedup();
        let (imports, importers) = (graph.imports(path), graph.importers(path));
        wire::ModuleResult {
            partial: self.partial,
            file: self.file(path),
            lines: facts.lines,
            generated: facts.generated,
            broken: facts.broken,
            truncated: [symbols.len(), imports.len(), importers.len(), external.len()]
                .iter()
                .any(|all| *all > self.limit),
            symbols: self.cut(&symbols, |symbol| self.symbol(symbol, true)),
            imports: self.cut(imports, |target| self.import(path, target, target)),
            importers: self.cut(importers, |importer| self.import(importer, path, importer)),
            external: self.cut(&external, String::clone),
            owners: owners.owners.iter().map(ToString::to_string).collect(),
        }
    }

    /// How `from` imports `to`; `other` is the one that is told of.
    fn import(&self, from: &RelPath, to: &RelPath, other: &RelPath) -> wire::GraphImport {
        let facts = self.facts(from);
        let resolved = self.lookup.graph().resolved(from);
        let there: Vec<_> = facts
            .imports
            .iter()
            .zip(resolved)
            .filter(|(_, target)| target.as_ref() == Some(to))
            .map(|(import, _)| import)
            .collect();
        let mut names: Vec<String> =
            there.iter().flat_map(|import| &import.names).map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        wire::GraphImport {
            file: self.file(other),
            line: there.first().map_or(1, |import| import.line),
            names,
            type_only: there.iter().all(|import| import.type_only),
        }
    }

    pub fn references(&self, asked: &SymbolRef, references: &References) -> wire::ReferencesResult {
        let facts = self.facts(&asked.path);
        let mut files: Vec<&RelPath> = references.found.iter().map(|found| &found.path).collect();
        files.dedup();
        wire::ReferencesResult {
            partial: self.partial,
            symbol: self.symbol(asked, true),
            approximate: facts.symbols.get(asked.index).is_some_and(|symbol| symbol.parent.is_some()),
            files: count(files.len()),
            total: count(references.found.len()),
            truncated: references.found.len() > self.limit,
            references: self.cut(&references.found, |found| {
                let text = self.text(&found.path);
                let line = text.line(found.range.start);
                let within = found.within.map(|index| SymbolRef { path: found.path.clone(), index });
                wire::GraphReference {
                    file: self.file(&found.path),
                    line,
                    column: text.column(found.range.start),
                    range: self.range(&found.path, found.range.start as usize..found.range.end as usize),
                    kind: match found.kind {
                        FoundKind::Declaration => "declaration",
                        FoundKind::Use(kind) => kind_name(kind),
                    }
                    .to_owned(),
                    within: within.map(|within| self.lookup.name(&within)),
                    text: text.shown(line),
                }
            }),
        }
    }

    pub fn impact(&self, touched: &Touched, impact: &Impact, owners: Option<&Owners>) -> wire::ImpactResult {
        let (changed, reached): (Vec<&Affected>, Vec<&Affected>) =
            impact.symbols.iter().partition(|affected| affected.distance == 0);
        // A file that was named whole is told once, not by everything in it.
        let whole: Vec<&RelPath> = touched
            .changes
            .iter()
            .filter_map(|change| match change {
                krins_core::graph::queries::Change::File(path) => Some(path),
                _ => None,
            })
            .collect();
        let mut told: Vec<wire::GraphSymbol> = whole.iter().map(|path| self.top_level(path)).collect();
        for affected in changed.iter().filter(|affected| !whole.contains(&&affected.path)) {
            told.push(match &affected.symbol {
                Some(symbol) => self.symbol(symbol, false),
                None => self.top_level(&affected.path),
            });
        }
        told.truncate(self.limit);
        let total = [reached.len(), impact.files.len(), impact.tests.len()];
        let paths = changed.iter().map(|affected| &affected.path);
        let paths = paths.chain(impact.files.iter().chain(&impact.tests).map(|file| &file.path));
        let mut paths: Vec<&RelPath> = paths.collect();
        paths.sort();
        paths.dedup();
        wire::ImpactResult {
            partial: self.partial,
            changed: told,
            symbols: self.cut(&reached, |affected| self.affected(affected)),
            files: self.cut(&impact.files, |file| self.affected_file(file, impact)),
            tests: self.cut(&impact.tests, |file| self.affected_file(file, impact)),
            owners: owners.map(|owners| counts(owners, &paths).0).unwrap_or_default(),
            others: touched.others.iter().map(ToString::to_string).collect(),
            stale: touched.stale.iter().map(ToString::to_string).collect(),
            more: impact.more,
            truncated: total.iter().any(|all| *all > self.limit) || changed.len() > self.limit,
            total: total.map(count),
        }
    }

    fn affected(&self, affected: &Affected) -> wire::AffectedSymbol {
        let symbol = match &affected.symbol {
            Some(symbol) => self.symbol(symbol, false),
            None => self.top_level(&affected.path),
        };
        let because = affected.because.as_ref().map(|(symbol, kind, range)| wire::Because {
            symbol: self.id(symbol),
            kind: kind_name(*kind).to_owned(),
            line: self.text(&affected.path).line(range.start),
        });
        let weight = weight(affected.weight);
        wire::AffectedSymbol { symbol, distance: affected.distance, weight, uses: affected.uses, because }
    }

    fn affected_file(&self, file: &AffectedFile, impact: &Impact) -> wire::AffectedFile {
        let symbols = file.symbols.iter().filter_map(|at| impact.symbols.get(*at)?.symbol.as_ref());
        wire::AffectedFile {
            file: self.file(&file.path),
            distance: file.distance,
            weight: weight(file.weight),
            uses: file.uses,
            symbols: symbols.take(NAMES).map(|symbol| self.lookup.name(symbol)).collect(),
        }
    }

    /// Of the named files, else of the graph.
    pub fn owners(&self, owners: Option<&Owners>, paths: &[RelPath]) -> wire::OwnersResult {
        let all: Vec<&RelPath> = match paths {
            [] => self.lookup.graph().files().keys().collect(),
            paths => paths.iter().collect(),
        };
        let Some(owners) = owners else {
            return wire::OwnersResult {
                partial: self.partial,
                source: None,
                flavour: None,
                files: self.cut(paths, |path| self.owned(None, path)),
                owners: Vec::new(),
                unowned: count(all.len()),
                ignored: Vec::new(),
                truncated: paths.len() > self.limit,
            };
        };
        let (counted, unowned) = counts(owners, &all);
        wire::OwnersResult {
            partial: self.partial,
            source: Some(owners.path.to_string()),
            flavour: Some(format!("{:?}", owners.flavour).to_lowercase()),
            files: self.cut(paths, |path| self.owned(Some(owners), path)),
            truncated: paths.len() > self.limit || counted.len() > self.limit,
            owners: self.cut(&counted, wire::OwnerCount::clone),
            unowned,
            ignored: self.cut(&owners.ignored, |(line, why)| wire::IgnoredLine { line: *line, why: (*why).to_owned() }),
        }
    }

    fn owned(&self, owners: Option<&Owners>, path: &RelPath) -> wire::OwnedFile {
        let ownership = owners.map(|owners| owners.of(path)).unwrap_or_default();
        let rule = |rule: &&krins_core::graph::queries::Rule| wire::OwnerRule {
            line: rule.line,
            pattern: rule.pattern.clone(),
            section: rule.section.clone(),
            optional: rule.optional,
        };
        wire::OwnedFile {
            file: self.file(path),
            owners: ownership.owners.iter().map(ToString::to_string).collect(),
            rules: ownership.rules.iter().map(rule).collect(),
        }
    }

    pub fn tests(&self, of: &Named, tests: &[Testing], covered: &[(RelPath, u32)]) -> wire::TestsResult {
        wire::TestsResult {
            partial: self.partial,
            of: match of {
                Named::File(path) => path.to_string(),
                Named::Symbol(symbol) => self.id(symbol),
            },
            tests: self.cut(tests, |test| wire::TestFile {
                file: self.file(&test.path),
                weight: weight(test.weight),
                distance: test.distance,
                uses: test.uses,
                same_stem: test.same_stem,
                imports: test.imports,
                mocks: test.mocks,
            }),
            covers: self.cut(covered, |(path, uses)| wire::CoveredFile { file: self.file(path), uses: *uses }),
            total: count(tests.len()),
            truncated: tests.len() > self.limit || covered.len() > self.limit,
        }
    }

    /// `None`: there is no way in either direction.
    pub fn path(&self, steps: Option<&[Step]>, reversed: bool) -> wire::PathResult {
        wire::PathResult {
            partial: self.partial,
            found: steps.is_some(),
            reversed: reversed && steps.is_some(),
            steps: steps.unwrap_or_default().iter().map(|step| self.step(step)).collect(),
        }
    }

    fn step(&self, step: &Step) -> wire::PathStep {
        match step {
            Step::Imports { from, to, line, .. } => wire::PathStep {
                from: from.to_string(),
                to: to.to_string(),
                kind: "import".to_owned(),
                file: self.file(from),
                line: *line,
                text: self.text(from).shown(*line),
            },
            Step::Uses { from, path, to, kind, range } => {
                let text = self.text(path);
                let line = text.line(range.start);
                wire::PathStep {
                    from: from.as_ref().map_or_else(|| path.to_string(), |from| self.id(from)),
                    to: self.id(to),
                    kind: kind_name(*kind).to_owned(),
                    file: self.file(path),
                    line,
                    text: text.shown(line),
                }
            }
        }
    }

    pub fn unused(&self, unused: &[Unused]) -> wire::UnusedResult {
        wire::UnusedResult {
            partial: self.partial,
            unused: self.cut(unused, |unused| wire::UnusedExport {
                symbol: self.symbol(&unused.symbol, false),
                exported_as: unused.name.clone(),
                why: match unused.why {
                    Why::Nobody => "nobody",
                    Why::OnlyItsFile => "onlyItsFile",
                    Why::OnlyTests => "onlyTests",
                    Why::FileNotImported => "fileNotImported",
                }
                .to_owned(),
                confidence: weight(unused.confidence),
            }),
            total: count(unused.len()),
            truncated: unused.len() > self.limit,
        }
    }

    pub fn cycles(&self, cycles: &[Cycle]) -> wire::CyclesResult {
        let told = self.cut(cycles, |cycle| wire::GraphCycle {
            kind: cycle_name(cycle.kind).to_owned(),
            size: count(cycle.files.len()),
            files: self.cut(&cycle.files, ToString::to_string),
            shortest: self.cut(&cycle.shortest, |link| wire::CycleLink {
                from: link.from.to_string(),
                to: link.to.to_string(),
                line: link.line,
                kind: cycle_name(link.kind).to_owned(),
            }),
        });
        let long = cycles.iter().any(|cycle| cycle.files.len().max(cycle.shortest.len()) > self.limit);
        wire::CyclesResult {
            partial: self.partial,
            total: count(cycles.len()),
            truncated: long || cycles.len() > self.limit,
            cycles: told,
        }
    }
}

/// How many of the files each owns, most first; and how many nobody owns.
fn counts(owners: &Owners, paths: &[&RelPath]) -> (Vec<wire::OwnerCount>, u32) {
    let mut by_owner: BTreeMap<&str, u32> = BTreeMap::new();
    let mut unowned = 0;
    for path in paths {
        let ownership = owners.of(path);
        unowned += u32::from(ownership.owners.is_empty());
        for owner in ownership.owners {
            *by_owner.entry(owner).or_default() += 1;
        }
    }
    let counted = by_owner.into_iter().map(|(owner, files)| wire::OwnerCount { owner: owner.to_owned(), files });
    let mut counted: Vec<wire::OwnerCount> = counted.collect();
    counted.sort_by(|a, b| b.files.cmp(&a.files).then_with(|| a.owner.cmp(&b.owner)));
    (counted, unowned)
}

fn kind_name(kind: ReferenceKind) -> &'static str {
    match kind {
        ReferenceKind::Read => "read",
        ReferenceKind::Write => "write",
        ReferenceKind::Call => "call",
        ReferenceKind::New => "new",
        ReferenceKind::Jsx => "jsx",
        ReferenceKind::Type | ReferenceKind::TypeOf | ReferenceKind::Namespace => "type",
        ReferenceKind::Extends => "extends",
        ReferenceKind::Implements => "implements",
        ReferenceKind::Import => "import",
        ReferenceKind::Export => "export",
    }
}

fn cycle_name(kind: CycleKind) -> &'static str {
    match kind {
        CycleKind::Static => "static",
        CycleKind::Lazy => "lazy",
        CycleKind::Types => "types",
    }
}
