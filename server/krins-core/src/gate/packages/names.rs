//! Names that are made to be mistaken for others.

/// Below this many characters too many honest names are alike.
const SHORTEST: usize = 4;
/// From this many characters on two slips are still a slip.
const LONG: usize = 10;

/// The name that is in use and nearly this one.
pub fn near<'u>(name: &str, used: impl IntoIterator<Item = &'u str>) -> Option<&'u str> {
    used.into_iter().filter(|other| is_near(name, other)).min_by_key(|other| strsim::osa_distance(name, other))
}

fn is_near(name: &str, other: &str) -> bool {
    if name == other || scope(name).is_some() && scope(name) == scope(other) {
        return false;
    }
    if name.chars().count() < SHORTEST || other.chars().count() < SHORTEST {
        return false;
    }
    // `lodash_es` for `lodash-es`, `types-node` for `@types/node`.
    if squashed(name) == squashed(other) {
        return true;
    }
    let most = if name.chars().count().min(other.chars().count()) >= LONG { 2 } else { 1 };
    strsim::osa_distance(name, other) <= most && !differ_in_numbers(name, other)
}

fn scope(name: &str) -> Option<&str> {
    name.strip_prefix('@')?.split_once('/').map(|(scope, _)| scope)
}

/// Without what separates words, and with one letter for those that look alike.
fn squashed(name: &str) -> String {
    let kept = name.chars().filter(|c| !matches!(c, '-' | '_' | '.' | '@' | '/'));
    let alike = kept.map(|c| match c.to_ascii_lowercase() {
        '0' => 'o',
        '1' | 'i' => 'l',
        '5' => 's',
        other => other,
    });
    alike.collect()
}

/// `es6` and `es7`: two versions of one thing.
fn differ_in_numbers(name: &str, other: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    letters(name) == letters(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_families_are_not() {
        for (name, other) in [
            ("lodahs", "lodash"),
            ("expres", "express"),
            ("cross-env.js", "cross-env-js"),
            ("crossenv", "cross-env"),
            ("types-node", "@types/node"),
            ("reacct-router-dom", "react-router-dom"),
            ("1odash", "lodash"),
            ("eslint-scope_", "eslint-scope"),
        ] {
            assert_eq!(near(name, [other]), Some(other), "{name}");
        }
        for (name, other) in [
            ("lodash", "lodash"),
            ("lodash-es", "lodash"),
            ("d3-path", "d3-array"),
            ("@tanstack/query", "@tanstack/quary"),
            ("vitest", "vite"),
            ("ms", "mz"),
            ("base32", "base64"),
            ("es6-shim", "es7-shim"),
        ] {
            assert_eq!(near(name, [other]), None, "{name}");
        }
    }
}
