//! The ways a hunk's lines can be read: as they are, or with one of the known defects of model output mended.
//! Every reading but the plain one names its repair.

use super::ir::{Body, HunkLine, Mark, RawHunk};
use super::norm::Level;
use similar::{Algorithm, DiffOp, capture_diff_slices};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    None,
    NoSpace,
    LineNumbers,
    Tail,
    MissingPlus,
    Entities,
}

impl Defect {
    fn repair(self) -> Option<&'static str> {
        match self {
            Defect::None => None,
            Defect::NoSpace => Some("context lines without their leading space"),
            Defect::LineNumbers => Some("copied line numbers dropped"),
            Defect::Tail => Some("unmarked lines after the hunk dropped"),
            Defect::MissingPlus => Some("a new line without its `+`"),
            Defect::Entities => Some("HTML entities decoded"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub defect: Defect,
    pub lines: Vec<HunkLine>,
    pub hint: Option<u32>,
    /// Whether the new text begins with the byte order mark, when the old text shows the base's.
    pub bom: Option<bool>,
}

impl Reading {
    pub fn repairs(&self) -> Vec<String> {
        self.defect.repair().map(str::to_owned).into_iter().collect()
    }

    pub fn old(&self) -> impl Iterator<Item = &HunkLine> {
        self.lines.iter().filter(|line| line.mark != Mark::Add)
    }

    pub fn added_and_kept(&self) -> impl Iterator<Item = &HunkLine> {
        self.lines.iter().filter(|line| line.mark != Mark::Cut)
    }

    pub fn changes(&self) -> bool {
        self.lines.iter().any(|line| line.mark != Mark::Keep)
    }
}

/// The hunk as it stands.
pub(super) fn plain(hunk: &RawHunk) -> Reading {
    let lines = match &hunk.body {
        Body::Marked(lines) => lines.clone(),
        Body::Blocks { old, new, .. } => diffed(old, new),
    };
    Reading { defect: Defect::None, lines, hint: hunk.hint, bom: None }
}

/// Every other reading that the hunk allows; `known` says whether a line is in the file.
pub(super) fn others(hunk: &RawHunk, known: &dyn Fn(&str) -> bool) -> Vec<Reading> {
    let mut readings = Vec::new();
    let mut push = |defect, lines: Option<Vec<HunkLine>>, hint| {
        readings.extend(lines.map(|lines| Reading { defect, lines, hint, bom: None }));
    };
    if let Some((lines, first)) = without_numbers(&hunk.body) {
        push(Defect::LineNumbers, Some(lines), hunk.hint.or(first));
    }
    if let Body::Marked(lines) = &hunk.body {
        push(Defect::NoSpace, with_spaces(lines), hunk.hint);
        push(Defect::Tail, without_tail(lines), hunk.hint);
        push(Defect::MissingPlus, with_plus(lines, known), hunk.hint);
    }
    let plain = plain(hunk);
    if plain.old().any(|line| has_entity(&line.text)) {
        push(Defect::Entities, Some(plain.lines.iter().map(decoded).collect()), hunk.hint);
    }
    readings
}

/// Old and new text as marked lines.
fn diffed(old: &[String], new: &[String]) -> Vec<HunkLine> {
    let keys =
        |lines: &[String]| -> Vec<String> { lines.iter().map(|line| Level::LineEnds.key(line).into_owned()).collect() };
    let mut lines = Vec::with_capacity(old.len() + new.len());
    for op in capture_diff_slices(Algorithm::Histogram, &keys(old), &keys(new)) {
        let (before, after) = (op.old_range(), op.new_range());
        if let DiffOp::Equal { .. } = op {
            lines.extend(old[before].iter().map(|line| HunkLine::new(Mark::Keep, line)));
        } else {
            lines.extend(old[before].iter().map(|line| HunkLine::new(Mark::Cut, line)));
            lines.extend(new[after].iter().map(|line| HunkLine::new(Mark::Add, line)));
        }
    }
    lines
}

fn with_spaces(lines: &[HunkLine]) -> Option<Vec<HunkLine>> {
    let whole = |line: &HunkLine| match (line.mark, line.bare) {
        (Mark::Keep, false) => HunkLine { text: format!(" {}", line.text), ..line.clone() },
        _ => line.clone(),
    };
    lines.iter().any(|line| line.mark == Mark::Keep).then(|| lines.iter().map(whole).collect())
}

fn without_tail(lines: &[HunkLine]) -> Option<Vec<HunkLine>> {
    let end = lines.iter().rposition(|line| !line.bare)? + 1;
    (end < lines.len()).then(|| lines[..end].to_vec())
}

/// A context line that the file does not have, between two new lines, is a new line.
fn with_plus(lines: &[HunkLine], known: &dyn Fn(&str) -> bool) -> Option<Vec<HunkLine>> {
    let mut out = lines.to_vec();
    let mut changed = false;
    for at in 1..lines.len().saturating_sub(1) {
        let between = lines[at - 1].mark == Mark::Add && lines[at + 1].mark == Mark::Add;
        if lines[at].mark == Mark::Keep && between && !lines[at].text.trim().is_empty() && !known(&lines[at].text) {
            out[at].mark = Mark::Add;
            changed = true;
        }
    }
    changed.then_some(out)
}

/// The hunk without the numbers of a numbered listing, and the number of its first line.
fn without_numbers(body: &Body) -> Option<(Vec<HunkLine>, Option<u32>)> {
    match body {
        Body::Marked(lines) => {
            let first = consecutive(lines.iter().filter(|line| line.mark != Mark::Add).map(|line| line.text.as_str()))?;
            let strip = |line: &HunkLine| HunkLine {
                text: numbered(&line.text).map_or(line.text.clone(), |(_, rest)| rest.to_owned()),
                ..line.clone()
            };
            Some((lines.iter().map(strip).collect(), Some(first)))
        }
        Body::Blocks { old, new, .. } => {
            let first = consecutive(old.iter().map(String::as_str))?;
            let strip = |lines: &[String]| -> Vec<String> {
                lines.iter().map(|line| numbered(line).map_or(line.clone(), |(_, rest)| rest.to_owned())).collect()
            };
            Some((diffed(&strip(old), &strip(new)), Some(first)))
        }
    }
}

/// The first number, when all lines are numbered without a gap.
fn consecutive<'a>(lines: impl Iterator<Item = &'a str>) -> Option<u32> {
    let numbers: Option<Vec<u32>> = lines.map(|line| numbered(line).map(|(number, _)| number)).collect();
    let numbers = numbers?;
    let steady = numbers.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    numbers.first().copied().filter(|_| steady)
}

/// `  12 | text`, `12: text`, `12<tab>text`: the number and the text.
fn numbered(line: &str) -> Option<(u32, &str)> {
    let rest = line.trim_start_matches(' ');
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = rest.get(..digits)?.parse().ok()?;
    let rest = &rest[digits..];
    let text = [" | ", ": ", "\t", "→"].iter().find_map(|separator| rest.strip_prefix(separator));
    text.or_else(|| matches!(rest, " |" | ":" | "").then_some("")).map(|text| (number, text))
}

const ENTITIES: [(&str, &str); 8] = [
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#x27;", "'"),
    ("&#39;", "'"),
    ("&#34;", "\""),
    ("&apos;", "'"),
    // Last, so that `&amp;lt;` becomes `&lt;` and no more.
    ("&amp;", "&"),
];

pub(super) fn has_entity(text: &str) -> bool {
    ENTITIES.iter().any(|(entity, _)| text.contains(entity))
}

pub(super) fn decode(text: &str) -> String {
    ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

/// Whether a text has one of the characters that escaping would have taken away.
pub(super) fn has_raw(text: &str) -> bool {
    let bare = ENTITIES.iter().fold(text.to_owned(), |text, (entity, _)| text.replace(entity, ""));
    bare.contains(['<', '>', '&'])
}

fn decoded(line: &HunkLine) -> HunkLine {
    HunkLine { text: decode(&line.text), ..line.clone() }
}

/// The hunk with all its texts decoded.
pub(super) fn decoded_hunk(hunk: &RawHunk) -> RawHunk {
    let body = match &hunk.body {
        Body::Marked(lines) => Body::Marked(lines.iter().map(decoded).collect()),
        Body::Blocks { old, new, inside_lines } => Body::Blocks {
            old: old.iter().map(|line| decode(line)).collect(),
            new: new.iter().map(|line| decode(line)).collect(),
            inside_lines: *inside_lines,
        },
    };
    RawHunk { body, ..hunk.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_numbers_are_seen_only_when_every_old_line_has_the_next_one() {
        assert_eq!(consecutive(["  9 | a", " 10 | ", " 11 |"].into_iter()), Some(9));
        assert_eq!(consecutive(["1: a", "3: b"].into_iter()), None);
        assert_eq!(consecutive(["1: a", "b"].into_iter()), None);
        assert_eq!(numbered("  12\tx"), Some((12, "x")));
    }

    #[test]
    fn entities_decode_once() {
        assert_eq!(decode("a =&gt; &amp;lt; &quot;"), "a => &lt; \"");
        assert!(has_raw("a < &lt;") && !has_raw("a &lt; &amp;"));
    }
}
