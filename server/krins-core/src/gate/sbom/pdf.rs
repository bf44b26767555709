//! The list as pages to read: A4 across, in the fonts that every reader of PDF has.
//!
//! Those fonts have Latin letters only. Any other character is written as `[U+4E2D]`: the names of npm and Cargo have none,
//! and nothing is lost of what does.

use super::{Bom, Change, Component, plain, standing};
use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

const WIDTH: f32 = 842.0;
const HEIGHT: f32 = 595.0;
const MARGIN: f32 = 36.0;
const SIZE: f32 = 7.0;
const LEADING: f32 = 9.0;
/// Characters in a line: every letter of Courier is 0.6 of its size wide.
const COLUMNS: [usize; 6] = [8, 58, 18, 52, 14, 30];
const TITLE: Name<'static> = Name(b"F1");
const BODY: Name<'static> = Name(b"F2");

/// A line of text, in the heavy font or the plain one.
struct Line {
    heavy: bool,
    text: String,
}

pub(super) fn document(bom: &Bom) -> Vec<u8> {
    let lines = lines(bom);
    let per_page = ((HEIGHT - 2.0 * MARGIN) / LEADING) as usize - 2;
    let pages: Vec<&[Line]> = lines.chunks(per_page.max(1)).collect();
    let mut next = 0;
    let mut id = || {
        next += 1;
        Ref::new(next)
    };
    let (catalog, tree, heavy, plain, info) = (id(), id(), id(), id(), id());
    let numbers: Vec<(Ref, Ref)> = pages.iter().map(|_| (id(), id())).collect();
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree);
    pdf.document_info(info).title(TextStr(&title(bom))).producer(TextStr(&format!("krins {}", bom.wish.tool_version)));
    pdf.pages(tree).kids(numbers.iter().map(|(page, _)| *page)).count(i32::try_from(pages.len()).unwrap_or(i32::MAX));
    for (at, (page_lines, (page, content))) in pages.iter().zip(&numbers).enumerate() {
        let mut written = pdf.page(*page);
        written.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT));
        written.parent(tree);
        written.contents(*content);
        let mut resources = written.resources();
        resources.fonts().pair(TITLE, heavy).pair(BODY, plain);
        resources.finish();
        written.finish();
        pdf.stream(*content, &drawn(page_lines, &format!("{}   {} of {}", title(bom), at + 1, pages.len())));
    }
    for (font, name) in [(heavy, b"Courier-Bold".as_slice()), (plain, b"Courier".as_slice())] {
        pdf.type1_font(font).base_font(Name(name)).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    pdf.finish()
}

fn title(bom: &Bom) -> String {
    let what = if bom.wish.whole { "Packages of" } else { "Packages of a change of" };
    format!("{what} {}", plain(&bom.wish.subject))
}

fn drawn(lines: &[Line], foot: &str) -> Vec<u8> {
    let mut content = Content::new();
    content.begin_text();
    content.set_leading(LEADING);
    content.next_line(MARGIN, HEIGHT - MARGIN);
    for line in lines {
        content.set_font(if line.heavy { TITLE } else { BODY }, SIZE);
        content.show(Str(&win_ansi(&line.text)));
        content.next_line_using_leading();
    }
    content.end_text();
    content.begin_text();
    content.set_font(BODY, SIZE);
    content.next_line(MARGIN, MARGIN - LEADING);
    content.show(Str(&win_ansi(foot)));
    content.end_text();
    content.finish().into_vec()
}

fn lines(bom: &Bom) -> Vec<Line> {
    let mut out = Vec::new();
    let mut say = |heavy: bool, text: String| {
        let width = COLUMNS.iter().sum::<usize>() + COLUMNS.len();
        out.extend(wrapped(&text, width).into_iter().map(|text| Line { heavy, text }));
    };
    say(true, title(bom));
    say(false, format!("patch sha256 {}", bom.patch));
    say(false, format!("serial number {}", bom.serial()));
    if let Some(timestamp) = &bom.wish.timestamp {
        say(false, format!("as of {timestamp}"));
    }
    say(false, bom.totals());
    say(false, String::new());
    out.extend(table(true, &["change", "package", "version", "licence", "standing", "source"].map(str::to_owned)));
    for component in &bom.components {
        out.extend(table(false, &cells(component)));
    }
    for (title, names) in [("Removed", &bom.removed), ("Asked for and not locked yet", &bom.unlocked)] {
        if !names.is_empty() {
            out.push(Line { heavy: false, text: String::new() });
            out.push(Line { heavy: true, text: title.to_owned() });
            out.extend(names.iter().map(|name| Line { heavy: false, text: plain(name) }));
        }
    }
    out
}

fn cells(component: &Component) -> [String; 6] {
    let version = match &component.change {
        Change::Updated { from } => format!("{from} > {}", component.version),
        Change::Added | Change::Altered | Change::Kept => component.version.clone(),
    };
    let licence =
        component.expression.clone().or_else(|| component.licence.as_ref().map(|known| known.written.clone()));
    [
        component.change.word().to_owned(),
        format!("{} {}", component.ecosystem.name(), plain(&component.name)),
        plain(&version),
        plain(&licence.unwrap_or_else(|| "NOASSERTION".to_owned())),
        standing(component.standing).to_owned(),
        plain(&crate::gate::packages::place(&component.source)),
    ]
}

/// One row; what does not fit its column goes on below, so that nothing is cut.
fn table(heavy: bool, cells: &[String; 6]) -> Vec<Line> {
    let cells: Vec<Vec<String>> = cells.iter().zip(COLUMNS).map(|(cell, width)| wrapped(cell, width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |at: usize| {
        let parts = cells
            .iter()
            .zip(COLUMNS)
            .map(|(cell, width)| format!("{:width$}", cell.get(at).map_or("", String::as_str)));
        let text = parts.collect::<Vec<_>>().join(" ");
        Line { heavy, text: text.trim_end().to_owned() }
    };
    (0..height).map(line).collect()
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = latin(text).chars().collect();
    if letters.is_empty() {
        return vec![String::new()];
    }
    letters.chunks(width).map(|part| part.iter().collect()).collect()
}

/// The text with every character that the fonts have not as its number.
fn latin(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            ' '..='~' | '\u{a0}'..='\u{ff}' => out.push(c),
            '…' => out.push_str("..."),
            other => out.push_str(&format!("[U+{:04X}]", u32::from(other))),
        }
    }
    out
}

/// Latin-1 is where WinAnsi has it.
fn win_ansi(text: &str) -> Vec<u8> {
    latin(text).chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}
