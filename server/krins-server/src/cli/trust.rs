//! `krins trust`: lets this workspace's own configuration and policy decide, as they are now.

use super::Done;
use super::args::Global;
use super::audit;
use super::output::{Output, PLACE, paint};
use krins_core::Digest;
use krins_engine::audit::Event;
use krins_engine::gate::POLICY_FILE;
use krins_engine::settings::WORKSPACE_FILE;
use krins_engine::{Error, ErrorKind};
use serde_json::json;
use std::process::ExitCode;

pub fn run(global: &Global, revoke: bool, out: &mut Output) -> Done {
    let (root, state, settings, log) = audit::open(global)?;
    let trust = state.trust();
    let who = settings.approvals.identity.as_deref();
    let mut files = Vec::new();
    for name in [WORKSPACE_FILE, POLICY_FILE] {
        let file = root.path().join(name);
        if revoke {
            log.record(Event::of("untrusted", json!({"file": name})).by(who))?;
            trust.remove(&file)?;
            files.push(json!({"file": file, "trusted": false}));
            out.line(format!("{} is no longer trusted", paint(PLACE, file.display())));
            continue;
        }
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::new(ErrorKind::BadParams, format!("read {}: {error}", file.display()))),
        };
        let digest = Digest::of(&text);
        log.record(Event::of("trusted", json!({"file": name, "sha256": digest.to_string()})).by(who))?;
        trust.add(&file, &digest)?;
        files.push(json!({"file": file, "trusted": true, "sha256": digest}));
        out.line(format!("{} is trusted as it is now; a change takes the trust back", paint(PLACE, file.display())));
    }
    let Some(first) = files.first() else {
        let file = root.path().join(WORKSPACE_FILE);
        return Err(Error::new(ErrorKind::BadParams, format!("read {}: there is no such file", file.display()))
            .hint(format!("there is nothing to trust without it, or without {POLICY_FILE}")));
    };
    let mut document = first.clone();
    document["files"] = json!(files);
    out.document(&document);
    Ok(ExitCode::SUCCESS)
}
