//! The whole flow, top to bottom: what a task goes through from words to a diff that may be applied.
//!
//! ```text
//! Base → ContextPack → Redacted<Prompt> → Proposal → Patch → Gated<Patch> → Applied
//! ```
//!
//! Each arrow is one function here, each value can be made only by the step before it, and dropping the future of
//! [`propose`] is the cancel. The sixth step, the apply, is the person's to start: [`apply`].

use crate::affected::Known;
use crate::apply::{Applied, Applier, Editor, Plan};
use crate::base::Base;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Findings;
use crate::fix;
use crate::gate::{self, Gated, Rulebook, commands};
use crate::history::Past;
use crate::index::{Index, Partial, View, Wish};
use crate::judging;
use crate::rules;
use crate::runner::{Stop, StopOnDrop};
use crate::settings::Settings;
use crate::spec;
use crate::state::StateDir;
use crate::tasks::Step;
use crate::variants::{self, Placed, Tried};
use crate::workspace::Root;
use krins_backend::money::{Account, Bill};
use krins_backend::router::{Decision, Outcome, Wish as RouterWish};
use krins_backend::{Ask, Backend, BackendError, Progress, ProgressSink, Proposal};
use krins_core::context::{self, Diagnostic, Query, Reach};
use krins_core::gate::{Report, Verdict};
use krins_core::graph::queries::reasons;
use krins_core::patch::{self, Patch};
use krins_core::prompt::{ContextPack, Focus, Item, PROMPT_VERSION, Prompt};
use krins_core::redact::{Redacted, Restorer, Vault, irreversible, redact_with};
use krins_core::refactor::{self, Refactoring};
use krins_core::syntax::Language;
use krins_core::{Digest, Entry, RelPath, Tree, tokens};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{Instrument as _, info_span};

/// Why a change is as it is.
const MOST_REASONS: usize = 3;

/// A task in words.
#[derive(Clone, Debug, Default)]
pub struct Intent {
    pub words: String,
    pub focus: Option<Focus>,
    /// What a model is shown of in any case, the focus or not, as far as the budget goes.
    pub pinned: Vec<Focus>,
    pub reach: Reach,
    /// The most tokens of context; without it, the settings'.
    pub budget: Option<u32>,
    /// The most that the task may cost, in millionths of a US dollar.
    pub micros: Option<u64>,
    pub provider: Option<String>,
    /// Do not answer from the cache.
    pub fresh: bool,
    /// How many answers to ask for side by side; 0 is one.
    pub variants: u8,
    /// How long to wait for files that are not read yet; without it, what is usual.
    pub patience: Option<Duration>,
    /// Tests first, then the code that passes them.
    pub spec: bool,
}

/// What the steps work with. One per task.
pub struct Workshop {
    pub task: String,
    /// How long to wait for an index that is not complete.
    pub patience: Duration,
    pub root: Arc<Root>,
    pub index: Arc<Index>,
    pub past: Arc<Past>,
    pub findings: Arc<Findings>,
    pub backend: Arc<dyn Backend>,
    pub settings: Arc<Settings>,
    /// What placeholders stand for, for as long as the engine is there.
    pub vault: Arc<Mutex<Vault>>,
    pub rules: Arc<Rulebook>,
    /// What the task's calls cost.
    pub bill: Bill,
    pub state: StateDir,
    /// What is known of files that tests depend on.
    pub known: Arc<Known>,
}

/// What would be sent.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub pack: ContextPack,
    /// The most that asking with it can cost, in millionths of a US dollar; `None` when the price is not known.
    pub micros: Option<u64>,
    /// There when it was chosen before everything was read.
    pub partial: Option<Partial>,
}

/// Where a task is, as it goes along.
pub trait Reporter: Send + Sync {
    fn stage(&self, stage: Stage);
    fn progress(&self, text: String);
    /// A check of the gate begins (`None`), or has ended.
    fn check(&self, check: &str, ended: Option<(Verdict, f64)>);
    /// An answer was judged, and another may be asked for. What cannot be put on record is not gone on from.
    fn round(&self, part: fix::Part, round: fix::Round) -> Result<()>;
    /// No other answer is asked for; `kept` is the one that counts.
    fn rounds_ended(&self, part: fix::Part, stop: fix::Stop, kept: Option<Digest>) -> Result<()>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Context,
    Asking,
    Gating,
}

