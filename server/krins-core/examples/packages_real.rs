//! What the checks of packages say of real code: `packages_real DIR…` takes each directory as a repository, each file of code as if
//! a patch had just written it, and counts imports of packages that nothing knows. Everything else of the repository is there;
//! what other code imports does not count as knowledge, which makes it harder than the gate.
//!
//! `packages_real --lock FILE` says how long a lock file takes to be read, compared with itself without every tenth package, and
//! judged.

use krins_core::gate::lock::{Ecosystem, Lock};
use krins_core::gate::{Approvals, Author, Policy, Reading, Scene, check_licences, check_packages};
use krins_core::patch::{Change, Patch};
use krins_core::syntax::Language;
use krins_core::{Entry, Installed, RelPath, Surroundings, Tree};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// A repository in memory that does not show its code.
struct Repository(BTreeMap<RelPath, Arc<[u8]>>);

impl Tree for Repository {
    fn entry(&self, path: &RelPath) -> Entry {
        if is_shown(path) { Tree::entry(&self.0, path) } else { Entry::Missing }
    }

    fn surroundings(&self) -> Option<&dyn Surroundings> {
        Some(self)
    }
}

impl Surroundings for Repository {
    fn files(&self) -> Vec<RelPath> {
        self.0.keys().cloned().collect()
    }

    fn on_disk(&self, path: &RelPath) -> Option<Arc<str>> {
        if is_shown(path) { self.0.text(path) } else { None }
    }

    fn is_installed(&self, _: &str, _: &str) -> bool {
        false
    }

    fn installed(&self, _: Ecosystem, _: &str, _: &str, _: &str) -> Option<Installed> {
        None
    }
}

/// Manifests, configurations and declarations; no code that could be a witness.
fn is_shown(path: &RelPath) -> bool {
    Language::of(path).is_none() || path.as_str().contains(".d.") || path.file_name().contains("config")
}

fn read(dir: &Path) -> BTreeMap<RelPath, Arc<[u8]>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && name != ".git" && name != "node_modules" {
                dirs.push(path);
            } else if kind.is_file()
                && let Ok(inside) = path.strip_prefix(dir)
                && let Ok(rel) = RelPath::new(&inside.to_string_lossy())
                && let Ok(bytes) = std::fs::read(&path)
                && bytes.len() < 4 << 20
            {
                files.insert(rel, bytes.into());
            }
        }
    }
    files
}

fn judge(patch: &Patch, base: &(dyn Tree + Sync)) -> (usize, Vec<String>) {
    let (policy, approvals) = (Policy::default(), Approvals::default());
    let (author, reading) = (Author::Model, Reading::of(patch));
    let scene = Scene { patch, policy: &policy, author, base, approvals: &approvals, reading: &reading };
    let found = check_packages(&scene);
    let licences = check_licences(&scene);
    let unknown = found.iter().filter(|finding| finding.rule == "packages/unknown-import");
    (
        found.len() + licences.len(),
        unknown
            .map(|finding| {
                format!("{}:{} {}", finding.path, finding.lines.map_or(0, |[line, _]| line), finding.message)
            })
            .collect(),
    )
}

fn main() {
    let mut out = std::io::stdout().lock();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, file] = arguments.as_slice()
        && flag == "--lock"
    {
        return time_lock(Path::new(file), &mut out);
    }
    for dir in &arguments {
        let repository = Repository(read(Path::new(dir)));
        let code: Vec<(RelPath, Arc<[u8]>)> = repository
            .0
            .iter()
            .filter(|(path, _)| Language::of(path).is_some())
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect();
        let changes = code.iter().map(|(path, bytes)| Change {
            path: path.clone(),
            from: None,
            before: None,
            after: Some(bytes.clone()),
            executable: false,
        });
        let patch = Patch::between(changes.collect());
        let started = Instant::now();
        let (_, unknown) = judge(&patch, &repository);
        let _ = writeln!(
            out,
            "{dir}: {} files of code, {} unknown imports, {:.0} ms",
            code.len(),
            unknown.len(),
            started.elapsed().as_secs_f64() * 1000.0
        );
        for line in unknown {
            let _ = writeln!(out, "  {line}");
        }
    }
}

fn time_lock(file: &Path, out: &mut impl std::io::Write) {
    let Ok(text) = std::fs::read_to_string(file) else { return };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Ok(path) = RelPath::new(&name) else { return };
    let middle = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let mut packages = 0;
    let reads = (0..21).map(|_| {
        let started = Instant::now();
        packages = Lock::read(&path, &text).and_then(Result::ok).map_or(0, |lock| lock.packages.len());
        started.elapsed().as_secs_f64() * 1000.0
    });
    let reading = middle(reads.collect());
    let before: String =
        text.split_inclusive("\n\n").enumerate().filter(|(at, _)| at % 10 != 5).map(|(_, part)| part).collect();
    let change = Change {
        path,
        from: None,
        before: Some(before.as_bytes().into()),
        after: Some(text.as_bytes().into()),
        executable: false,
    };
    let patch = Patch::between(vec![change]);
    let mut findings = 0;
    let judged = (0..21).map(|_| {
        let started = Instant::now();
        findings = judge(&patch, &BTreeMap::new()).0;
        started.elapsed().as_secs_f64() * 1000.0
    });
    let judging = middle(judged.collect());
    let _ = writeln!(
        out,
        "{name}: {packages} packages, read in {reading:.1} ms, judged against nine tenths of it in {judging:.1} ms ({findings} findings), medians of 21"
    );
}
