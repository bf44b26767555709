//! Path patterns of the policy, and the one spelling of all names that some file system takes for the same.

/// Whether a pattern means the path: a trailing `/` a directory, or a file in its place, and everything below; `*`
/// anything within a component, `**` any number of components; without an inner `/` a name in any directory.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let directory = pattern.ends_with('/');
    let anchored = pattern.trim_end_matches('/').contains('/');
    let body = pattern.trim_matches('/');
    let mut pieces: Vec<&str> = body.split('/').collect();
    if !anchored {
        pieces.insert(0, "**");
    }
    if directory {
        // A file in the directory's place counts: a `.git` file leads git to a directory of its writer's choice.
        pieces.push("**");
    }
    let parts: Vec<&str> = path.split('/').collect();
    // fits[at]: the pieces so far fit the parts before `at`.
    let mut fits = vec![false; parts.len() + 1];
    fits[0] = true;
    for piece in pieces {
        let mut next = vec![false; parts.len() + 1];
        if piece == "**" {
            let mut reached = false;
            for (at, fit) in fits.iter().enumerate() {
                reached |= *fit;
                next[at] = reached;
            }
        } else {
            for (at, part) in parts.iter().enumerate() {
                next[at + 1] = fits[at] && (glob(piece, part) || is_short_name(piece, part));
            }
        }
        fits = next;
    }
    fits[parts.len()]
}

/// The same, whatever the spelling.
pub(super) fn matches_folded(pattern: &str, path: &str) -> bool {
    matches(&fold(pattern), &fold(path))
}

/// One spelling for all that a case-insensitive or normalising file system takes for the same name (APFS, NTFS):
/// compatibility decomposition, ignorable characters dropped, lower case, no stream name, no trailing dots and spaces.
pub(super) fn fold(path: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    if path.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'/' || byte.is_ascii_digit()) {
        return path.to_owned();
    }
    let folded: String = path.nfkd().filter(|c| !is_ignorable(*c)).flat_map(char::to_lowercase).collect();
    // Lower case may decompose again: what was one letter and a mark is compared as both.
    let folded: String = folded.nfkd().collect();
    let name = |part: &str| part.split(':').next().unwrap_or(part).trim_end_matches(['.', ' ']).to_owned();
    folded.split('/').map(name).collect::<Vec<_>>().join("/")
}

/// What HFS+ and APFS pass over when they compare names, and what shows nothing.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// `GIT~1` is another name of `.git` where short names are made.
fn is_short_name(long: &str, part: &str) -> bool {
    let Some((stem, number)) = part.split_once('~') else { return false };
    let (number, ending) = number.split_once('.').unwrap_or((number, ""));
    let plain: String = long.trim_start_matches('.').chars().filter(|c| !matches!(c, '.' | ' ')).collect();
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let stem = stem.to_lowercase();
    numbered
        && (2..=6).contains(&stem.len())
        && plain.to_lowercase().starts_with(&stem)
        && (ending.is_empty() || long.to_lowercase().contains(&format!(".{}", ending.to_lowercase())))
}

/// `*` stands for any run of characters.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_say() {
        for (pattern, path, fits) in [
            (".git/", ".git/config", true),
            (".git/", "a/.git/config", true),
            (".git/", "a/.git", true),
            (".git/", ".gitignore", false),
            (".vscode/mcp.json", ".vscode/mcp.json", true),
            (".vscode/mcp.json", "a/.vscode/mcp.json", false),
            ("**/.vscode/mcp.json", "a/b/.vscode/mcp.json", true),
            ("**/.vscode/mcp.json", ".vscode/mcp.json", true),
            ("*.code-workspace", "deep/x.code-workspace", true),
            ("legacy/**", "legacy/a/b.ts", true),
            ("legacy/**", "src/legacy/a.ts", false),
            ("legacy/", "src/legacy/a.ts", true),
            ("src/*/gen.ts", "src/a/gen.ts", true),
            ("src/*/gen.ts", "src/a/b/gen.ts", false),
            ("/top.ts", "top.ts", true),
            ("/top.ts", "a/top.ts", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("**", "anything/at/all", true),
            (".git/", "git~1/config", true),
            (".git/", "git~x/config", false),
            ("codeowners", "codeow~1", true),
        ] {
            assert_eq!(matches(pattern, path), fits, "{pattern} {path}");
        }
    }
}
