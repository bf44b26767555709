//! `krins status`: who is asked, who is asked next, what is switched off; and how the routes of a remote backend are. The
//! routes of a running sidecar are told by `krins/status`, because they live in it.

use super::args::Global;
use super::output::{BAD, CARE, GOOD, Output, PLACE, STRONG, paint};
use super::switch;
use super::{Done, setup};
use krins_backend::http::Http;
use krins_backend::keys::Keys;
use krins_backend::remote::{Remote, RemoteConfig};
use krins_protocol::http::Health;
use serde_json::json;
use std::collections::BTreeSet;
use std::process::ExitCode;

pub async fn run(global: &Global, out: &mut Output) -> Done {
    let setup = setup(global)?;
    let settings = setup.settings(None, None)?;
    let config = settings.backend();
    let model = config.providers.get(&config.default).and_then(|provider| provider.model());
    let first = model.map_or(config.default.clone(), |model| format!("{}/{model}", config.default));
    let chain: Vec<String> =
        std::iter::once(first).chain(config.fallback_of(&config.default).iter().cloned()).collect();
    let mut off: BTreeSet<String> = settings.resilience.off.clone();
    if let Some(path) = setup.switch_file() {
        off.extend(switch::read(&path)?);
    }
    let health = match &settings.remote {
        Some(url) => {
            let config = RemoteConfig { url: url.clone(), builtin: false, provider: None };
            let remote = Remote::new(config, Http::new(settings.http.clone()), Keys::default())?;
            Some(remote.health().await)
        }
        None => None,
    };
    let said = health.as_ref().map(|health| match health {
        Ok(health) => json!(health),
        Err(error) => json!({"error": error.message}),
    });
    out.document(&json!({"chain": chain, "switchedOff": off, "remote": said}));
    out.line(format!("{} {}", paint(STRONG, "asks"), chain.join(" → ")));
    match off.is_empty() {
        true => out.line(format!("{} nothing is switched off", paint(GOOD, "on"))),
        false => out.line(format!("{} {}", paint(BAD, "off"), Vec::from_iter(off).join(", "))),
    }
    match (&settings.remote, health) {
        (Some(url), Some(Ok(health))) => show(url.host_str().unwrap_or("?"), &health, out),
        (_, Some(Err(error))) => return Err(error.into()),
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn show(host: &str, health: &Health, out: &mut Output) {
    out.line(format!("{} {} {}", paint(STRONG, "remote"), paint(PLACE, host), health.status));
    for check in &health.checks {
        let mark = if check.ok { paint(GOOD, "ok  ") } else { paint(CARE, "care") };
        out.line(format!("{mark} {:24} {}", check.name, check.detail.as_deref().unwrap_or_default()));
    }
}
