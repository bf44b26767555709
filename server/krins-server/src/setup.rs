//! From settings to a running engine: the one place where the rooms are put together.

use krins_backend::chaos::ChaosConfig;
use krins_backend::embedded::{Embedded, embedded, embedded_sharing};
use krins_backend::http::Http;
use krins_backend::keys::{KeyPlace, Keys};
use krins_backend::money::Ledger;
use krins_backend::remote::{Remote, RemoteConfig};
use krins_backend::sealed::Sealed;
use krins_backend::{Backend, BackendError};
use krins_core::text::Encoding;
use krins_engine::settings::{Settings, Sources, user_file};
use krins_engine::state::{StateDir, base_dir};
use krins_engine::workspace::Root;
use krins_engine::{Engine, Error};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The ledger and the router's log, below the directory that all roots share.
pub const BOOKS: &str = "books.sqlite";

/// What the command line decides.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub provider: Option<String>,
    pub model: Option<String>,
    /// Ask in this process, whatever the settings say of a remote backend.
    pub embedded: bool,
    /// The remote backend that is asked, whatever the settings say.
    pub remote: Option<String>,
}

/// Makes engines.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    overrides: Overrides,
    /// Where state is kept, when it is not where the environment says.
    state: Option<PathBuf>,
}

impl Setup {
    /// Reads nothing yet: what is wrong with the settings shows when an engine is made.
    pub fn new(overrides: Overrides) -> Self {
        Self { overrides, state: None }
    }

    /// The same, and says at once what is wrong with the person's own settings.
    pub fn load(overrides: Overrides) -> Result<Self, Error> {
        let setup = Self::new(overrides);
        setup.settings(None, None)?;
        Ok(setup)
    }

    #[must_use]
    pub fn with_state(mut self, dir: PathBuf) -> Self {
        self.state = Some(dir);
        self
    }

    /// The settings of a root, or without one the person's own.
    pub fn settings(&self, root: Option<(&Root, &StateDir)>, editor: Option<&Value>) -> Result<Settings, Error> {
        let Overrides { provider, model, remote, .. } = &self.overrides;
        let flags = [("provider", provider), ("model", model), ("backend.url", remote)];
        let flags: Vec<(&str, String)> =
            flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
        let sources = Sources { env: &|name| std::env::var_os(name), editor, flags: &flags };
        let trust = root.map(|(root, state)| (root, state.trust()));
        let mut settings = Settings::load(trust.as_ref().map(|(root, trust)| (*root, trust)), &sources)?;
        if self.overrides.embedded {
            settings.remote = None;
        }
        Ok(settings)
    }

    /// Where the state of a root is kept.
    pub fn state_of(&self, root: &Root) -> Result<StateDir, Error> {
        Ok(match &self.state {
            Some(base) => StateDir::open_at(base, root),
            None => StateDir::open(root),
        }?)
    }

    pub fn engine(&self, root: Root, editor: Option<&Value>, encoding: Encoding) -> Result<Engine, Error> {
        let state = self.state_of(&root)?;
        let mut settings = self.settings(Some((&root, &state)), editor)?;
        for ignored in &settings.untrusted {
            tracing::warn!(key = %ignored.key, place = %ignored.place, "a setting of the workspace is not followed: `krins trust` would allow it");
        }
        settings.money.books = Some(state.base().join(BOOKS));
        let backend = backend(&settings, self.switch_file())?;
        Engine::open(root, state, Arc::new(settings), backend, encoding)
    }

    /// The backend of the person's own settings, always in this process: what `krins serve` runs. Calls are counted in
    /// `ledger`, what the router learns is in the file `books`, and answers are shared in `shared`.
    pub fn embedded_backend(
        &self,
        books: PathBuf,
        ledger: Arc<dyn Ledger>,
        shared: Option<Sealed>,
        chaos: Option<ChaosConfig>,
    ) -> Result<Arc<dyn Backend>, Error> {
        let mut config = self.settings(None, None)?.backend();
        config.money.books = Some(books);
        config.money.ledger = Some(ledger);
        config.chaos = chaos;
        config.resilience.switch_file = self.switch_file();
        Ok(embedded_sharing(config, shared)?)
    }

    /// The kill switch of this person's programs.
    pub fn switch_file(&self) -> Option<PathBuf> {
        Some(self.base()?.join("switched-off"))
    }

    /// The ledger of this person's programs.
    pub fn books_file(&self) -> Option<PathBuf> {
        Some(self.base()?.join(BOOKS))
    }

    fn base(&self) -> Option<PathBuf> {
        self.state.clone().or_else(|| base_dir(&|name| std::env::var_os(name)).ok())
    }

    /// One line for `krins doctor`.
    pub fn describe(&self) -> String {
        match user_file(&|name| std::env::var_os(name)) {
            Some(path) if path.exists() => path.display().to_string(),
            Some(path) => format!("defaults ({} is not there)", path.display()),
            None => "defaults".to_owned(),
        }
    }

    /// Whether the keyless refactorings answer.
    pub fn is_keyless(&self) -> bool {
        self.settings(None, None).is_ok_and(|settings| settings.remote.is_none() && settings.provider == "builtin")
    }

    /// Whether the configured provider can be used: what was found, or what is wrong and what to do.
    pub async fn check_provider(&self) -> Result<String, Error> {
        let settings = self.settings(None, None)?;
        if let Some(url) = &settings.remote {
            return Ok(format!("remote backend at {} (not contacted)", url.host_str().unwrap_or("?")));
        }
        let config = settings.backend();
        let name = config.default.clone();
        let backend = Embedded::new(config, Keys::default())?;
        let route = backend.route();
        Ok(match backend.key_place(&name).await? {
            Some(KeyPlace::Environment(variable)) => format!("{route}, key from the environment ({variable})"),
            Some(KeyPlace::Keyring(user)) => format!("{route}, key from the keyring (krins/{user})"),
            None => format!("{route}, no key needed"),
        })
    }
}

/// The backend that the settings ask for.
fn backend(settings: &Settings, switch_file: Option<PathBuf>) -> Result<Arc<dyn Backend>, BackendError> {
    let Some(url) = &settings.remote else {
        let mut config = settings.backend();
        config.resilience.switch_file = switch_file;
        return Ok(embedded(config)?);
    };
    let provider = settings.origins.contains_key("provider").then(|| settings.provider.clone());
    let builtin = provider.as_deref() == Some("builtin");
    let config = RemoteConfig { url: url.clone(), builtin, provider };
    Ok(Arc::new(Remote::new(config, Http::new(settings.http.clone()), Keys::default())?))
}

/// The nearest directory upwards with `.git` or `.krins` in it, else the directory itself.
pub fn root_of(dir: &Path) -> PathBuf {
    marked_root(dir).unwrap_or(dir).to_owned()
}

/// The nearest directory upwards with `.git` or `.krins` in it.
pub fn marked_root(dir: &Path) -> Option<&Path> {
    dir.ancestors().find(|dir| dir.join(".git").exists() || dir.join(".krins").exists())
}
