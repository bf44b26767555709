//! The lines of a program without what is said beside the code. It is read character by character, because comments count in
//! languages whose trees are not read, too. Where it is in doubt more is taken for a comment: nothing that is said of code
//! that goes is softened by a comment that goes.

/// How a language marks comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `//` and `/* */`.
    Slashes,
    /// The same, and `<!-- -->`.
    Markup,
    /// `#`, and texts that stand alone.
    Hash,
    None,
}

impl Style {
    fn of(extension: &str) -> Self {
        match extension {
            "ts" | "tsx" | "mts" | "cts" | "js" | "jsx" | "mjs" | "cjs" | "rs" | "go" | "java" => Self::Slashes,
            "vue" | "svelte" => Self::Markup,
            "py" | "rb" => Self::Hash,
            _ => Self::None,
        }
    }
}

/// What of each line is code, in order; nothing where the language is none that is known.
pub(super) fn code_lines(text: &str, extension: &str) -> Vec<String> {
    let style = Style::of(extension);
    if style == Style::None {
        return Vec::new();
    }
    let mut reader = Reader { style, inside: Inside::Code, is_rust: extension == "rs" };
    text.lines().map(|line| reader.line(line)).collect()
}

/// Whether a line, of which nothing else is known, is a comment from its beginning on.
pub(super) fn is_remark(line: &str, extension: &str) -> bool {
    let line = line.trim_start();
    match Style::of(extension) {
        Style::Slashes => starts_block(line),
        Style::Markup => starts_block(line) || line.starts_with("<!--"),
        Style::Hash => line.starts_with('#'),
        Style::None => false,
    }
}

fn starts_block(line: &str) -> bool {
    let follows = line.strip_prefix('*').map(|rest| rest.is_empty() || rest.starts_with([' ', '/', '*']));
    line.starts_with("//") || line.starts_with("/*") || follows == Some(true)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Code,
    /// A text, until this mark; one that goes on over lines stays open.
    Text(char),
    /// A comment, or a text that is none of the code's, until this mark.
    Remark(&'static str),
}

struct Reader {
    style: Style,
    inside: Inside,
    is_rust: bool,
}

impl Reader {
    fn line(&mut self, line: &str) -> String {
        let mut code = String::new();
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            match self.inside {
                Inside::Remark(end) => match rest.find(end) {
                    Some(at) => {
                        rest = &rest[at + end.len()..];
                        self.inside = Inside::Code;
                    }
                    None => return code,
                },
                Inside::Text(mark) => {
                    code.push(first);
                    rest = &rest[first.len_utf8()..];
                    if first == '\\' {
                        let escaped = rest.chars().next().map_or(0, char::len_utf8);
                        code.push_str(&rest[..escaped]);
                        rest = &rest[escaped..];
                    } else if first == mark {
                        self.inside = Inside::Code;
                    }
                }
                Inside::Code => match self.opens(rest, code.trim().is_empty()) {
                    Some(Opened::Line) => return code,
                    Some(Opened::Block(mark, end)) => {
                        rest = &rest[mark.len()..];
                        self.inside = Inside::Remark(end);
                    }
                    Some(Opened::Text) => {
                        code.push(first);
                        rest = &rest[first.len_utf8()..];
                        self.inside = Inside::Text(first);
                    }
                    None => {
                        code.push(first);
                        rest = &rest[first.len_utf8()..];
                    }
                },
            }
        }
        // Only a template goes on.
        if matches!(self.inside, Inside::Text(mark) if mark != '`') {
            self.inside = Inside::Code;
        }
        code
    }

    fn opens(&self, rest: &str, is_first: bool) -> Option<Opened> {
        let slashes = matches!(self.style, Style::Slashes | Style::Markup);
        if slashes && rest.starts_with("//") {
            return Some(Opened::Line);
        }
        if slashes && rest.starts_with("/*") {
            return Some(Opened::Block("/*", "*/"));
        }
        if self.style == Style::Markup && rest.starts_with("<!--") {
            return Some(Opened::Block("<!--", "-->"));
        }
        if self.style == Style::Hash && rest.starts_with('#') {
            return Some(Opened::Line);
        }
        for mark in ["\"\"\"", "'''"] {
            if self.style == Style::Hash && is_first && rest.starts_with(mark) {
                return Some(Opened::Block(mark, mark));
            }
        }
        match rest.chars().next() {
            // In Rust it is a lifetime or one character.
            Some('\'') if self.is_rust => None,
            Some('"' | '\'') => Some(Opened::Text),
            Some('`') if slashes => Some(Opened::Text),
            _ => None,
        }
    }
}

enum Opened {
    Line,
    Block(&'static str, &'static str),
    Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_beside_the_code_is_left_out() {
        for (extension, text, code) in [
            (
                "ts",
                "a() // b\n/* c\n d\n*/ e()\n'// f' + `/*\n// g`\n",
                vec!["a() ", "", "", " e()", "'// f' + `/*", "// g`"],
            ),
            ("ts", "const a = 'it\\'s // x' // y\n", vec!["const a = 'it\\'s // x' "]),
            ("ts", "'open\nb() // c\n", vec!["'open", "b() "]),
            ("rs", "fn a<'b>() {} // 'c\n/// d\nlet e = \"//\";\n", vec!["fn a<'b>() {} ", "", "let e = \"//\";"]),
            ("py", "def a():\n    \"\"\"b\n    c\"\"\"\n    d('#') # e\n", vec!["def a():", "    ", "", "    d('#') "]),
            ("vue", "<p>a</p><!-- b\nc --><b/>\n", vec!["<p>a</p>", "<b/>"]),
            ("json", "{\"a\": \"// b\"}\n", vec![]),
        ] {
            let code: Vec<&str> = code;
            assert_eq!(code_lines(text, extension), code, "{extension}: {text}");
        }
        for (line, extension, is) in [
            ("// a", "ts", true),
            (" * a", "ts", true),
            ("*/", "go", true),
            ("*a() {}", "ts", false),
            ("# a", "py", true),
            ("# a", "ts", false),
            ("a() // b", "ts", false),
        ] {
            assert_eq!(is_remark(line, extension), is, "{line}");
        }
    }

    #[test]
    fn any_text_has_as_many_lines_as_before() {
        use proptest::prelude::*;
        proptest!(|(text in "(?s)[-a*/ \\\\'\"`#<!>\\n\\u{e9}]{0,60}")| {
            for extension in ["ts", "rs", "py", "vue"] {
                prop_assert_eq!(code_lines(&text, extension).len(), text.lines().count());
            }
        });
    }
}
