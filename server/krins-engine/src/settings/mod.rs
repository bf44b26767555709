//! Parse, then resolve: what everybody wrote ([`Options`]) becomes what holds ([`Settings`]), once.
//!
//! The order is that of [`Source`]: defaults < user file < workspace file < editor < environment < flags. A workspace
//! file is the repository's word. Unless the person has trusted its exact content it may only make things safer or
//! cheaper; whatever else it says is listed in [`Settings::untrusted`] and not followed.
//!
//! The editor's settings count as the person's. An editor that mixes a repository's settings into them has to keep the
//! keys that choose endpoints out (VS Code: `"scope": "machine"`).

mod keys;
mod options;

pub use options::{Options, Place, Problem, Source};

use crate::apply::HISTORY;
use crate::audit::Share;
use crate::error::{Error, ErrorKind};
use crate::sandbox;
use crate::state::{Limits, Trust};
use crate::workspace::Root;
use keys::Untrusted;
use krins_backend::cache::CacheConfig;
use krins_backend::http::HttpConfig;
use krins_backend::keys::KeySource;
use krins_backend::money::{MoneyConfig, Prices};
use krins_backend::provider::{BackendConfig, Kind, ProviderConfig, provider_names, split_route};
use krins_backend::resilience::{Level, ResilienceConfig};
use krins_backend::router::{Policy as Choosing, RouterConfig, Rule};
use krins_core::gate::Policy;
use krins_core::redact::{Class, Classes};
use krins_core::tokens::Vocabulary;
use krins_core::{Digest, Entry, RelPath, Tree};
use options::{MAX_BYTES, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// Below the root.
pub const WORKSPACE_FILE: &str = ".krins/config.toml";

/// What holds. Resolved once, shared behind an `Arc`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The provider's name or kind.
    pub provider: String,
    pub model: Option<String>,
    pub providers: BTreeMap<String, ProviderConfig>,
    /// The remote backend.
    pub remote: Option<Url>,
    /// The most tokens of context.
    pub budget_tokens: u32,
    /// The most tokens of an answer.
    pub output_tokens: u32,
    pub cache: CacheConfig,
    /// Prices, limits, and where the ledger is.
    pub money: MoneyConfig,
    /// Who judges changes.
    pub judge: Option<Judge>,
    /// Who answers where nobody is named.
    pub router: RouterConfig,
    pub router_rules: Vec<Rule>,
    pub router_epsilon: Option<f64>,
    pub http: HttpConfig,
    pub record: Option<PathBuf>,
    /// Who is asked when a provider does not answer: `provider` or `provider/model`.
    pub fallback: Vec<String>,
    pub resilience: ResilienceConfig,
    /// Beside the built-in ones.
    pub protected_paths: Vec<String>,
    /// Licences that are allowed and denied besides the built-in ones.
    pub licences: krins_core::gate::LicenceRules,
    /// What the gate may run.
    pub commands: Commands,
    /// What the undo history may hold.
    pub history: Limits,
    /// What is taken out of prompts beside secrets.
    pub redaction: Redaction,
    pub approvals: ApprovalSettings,
    /// How long the audit keeps what its records are about.
    pub audit_days: u32,
    /// How much of the audit a remote backend keeps a copy of.
    pub audit_share: Share,
    /// Where the person's own files lie: policy, signers, teams.
    pub user_dir: Option<PathBuf>,
    /// What an untrusted workspace file said in vain.
    pub untrusted: Vec<Ignored>,
    /// Where each setting that is not a default comes from, by key.
    pub origins: BTreeMap<String, (Source, Place)>,
}

/// What is taken out of prompts beside secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    pub personal: bool,
    /// Those that are named; all without a word about it.
    pub classes: Classes,
}

impl Default for Redaction {
    fn default() -> Self {
        Self { personal: true, classes: Classes::default() }
    }
}

impl Redaction {
    pub fn classes(&self) -> Classes {
        if self.personal { self.classes.clone() } else { Classes::secrets_only() }
    }
}

/// Who approves, and who may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalSettings {
    /// Who the person is to owners: `@name`, or a mail address.
    pub identity: Option<String>,
    /// The SSH key that signs; a public one has the agent sign.
    pub key: Option<PathBuf>,
    /// The `allowed_signers` file.
    pub signers: Option<PathBuf>,
}

/// A second model that looks at changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judge {
    /// Without one, a configured provider of another family than the author's.
    pub provider: Option<String>,
    pub model: Option<String>,
    /// Whether its objections are only told, and do not block.
    pub warns: bool,
}

