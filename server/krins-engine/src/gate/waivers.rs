//! Waivers that a person gives at a door: on record first, then kept; and the fingerprint of the one finding that is meant.

use super::StoredWaiver;
use crate::audit::{Audit, Event};
use crate::engine::Review;
use crate::error::{Error, ErrorKind, Result};
use crate::state::StateDir;
use krins_core::Digest;
use krins_core::gate::{self, Day, Waiver};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// Keeps a waiver. A waiver that nobody can find again is worse than one too many in the record.
pub fn keep(waiver: Waiver, audit: &Audit, state: &StateDir, who: Option<&str>) -> Result<()> {
    check(&waiver)?;
    audit.record(
        Event::of(
            "waived",
            json!({
                "rule": waiver.rule, "path": waiver.path, "fingerprint": waiver.fingerprint,
                "expires": waiver.expires.to_string(), "reason": Digest::of(&waiver.reason).to_string(),
            }),
        )
        .by(who),
    )?;
    let mut kept: Vec<StoredWaiver> = state.document("policy", "waivers").unwrap_or_default();
    kept.push(StoredWaiver { waiver, given: seconds() * 1000 });
    state.put_document("policy", "waivers", &kept)?;
    Ok(())
}

fn check(waiver: &Waiver) -> Result<()> {
    if !gate::is_rule(&waiver.rule) {
        let hint = gate::nearest_rule(&waiver.rule).map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
        return Err(Error::new(ErrorKind::BadParams, format!("waive: there is no rule {:?}", waiver.rule)).hint(hint));
    }
    if waiver.reason.trim().is_empty() {
        return Err(Error::new(ErrorKind::BadParams, "waive without a reason"));
    }
    if waiver.expires < Day::of_unix(seconds()) {
        return Err(Error::new(ErrorKind::BadParams, format!("waive until {}: the day is over", waiver.expires)));
    }
    Ok(())
}

/// What the task's finding reads like now: the waiver counts while it does.
pub fn fingerprint_of(review: &Review, rule: &str, path: &str) -> Result<String> {
    let findings = review.task.report.iter().flat_map(|report| &report.findings);
    let wanted = findings.filter(|finding| finding.rule == rule && finding.path.as_str() == path);
    let prints: Vec<String> = wanted.filter_map(|finding| gate::fingerprint(finding, &review.patch)).collect();
    match prints.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::new(ErrorKind::BadParams, format!("find {rule} at {path} in task {}", review.task.id))
            .hint("the diff shows the findings; a secret cannot be waived by what it reads like")),
        _ => Err(Error::new(ErrorKind::BadParams, format!("choose among several findings of {rule} at {path}"))
            .hint("waive the rule for the path")),
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
