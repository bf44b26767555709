//! The spelling of paths in answers: git's quoting, prefixes, and names that must never be written to.
//! Whether a path exists or is a symbolic link is the tree's business.

use crate::path::RelPath;

/// Decodes git's C-style quoting (`"a/\303\251.ts"`); anything else is returned as it is. `None`: broken quoting.
pub(super) fn unquote(name: &str) -> Option<String> {
    let Some(inner) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|_| name.len() > 1) else {
        return Some(name.to_owned());
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let escape = rest.next()?;
        bytes.push(match escape {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'"' | b'\\' => escape,
            b'0'..=b'3' => {
                let octal = |digit: u8| (b'0'..=b'7').contains(&digit).then(|| digit - b'0');
                let (high, middle, low) = (escape - b'0', octal(rest.next()?)?, octal(rest.next()?)?);
                high << 6 | middle << 3 | low
            }
            _ => return None,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Quotes a name as git does with `core.quotePath`: only where it must be.
pub(super) fn quote(name: &str) -> String {
    if name.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\') {
        return name.to_owned();
    }
    let mut out = String::from("\"");
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            0x20..=0x7e => out.push(byte as char),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out.push('"');
    out
}

/// The path, if a patch may write to a file of that name on any of the systems people share a repository between.
pub fn writable_name(path: &str) -> Result<RelPath, String> {
    let path = RelPath::new(path).map_err(|bad| bad.why.to_owned())?;
    for component in path.components() {
        if let Some(why) = why_not_component(component) {
            return Err(why.to_owned());
        }
    }
    Ok(path)
}

/// Names that Windows keeps for devices, with any extension.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

fn why_not_component(component: &str) -> Option<&'static str> {
    let plain: String = component.chars().filter(|c| !is_invisible(*c)).flat_map(char::to_lowercase).collect();
    let bare = plain.trim_end_matches(['.', ' ']);
    let stem = bare.split('.').next().unwrap_or_default().trim_end();
    let port = |prefix: &str| stem.strip_prefix(prefix).is_some_and(|digit| matches!(digit.as_bytes(), [b'1'..=b'9']));
    if bare == ".git" || bare.starts_with("git~") {
        Some("it is inside a git directory")
    } else if component == "~" {
        Some("it starts in a home directory")
    } else if component.chars().any(is_invisible) {
        Some("its name holds an invisible character")
    } else if component.contains([':', '*', '?', '<', '>', '|', '"']) {
        Some("its name holds a character that is not portable")
    } else if component.ends_with(['.', ' ']) || component.starts_with(' ') {
        Some("its name begins or ends with a space, or ends with a dot")
    } else if DEVICES.contains(&stem) || port("com") || port("lpt") {
        Some("its name is a device on Windows")
    } else {
        None
    }
}

/// Format characters that HFS+ ignores in names or that reorder what is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_reach_elsewhere_are_refused() {
        for path in [
            ".git/config",
            "a/.git/config",
            ".GIT/config",
            ".g\u{200c}it/config",
            "git~1/config",
            ".git./config",
            "~/x",
            "C:/x",
            "C:x",
            "src/a.ts:evil",
            "src/CON",
            "src/aux.ts",
            "com1.txt",
            "a.ts.",
            "a.ts ",
            "a\u{202e}b",
            "a\u{1b}[31m",
            "../x",
            "/x",
            "",
            "a\\b",
        ] {
            assert!(writable_name(path).is_err(), "{path:?}");
        }
        for path in [
            "src/a.ts",
            ".gitignore",
            ".github/workflows/ci.yml",
            "console.ts",
            "[id].tsx",
            "(group)/página.tsx",
            "@scope/a b.ts",
            "git.ts",
        ] {
            assert!(writable_name(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn quoting_round_trips() {
        for name in ["a/b.ts", "a/\"q\".ts", "a/página \\ x.ts", "日本.ts"] {
            assert_eq!(unquote(&quote(name)).as_deref(), Some(name));
        }
        assert_eq!(unquote("\"a/\\056\\056/x\"").as_deref(), Some("a/../x"));
        assert_eq!(unquote("\"a\\9\""), None);
    }
}
