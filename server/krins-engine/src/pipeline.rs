//! The whole flow, top to bottom: what a task goes through from words to a diff that may be applied.
//!
//! ```text
//! Base → ContextPack → Redacted<Prompt> → Proposal → Patch → Gated<Patch> → Applied
//! ```
//!
//! Each arrow is one function here, each value can be made only by the step before it, and dropping the future of
//! [`propose`] is the cancel. The sixth step, the apply, is the person's to start: [`apply`].

use crate::apply::{Applied, Applier, Editor, Plan};
use crate::base::Base;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Findings;
use crate::gate::{self, Gated, Rulebook};
use crate::history::Past;
use crate::index::{Index, Partial, View, Wish};
use crate::rules;
use crate::settings::Settings;
use crate::tasks::Step;
use crate::workspace::Root;
use krins_backend::{Ask, Backend, BackendError, Progress, ProgressSink, Proposal};
use krins_core::context::{self, Diagnostic, Query, Reach};
use krins_core::gate::Report;
use krins_core::patch::{self, Patch};
use krins_core::prompt::{ContextPack, Focus, Item, PROMPT_VERSION, Prompt};
use krins_core::redact::{Redacted, Restorer, redact};
use krins_core::refactor::{self, Refactoring};
use krins_core::syntax::Language;
use krins_core::{Digest, Entry, RelPath, Tree, tokens};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{Instrument as _, info_span};

/// A task in words.
#[derive(Clone, Debug, Default)]
pub struct Intent {
    pub words: String,
    pub focus: Option<Focus>,
    pub reach: Reach,
    /// The most tokens of context; without it, the settings'.
    pub budget: Option<u32>,
    pub provider: Option<String>,
    /// Do not answer from the cache.
    pub fresh: bool,
    /// How long to wait for files that are not read yet; without it, what is usual.
    pub patience: Option<Duration>,
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
    pub rules: Arc<Rulebook>,
}

/// What would be sent.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub pack: ContextPack,
    /// There when it was chosen before everything was read.
    pub partial: Option<Partial>,
}

/// Where a task is, as it goes along.
pub trait Reporter: Send + Sync {
    fn stage(&self, stage: Stage);
    fn progress(&self, text: String);
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
    pub steps: Vec<Step>,
}

/// Steps 1 to 5: base, context, answer, diff, verdict.
pub async fn propose(
    shop: &Workshop,
    intent: &Intent,
    base: Arc<Base>,
    reporter: &Arc<dyn Reporter>,
) -> Result<Proposed> {
    let mut clock = Clock::default();
    let intent = &addressed(shop, intent);

    let asked = match consult(shop, intent, &base, reporter, &mut clock).await? {
        Err(failed) => refactored(shop, intent, &base, reporter, &mut clock, failed).await?,
        Ok(asked) => asked,
    };
    let Asked { pack, restorer, ask, proposal } = asked;

    reporter.stage(Stage::Gating);
    let patch = clock.time("diff", normalise(shop, base.clone(), proposal.text.clone(), restorer)).await;
    let patch = patch.inspect_err(|_| shop.backend.forget(&ask))?;

    let verdict = clock.time("gate", judge(shop, patch.clone(), base.clone())).await;
    if verdict.is_err() {
        shop.backend.forget(&ask);
    }
    Ok(Proposed { base, pack, ask, proposal, patch, verdict, steps: clock.steps })
}

/// What was sent, and what came back.
struct Asked {
    pack: ContextPack,
    restorer: Restorer,
    ask: Ask,
    proposal: Proposal,
}

/// Context and answer. The inner error is the backend's.
async fn consult(
    shop: &Workshop,
    intent: &Intent,
    base: &Arc<Base>,
    reporter: &Arc<dyn Reporter>,
    clock: &mut Clock,
) -> Result<std::result::Result<Asked, BackendError>> {
    reporter.stage(Stage::Context);
    let Chosen { pack, partial } = clock.time("context", choose(shop, intent, base.clone())).await?;
    if let Some(Partial { read, total }) = partial {
        reporter.progress(format!("context from {read} of {total} files: the rest is not read yet"));
    }
    let (prompt, restorer) = redact(compose(intent, &pack));

    reporter.stage(Stage::Asking);
    let ask = ask_for(shop, intent, prompt);
    let answered = clock.time("ask", answer(shop, ask.clone(), reporter.clone())).await;
    Ok(answered.map(|proposal| Asked { pack, restorer, ask, proposal }))
}

