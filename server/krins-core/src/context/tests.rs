//! Promises of the selection, over a small workspace.

use super::*;
use crate::RelPath;
use crate::graph::{Indexed, ResolveConfig};
use crate::prompt::quote;
use crate::tokens;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

type Files = BTreeMap<RelPath, Arc<[u8]>>;

fn path(name: &str) -> RelPath {
    RelPath::new(name).unwrap()
}

fn workspace() -> (Files, Graph) {
    let body = |name: &str, word: &str| {
        let lines = format!("  const {word} = read('{word}');\n").repeat(12);
        format!("/** Does {word}. */\nexport function {name}(input: string): string {{\n{lines}  return input;\n}}\n\n")
    };
    let texts = [
        (
            "src/cart.ts",
            format!(
                "import {{ price }} from './price';\nimport {{ tax }} from './tax';\n\n{}{}",
                body("addItem", "basket"),
                body("dropItem", "remove")
            ),
        ),
        ("src/price.ts", body("price", "currency") + &body("discount", "voucher")),
        ("src/tax.ts", body("tax", "percent")),
        (
            "src/cart.test.ts",
            "import { addItem } from './cart';\n\ntest('adds', () => { addItem('a'); });\n".to_owned(),
        ),
        ("src/report.ts", body("monthlyReport", "ledger") + &body("yearlyReport", "archive")),
        ("dist/report.js", body("monthlyReport", "ledger")),
        ("src/empty.ts", String::new()),
        ("README.md", "# Shop\n\nA basket with a ledger.\n".to_owned()),
    ];
    let files: Files = texts.iter().map(|(name, text)| (path(name), Arc::from(text.as_bytes()))).collect();
    let facts: BTreeMap<RelPath, Arc<Indexed>> =
        texts.iter().map(|(name, text)| (path(name), Arc::new(Indexed::of(&path(name), text)))).collect();
    (files, Graph::build(facts, Arc::new(ResolveConfig::default())))
}

fn query(intent: &str, focus: Option<(&str, Option<[u32; 2]>)>, budget: u32) -> Query {
    Query {
        intent: intent.into(),
        focus: focus.map(|(name, lines)| Focus { path: path(name), lines }),
        reach: Reach::Normal,
        budget,
        ..Query::default()
    }
}

/// What every pack keeps.
fn assert_sound(pack: &ContextPack, query: &Query, files: &Files) {
    assert!(pack.tokens <= query.budget, "{} > {}", pack.tokens, query.budget);
    assert_eq!(pack.tokens, pack.items.iter().map(|item| item.tokens).sum::<u32>());
    let mut seen = std::collections::BTreeSet::new();
    for item in &pack.items {
        assert!(seen.insert(&item.path), "{} twice", item.path);
        assert_eq!(item.tokens, tokens::count(&quote(item)));
        assert!(!item.reason.is_empty());
        assert!(pack.files.contains(&item.path) && !pack.pruned.contains(&item.path));
        if item.verbatim {
            assert_eq!(item.text, lines_of(files, item), "{}", item.path);
            assert!(item.ranges.windows(2).all(|pair| pair[0][1] + 1 < pair[1][0]), "{:?}", item.ranges);
        }
    }
    assert_eq!(pack.files.len(), pack.pruned.len() + pack.items.len());
}

fn lines_of(files: &Files, item: &crate::prompt::Item) -> String {
    let text = std::str::from_utf8(&files[&item.path]).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    item.ranges.iter().flat_map(|[first, last]| &lines[*first as usize - 1..*last as usize]).copied().collect()
}

fn select_in(query: &Query) -> ContextPack {
    let (files, graph) = workspace();
    let pack = select(query, &graph, &files);
    assert_sound(&pack, query, &files);
    pack
}

#[test]
fn words_find_the_chunk_and_the_made_copy_stays_behind() {
    let pack = select_in(&query("the yearly reports should also read the archives", None, 180));
    assert_eq!(pack.items[0].path, path("src/report.ts"));
    assert!(pack.items[0].text.contains("yearlyReport"));
    assert!(!pack.items[0].text.contains("monthlyReport"), "{:?}", pack.items);
    let at = |name: &str| pack.files.iter().position(|file| *file == path(name));
    assert!(at("src/report.ts") < at("dist/report.js"));
}

#[test]
fn the_selection_is_always_in() {
    let task = query("change the ledger", Some(("src/tax.ts", Some([3, 5]))), 400);
    let pack = select_in(&task);
    assert_eq!(pack.items[0].path, path("src/tax.ts"));
    assert!(pack.items[0].ranges.iter().any(|[first, last]| *first <= 3 && *last >= 5));
}

#[test]
fn a_selection_over_the_budget_is_shortened() {
    let pack = select_in(&query("x", Some(("src/cart.ts", Some([4, 30]))), 60));
    assert_eq!(pack.items[0].ranges[0][0], 4);
    assert!(pack.items[0].ranges[0][1] < 30);
    assert_eq!(select_in(&query("x", Some(("src/cart.ts", Some([4, 30]))), 3)).items, []);
}

