//! The laboratory of the context: mined tasks in, columns for training or packs with their recall out.
//!
//! ```text
//! cargo run --release -p krins-core --example context_lab -- dump GIT_DIR TASKS.jsonl OUT [MODELS [BREADTH]]
//! cargo run --release -p krins-core --example context_lab -- run GIT_DIR TASKS.jsonl OUT.jsonl [MODELS [BREADTH]]
//! ```
//! MODELS is a directory with `files.txt` and `chunks.txt`; without it those of the program are used.
//! `dump` writes `OUT.files.bin`, `OUT.chunks.bin` (rows of little-endian `f32`) and `OUT.json`; `run` writes predictions. Both
//! read git objects, so nothing is checked out. See `tests/scripts/context/README.md`.

use krins_core::RelPath;
use krins_core::context::{Observation, Query, Reach, Tuning, select_tuned};
use krins_core::graph::{Graph, Indexed, ResolveConfig};
use krins_core::prompt::Focus;
use krins_core::syntax::Language;
use krins_core::tokens;
use krins_core::tree::Tree as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, git, tasks, out, tuned @ ..] = arguments.as_slice() else {
        return Err("give a mode, a git directory, a file of tasks and a place for the outcome".into());
    };
    let other = tuning(tuned)?;
    let tuning = other.as_ref().unwrap_or_else(|| Tuning::carried());
    let mut tasks: Vec<Task> =
        std::fs::read_to_string(tasks)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    tasks.sort_by(|a, b| a.date.cmp(&b.date));
    let mut repository = Repository::open(git)?;
    match mode.as_str() {
        "dump" => dump(&tasks, &mut repository, out, tuning),
        "run" => run(&tasks, &mut repository, out, tuning),
        _ => Err("the modes are dump and run".into()),
    }
}

fn tuning(arguments: &[String]) -> Outcome<Option<Tuning>> {
    let Some(directory) = arguments.first() else { return Ok(None) };
    let read = |name: &str| std::fs::read_to_string(format!("{directory}/{name}.txt"));
    let mut tuning = Tuning::parse(&read("files")?, &read("chunks")?).ok_or("the models are of other columns")?;
    if let Some(breadth) = arguments.get(1) {
        tuning.breadth = breadth.parse()?;
    }
    Ok(Some(tuning))
}

#[derive(Deserialize)]
struct Task {
    id: String,
    parent: String,
    date: String,
    task: String,
    active: String,
    gold: Vec<Gold>,
}

#[derive(Deserialize)]
struct Gold {
    path: String,
    is_test: bool,
    hunks: Vec<Hunk>,
}

#[derive(Deserialize)]
struct Hunk {
    start: u32,
    end: u32,
}

impl Gold {
    /// Old-side lines, each once.
    fn lines(&self) -> Vec<u32> {
        let mut lines: Vec<u32> = self.hunks.iter().flat_map(|hunk| hunk.start..=hunk.end).collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }
}

impl Task {
    fn sources(&self) -> impl Iterator<Item = &Gold> {
        self.gold.iter().filter(|gold| !gold.is_test)
    }

    fn query(&self, focused: bool, budget: u32) -> Outcome<Query> {
        let focus = Focus { path: RelPath::new(&self.active)?, lines: None };
        Ok(Query {
            intent: self.task.clone(),
            focus: focused.then_some(focus),
            reach: Reach::Normal,
            budget,
            ..Query::default()
        })
    }
}

/// Settings: the task alone (S1), with the active file (S3).
const SETTINGS: [(&str, bool); 2] = [("S1", false), ("S3", true)];

fn dump(tasks: &[Task], repository: &mut Repository, out: &str, tuning: &Tuning) -> Outcome<()> {
    let mut files = BufWriter::new(File::create(format!("{out}.files.bin"))?);
    let mut chunks = BufWriter::new(File::create(format!("{out}.chunks.bin"))?);
    let mut groups = Vec::new();
    for task in tasks {
        let (graph, tree) = repository.at(&task.parent)?;
        for (setting, focused) in SETTINGS {
            let observation = Observation::of(&task.query(focused, 8192)?, &graph, tuning);
            let group = groups.len() as f32;
            let gold: BTreeMap<&str, (&Gold, Vec<u32>)> =
                task.gold.iter().map(|gold| (gold.path.as_str(), (gold, gold.lines()))).collect();
            for (path, columns) in &observation.files {
                let found = gold.get(path.as_str());
                let lines = found.map_or(0, |(_, lines)| lines.len()) as f32;
                let kind = found.map_or(0.0, |(gold, _)| if gold.is_test { 2.0 } else { 1.0 });
                put(&mut files, &[group, kind, lines], columns)?;
            }
            for (place, number, columns) in &observation.chunks {
                let path = &observation.files[*place].0;
                let Some(facts) = graph.facts(path) else { continue };
                let chunk = &facts.chunks[*number];
                let text = tree.text(path).ok_or("a file has no text")?;
                let tokens = tokens::count(&text[chunk.range.start as usize..chunk.range.end as usize]);
                let [first, last] = chunk.lines;
                let held = gold.get(path.as_str()).filter(|(gold, _)| !gold.is_test);
                let held = held.map_or(0, |(_, lines)| lines.iter().filter(|n| (first..=last).contains(n)).count());
                let head = [group, *place as f32, first as f32, last as f32, held as f32, tokens as f32];
                put(&mut chunks, &head, columns)?;
            }
            let paths: Vec<&str> = observation.files.iter().map(|(path, _)| path.as_str()).collect();
            groups.push(json!({
                "id": task.id, "setting": setting, "sources": task.sources().count(),
                "lines": task.sources().map(|gold| gold.lines().len()).sum::<usize>(),
                "files": paths.len(), "chunks": observation.chunks.len(),
            }));
        }
    }
    let [file_columns, chunk_columns] = Observation::COLUMNS;
    let head = json!({"groups": groups, "file_columns": file_columns, "chunk_columns": chunk_columns});
    std::fs::write(format!("{out}.json"), serde_json::to_vec(&head)?)?;
    Ok(())
}