/// What comes out before anybody has said yes.
pub struct Proposed {
    pub base: Arc<Base>,
    pub pack: ContextPack,
    pub ask: Ask,
    pub proposal: Proposal,
    pub patch: Patch,
    pub verdict: Result<Gated<Patch>, Box<Report>>,
    /// How it was chosen who answered.
    pub choice: Option<Decision>,
    /// The other variants, and those that came to nothing.
    pub others: Vec<Tried>,
    pub steps: Vec<Step>,
    /// Tests that were written first, by content.
    pub locked: BTreeMap<RelPath, Digest>,
}

/// One answer with its verdict.
pub struct Attempt {
    pub ask: Ask,
    pub proposal: Proposal,
    pub patch: Patch,
    pub verdict: Result<Gated<Patch>, Box<Report>>,
}

/// Steps 1 to 5: base, context, answer, diff, verdict; and why it is so.
pub async fn propose(
    shop: &Workshop,
    intent: &Intent,
    base: Arc<Base>,
    reporter: &Arc<dyn Reporter>,
) -> Result<Proposed> {
    explained(shop, intent, made(shop, intent, base, reporter).await?).await
}

async fn made(shop: &Workshop, intent: &Intent, base: Arc<Base>, reporter: &Arc<dyn Reporter>) -> Result<Proposed> {
    let mut clock = Clock::default();
    let (intent, routed) = addressed(shop, intent);

    if intent.spec {
        reporter.stage(Stage::Context);
        let chosen = clock.time("context", choose(shop, &intent, base.clone(), routed)).await?;
        tell_partial(chosen.partial, reporter);
        return spec::propose(shop, &intent, base, chosen.pack, clock, reporter).await;
    }
    let mut round = ask_around(shop, &intent, &base, routed, reporter, &mut clock).await?;
    if let Some(failed) = round.failed()
        && let Some(exact) = exact(shop, &intent, routed, &failed)
    {
        reporter.progress("asked builtin: no model answered".to_owned());
        match ask_around(shop, &exact, &base, false, reporter, &mut clock).await {
            Ok(refactored) if refactored.failed().is_none() => {
                round = refactored;
                round.degrade(&format!("no model answered: {failed}"));
            }
            _ => return Err(failed.into()),
        }
    }
    let Round { pack, mut tried } = round;
    let Some(best) = variants::take_best(&mut tried) else {
        let first = tried.into_iter().find_map(|one| one.outcome.err());
        return Err(first.unwrap_or_else(Error::cancelled));
    };
    clock.steps.extend(best.steps);
    let Placed { proposal, patch, verdict } = best.outcome?;
    let (choice, others) = (best.choice, tried);
    let first = Attempt { ask: best.ask, proposal, patch, verdict };
    let last = fix::mend(shop, &intent, &base, &pack, first, &mut clock, reporter).await?;
    let Attempt { ask, proposal, patch, verdict } = last;
    let (steps, locked) = (clock.steps, BTreeMap::new());
    Ok(Proposed { base, pack, ask, proposal, patch, verdict, choice, others, steps, locked })
}

fn tell_partial(partial: Option<Partial>, reporter: &Arc<dyn Reporter>) {
    if let Some(Partial { read, total }) = partial {
        reporter.progress(format!("context from {read} of {total} files: the rest is not read yet"));
    }
}

/// Judges an answer that is placed, and tells the backend what came of it.
#[expect(clippy::too_many_arguments, reason = "an answer, and what it is judged by")]
pub(crate) async fn attempt(
    shop: &Workshop,
    words: &str,
    base: &Arc<Base>,
    ask: Ask,
    proposal: Proposal,
    patch: Patch,
    clock: &mut Clock,
    reporter: &Arc<dyn Reporter>,
) -> Result<Attempt> {
    let verdict = weighed(shop, words, base, &ask, &proposal, &patch, clock, reporter).await?;
    tell(&shop.backend, &ask, &verdict);
    Ok(Attempt { ask, proposal, patch, verdict })
}

