//! Words that several doors say.

use krins_core::text::visible;

/// "1 file", "3 files".
pub fn counted(count: impl TryInto<u64>, what: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// At most so many characters, on one line and without what acts or hides.
pub fn short(text: &str, most: usize) -> String {
    let text = visible(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= most { text } else { text.chars().take(most.saturating_sub(1)).chain(['…']).collect() }
}
