//! What a command prints: text for people, one JSON document for programs. The only place that writes to stdout.

use super::args::{Color, Global};
use crate::to_proto;
use anstyle::{AnsiColor, Style};
use krins_engine::Error;
use krins_protocol::cli::Failure;
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Where a command's words go.
pub struct Output {
    json: bool,
    out: anstream::AutoStream<io::Stdout>,
    err: anstream::AutoStream<io::Stderr>,
    live: bool,
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
        Self {
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
            let _ = writeln!(self.out, "{}", text.as_ref());
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
            let short: String = text.chars().take(70).collect();
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
            let _ = writeln!(self.err, "{BAD}error:{BAD:#} failed to {}", error.message);
            if let Some(hint) = &error.hint {
                let _ = writeln!(self.err, "{CARE}hint:{CARE:#} {hint}");
            }
        }
        ExitCode::from(error.kind.exit_code())
    }
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
