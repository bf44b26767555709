//! Personal data in text: e-mail addresses, phone numbers, accounts, cards, addresses of machines, national numbers, and
//! the names of people where they stand as such. Each class has a shape and, where there is one, a checksum; what cannot
//! be told from a version or a serial number needs a word beside it that says what it is.
//!
//! Identifiers are never touched: nothing begins or ends inside a word. Addresses and numbers that are set aside for
//! examples are nobody's.

use super::Class;
use crate::secrets::Pattern;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

/// What of a class is in a text.
struct Finder {
    class: Class,
    pattern: Pattern,
    /// One of them has to stand on the line before the match; empty: it needs none.
    context: &'static [&'static str],
    /// The group is what is replaced; 0: all of the match.
    group: usize,
    is_real: fn(&str) -> bool,
}

/// How far before a number its word may stand, on the same line.
const CONTEXT: usize = 48;

static FINDERS: LazyLock<Vec<Finder>> = LazyLock::new(|| {
    let row = |class, pattern: &str, context, group, is_real| Finder {
        class,
        pattern: Pattern::from(pattern.to_owned()),
        context,
        group,
        is_real,
    };
    vec![
        row(
            Class::Email,
            r"[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}",
            &[],
            0,
            is_email,
        ),
        row(
            Class::Phone,
            r"(?:\+|\b00)?\(?\d[\d ()./\-]{5,20}\d",
            &["phone", "tel", "mobile", "cell", "fax", "whatsapp", "sms", "telefon", "handy", "gsm", "call "],
            0,
            is_phone,
        ),
        row(Class::Iban, r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", &[], 0, is_iban),
        row(Class::Card, r"\b\d(?:[ \-]?\d){12,18}\b", &[], 0, is_card),
        row(Class::Ip, r"\b\d{1,3}(?:\.\d{1,3}){3}\b", &[], 0, is_ipv4),
        row(Class::Ip, r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}", &[], 0, is_ipv6),
        // United States: social security number.
        row(Class::Id, r"\b\d{3}-\d{2}-\d{4}\b", &[], 0, is_ssn),
        // Denmark: CPR number.
        row(Class::Id, r"\b\d{6}-?\d{4}\b", &["cpr", "personnummer"], 0, is_day_and_serial),
        // Sweden: personal number.
        row(Class::Id, r"\b(?:\d{2})?\d{6}[\-+]\d{4}\b", &["personnummer", "personal number"], 0, is_day_and_serial),
        // Germany: tax number of a person.
        row(Class::Id, r"\b[1-9]\d(?: ?\d{3}){3}\b", &["steuer", "tax", "idnr", "tin"], 0, is_steuer_id),
        // France: NIR.
        row(Class::Id, r"\b[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}\b", &[], 0, is_nir),
        // United Kingdom: national insurance number.
        row(
            Class::Id,
            r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b",
            &["nino", "national insurance", "ni number", "ni_number"],
            0,
            |_| true,
        ),
        // Spain: DNI.
        row(Class::Id, r"\b\d{8}-?[A-Z]\b", &["dni", "nif"], 0, is_dni),
        // Italy: codice fiscale.
        row(Class::Id, r"\b[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]\b", &[], 0, is_codice_fiscale),
        // Netherlands: BSN.
        row(Class::Id, r"\b\d{9}\b", &["bsn", "sofi"], 0, is_bsn),
        // Poland: PESEL.
        row(Class::Id, r"\b\d{11}\b", &["pesel"], 0, is_pesel),
        // A home directory names its owner.
        row(
            Class::User,
            r"(?:/home/|/Users/|[A-Za-z]:\\{1,4}Users\\{1,4})([A-Za-z0-9][\w.\-]{0,31})[/\\]",
            &[],
            1,
            is_user,
        ),
        row(
            Class::User,
            r#"(?i)\b[a-z][a-z0-9+.\-]{1,20}://([^\s:/@'"`<>${}\\?#]{2,64})(?::[^\s@/'"`]{0,128})?@"#,
            &[],
            1,
            is_user,
        ),
        row(
            Class::Person,
            r#"(?m)\b(?i:author|committer|signed-off-by|co-authored-by|reviewed-by|acked-by|tested-by|reported-by|maintainer|contributor)"?:?[ \t]+["']?([^<>\n"'@{}()\[\]=;]{3,60}?)[ \t]*<[^<>\s]+@[^<>\s]+>"#,
            &[],
            1,
            is_person,
        ),
        row(
            Class::Person,
            r"@(?:author|maintainer)[ \t]+([A-Z][A-Za-z\x80-\xff'.\-]+(?:[ \t]+[A-Z][A-Za-z\x80-\xff'.\-]+){1,3})",
            &[],
            1,
            is_person,
        ),
        row(
            Class::Person,
            r#""author"[ \t]*:[ \t]*(?:\{[ \t\r\n]*"name"[ \t]*:[ \t]*)?"([A-Z][^"<(@{}\\]{2,60}?)[ \t]*(?:[<(][^"]*)?""#,
            &[],
            1,
            is_person,
        ),
    ]
});

/// Everything of the classes, in order of their places; what overlaps an earlier one is left out.
pub(super) fn find(text: &str, wanted: &dyn Fn(Class) -> bool) -> Vec<(Class, Range<usize>)> {
    let mut found = Vec::new();
    for finder in FINDERS.iter().filter(|finder| wanted(finder.class)) {
        finder.find(text, &mut found);
    }
    found.sort_by_key(|(class, range): &(Class, Range<usize>)| (range.start, std::cmp::Reverse(range.end), *class));
    let mut kept: Vec<(Class, Range<usize>)> = Vec::new();
    for (class, range) in found {
        if kept.last().is_none_or(|(_, last)| last.end <= range.start) {
            kept.push((class, range));
        }
    }
    kept
}

impl Finder {
    fn find(&self, text: &str, found: &mut Vec<(Class, Range<usize>)>) {
        let regex = &self.pattern.compiled().regex;
        for captures in regex.captures_iter(text) {
            let Some(range) = captures.get_group(self.group).map(|span| span.range()) else { continue };
            let Some(value) = text.get(range.clone()) else { continue };
            if !(self.class == Class::Email && is_password_of_url(text, range.start))
                && stands_alone(text, &range)
                && (self.is_real)(value)
                && self.is_said(text, range.start)
            {
                found.push((self.class, range));
            }
        }
    }

    /// Whether the line says before the place what the number is.
    fn is_said(&self, text: &str, at: usize) -> bool {
        if self.context.is_empty() {
            return true;
        }
        let line = memchr::memrchr(b'\n', &text.as_bytes()[..at]).map_or(0, |at| at + 1);
        let from = (line.max(at.saturating_sub(CONTEXT))..=at).find(|at| text.is_char_boundary(*at)).unwrap_or(at);
        let before = text[from..at].to_ascii_lowercase();
        // A comma ends what the word was said of.
        let of_this = |word: &str| before.rfind(word).is_some_and(|at| !before[at..].contains([',', ';']));
        self.context.iter().any(|word| of_this(word))
    }
}

/// Whether what stands there is the password or the user of an address: `https://user:password@host`.
fn is_password_of_url(text: &str, at: usize) -> bool {
    let before = &text[..at];
    let token = before.rfind(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`')).map_or(0, |at| at + 1);
    before.ends_with([':', '/']) && before.get(token..).is_some_and(|token| token.contains("://"))
}

/// Whether no word and no longer number goes on at either end.
fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let before = text[..range.start].chars().next_back();
    let after = &text[range.end..];
    let goes_on = after.starts_with(['.', '-']) && after[1..].starts_with(|c: char| c.is_ascii_digit());
    let digit_before = before == Some('.') && text[..range.start - 1].ends_with(|c: char| c.is_ascii_digit());
    let number_goes_on = goes_on && text[range.clone()].ends_with(|c: char| c.is_ascii_digit());
    !(before.is_some_and(word) || after.starts_with(word) || number_goes_on || digit_before)
}

fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(10)).collect()
}

/// Endings of file names, not of domains.
const FILES: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "scss", "js", "mjs", "ts", "tsx", "jsx", "json", "html",
    "md", "txt", "yml", "yaml", "toml", "py", "rb", "go", "java", "sh", "lock", "map", "woff", "pdf", "zip",
];
/// Names of nobody in particular.
const NOBODY: &[&str] =
    &["git", "noreply", "no-reply", "donotreply", "do-not-reply", "user", "username", "name", "you", "your", "email"];

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let (local, domain) = (local.to_ascii_lowercase(), domain.to_ascii_lowercase());
    let last = domain.rsplit('.').next().unwrap_or_default();
    let reserved = ["example", "invalid", "test", "localhost", "local", "internal"].contains(&last)
        || ["example.com", "example.org", "example.net"]
            .iter()
            .any(|of| domain == *of || domain.ends_with(&format!(".{of}")));
    !reserved && !FILES.contains(&last) && !NOBODY.contains(&local.as_str()) && domain != "users.noreply.github.com"
}

fn is_phone(text: &str) -> bool {
    let digits = digits(text);
    let all: String = digits.iter().map(u32::to_string).collect();
    // 555-0100 to 555-0199 are set aside for stories; 999 is nobody's country.
    let fiction = all.len() >= 7 && all[all.len() - 7..].starts_with("55501");
    let brackets = text.matches('(').count() == text.matches(')').count();
    (8..=15).contains(&digits.len())
        && brackets
        && !fiction
        && !all.starts_with("999")
        && digits.iter().any(|digit| *digit != digits[0])
}

/// Lengths by country, from the IBAN registry.
const IBAN: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 \
     GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24 ME22 MK19 MR27 \
     MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20";

fn is_iban(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != ' ').collect();
    let length = plain.get(..2).and_then(|country| IBAN.split(' ').find_map(|row| row.strip_prefix(country)));
    if length.and_then(|length| length.parse::<usize>().ok()) != Some(plain.len()) {
        return false;
    }
    let moved = format!("{}{}", &plain[4..], &plain[..4]);
    moved
        .chars()
        .try_fold(0_u32, |rest, c| c.to_digit(36).map(|value| (rest * if value > 9 { 100 } else { 10 } + value) % 97))
        == Some(1)
}

/// Numbers that payment services publish for tests.
const TEST_CARDS: &[&str] = &[
    "4111111111111111",
    "4242424242424242",
    "4012888888881881",
    "4000056655665556",
    "5555555555554444",
    "5105105105105100",
    "5200828282828210",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "30569309025904",
    "38520000023237",
    "3530111333300000",
    "3566002020360505",
    "4000000000000002",
    "4000000000003220",
];

fn is_card(text: &str) -> bool {
    let digits = digits(text);
    let all: String = digits.iter().map(u32::to_string).collect();
    let begins = |length: usize| all.get(..length).and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
    let issued = match digits.len() {
        13 | 19 => begins(1) == 4,
        14 => (300..=305).contains(&begins(3)) || [36, 38, 39].contains(&begins(2)),
        15 => [34, 37].contains(&begins(2)),
        16 => {
            begins(1) == 4
                || (51..=55).contains(&begins(2))
                || (2221..=2720).contains(&begins(4))
                || [6011, 6062].contains(&begins(4))
                || (644..=659).contains(&begins(3))
                || (3528..=3589).contains(&begins(4))
                || begins(2) == 62
        }
        _ => false,
    };
    issued && !TEST_CARDS.contains(&all.as_str()) && luhn(&digits)
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
pub(super) fn tests_luhn(number: &str) -> bool {
    luhn(&digits(number))
}

/// Addresses of the public network. Those of a private one and of documentation are nobody's.
fn is_ipv4(text: &str) -> bool {
    let Ok(address) = text.parse::<Ipv4Addr>() else { return false };
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let benchmark = first == 198 && (18..20).contains(&second);
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_unspecified()
        || address.is_multicast();
    // 1.2.3.4 and its like are versions and placeholders; 8.8.8.8 and 1.1.1.1 are everybody's.
    let few = [[1, 2, 3, 4], [8, 8, 8, 8], [8, 8, 4, 4], [1, 1, 1, 1], [9, 9, 9, 9]].contains(&address.octets());
    !special && !shared && !benchmark && !few && first != 0 && first < 240 && text.len() >= 9
}

fn is_ipv6(text: &str) -> bool {
    let Ok(address) = text.parse::<Ipv6Addr>() else { return false };
    // Global unicast, but for documentation (RFC 3849, RFC 9637).
    let parts = address.segments();
    text.len() >= 8
        && (0x2000..0x4000).contains(&parts[0])
        && (parts[0], parts[1]) != (0x2001, 0xdb8)
        && parts[0] != 0x3fff
}

fn is_ssn(text: &str) -> bool {
    let digits = digits(text);
    let number = |range: Range<usize>| digits[range].iter().fold(0, |sum, digit| sum * 10 + digit);
    let (area, group, serial) = (number(0..3), number(3..5), number(5..9));
    area != 0
        && area != 666
        && area < 900
        && group != 0
        && serial != 0
        && !["078-05-1120", "219-09-9999", "123-45-6789"].contains(&text)
}

/// Six digits that are a day, in either order, and four more.
fn is_day_and_serial(text: &str) -> bool {
    let digits = digits(text);
    let six = if digits.len() == 12 { &digits[2..8] } else { digits.get(..6).unwrap_or_default() };
    let [a, b, c, d, e, f] = six else { return false };
    let (first, month, last) = (a * 10 + b, c * 10 + d, e * 10 + f);
    (1..=12).contains(&month) && ((1..=31).contains(&first) || (1..=31).contains(&last))
}

fn is_steuer_id(text: &str) -> bool {
    let digits = digits(text);
    let product = digits.iter().take(10).fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    digits.len() == 11 && (11 - product) % 10 == digits[10]
}

fn is_nir(text: &str) -> bool {
    // Corsica's letters count as numbers.
    let plain = text.replace(' ', "").replace("2A", "19").replace("2B", "18");
    let (Some(body), Some(key)) = (plain.get(..13), plain.get(13..)) else { return false };
    match (body.parse::<u64>(), key.parse::<u64>()) {
        (Ok(body), Ok(key)) => 97 - body % 97 == key,
        _ => false,
    }
}

fn is_dni(text: &str) -> bool {
    let letters = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let number = digits(text).iter().fold(0, |sum, digit| sum * 10 + digit);
    text.bytes().last() == letters.get((number % 23) as usize).copied()
}

fn is_codice_fiscale(text: &str) -> bool {
    const ODD: [u32; 36] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
        10, 22, 25, 24, 23,
    ];
    let value = |c: char| c.to_digit(36).unwrap_or_default();
    let even = |value: u32| if value < 10 { value } else { value - 10 };
    let sum: u32 = text
        .chars()
        .take(15)
        .enumerate()
        .map(|(at, c)| match at % 2 {
            0 => ODD[value(c) as usize],
            _ => even(value(c)),
        })
        .sum();
    text.chars().last().is_some_and(|last| even(value(last)) == sum % 26)
}

fn is_bsn(text: &str) -> bool {
    let digits = digits(text);
    let sum: i32 = digits.iter().take(8).zip((2..=9).rev()).map(|(digit, weight)| *digit as i32 * weight).sum();
    digits.len() == 9 && (sum - digits[8] as i32) % 11 == 0
}

fn is_pesel(text: &str) -> bool {
    let digits = digits(text);
    let sum: u32 =
        digits.iter().take(10).zip([1, 3, 7, 9, 1, 3, 7, 9, 1, 3]).map(|(digit, weight)| digit * weight).sum();
    digits.len() == 11 && (10 - sum % 10) % 10 == digits[10]
}

/// Accounts that machines and instructions have.
const MACHINES: &[&str] = &[
    "runner",
    "ubuntu",
    "root",
    "node",
    "vscode",
    "app",
    "admin",
    "shared",
    "public",
    "me",
    "default",
    "ec2-user",
    "circleci",
    "travis",
    "build",
    "builder",
    "dev",
    "developer",
    "test",
    "example",
    "foo",
    "bar",
    "postgres",
    "mysql",
    "mongo",
    "redis",
    "guest",
    "rabbitmq",
    "anonymous",
    "oauth2",
    "token",
    "x-access-token",
    "linuxbrew",
    "runneradmin",
    "jovyan",
    "coder",
    "gitpod",
    "codespace",
    "yourname",
    "your-name",
    "docs",
    "api",
    "users",
    "settings",
    "pass",
    "password",
    "secret",
    "login",
    "db",
    "database",
    "service",
];

fn is_user(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    !MACHINES.contains(&lower.as_str())
        && !NOBODY.contains(&lower.as_str())
        && !lower.starts_with("krins_")
        && text.chars().any(char::is_alphabetic)
}

fn is_person(text: &str) -> bool {
    let lower = text.trim().to_ascii_lowercase();
    let nobody = ["author", "name", "your name", "the ", "team", "contributors", "authors", "bot", "krins_person"];
    text == text.trim()
        && text.chars().any(char::is_alphabetic)
        && !nobody.iter().any(|word| lower == *word || lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Class, &str)> {
        find(text, &|_| true).into_iter().map(|(class, range)| (class, &text[range])).collect()
    }

    #[test]
    fn each_class_is_found_by_its_shape_and_checksum() {
        for (text, class, value) in [
            ("// ask jane.doe+dev@acme.io, she knows", Class::Email, "jane.doe+dev@acme.io"),
            ("<a href=\"mailto:j@firma.co.uk\">", Class::Email, "j@firma.co.uk"),
            ("const phone = '+49 30 1234567-8';", Class::Phone, "+49 30 1234567-8"),
            ("tel: (212) 736-5000", Class::Phone, "(212) 736-5000"),
            ("iban: DE89 3704 0044 0532 0130 00", Class::Iban, "DE89 3704 0044 0532 0130 00"),
            ("'GB82WEST12345698765432'", Class::Iban, "GB82WEST12345698765432"),
            ("card 4539 1488 0343 6467", Class::Card, "4539 1488 0343 6467"),
            ("host = 81.169.145.78:443", Class::Ip, "81.169.145.78"),
            ("2a02:8109:9440:1c::1", Class::Ip, "2a02:8109:9440:1c::1"),
            ("ssn 536-90-4399", Class::Id, "536-90-4399"),
            ("steuer-id 86095742719", Class::Id, "86095742719"),
            ("1 84 12 76 451 089 46", Class::Id, "1 84 12 76 451 089 46"),
            ("DNI 12345678Z", Class::Id, "12345678Z"),
            ("RSSMRA85T10A562S", Class::Id, "RSSMRA85T10A562S"),
            ("bsn 111222333", Class::Id, "111222333"),
            ("pesel: 44051401359", Class::Id, "44051401359"),
            ("NINO AB 12 34 56 C", Class::Id, "AB 12 34 56 C"),
            ("cpr 070761-4285", Class::Id, "070761-4285"),
            ("open('/home/jdoe/code/a.ts')", Class::User, "jdoe"),
            ("C:\\\\Users\\\\Jane.Doe\\\\x", Class::User, "Jane.Doe"),
            ("https://jdoe:pw@git.acme.io/x", Class::User, "jdoe"),
            (" * @author Jane Q. Doe\n", Class::Person, "Jane Q. Doe"),
            ("\"author\": \"Jane Doe\"", Class::Person, "Jane Doe"),
        ] {
            assert!(found(text).contains(&(class, value)), "{text}: {:?}", found(text));
        }
        let line = "Signed-off-by: Jane Doe <jane@acme.io>";
        assert_eq!(found(line), [(Class::Person, "Jane Doe"), (Class::Email, "jane@acme.io")]);
    }

    #[test]
    fn what_is_nobodys_and_what_only_looks_like_it_stays() {
        for text in [
            "user@example.com, git@github.com, noreply@acme.io",
            "import logo from './logo@2x.png'; react@18.2.0; @scope/pkg@latest",
            "/[\\w.+-]+@acme\\.com/",
            "10.0.0.1 127.0.0.1 192.168.1.1 172.16.0.1 203.0.113.7 0.0.0.0 255.255.255.0 1.2.3.4",
            "version 4.18.2.1-beta, v10.11.12.13.14, 1.20.300.4000",
            "::1 fe80::1 2001:db8::1 a:b:c std::vec::Vec 12:30:45",
            "phone: 555-0123, order 12345678901",
            "4111111111111111 1234567890123456 4539148803436468",
            "DE89370400440532013001 XX00KRNS000000000001",
            "000-12-3456 666-12-3456 123-45-6789 2024-10-1234",
            "/home/user/x /Users/runner/work /home/$USER/x https://user:x@h.io router.push('/home')",
            "'/home/dashboard'",
            "const author = authorOf(x); \"author\": \"\"",
            "bsn 111222334 pesel: 44051401358 steuer 86095742718 DNI 12345678A",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
