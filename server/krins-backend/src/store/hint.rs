//! What replicas tell each other so that things are seen at once. Losing one costs a second, never a task: everything a
//! hint says is in the database, which is looked at regularly.

use krins_protocol::http::AskStep;
use serde::{Deserialize, Serialize};

/// Bytes of one message: PostgreSQL's NOTIFY takes fewer than 8,000.
pub(crate) const MESSAGE: usize = 7_000;
/// Names of things in a hint that came from elsewhere.
const NAME: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hint {
    /// There is work.
    Work,
    /// This task is not what it was.
    Task(String),
    /// (task, sequence number, characters received).
    Progress(String, u64, u64),
    /// (task, sequence number, what happens).
    Step(String, u64, AskStep),
    /// The gate's word on this task's answer is in the database.
    Judged(String),
    /// The kill switch.
    Switch,
    /// The locks of a tenant's project.
    Locks(String, String),
    Tokens,
}

impl Hint {
    fn is_sane(&self) -> bool {
        match self {
            Self::Work | Self::Tokens | Self::Switch => true,
            Self::Task(id) | Self::Progress(id, ..) | Self::Judged(id) => id.len() <= NAME,
            Self::Step(id, _, step) => {
                let words: &[&String] = match step {
                    AskStep::Sent { route } => &[route],
                    AskStep::Moved { to, from, why } => &[to, from, why],
                    AskStep::Waiting { route, why, .. } => &[route, why],
                    AskStep::Level { level } => &[level],
                };
                id.len() <= NAME && words.iter().all(|word| word.len() <= NAME)
            }
            Self::Locks(tenant, project) => tenant.len() <= NAME && project.len() <= NAME,
        }
    }
}

/// As few messages as hold them all, without repeats.
pub(crate) fn to_messages(hints: &[Hint]) -> Vec<String> {
    let mut hints: Vec<&Hint> = hints.iter().collect();
    hints.sort();
    hints.dedup();
    let mut messages = Vec::new();
    let mut message = String::new();
    for hint in hints.into_iter().filter(|hint| hint.is_sane()) {
        let text = serde_json::to_string(hint).expect("plain enums always serialize");
        if !message.is_empty() && message.len() + text.len() + 1 > MESSAGE {
            messages.push(std::mem::take(&mut message));
        }
        if !message.is_empty() {
            message.push('\n');
        }
        message.push_str(&text);
    }
    messages.extend((!message.is_empty()).then_some(message));
    messages
}

/// What is not understood is a newer replica's, and passed over.
pub(crate) fn of_message(message: &str) -> impl Iterator<Item = Hint> + '_ {
    message.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Hint::is_sane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_travel_in_bounded_messages_without_repeats() {
        let mut hints: Vec<Hint> = (0..1000).map(|n| Hint::Progress(format!("task-{n:04}"), n, n * 2)).collect();
        hints.extend([Hint::Work, Hint::Work, Hint::Tokens, Hint::Task("a\nb".into())]);
        hints.push(Hint::Locks("t".into(), "x".repeat(NAME + 1)));
        let messages = to_messages(&hints);
        assert!(messages.iter().all(|message| message.len() <= MESSAGE));
        let mut back: Vec<Hint> = messages.iter().flat_map(|message| of_message(message)).collect();
        back.sort();
        hints.truncate(1004);
        hints.sort();
        hints.dedup();
        assert_eq!(back, hints);
        assert_eq!(of_message("nonsense\n{\"later\":1}\n\"work\"").collect::<Vec<_>>(), [Hint::Work]);
        assert!(to_messages(&[]).is_empty());
    }
}
