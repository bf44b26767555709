//! How many tokens a text costs, for the model that will read it.
//!
//! Exact where the model's vocabulary is published (OpenAI's `o200k_base` and `cl100k_base`, Llama 3, DeepSeek, Qwen, Mistral, Kimi, GLM,
//! MiniMax; all carried in the binary). Anthropic and Google publish none: their models are counted with `o200k_base` and a
//! margin on top, so that a pack is rather too small than over the budget.

use std::sync::OnceLock;
use tiktoken::CoreBpe;

/// How a family of models splits text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vocabulary {
    encoding: &'static str,
    /// What is counted for a hundred tokens of the encoding.
    percent: u32,
}

/// OpenAI's present one; that of a model nobody named.
impl Default for Vocabulary {
    fn default() -> Self {
        Self { encoding: USUAL, percent: 100 }
    }
}

const USUAL: &str = "o200k_base";

/// For vocabularies that nobody published. An assumption on the safe side, not a measurement.
const UNPUBLISHED: u32 = 125;

impl Vocabulary {
    /// By the name of a model, with or without the name of who serves it (`anthropic/claude-…`).
    pub fn of_model(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let bare = lower.rsplit('/').next().unwrap_or_default();
        match tiktoken::model_to_encoding(bare).filter(|name| tiktoken::list_encodings().contains(name)) {
            Some(encoding) => Self { encoding, percent: 100 },
            None => Self { encoding: USUAL, percent: UNPUBLISHED },
        }
    }

    /// Whether counts are those of the model itself.
    pub fn is_exact(self) -> bool {
        self.percent == 100
    }

    /// Tokens of `text`. The first call for an encoding builds its table, in 20 to 60 ms.
    pub fn count(self, text: &str) -> u32 {
        let counted = self.table().count(text) as u64;
        u32::try_from((counted * u64::from(self.percent)).div_ceil(100)).unwrap_or(u32::MAX)
    }

    /// Builds the table, to have it when it is asked for.
    pub fn prepare(self) {
        self.table();
    }

    fn table(self) -> &'static CoreBpe {
        tiktoken::get_encoding(self.encoding).unwrap_or_else(usual)
    }
}

fn usual() -> &'static CoreBpe {
    static TABLE: OnceLock<&'static CoreBpe> = OnceLock::new();
    TABLE.get_or_init(|| tiktoken::get_encoding(USUAL).expect("the tokenizer crate carries this vocabulary"))
}

/// Tokens of `text` in the default vocabulary, for what no model is named for.
pub fn count(text: &str) -> u32 {
    Vocabulary::default().count(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_published_vocabularies() {
        // Figures from OpenAI's tiktoken 0.14.
        for (text, o200k, cl100k) in
            [("", 0, 0), ("hello world", 2, 2), ("export const answer = 42;\n", 7, 7), ("日本語のコメント", 4, 6)]
        {
            assert_eq!(count(text), o200k, "{text}");
            assert_eq!(Vocabulary::of_model("gpt-4").count(text), cl100k, "{text}");
        }
    }

    #[test]
    fn the_model_decides_how_it_is_counted() {
        let encoding = |name: &str| (Vocabulary::of_model(name).encoding, Vocabulary::of_model(name).is_exact());
        assert_eq!(encoding("gpt-5-mini"), ("o200k_base", true));
        assert_eq!(encoding("openai/gpt-4o-2024-08-06"), ("o200k_base", true));
        assert_eq!(encoding("gpt-4-turbo"), ("cl100k_base", true));
        assert_eq!(encoding("llama3.1:8b"), ("llama3", true));
        assert!(encoding("Qwen/qwen2.5-coder:7b").1);
        assert_eq!(encoding("claude-sonnet-4-5"), ("o200k_base", false));
        assert_eq!(encoding("gemini-2.5-pro"), ("o200k_base", false));
        assert_eq!(encoding("something-of-my-own"), ("o200k_base", false));
        let text = "export const answer = 42;\n";
        assert_eq!(Vocabulary::of_model("claude-sonnet-4-5").count(text), 9);
    }

    #[test]
    fn a_text_without_spaces_is_counted_in_reasonable_time() {
        let long = "a".repeat(300_000);
        assert!(count(&long) > 10_000);
    }
}
