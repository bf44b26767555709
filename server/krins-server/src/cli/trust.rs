//! `krins trust`: lets this workspace's own configuration choose endpoints, keys and commands, as it is now.

use super::args::Global;
use super::output::{Output, PLACE, paint};
use super::{Done, root_dir};
use krins_core::Digest;
use krins_engine::settings::WORKSPACE_FILE;
use krins_engine::state::StateDir;
use krins_engine::workspace::Root;
use krins_engine::{Error, ErrorKind};
use serde_json::json;
use std::process::ExitCode;

pub fn run(global: &Global, revoke: bool, out: &mut Output) -> Done {
    let root = Root::open(&root_dir(global)?)?;
    let file = root.path().join(WORKSPACE_FILE);
    let trust = StateDir::open(&root)?.trust();
    if revoke {
        trust.remove(&file)?;
        out.document(&json!({"file": file, "trusted": false}));
        out.line(format!("{} is no longer trusted", paint(PLACE, file.display())));
        return Ok(ExitCode::SUCCESS);
    }
    let text = std::fs::read(&file).map_err(|error| {
        Error::new(ErrorKind::BadParams, format!("read {}: {error}", file.display()))
            .hint("there is nothing to trust without it")
    })?;
    trust.add(&file, &Digest::of(&text))?;
    out.document(&json!({"file": file, "trusted": true, "sha256": Digest::of(&text)}));
    out.line(format!("{} is trusted as it is now; a change takes the trust back", paint(PLACE, file.display())));
    Ok(ExitCode::SUCCESS)
}
