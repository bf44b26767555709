//! What the audit's records say of tasks. A record that was erased says nothing, and is counted.

use krins_core::audit::Record;
use krins_core::gate::Verdict;
use serde_json::Value;
use std::collections::BTreeMap;

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Assigned,
    Answered {
        /// `provider/model`.
        route: String,
        cached: bool,
    },
    Gated {
        verdict: Verdict,
        /// The rules that block.
        blocking: Vec<String>,
    },
    /// The gate did not let it be applied.
    Denied {
        blocking: Vec<String>,
    },
    Failed {
        why: String,
    },
    Cancelled,
    Discarded,
    Applied,
    Undone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happening {
    pub at: u64,
    pub task: String,
    pub what: What,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Oldest first.
    pub happenings: Vec<Happening>,
    /// Records whose payload is gone.
    pub erased: u64,
}

/// A change of the workspace that was begun.
struct Begun {
    task: String,
    what: What,
}

pub(super) fn read(records: &[(Record, Option<Value>)]) -> Read {
    let mut read = Read::default();
    let mut begun: BTreeMap<String, Option<Begun>> = BTreeMap::new();
    for (record, about) in records {
        let Some(about) = about else {
            read.erased += 1;
            continue;
        };
        let text = |name: &str| about.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let change = text("change");
        let (task, what) = match record.kind.as_str() {
            "change.intended" => {
                begun.insert(change, intended(about));
                continue;
            }
            "change.done" => match begun.remove(&change) {
                Some(Some(Begun { task, what })) => (task, what),
                // No task's, or a part that leaves the rest applied, or begun before the period.
                Some(None) | None => continue,
            },
            kind => match happened(kind, about) {
                Some(what) => (text("task"), what),
                None => continue,
            },
        };
        read.happenings.push(Happening { at: record.ts, task, what });
    }
    read
}

fn happened(kind: &str, about: &Value) -> Option<What> {
    let text = |name: &str| about.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(match kind {
        "task.assigned" => What::Assigned,
        "task.answered" => What::Answered {
            route: text("route"),
            cached: about.get("cached").and_then(Value::as_bool).unwrap_or_default(),
        },
        "task.gated" => What::Gated { verdict: verdict(about), blocking: blocking(about) },
        "change.denied" => What::Denied { blocking: blocking(about) },
        "task.failed" => What::Failed { why: text("why") },
        "task.cancelled" => What::Cancelled,
        "task.discarded" => What::Discarded,
        _ => return None,
    })
}

/// What an intention means for its task when it is carried out.
fn intended(about: &Value) -> Option<Begun> {
    if about.get("part").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let task = about.get("task")?.as_str()?.to_owned();
    let what = match about.get("action")?.as_str()? {
        "apply" | "redo" => What::Applied,
        "undo" => What::Undone,
        _ => return None,
    };
    Some(Begun { task, what })
}

/// What cannot be read is no pass.
fn verdict(about: &Value) -> Verdict {
    match about.get("verdict").and_then(Value::as_str) {
        Some("pass") => Verdict::Pass,
        Some("warn") => Verdict::Warn,
        _ => Verdict::Block,
    }
}

fn blocking(about: &Value) -> Vec<String> {
    let rules = about.get("blocking").and_then(Value::as_array);
    rules.into_iter().flatten().filter_map(|rule| rule.as_str().map(str::to_owned)).collect()
}
