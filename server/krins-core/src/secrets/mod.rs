//! Finding secrets in text: rules as data, a keyword prefilter, then entropy, allow-lists and words.
//!
//! One pass of Aho-Corasick over the text finds the keywords of all rules. Where a rule's matches begin with its keyword
//! the pattern is tried right there and nowhere else; the few others are run over the text. Patterns are compiled when
//! their keyword is first seen; [`warm`] does that ahead of time. Knows no files, no patches and no settings.

mod encoded;
mod filter;
mod fingerprint;
mod key;
mod own;
mod rules;
mod split;

pub use fingerprint::FingerprintKey;

use aho_corasick::Input as Words;
use filter::Match;
use regex_automata::{Anchored, Input};
pub(crate) use rules::Pattern;
use rules::{Rule, SET};
use std::ops::Range;

/// A secret and the rule that found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Stable id, such as `aws-access-key`.
    pub rule: &'static str,
    /// Bytes of the secret itself.
    pub range: Range<usize>,
}

/// Where a pattern whose longest match is unknown stops looking.
const LONGEST_MATCH: usize = 64 << 10;

/// Every secret in `text`, in order, without overlaps: where two rules meet, the earlier in the table gives the name and
/// the secret is what both found.
pub fn scan(text: &str) -> Vec<Hit> {
    scan_file(text, None, std::slice::from_ref(&(0..text.len())))
}

/// As [`scan`], for a file of that path, and only where a keyword stands `within` those bytes. Matches may begin and end
/// outside of them.
pub fn scan_file(text: &str, path: Option<&str>, within: &[Range<usize>]) -> Vec<Hit> {
    let mut found = Vec::new();
    for range in within {
        matches(text, path, range.clone(), &mut found);
    }
    merge(found)
}

/// A secret that stands in the text in pieces or in another spelling.
#[derive(Clone, PartialEq, Eq)]
pub struct Veiled {
    pub rule: &'static str,
    /// What it is written as.
    pub range: Range<usize>,
    /// What it is. Out of `Debug` output.
    pub secret: String,
}

impl std::fmt::Debug for Veiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Veiled").field("rule", &self.rule).field("range", &self.range).finish_non_exhaustive()
    }
}

/// A text that another text means, the bytes it is written as, and the name it is given there.
struct Hidden {
    name: String,
    value: String,
    range: Range<usize>,
}

/// Secrets that are put together from pieces or encoded within those bytes of the text, in order.
pub fn scan_veiled(text: &str, path: Option<&str>, within: &[Range<usize>]) -> Vec<Veiled> {
    let mut hidden = Vec::new();
    for range in within {
        for pieces in split::find(text, range) {
            let nested = encoded::find(&pieces.value, &(0..pieces.value.len()));
            hidden.extend(nested.into_iter().map(|inner| Hidden {
                name: pieces.name.clone(),
                value: inner.value,
                range: pieces.range.clone(),
            }));
            hidden.push(pieces);
        }
        hidden.extend(encoded::find(text, range));
    }
    unveil(hidden, path)
}

/// Those of [`scan_veiled`] that are encoded: what stands on one line in one piece.
pub fn scan_encoded(text: &str, path: Option<&str>, within: &[Range<usize>]) -> Vec<Veiled> {
    unveil(within.iter().flat_map(|range| encoded::find(text, range)).collect(), path)
}

fn unveil(hidden: Vec<Hidden>, path: Option<&str>) -> Vec<Veiled> {
    let mut found: Vec<Veiled> = Vec::new();
    for Hidden { name, value, range } in hidden {
        // As it would stand there if it stood there plainly.
        let plain = format!("{name} = \"{value}\"\n");
        for hit in scan_file(&plain, path, std::slice::from_ref(&(0..plain.len()))) {
            found.push(Veiled { rule: hit.rule, range: range.clone(), secret: plain[hit.range].to_owned() });
        }
    }
    found.sort_by(|a, b| (a.range.start, a.range.end, &a.secret).cmp(&(b.range.start, b.range.end, &b.secret)));
    found.dedup_by(|a, b| a.secret == b.secret && a.range.start < b.range.end);
    found
}

/// The name that the value at the byte is given on its line: `name = …`, `"name": …`, `name: Type = …`.
fn name_before(text: &str, at: usize) -> &str {
    let start = memchr::memrchr(b'\n', &text.as_bytes()[..at]).map_or(0, |at| at + 1);
    let line = &text[start..at];
    let Some(sign) = line.rfind(['=', ':']) else { return "" };
    let (name, before) = last_word(&line[..sign]);
    match before.trim_end().strip_suffix(':') {
        // A type stands between the name and the value.
        Some(before) if line[sign..].starts_with('=') => last_word(before).0,
        _ => name,
    }
}

