//! How much the past alone would say: recall of the changed source files of benchmark tasks at their parent commit.
//!
//! ```text
//! cargo run --release -p krins-engine --example history_recall -- GIT_DIR TASKS.jsonl
//! ```
//!
//! With a commit in place of the tasks: what reading and loading its history costs.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring program")]

use krins_core::RelPath;
use krins_engine::history;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [git_dir, tasks] = arguments.as_slice() else {
        println!("usage: history_recall GIT_DIR TASKS.jsonl");
        return;
    };
    if !tasks.ends_with(".jsonl") {
        return cost(Path::new(git_dir), tasks);
    }
    let (mut rows, mut words, mut together, mut both, mut often) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let mut millis = Vec::new();
    let mut queries = Vec::new();
    for line in std::fs::read_to_string(tasks).unwrap().lines() {
        let task: serde_json::Value = serde_json::from_str(line).unwrap();
        let started = Instant::now();
        let history = history::read_at(Path::new(git_dir), task["parent"].as_str().unwrap()).unwrap();
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
        let gold: BTreeSet<RelPath> = task["gold"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|file| file["is_test"] == false)
            .map(|file| RelPath::new(file["path"].as_str().unwrap()).unwrap())
            .collect();
        let active = RelPath::new(task["active"].as_str().unwrap()).unwrap();
        let source = |found: Vec<(RelPath, f64)>| -> Vec<(RelPath, f64)> {
            found.into_iter().filter(|(path, _)| is_source(path)).collect()
        };
        let started = Instant::now();
        let by_words = source(history.by_message(task["task"].as_str().unwrap()));
        let by_active = source(history.cochange(&active));
        queries.push(started.elapsed().as_secs_f64() * 1000.0);
        let mut fused = by_words.clone();
        for (path, score) in &by_active {
            match fused.iter_mut().find(|(known, _)| known == path) {
                Some((_, known)) => *known += 3.0 * score,
                None => fused.push((path.clone(), 3.0 * score)),
            }
        }
        fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut all: Vec<(RelPath, f64)> =
            fused.iter().map(|(path, _)| (path.clone(), history.recency(path))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let others: BTreeSet<RelPath> = gold.iter().filter(|path| **path != active).cloned().collect();
        rows += 1.0;
        words += recall(&by_words, &gold);
        together += if others.is_empty() { 1.0 } else { recall(&by_active, &others) };
        both += if others.is_empty() { 1.0 } else { recall(&fused, &others) };
        often += recall(&all, &gold);
    }
    millis.sort_by(f64::total_cmp);
    queries.sort_by(f64::total_cmp);
    println!(
        "tasks {rows} R@10 of source gold: by_message {:.3}; of the others than the active: cochange {:.3} both {:.3}; recency {:.3}; cold read median {:.0} ms, both queries {:.2} ms",
        words / rows,
        together / rows,
        both / rows,
        often / rows,
        millis[millis.len() / 2],
        queries[queries.len() / 2],
    );
}

/// Medians of five.
fn cost(git_dir: &Path, commit: &str) {
    let median = |run: &dyn Fn()| {
        let mut millis: Vec<f64> = (0..5)
            .map(|_| {
                let started = Instant::now();
                run();
                started.elapsed().as_secs_f64() * 1000.0
            })
            .collect();
        millis.sort_by(f64::total_cmp);
        millis[2]
    };
    let history = history::read_at(git_dir, commit).unwrap();
    let stored = serde_json::to_vec(&history).unwrap();
    let cold = median(&|| drop(history::read_at(git_dir, commit)));
    let warm = median(&|| drop(serde_json::from_slice::<krins_core::context::History>(&stored)));
    let words = median(&|| drop(history.by_message("fix the hydration of a teleport in the renderer")));
    println!(
        "{} commits, {} bytes stored; cold {cold:.1} ms, load {warm:.1} ms, by_message {words:.2} ms",
        history.len(),
        stored.len()
    );
}

fn recall(found: &[(RelPath, f64)], gold: &BTreeSet<RelPath>) -> f64 {
    let top: BTreeSet<&RelPath> = found.iter().take(10).map(|(path, _)| path).collect();
    gold.iter().filter(|path| top.contains(path)).count() as f64 / gold.len().max(1) as f64
}

fn is_source(path: &RelPath) -> bool {
    matches!(path.extension(), "ts" | "tsx" | "js" | "jsx" | "mts" | "cts" | "mjs" | "cjs")
        && !path.as_str().contains("test")
        && !path.as_str().contains("spec")
}