/// What the gate may run, and how. Off until the person turns it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    pub build: Vec<Vec<String>>,
    pub types: bool,
    pub tests: bool,
    /// Where no runner is known.
    pub test_commands: Vec<Vec<String>>,
    /// Less is not enough to run anything.
    pub sandbox: sandbox::Level,
    pub network: bool,
    pub reads: Vec<PathBuf>,
    pub timeout: Duration,
    /// How often a model may mend.
    pub fix_rounds: u32,
    /// Whether namespaces are used where they work.
    pub namespaces: bool,
}

impl Default for Commands {
    fn default() -> Self {
        Self {
            build: Vec::new(),
            types: false,
            tests: false,
            test_commands: Vec::new(),
            sandbox: sandbox::Level::Partial,
            network: false,
            reads: Vec::new(),
            timeout: Duration::from_secs(300),
            fix_rounds: 2,
            namespaces: true,
        }
    }
}

impl Commands {
    /// Whether anything is run at all.
    pub fn any(&self) -> bool {
        self.types || self.tests || !self.build.is_empty()
    }
}

/// A line of a workspace file that was not followed, because nobody trusted the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    pub key: String,
    pub place: Place,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            provider: Kind::Builtin.name().to_owned(),
            model: None,
            providers: BTreeMap::new(),
            remote: None,
            budget_tokens: 8192,
            output_tokens: 8192,
            cache: CacheConfig::default(),
            money: MoneyConfig::default(),
            judge: None,
            router: RouterConfig { explore_percent: 5, ..RouterConfig::default() },
            router_rules: Vec::new(),
            router_epsilon: None,
            http: HttpConfig::default(),
            record: None,
            fallback: Vec::new(),
            resilience: ResilienceConfig::default(),
            protected_paths: Vec::new(),
            licences: Default::default(),
            commands: Commands::default(),
            history: HISTORY,
            redaction: Redaction::default(),
            approvals: ApprovalSettings::default(),
            audit_days: 90,
            audit_share: Share::Nothing,
            user_dir: None,
            untrusted: Vec::new(),
            origins: BTreeMap::new(),
        }
    }
}

/// The configuration cannot be taken; everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().take(5).map(Problem::to_string).collect::<Vec<_>>().join("; "))]
pub struct BadConfig(pub Vec<Problem>);

impl From<Vec<Problem>> for BadConfig {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

impl From<BadConfig> for Error {
    fn from(error: BadConfig) -> Self {
        let hints: Vec<&str> = error.0.iter().filter_map(|problem| problem.hint.as_deref()).take(3).collect();
        Self::new(ErrorKind::BadParams, error.to_string()).hint(hints.join("; "))
    }
}

/// Everything that settings are made from, but for the root.
pub struct Sources<'a> {
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// The editor's settings object.
    pub editor: Option<&'a serde_json::Value>,
    /// Keys and values from the command line.
    pub flags: &'a [(&'a str, String)],
}

impl Settings {
    /// Reads all sources. Without a root there is no workspace file.
    pub fn load(root: Option<(&Root, &Trust)>, sources: &Sources<'_>) -> Result<Self, BadConfig> {
        let text = |name: &str| (sources.env)(name).and_then(|value| value.into_string().ok());
        let mut layers = Vec::new();
        let mut trusted = false;
        layers.extend(user_options(sources.env)?);
        if let Some((root, trust)) = root
            && let Some(content) = workspace_content(root)?
        {
            let path = root.path().join(WORKSPACE_FILE);
            trusted = trust.holds(&path, &Digest::of(&content));
            layers.push(Options::toml(Source::Workspace, &path.display().to_string(), &content)?);
        }
        if let Some(editor) = sources.editor {
            layers.push(Options::json("the editor's settings", editor)?);
        }
        layers.push(Options::environment(&text)?);
        layers.push(Options::flags(sources.flags)?);
        let user_dir = user_file(sources.env).and_then(|file| file.parent().map(Path::to_owned));
        Ok(Self { user_dir, ..Self::resolve(layers, trusted)? })
    }

