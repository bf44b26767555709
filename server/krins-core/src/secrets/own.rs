//! Krins' own rules. They stand before the others: their names are the ones that findings had from the beginning, and
//! they know what a context cuts off and what people write in files that are not code.

use super::filter;
use super::rules::{Needed, Pattern, Rule};

struct Row {
    id: &'static str,
    keywords: &'static [&'static str],
    /// The secret is the first group, else the whole match.
    pattern: &'static str,
    /// Bits per byte the secret must have at least (Shannon); 0 turns every filter off.
    entropy: f32,
}

/// Rules that need more than a pattern; `true`: what they find is a guess.
type Checked = (Row, Option<fn(&str) -> bool>, bool);

/// What is written where something is logged in to.
const CHECKED: &[Checked] = &[
    (
        Row {
            id: "basic-authorization",
            keywords: &["basic"],
            pattern: r"(?i)\bbasic[ \t]+([A-Za-z0-9+/]{8,400}={0,2})(?:[^A-Za-z0-9+/=]|$)",
            entropy: 1.0,
        },
        Some(filter::is_basic),
        false,
    ),
    (
        Row {
            id: "bearer-authorization",
            keywords: &["bearer"],
            pattern: r"(?i)\bbearer[ \t]+([A-Za-z0-9._~+/\-]{16,800}=*)",
            entropy: 3.3,
        },
        Some(filter::is_short_token),
        false,
    ),
    (
        Row {
            id: "ntlm-authorization",
            keywords: &["ntlm"],
            pattern: r"(?i:\bntlm)[ \t]+(TlRMTVNTUAAD[A-Za-z0-9+/]{40,}=*)",
            entropy: 2.0,
        },
        None,
        false,
    ),
    (
        Row {
            id: "oauth-parameter",
            keywords: &["oauth_"],
            pattern: r#"(?i)oauth_(?:token_secret|consumer_secret|token|consumer_key)(?:\\?["'])?[ \t]*[=:][ \t]*\\?["']([A-Za-z0-9+/%\-._]{10,200})\\?["']"#,
            entropy: 2.5,
        },
        Some(filter::is_short_token),
        false,
    ),
    (
        Row {
            id: "url-parameter",
            keywords: &["token=", "token_secret=", "api_key=", "apikey=", "client_secret=", "signature="],
            pattern: r"[?&](?:oauth_token|oauth_token_secret|oauth_signature|access_token|auth_token|refresh_token|id_token|api_?key|client_secret|token|signature)=([A-Za-z0-9%._~+/\-]{10,400})",
            entropy: 2.7,
        },
        Some(filter::is_short_token),
        true,
    ),
    (
        Row {
            id: "token-list",
            keywords: &["tokens", "secrets", "api_keys", "apikeys"],
            pattern: r#"(?i)(?:tokens|secrets|api_?keys)\\?["']?[ \t]*(?::|=>|=)[ \t]*\[\s*\\?["'`]([A-Za-z0-9+/_=\-.~]{16,200})\\?["'`]"#,
            entropy: 2.7,
        },
        Some(filter::is_short_token),
        true,
    ),
    (
        Row {
            id: "command-password",
            keywords: &["pass:", "sshpass", "curl"],
            pattern: r#"-pass(?:in|out)[ \t=]+pass:([^\s'"$]{4,64})|sshpass[ \t]+-p[ \t]*['"]?([^\s'"$]{4,64})|curl\b[^\n]{0,200}?[ \t](?:-u|--user)[ \t=]*['"]?[^\s:'"$<{]{1,64}:([^\s'"@$<{\\]{6,64})"#,
            entropy: 2.0,
        },
        Some(filter::is_password),
        true,
    ),
    (
        Row {
            id: "sql-password",
            keywords: &["password '", "identified by '"],
            pattern: r"(?i)\b(?:password|identified by) '([^'\s]{6,64})'",
            entropy: 2.0,
        },
        Some(filter::is_password),
        true,
    ),
    (
        Row {
            id: "environment-password",
            keywords: &["password", "passwd", "_pass", "_pwd"],
            pattern: r#"(?:PASSWORD|PASSWD|_PASS|_PWD)(?:=|:[ \t]+)([^\s"'`\\<>{}$%()\[\],;&|]{6,64})(?:\s|$)"#,
            entropy: 2.0,
        },
        Some(filter::is_password),
        true,
    ),
    (
        Row {
            id: "short-secret",
            keywords: &[
                "secret",
                "token",
                "api_key",
                "apikey",
                "api-key",
                "consumer_key",
                "consumerkey",
                "credential",
                "auth_key",
            ],
            pattern: r#"(?i)(?:secret|token|api[_\-]?key|consumer[_\-]?key|credential|auth_key)\\?["']?[ \t]*(?::|=>|=)[ \t]*\\?["'`]([A-Za-z0-9+/_=\-.~!@#%^&*$]{10,64})\\?["'`]"#,
            entropy: 2.7,
        },
        Some(filter::is_short_token),
        true,
    ),
    (
        Row {
            id: "password",
            keywords: &["password", "passwd", "passphrase", "pwd", "pass"],
            pattern: r#"(?i)(?:password|passwd|passphrase|pwd|\bpass)\\?["']?[ \t]*(?::|=>|=)[ \t]*\\?["'`]([^\s"'`\\<>{}$%()\[\],;]{6,64})\\?["'`]"#,
            entropy: 2.0,
        },
        Some(filter::is_password),
        true,
    ),
];