/// Tells the backend what the gate said: for its figures, and for what may be answered again.
fn tell(backend: &Arc<dyn Backend>, ask: &Ask, verdict: &Result<Gated<Patch>, Box<Report>>) {
    count(backend, ask, verdict);
    match verdict {
        Ok(_) => backend.keep(ask),
        Err(_) => backend.forget(ask),
    }
}

/// The same for the figures alone.
pub(crate) fn count(backend: &Arc<dyn Backend>, ask: &Ask, verdict: &Result<Gated<Patch>, Box<Report>>) {
    let report = match verdict {
        Ok(gated) => gated.report(),
        Err(report) => report,
    };
    let checks: Vec<_> = report.checks.iter().map(|run| (run.check.as_str(), run.verdict.name())).collect();
    backend.weighed(Some(ask), &checks);
}

/// The whole gate over an answer that is placed: what only looks, what runs, and the judge.
#[expect(clippy::too_many_arguments, reason = "an answer, and what it is judged by")]
async fn weighed(
    shop: &Workshop,
    words: &str,
    base: &Arc<Base>,
    ask: &Ask,
    proposal: &Proposal,
    patch: &Patch,
    clock: &mut Clock,
    reporter: &Arc<dyn Reporter>,
) -> Result<Result<Gated<Patch>, Box<Report>>> {
    let verdict = clock.time("gate", judge(shop, patch.clone(), base.clone(), reporter)).await;
    let verdict = ran(shop, base, patch, verdict, clock, reporter).await?;
    Ok(seen(shop, words, ask, proposal, verdict, clock, reporter).await)
}

/// The judge, where there is one and nothing blocks the change yet.
pub(crate) async fn seen(
    shop: &Workshop,
    words: &str,
    ask: &Ask,
    proposal: &Proposal,
    verdict: Result<Gated<Patch>, Box<Report>>,
    clock: &mut Clock,
    reporter: &Arc<dyn Reporter>,
) -> Result<Gated<Patch>, Box<Report>> {
    match verdict {
        Ok(gated) if shop.settings.judge.is_some() => {
            let author = &proposal.provider;
            reporter.check("judge", None);
            let looking = judging::look(&shop.backend, &shop.settings, words, author, ask, gated, &shop.rules);
            let seen = clock.time("judge", looking).await;
            let report = seen.as_ref().map_or_else(|report| &**report, Gated::report);
            if let Some(run) = report.checks.iter().rev().find(|run| run.check == "judge") {
                reporter.check("judge", Some((run.verdict, run.millis)));
            }
            seen
        }
        verdict => verdict,
    }
}

/// What would be asked.
pub(crate) async fn question(shop: &Workshop, intent: &Intent, pack: &ContextPack) -> Result<Ask> {
    let (prompt, _) = veil(shop, compose(intent, pack)).await?;
    Ok(ask_for(shop, intent, prompt))
}

/// An answer that came, and the change that it is, or why it is none.
pub(crate) type Answer = (Ask, Proposal, Result<Patch>);

/// Asks once, with these words, and places the answer; `like` is whom an earlier one came from.
#[expect(clippy::too_many_arguments, reason = "what one answer is made from")]
pub(crate) async fn answered(
    shop: &Workshop,
    intent: &Intent,
    base: &Arc<Base>,
    pack: &ContextPack,
    words: &str,
    like: Option<&Ask>,
    clock: &mut Clock,
    reporter: &Arc<dyn Reporter>,
) -> Result<Answer> {
    let again = Intent { words: words.to_owned(), ..intent.clone() };
    let (prompt, restorer) = clock.time("redact", veil(shop, compose(&again, pack))).await?;
    reporter.stage(Stage::Asking);
    let mut ask = ask_for(shop, intent, prompt);
    if let Some(like) = like {
        (ask.provider, ask.model, ask.account.variant) =
            (like.provider.clone(), like.model.clone(), like.account.variant);
    }
    let mut proposal = clock.time("ask", answer(shop, ask.clone(), reporter.clone())).await?;
    reporter.stage(Stage::Gating);
    quote(&mut proposal, &restorer);
    let patch = clock.time("diff", normalise(shop, base.clone(), proposal.text.clone(), restorer)).await;
    let patch = patch.inspect_err(|_| shop.backend.forget(&ask));
    Ok((ask, proposal, patch))
}