    /// Weighs the options. `trusted` says whether the workspace's are.
    pub fn resolve(mut layers: Vec<Options>, trusted: bool) -> Result<Self, BadConfig> {
        layers.sort_by_key(|options| options.source);
        let mut settings = Self::default();
        let mut problems = Vec::new();
        for options in layers {
            let free = options.source != Source::Workspace || trusted;
            for (path, (value, place)) in options.values {
                let key = path.join(".");
                if !free && !settings.admits(&path, &value) {
                    settings.untrusted.push(Ignored { key, place });
                    continue;
                }
                match settings.set(&path, value) {
                    Ok(()) => {
                        settings.origins.insert(key, (options.source, place));
                    }
                    Err(what) => problems.push(Problem { place, what, hint: None }),
                }
            }
        }
        problems.extend(settings.check());
        if problems.is_empty() { Ok(settings) } else { Err(BadConfig(problems)) }
    }

    /// Whether an untrusted file may say this.
    fn admits(&self, path: &[String], value: &Value) -> bool {
        match keys::find(path).map(|key| key.untrusted) {
            Some(Untrusted::Add) => true,
            Some(Untrusted::Lower) => {
                let now = match path.join(".").as_str() {
                    "budget.tokens" => u64::from(self.budget_tokens),
                    "output.tokens" => u64::from(self.output_tokens),
                    "budget.micros_per_task" => self.money.limits.task.unwrap_or(u64::MAX),
                    "budget.micros_per_day" => self.money.limits.day.unwrap_or(u64::MAX),
                    "budget.micros_per_person_per_day" => self.money.limits.person_day.unwrap_or(u64::MAX),
                    "cache.capacity" => self.cache.capacity as u64,
                    "cache.ttl_seconds" => self.cache.ttl.as_secs(),
                    "gate.fix_rounds" => u64::from(self.commands.fix_rounds),
                    _ => 0,
                };
                matches!(value, Value::Integer(number) if *number <= now)
            }
            Some(Untrusted::Nothing) | None => false,
        }
    }

    fn set(&mut self, path: &[String], value: Value) -> Result<(), String> {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        match (words.as_slice(), value) {
            (["provider"], Value::Text(text)) => self.provider = text,
            (["model"], Value::Text(text)) => self.model = Some(text),
            (["backend", "url"], Value::Text(text)) => self.remote = Some(address(&text)?),
            (["http", "extra_ca"], Value::Text(text)) => self.http.extra_ca = Some(text.into()),
            (["record"], Value::Text(text)) => self.record = Some(text.into()),
            (["budget", "tokens"], Value::Integer(number)) => self.budget_tokens = small(number),
            (["budget", "micros_per_task"], Value::Integer(number)) => self.money.limits.task = Some(number),
            (["budget", "micros_per_day"], Value::Integer(number)) => self.money.limits.day = Some(number),
            (["budget", "micros_per_person_per_day"], Value::Integer(number)) => {
                self.money.limits.person_day = Some(number)
            }
            (["prices"], Value::List(list)) => {
                self.money.prices = Prices::with(&list).map_err(|error| error.to_string())?
            }
            (["cache", "similar"], Value::Text(text)) => self.cache.similar = text == "suggest",
            (["judge", "provider"], Value::Text(text)) => {
                self.judge.get_or_insert_default().provider = (text != "auto").then_some(text)
            }
            (["judge", "model"], Value::Text(text)) => self.judge.get_or_insert_default().model = Some(text),
            (["judge", "level"], Value::Text(text)) => self.judge.get_or_insert_default().warns = text == "warn",
            (["router", key], value) => return self.set_router(key, value),
            (["output", "tokens"], Value::Integer(number)) => self.output_tokens = small(number),
            (["cache", "capacity"], Value::Integer(number)) => self.cache.capacity = small(number) as usize,
            (["cache", "ttl_seconds"], Value::Integer(number)) => self.cache.ttl = Duration::from_secs(number),
            (["fallback"], Value::List(list)) => self.fallback = list,
            (["switched_off"], Value::List(list)) => self.resilience.off.extend(list),
            ([section @ ("calls" | "breaker" | "brownout"), key], value) => {
                return self.set_resilience(section, key, value);
            }
            (["gate", "protected_paths"], Value::List(list)) => self.protected_paths.extend(list),
            (["gate", "allowed_licences"], Value::List(list)) => self.licences.allow.extend(list),
            (["gate", "denied_licences"], Value::List(list)) => self.licences.deny.extend(list),
            (["redact", "personal"], Value::Text(text)) => self.redaction.personal = text == "on",
            (["redact", "classes"], Value::List(list)) => self.redaction.classes = classes(&list)?,
            (["gate", "build"], Value::Commands(commands)) => self.commands.build = commands,
            (["gate", "types"], Value::Text(text)) => self.commands.types = text == "auto",
            (["gate", "tests"], Value::Text(text)) => self.commands.tests = text == "auto",
            (["gate", "test_commands"], Value::Commands(commands)) => self.commands.test_commands = commands,
            (["gate", "sandbox"], Value::Text(text)) => {
                self.commands.sandbox = sandbox::Level::of_name(&text).ok_or("`gate.sandbox` is not understood")?;
            }
            (["gate", "network"], Value::Text(text)) => self.commands.network = text == "on",
            (["gate", "reads"], Value::List(list)) => self.commands.reads.extend(list.into_iter().map(PathBuf::from)),
            (["gate", "timeout_seconds"], Value::Integer(number)) => {
                self.commands.timeout = Duration::from_secs(number)
            }
            (["gate", "fix_rounds"], Value::Integer(number)) => self.commands.fix_rounds = small(number),
            (["approvals", "identity"], Value::Text(text)) => self.approvals.identity = Some(text),
            (["approvals", "key"], Value::Text(text)) => self.approvals.key = Some(text.into()),
            (["approvals", "signers"], Value::Text(text)) => self.approvals.signers = Some(text.into()),
            (["audit", "retention_days"], Value::Integer(number)) => self.audit_days = small(number),
            (["audit", "share"], Value::Text(text)) => self.audit_share = Share::of(&text),
            (["history", "changes"], Value::Integer(number)) => self.history.count = small(number) as usize,
            (["history", "days"], Value::Integer(number)) => self.history.age = Duration::from_secs(number * 24 * 3600),
            (["history", "megabytes"], Value::Integer(number)) => self.history.bytes = number << 20,
            (["providers", name, rest], value) => return self.set_provider(name, rest, value),
            (words, _) => return Err(format!("`{}` is not understood", words.join("."))),
        }
        Ok(())
    }