/// Token shapes are those that the issuers document for their secret-scanning partners.
const ROWS: &[Row] = &[
    Row {
        // The cookie of a session with its signature, as Express writes it.
        id: "session-cookie",
        keywords: &["s%3a"],
        pattern: r"\bs%3A([A-Za-z0-9_\-]{32}\.(?:[A-Za-z0-9]|%2[BF]){40,})",
        entropy: 4.0,
    },
    Row {
        // NATS: the seed of a user, an account or an operator, in base32.
        id: "nkey-seed",
        keywords: &["sua", "saa", "soa"],
        pattern: r"\bS[UAO]A[A-P][A-Z2-7]{54}\b",
        entropy: 3.5,
    },
    Row {
        id: "private-key",
        keywords: &["-----begin"],
        pattern: r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----",
        entropy: 0.0,
    },
    Row {
        id: "aws-access-key",
        keywords: &["akia", "asia", "abia", "acca"],
        pattern: r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        entropy: 2.5,
    },
    Row {
        id: "anthropic-key",
        keywords: &["sk-ant-"],
        pattern: r"\bsk-ant-[a-z]+\d*-[A-Za-z0-9_\-]{20,}",
        entropy: 3.5,
    },
    Row {
        id: "openai-key",
        keywords: &["sk-"],
        pattern: r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_\-]{20,}",
        entropy: 3.5,
    },
    Row { id: "google-api-key", keywords: &["aiza"], pattern: r"\bAIza[A-Za-z0-9_\-]{35}", entropy: 3.5 },
    Row { id: "google-oauth-secret", keywords: &["gocspx-"], pattern: r"\bGOCSPX-[A-Za-z0-9_\-]{28}", entropy: 3.0 },
    Row {
        id: "github-token",
        keywords: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        pattern: r"\bgh[pousr]_[A-Za-z0-9]{36,}",
        entropy: 3.5,
    },
    Row {
        id: "github-fine-grained-token",
        keywords: &["github_pat_"],
        pattern: r"\bgithub_pat_[A-Za-z0-9_]{50,}",
        entropy: 3.5,
    },
    Row {
        id: "gitlab-token",
        keywords: &["glpat-", "gldt-", "glrt-"],
        pattern: r"\bgl(?:pat|dt|rt)-[A-Za-z0-9_\-]{20,}",
        entropy: 3.0,
    },
    Row { id: "npm-token", keywords: &["npm_"], pattern: r"\bnpm_[A-Za-z0-9]{36}\b", entropy: 3.0 },
    Row {
        id: "pypi-token",
        keywords: &["pypi-ageichlwas5vcmc"],
        pattern: r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_\-]{50,}",
        entropy: 3.0,
    },
    Row {
        id: "slack-token",
        keywords: &["xoxb-", "xoxp-", "xoxa-", "xoxs-", "xoxe", "xapp-"],
        pattern: r"\b(?:xox[abeprs]|xapp)-[A-Za-z0-9\-]{15,}",
        entropy: 2.5,
    },
    Row {
        id: "slack-webhook",
        keywords: &["hooks.slack.com"],
        pattern: r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9+/]{40,})",
        entropy: 3.0,
    },
    Row {
        id: "stripe-key",
        keywords: &["sk_live_", "rk_live_", "sk_test_", "rk_test_"],
        pattern: r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
        entropy: 3.0,
    },
    Row { id: "twilio-key", keywords: &["sk"], pattern: r"\bSK[0-9a-f]{32}\b", entropy: 3.0 },
    Row {
        id: "sendgrid-key",
        keywords: &["sg."],
        pattern: r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}",
        entropy: 3.5,
    },
    Row { id: "hugging-face-token", keywords: &["hf_"], pattern: r"\bhf_[A-Za-z]{34}\b", entropy: 3.0 },
    Row {
        id: "digitalocean-token",
        keywords: &["dop_v1_", "doo_v1_"],
        pattern: r"\bdo[op]_v1_[a-f0-9]{64}\b",
        entropy: 3.0,
    },
    Row {
        id: "discord-webhook",
        keywords: &["/api/webhooks/"],
        pattern: r"discord(?:app)?\.com/api/webhooks/\d{15,}/([A-Za-z0-9_\-]{60,})",
        entropy: 3.0,
    },
    Row { id: "telegram-bot-token", keywords: &[":aa"], pattern: r"\b\d{8,10}:AA[A-Za-z0-9_\-]{33}\b", entropy: 3.0 },
    Row {
        id: "json-web-token",
        keywords: &["eyj"],
        pattern: r"\beyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}",
        entropy: 3.5,
    },
    Row {
        id: "url-password",
        keywords: &["://"],
        pattern: r#"(?i)\b[a-z][a-z0-9+.\-]{2,20}://[^\s:/@'"`<>(]{0,64}:([^\s:/@'"`$<{}]{6,128})@[A-Za-z0-9.\-]+"#,
        entropy: 2.5,
    },
    Row {
        id: "aws-secret-key",
        keywords: &["aws", "secret"],
        pattern: r#"(?i)aws_?secret(?:_?access)?_?key["']?\s*[:=]\s*["']?([A-Za-z0-9/+]{40})\b"#,
        entropy: 4.0,
    },
    Row {
        // A line of a `.env` or shell file: an upper-case name at the line's start, a value without quotes.
        id: ENVIRONMENT,
        keywords: &["secret", "token", "passw", "api_key", "apikey", "_key=", "credential"],
        pattern: r"(?m)(?:SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|[A-Z]_KEY|CREDENTIALS?)[A-Z0-9_]*=([A-Za-z0-9+/_=\-.~]{16,200})[ \t]*\r?$",
        entropy: 3.5,
    },
    Row {
        id: GENERIC,
        keywords: &[
            "secret",
            "token",
            "passw",
            "api_key",
            "apikey",
            "api-key",
            "credential",
            "private_key",
            "private-key",
            "privatekey",
        ],
        pattern: r#"(?i)(?:secret|token|passwd|password|api[_\-]?key|credential|private[_\-]?key)[A-Za-z0-9_\-]{0,20}\\?["']?[ \t]*(?::|=>|=)\s*\\?["'`]([A-Za-z0-9+/_=\-.~!@#%^&*]{16,200})\\?["'`]"#,
        entropy: 3.7,
    },
];

