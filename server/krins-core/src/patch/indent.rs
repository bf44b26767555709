//! The indentation map: how the model's indentation becomes the file's, learnt from the old lines of a hunk.
//! A map is used only when it explains every pair it was learnt from.

use super::norm::indent;
use std::collections::BTreeSet;

/// One way to turn the model's indentation into the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Map {
    Same,
    /// The model left this out before each line.
    Put(String),
    /// The model put this before each line.
    Take(String),
    /// Each tab of the model is this many spaces.
    TabIs(usize),
    /// So many spaces of the model are one tab.
    SpacesAre(usize),
    /// So many spaces of the model are so many in the file.
    Scale(usize, usize),
}

impl Map {
    /// The file's indentation for the model's; `None` where the map says nothing.
    pub fn apply(&self, model: &str) -> Option<String> {
        match self {
            Map::Same => Some(model.to_owned()),
            Map::Put(prefix) => Some(format!("{prefix}{model}")),
            Map::Take(prefix) => model.strip_prefix(prefix.as_str()).map(str::to_owned),
            Map::TabIs(width) => Some(model.replace('\t', &" ".repeat(*width))),
            Map::SpacesAre(width) => {
                let (steps, rest) = steps(model, *width)?;
                Some(format!("{}{}", "\t".repeat(steps), " ".repeat(rest)))
            }
            Map::Scale(from, to) => {
                let (steps, rest) = steps(model, *from)?;
                Some(" ".repeat(steps * to + rest))
            }
        }
    }

    fn explains(&self, pairs: &[(&str, &str)]) -> bool {
        pairs.iter().all(|(model, file)| self.apply(model).as_deref() == Some(*file))
    }

    /// Applies the map to a whole line; blank lines stay as they are.
    pub fn line(&self, text: &str) -> Option<String> {
        if text.trim().is_empty() {
            return Some(text.to_owned());
        }
        let model = indent(text);
        Some(format!("{}{}", self.apply(model)?, &text[model.len()..]))
    }
}

/// How many steps of `width` spaces an indentation is. One space more is the ` *` of a block comment; anything else is
/// no indentation of that width.
fn steps(model: &str, width: usize) -> Option<(usize, usize)> {
    let plain = model.bytes().all(|byte| byte == b' ');
    (plain && model.len() % width <= 1).then(|| (model.len() / width, model.len() % width))
}

/// The units by which texts are indented, widest use first.
const WIDTHS: [usize; 4] = [2, 4, 3, 8];

/// Every map that explains all pairs, the likeliest first. Pairs are (model, file) indentations.
fn maps(pairs: &[(&str, &str)]) -> Vec<Map> {
    let mut maps = vec![Map::Same];
    if let Some((model, file)) = pairs.iter().find(|(model, file)| model != file) {
        if let Some(prefix) = file.strip_suffix(model).filter(|prefix| !prefix.is_empty()) {
            maps.push(Map::Put(prefix.to_owned()));
        }
        if let Some(prefix) = model.strip_suffix(file).filter(|prefix| !prefix.is_empty()) {
            maps.push(Map::Take(prefix.to_owned()));
        }
        maps.extend(WIDTHS.map(Map::TabIs));
        maps.extend(WIDTHS.map(Map::SpacesAre));
        for from in WIDTHS {
            maps.extend(WIDTHS.into_iter().filter(|to| *to != from).map(|to| Map::Scale(from, to)));
        }
    }
    maps.retain(|map| map.explains(pairs));
    maps
}

/// The new lines in the file's indentation. `pairs` are (model, file) old lines that were matched, `cut` those of them
/// that are removed; `None` when no map can be learnt or several would give different lines.
pub(super) fn adjust(
    pairs: &[(&str, &str)],
    cut: &[(&str, &str)],
    added: &[&str],
    unit: Unit,
    habit: &Habit,
) -> Option<Vec<String>> {
    let indents = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .filter(|(model, file)| !model.trim().is_empty() && !file.trim().is_empty())
            .map(|(model, file)| (indent(model).to_owned(), indent(file).to_owned()))
            .collect()
    };
    let (pairs, cut) = (indents(pairs), indents(cut));
    let same = |pairs: &[(String, String)]| pairs.iter().filter(|(model, file)| model == file).count();
    let keep = || Some(added.iter().map(|line| (*line).to_owned()).collect());
    let telling = cut.iter().filter(|(model, file)| !(model.is_empty() && file.is_empty())).count();
    if added.iter().all(|line| line.trim().is_empty()) || telling > 0 && same(&cut) == cut.len() {
        return keep();
    }
    let borrowed: Vec<(&str, &str)> = pairs.iter().map(|(model, file)| (model.as_str(), file.as_str())).collect();
    let results = distinct(&maps(&borrowed), added);
    match results.as_slice() {
        [one] => return Some(one.clone()),
        [] => {}
        several => {
            let by_unit = unit.choose(&borrowed, added).filter(|lines| several.contains(lines));
            return by_unit.or_else(|| habit.choose(added).filter(|lines| several.contains(lines)));
        }
    }
    // No map explains all: single lines were copied badly. What most lines say holds, if it is "as it is".
    if same(&pairs) * 2 >= pairs.len() { keep() } else { table(&borrowed, added) }
}

