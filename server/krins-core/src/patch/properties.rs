//! What holds for all texts: a diff says the whole change, every subset of it is sound, and merging has no favourite.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Lines of few kinds, so that they repeat; each with an end of its own, the last perhaps without, perhaps with a mark.
fn texts() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => (0..6u8).prop_map(|n| format!("line {n}")),
        3 => (0..200u8).prop_map(|n| format!("  one of its own {n}")),
        1 => Just(String::new()),
        1 => Just("\u{e9}\t\"-+@@ \\".to_owned()),
    ];
    let line = (line, prop_oneof![5 => Just("\n"), 1 => Just("\r\n")]);
    (proptest::collection::vec(line, 0..60), any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(lines, ends, bom)| {
        let mut text: String = lines.into_iter().flat_map(|(line, end)| [line, end.to_owned()]).collect();
        if !ends {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        if bom { format!("\u{feff}{text}") } else { text }
    })
}

/// What a person makes of a text: some of its lines cut, some put in. A byte order mark stays where it is.
fn edits(text: &str, cuts: &[prop::sample::Index], adds: &[(prop::sample::Index, u8)]) -> String {
    if let Some(body) = text.strip_prefix('\u{feff}') {
        return format!("\u{feff}{}", edits(body, cuts, adds));
    }
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for cut in cuts {
        if !lines.is_empty() {
            lines.remove(cut.index(lines.len()));
        }
    }
    for (at, what) in adds {
        let new = if what % 3 == 0 { format!("line {}\n", what % 6) } else { format!("new {what}\n") };
        lines.insert(at.index(lines.len() + 1), new);
    }
    lines.concat()
}

fn changes() -> impl Strategy<Value = (String, String)> {
    let cuts = proptest::collection::vec(any::<prop::sample::Index>(), 0..5);
    let adds = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5);
    (texts(), cuts, adds).prop_map(|(text, cuts, adds)| {
        let after = edits(&text, &cuts, &adds);
        (text, after)
    })
}

fn path() -> RelPath {
    RelPath::new("a.txt").unwrap()
}

fn between(before: &str, after: &str) -> Patch {
    let side = |text: &str| Some(Arc::from(text.as_bytes()));
    Patch::between(vec![Change {
        path: path(),
        from: None,
        before: side(before),
        after: side(after),
        executable: false,
    }])
}

fn tree(text: &str) -> BTreeMap<RelPath, Arc<[u8]>> {
    BTreeMap::from([(path(), Arc::from(text.as_bytes()))])
}

/// The text after the patch; the base where it changes nothing.
fn result(patch: &Patch, base: &str) -> String {
    let after = patch.files().first().map_or(base.as_bytes(), |file| file.after.as_deref().unwrap());
    String::from_utf8(after.to_vec()).unwrap()
}

/// What the patch makes of a text that is there now; `None` for a conflict.
fn merged(patch: &Patch, now: &str) -> Option<String> {
    let merge = merge(patch, &tree(now));
    assert!(merge.refusals.is_empty(), "{merge:?}");
    let write = merge.writes.first().map(|write| write.after.as_deref().unwrap().to_vec());
    merge.conflicts.is_empty().then(|| write.map_or(now.to_owned(), |bytes| String::from_utf8(bytes).unwrap()))
}

