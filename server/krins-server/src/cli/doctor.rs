//! `krins doctor`: what is set up, what is missing, and what to do about it.

use super::args::Global;
use super::output::{BAD, CARE, GOOD, Output, STRONG, paint};
use super::{Done, root_dir, setup};
use krins_engine::gate::{POLICY_FILE, Rulebook};
use krins_engine::index::Index;
use krins_engine::settings::WORKSPACE_FILE;
use krins_engine::state::StateDir;
use krins_engine::workspace::Root;
use serde::Serialize;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    /// True for what Krins works without.
    optional: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, ok: true, optional: false, found: found.into(), hint: None }
    }

    fn bad(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, ok: false, optional: false, found: found.into(), hint: Some(hint.into()) }
    }

    fn missing(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { optional: true, ..Self::bad(name, found, hint) }
    }
}

pub async fn run(global: &Global, out: &mut Output) -> Done {
    let mut checks = vec![Check::good("version", env!("CARGO_PKG_VERSION"))];
    checks.extend(settings(global).await);
    checks.extend(workspace(global));
    checks.push(match std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT") {
        Ok(endpoint) => Check::good("traces", format!("exported to {}", host(&endpoint))),
        Err(_) => {
            Check::missing("traces", "not exported", "set OTEL_EXPORTER_OTLP_ENDPOINT to send them to a collector")
        }
    });
    out.document(&checks);
    for check in &checks {
        let mark = match (check.ok, check.optional) {
            (true, _) => paint(GOOD, "ok  "),
            (false, true) => paint(CARE, "none"),
            (false, false) => paint(BAD, "bad "),
        };
        out.line(format!("{mark} {:10} {}", check.name, check.found));
        if let Some(hint) = &check.hint {
            out.line(format!("     {:10} {} {hint}", "", paint(STRONG, "→")));
        }
    }
    let failed = checks.iter().any(|check| !check.ok && !check.optional);
    Ok(ExitCode::from(if failed { 2 } else { 0 }))
}

/// An address without what must not be shown: user, password, path and query.
fn host(address: &str) -> String {
    let url = url::Url::parse(address).ok();
    url.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)))
        .unwrap_or_else(|| "an unreadable address".to_owned())
}

async fn settings(global: &Global) -> Vec<Check> {
    let setup = match setup(global) {
        Ok(setup) => setup,
        Err(error) => return vec![Check::bad("settings", error.message, error.hint.unwrap_or_default())],
    };
    let mut checks = vec![Check::good("settings", setup.describe())];
    checks.push(match setup.check_provider().await {
        Ok(found) => Check::good("provider", found),
        Err(error) => Check::bad("provider", error.message, error.hint.unwrap_or_default()),
    });
    if setup.is_keyless() {
        checks.push(Check::missing(
            "model",
            "no model is set up: the keyless refactorings answer",
            "put provider = \"anthropic\" (or openai, gemini, ollama) and a model into the settings file, and the key into the environment or the keyring",
        ));
    }
    checks
}

fn workspace(global: &Global) -> Vec<Check> {
    let root = match root_dir(global).and_then(|dir| Ok(Root::open(&dir)?)) {
        Ok(root) => root,
        Err(error) => return vec![Check::bad("workspace", error.message, error.hint.unwrap_or_default())],
    };
    let walk = root.walk();
    let mut checks = vec![Check::good("workspace", format!("{} ({} files)", root.path().display(), walk.files.len()))];
    if walk.unnamed + walk.unreadable > 0 || walk.truncated {
        let found = format!(
            "{} unreadable, {} with unusable names, cut short: {}",
            walk.unreadable, walk.unnamed, walk.truncated
        );
        checks.push(Check::missing("files", found, "exclude what does not belong here in .krinsignore"));
    }
    match StateDir::open(&root) {
        Ok(state) => {
            checks.push(Check::good("state", state.path().display().to_string()));
            checks.push(match Index::in_state(&state).store_info() {
                Some(store) => Check::good("index", format!("{} ({} KiB)", store.path.display(), store.bytes >> 10)),
                None => {
                    Check::missing("index", "not made yet", "it is made when it is needed, or by krins graph build")
                }
            });
            checks.extend(workspace_settings(global, &root, &state));
        }
        Err(error) => {
            let error = krins_engine::Error::from(error);
            checks.push(Check::bad("state", error.message, error.hint.unwrap_or_default()));
        }
    }
    checks
}

/// What the workspace's own file says, beside the person's settings, which are looked at before.
fn workspace_settings(global: &Global, root: &Root, state: &StateDir) -> Vec<Check> {
    let Ok(setup) = setup(global) else { return Vec::new() };
    let settings = match setup.settings(Some((root, state)), None) {
        Ok(settings) => settings,
        Err(error) => return vec![Check::bad("workspace", error.message, error.hint.unwrap_or_default())],
    };
    let Ok(again) = Root::open(root.path()) else { return Vec::new() };
    let rules = Rulebook::new(Arc::new(again), state.clone(), Arc::new(settings.clone()));
    let standing = match rules.standing() {
        Ok(standing) => standing,
        Err(error) => return vec![Check::bad("policy", error.message, error.hint.unwrap_or_default())],
    };
    let ignored = settings.untrusted.iter().chain(&standing.ignored);
    let ignored = ignored.map(|ignored| format!("{} ({})", ignored.key, ignored.place));
    match ignored.collect::<Vec<_>>() {
        none if none.is_empty() => Vec::new(),
        some => vec![Check::missing(
            "trust",
            format!("not followed: {}", some.join(", ")),
            format!("read {WORKSPACE_FILE} and {POLICY_FILE}; if you agree with them, say krins trust"),
        )],
    }
}
