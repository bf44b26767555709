//! The table of configuration keys: what each may hold, and what an untrusted workspace may say about it.

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    /// `http` or `https`.
    Url,
    Integer {
        min: u64,
        max: u64,
    },
    List,
    /// Programs with their arguments: a list of lists of texts. Never a shell's line.
    Commands,
    Choice(&'static [&'static str]),
}

impl Shape {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Text => "a text that is not empty".into(),
            Self::Url => "an http or https address".into(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::List => "a list of texts".into(),
            Self::Commands => "a list of commands, each a list of texts: [[\"npx\", \"tsc\", \"--noEmit\"]]".into(),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
        }
    }
}

/// What a workspace file that nobody trusted may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untrusted {
    /// Nothing: the key chooses an endpoint, a key, a command, or what is asked of the person.
    Nothing,
    /// Make the number smaller.
    Lower,
    /// Add to the list.
    Add,
}

/// One key; `*` in the name stands for any word.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub untrusted: Untrusted,
    /// For people: what it is for.
    pub doc: &'static str,
}

const KINDS: &[&str] = &["anthropic", "openai", "openai-chat", "gemini", "ollama", "builtin", "replay"];
const MICROS: Shape = Shape::Integer { min: 0, max: 1_000_000_000_000 };
const SECONDS: Shape = Shape::Integer { min: 1, max: 3600 };

const fn key(name: &'static str, shape: Shape, untrusted: Untrusted, doc: &'static str) -> Key {
    Key { name, shape, untrusted, doc }
}

