//! Recorded answers, for demos and tests: a directory of JSON files, read anew at each ask. Knows no network.
//!
//! A file is `{"match": {"intent": "…"}, "answer": "…", "usage": {…}, "model": "…", "delay_ms": 0}`; `match` may have `prompt`,
//! the sha256 of the canonical prompt, which recordings made by [`record`] carry and which goes before an intent.

use crate::cache::prompt_digest;
use crate::error::{Fault, ProviderError};
use crate::provider::{DeltaSink, Finished, ModelRequest, Provider, Stopped};
use crate::{BackendError, Usage};
use async_trait::async_trait;
use krins_core::prompt::Prompt;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One recorded answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    #[serde(rename = "match")]
    pub matches: Match,
    pub answer: String,
    #[serde(default)]
    pub usage: Usage,
    #[serde(default = "recorded_model")]
    pub model: String,
    /// How long the answer takes.
    #[serde(default)]
    pub delay_ms: u64,
}

/// What a recording answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Compared without regard to white space and case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// Hex sha256 of the canonical prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
}

fn recorded_model() -> String {
    "recorded".to_owned()
}

pub(crate) struct Replay {
    pub directory: PathBuf,
}

#[async_trait]
impl Provider for Replay {
    async fn call(&self, request: &ModelRequest<'_>, sink: &mut dyn DeltaSink) -> Result<Finished, ProviderError> {
        let Some(prompt) = request.prompt.map(|prompt| prompt.get().clone()) else {
            return Err(ProviderError::new(Fault::Refused, "recordings answer tasks, not conversations")
                .with_hint("name a provider that is a model"));
        };
        let directory = self.directory.clone();
        let recording = tokio::task::spawn_blocking(move || find(&directory, &prompt))
            .await
            .map_err(|_| ProviderError::new(Fault::Internal, "the reader of recordings panicked"))??;
        tokio::time::sleep(Duration::from_millis(recording.delay_ms)).await;
        sink.delta(&recording.answer);
        Ok(Finished {
            text: recording.answer,
            model: recording.model,
            usage: recording.usage,
            response_id: None,
            why: Vec::new(),
            stopped: Stopped::Whole,
        })
    }
}

/// Writes an answer so that the same prompt is answered by it. An earlier recording of the prompt is replaced.
pub fn record(directory: &Path, prompt: &Prompt, finished: &Finished) -> io::Result<()> {
    let digest = prompt_digest(prompt).map_err(|error| io::Error::other(error.to_string()))?;
    let recording = Recording {
        matches: Match { intent: Some(prompt.intent.clone()), prompt: Some(digest.to_string()) },
        answer: finished.text.clone(),
        usage: finished.usage,
        model: finished.model.clone(),
        delay_ms: 0,
    };
    std::fs::create_dir_all(directory)?;
    let text = serde_json::to_string_pretty(&recording)? + "\n";
    std::fs::write(directory.join(format!("{digest}.json")), text)
}

fn find(directory: &Path, prompt: &Prompt) -> Result<Recording, ProviderError> {
    let recordings = load(directory)?;
    let digest = prompt_digest(prompt)
        .map_err(|error: BackendError| ProviderError::new(Fault::Internal, error.message))?
        .to_string();
    let exact = recordings.iter().find(|recording| recording.matches.prompt.as_deref() == Some(&digest));
    let wanted = normal(&prompt.intent);
    let alike = || {
        recordings.iter().find(|recording| recording.matches.intent.as_deref().map(normal).as_ref() == Some(&wanted))
    };
    exact.or_else(alike).cloned().ok_or_else(|| {
        ProviderError::new(Fault::Refused, format!("none of {} recordings answers this", recordings.len()))
            .with_hint(known(&recordings))
    })
}

/// In the order of the files' names.
fn load(directory: &Path) -> Result<Vec<Recording>, ProviderError> {
    let refuse = |path: &Path, why: String| {
        ProviderError::new(Fault::Misconfigured, format!("read the recording {}: {why}", path.display())).with_hint(
            "a recording is {\"match\": {\"intent\": …}, \"answer\": …} in a .json file of the replay directory",
        )
    };
    let entries = std::fs::read_dir(directory).map_err(|error| refuse(directory, error.to_string()))?;
    let mut paths = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect::<Vec<_>>();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| refuse(path, error.to_string()))?;
            serde_json::from_str(&text).map_err(|error| refuse(path, error.to_string()))
        })
        .collect()
}

fn normal(intent: &str) -> String {
    intent.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

fn known(recordings: &[Recording]) -> String {
    let intents = recordings
        .iter()
        .filter_map(|recording| recording.matches.intent.as_deref())
        .take(3)
        .map(|intent| format!("{intent:?}"))
        .collect::<Vec<_>>();
    if intents.is_empty() {
        return "put recordings into the replay directory".to_owned();
    }
    format!("recorded are {}", intents.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::wire::testing;

    fn prompt(intent: &str) -> Prompt {
        Prompt { intent: intent.into(), ..testing::prompt() }
    }

    fn finished(text: &str) -> Finished {
        Finished {
            text: text.into(),
            model: "m".into(),
            usage: Usage { output_tokens: 3, ..Usage::default() },
            response_id: None,
            why: Vec::new(),
            stopped: Stopped::Whole,
        }
    }

    #[test]
    fn what_was_recorded_is_found_by_prompt_then_by_intent() {
        let directory = tempfile::tempdir().unwrap();
        let by_hand = r#"{"match": {"intent": "Add  a test"}, "answer": "by hand"}"#;
        std::fs::write(directory.path().join("0.json"), by_hand).unwrap();
        let found = find(directory.path(), &prompt("add a TEST")).unwrap();
        assert_eq!((found.answer.as_str(), found.model.as_str()), ("by hand", "recorded"));
        record(directory.path(), &prompt("Add a test"), &finished("recorded")).unwrap();
        let found = find(directory.path(), &prompt("Add a test")).unwrap();
        assert_eq!((found.answer.as_str(), found.usage.output_tokens), ("recorded", 3));
    }

    #[test]
    fn an_unknown_intent_and_a_broken_file_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        record(directory.path(), &prompt("one"), &finished("x")).unwrap();
        let error = find(directory.path(), &prompt("two")).unwrap_err();
        assert_eq!(error.fault, Fault::Refused);
        assert!(error.hint.unwrap().contains("\"one\""));
        std::fs::write(directory.path().join("a.json"), r#"{"answer": 1}"#).unwrap();
        let error = find(directory.path(), &prompt("two")).unwrap_err();
        assert_eq!(error.fault, Fault::Misconfigured);
        assert!(error.detail.contains("a.json"), "{error}");
    }
}
