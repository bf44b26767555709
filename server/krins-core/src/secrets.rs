//! Finding secrets in text: rules as data, a keyword prefilter, then entropy and stop-word filters.
//!
//! The patterns give the recall and the filters the precision: a pattern alone flags every example key in every
//! README. Token shapes are those that the issuers document for their secret-scanning partners.

use aho_corasick::AhoCorasick;
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// A secret and the rule that found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Stable id, such as `aws-access-key`.
    pub rule: &'static str,
    /// Bytes of the secret itself.
    pub range: Range<usize>,
}

struct Rule {
    id: &'static str,
    /// Lower case; the pattern runs only on lines that hold one of them.
    keywords: &'static [&'static str],
    /// The secret is the group `s`, else the whole match.
    pattern: &'static str,
    /// Bits per character the secret must have at least (Shannon); 0 turns the filter off.
    entropy: f32,
}

const RULES: &[Rule] = &[
    Rule {
        id: "private-key",
        keywords: &["-----begin"],
        pattern: r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----",
        entropy: 0.0,
    },
    Rule {
        id: "aws-access-key",
        keywords: &["akia", "asia", "abia", "acca"],
        pattern: r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        entropy: 3.0,
    },
    Rule {
        id: "anthropic-key",
        keywords: &["sk-ant-"],
        pattern: r"\bsk-ant-[a-z]+\d*-[A-Za-z0-9_\-]{20,}",
        entropy: 3.5,
    },
    Rule {
        id: "openai-key",
        keywords: &["sk-"],
        pattern: r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_\-]{20,}",
        entropy: 3.5,
    },
    Rule { id: "google-api-key", keywords: &["aiza"], pattern: r"\bAIza[A-Za-z0-9_\-]{35}", entropy: 3.5 },
    Rule { id: "google-oauth-secret", keywords: &["gocspx-"], pattern: r"\bGOCSPX-[A-Za-z0-9_\-]{28}", entropy: 3.0 },
    Rule {
        id: "github-token",
        keywords: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        pattern: r"\bgh[pousr]_[A-Za-z0-9]{36,}",
        entropy: 3.5,
    },
    Rule {
        id: "github-fine-grained-token",
        keywords: &["github_pat_"],
        pattern: r"\bgithub_pat_[A-Za-z0-9_]{50,}",
        entropy: 3.5,
    },
    Rule {
        id: "gitlab-token",
        keywords: &["glpat-", "gldt-", "glrt-"],
        pattern: r"\bgl(?:pat|dt|rt)-[A-Za-z0-9_\-]{20,}",
        entropy: 3.0,
    },
    Rule { id: "npm-token", keywords: &["npm_"], pattern: r"\bnpm_[A-Za-z0-9]{36}\b", entropy: 3.0 },
    Rule {
        id: "pypi-token",
        keywords: &["pypi-ageichlwas5vcmc"],
        pattern: r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_\-]{50,}",
        entropy: 3.0,
    },
    Rule {
        id: "slack-token",
        keywords: &["xoxb-", "xoxp-", "xoxa-", "xoxs-", "xoxe", "xapp-"],
        pattern: r"\b(?:xox[abeprs]|xapp)-[A-Za-z0-9\-]{15,}",
        entropy: 2.5,
    },
    Rule {
        id: "slack-webhook",
        keywords: &["hooks.slack.com"],
        pattern: r"hooks\.slack\.com/(?:services|workflows)/(?P<s>[A-Za-z0-9+/]{40,})",
        entropy: 3.0,
    },
    Rule {
        id: "stripe-key",
        keywords: &["sk_live_", "rk_live_", "sk_test_", "rk_test_"],
        pattern: r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
        entropy: 3.0,
    },
    Rule { id: "twilio-key", keywords: &["sk"], pattern: r"\bSK[0-9a-f]{32}\b", entropy: 3.0 },
    Rule {
        id: "sendgrid-key",
        keywords: &["sg."],
        pattern: r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}",
        entropy: 3.5,
    },
    Rule { id: "hugging-face-token", keywords: &["hf_"], pattern: r"\bhf_[A-Za-z]{34}\b", entropy: 3.0 },
    Rule {
        id: "digitalocean-token",
        keywords: &["dop_v1_", "doo_v1_"],
        pattern: r"\bdo[op]_v1_[a-f0-9]{64}\b",
        entropy: 3.0,
    },
    Rule {
        id: "discord-webhook",
        keywords: &["/api/webhooks/"],
        pattern: r"discord(?:app)?\.com/api/webhooks/\d{15,}/(?P<s>[A-Za-z0-9_\-]{60,})",
        entropy: 3.0,
    },
    Rule { id: "telegram-bot-token", keywords: &[":aa"], pattern: r"\b\d{8,10}:AA[A-Za-z0-9_\-]{33}\b", entropy: 3.0 },
    Rule {
        id: "json-web-token",
        keywords: &["eyj"],
        pattern: r"\beyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}",
        entropy: 3.5,
    },
    Rule {
        id: "url-password",
        keywords: &["://"],
        pattern: r#"\b[a-z][a-z0-9+.\-]{2,20}://[^\s:/@'"`]{1,64}:(?P<s>[^\s:/@'"`$<{}]{6,128})@[A-Za-z0-9.\-]+"#,
        entropy: 2.5,
    },
    Rule {
        id: "aws-secret-key",
        keywords: &["aws", "secret"],
        pattern: r#"(?i)aws_?secret(?:_?access)?_?key["']?\s*[:=]\s*["']?(?P<s>[A-Za-z0-9/+]{40})\b"#,
        entropy: 4.0,
    },
    Rule {
        // A line of a `.env` or shell file: an upper-case name at the line's start, a value without quotes.
        id: "environment-secret",
        keywords: &["secret", "token", "passw", "api_key", "apikey", "private_key", "credential"],
        pattern: r"^\s*(?:export\s+)?[A-Z0-9_]*(?:SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|PRIVATE_KEY|CREDENTIALS?)[A-Z0-9_]*=(?P<s>[A-Za-z0-9+/_=\-.~]{16,200})\s*$",
        entropy: 3.5,
    },
    Rule {
        id: "generic-secret",
        keywords: &["secret", "token", "passw", "api_key", "apikey", "api-key", "credential", "private_key"],
        pattern: r#"(?i)[A-Za-z0-9_\-.]*(?:secret|token|passwd|password|api[_\-]?key|credential|private[_\-]?key)[A-Za-z0-9_\-]{0,20}["']?\s*(?::|=>|=)\s*["'`](?P<s>[A-Za-z0-9+/_=\-.~!@#%^&*]{16,200})["'`]"#,
        entropy: 3.7,
    },
];