/// The patch that its own diff says, placed on the base.
fn read_back(patch: &Patch, base: &str) -> String {
    if patch.is_empty() {
        return base.to_owned();
    }
    let parsed = parse(patch.unified()).unwrap_or_else(|refusal| panic!("{refusal}\n{}", patch.unified()));
    let placed = place(&parsed, &tree(base), true);
    result(&placed.unwrap_or_else(|refusals| panic!("{refusals:?}\n{}", patch.unified())), base)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_diff_says_the_whole_change_and_its_inverse_takes_it_back((before, after) in changes()) {
        let patch = between(&before, &after);
        prop_assert_eq!(result(&patch, &before), after.clone());
        prop_assert_eq!(read_back(&patch, &before), after.clone());
        let back = patch.inverse();
        prop_assert_eq!(result(&back, &after), before.clone());
        prop_assert_eq!(read_back(&back, &after), before.clone());
        prop_assert_eq!(merged(&patch, &before), Some(after.clone()));
        prop_assert_eq!(merged(&back, &after), Some(before));
        prop_assert_eq!(merged(&patch, &after), Some(after), "what is there already is no work");
    }

    #[test]
    fn any_hunks_can_be_taken_and_the_others_later((before, after) in changes(), taken in any::<u32>()) {
        let patch = between(&before, &after);
        let is_taken = |hunk: &Hunk| taken >> (hunk.id[1..].parse::<u32>().unwrap() % 32) & 1 == 1;
        let (first, rest) = (patch.subset(&is_taken), patch.subset(&|hunk| !is_taken(hunk)));
        let ids = |patch: &Patch| -> Vec<String> {
            patch.files().iter().flat_map(|file| &file.hunks).map(|hunk| hunk.id.clone()).collect()
        };
        let mut all = [ids(&first), ids(&rest)].concat();
        all.sort_by_key(|id| id[1..].parse::<u32>().unwrap());
        prop_assert_eq!(all, ids(&patch), "every hunk keeps its name");
        let between_them = result(&first, &before);
        prop_assert_eq!(read_back(&first, &before), between_them.clone());
        // The whole change, and what is left of it, both end where the change at once ends.
        for later in [&rest, &patch] {
            if let Some(text) = merged(later, &between_them) {
                prop_assert_eq!(text, after.clone());
            }
        }
    }

    #[test]
    fn edits_of_hunks_do_not_mind_each_other((before, after) in changes(), mine in "[a-z\n]{0,12}", yours in "[a-z\n]{0,12}") {
        let patch = between(&before, &after);
        let ids: Vec<String> =
            patch.files().iter().flat_map(|file| &file.hunks).map(|hunk| hunk.id.clone()).collect();
        let [first, .., last] = ids.as_slice() else { return Ok(()) };
        let edit = |patch: &Patch, id: &str, text: &str| patch.with_hunk(id, text).ok();
        let one = edit(&patch, first, &mine).and_then(|patch| edit(&patch, last, &yours));
        let other = edit(&patch, last, &yours).and_then(|patch| edit(&patch, first, &mine));
        prop_assert_eq!(one.is_some(), other.is_some());
        if let (Some(one), Some(other)) = (one, other) {
            prop_assert_eq!(one.unified(), other.unified());
            prop_assert_eq!(read_back(&one, &before), result(&one, &before), "its diff says the same");
            let alone = one.subset(&|hunk| hunk.id != *first && hunk.id != *last);
            let untouched = patch.subset(&|hunk| hunk.id != *first && hunk.id != *last);
            prop_assert_eq!(alone.unified(), untouched.unified(), "the other hunks are what they were");
        }
    }

    #[test]
    fn merging_has_no_favourite(
        (base, ours) in changes(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        adds in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let theirs = edits(&base, &cuts, &adds);
        let sides = |a: &str, b: &str| merge_texts(&path(), base.as_bytes(), a.as_bytes(), b.as_bytes());
        match (sides(&ours, &theirs), sides(&theirs, &ours)) {
            (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
            (Err(one), Err(other)) => {
                let turned: Vec<_> = other.into_iter().map(|conflict| (conflict.theirs, conflict.ours)).collect();
                prop_assert_eq!(one.into_iter().map(|c| (c.ours, c.theirs)).collect::<Vec<_>>(), turned);
            }
            (one, other) => prop_assert!(false, "{one:?} {other:?}"),
        }
        prop_assert_eq!(sides(&ours, &base), Ok(ours.clone().into_bytes()), "who changed nothing has no say");
        prop_assert_eq!(sides(&ours, &ours), Ok(ours.into_bytes()), "one and the same change");
    }
}