pub(super) const KEYS: &[Key] = &[
    key("provider", Shape::Text, Untrusted::Nothing, "the provider that is asked: a kind, or a name under [providers]"),
    key("model", Shape::Text, Untrusted::Nothing, "the model that is asked"),
    key("providers.*.kind", Shape::Choice(KINDS), Untrusted::Nothing, "which wire format the provider speaks"),
    key(
        "providers.*.base_url",
        Shape::Url,
        Untrusted::Nothing,
        "where the provider is; the official address without it",
    ),
    key("providers.*.model", Shape::Text, Untrusted::Nothing, "the provider's model"),
    key("providers.*.key_env", Shape::Text, Untrusted::Nothing, "the environment variable that holds the key"),
    key("providers.*.key", Shape::Choice(&["none"]), Untrusted::Nothing, "`none` for a server that needs no key"),
    key("providers.*.keyring", Shape::Text, Untrusted::Nothing, "the user under which the OS keyring holds the key"),
    key("providers.*.api_version", Shape::Text, Untrusted::Nothing, "the anthropic-version header"),
    key("providers.*.directory", Shape::Text, Untrusted::Nothing, "where replay finds its recordings"),
    key(
        "providers.*.first_token_seconds",
        SECONDS,
        Untrusted::Nothing,
        "how long the first sign of an answer may take",
    ),
    key("providers.*.idle_seconds", SECONDS, Untrusted::Nothing, "how long an answer may pause"),
    key("providers.*.total_seconds", SECONDS, Untrusted::Nothing, "how long an ask may take in all"),
    key(
        "providers.*.fallback",
        Shape::List,
        Untrusted::Nothing,
        "who is asked when this provider does not answer: `provider` or `provider/model`, in order",
    ),
    key(
        "providers.*.economy_model",
        Shape::Text,
        Untrusted::Nothing,
        "the model that is asked instead while the service is overloaded",
    ),
    key(
        "providers.*.prompt_cache",
        Shape::Choice(&["on", "off"]),
        Untrusted::Nothing,
        "whether the provider's prompt cache is written where that costs extra",
    ),
    key("providers.*.keep_alive", Shape::Text, Untrusted::Nothing, "how long Ollama keeps a model loaded"),
    key(
        "fallback",
        Shape::List,
        Untrusted::Nothing,
        "who is asked when a provider without a list of its own does not answer: `provider` or `provider/model`, in order",
    ),
    key("switched_off", Shape::List, Untrusted::Nothing, "providers that are not asked, or `all`"),
    key("calls.per_task", Shape::Integer { min: 1, max: 16 }, Untrusted::Nothing, "the most calls for one task"),
    key(
        "calls.retry_percent",
        Shape::Integer { min: 0, max: 100 },
        Untrusted::Nothing,
        "the most repeats among a minute's calls to a provider",
    ),
    key(
        "breaker.failures",
        Shape::Integer { min: 1, max: 100 },
        Untrusted::Nothing,
        "failures in a row after which a route rests",
    ),
    key("breaker.open_seconds", SECONDS, Untrusted::Nothing, "how long it rests the first time"),
    key("breaker.open_cap_seconds", SECONDS, Untrusted::Nothing, "how long it rests at most"),
    key(
        "brownout.level",
        Shape::Choice(&["auto", "normal", "cheaper-model", "one-variant", "judge-off", "cache-only"]),
        Untrusted::Nothing,
        "what is left out for good; `auto` follows the pressure on `krins serve`",
    ),
    key(
        "brownout.queue_seconds",
        SECONDS,
        Untrusted::Nothing,
        "the age of the oldest waiting task at which less is done for each",
    ),
    key("brownout.p95_seconds", SECONDS, Untrusted::Nothing, "the p95 of answers at which less is done for each"),
    key(
        "backend.url",
        Shape::Url,
        Untrusted::Nothing,
        "a remote backend (`krins serve`); without it asks are made in process",
    ),
    key("http.extra_ca", Shape::Text, Untrusted::Nothing, "PEM certificates to trust beside the system's"),
    key("record", Shape::Text, Untrusted::Nothing, "a directory that every model answer is recorded in, for replay"),
    key(
        "budget.tokens",
        Shape::Integer { min: 1, max: 2_000_000 },
        Untrusted::Lower,
        "the most tokens of context that are sent",
    ),
    key(
        "budget.micros_per_task",
        MICROS,
        Untrusted::Lower,
        "the most that a task may cost, in millionths of a US dollar",
    ),
    key(
        "budget.micros_per_day",
        MICROS,
        Untrusted::Lower,
        "the most that all tasks of a day (UTC) may cost, in millionths of a US dollar",
    ),
    key(
        "budget.micros_per_person_per_day",
        MICROS,
        Untrusted::Lower,
        "the same for each person of a team, at `krins serve`",
    ),
    key("prices", Shape::List, Untrusted::Nothing, "what models cost, where it is not what the built-in table says"),
    key(
        "output.tokens",
        Shape::Integer { min: 256, max: 1_000_000 },
        Untrusted::Lower,
        "the most tokens that an answer may have",
    ),
    key(
        "cache.capacity",
        Shape::Integer { min: 0, max: 100_000 },
        Untrusted::Lower,
        "how many answers are kept; 0 keeps none",
    ),
    key(
        "cache.ttl_seconds",
        Shape::Integer { min: 0, max: 31_536_000 },
        Untrusted::Lower,
        "how long an answer is kept",
    ),
    key(
        "cache.similar",
        Shape::Choice(&["off", "suggest"]),
        Untrusted::Lower,
        "whether tasks that are like an answered one are pointed out",
    ),
    key(
        "judge.provider",
        Shape::Text,
        Untrusted::Nothing,
        "who judges changes: a provider's name, or `auto` for a configured one of another family",
    ),
    key("judge.model", Shape::Text, Untrusted::Nothing, "the judge's model"),
    key("judge.level", Shape::Choice(&["block", "warn"]), Untrusted::Nothing, "what a judge's objection does"),
    key(
        "router.policy",
        Shape::Choice(&["off", "rules", "epsilon", "thompson", "ucb1"]),
        Untrusted::Nothing,
        "how it is chosen who answers, where nobody is named",
    ),
    key("router.arms", Shape::List, Untrusted::Nothing, "who can be chosen, as provider/model"),
    key(
        "router.rules",
        Shape::List,
        Untrusted::Nothing,
        "for the policy `rules`: `CLASS -> provider/model`, `<MICROS -> provider/model`, `* -> provider/model`",
    ),
    key(
        "router.epsilon_percent",
        Shape::Integer { min: 0, max: 100 },
        Untrusted::Nothing,
        "for the policy `epsilon`: how often any arm is taken",
    ),
    key(
        "router.explore_percent",
        Shape::Integer { min: 0, max: 100 },
        Untrusted::Nothing,
        "how often any arm is taken whatever the policy says, so that the log can be replayed",
    ),
    key("router.seed", Shape::Integer { min: 0, max: u64::MAX }, Untrusted::Nothing, "makes the choices repeatable"),
    key(
        "gate.protected_paths",
        Shape::List,
        Untrusted::Add,
        "paths that no change may touch, beside the built-in ones",
    ),
    key(
        "gate.allowed_licences",
        Shape::List,
        Untrusted::Nothing,
        "licences that packages may come under, beside the built-in permissive ones",
    ),
    key("gate.denied_licences", Shape::List, Untrusted::Add, "licences that no package may come under"),
    key(
        "redact.personal",
        Shape::Choice(&["on", "off"]),
        Untrusted::Nothing,
        "whether data of people is taken out of what a model is sent; secrets always are",
    ),
    key(
        "redact.classes",
        Shape::List,
        Untrusted::Nothing,
        "which: email, phone, iban, card, ip, id, user, person; all without it",
    ),
    key(
        "gate.build",
        Shape::Commands,
        Untrusted::Nothing,
        "commands that must succeed with the change applied; only errors that it brings count",
    ),
    key(
        "gate.types",
        Shape::Choice(&["off", "auto"]),
        Untrusted::Nothing,
        "check types with the project's own TypeScript",
    ),
    key("gate.tests", Shape::Choice(&["off", "auto"]), Untrusted::Nothing, "run the tests that the change affects"),
    key(
        "gate.test_commands",
        Shape::Commands,
        Untrusted::Nothing,
        "how tests are run where the runner is not known; {files} stands for the chosen files",
    ),
    key(
        "gate.sandbox",
        Shape::Choice(&["none", "partial", "full"]),
        Untrusted::Nothing,
        "how much of the sandbox must hold before a command is run",
    ),
    key(
        "gate.network",
        Shape::Choice(&["off", "on"]),
        Untrusted::Nothing,
        "whether commands of the gate reach the network",
    ),
    key("gate.reads", Shape::List, Untrusted::Nothing, "what else commands of the gate may read: absolute paths"),
    key("gate.timeout_seconds", SECONDS, Untrusted::Nothing, "how long one command of the gate may take"),
    key(
        "gate.fix_rounds",
        Shape::Integer { min: 0, max: 10 },
        Untrusted::Lower,
        "how often a model is asked to mend what the gate found; 0 asks never",
    ),
    key(
        "approvals.identity",
        Shape::Text,
        Untrusted::Nothing,
        "who you are to code owners: @name or a mail address; your own requests you cannot approve",
    ),
    key("approvals.key", Shape::Text, Untrusted::Nothing, "the SSH key that signs your approvals"),
    key(
        "approvals.signers",
        Shape::Text,
        Untrusted::Nothing,
        "the allowed_signers file that says who may approve as whom",
    ),
    // Shorter would let a repository have its traces removed.
    key(
        "audit.retention_days",
        Shape::Integer { min: 30, max: 90 },
        Untrusted::Nothing,
        "how long the audit keeps what its records are about; the records stay",
    ),
    key(
        "audit.share",
        Shape::Choice(&["off", "records", "whole"]),
        Untrusted::Nothing,
        "what a remote backend keeps a copy of: the records, or what they are about, too",
    ),
    // A smaller history forgets what a person could take back, so a repository has no say in it.
    key(
        "history.changes",
        Shape::Integer { min: 1, max: 10_000 },
        Untrusted::Nothing,
        "how many changes can be undone or redone",
    ),
    key("history.days", Shape::Integer { min: 1, max: 3_650 }, Untrusted::Nothing, "how long a change can be undone"),
    key(
        "history.megabytes",
        Shape::Integer { min: 1, max: 100_000 },
        Untrusted::Nothing,
        "how much the history may hold; the newest change is kept whatever its size",
    ),
];