/// Build, types and tests, where the settings turn them on and nothing blocks the change yet. Dropping the future ends the
/// commands.
pub(crate) async fn ran(
    shop: &Workshop,
    base: &Arc<Base>,
    patch: &Patch,
    verdict: Result<Gated<Patch>, Box<Report>>,
    clock: &mut Clock,
    reporter: &Arc<dyn Reporter>,
) -> Result<Result<Gated<Patch>, Box<Report>>> {
    if verdict.is_err() || !shop.settings.commands.any() {
        return Ok(verdict);
    }
    let commands = Arc::new(shop.settings.commands.clone());
    let (state, index, known) = (shop.state.clone(), shop.index.clone(), shop.known.clone());
    let (base, patch, reporter) = (base.clone(), patch.clone(), reporter.clone());
    let stop = Stop::default();
    let guard = StopOnDrop(stop.clone());
    let work = off_thread("krins.commands", move || {
        let say = |text: String| reporter.progress(text);
        let watch = |check: &str, ended: Option<(Verdict, f64)>| reporter.check(check, ended);
        let shop = commands::Shop {
            state: &state,
            index: &index,
            known: &known,
            commands: &commands,
            stop: &stop,
            say: &say,
            watch: &watch,
        };
        commands::run(&shop, &base, &patch)
    });
    let found = clock.time("commands", work).await?;
    drop(guard);
    Ok(gate::with_runs(verdict, &shop.rules, found))
}

/// What was sent, and what every variant came to.
struct Round {
    pack: ContextPack,
    tried: Vec<Tried>,
}

impl Round {
    /// The backend's failure, where there is no answer at all.
    fn failed(&self) -> Option<BackendError> {
        let answered = self.tried.iter().any(|one| one.outcome.is_ok());
        self.tried.iter().find_map(|one| one.failed.clone()).filter(|_| !answered)
    }

    fn degrade(&mut self, why: &str) {
        for placed in self.tried.iter_mut().filter_map(|one| one.outcome.as_mut().ok()) {
            placed.proposal.degraded = Some(why.to_owned());
        }
    }
}

/// Context, answers, diffs and verdicts.
async fn ask_around(
    shop: &Workshop,
    intent: &Intent,
    base: &Arc<Base>,
    routed: bool,
    reporter: &Arc<dyn Reporter>,
    clock: &mut Clock,
) -> Result<Round> {
    reporter.stage(Stage::Context);
    let chosen = clock.time("context", choose(shop, intent, base.clone(), routed)).await?;
    let Chosen { pack, partial, .. } = chosen;
    tell_partial(partial, reporter);
    let (prompt, restorer) = clock.time("redact", veil(shop, compose(intent, &pack))).await?;

    reporter.stage(Stage::Asking);
    let asks = asks(shop, intent, prompt, pack.tokens, routed, reporter).await?;
    let alone = asks.len() == 1;
    let trial = Trial { shop, intent, base, restorer: &restorer, reporter, alone };
    let trying = asks.into_iter().map(|(ask, choice)| trial.attempt(ask, choice));
    let tried = futures::future::join_all(trying).await;
    Ok(Round { pack, tried })
}

/// The end of a chain that the settings let end so: where no model answered, and the words are a refactoring's, it is
/// made without one, from whole files. Else the models' failure stands.
fn exact(shop: &Workshop, intent: &Intent, routed: bool, failed: &BackendError) -> Option<Intent> {
    let provider = intent.provider.as_deref();
    let allowed = failed.elsewhere
        && (routed || !shop.backend.is_builtin_for(provider))
        && shop.settings.backend().ends_in_builtin(provider.unwrap_or(&shop.settings.provider));
    let understood = allowed && refactor::understand(&intent.words, intent.focus.as_ref()).is_ok();
    understood.then(|| Intent { provider: Some("builtin".to_owned()), ..intent.clone() })
}

/// What every variant is made with.
struct Trial<'a> {
    shop: &'a Workshop,
    intent: &'a Intent,
    base: &'a Arc<Base>,
    restorer: &'a Restorer,
    reporter: &'a Arc<dyn Reporter>,
    /// There is only one, so its steps are the task's.
    alone: bool,
}

