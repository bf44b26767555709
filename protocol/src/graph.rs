//! Questions to the code graph and their answers: one shape for LSP, for `krins graph … --json` and for HTTP.
//!
//! `path` is relative to the root, lines are 1-based. `uri` and `range` (positions in the negotiated encoding) are there over
//! LSP alone. A list is cut at `limit`; then `truncated` is true and `total` says how many there are.

use crate::lsp::{Meta, Partial, Position, Range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be asked: `krins/graph/x`, `krins graph x`, `GET /graph/x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    Stats,
    Module,
    Impact,
    References,
    Owners,
    Tests,
    Path,
    Unused,
    Cycles,
}

impl Question {
    /// Every question, in declaration order.
    pub const ALL: [Self; 9] = [
        Self::Stats,
        Self::Module,
        Self::Impact,
        Self::References,
        Self::Owners,
        Self::Tests,
        Self::Path,
        Self::Unused,
        Self::Cycles,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Module => "module",
            Self::Impact => "impact",
            Self::References => "references",
            Self::Owners => "owners",
            Self::Tests => "tests",
            Self::Path => "path",
            Self::Unused => "unused",
            Self::Cycles => "cycles",
        }
    }

    /// The question of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|question| question.name() == name)
    }
}

/// Params of every question; each reads what it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphParams {
    /// A file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// With `uri`: the declaration that is named or that is around here, instead of the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<String>,
    /// Over LSP, without a file's URI: the workspace is that of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Files and symbols as people write them: `src/a.ts`, `src/a.ts#name`, `src/a.ts#Class.method`, `src/a.ts:12`, `name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// `path`: where it begins and ends, written as `targets` are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `impact`: a unified diff, of the files as they are before it or after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// `impact`: the most steps along uses; without it 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// The most entries of each list; without it 200, at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The most milliseconds to wait for files that are not read yet; without it the answer waits for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    #[serde(default, rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
}

/// A declaration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphSymbol {
    /// `path#Class.method`: what `targets` take.
    pub symbol: String,
    /// `Class.method`.
    pub name: String,
    /// `Function`, `Class`, `Method`, `Property`, `Interface`, `TypeAlias`, `Enum`, `Namespace`, `Variable`.
    pub kind: String,
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Inclusive.
    pub lines: [u32; 2],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// The declaration without its body, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    pub exported: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphFile {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// `stats`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphStats {
    pub files: u64,
    pub symbols: u64,
    pub exports: u64,
    /// File to file, each pair once.
    pub edges: u64,
    /// Relative specifiers that lead nowhere.
    pub unresolved: u64,
    /// Files with parse errors.
    pub broken: u64,
    pub lines: u64,
    /// How long it took to have the graph as the files are now.
    pub millis: f64,
    /// There while not everything is read: the answer is about what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

/// `module`: one file and its neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleResult {
    #[serde(flatten)]
    pub file: GraphFile,
    pub lines: u32,
    pub generated: bool,
    pub broken: bool,
    pub symbols: Vec<GraphSymbol>,
    /// Files of the graph that it imports, by path.
    pub imports: Vec<GraphImport>,
    /// Files that import it, by path.
    pub importers: Vec<GraphImport>,
    /// Specifiers that lead out of the graph, sorted.
    pub external: Vec<String>,
    pub owners: Vec<String>,
    pub truncated: bool,
    /// There while not everything is read: the answer is about what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

/// How one file imports another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphImport {
    /// The other file.
    #[serde(flatten)]
    pub file: GraphFile,
    /// Of the first import, in the importing file.
    pub line: u32,
    /// What is taken, as the imported file calls it; `*` is all of it.
    pub names: Vec<String>,
    pub type_only: bool,
}

/// `references`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferencesResult {
    pub symbol: GraphSymbol,
    /// A member was asked for: these are the references of what it is a member of, since only types could tell them apart.
    pub approximate: bool,
    /// By path and place.
    pub references: Vec<GraphReference>,
    pub files: u32,
    pub total: u32,
    pub truncated: bool,
    /// There while not everything is read: the answer is about what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphReference {
    #[serde(flatten)]
    pub file: GraphFile,
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// `declaration`, `read`, `write`, `call`, `new`, `jsx`, `type`, `extends`, `implements`, `import`, `export`.
    pub kind: String,
    /// The declaration that the use is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// The line, without the blanks around it.
    pub text: String,
}

