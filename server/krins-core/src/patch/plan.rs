//! What the placed hunks of one file do to its lines: edits that do not overlap, in the file's own indentation.

use super::Placement;
use super::bytes::{Edit, End, Ends, NewLine};
use super::indent::{Habit, adjust};
use super::ir::Mark;
use super::ladder::{Base, Located, Site};
use super::norm::{Level, indent};

/// The edits of one file, with the hunk that asked for each.
pub(super) struct Plan<'a> {
    edits: Vec<(Edit, usize)>,
    pub ends: Ends,
    pub placements: Vec<Placement>,
    pub style: Style<'a>,
}

/// What is known of how the answer indents this file.
#[derive(Clone, Copy)]
pub(super) struct Style<'a> {
    /// Old lines of the file show tabs where it has spaces, or the reverse.
    foreign: bool,
    /// Old lines of the file show its own indentation.
    faithful: bool,
    /// What the answer's other hunks show.
    habit: &'a Habit,
}

impl<'a> Style<'a> {
    pub fn of(located: &[(usize, Located)], base: &Base<'_>, habit: &'a Habit) -> Self {
        let any = |is: &dyn Fn(&Site) -> bool| located.iter().flat_map(|(_, found)| found.sites()).any(is);
        Self {
            foreign: any(&|site| pairs(site, base).any(|(model, file)| is_foreign(model, file))),
            faithful: any(&|site| {
                pairs(site, base).any(|(model, file)| is_indented(file) && indent(model) == indent(file))
            }),
            habit,
        }
    }
}

/// Old lines as the model wrote them and as the file has them.
pub(super) fn pairs<'s>(site: &'s Site, base: &'s Base<'_>) -> impl Iterator<Item = (&'s str, &'s str)> {
    site.lines.iter().zip(&site.base).filter_map(|(line, at)| Some((line.text.as_str(), base.lines[(*at)?].text)))
}

fn is_indented(line: &str) -> bool {
    !line.trim().is_empty() && !matches!(indent(line), "" | " ")
}

/// Whether the model indents a line with tabs that the file indents with spaces, or the reverse.
pub(super) fn is_foreign(model: &str, file: &str) -> bool {
    let tabs = |text: &str| indent(text).contains('\t');
    let spaces = |text: &str| indent(text).starts_with("  ");
    !model.trim().is_empty()
        && (tabs(model) && spaces(file) && !tabs(file) || spaces(model) && tabs(file) && !tabs(model))
}

impl<'a> Plan<'a> {
    pub fn new(style: Style<'a>) -> Self {
        Self { edits: Vec::new(), ends: Ends::default(), placements: Vec::new(), style }
    }

    /// The edits, sorted; `Err` names the hunk that overlaps with another.
    pub fn edits(&mut self) -> Result<Vec<Edit>, usize> {
        self.settle()?;
        Ok(std::mem::take(&mut self.edits).into_iter().map(|(edit, _)| edit).collect())
    }

    pub fn take(
        &mut self,
        located: Located,
        base: &Base<'_>,
        number: usize,
        repairs: &[String],
    ) -> Result<(), &'static str> {
        match located {
            Located::Already { line, repairs: more } => {
                let repairs = repairs.iter().cloned().chain(more).collect();
                self.placements.push(placement("already-applied", repairs, line + 1));
            }
            Located::Inside { start, end, lines } => {
                let lines = lines.into_iter().map(|text| NewLine { text, end: None }).collect();
                self.edits.push((Edit { start, end, lines }, number));
                self.placements.push(placement("exact", repairs.to_vec(), start + 1));
            }
            Located::At(sites) => {
                for site in sites {
                    self.site(site, base, number, repairs)?;
                }
            }
        }
        Ok(())
    }

    fn site(&mut self, mut site: Site, base: &Base<'_>, number: usize, repairs: &[String]) -> Result<(), &'static str> {
        restore_moved(&mut site, base);
        if let Some(repair) = reindent(&mut site, base, self.style)? {
            site.repairs.push(repair.to_owned());
        }
        if site.lines.iter().any(|line| line.bare && line.mark == Mark::Keep) {
            site.repairs.push("lines without a mark taken as context".to_owned());
        }
        self.ends.bom = site.bom.or(self.ends.bom);
        self.final_newline(&site, base);
        self.edits.extend(edits_of(&site, base).into_iter().map(|edit| (edit, number)));
        let mut all: Vec<String> = repairs.to_vec();
        all.extend(site.level.repair().map(str::to_owned));
        all.extend(site.repairs);
        self.placements.push(placement(site.level.name(), all, site.start + 1));
        Ok(())
    }

    /// `\ No newline at end of file` counts where the hunk reaches the end of the base.
    fn final_newline(&mut self, site: &Site, base: &Base<'_>) {
        let reaches = base.lines.is_empty() || site.base.iter().flatten().any(|line| line + 1 == base.lines.len());
        let marked = |mark: Mark| site.lines.iter().any(|line| line.mark == mark && line.no_newline);
        let had = base.lines.last().is_none_or(|line| line.end != End::None);
        if !reaches {
            return;
        }
        if marked(Mark::Add) || marked(Mark::Keep) {
            self.ends.final_newline = Some(false);
        } else if marked(Mark::Cut) && !had {
            self.ends.final_newline = Some(true);
        }
    }

    /// Sorts the edits and drops repeated ones; `Err` names the hunk that overlaps.
    fn settle(&mut self) -> Result<(), usize> {
        self.edits.sort_by_key(|(edit, number)| (edit.start, edit.end, *number));
        let before = self.edits.len();
        self.edits.dedup_by(|(a, _), (b, _)| a == b);
        if self.edits.len() < before
            && let Some(placement) = self.placements.last_mut()
        {
            placement.repairs.push("a repeated hunk dropped".into());
        }
        for pair in self.edits.windows(2) {
            let ((first, _), (second, number)) = (&pair[0], &pair[1]);
            if second.start < first.end || second.start == first.start {
                return Err(*number);
            }
        }
        Ok(())
    }
}