impl Trial<'_> {
    /// Asks once, places the answer and judges it.
    async fn attempt(&self, ask: Ask, choice: Option<Decision>) -> Tried {
        let mut clock = Clock::default();
        let mut failed = None;
        let outcome = self.place(&ask, &mut clock, &mut failed).await;
        let backend = &self.shop.backend;
        if let Some(choice) = &choice {
            let passed = match &outcome {
                Ok(placed) => Some(placed.verdict.is_ok()),
                Err(error) => no_use(error.kind).then_some(false),
            };
            if let Some(passed) = passed {
                backend.note("", &choice.id, Outcome::Gate { passed });
            }
        }
        let outcome = outcome.inspect(|placed| tell(backend, &ask, &placed.verdict));
        Tried { variant: ask.account.variant, ask, choice, outcome, failed, steps: clock.steps }
    }

    async fn place(&self, ask: &Ask, clock: &mut Clock, failed: &mut Option<BackendError>) -> Result<Placed> {
        let Self { shop, intent, base, restorer, reporter, alone } = self;
        let answered = clock.time("ask", answer(shop, ask.clone(), (*reporter).clone())).await;
        let mut proposal = answered.inspect_err(|error| *failed = Some(error.clone()))?;
        quote(&mut proposal, restorer);
        if *alone {
            reporter.stage(Stage::Gating);
        }
        let text = proposal.text.clone();
        let patch = clock.time("diff", normalise(shop, (*base).clone(), text, (*restorer).clone())).await;
        let patch = patch.inspect_err(|_| shop.backend.forget(ask))?;
        let words = &intent.words;
        let verdict = weighed(shop, words, base, ask, &proposal, &patch, clock, reporter).await?;
        Ok(Placed { proposal, patch, verdict })
    }
}

/// Whether a failure is the route's own, and not the person's, their money's or ours.
fn no_use(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::GateFailed | ErrorKind::BackendUnavailable | ErrorKind::ProviderRefused | ErrorKind::Overloaded
    )
}

/// What is asked, of whom: one for each variant.
async fn asks(
    shop: &Workshop,
    intent: &Intent,
    prompt: Redacted<Prompt>,
    tokens: u32,
    routed: bool,
    reporter: &Arc<dyn Reporter>,
) -> Result<Vec<(Ask, Option<Decision>)>> {
    // The keyless refactorings have one answer.
    let exact = shop.backend.is_builtin_for(intent.provider.as_deref()) && !routed;
    let one = exact || shop.backend.level().one_variant();
    let count = if one { 1 } else { u32::from(intent.variants.clamp(1, variants::MOST)) };
    let mut asks = Vec::new();
    let mut avoid = Vec::new();
    for variant in 0..count {
        let mut ask = ask_for(shop, intent, prompt.clone());
        ask.account.variant = variant;
        let mut choice = None;
        if routed {
            let wish = RouterWish {
                tenant: String::new(),
                task: shop.task.clone(),
                words: intent.words.clone(),
                micros: [intent.micros, shop.settings.money.limits.task].into_iter().flatten().min(),
                prompt: u64::from(tokens),
                output: u64::from(shop.settings.output_tokens),
                variant,
                avoid: avoid.clone(),
            };
            let decision = shop.backend.choose(&wish).await.ok_or_else(|| {
                Error::new(ErrorKind::BackendUnavailable, "choose who answers: no arm of the router is open")
                    .hint("wait until one has cooled down, raise the budget, or name one with --provider")
            })?;
            reporter.progress(decision.explanation.clone());
            if let Some((provider, model)) = decision.route.split_once('/') {
                (ask.provider, ask.model) = (Some(provider.to_owned()), Some(model.to_owned()));
            }
            avoid.push(decision.route.clone());
            choice = Some(decision);
        }
        asks.push((ask, choice));
    }
    Ok(asks)
}

/// Step 6: carry out the plan, which only a gated patch or the history makes: all or nothing, crash-safe, undoable.
pub async fn apply(applier: &Applier, plan: Plan, editor: Option<&dyn Editor>) -> Result<Applied> {
    Ok(applier.apply(plan, editor).await?)
}

