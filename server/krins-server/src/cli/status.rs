//! `krins status`: who is asked, who is asked next, what is switched off, what today's calls came to; and how the routes of a
//! remote backend are. The routes and counters of a running sidecar are told by `krins/status`, because they live in it.

use super::args::Global;
use super::output::{BAD, CARE, GOOD, Output, PLACE, STRONG, paint};
use super::switch;
use super::{Done, setup};
use krins_backend::http::Http;
use krins_backend::keys::Keys;
use krins_backend::money::books::Which;
use krins_backend::money::{Books, Day, dollars};
use krins_backend::remote::{Remote, RemoteConfig};
use krins_engine::{Error, ErrorKind};
use krins_protocol::http::Health;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// More calls than a person makes in a day.
const MOST: usize = 1_000_000;

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
    // A remote backend keeps its own books.
    let today = match setup.books_file().filter(|path| settings.remote.is_none() && path.exists()) {
        Some(path) => Some(today(&path).await?),
        None => None,
    };
    let counted = today.as_ref().map(|today| {
        json!({"calls": today.calls, "unanswered": today.unanswered, "open": today.open, "cost": today.micros,
               "unpriced": today.unpriced})
    });
    out.document(&json!({"chain": chain, "switchedOff": off, "remote": said, "today": counted}));
    out.line(format!("{} {}", paint(STRONG, "asks"), chain.join(" → ")));
    match off.is_empty() {
        true => out.line(format!("{} nothing is switched off", paint(GOOD, "on"))),
        false => out.line(format!("{} {}", paint(BAD, "off"), Vec::from_iter(off).join(", "))),
    }
    today.into_iter().for_each(|today| out.line(format!("{} {}", paint(STRONG, "today"), today.words())));
    match (&settings.remote, health) {
        (Some(url), Some(Ok(health))) => show(url.host_str().unwrap_or("?"), &health, out),
        (_, Some(Err(error))) => return Err(error.into()),
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What the calls of every program of this person came to since midnight (UTC).
#[derive(Default)]
struct Today {
    calls: u64,
    unanswered: u64,
    open: u64,
    /// With what is reserved for those that are open.
    micros: u64,
    unpriced: u64,
}

impl Today {
    fn words(&self) -> String {
        let some = |count: u64, what: &str| if count > 0 { format!(", {count} {what}") } else { String::new() };
        format!(
            "{} calls{}{}, {}{}",
            self.calls,
            some(self.unanswered, "without an answer"),
            some(self.open, "open"),
            dollars(self.micros),
            some(self.unpriced, "whose price is not known"),
        )
    }
}

async fn today(books: &Path) -> Result<Today, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let day = Day::of_millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    let attempts = Books::at(Some(books.to_owned())).attempts(Which::Since(day), MOST).await;
    let attempts = attempts.map_err(|error| Error::new(ErrorKind::Internal, format!("read the ledger: {error}")))?;
    let mut today = Today::default();
    for attempt in &attempts {
        today.calls += 1;
        let micros = match attempt.outcome.as_deref() {
            Some(outcome) => {
                today.unanswered += u64::from(outcome != "ok");
                attempt.charged
            }
            None => {
                today.open += 1;
                attempt.reserved
            }
        };
        match micros {
            Some(micros) => today.micros = today.micros.saturating_add(micros),
            None => today.unpriced += 1,
        }
    }
    Ok(today)
}

fn show(host: &str, health: &Health, out: &mut Output) {
    out.line(format!("{} {} {}", paint(STRONG, "remote"), paint(PLACE, host), health.status));
    for check in &health.checks {
        let mark = if check.ok { paint(GOOD, "ok  ") } else { paint(CARE, "care") };
        out.line(format!("{mark} {:24} {}", check.name, check.detail.as_deref().unwrap_or_default()));
    }
}
