//! What a command prints: text for people, one JSON document for programs. The only place that writes to stdout.

use super::args::{Color, Global};
use crate::to_proto;
use anstyle::{AnsiColor, Style};
use krins_core::text::visible;
use krins_engine::Error;
use krins_protocol::cli::Failure;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Where a command's words go.
pub struct Output {
    json: bool,
    out: anstream::AutoStream<io::Stdout>,
    err: anstream::AutoStream<io::Stderr>,
    live: bool,
    /// Whether a terminal reads what is said: nothing that is not ours may act on it.
    terminal: bool,
}

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default();
pub const CARE: Style = AnsiColor::Yellow.on_default();
pub const DIM: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();
pub const PLACE: Style = AnsiColor::Cyan.on_default();

impl Output {
    pub fn new(global: &Global) -> Self {
        let choice = match global.color {
            Color::Auto => None,
            Color::Always => Some(anstream::ColorChoice::Always),
            Color::Never => Some(anstream::ColorChoice::Never),
        };
        let out = io::stdout();
        let err = io::stderr();
        let live = err.is_terminal() && !global.json && global.color != Color::Never;
        let out_choice = choice.unwrap_or_else(|| anstream::AutoStream::choice(&out));
        let err_choice = choice.unwrap_or_else(|| anstream::AutoStream::choice(&err));
        let terminal = out.is_terminal() || choice == Some(anstream::ColorChoice::Always);
        Self {
            terminal,
            json: global.json,
            out: anstream::AutoStream::new(out, out_choice),
            err: anstream::AutoStream::new(err, err_choice),
            live,
        }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A line of text; nothing under `--json`. A closed pipe is the reader's choice, not an error.
    pub fn line(&mut self, text: impl AsRef<str>) {
        if !self.json {
            self.clear_progress();
            let text = if self.terminal { tame(text.as_ref()) } else { text.as_ref().into() };
            let _ = writeln!(self.out, "{text}");
        }
    }

    /// Text as it is.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.clear_progress();
        let _ = self.out.write_all(bytes);
        let _ = self.out.flush();
    }

    /// The one JSON document; nothing without `--json`.
    pub fn document(&mut self, value: &impl Serialize) {
        if self.json {
            let text =
                serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
            let _ = writeln!(self.out, "{text}");
        }
    }

    /// What goes on right now; only on a terminal, on one line that the next output replaces.
    pub fn progress(&mut self, text: &str) {
        if self.live {
            let short: String = visible(text).chars().filter(|c| !c.is_control()).take(70).collect();
            let _ = write!(self.err, "\r\x1b[2K{DIM}… {short}{DIM:#}");
            let _ = self.err.flush();
        }
    }

    fn clear_progress(&mut self) {
        if self.live {
            let _ = write!(self.err, "\r\x1b[2K");
            let _ = self.err.flush();
        }
    }

    /// Reports an error and gives its exit code.
    pub fn failure(&mut self, error: &Error) -> ExitCode {
        if self.json {
            self.document(&Failure { error: to_proto::error(error) });
        } else {
            self.clear_progress();
            let _ = writeln!(self.err, "{BAD}error:{BAD:#} failed to {}", visible(&error.message));
            if let Some(hint) = &error.hint {
                let _ = writeln!(self.err, "{CARE}hint:{CARE:#} {}", visible(hint));
            }
        }
        ExitCode::from(error.kind.exit_code())
    }
}

/// Our own styles stay; everything else that would act on a terminal, or that nobody sees, is shown as an escape. What a
/// file, a model or a test's output holds goes through here with the rest.
fn tame(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return visible(text);
    }
    let mut tamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        tamed.push_str(&visible(&rest[..at]));
        let length = own_style(&rest[at..]).unwrap_or(0);
        if length == 0 {
            tamed.push_str(&visible("\u{1b}"));
        } else {
            tamed.push_str(&rest[at..at + length]);
        }
        rest = &rest[at + length.max(1)..];
    }
    tamed.push_str(&visible(rest));
    Cow::Owned(tamed)
}

/// The bytes of a style of ours that the text begins with.
fn own_style(text: &str) -> Option<usize> {
    let styles = [GOOD, BAD, CARE, DIM, STRONG, PLACE];
    let written = styles.iter().map(|style| style.render().to_string());
    written
        .chain([GOOD.render_reset().to_string()])
        .find(|style| text.starts_with(style.as_str()))
        .map(|style| style.len())
}

/// Wraps text in a style.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A unified diff with colours.
pub fn paint_diff(diff: &str) -> String {
    let mut out = String::with_capacity(diff.len() + 64);
    for line in diff.lines() {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', b' ', ..] | [b'-', b'-', b'-', b' ', ..] => STRONG,
            [b'+', ..] => GOOD,
            [b'-', ..] => BAD,
            [b'@', b'@', ..] => PLACE,
            [b'd', b'i', b'f', b'f', b' ', ..] => STRONG,
            _ => Style::new(),
        };
        out.push_str(&paint(style, line));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_styles_act_on_a_terminal() {
        let ours = format!("{} {}", paint(STRONG, "a"), paint(PLACE, "b"));
        assert_eq!(tame(&ours), ours);
        for hostile in
            ["\u{1b}]0;title\u{7}", "\u{1b}[2J", "\u{1b}[8mhidden", "\u{1b}c", "\u{9b}2J", "\u{202e}", "a\u{1b}"]
        {
            let shown = tame(hostile).into_owned();
            assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{shown:?}");
            let within = tame(&paint(BAD, hostile)).into_owned();
            assert_eq!(within, paint(BAD, &shown));
        }
    }
}