/// Where somebody else decides who answers, what needs no model is asked of the keyless refactorings by name: they need
/// whole files, so it has to be known before the context is chosen. Also whether the router is to choose.
fn addressed(shop: &Workshop, intent: &Intent) -> (Intent, bool) {
    let mut intent = intent.clone();
    let open = intent.provider.is_none();
    let routed = open && shop.backend.chooses();
    if open
        && (shop.backend.decides_elsewhere() || routed && shop.backend.is_builtin())
        && refactor::understand(&intent.words, intent.focus.as_ref()).is_ok()
    {
        intent.provider = Some("builtin".to_owned());
        return (intent, false);
    }
    (intent, routed)
}

/// What the answer is made from. The keyless refactorings need every affected file whole; a model gets a pruned pack.
async fn choose(shop: &Workshop, intent: &Intent, base: Arc<Base>, routed: bool) -> Result<Chosen> {
    if routed || !shop.backend.is_builtin_for(intent.provider.as_deref()) {
        return select(shop, intent, base).await;
    }
    let (index, intent) = (shop.index.clone(), intent.clone());
    off_thread("krins.context", move || {
        refuse_excluded(&intent, &base)?;
        let wanted = refactor::understand(&intent.words, intent.focus.as_ref())?;
        all_in_step(&base)?;
        let View { graph, unread, .. } = index.view(base.snapshot());
        let wanted = refactor::aim(wanted, intent.focus.as_ref(), &graph);
        refuse_blind_spots(&wanted, &unread, &*base)?;
        let pack = whole_files(&refactor::affected(&wanted, &graph, &*base)?, &*base)?;
        Ok(Chosen { pack, micros: Some(0), partial: None })
    })
    .await
}

/// The pruned pack under the budget.
pub async fn select(shop: &Workshop, intent: &Intent, base: Arc<Base>) -> Result<Chosen> {
    let (index, past, findings, intent) =
        (shop.index.clone(), shop.past.clone(), shop.findings.clone(), intent.clone());
    let budget = intent.budget.unwrap_or(shop.settings.budget_tokens);
    let vocabulary = shop.settings.vocabulary();
    let (usual, own) = (shop.patience, intent.patience);
    off_thread("krins.context", move || {
        refuse_excluded(&intent, &base)?;
        let (view, history) = std::thread::scope(|scope| {
            let history = scope.spawn(|| past.refresh());
            scope.spawn(|| vocabulary.prepare());
            let wish = Wish { focus: intent.focus.as_ref().map(|focus| &focus.path), words: &intent.words };
            (
                match own {
                    Some(patience) => index.soon(base.snapshot(), &wish, patience),
                    None => index.answer(base.snapshot(), &wish, usual),
                },
                history.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            )
        });
        let query = Query {
            history,
            open: open(&base),
            diagnostics: diagnostics(&findings, &base),
            intent: intent.words,
            focus: intent.focus,
            pinned: intent.pinned,
            reach: intent.reach,
            budget,
            vocabulary,
        };
        let root = base.snapshot().root();
        let rules = |chosen: &_| rules::near(root, chosen, &base);
        let pack = context::select_with_rules(&query, &view.graph, &*base, rules);
        Ok(Chosen { pack, micros: None, partial: view.partial })
    })
    .await
}

/// What a model would be sent, and the most that it could cost.
pub async fn look(shop: &Workshop, intent: &Intent, base: Arc<Base>) -> Result<Chosen> {
    let chosen = select(shop, intent, base).await?;
    let (prompt, _) =
        redact_with(compose(intent, &chosen.pack), &shop.settings.redaction.classes(), &mut Vault::default());
    let (backend, ask) = (shop.backend.clone(), ask_for(shop, intent, prompt));
    let micros = off_thread("krins.estimate", move || Ok(backend.estimate(&ask))).await?;
    Ok(Chosen { micros, ..chosen })
}

/// A task from a file that the person keeps out would name it, and show what is selected in it.
fn refuse_excluded(intent: &Intent, base: &Base) -> Result<()> {
    let mut named = intent.focus.iter().chain(&intent.pinned);
    named.try_for_each(|focus| base.exclusions().refuse(&focus.path))
}

fn open(base: &Base) -> Vec<RelPath> {
    let mut open: Vec<RelPath> =
        base.snapshot().documents().iter().filter_map(|document| document.path.clone()).collect();
    open.retain(|path| !base.exclusions().hold(path));
    open.sort();
    open
}