/// The word that ends the text, quotes and operators left off, and what is before it.
fn last_word(text: &str) -> (&str, &str) {
    let text = text.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let start = text.rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    let start = start.map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    (&text[start..], &text[..start])
}

/// Compiles every pattern and lets each run once, so that no later scan waits for it. Takes some tens of milliseconds.
pub fn warm() {
    for rule in &SET.rules {
        let _ = rule.begins_with_keyword();
        let _ = rule.pattern.compiled().regex.is_match("key = 'q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B'");
    }
    let _ = scan("access_key = \"q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B\"\n");
}

/// Whether the rule knows only what people usually write: its findings are worth a look and no proof.
pub fn is_guess(rule: &str) -> bool {
    SET.rule(rule).is_some_and(|rule| rule.guess)
}

/// Whether the path is one where a name before a value says nothing: lock files, bundles, dependencies.
pub fn is_generated(path: &str) -> bool {
    SET.paths.iter().any(|pattern| pattern.is_match(path))
}

fn matches(text: &str, path: Option<&str>, within: Range<usize>, found: &mut Vec<(usize, Range<usize>)>) {
    let set = &*SET;
    // Per rule: where the next match can begin, or that it was run over all.
    let mut next: Vec<usize> = vec![within.start; set.rules.len()];
    let generated = path.is_some_and(is_generated);
    for keyword in set.keywords.find_overlapping_iter(Words::new(text).range(within.clone())) {
        for &at in &set.owners[keyword.pattern().as_usize()] {
            let rule = &set.rules[at];
            if keyword.start() < next[at] {
                continue;
            }
            if generated && (rule.words || rule.mixed || rule.guess)
                || rule.path.as_ref().is_some_and(|wanted| path.is_none_or(|path| !wanted.is_match(path)))
            {
                next[at] = usize::MAX;
                continue;
            }
            if rule.begins_with_keyword() {
                next[at] = keyword.start() + 1;
                let end = rule.pattern.compiled().longest.unwrap_or(LONGEST_MATCH);
                let input = Input::new(text)
                    .range(keyword.start()..(keyword.start().saturating_add(end)).min(text.len()))
                    .anchored(Anchored::Yes);
                if let Some((whole, secret)) = captured(rule, input) {
                    next[at] = whole.end.max(next[at]);
                    found.extend(judged(rule, text, path, whole, secret).map(|secret| (at, secret)));
                }
            } else {
                next[at] = usize::MAX;
                everywhere(at, text, path, &within, found);
            }
        }
    }
}

/// The rule over all of the range.
fn everywhere(
    at: usize,
    text: &str,
    path: Option<&str>,
    within: &Range<usize>,
    found: &mut Vec<(usize, Range<usize>)>,
) {
    let rule = &SET.rules[at];
    let mut start = within.start;
    while start <= within.end {
        let Some((whole, secret)) = captured(rule, Input::new(text).range(start..within.end)) else { return };
        start = whole.end.max(whole.start + 1);
        found.extend(judged(rule, text, path, whole, secret).map(|secret| (at, secret)));
    }
}

/// The first match of the input, and the secret in it.
fn captured(rule: &Rule, input: Input<'_>) -> Option<(Range<usize>, Range<usize>)> {
    let regex = &rule.pattern.compiled().regex;
    // The search without groups gives up sooner.
    regex.search_half(&input)?;
    let mut captures = regex.create_captures();
    regex.search_captures(&input, &mut captures);
    let whole = captures.get_match()?.range();
    let groups = if rule.group > 0 { rule.group..rule.group + 1 } else { 1..captures.group_len() };
    let secret = groups.into_iter().find_map(|group| captures.get_group(group)).filter(|span| !span.is_empty());
    let secret = secret.map_or(whole.clone(), |span| span.range());
    Some((whole, secret))
}