#[test]
fn something_of_a_file_that_is_pinned_is_in() {
    let pin = |name: &str| Focus { path: path(name), lines: None };
    let words = query("change the ledger", None, 700);
    let of = |pack: &ContextPack, name: &str| pack.items.iter().find(|item| item.path == path(name)).cloned();
    let alone = select_in(&words);
    assert!(of(&alone, "src/tax.ts").is_none_or(|item| !item.verbatim), "it would be in anyway: {:?}", alone.items);
    let pack = select_in(&Query { pinned: vec![pin("src/tax.ts"), pin("README.md")], ..words });
    let tax = of(&pack, "src/tax.ts").unwrap();
    assert!(tax.verbatim && tax.ranges == [[1, 17]] && tax.reason == "the task names it", "{tax:?}");
    assert!(of(&pack, "README.md").unwrap().verbatim, "also what is no code");
}

#[test]
fn files_that_are_pinned_share_half_of_the_budget() {
    let pinned = ["src/cart.ts", "src/report.ts"].map(|name| Focus { path: path(name), lines: None }).to_vec();
    let pack = select_in(&Query { pinned, ..query("x", None, 200) });
    let named: Vec<_> = pack.items.iter().filter(|item| item.reason == "the task names it").collect();
    assert!(named.len() == 2 && named.iter().all(|item| item.verbatim && item.ranges[0][0] == 1), "{:?}", pack.items);
    assert!(named[0].tokens <= 50 && named[0].tokens + named[1].tokens <= 100, "{named:?}");
}

#[test]
fn of_a_long_file_that_is_pinned_the_likeliest_pieces_are_in() {
    let pinned = vec![Focus { path: path("src/report.ts"), lines: None }];
    // Without the pin another file has what is left of the budget.
    let pack = select_in(&Query { pinned, ..query("tax percent, not the archive", None, 290) });
    let report = pack.items.iter().find(|item| item.path == path("src/report.ts")).unwrap();
    assert!(report.reason == "the task names it" && report.ranges.contains(&[18, 34]), "{:?}", pack.items);
}

#[test]
fn neighbours_of_the_active_file_come_before_strangers() {
    let pack = select_in(&query("make it faster", Some(("src/cart.ts", None)), 900));
    let at = |name: &str| pack.files.iter().position(|file| *file == path(name)).unwrap_or(usize::MAX);
    assert_eq!(at("src/cart.ts"), 0);
    for near in ["src/price.ts", "src/tax.ts"] {
        assert!(at(near) < at("src/report.ts"), "{near}: {:?}", pack.files);
    }
}

#[test]
fn what_the_task_names_comes_first() {
    let by_symbol = select_in(&query("rename dropItem", None, 300));
    assert!(by_symbol.items[0].text.contains("function dropItem"));
    let by_path = select_in(&query("tidy up tax.ts", None, 600));
    assert_eq!(by_path.files[0], path("src/tax.ts"));
}

#[test]
fn files_that_do_not_fit_are_outlined_or_pruned() {
    let pack = select_in(&query("basket currency percent ledger", None, 260));
    assert!(pack.items.iter().any(|item| !item.verbatim), "{:?}", pack.items);
    assert!(!pack.pruned.is_empty());
}

#[test]
fn a_file_that_changed_or_went_since_it_was_indexed_is_no_trouble() {
    let (mut files, graph) = workspace();
    files.remove(&path("src/report.ts"));
    files.insert(path("src/price.ts"), Arc::from(&b"short\n"[..]));
    let query = query("ledger archive currency voucher", Some(("src/gone.ts", Some([1, 9]))), 2_000);
    let pack = select(&query, &graph, &files);
    for item in pack.items.iter().filter(|item| item.verbatim) {
        assert_eq!(item.text, lines_of(&files, item));
    }
}

proptest! {
    #[test]
    fn never_over_the_budget_and_always_the_same(
        words in "(ledger|basket|fix|yearlyReport|src/tax\\.ts|price|item| |\n){0,12}",
        focus in prop::option::of((prop::sample::select(vec!["src/cart.ts", "src/tax.ts", "src/empty.ts", "README.md", "nowhere.ts"]), prop::option::of((0u32..40, 0u32..60)))),
        pinned in prop::collection::vec((prop::sample::select(vec!["src/cart.ts", "src/report.ts", "src/empty.ts", "README.md", "nowhere.ts"]), prop::option::of((0u32..40, 0u32..60))), 0..4),
        budget in 0u32..3_000,
        reach in prop::sample::select(vec![Reach::Narrow, Reach::Normal, Reach::Broad]),
    ) {
        let (files, graph) = workspace();
        let focus = focus.map(|(name, lines)| (name, lines.map(|(a, b)| [a, b])));
        let pinned = pinned.into_iter().map(|(name, lines)| Focus { path: path(name), lines: lines.map(|(a, b)| [a, b]) });
        let query = Query { reach, pinned: pinned.collect(), ..query(&words, focus, budget) };
        let pack = select(&query, &graph, &files);
        assert_sound(&pack, &query, &files);
        prop_assert_eq!(select(&query, &graph, &files), pack);
    }
}