fn diagnostics(findings: &Findings, base: &Base) -> Vec<Diagnostic> {
    let mut found = findings.of(base.snapshot().documents());
    found.retain(|diagnostic| !base.exclusions().hold(&diagnostic.path));
    found
}

/// A refactoring changes every use. A document that is out of step with the editor could hold one that nobody sees.
fn all_in_step(base: &Base) -> Result<()> {
    let code = |path: &krins_core::RelPath| Language::of(path).is_some();
    let lost = base.snapshot().documents().iter().filter(|document| document.desynchronised);
    match lost.filter_map(|document| document.path.as_ref()).find(|path| code(path)) {
        Some(path) => Err(Error::new(ErrorKind::StaleBase, format!("read {path}: it is out of step with the editor"))
            .hint("close and reopen the file, and assign the task again")),
        None => Ok(()),
    }
}

/// A name that code outside the graph holds may be a use that nobody would change.
fn refuse_blind_spots(wanted: &Refactoring, unread: &[RelPath], base: &dyn Tree) -> Result<()> {
    let (Refactoring::Rename { from: name, .. } | Refactoring::Move { symbol: name, .. }) = wanted else {
        return Ok(());
    };
    let could_hold = |path: &&RelPath| match base.entry(path) {
        Entry::File { bytes, .. } => memchr::memmem::find(&bytes, name.as_bytes()).is_some(),
        Entry::Missing => false,
        Entry::Refused(_) => true,
    };
    match unread.iter().find(could_hold) {
        None => Ok(()),
        Some(path) => Err(Error::new(
            ErrorKind::BadParams,
            format!("follow {name} into {path}: it is too large, unreadable or not UTF-8, and may use the name"),
        )
        .hint("convert the file, or exclude it in .krinsignore")),
    }
}

fn whole_files(paths: &[RelPath], base: &dyn Tree) -> Result<ContextPack> {
    let mut pack = ContextPack { files: paths.to_vec(), ..ContextPack::default() };
    for path in paths {
        let text = base.text(path).ok_or_else(|| {
            Error::new(ErrorKind::BadParams, format!("read {path} as UTF-8 text"))
                .hint("convert the file, or exclude it in .krinsignore")
        })?;
        let lines = (text.lines().count() as u32).max(1);
        let cost = tokens::count(&text);
        pack.tokens += cost;
        pack.items.push(Item {
            path: path.clone(),
            digest: Digest::of(&*text),
            ranges: vec![[1, lines]],
            verbatim: true,
            text: text.to_string(),
            tokens: cost,
            reason: "the refactoring may change it".into(),
        });
    }
    Ok(pack)
}

fn compose(intent: &Intent, pack: &ContextPack) -> Prompt {
    Prompt {
        version: PROMPT_VERSION,
        intent: intent.words.clone(),
        focus: intent.focus.clone(),
        items: pack.items.clone(),
    }
}

/// What leaves the machine: without secrets, and without data of people as far as the person says.
async fn veil(shop: &Workshop, prompt: Prompt) -> Result<(Redacted<Prompt>, Restorer)> {
    let (vault, classes) = (shop.vault.clone(), shop.settings.redaction.classes());
    off_thread("krins.redact", move || {
        let mut vault = vault.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(redact_with(prompt, &classes, &mut vault))
    })
    .await
}

fn ask_for(shop: &Workshop, intent: &Intent, prompt: Redacted<Prompt>) -> Ask {
    Ask {
        task: shop.task.clone(),
        prompt,
        provider: intent.provider.clone(),
        model: None,
        max_output_tokens: shop.settings.output_tokens,
        fresh: intent.fresh,
        account: Account { micros: intent.micros, bill: shop.bill.clone(), ..Account::default() },
    }
}

async fn answer(shop: &Workshop, ask: Ask, reporter: Arc<dyn Reporter>) -> std::result::Result<Proposal, BackendError> {
    if let Some(like) = shop.backend.similar(&ask) {
        reporter.progress(format!("like task {}, which is answered: {}", like.task, like.words));
    }
    let sink: ProgressSink = Arc::new(move |progress| {
        reporter.progress(match progress {
            Progress::Sent { route } => format!("asked {route}"),
            Progress::Moved { to, from, why } => format!("asked {to}: {from} {why}"),
            Progress::Waiting { route, why, seconds } => format!("waiting {seconds} s: {route} {why}"),
            Progress::Level { level } => format!("under load: {level}"),
            Progress::Received { characters } => format!("{characters} characters received"),
        });
    });
    shop.backend.ask(ask, sink).instrument(info_span!("krins.ask")).await
}