fn distinct(maps: &[Map], added: &[&str]) -> Vec<Vec<String>> {
    let mut results: Vec<Vec<String>> = Vec::new();
    for map in maps {
        let lines: Option<Vec<String>> = added.iter().map(|line| map.line(line)).collect();
        if let Some(lines) = lines.filter(|lines| !results.contains(lines)) {
            results.push(lines);
        }
    }
    results
}

/// Only the indentations that were seen, when a deeper one of the model is always a deeper one of the file.
fn table(pairs: &[(&str, &str)], added: &[&str]) -> Option<Vec<String>> {
    let mut seen: Vec<(&str, &str)> = pairs.to_vec();
    seen.sort_by_key(|(model, file)| (model.len(), file.len()));
    seen.dedup();
    let rises = |pair: &[(&str, &str)]| pair[0].0.len() < pair[1].0.len() && pair[0].1.len() < pair[1].1.len();
    if !seen.windows(2).all(rises) {
        return None;
    }
    let find = |model: &str| seen.iter().find(|(from, _)| *from == model).map(|(_, to)| *to);
    let line = |text: &&str| {
        if text.trim().is_empty() {
            return Some((*text).to_owned());
        }
        let model = indent(text);
        Some(format!("{}{}", find(model)?, &text[model.len()..]))
    };
    added.iter().map(line).collect()
}

/// How a file indents, learnt from all its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Tabs,
    Spaces(usize),
    Unknown,
}

impl Unit {
    /// Most steps from one line to a deeper next line have the width of the unit.
    pub fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let (mut tabs, mut spaces, mut steps, mut before) = (0_usize, 0_usize, [0_usize; 9], 0_usize);
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let blank = indent(line);
            tabs += usize::from(blank.starts_with('\t'));
            spaces += usize::from(blank.starts_with("  "));
            if blank.bytes().all(|byte| byte == b' ') {
                if let Some(step) = blank.len().checked_sub(before).and_then(|step| steps.get_mut(step)) {
                    *step += 1;
                }
                before = blank.len();
            }
        }
        let best = (2..=8).max_by_key(|step| (steps[*step], 9 - step)).filter(|step| steps[*step] > 0);
        match (tabs, spaces, best) {
            (1.., 0, _) => Unit::Tabs,
            (0, 2.., Some(width)) => Unit::Spaces(width),
            _ => Unit::Unknown,
        }
    }

    /// With several maps possible, the one that ends on the file's own unit.
    fn choose(self, pairs: &[(&str, &str)], added: &[&str]) -> Option<Vec<String>> {
        let fits = |map: &Map| match (self, map) {
            (Unit::Spaces(width), Map::TabIs(found) | Map::Scale(_, found)) => width == *found,
            (Unit::Spaces(width), Map::Put(prefix) | Map::Take(prefix)) => prefix.len() % width == 0,
            (Unit::Tabs, Map::Put(prefix) | Map::Take(prefix)) => prefix.bytes().all(|byte| byte == b'\t'),
            (Unit::Tabs, Map::SpacesAre(_)) => true,
            _ => false,
        };
        let fitting: Vec<Map> = maps(pairs).into_iter().filter(fits).collect();
        match distinct(&fitting, added).as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// For new lines of a hunk that shows no indented old line, in an answer that indents the file's other lines in
    /// another way than the file: mapped by the file's own unit. `Ok(None)`: nothing to do; `Err`: the unit is open.
    pub fn foreign(self, added: &[&str]) -> Result<Option<Vec<String>>, ()> {
        let indents: Vec<&str> = added.iter().filter(|line| !line.trim().is_empty()).map(|line| indent(line)).collect();
        let tabs = indents.iter().any(|blank| blank.contains('\t'));
        let deep: Vec<usize> =
            indents.iter().filter(|blank| blank.starts_with("  ")).map(|blank| blank.len()).collect();
        let map = match self {
            Unit::Spaces(width) if tabs => Map::TabIs(width),
            Unit::Tabs if !tabs && !deep.is_empty() => {
                let width = deep.iter().copied().min().unwrap_or(2);
                if deep.iter().any(|depth| depth % width > 1) || deep.iter().all(|depth| *depth == width) {
                    return Err(());
                }
                Map::SpacesAre(width)
            }
            _ => return Ok(None),
        };
        added.iter().map(|line| map.line(line)).collect::<Option<Vec<_>>>().map(Some).ok_or(())
    }
}

