//! `krins patch apply`, `krins merge`.

use super::args::{Global, PatchCommand};
use super::output::{BAD, CARE, GOOD, Output, PLACE, paint};
use super::{Done, engine};
use crate::to_proto;
use krins_core::Digest;
use krins_core::gate::Author;
use krins_core::patch::{self, Patch, Refusal};
use krins_engine::base::Current;
use krins_engine::workspace::Root;
use krins_engine::{Engine, Error, ErrorKind, gate};
use krins_protocol::cli::{PatchFile, PatchHunk, PatchOutcome, PatchReport};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Larger than any patch a person reviews.
const LARGEST: u64 = 64 << 20;

pub async fn run(global: &Global, command: PatchCommand, out: &mut Output) -> Done {
    match command {
        PatchCommand::Apply { base } => apply(global, base, out).await,
    }
}

async fn apply(global: &Global, base: Option<PathBuf>, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let text = standard_input()?;
    let report = match place(&engine, &text, base.as_deref())? {
        Ok(patch) => carry_out(&engine, patch).await?,
        Err(refusals) => refused(refusals),
    };
    show(&report, out);
    out.document(&report);
    Ok(ExitCode::from(report.outcome.exit_code()))
}

pub(super) fn standard_input() -> Result<String, Error> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::BadParams, format!("read standard input: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::new(ErrorKind::BadParams, "read standard input: the patch is larger than 64 MiB"));
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::BadParams, "read standard input: the patch is not UTF-8 text"))
}

/// A unified diff of the files as they are now.
pub fn of_now(engine: &Engine, text: &str) -> Result<Patch, Error> {
    place(engine, text, None)?.map_err(Error::from)
}

pub(super) fn place(engine: &Engine, text: &str, base: Option<&Path>) -> Result<Result<Patch, Vec<Refusal>>, Error> {
    let parsed = match patch::parse_in(text, &engine.root().path().to_string_lossy()) {
        Ok(parsed) => parsed,
        Err(refusal) => return Ok(Err(vec![refusal])),
    };
    Ok(match base {
        Some(dir) => patch::place(&parsed, &Root::open(dir)?, true),
        None => patch::place(&parsed, &current(engine), false),
    })
}

pub(super) fn current(engine: &Engine) -> Current {
    Current::new(engine.root().clone(), engine.documents().clone())
}

async fn carry_out(engine: &Engine, patch: Patch) -> Result<PatchReport, Error> {
    let mut report = described(&patch);
    if patch.is_empty() {
        report.outcome = PatchOutcome::Noop;
        return Ok(report);
    }
    let gated = match gate::admit(patch, engine.rules(), Author::Person) {
        Ok(gated) => gated,
        Err(blocked) => {
            let refusal = |finding: &krins_core::gate::Finding| krins_protocol::cli::Refusal {
                path: finding.path.to_string(),
                hunk: None,
                why: finding.message.clone(),
                candidates: Vec::new(),
            };
            return Ok(PatchReport { refusals: blocked.findings.iter().map(refusal).collect(), ..refused(Vec::new()) });
        }
    };
    report.findings = gated.report().findings.iter().map(to_proto::finding).collect();
    let outcome = match engine.apply_patch(gated).await {
        Ok(outcome) => outcome,
        Err(error) if error.kind == ErrorKind::Conflict => {
            let refusal = krins_protocol::cli::Refusal {
                path: String::new(),
                hunk: None,
                why: error.message,
                candidates: Vec::new(),
            };
            return Ok(PatchReport { outcome: PatchOutcome::Conflict, refusals: vec![refusal], ..report });
        }
        Err(error) => return Err(error),
    };
    report.conflicts = outcome.conflicts.iter().map(to_proto::patch_conflict).collect();
    report.outcome = match (&outcome.applied.id, report.conflicts.is_empty()) {
        (_, false) => PatchOutcome::Conflict,
        (Some(_), true) => PatchOutcome::Applied,
        (None, true) => PatchOutcome::Noop,
    };
    report.left_alone = outcome.applied.left_alone.iter().map(|left| left.path.to_string()).collect();
    report.pending = outcome.applied.pending;
    report.undo = outcome.applied.id;
    Ok(report)
}

fn described(patch: &Patch) -> PatchReport {
    let digest = |bytes: &Option<std::sync::Arc<[u8]>>| bytes.as_ref().map(|bytes| Digest::of(bytes).to_string());
    let file = |file: &patch::FilePatch| PatchFile {
        path: file.path.to_string(),
        kind: to_proto::kind(file.kind),
        sha256_before: digest(&file.before),
        sha256_after: digest(&file.after),
        hunks: file.placements.iter().map(hunk).collect(),
    };
    let files = patch.files().iter().map(file).collect();
    PatchReport { files, ..empty(PatchOutcome::Noop) }
}

