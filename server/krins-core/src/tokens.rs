//! How many tokens a text costs.

/// Tokens of `text`.
pub fn count(text: &str) -> u32 {
    (text.len() / 4) as u32
}
