//! A model that takes a task and never answers, for what waiting and cancelling look like.

use crate::fakes::{Behaviour, Dialect, FakeProvider, Scenario};
use crate::workspace::Workspace;

/// The key that the settings of [`Silent`] name; it is in no environment but the test's.
pub const KEY: (&str, &str) = ("FAKE_KEY", "sk-nobodys");

/// A provider that accepts and says nothing, and the workspace whose settings name it.
pub struct Silent {
    /// Keeps the provider running.
    _runtime: tokio::runtime::Runtime,
    _provider: FakeProvider,
}

impl Silent {
    /// Starts it, and writes the settings of whoever works in the workspace.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn behind(workspace: &Workspace) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let behaviour = Behaviour::new(Scenario::Silent);
        let provider = runtime.block_on(FakeProvider::behaving(Dialect::Anthropic, behaviour)).expect("a port");
        let config = workspace.home().join(".config/krins");
        let text = format!(
            "provider = \"fake\"\n[providers.fake]\nkind = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"fake-model\"\nfirst_token_seconds = 240\nkey_env = \"{}\"\n",
            provider.base_url(),
            KEY.0
        );
        let written = std::fs::create_dir_all(&config).and_then(|()| std::fs::write(config.join("config.toml"), text));
        written.unwrap_or_else(|error| panic!("failed to write {}: {error}", config.display()));
        Self { _runtime: runtime, _provider: provider }
    }
}