/// The secret's bytes, if it is one.
fn judged(
    rule: &Rule,
    text: &str,
    path: Option<&str>,
    whole: Range<usize>,
    mut secret: Range<usize>,
) -> Option<Range<usize>> {
    // Patterns are of bytes: what is negated can end inside a character.
    let widen = |range: Range<usize>| {
        let start = (0..=range.start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        start..(range.end..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
    };
    if rule.id == "private-key" {
        secret.end = key::end_of_key(text, secret.end)?;
    }
    let (whole, secret) = (widen(whole), widen(secret));
    let accepted = filter::accepts(rule, &Match { text, path, whole, secret: secret.clone() })
        && rule.with.iter().all(|needed| is_near(needed, text, path, secret.start));
    accepted.then_some(secret)
}

/// Whether the other rule of a composite one matches near enough.
fn is_near(needed: &rules::Needed, text: &str, path: Option<&str>, at: usize) -> bool {
    let Some(rule) = SET.rule(&needed.id) else { return false };
    let within = needed.lines.map_or(0..text.len(), |lines| lines_around(text, at, lines));
    let mut start = within.start;
    while start <= within.end {
        let Some((whole, secret)) = captured(rule, Input::new(text).range(start..within.end)) else { return false };
        start = whole.end.max(whole.start + 1);
        if judged(rule, text, path, whole, secret).is_some() {
            return true;
        }
    }
    false
}

/// The bytes of so many lines before and behind, and of the line itself.
pub(crate) fn lines_around(text: &str, at: usize, lines: usize) -> Range<usize> {
    let start = memchr::memrchr_iter(b'\n', &text.as_bytes()[..at]).nth(lines).map_or(0, |at| at + 1);
    let end = memchr::memchr_iter(b'\n', &text.as_bytes()[at..]).nth(lines).map_or(text.len(), |end| at + end);
    start..end
}

fn merge(mut found: Vec<(usize, Range<usize>)>) -> Vec<Hit> {
    found.sort_by_key(|(rule, range)| (range.start, *rule, range.end));
    let mut merged: Vec<(usize, Range<usize>)> = Vec::new();
    for (rule, range) in found {
        match merged.last_mut().filter(|(_, last)| range.start < last.end) {
            Some((first, last)) => {
                *first = rule.min(*first);
                last.end = last.end.max(range.end);
            }
            None => merged.push((rule, range)),
        }
    }
    merged.into_iter().map(|(rule, range)| Hit { rule: &SET.rules[rule].id, range }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        scan(text).into_iter().map(|hit| hit.rule).collect()
    }

    /// Made by the shape, never issued; put together at run time so that no scanner of this repository trips.
    fn planted() -> Vec<(&'static str, String)> {
        let body = "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B";
        vec![
            ("aws-access-key", format!("AKIA{}", "Q7RZ2KPVXW3LMTSN")),
            ("anthropic-key", format!("sk-ant-api03-{body}")),
            ("openai-key", format!("sk-proj-{body}")),
            ("github-token", format!("ghp_{body}")),
            ("npm-token", format!("npm_{body}")),
            ("slack-token", format!("xoxb-{}", "7391746285-q7Rf2ZkP9vXw3LmT")),
            ("stripe-key", format!("sk_live_{}", &body[..24])),
            ("gitlab-token", format!("glpat-{}", &body[..20])),
            ("url-password", "postgres://app:q7Rf2ZkP9v@db.internal/x".replace("q7Rf2ZkP9v", "q7Rf2Zk!P9v")),
        ]
    }

    #[test]
    fn planted_secrets_are_found_in_quotes_assignments_and_bare() {
        for (rule, secret) in planted() {
            for text in
                [format!("const key = \"{secret}\";\n"), secret.clone(), format!("// use {secret} here\r\nnext")]
            {
                assert_eq!(rules(&text), [rule], "{text}");
            }
        }
    }

    #[test]
    fn a_generic_assignment_needs_a_random_value() {
        assert_eq!(rules("clientSecret: 'q7Rf2ZkP9vXw3LmT8sNbH5cY'"), ["generic-secret"]);
        for harmless in [
            "const token = 'your-token-goes-here-now'",
            "password: 'correct horse battery staple'",
            "apiKey = process.env.API_KEY",
            "const tokenKind = 'SyntaxKind.Identifier'",
            "secret = 'aaaaaaaaaaaaaaaaaaaaaaaa1'",
            "const AWS_KEY = 'AKIAIOSFODNN7EXAMPLE'",
            "export const accessTokenExpirySeconds = '1234567890123456'",
        ] {
            assert_eq!(rules(harmless), [] as [&str; 0], "{harmless}");
        }
    }

    #[test]
    fn what_people_write_into_files_that_are_no_code() {
        let body = "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B";
        let hex = "7b3f90c1d2e84a65b7f0213c9d8e4f56";
        let seed = format!("SUAE{}", "Q7RZ2KPVXW3LMTSN5BHYDJ4GUAEKOQ6RZ2KPVXW3LMTSN5BHYDJ4GX");
        for (rule, text) in [
            ("environment-secret", format!("GITHUB_SECRET={hex}\n")),
            ("environment-secret", format!("STEAM_KEY={hex}\n")),
            ("generic-secret", format!("\"body\": \"{{\\\"access_token\\\":\\\"{body}\\\"}}\"\n")),
            ("environment-password", "PGPASSWORD=tiger4scott psql\n".to_owned()),
            ("sql-password", "CREATE ROLE scott LOGIN PASSWORD 'tiger4scott';\n".to_owned()),
            ("command-password", "openssl rsa -passin pass:tiger4scott -in a\n".to_owned()),
            ("command-password", "curl -s -u scott:tiger4scott https://h.acme.io\n".to_owned()),
            ("url-parameter", "GET /cb?oauth_token=kj7ht2309uf&x=1\n".to_owned()),
            ("token-list", format!("{{\"tokens\":[\"{}\"]}}\n", &hex[..16])),
            ("session-cookie", format!("sid=s%3A{}.{}%2F{}\n", &body[..32], &body[..20], &body[..20])),
            ("nkey-seed", format!("seed: {seed}\n")),
            ("json-web-key", format!("{{ kty: 'OKP', crv: 'Ed25519',\n  d: '{body}' }}\n")),
        ] {
            assert_eq!(rules(&text), [rule], "{text}");
        }
        for harmless in [
            format!("PUBLIC_KEY={hex}\n"),
            format!("d: '{body}'\n"),
            "PASSWORD=changeme\n".to_owned(),
            "tokens: ['color-background-1', 'x']\n".to_owned(),
            "curl -u user:password https://h.acme.io\n".to_owned(),
            "?token=your-token-goes-here\n".to_owned(),
        ] {
            assert_eq!(rules(&harmless), [] as [&str; 0], "{harmless}");
        }
    }

    /// The forms of one key in pieces and in other spellings; `pieces` cuts it in three.
    fn veils(key: &str) -> Vec<String> {
        use base64::Engine as _;
        let base = base64::engine::general_purpose::STANDARD.encode(key);
        let url = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key);
        let twice = base64::engine::general_purpose::STANDARD.encode(&base);
        let in_url = format!("https://h.acme.io/?k={}", key.bytes().map(|b| format!("%{b:02X}")).collect::<String>());
        let hex: String = key.bytes().map(|b| format!("{b:02x}")).collect();
        let escapes: String = key.bytes().map(|b| format!("\\x{b:02x}")).collect();
        let unicode: String = key.bytes().map(|b| format!("\\u{b:04x}")).collect();
        let codes: Vec<String> = key.bytes().map(|b| b.to_string()).collect();
        let backwards: String = key.chars().rev().collect();
        let (a, rest) = key.split_at(key.len() / 3);
        let (b, c) = rest.split_at(rest.len() / 2);
        vec![
            format!("const k = \"{a}\" + \"{b}\" + \"{c}\";"),
            format!("const k = '{a}' +\n  // the rest\n  '{b}' +\n  '{c}';"),
            format!("const k = `{a}${{'{b}'}}{c}`;"),
            format!("const a = '{a}';\nlet b: string = '{b}';\nconst k = a + b + '{c}';"),
            format!("const a = '{a}';\nconst k = `${{a}}{b}{c}`;"),
            format!("const k = ['{a}', '{b}', '{c}'].join('');"),
            format!("const k = ['{c}', '{b}', '{a}'].reverse().join('');"),
            format!("const k = '{backwards}'.split('').reverse().join('');"),
            format!("const k = '{a}'.concat('{b}', '{c}');"),
            format!("const k = String.fromCharCode({});", codes.join(", ")),
            format!("const k = atob('{base}');"),
            format!("const k = Buffer.from('{base}', 'base64').toString();"),
            format!("const k = atob('{}' + '{}');", &base[..base.len() / 2], &base[base.len() / 2..]),
            format!("k = b64decode(\"{url}\")"),
            format!("const k = twice('{twice}');"),
            format!("const k = Buffer.from('{hex}', 'hex');"),
            format!("const k = \"{escapes}\";"),
            format!("const k = \"{unicode}\";"),
            format!("fetch(\"{in_url}\");"),
            format!("k = ('{a}'\n     '{b}'\n     '{c}')"),
            format!("$k = '{a}' . '{b}' . '{c}';"),
            format!("local k = \"{a}\" .. \"{b}\" .. \"{c}\""),
            format!("let k = concat!(\"{a}\", \"{b}\", \"{c}\");"),
            format!("k := \"{a}\" + (\"{b}\" + \"{c}\")"),
        ]
    }

    #[test]
    fn nine_of_ten_secrets_in_pieces_or_other_spellings_are_found() {
        let (mut all, mut missed) = (0, Vec::new());
        for (rule, secret) in planted().into_iter().filter(|(rule, _)| *rule != "url-password") {
            for text in veils(&secret) {
                all += 1;
                let whole = 0..text.len();
                let found = scan_veiled(&text, None, std::slice::from_ref(&whole));
                if !found.iter().any(|veiled| veiled.secret == secret) {
                    missed.push(format!("{rule}: {text}"));
                }
            }
        }
        assert!(all > 150 && missed.len() * 10 <= all, "{} of {all} missed: {}", missed.len(), missed.join("\n"));
    }

    #[test]
    fn what_logs_in_is_found_and_its_description_is_not() {
        assert_eq!(rules("'Authorization': 'Basic dXNlcjpwYXNz'"), ["basic-authorization"]);
        assert_eq!(rules("Authorization: Bearer vp7jxTwqgczoFHs0uIdOvv4VdBWmvCkb"), ["bearer-authorization"]);
        assert_eq!(rules("oauth_token: 'kkk9d7dh3k39sjv7'"), ["oauth-parameter"]);
        assert_eq!(rules("token_secret: 'dh893hdasih9',"), ["short-secret"]);
        assert_eq!(rules("{ password: 'admin12345' }"), ["password"]);
        assert!(is_guess("password") && !is_guess("github-token"));
        for harmless in [
            "a basic authentication",
            "Basic understanding of",
            "Bearer <token>",
            "Bearer ${accessToken}",
            "password: 'errors.password.required'",
            "password: 'New password'",
            "label.password = 'Password:'",
            "token: 'identifier'",
        ] {
            assert_eq!(rules(harmless), [] as [&str; 0], "{harmless}");
        }
    }

    #[test]
    fn an_assignment_of_an_env_file_needs_no_quotes() {
        assert_eq!(rules("# local\nDB_PASSWORD=q7Rf2ZkP9vXw3LmT8s\nDEBUG=1\n"), ["environment-secret"]);
        assert_eq!(rules("export STRIPE_TOKEN=q7Rf2ZkP9vXw3LmT8s"), ["environment-secret"]);
        for harmless in [
            "const TOKEN=computeTokenOfUser9",
            "TOKEN=your-token-goes-here-1",
            "PASSWORD=$(cat /run/secret/password1)",
            "TOKEN_LIFETIME=30",
        ] {
            assert_eq!(rules(harmless), [] as [&str; 0], "{harmless}");
        }
    }

    #[test]
    fn a_private_key_is_found_whole() {
        let text = format!("a\n-----BEGIN RSA {}-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nb", "PRIVATE KEY");
        let hits = scan(&text);
        assert_eq!(hits.len(), 1);
        assert!(text[hits[0].range.clone()].ends_with("KEY-----"));
    }

    /// A context may hold a part of a file only.
    #[test]
    fn a_private_key_that_was_cut_is_found_and_words_about_keys_swallow_no_code() {
        let begin = format!("-----BEGIN {}-----", "PRIVATE KEY");
        let found = |text: &str| scan(text).iter().map(|hit| text[hit.range.clone()].to_owned()).collect::<Vec<_>>();
        let body = "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6Bq7Rf2ZkP9vXw3LmT8sNbH5cYdJ1g";
        for text in [
            format!("{begin}\r\nProc-Type: 4,ENCRYPTED\r\n\r\n{body}\r\n{body}"),
            format!("const key = \"{begin}\\n\" +\n  \"{body}\\n\" +\n  \"{body}\\n\""),
            format!("{{\"key\": \"{begin}\\n{body}\\n-----END PRIVATE KEY-----\\n\"}}"),
        ] {
            let [hit] = found(&text).try_into().unwrap();
            assert!(hit.matches(body).count() == text.matches(body).count(), "{hit}");
        }
        let code = format!(
            "const BEGIN = '{begin}';\nfunction strip(pem: string) {{\n  return pem;\n}}\nconst END = '-----END PRIVATE KEY-----';\n"
        );
        assert_eq!(found(&code), [] as [String; 0]);
    }
}