/// Where no reasons came with an answer, the model's own first words are one, marked as such. Words that name what was taken
/// out of the prompt, or look as if they should have been, are left out: reasons are kept where no such thing may be.
fn quote(proposal: &mut Proposal, restorer: &Restorer) {
    if !proposal.why.is_empty() {
        return;
    }
    let Some(words) = patch::said(&proposal.text) else { return };
    let names_nothing = restorer.restore(&words).is_ok_and(|restored| restored == words);
    if names_nothing && irreversible(&words) == words {
        proposal.why.push((format!("in the model's own words: {words}"), Vec::new()));
    }
}

/// Puts the reasons that the code graph knows before a model's own words. Those of the refactorings are better.
pub(crate) async fn explained(shop: &Workshop, intent: &Intent, mut proposed: Proposed) -> Result<Proposed> {
    let (index, focus) = (shop.index.clone(), intent.focus.as_ref().map(|focus| focus.path.clone()));
    let explained = off_thread("krins.why", move || {
        let graph = index.known();
        let explain = |proposal: &mut Proposal, patch: &Patch| {
            if proposal.why.iter().all(|(_, places)| places.is_empty()) {
                let own = std::mem::take(&mut proposal.why);
                let most = MOST_REASONS.saturating_sub(own.len());
                proposal.why = reasons(&graph, patch, focus.as_ref(), most).into_iter().chain(own).collect();
            }
            proposal.why.truncate(MOST_REASONS);
        };
        explain(&mut proposed.proposal, &proposed.patch);
        for placed in proposed.others.iter_mut().filter_map(|tried| tried.outcome.as_mut().ok()) {
            explain(&mut placed.proposal, &placed.patch);
        }
        Ok(proposed)
    });
    explained.await
}

/// The answer's text → the one normal form, exactly placed on the base that the answer was made for.
async fn normalise(shop: &Workshop, base: Arc<Base>, text: String, restorer: Restorer) -> Result<Patch> {
    // Models write paths as they see them elsewhere, absolute ones too.
    let root = shop.root.path().to_string_lossy().into_owned();
    off_thread("krins.diff", move || {
        let parsed = patch::parse_in(&text, &root).map_err(|refusal| Error::from(vec![refusal]))?;
        // After the form was read: what a value holds is no mark of it.
        let parsed = parsed.with_texts(&mut |line| restorer.restore(line))?;
        let patch = patch::place(&parsed, &*base, true)?;
        if patch.is_empty() {
            return Err(Error::new(
                ErrorKind::GateFailed,
                "find a change in the answer: it leaves every file as it is",
            ));
        }
        Ok(patch)
    })
    .await
}

pub(crate) async fn judge(
    shop: &Workshop,
    patch: Patch,
    base: Arc<Base>,
    reporter: &Arc<dyn Reporter>,
) -> Result<Gated<Patch>, Box<Report>> {
    let (rules, reporter) = (shop.rules.clone(), reporter.clone());
    let work = move || gate::run_watched(patch, &rules, &*base, &|check, ended| reporter.check(check, ended));
    let verdict = tokio::task::spawn_blocking(work).instrument(info_span!("krins.gate")).await;
    match verdict {
        Ok(verdict) => verdict,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Runs CPU work on the blocking pool, inside a span.
pub(crate) async fn off_thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let span = info_span!("krins.step", otel.name = name);
    let inner = span.clone();
    match tokio::task::spawn_blocking(move || inner.in_scope(work)).instrument(span).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Error::cancelled()),
    }
}

/// Where the time went.
#[derive(Default)]
pub(crate) struct Clock {
    pub(crate) steps: Vec<Step>,
}

impl Clock {
    pub(crate) async fn time<T>(&mut self, name: &str, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let done = work.await;
        self.steps.push(Step { name: name.to_owned(), millis: started.elapsed().as_secs_f64() * 1000.0 });
        done
    }
}

#[cfg(test)]
mod tests;