fn put(out: &mut impl Write, head: &[f32], columns: &[f32]) -> Outcome<()> {
    for value in head.iter().chain(columns) {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

fn run(tasks: &[Task], repository: &mut Repository, out: &str, tuning: &Tuning) -> Outcome<()> {
    let mut out = BufWriter::new(File::create(out)?);
    let (mut walls, mut busy) = (Vec::new(), Vec::new());
    for task in tasks {
        let (graph, tree) = repository.at(&task.parent)?;
        for (setting, focused) in SETTINGS {
            let query = task.query(focused, 8192)?;
            let started = (Instant::now(), on_processor());
            let pack = select_tuned(&query, &graph, &tree, tuning);
            walls.push(started.0.elapsed().as_secs_f64());
            busy.push(on_processor() - started.1);
            let items: Vec<Value> = pack
                .items
                .iter()
                .map(|item| match item.verbatim {
                    true => json!({"path": item.path, "lines": item.ranges}),
                    false => json!({"path": item.path, "text": item.text, "lines": item.ranges}),
                })
                .collect();
            let files: Vec<_> = pack.files.iter().take(100).collect();
            let line = json!({"id": task.id, "setting": setting, "method": "krins", "files": files, "tokens": pack.tokens, "contexts": {"8192": items}});
            writeln!(out, "{line}")?;
        }
    }
    for (name, mut seconds) in [("wall", walls), ("processor", busy)] {
        seconds.sort_by(f64::total_cmp);
        if let (Some(middle), Some(late)) = (seconds.get(seconds.len() / 2), seconds.get(seconds.len() * 95 / 100)) {
            writeln!(std::io::stderr(), "select {name} p50 {:.1} ms p95 {:.1} ms", middle * 1e3, late * 1e3)?;
        }
    }
    Ok(())
}

/// Seconds that this process has run, where Linux says so: a busy machine does not count.
fn on_processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

type Tree = BTreeMap<RelPath, Arc<[u8]>>;

/// A git directory, read through one `git cat-file`; texts and what they say are kept by object name.
struct Repository {
    git: String,
    _child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
    texts: HashMap<String, Option<Arc<[u8]>>>,
    files: HashMap<(String, String), Arc<Indexed>>,
}

/// Larger blobs are not read.
const MAX_BYTES: usize = 1_500_000;

impl Repository {
    fn open(git: &str) -> Outcome<Self> {
        let mut child = Command::new("git")
            .args(["--git-dir", git, "cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asked = child.stdin.take().ok_or("git takes no input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("git gives no output")?);
        let (texts, files) = (HashMap::new(), HashMap::new());
        Ok(Self { git: git.to_owned(), _child: child, asked, answers, texts, files })
    }

    /// The graph and the texts of a commit.
    fn at(&mut self, commit: &str) -> Outcome<(Graph, Tree)> {
        let listed = Command::new("git")
            .args(["--git-dir", &self.git, "-c", "core.quotepath=off", "ls-tree", "-r", "-l", "-z", commit])
            .output()?
            .stdout;
        let (mut tree, mut files, mut configuration) = (Tree::new(), BTreeMap::new(), BTreeMap::new());
        for entry in String::from_utf8_lossy(&listed).split('\0') {
            let Some((meta, path)) = entry.split_once('\t') else { continue };
            let [mode, kind, object, size] = meta.split_whitespace().collect::<Vec<_>>()[..] else { continue };
            let fits = size.parse::<usize>().is_ok_and(|size| size <= MAX_BYTES);
            let Ok(path) = RelPath::new(path) else { continue };
            let is_code = Language::of(&path).is_some();
            if kind != "blob" || mode == "120000" || !fits || !is_code && !ResolveConfig::wants(&path) {
                continue;
            }
            let Some(bytes) = self.text(object)? else { continue };
            let text = std::str::from_utf8(&bytes)?;
            if ResolveConfig::wants(&path) {
                configuration.insert(path.clone(), Arc::from(text));
            }
            if is_code {
                let known = self.files.entry((object.to_owned(), path.as_str().to_owned()));
                files.insert(path.clone(), known.or_insert_with(|| Arc::new(Indexed::of(&path, text))).clone());
            }
            tree.insert(path, bytes);
        }
        Ok((Graph::build(files, Arc::new(ResolveConfig::from_files(&configuration))), tree))
    }

    fn text(&mut self, object: &str) -> Outcome<Option<Arc<[u8]>>> {
        if let Some(known) = self.texts.get(object) {
            return Ok(known.clone());
        }
        writeln!(self.asked, "{object}")?;
        self.asked.flush()?;
        let mut head = String::new();
        self.answers.read_line(&mut head)?;
        let size: usize = head.split_whitespace().nth(2).ok_or("git does not know an object")?.parse()?;
        let mut bytes = vec![0; size + 1];
        self.answers.read_exact(&mut bytes)?;
        bytes.pop();
        let text = std::str::from_utf8(&bytes).is_ok().then(|| Arc::from(bytes));
        self.texts.insert(object.to_owned(), text.clone());
        Ok(text)
    }
}