/// How an answer indents against its files, learnt from all its hunks: tabs for spaces or spaces for tabs.
#[derive(Clone, Debug, Default)]
pub(super) struct Habit {
    pairs: BTreeSet<(String, String)>,
}

impl Habit {
    /// An old line as the model wrote it and as its file has it.
    pub fn learn(&mut self, model: &str, file: &str) {
        self.pairs.insert((indent(model).to_owned(), indent(file).to_owned()));
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The new lines by the one map that explains every pair; `None` when there is none, or several that differ.
    fn choose(&self, added: &[&str]) -> Option<Vec<String>> {
        let pairs: Vec<(&str, &str)> = self.pairs.iter().map(|(model, file)| (model.as_str(), file.as_str())).collect();
        let mut maps = maps(&pairs);
        maps.retain(|map| matches!(map, Map::TabIs(_) | Map::SpacesAre(_)));
        match distinct(&maps, added).as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// The new lines of a hunk that shows no indented old line. `evident`: the file's own old lines show that it is
    /// indented in another way than the answer. `Ok(None)`: nothing to do; `Err`: the unit is open.
    pub fn foreign(&self, added: &[&str], unit: Unit, evident: bool) -> Result<Option<Vec<String>>, ()> {
        let bare = added.iter().all(|line| indent(line).is_empty());
        match (unit.foreign(added), self.choose(added)) {
            (Ok(None), _) if evident || bare || unit != Unit::Unknown => Ok(None),
            (Ok(Some(lines)), None) if evident => Ok(Some(lines)),
            (Ok(Some(lines)), Some(other)) if lines == other => Ok(Some(lines)),
            (Ok(Some(_)), _) => Err(()),
            (Ok(None) | Err(()), learnt) => learnt.map(Some).ok_or(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)], added: &[&str], unit: Unit, expect: Option<&[&str]>) {
        let got = adjust(pairs, &[], added, unit, &Habit::default());
        assert_eq!(
            got.as_deref(),
            expect.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()).as_deref()
        );
    }

    #[test]
    fn a_lost_prefix_is_put_back_and_an_added_one_taken() {
        check(&[("a", "    a"), ("  b", "      b")], &["  c", "d"], Unit::Unknown, Some(&["      c", "    d"]));
        check(&[("\t\ta", "\ta")], &["\t\t\tb"], Unit::Unknown, Some(&["\t\tb"]));
    }

    #[test]
    fn tabs_and_spaces_are_mapped_by_the_unit_that_the_old_lines_show() {
        check(&[("\ta", "  a"), ("b", "b")], &["\t\tc"], Unit::Spaces(2), Some(&["    c"]));
        check(&[("    a", "\ta"), ("b", "b")], &["        c"], Unit::Tabs, Some(&["\t\tc"]));
    }

    #[test]
    fn one_badly_copied_line_does_not_move_the_new_ones() {
        check(&[("a", "a"), ("   b", " b"), ("  c", "  c")], &["  d"], Unit::Unknown, Some(&["  d"]));
    }

    #[test]
    fn what_other_hunks_show_decides_where_a_hunk_shows_nothing() {
        let habit = |pairs: &[(&str, &str)]| {
            let mut habit = Habit::default();
            pairs.iter().for_each(|(model, file)| habit.learn(model, file));
            habit
        };
        let lines = |text: &str| Ok(Some(vec![text.to_owned()]));
        let tabs = habit(&[("\tx", "  x")]);
        assert_eq!(tabs.foreign(&["\t\ta"], Unit::Unknown, false), lines("    a"));
        assert_eq!(tabs.foreign(&["\t\ta"], Unit::Spaces(2), false), lines("    a"));
        assert_eq!(tabs.foreign(&["\t\ta"], Unit::Spaces(4), false), Err(()), "the file and the answer disagree");
        assert_eq!(tabs.foreign(&["\t\ta"], Unit::Tabs, false), Ok(None));
        let spaces = habit(&[("    x", "\tx")]);
        assert_eq!(spaces.foreign(&["    a"], Unit::Tabs, false), lines("\ta"));
        assert_eq!(spaces.foreign(&["    a"], Unit::Tabs, true), lines("\ta"));
        assert_eq!(habit(&[("    x", "\tx"), ("  x", "\tx")]).foreign(&["    a"], Unit::Tabs, true), Err(()));
    }

    #[test]
    fn what_cannot_be_known_is_not_guessed() {
        check(&[("  a", "    a"), ("   b", " b")], &["      c"], Unit::Unknown, None);
        assert_eq!(Unit::Tabs.foreign(&["    a"]), Err(()));
        assert_eq!(Unit::Spaces(2).foreign(&["\ta"]), Ok(Some(vec!["  a".to_owned()])));
    }
}