fn hunk(placement: &patch::Placement) -> PatchHunk {
    PatchHunk { level: placement.level.clone(), repairs: placement.repairs.clone(), line: placement.line }
}

fn refused(refusals: Vec<Refusal>) -> PatchReport {
    let refusal = |refusal: Refusal| krins_protocol::cli::Refusal {
        path: refusal.path,
        hunk: refusal.hunk,
        why: refusal.why,
        candidates: refusal.candidates,
    };
    PatchReport { refusals: refusals.into_iter().map(refusal).collect(), ..empty(PatchOutcome::Refused) }
}

fn empty(outcome: PatchOutcome) -> PatchReport {
    PatchReport {
        outcome,
        files: Vec::new(),
        conflicts: Vec::new(),
        refusals: Vec::new(),
        findings: Vec::new(),
        left_alone: Vec::new(),
        pending: None,
        undo: None,
    }
}

fn show(report: &PatchReport, out: &mut Output) {
    let word = match report.outcome {
        PatchOutcome::Applied => paint(GOOD, "applied"),
        PatchOutcome::Noop => paint(GOOD, "nothing to do: the files hold it already"),
        PatchOutcome::Conflict => paint(CARE, "conflict: nothing was written"),
        PatchOutcome::Refused => paint(BAD, "refused: nothing was written"),
    };
    out.line(word);
    for file in &report.files {
        let levels: Vec<String> = file.hunks.iter().map(|hunk| format!("{} at {}", hunk.level, hunk.line)).collect();
        out.line(format!("  {} {}", paint(PLACE, &file.path), levels.join(", ")));
        for hunk in file.hunks.iter().filter(|hunk| !hunk.repairs.is_empty()) {
            out.line(format!("    mended at {}: {}", hunk.line, hunk.repairs.join(", ")));
        }
    }
    for finding in &report.findings {
        let fix = finding.fix.as_deref().unwrap_or_default();
        out.line(format!("  {} {}: {fix}", paint(CARE, "note"), finding.message));
    }
    for conflict in &report.conflicts {
        out.line(format!(
            "  {} the file moved on in the same place",
            paint(PLACE, format!("{}:{}", conflict.path, conflict.lines[0]))
        ));
    }
    for refusal in &report.refusals {
        let hunk = refusal.hunk.map_or(String::new(), |hunk| format!(" hunk {hunk}"));
        let lines: Vec<String> = refusal.candidates.iter().map(u32::to_string).collect();
        let candidates =
            if lines.is_empty() { String::new() } else { format!(" (candidate lines {})", lines.join(", ")) };
        out.line(format!("  {}{hunk} {}{candidates}", paint(PLACE, &refusal.path), refusal.why));
    }
    for path in &report.left_alone {
        out.line(format!(
            "  {} {} was changed by somebody else at that moment",
            paint(CARE, "left alone"),
            paint(PLACE, path)
        ));
    }
    if let Some(pending) = &report.pending {
        out.line(format!("{} applied, clean-up pending: {pending}", paint(CARE, "note")));
    }
    if let Some(undo) = &report.undo {
        out.line(format!("Take it back with krins undo {undo}"));
    }
}

/// One side of a merge. Texts in other encodings are merged by their bytes; what is no text at all is refused.
fn side(path: &Path) -> Result<Vec<u8>, Error> {
    let bad = |why: String| Error::new(ErrorKind::BadParams, format!("merge {}: {why}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| bad(error.to_string()))?;
    file.take(patch::MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| bad(error.to_string()))?;
    let why = patch::why_not_text(&bytes).filter(|_| bytes.contains(&0) || bytes.len() > patch::MAX_FILE_BYTES);
    why.map_or(Ok(bytes), |why| Err(bad(why.to_owned())))
}

/// `krins merge BASE OURS THEIRS`: the merged file, or the file with conflict markers and exit 1.
pub fn merge(paths: [&Path; 3], name: Option<&str>, out: &mut Output) -> Done {
    let [base, ours, theirs] = paths;
    let (base, ours_text, theirs_text) = (side(base)?, side(ours)?, side(theirs)?);
    let any = krins_core::RelPath::new("merged").map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    match patch::merge_texts(&any, &base, &ours_text, &theirs_text) {
        Ok(merged) => {
            out.raw(&merged);
            Ok(ExitCode::SUCCESS)
        }
        Err(_) => {
            let label = |path: &Path| name.map_or_else(|| path.to_string_lossy().into_owned(), str::to_owned);
            let (ours, theirs) = (label(ours), label(theirs));
            let labels = ["base", &ours, &theirs];
            out.raw(&patch::render_conflicts(&base, &ours_text, &theirs_text, labels, patch::MarkerStyle::Merge));
            Ok(ExitCode::from(1))
        }
    }
}