impl Key {
    pub(super) fn path(&self) -> Vec<String> {
        self.name.split('.').map(str::to_owned).collect()
    }

    /// `KRINS_` and the name; `None` for keys under a free name.
    pub(super) fn variable(&self) -> Option<String> {
        (!self.name.contains('*')).then(|| format!("KRINS_{}", self.name.replace('.', "_").to_uppercase()))
    }

    /// How many components of `path` fit from its beginning.
    fn fits(&self, path: &[String]) -> usize {
        self.name.split('.').zip(path).take_while(|(mine, theirs)| *mine == "*" || mine == theirs).count()
    }

    fn depth(&self) -> usize {
        self.name.split('.').count()
    }
}

pub(super) fn find(path: &[String]) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.depth() == path.len() && key.fits(path) == path.len())
}

/// Whether keys are below the path.
pub(super) fn is_section(path: &[String]) -> bool {
    KEYS.iter().any(|key| key.depth() > path.len() && key.fits(path) == path.len())
}

/// The known name that an unknown one was probably meant to be.
pub(super) fn nearest(path: &[String]) -> Option<String> {
    let typed = path.join(".");
    let spelt = |key: &Key| {
        let filled = key.name.split('.').enumerate().map(|(at, word)| match (word, path.get(at)) {
            ("*", Some(theirs)) => theirs.as_str(),
            _ => word,
        });
        filled.take(path.len().max(1)).collect::<Vec<_>>().join(".")
    };
    let whole = |key: &Key| {
        key.name.rsplit('.').next().is_some_and(|last| path.len() == 1 && last == typed).then(|| key.name.to_owned())
    };
    // A word that is a key elsewhere is most likely in the wrong place.
    KEYS.iter().find_map(whole).or_else(|| {
        let near = KEYS.iter().map(spelt).map(|name| (strsim::damerau_levenshtein(&name, &typed), name)).min()?;
        (near.0 <= 3.max(typed.len() / 4)).then_some(near.1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_page_names_every_key_and_no_other() {
        let page = include_str!("../../../../docs/settings.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name));
        assert_eq!(rows.collect::<Vec<_>>(), KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
    }

    #[test]
    fn every_key_is_found_and_no_name_is_a_section_and_a_key() {
        for key in KEYS {
            let path: Vec<String> = key.path().iter().map(|word| word.replace('*', "name")).collect();
            assert_eq!(find(&path).map(|found| found.name), Some(key.name));
            assert!(!is_section(&path), "{}", key.name);
            assert!((1..path.len()).all(|depth| is_section(&path[..depth])), "{}", key.name);
        }
    }

    #[test]
    fn what_chooses_an_endpoint_a_key_or_a_question_is_closed_to_untrusted_files() {
        for key in KEYS {
            let harmless = ["budget.", "output.", "cache."].iter().any(|section| key.name.starts_with(section))
                || ["gate.protected_paths", "gate.denied_licences", "gate.fix_rounds"].contains(&key.name);
            assert_eq!(key.untrusted == Untrusted::Nothing, !harmless, "{}", key.name);
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        let near = |path: &[&str]| nearest(&path.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(near(&["budget", "tokns"]).as_deref(), Some("budget.tokens"));
        assert_eq!(near(&["modle"]).as_deref(), Some("model"));
        assert_eq!(near(&["protected_paths"]).as_deref(), Some("gate.protected_paths"));
        assert_eq!(near(&["providers", "work", "base-url"]).as_deref(), Some("providers.work.base_url"));
        assert_eq!(near(&["budgte"]).as_deref(), Some("budget"));
        assert_eq!(near(&["something_else_entirely"]), None);
    }
}