    fn set_router(&mut self, key: &str, value: Value) -> Result<(), String> {
        let route = |route: &String| {
            route.split_once('/').is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty())
        };
        match (key, value) {
            ("policy", Value::Text(text)) => self.router.policy = Choosing::of_name(&text),
            ("arms", Value::List(list)) => {
                if let Some(bad) = list.iter().find(|arm| !route(arm)) {
                    return Err(format!("the arm {bad:?} is not written provider/model"));
                }
                self.router.arms = list;
            }
            ("rules", Value::List(list)) => {
                let rules: Option<Vec<Rule>> = list.iter().map(|text| Rule::parse(text)).collect();
                let rules = rules.ok_or("a rule is written `CLASS -> provider/model`, `<MICROS -> …` or `* -> …`")?;
                self.router_rules = rules;
            }
            ("epsilon_percent", Value::Integer(number)) => self.router_epsilon = Some(number as f64 / 100.0),
            ("explore_percent", Value::Integer(number)) => self.router.explore_percent = small(number).min(100) as u8,
            ("seed", Value::Integer(number)) => self.router.seed = Some(number),
            (key, _) => return Err(format!("`router.{key}` is not understood")),
        }
        Ok(())
    }

    /// The policy with what the settings say of it.
    fn router(&self) -> RouterConfig {
        let policy = self.router.policy.clone().map(|policy| match policy {
            Choosing::Rules(_) => Choosing::Rules(self.router_rules.clone()),
            Choosing::Epsilon(usual) => Choosing::Epsilon(self.router_epsilon.unwrap_or(usual)),
            other => other,
        });
        RouterConfig { policy, ..self.router.clone() }
    }

    fn set_provider(&mut self, name: &str, key: &str, value: Value) -> Result<(), String> {
        let known = self.providers.get(name).cloned();
        // Without a kind the name is one, or it is the most common wire format.
        let mut provider = known.unwrap_or_else(|| ProviderConfig::of(Kind::of_name(name).unwrap_or(Kind::OpenAiChat)));
        match (key, value) {
            ("kind", Value::Text(text)) => {
                let kind = Kind::of_name(&text).ok_or_else(|| format!("there is no provider kind {text:?}"))?;
                if provider.timing == ProviderConfig::of(provider.kind).timing {
                    provider.timing = ProviderConfig::of(kind).timing;
                }
                provider.kind = kind;
            }
            ("base_url", Value::Text(text)) => provider.base_url = Some(address(&text)?),
            ("model", Value::Text(text)) => provider.model = Some(text),
            ("key_env", Value::Text(text)) => provider.key = KeySource::Environment(text),
            ("key", Value::Text(_)) => provider.key = KeySource::None,
            ("keyring", Value::Text(text)) => provider.key = KeySource::Keyring(text),
            ("api_version", Value::Text(text)) => provider.api_version = Some(text),
            ("directory", Value::Text(text)) => provider.directory = Some(text.into()),
            ("first_token_seconds", Value::Integer(number)) => {
                provider.timing.first_token = Duration::from_secs(number);
                // The person's own word holds, whoever else can answer.
                provider.timing.hurried = None;
            }
            ("idle_seconds", Value::Integer(number)) => provider.timing.idle = Duration::from_secs(number),
            ("total_seconds", Value::Integer(number)) => provider.timing.total = Duration::from_secs(number),
            ("fallback", Value::List(list)) => provider.fallback = Some(list),
            ("economy_model", Value::Text(text)) => provider.economy_model = Some(text),
            ("prompt_cache", Value::Text(text)) => provider.prompt_cache = text == "on",
            ("keep_alive", Value::Text(text)) => provider.keep_alive = Some(text),
            (key, _) => return Err(format!("`providers.{name}.{key}` is not understood")),
        }
        self.providers.insert(name.to_owned(), provider);
        Ok(())
    }

    fn set_resilience(&mut self, section: &str, key: &str, value: Value) -> Result<(), String> {
        let ResilienceConfig { breaker, brownout, calls, .. } = &mut self.resilience;
        match (section, key, value) {
            ("calls", "per_task", Value::Integer(number)) => calls.per_task = small(number),
            ("calls", "retry_percent", Value::Integer(number)) => calls.retry_percent = small(number),
            ("breaker", "failures", Value::Integer(number)) => breaker.consecutive = small(number),
            ("breaker", "open_seconds", Value::Integer(number)) => breaker.open = Duration::from_secs(number),
            ("breaker", "open_cap_seconds", Value::Integer(number)) => breaker.open_cap = Duration::from_secs(number),
            ("brownout", "level", Value::Text(text)) => brownout.pinned = Level::of_name(&text),
            ("brownout", "queue_seconds", Value::Integer(number)) => brownout.queue_age = Duration::from_secs(number),
            ("brownout", "p95_seconds", Value::Integer(number)) => brownout.p95 = Duration::from_secs(number),
            (section, key, _) => return Err(format!("`{section}.{key}` is not understood")),
        }
        Ok(())
    }

    /// The first route of a chain that leads nowhere.
    fn check_chains(&self) -> Option<Problem> {
        let names = provider_names(&self.providers);
        let own = self
            .providers
            .iter()
            .filter_map(|(name, config)| Some((format!("providers.{name}.fallback"), config.fallback.as_deref()?)));
        let chains = std::iter::once(("fallback".to_owned(), self.fallback.as_slice())).chain(own);
        for (key, chain) in chains {
            let Some(route) = chain.iter().find(|route| !names.contains(split_route(route).0)) else { continue };
            let place = self.origins.get(&key).map(|(_, place)| place.clone());
            return Some(Problem {
                place: place.unwrap_or(Place { name: "the defaults".into(), at: None }),
                what: format!("there is no provider {:?} for `{key}`", split_route(route).0),
                hint: Some(format!(
                    "write provider or provider/model; the providers are {}",
                    Vec::from_iter(names).join(", ")
                )),
            });
        }
        None
    }

    /// What only shows when everything is together.
    fn check(&self) -> Option<Problem> {
        if let Some(problem) = self.check_chains() {
            return Some(problem);
        }
        let known = self.providers.contains_key(&self.provider) || Kind::of_name(&self.provider).is_some();
        if known || self.remote.is_some() {
            return None;
        }
        let place = self.origins.get("provider").map(|(_, place)| place.clone());
        let names: Vec<&str> =
            Kind::ALL.iter().map(|kind| kind.name()).chain(self.providers.keys().map(String::as_str)).collect();
        let near = names.iter().map(|name| (strsim::damerau_levenshtein(name, &self.provider), name)).min();
        Some(Problem {
            place: place.unwrap_or(Place { name: "the defaults".into(), at: None }),
            what: format!("there is no provider {:?}", self.provider),
            hint: match near {
                Some((distance, name)) if distance <= 3 => Some(format!("did you mean `{name}`?")),
                _ => Some(format!("the providers are {}", names.join(", "))),
            },
        })
    }

    /// The gate's policy: the built-in protected paths and those of the settings.
    pub fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        policy.protected.extend(self.protected_paths.iter().cloned());
        policy.licences = self.licences.clone();
        policy
    }

    /// How the model that is set counts tokens; the default one while none is.
    pub fn vocabulary(&self) -> Vocabulary {
        let of_provider = || self.providers.get(&self.provider)?.model.as_deref();
        self.model.as_deref().or_else(of_provider).map_or_else(Vocabulary::default, Vocabulary::of_model)
    }

    /// What the embedded backend needs.
    pub fn backend(&self) -> BackendConfig {
        let mut providers = self.providers.clone();
        if let Some(model) = &self.model {
            let kind = Kind::of_name(&self.provider).unwrap_or(Kind::OpenAiChat);
            providers.entry(self.provider.clone()).or_insert_with(|| ProviderConfig::of(kind)).model =
                Some(model.clone());
        }
        BackendConfig {
            default: self.provider.clone(),
            providers,
            http: self.http.clone(),
            cache: self.cache,
            money: self.money.clone(),
            router: self.router(),
            record: self.record.clone(),
            fallback: self.fallback.clone(),
            resilience: self.resilience.clone(),
            chaos: None,
        }
    }
}