/// Parts of values that people write where a secret would stand.
const STOP_WORDS: &[&str] = &[
    "example",
    "sample",
    "dummy",
    "placeholder",
    "your",
    "changeme",
    "change_me",
    "xxxx",
    "0000",
    "1234567",
    "abcdef",
    "redacted",
    "krins_secret",
    "insert",
    "replace",
    "test_key",
    "fake",
    "lorem",
    "process.env",
    "import.meta",
    "undefined",
    "localhost",
    "required",
    "invalid",
    "password123",
    "foobar",
    "todo",
];

/// A line of a block is 64 characters long but for the last; a shorter word is no proof of a key.
const SHORTEST_KEY_LINE: usize = 16;

struct Matcher {
    keywords: AhoCorasick,
    /// Which rule each keyword belongs to.
    owner: Vec<usize>,
    patterns: Vec<LazyLock<Regex, Box<dyn FnOnce() -> Regex + Send>>>,
}

static MATCHER: LazyLock<Matcher> = LazyLock::new(|| {
    let mut words = Vec::new();
    let mut owner = Vec::new();
    for (index, rule) in RULES.iter().enumerate() {
        for keyword in rule.keywords {
            words.push(*keyword);
            owner.push(index);
        }
    }
    let keywords =
        AhoCorasick::builder().ascii_case_insensitive(true).build(words).expect("the keywords are short literals");
    let patterns = RULES
        .iter()
        .map(|rule| {
            let build: Box<dyn FnOnce() -> Regex + Send> =
                Box::new(|| Regex::new(rule.pattern).expect("every pattern is compiled by a test"));
            LazyLock::new(build)
        })
        .collect();
    Matcher { keywords, owner, patterns }
});