/// The end of a chain that the settings let end so: where no model answered, and the words are a refactoring's, it is
/// made without one, from whole files. Else the models' failure stands.
async fn refactored(
    shop: &Workshop,
    intent: &Intent,
    base: &Arc<Base>,
    reporter: &Arc<dyn Reporter>,
    clock: &mut Clock,
    failed: BackendError,
) -> Result<Asked> {
    let provider = intent.provider.as_deref();
    let allowed = failed.elsewhere
        && !shop.backend.is_builtin_for(provider)
        && shop.settings.backend().ends_in_builtin(provider.unwrap_or(&shop.settings.provider));
    if !allowed || refactor::understand(&intent.words, intent.focus.as_ref()).is_err() {
        return Err(failed.into());
    }
    reporter.progress("asked builtin: no model answered".to_owned());
    let exact = Intent { provider: Some("builtin".to_owned()), ..intent.clone() };
    let Ok(Ok(mut asked)) = consult(shop, &exact, base, reporter, clock).await else { return Err(failed.into()) };
    asked.proposal.degraded = Some(format!("no model answered: {failed}"));
    Ok(asked)
}

/// Step 6: carry out the plan, which only a gated patch or the history makes: all or nothing, crash-safe, undoable.
pub async fn apply(applier: &Applier, plan: Plan, editor: Option<&dyn Editor>) -> Result<Applied> {
    Ok(applier.apply(plan, editor).await?)
}

/// Where somebody else decides who answers, what needs no model is asked of the keyless refactorings by name: they need
/// whole files, so it has to be known before the context is chosen.
fn addressed(shop: &Workshop, intent: &Intent) -> Intent {
    let mut intent = intent.clone();
    if intent.provider.is_none()
        && shop.backend.decides_elsewhere()
        && refactor::understand(&intent.words, intent.focus.as_ref()).is_ok()
    {
        intent.provider = Some("builtin".to_owned());
    }
    intent
}

/// What the answer is made from. The keyless refactorings need every affected file whole; a model gets a pruned pack.
async fn choose(shop: &Workshop, intent: &Intent, base: Arc<Base>) -> Result<Chosen> {
    if !shop.backend.is_builtin_for(intent.provider.as_deref()) {
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
        Ok(Chosen { pack, partial: None })
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
            reach: intent.reach,
            budget,
            vocabulary,
        };
        let root = base.snapshot().root();
        let rules = |chosen: &_| rules::near(root, chosen, &base);
        let pack = context::select_with_rules(&query, &view.graph, &*base, rules);
        Ok(Chosen { pack, partial: view.partial })
    })
    .await
}

/// A task from a file that the person keeps out would name it, and show what is selected in it.
fn refuse_excluded(intent: &Intent, base: &Base) -> Result<()> {
    intent.focus.as_ref().map_or(Ok(()), |focus| base.exclusions().refuse(&focus.path))
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

fn ask_for(shop: &Workshop, intent: &Intent, prompt: Redacted<Prompt>) -> Ask {
    Ask {
        task: shop.task.clone(),
        prompt,
        provider: intent.provider.clone(),
        model: None,
        max_output_tokens: shop.settings.output_tokens,
        fresh: intent.fresh,
    }
}

async fn answer(shop: &Workshop, ask: Ask, reporter: Arc<dyn Reporter>) -> std::result::Result<Proposal, BackendError> {
    let sink: ProgressSink = Arc::new(move |progress| {
        reporter.progress(match progress {
            Progress::Sent { route } => format!("asked {route}"),
            Progress::Moved { to, from, why } => format!("asked {to}: {from} {why}"),
            Progress::Waiting { route, why, seconds } => format!("waiting {seconds} s: {route} {why}"),
            Progress::Received { characters } => format!("{characters} characters received"),
        });
    });
    shop.backend.ask(ask, sink).instrument(info_span!("krins.ask")).await
}

/// The answer's text → the one normal form, exactly placed on the base that the answer was made for.
async fn normalise(shop: &Workshop, base: Arc<Base>, text: String, restorer: Restorer) -> Result<Patch> {
    // Models write paths as they see them elsewhere, absolute ones too.
    let root = shop.root.path().to_string_lossy().into_owned();
    off_thread("krins.diff", move || {
        let text = restorer.restore(&text)?;
        let parsed = patch::parse_in(&text, &root).map_err(|refusal| Error::from(vec![refusal]))?;
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

async fn judge(shop: &Workshop, patch: Patch, base: Arc<Base>) -> Result<Gated<Patch>, Box<Report>> {
    let rules = shop.rules.clone();
    let verdict = tokio::task::spawn_blocking(move || gate::run(patch, &rules, &*base))
        .instrument(info_span!("krins.gate"))
        .await;
    match verdict {
        Ok(verdict) => verdict,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Runs CPU work on the blocking pool, inside a span.
async fn off_thread<T: Send + 'static>(
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
struct Clock {
    steps: Vec<Step>,
}

impl Clock {
    async fn time<T>(&mut self, name: &str, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let done = work.await;
        self.steps.push(Step { name: name.to_owned(), millis: started.elapsed().as_secs_f64() * 1000.0 });
        done
    }
}
