//! The closed list of what is recorded, and what a record may hold: ids, hashes, counts, verdicts, names of rules and paths.
//! Never what somebody or something said in words.

use serde_json::{Map, Value, json};

/// Every kind of record.
pub const KINDS: &[&str] = &[
    "task.assigned",
    "task.answered",
    "task.gated",
    "task.failed",
    "task.cancelled",
    "task.discarded",
    "hunk.judged",
    "change.intended",
    "change.done",
    "change.failed",
    "change.denied",
    "waived",
    "approved",
    "trusted",
    "untrusted",
    "key.rotated",
    "audit.began",
    "audit.repaired",
    "audit.forgot",
    "fix.round",
    "fix.ended",
];

/// Something that was decided or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: &'static str,
    fields: Map<String, Value>,
}

impl Event {
    /// `fields` is an object; what is null in it is left out.
    pub fn of(kind: &'static str, fields: Value) -> Self {
        let mut fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.retain(|_, value| !value.is_null());
        Self { kind, fields }
    }

    /// Who did it, as far as the settings say.
    #[must_use]
    pub fn by(mut self, who: Option<&str>) -> Self {
        if let Some(who) = who {
            self.fields.insert("who".to_owned(), who.into());
        }
        self
    }

    /// The trace that it belongs to.
    #[must_use]
    pub fn traced(mut self, traceparent: Option<&str>) -> Self {
        // `00-<trace id>-<span>-<flags>`
        if let Some(id) = traceparent.and_then(|parent| parent.split('-').nth(1)) {
            self.fields.insert("trace".to_owned(), id.into());
        }
        self
    }

    /// What a killed process left of a record was cut off.
    pub(super) fn repaired(torn: &[u8]) -> Self {
        Self::of("audit.repaired", json!({"bytes": torn.len(), "sha256": super::sha256(torn).to_string()}))
    }

    /// The log before could not be gone on with.
    pub(super) fn began(aside: &str) -> Self {
        Self::of("audit.began", json!({"aside": aside}))
    }

    /// What is committed to, byte by byte.
    pub(super) fn body(&self) -> String {
        Value::Object(self.fields.clone()).to_string()
    }
}