/// `impact`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImpactResult {
    /// What changes: declarations, or files where code outside of them changes.
    pub changed: Vec<GraphSymbol>,
    /// Declarations that it reaches, the nearest and heaviest first.
    pub symbols: Vec<AffectedSymbol>,
    /// Files that it reaches, without tests and without those that change.
    pub files: Vec<AffectedFile>,
    pub tests: Vec<AffectedFile>,
    /// Who owns what changes and what it reaches; most files first.
    pub owners: Vec<OwnerCount>,
    /// Files of the patch that the graph does not hold.
    pub others: Vec<String>,
    /// Files of the patch whose text is neither its old one nor its new one: said by line numbers alone.
    pub stale: Vec<String>,
    /// More would be reached with a larger `depth`.
    pub more: bool,
    /// How many symbols, files and tests there are before the cut.
    pub total: [u32; 3],
    pub truncated: bool,
    /// There while not everything is read: the answer is about what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffectedSymbol {
    #[serde(flatten)]
    pub symbol: GraphSymbol,
    /// Steps along uses.
    pub distance: u32,
    /// How much the change is felt, 0 to 1.
    pub weight: f64,
    pub uses: u32,
    /// What it uses that is nearer to the change, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Because {
    pub symbol: String,
    /// As in a reference.
    pub kind: String,
    /// Where it is used.
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffectedFile {
    #[serde(flatten)]
    pub file: GraphFile,
    pub distance: u32,
    pub weight: f64,
    pub uses: u32,
    /// Names of the declarations that are reached, at most 8.
    pub symbols: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnerCount {
    pub owner: String,
    pub files: u32,
}

/// `owners`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnersResult {
    /// The CODEOWNERS file that counts.
    pub source: Option<String>,
    /// `github` or `gitlab`.
    pub flavour: Option<String>,
    /// Of the files that were asked for.
    pub files: Vec<OwnedFile>,
    /// How many files each owns: of those that were asked for, else of the graph; most first.
    pub owners: Vec<OwnerCount>,
    /// Files that nobody owns.
    pub unowned: u32,
    /// Lines of the file that were passed over.
    pub ignored: Vec<IgnoredLine>,
    pub truncated: bool,
    /// There while not everything is read: the answer is about what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnedFile {
    #[serde(flatten)]
    pub file: GraphFile,
    pub owners: Vec<String>,
    pub rules: Vec<OwnerRule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnerRule {
    pub line: u32,
    pub pattern: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    pub optional: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IgnoredLine {
    pub line: u32,
    pub why: String,
}

/// `tests`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestsResult {
    /// What was asked for.
    pub of: String,
    /// The test that says most first.
    pub tests: Vec<TestFile>,
    /// When a test was asked for: the files that it is about.
    pub covers: Vec<CoveredFile>,
    pub total: u32,
    pub truncated: bool,
    /// There while not everything is read: the answer is about what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestFile {
    #[serde(flatten)]
    pub file: GraphFile,
    /// 0 to 1.
    pub weight: f64,
    /// Steps along uses; null when only modules lead there.
    pub distance: Option<u32>,
    pub uses: u32,
    pub same_stem: bool,
    /// It imports the file itself.
    pub imports: bool,
    /// It puts something else in the file's place.
    pub mocks: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CoveredFile {
    #[serde(flatten)]
    pub file: GraphFile,
    pub uses: u32,
}

/// `path`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathResult {
    pub found: bool,
    /// There is a way from `to` to `from` alone; the steps are that way's.
    pub reversed: bool,
    pub steps: Vec<PathStep>,
    /// There while not everything is read: the answer is about what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathStep {
    /// A file, or `path#name`.
    pub from: String,
    pub to: String,
    /// As in a reference, or `import`.
    pub kind: String,
    /// Where the reason stands.
    #[serde(flatten)]
    pub file: GraphFile,
    pub line: u32,
    /// That line, without the blanks around it.
    pub text: String,
}

/// `unused`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnusedResult {
    /// The surest first.
    pub unused: Vec<UnusedExport>,
    pub total: u32,
    pub truncated: bool,
    /// There while not everything is read: the answer is about what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnusedExport {
    #[serde(flatten)]
    pub symbol: GraphSymbol,
    /// The name that it is exported under.
    pub exported_as: String,
    /// `nobody`, `onlyItsFile`, `onlyTests`, `fileNotImported`.
    pub why: String,
    /// 0 to 1.
    pub confidence: f64,
}

/// `cycles`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CyclesResult {
    /// Those that run first, then those that only an `import()`, then those that only types close.
    pub cycles: Vec<GraphCycle>,
    pub total: u32,
    pub truncated: bool,
    /// There while not everything is read: the answer is about what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphCycle {
    /// `static`, `lazy`, `types`.
    pub kind: String,
    /// How many files reach each other.
    pub size: u32,
    pub files: Vec<String>,
    /// The shortest circle among them that its kind closes.
    pub shortest: Vec<CycleLink>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CycleLink {
    pub from: String,
    pub to: String,
    /// Of the import, in `from`.
    pub line: u32,
    pub kind: String,
}
