//! Package URLs, as the specification of purl says them.

use crate::gate::lock::{Ecosystem, Source};
use crate::gate::packages::without_userinfo;

/// `pkg:npm/%40scope/name@1.0.0`, with where it comes from when that is not the usual registry.
pub fn purl(ecosystem: Ecosystem, name: &str, version: &str, source: &Source) -> String {
    let mut out = format!("pkg:{}/", ecosystem.name());
    let parts: Vec<String> = name.split('/').map(encoded).collect();
    out.push_str(&parts.join("/"));
    if !version.is_empty() {
        out.push('@');
        out.push_str(&encoded(version));
    }
    match source {
        Source::Registry(Some(host)) if !is_usual(ecosystem, host) => qualify(&mut out, "repository_url", host),
        Source::Url(url) => qualify(&mut out, "download_url", &without_userinfo(url)),
        Source::Git(url) => qualify(&mut out, "vcs_url", &without_userinfo(url)),
        Source::Registry(_) | Source::Path(_) | Source::Workspace => {}
    }
    out
}

fn qualify(out: &mut String, key: &str, value: &str) {
    out.push_str(&format!("?{key}={}", encoded(value)));
}

fn is_usual(ecosystem: Ecosystem, host: &str) -> bool {
    match ecosystem {
        Ecosystem::Npm => matches!(host, "registry.npmjs.org" | "registry.yarnpkg.com"),
        Ecosystem::Cargo => host == "crates.io",
    }
}

/// Percent-encoded but for what a purl leaves as it is.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Whether the text is a package URL: scheme, type and name, nothing that should have been encoded.
pub fn is_purl(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("pkg:") else { return false };
    let rest = rest.trim_start_matches('/');
    let rest = rest.split('#').next().unwrap_or(rest);
    let rest = rest.split('?').next().unwrap_or(rest);
    let Some((kind, path)) = rest.split_once('/') else { return false };
    let kind_is_one = kind.starts_with(|c: char| c.is_ascii_alphabetic())
        && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    // An `@` before the last part is a scope that should have been encoded.
    let name_starts = path.rfind('/').map_or(0, |at| at + 1);
    let (namespace, last) = path.split_at(name_starts);
    let name = last.split('@').next().unwrap_or_default();
    let sound = |text: &str| !text.contains([' ', '"', '<', '>', '\\']) && escapes_are_sound(text);
    kind_is_one && !namespace.contains('@') && !name.is_empty() && last.matches('@').count() <= 1 && sound(path)
}

fn escapes_are_sound(text: &str) -> bool {
    text.match_indices('%')
        .all(|(at, _)| text.get(at + 1..at + 3).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_versions_and_places_are_encoded() {
        let registry = Source::Registry(None);
        for (name, version, source, expect) in [
            ("lodash", "4.17.21", registry.clone(), "pkg:npm/lodash@4.17.21"),
            ("@babel/core", "7.0.0+a b", registry.clone(), "pkg:npm/%40babel/core@7.0.0%2Ba%20b"),
            ("a", "", registry, "pkg:npm/a"),
            ("a", "1", Source::Registry(Some("npm.corp".into())), "pkg:npm/a@1?repository_url=npm.corp"),
            (
                "a",
                "1",
                Source::Git("git+https://u:p@h/a.git#c".into()),
                "pkg:npm/a@1?vcs_url=git%2Bhttps:%2F%2Fh%2Fa.git%23c",
            ),
        ] {
            let made = purl(Ecosystem::Npm, name, version, &source);
            assert_eq!(made, expect);
            assert!(is_purl(&made), "{made}");
        }
        for bad in ["npm/a", "pkg:npm", "pkg:npm/", "pkg:npm/@a/b@1", "pkg:npm/a b", "pkg:npm/a%2", "pkg:1/a@1@2", ""] {
            assert!(!is_purl(bad), "{bad}");
        }
    }
}