/// Every secret in `text`, in order, without overlaps: where two rules meet, the earlier in the table wins.
pub fn scan(text: &str) -> Vec<Hit> {
    let mut hits: Vec<(usize, Hit)> = Vec::new();
    for (rule, line) in candidates(text) {
        let pattern = &MATCHER.patterns[rule];
        for captures in pattern.captures_iter(&text[line.clone()]) {
            let secret = captures.name("s").or_else(|| captures.get(0));
            let Some(secret) = secret.filter(|secret| looks_real(secret.as_str(), &RULES[rule])) else { continue };
            let mut range = line.start + secret.start()..line.start + secret.end();
            if RULES[rule].id == "private-key" {
                range.end = end_of_key(text, range.end);
            }
            hits.push((rule, Hit { rule: RULES[rule].id, range }));
        }
    }
    hits.sort_by_key(|(rule, hit)| (hit.range.start, *rule));
    let mut kept: Vec<Hit> = Vec::new();
    for (_, hit) in hits {
        if kept.last().is_none_or(|last| last.range.end <= hit.range.start) {
            kept.push(hit);
        }
    }
    kept
}

/// (rule, line) pairs that hold one of the rule's keywords, each once.
fn candidates(text: &str) -> Vec<(usize, Range<usize>)> {
    let mut found: Vec<(usize, Range<usize>)> = Vec::new();
    let mut line = 0..0;
    for keyword in MATCHER.keywords.find_overlapping_iter(text) {
        if keyword.start() >= line.end {
            let start = text[..keyword.start()].rfind('\n').map_or(0, |at| at + 1);
            let end = text[keyword.start()..].find('\n').map_or(text.len(), |at| keyword.start() + at);
            line = start..end.max(keyword.end());
        }
        let rule = MATCHER.owner[keyword.pattern().as_usize()];
        if !found.iter().rev().take_while(|(_, seen)| *seen == line).any(|(seen, _)| *seen == rule) {
            found.push((rule, line.clone()));
        }
    }
    found
}

/// A key's block ends with its END line, and one that was cut with its last line of key. Words about a key are no block:
/// the code around them stays.
fn end_of_key(text: &str, from: usize) -> usize {
    let mut end = from;
    for (index, line) in text[from..].split_inclusive('\n').enumerate() {
        let body = line.find("-----END").map_or(line, |at| &line[..at]);
        let key = key_part(body);
        if index > 0 && key.is_none() {
            break;
        }
        if let Some(tail) = line.strip_prefix(body).and_then(|tail| tail.strip_prefix("-----END")) {
            let close = tail.find("-----").map_or(tail.len(), |at| at + 5);
            return offset_in(text, tail) + close;
        }
        if key.is_some_and(|key| key.len() >= SHORTEST_KEY_LINE) {
            end = offset_in(text, line) + line.trim_end().len();
        }
    }
    end
}

/// Where a part of the text begins in it.
fn offset_in(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// The base64 of a line, as it is or as a string of code; a header of the block; or nothing. `None` is another text.
fn key_part(line: &str) -> Option<&str> {
    let code = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | '+' | '(' | ')' | '*' | '#');
    let part = line.trim_matches(code);
    let base64 = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\\'));
    let named = |name: &str| name.contains('-') && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    (base64 || part.split_once(": ").is_some_and(|(name, _)| named(name))).then_some(part)
}

fn looks_real(secret: &str, rule: &Rule) -> bool {
    if rule.entropy == 0.0 {
        return true;
    }
    let lower = secret.to_ascii_lowercase();
    let mixed = !matches!(rule.id, "generic-secret" | "environment-secret")
        || secret.bytes().any(|b| b.is_ascii_digit()) && secret.bytes().any(|b| b.is_ascii_alphabetic());
    mixed && entropy(secret) >= rule.entropy && !STOP_WORDS.iter().any(|word| lower.contains(word)) && !is_run(secret)
}

/// Whether one character, or one step between characters, makes up most of it: `aaaa…`, `abcdefgh…`.
fn is_run(secret: &str) -> bool {
    let bytes = secret.as_bytes();
    let steps = bytes.windows(2).filter(|pair| pair[1] == pair[0] || pair[1] == pair[0].wrapping_add(1)).count();
    steps * 2 > bytes.len()
}

/// Shannon entropy in bits per byte.
fn entropy(text: &str) -> f32 {
    let mut counts = [0u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let total = text.len() as f32;
    counts.iter().filter(|count| **count > 0).map(|count| *count as f32 / total).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        scan(text).into_iter().map(|hit| hit.rule).collect()
    }

    #[test]
    fn every_pattern_compiles() {
        for rule in RULES {
            Regex::new(rule.pattern).unwrap();
        }
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
        assert_eq!(found(&code), [begin]);
    }
}
