//! Lines of text as pages to read: A4 across, in the fonts that every reader of PDF has.
//!
//! Those fonts have Latin letters only. Any other character is written as `[U+4E2D]`: nothing is lost of what has one.

use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

const WIDTH: f32 = 842.0;
const HEIGHT: f32 = 595.0;
const MARGIN: f32 = 36.0;
const SIZE: f32 = 7.0;
const LEADING: f32 = 9.0;
const TITLE: Name<'static> = Name(b"F1");
const BODY: Name<'static> = Name(b"F2");

/// Characters that a line holds: every letter of Courier is 0.6 of its size wide.
pub const CHARACTERS: usize = 183;

/// A line of text, in the heavy font or the plain one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub heavy: bool,
    pub text: String,
}

/// The document; the title stands at the foot of every page.
pub fn document(title: &str, producer: &str, lines: &[Line]) -> Vec<u8> {
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
    pdf.document_info(info).title(TextStr(title)).producer(TextStr(producer));
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
        pdf.stream(*content, &drawn(page_lines, &format!("{title}   {} of {}", at + 1, pages.len())));
    }
    for (font, name) in [(heavy, b"Courier-Bold".as_slice()), (plain, b"Courier".as_slice())] {
        pdf.type1_font(font).base_font(Name(name)).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    pdf.finish()
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

/// The text in pieces of so many characters of the fonts; nothing is cut off.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = latin(text).chars().collect();
    if letters.is_empty() {
        return vec![String::new()];
    }
    letters.chunks(width.max(1)).map(|part| part.iter().collect()).collect()
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