/// `$KRINS_CONFIG`, else `$XDG_CONFIG_HOME/krins/config.toml`, else `~/.config/krins/config.toml`.
pub fn user_file(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("KRINS_CONFIG")
        .or_else(|| set("XDG_CONFIG_HOME").filter(|dir| dir.is_absolute()).map(|dir| dir.join("krins/config.toml")))
        .or_else(|| set("HOME").map(|home| home.join(".config/krins/config.toml")))
}

fn user_options(env: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<Options>, BadConfig> {
    let Some(path) = user_file(env) else { return Ok(None) };
    let named = env("KRINS_CONFIG").is_some_and(|value| !value.is_empty());
    let content = match read_bounded(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return Ok(None),
        Err(error) => return Err(BadConfig(vec![unreadable(&path, &error.to_string())])),
    };
    Ok(Some(Options::toml(Source::User, &path.display().to_string(), &content)?))
}

fn workspace_content(root: &Root) -> Result<Option<std::sync::Arc<[u8]>>, BadConfig> {
    let Ok(path) = RelPath::new(WORKSPACE_FILE) else { return Ok(None) };
    match root.entry(&path) {
        Entry::Missing => Ok(None),
        Entry::File { bytes, .. } => Ok(Some(bytes)),
        Entry::Refused(why) => {
            Err(BadConfig(vec![unreadable(&root.path().join(WORKSPACE_FILE), &format!("it is {why}"))]))
        }
    }
}

fn classes(names: &[String]) -> Result<Classes, String> {
    let known: Vec<&str> = Class::ALL.into_iter().map(Class::name).collect();
    let class = |name: &String| {
        Class::of_name(name).ok_or_else(|| format!("`{name}` is no class of data; they are {}", known.join(", ")))
    };
    Ok(Classes::of(names.iter().map(class).collect::<Result<Vec<_>, _>>()?))
}

fn unreadable(path: &Path, why: &str) -> Problem {
    Problem { place: Place { name: path.display().to_string(), at: None }, what: why.to_owned(), hint: None }
}

/// One byte more than the limit is enough to know.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

fn address(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("it is no address: {error}"))
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Options {
        Options::toml(Source::User, "user.toml", text.as_bytes()).unwrap()
    }

    fn workspace(text: &str) -> Options {
        Options::toml(Source::Workspace, "ws.toml", text.as_bytes()).unwrap()
    }

    fn problems(text: &str) -> Vec<String> {
        let problems = Options::toml(Source::User, "user.toml", text.as_bytes()).unwrap_err();
        problems.iter().map(|problem| format!("{problem} [{}]", problem.hint.as_deref().unwrap_or(""))).collect()
    }

    #[test]
    fn a_later_source_wins() {
        let env = |name: &str| (name == "KRINS_BUDGET_TOKENS").then(|| "4000".to_owned());
        let layers = |flags: &[(&str, String)]| {
            vec![
                Options::flags(flags).unwrap(),
                Options::environment(&env).unwrap(),
                Options::json(
                    "editor",
                    &serde_json::json!({"budget": {"tokens": 3000}, "model": null, "cache": {"capacity": 7}}),
                )
                .unwrap(),
                workspace("budget.tokens = 2000\noutput.tokens = 700\n"),
                user("budget.tokens = 1000\nmodel = \"m\"\n"),
            ]
        };
        let settings = Settings::resolve(layers(&[("budget.tokens", "5000".into())]), true).unwrap();
        assert_eq!((settings.budget_tokens, settings.output_tokens), (5000, 700));
        assert_eq!((settings.model.as_deref(), settings.cache.capacity), (Some("m"), 7));
        assert_eq!(settings.origins["budget.tokens"].0, Source::Flags);
        assert_eq!(settings.origins["output.tokens"].1.to_string(), "ws.toml:2:17");
        assert_eq!(Settings::resolve(layers(&[]), true).unwrap().budget_tokens, 4000);
        assert_eq!(Settings::resolve(Vec::new(), false).unwrap(), Settings::default());
    }

    #[test]
    fn an_untrusted_workspace_can_only_make_things_safer_or_cheaper() {
        let file = "provider = \"evil\"\nmodel = \"x\"\nbackend.url = \"https://evil.example\"\nbudget.tokens = 100\n\
                    output.tokens = 100000\nhttp.extra_ca = \"evil.pem\"\ngate.protected_paths = [\"db/\"]\n\
                    [providers.evil]\nbase_url = \"https://evil.example\"\nkey_env = \"AWS_SECRET_ACCESS_KEY\"\n";
        let settings = Settings::resolve(vec![workspace(file)], false).unwrap();
        let kept = Settings { budget_tokens: 100, protected_paths: vec!["db/".into()], ..Settings::default() };
        assert_eq!(Settings { untrusted: Vec::new(), origins: BTreeMap::new(), ..settings.clone() }, kept);
        let said: Vec<String> =
            settings.untrusted.iter().map(|ignored| format!("{} {}", ignored.place, ignored.key)).collect();
        assert!(said.contains(&"ws.toml:3:15 backend.url".to_owned()), "{said:?}");
        assert_eq!(said.len(), 7);
        assert!(settings.policy().protected.iter().any(|path| path == "db/") && settings.policy().protected.len() > 5);
        let trusted = Settings::resolve(vec![workspace(file)], true).unwrap();
        assert_eq!(
            (trusted.provider.as_str(), trusted.http.extra_ca.is_some(), trusted.untrusted.len()),
            ("evil", true, 0)
        );
        // The other way round the user's own lower budget stands.
        let settings = Settings::resolve(vec![user("budget.tokens = 50"), workspace(file)], false).unwrap();
        assert_eq!(settings.budget_tokens, 50);
    }

    #[test]
    fn every_problem_is_named_with_its_position_and_the_nearest_name() {
        let found =
            problems("modle = \"x\"\n[budget]\ntokens = \"many\"\n  tokns = 3\n[providers.w]\nkind = \"opnai\"\n");
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(
            found.iter().any(|text| text == "read user.toml:1:1: unknown key `modle` [did you mean `model`?]"),
            "{found:?}"
        );
        assert!(
            found
                .iter()
                .any(|text| text.contains("user.toml:4:3: unknown key `budget.tokns`")
                    && text.contains("`budget.tokens`"))
        );
        assert!(
            found.iter().any(|text| text.contains("user.toml:3:10: `budget.tokens` must be a whole number from 1"))
        );
        assert!(found.iter().any(|text| text.contains("one of anthropic, openai")));
        assert!(problems("a = [\n\nmodel = 1")[0].starts_with("read user.toml:"));
        assert!(problems("budget = 3")[0].contains("unknown key `budget`"));
    }

    #[test]
    fn content_that_is_no_configuration_is_a_clear_error() {
        let error = |content: &[u8]| Options::toml(Source::User, "u", content).unwrap_err()[0].to_string();
        assert!(error(b"model = \"\xff\"").contains("not UTF-8 (byte 9)"));
        assert!(error(&vec![b'#'; MAX_BYTES + 1]).contains("larger than"));
        assert!(Options::json("editor", &serde_json::json!([1])).is_err());
        assert!(Options::json("editor", &serde_json::json!({"budget": {"tokens": -1}})).is_err());
        assert!(Options::environment(&|name| (name == "KRINS_CACHE_CAPACITY").then(|| "maybe".into())).is_err());
    }

    #[test]
    fn providers_become_what_the_backend_takes() {
        let settings = Settings::resolve(
            vec![user(
                "provider = \"work\"\nmodel = \"big\"\n[providers.work]\nkind = \"anthropic\"\nbase_url = \"https://proxy.example\"\n\
                 key_env = \"WORK_KEY\"\ntotal_seconds = 90\n[providers.ollama]\nmodel = \"qwen\"\n",
            )],
            false,
        )
        .unwrap();
        let config = settings.backend();
        let work = &config.providers["work"];
        assert_eq!((config.default.as_str(), work.kind, work.model.as_deref()), ("work", Kind::Anthropic, Some("big")));
        assert_eq!((&work.key, work.timing.total.as_secs()), (&KeySource::Environment("WORK_KEY".into()), 90));
        assert_eq!(config.providers["ollama"].timing, ProviderConfig::of(Kind::Ollama).timing);
        let unknown = Settings::resolve(vec![user("provider = \"anthropc\"")], false).unwrap_err();
        assert_eq!(unknown.0[0].hint.as_deref(), Some("did you mean `anthropic`?"));
        assert_eq!(unknown.0[0].place.to_string(), "user.toml:1:12");
    }

    #[test]
    fn chains_and_their_policy_become_what_the_backend_takes() {
        let settings = Settings::resolve(
            vec![user(
                "provider = \"anthropic\"\nmodel = \"a\"\nfallback = [\"openai/gpt/x\", \"builtin\"]\nswitched_off = [\"gemini\"]\n\
                 calls.per_task = 3\ncalls.retry_percent = 5\n[breaker]\nfailures = 2\nopen_seconds = 7\nopen_cap_seconds = 9\n\
                 [brownout]\nlevel = \"judge-off\"\nqueue_seconds = 3\np95_seconds = 4\n\
                 [providers.ollama]\nmodel = \"q\"\nfallback = []\nkeep_alive = \"1h\"\n\
                 [providers.anthropic]\neconomy_model = \"small\"\nprompt_cache = \"off\"\n",
            )],
            false,
        )
        .unwrap();
        let config = settings.backend();
        assert_eq!(config.fallback_of("anthropic"), ["openai/gpt/x", "builtin"]);
        assert!(config.ends_in_builtin("anthropic") && !config.ends_in_builtin("ollama"));
        assert_eq!(split_route("openai/gpt/x"), ("openai", Some("gpt/x")));
        let (anthropic, ollama) = (&config.providers["anthropic"], &config.providers["ollama"]);
        assert_eq!((anthropic.economy_model.as_deref(), anthropic.prompt_cache), (Some("small"), false));
        assert_eq!((ollama.keep_alive.as_deref(), ollama.prompt_cache), (Some("1h"), true));
        let ResilienceConfig { breaker, brownout, calls, off, .. } = config.resilience;
        assert_eq!((breaker.consecutive, breaker.open.as_secs(), breaker.open_cap.as_secs()), (2, 7, 9));
        assert_eq!(
            (brownout.pinned, brownout.queue_age.as_secs(), brownout.p95.as_secs()),
            (Some(Level::JudgeOff), 3, 4)
        );
        assert_eq!((calls.per_task, calls.retry_percent, off.contains("gemini")), (3, 5, true));
        let nowhere = Settings::resolve(vec![user("fallback = [\"builtin\", \"opnai/x\"]")], false).unwrap_err();
        assert_eq!(nowhere.0[0].place.to_string(), "user.toml:1:12");
        assert!(nowhere.to_string().contains("\"opnai\""), "{nowhere}");
    }

    #[test]
    fn files_are_found_and_trust_is_in_the_exact_content() {
        let dir = tempfile::tempdir().unwrap();
        let (root, home) = (dir.path().join("root"), dir.path().join("home"));
        std::fs::create_dir_all(root.join(".krins")).unwrap();
        std::fs::create_dir_all(home.join(".config/krins")).unwrap();
        std::fs::write(home.join(".config/krins/config.toml"), "model = \"user\"").unwrap();
        let file = root.join(WORKSPACE_FILE);
        std::fs::write(&file, "model = \"workspace\"").unwrap();
        let root = Root::open(&root).unwrap();
        let trust = Trust::at(dir.path());
        let env = |name: &str| (name == "HOME").then(|| home.clone().into_os_string());
        let load = || Settings::load(Some((&root, &trust)), &Sources { env: &env, editor: None, flags: &[] });
        let model = || load().unwrap().model.unwrap();
        assert_eq!(model(), "user");
        trust.add(&root.path().join(WORKSPACE_FILE), &Digest::of("model = \"workspace\"")).unwrap();
        assert_eq!(model(), "workspace");
        std::fs::write(&file, "model = \"changed\"").unwrap();
        assert_eq!(model(), "user");
        assert_eq!(load().unwrap().untrusted.len(), 1);
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        assert!(load().unwrap_err().to_string().contains("symbolic link"));
        let named = |name: &str| (name == "KRINS_CONFIG").then(|| OsString::from("/no/such/file"));
        assert!(Settings::load(None, &Sources { env: &named, editor: None, flags: &[] }).is_err());
    }
}
