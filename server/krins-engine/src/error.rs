//! The one error type at the engine's edge: kind, what happened, what the person can do.

use krins_backend::BackendError;
use krins_core::patch::Refusal;
use krins_core::redact::Unresolved;
use krins_core::refactor::RefactorError;
pub use krins_protocol::error::ErrorKind;
use serde::{Deserialize, Serialize};

/// The message is a lowercase fragment that reads after "failed to" and names the file it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    /// What the person can do about it.
    pub hint: Option<String>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.hint = (!hint.is_empty()).then_some(hint);
        self
    }

    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "finish the task: it was cancelled")
    }

    pub fn unknown_task(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(ErrorKind::UnknownTask, format!("find task {id:?}"))
            .hint("`krins task list` shows the tasks of this workspace")
    }
}

impl From<BackendError> for Error {
    fn from(error: BackendError) -> Self {
        Self { kind: error.kind, message: error.message, hint: error.hint }
    }
}

impl From<RefactorError> for Error {
    fn from(error: RefactorError) -> Self {
        Self::new(ErrorKind::ProviderRefused, error.to_string()).hint(error.hint())
    }
}

impl From<Unresolved> for Error {
    fn from(error: Unresolved) -> Self {
        Self::new(ErrorKind::GateFailed, error.to_string()).hint(
            "the model changed a placeholder that stands for a secret; ask again, or move the secret out of the code",
        )
    }
}

/// A patch that cannot be placed is refused as a whole; the first reasons are named.
impl From<Vec<Refusal>> for Error {
    fn from(refusals: Vec<Refusal>) -> Self {
        let shown: Vec<String> = refusals.iter().take(3).map(describe).collect();
        let more = refusals.len().saturating_sub(shown.len());
        let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
        Self::new(ErrorKind::GateFailed, format!("place the change: {}{tail}", shown.join("; ")))
            .hint("nothing was written; ask again, or name the file and the function the change is for")
    }
}

fn describe(refusal: &Refusal) -> String {
    let hunk = refusal.hunk.map_or(String::new(), |hunk| format!(" hunk {hunk}"));
    let candidates = match refusal.candidates.as_slice() {
        [] => String::new(),
        lines => format!(" (candidate lines {})", lines.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
    };
    format!("{}{hunk}: {}{candidates}", refusal.path, refusal.why)
}