pub(super) const ENVIRONMENT: &str = "environment-secret";
pub(super) const GENERIC: &str = "generic-secret";

pub(super) fn rules() -> Vec<Rule> {
    let checked = CHECKED.iter().map(|(row, check, guess)| Rule { check: *check, guess: *guess, ..rule(row) });
    ROWS.iter().map(rule).chain(web_keys()).chain(checked).collect()
}

/// The private member of a JSON Web Key (RFC 7518), where its type stands near.
fn web_keys() -> [Rule; 2] {
    let kind = Rule {
        id: "json-web-key-type".to_owned(),
        pattern: Pattern::from(r#"\bkty\\?["']?[ \t]*[:=][ \t]*\\?["'](?:EC|RSA|OKP|oct)\b"#.to_owned()),
        keywords: vec!["kty".to_owned()],
        placeholders: true,
        part: true,
        ..Rule::default()
    };
    let key = Rule {
        id: "json-web-key".to_owned(),
        pattern: Pattern::from(
            r#"(?:^|[\s{,"'])[dk]\\?["']?[ \t]*:\s*\\?["']([A-Za-z0-9_\-]{22,800})\\?["']"#.to_owned(),
        ),
        keywords: vec!["kty".to_owned()],
        entropy: 3.5,
        placeholders: true,
        with: vec![Needed { id: "json-web-key-type".to_owned(), lines: Some(WEB_KEY_LINES) }],
        ..Rule::default()
    };
    [kind, key]
}

/// Lines between a web key's type and its members, at most.
const WEB_KEY_LINES: usize = 12;

fn rule(row: &Row) -> Rule {
    let named = matches!(row.id, ENVIRONMENT | GENERIC);
    // Keys that everybody may know, and keys that open nothing.
    let open = r"(?:PUBLIC|PUBLISHABLE|SITE|CACHE|SORT|PRIMARY|FOREIGN|PARTITION|SSH_HOST)_?KEY";
    let line = r"^\s*(?:[-*]\s+)?(?:export\s+|ENV\s+)?[A-Z0-9_]+=";
    Rule {
        id: row.id.to_owned(),
        pattern: Pattern::from(row.pattern.to_owned()),
        keywords: row.keywords.iter().map(|word| (*word).to_owned()).collect(),
        entropy: row.entropy,
        placeholders: row.entropy > 0.0,
        mixed: named,
        needs_line: if row.id == ENVIRONMENT { vec![Pattern::from(line.to_owned())] } else { Vec::new() },
        unless_line: if row.id == ENVIRONMENT { vec![Pattern::from(open.to_owned())] } else { Vec::new() },
        ..Rule::default()
    }
}