/// A line that the hunk takes away and puts back elsewhere comes back as the file has it, not as the model copied it.
fn restore_moved(site: &mut Site, base: &Base<'_>) {
    if site.level < Level::Punctuation || site.level == Level::Indentation {
        return;
    }
    for at in 0..site.lines.len() {
        if site.lines[at].mark != Mark::Add || site.lines[at].text.trim().is_empty() {
            continue;
        }
        let copied = |n: &usize| site.lines[*n].mark == Mark::Cut && site.lines[*n].text == site.lines[at].text;
        let mut origins =
            (0..site.lines.len()).filter(copied).filter_map(|n| site.base[n]).map(|line| base.lines[line].text);
        if let Some(text) = origins.next().filter(|first| origins.all(|other| other == *first)) {
            site.lines[at].text = text.to_owned();
        }
    }
}

/// New lines in the file's indentation; the repair when they changed.
fn reindent(site: &mut Site, base: &Base<'_>, style: Style<'_>) -> Result<Option<&'static str>, &'static str> {
    const UNKNOWN: &str = "its new lines are indented in another way than the file, and the unit cannot be learnt";
    let added: Vec<usize> = (0..site.lines.len()).filter(|at| site.lines[*at].mark == Mark::Add).collect();
    let texts: Vec<&str> = added.iter().map(|at| site.lines[*at].text.as_str()).collect();
    let all: Vec<(&str, &str)> = pairs(site, base).collect();
    let new = if site.level >= Level::Indentation {
        let cut = site.lines.iter().zip(&site.base).filter(|(line, _)| line.mark == Mark::Cut);
        let cut: Vec<(&str, &str)> =
            cut.filter_map(|(line, at)| Some((line.text.as_str(), base.lines[(*at)?].text))).collect();
        Some(adjust(&all, &cut, &texts, base.unit(), style.habit).ok_or(UNKNOWN)?)
    } else if all.iter().any(|(_, file)| is_indented(file)) {
        None
    } else if style.foreign || !style.faithful && !style.habit.is_empty() {
        style.habit.foreign(&texts, base.unit(), style.foreign).map_err(|()| UNKNOWN)?
    } else {
        None
    };
    let Some(new) = new.filter(|new| *new != texts) else { return Ok(None) };
    for (at, text) in added.into_iter().zip(new) {
        site.lines[at].text = text;
    }
    Ok(Some("new lines put into the file's indentation"))
}

/// What a placed hunk does to the base lines.
fn edits_of(site: &Site, base: &Base<'_>) -> Vec<Edit> {
    let exact = site.level == Level::Exact;
    let mut edits: Vec<Edit> = Vec::new();
    let mut open = false;
    let mut at: Option<usize> = None;
    for (n, line) in site.lines.iter().enumerate() {
        match line.mark {
            Mark::Keep => {
                at = site.base[n].map(|line| line + 1);
                open = false;
            }
            Mark::Cut => {
                let Some(cut) = site.base[n] else { continue };
                match edits.last_mut().filter(|edit| open && edit.end == cut) {
                    Some(edit) => edit.end = cut + 1,
                    None => edits.push(Edit { start: cut, end: cut + 1, lines: Vec::new() }),
                }
                open = true;
                at = Some(cut + 1);
            }
            Mark::Add => {
                if !open {
                    let next = site.base[n..].iter().flatten().next().copied();
                    let start = at.or(next).unwrap_or(site.start).min(base.lines.len());
                    edits.push(Edit { start, end: start, lines: Vec::new() });
                    open = true;
                }
                let end = if !exact {
                    None
                } else if line.cr {
                    Some(End::CrLf)
                } else {
                    Some(End::Lf)
                };
                // At the end of a text without a final line end a carriage return is a part of the line.
                let last = exact && line.cr && line.no_newline;
                let text = if last { format!("{}\r", line.text) } else { line.text.clone() };
                if let Some(edit) = edits.last_mut() {
                    edit.lines.push(NewLine { text, end });
                }
            }
        }
    }
    edits
}

pub(super) fn placement(level: &str, repairs: Vec<String>, line: usize) -> Placement {
    Placement { level: level.to_owned(), repairs, line: u32::try_from(line).unwrap_or(u32::MAX) }
}
