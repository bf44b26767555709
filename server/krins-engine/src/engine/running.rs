//! What the engine runs of the person's commands, and what it asks again because of what they said.

use super::said::{Known, Word, hear};
use super::{Assigned, Engine, Inner, Review, TaskReporter, blocked, catch_panic, chosen};
use crate::affected::{self, Affected};
use crate::base::{Base, Current};
use crate::commands::Bench;
use crate::error::{Error, ErrorKind, Result};
use crate::fix;
use crate::gate::{self, Gated, commands};
use crate::judging;
use crate::pipeline::{self, Attempt, Clock, Intent, Proposed, Reporter, Stage, Workshop};
use crate::runner::{Ran, Stop, StopOnDrop};
use crate::settings::Commands;
use crate::tasks::{Task, TaskState};
use krins_backend::money::{Account, Bill};
use krins_backend::{Ask, Proposal};
use krins_core::gate::Report;
use krins_core::patch::Patch;
use krins_core::prompt::{PROMPT_VERSION, Prompt};
use krins_core::redact::redact;
use krins_core::{Entry, Tree as _};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument as _;

impl Engine {
    /// Runs a command in a copy of the workspace as it is now. Blocking.
    pub fn run_in_sandbox(
        &self,
        argv: &[OsString],
        timeout: Option<Duration>,
        namespaces: bool,
        stop: Stop,
    ) -> Result<Ran> {
        let mut commands: Commands = self.settings().commands.clone();
        commands.timeout = timeout.unwrap_or(commands.timeout);
        commands.namespaces = namespaces;
        let bench = Bench::new(self.state(), &self.snapshot().base(), Arc::new(commands), stop)?;
        Ok(bench.run(argv, "")?)
    }

    /// The tests that a patch of the files as they are now can make fail. Blocking.
    pub fn affected(&self, patch: &Patch) -> Affected {
        let plain = &self.settings().commands.test_commands;
        affected::affected(&self.inner.index, &self.inner.known, &self.snapshot().base(), patch, plain)
    }

    /// Judges a patch of the files as they are now, commands included where the settings turn them on.
    pub async fn judge_patch(&self, patch: Patch, say: impl Fn(String) + Send + 'static) -> Result<Report> {
        let judged = self.gated(patch).await?;
        let judged = self.run_commands(judged, say).await?;
        Ok(match judged {
            Ok(gated) => gated.report().clone(),
            Err(report) => *report,
        })
    }

    /// The same of a task's change, as it is now. What was held against the answer is held against what is left of it.
    pub async fn judge_task(&self, task: Option<&str>, say: impl Fn(String) + Send + 'static) -> Result<Report> {
        let review = self.review(task)?;
        let judged = self.gated(review.patch.clone()).await?;
        let (change, patch) = (self.change(&review), review.patch);
        let current = Current::new(self.inner.root.clone(), self.inner.documents.clone());
        let said = tokio::task::spawn_blocking(move || (change.said(&patch, &current), patch)).await;
        let (said, patch) =
            said.map_err(|error| Error::new(ErrorKind::Internal, format!("look at the change: {error}")))?;
        let judged = match judged {
            Ok(gated) => gate::with_runs(Ok(gated), &self.inner.rules, said),
            Err(report) => Err(Box::new(gate::recall(*report, &patch, &self.inner.rules, said))),
        };
        Ok(match self.run_commands(judged, say).await? {
            Ok(gated) => gated.report().clone(),
            Err(report) => *report,
        })
    }

    /// What running things said of the task's change counts for the same change; another one, a part of it too, is run. What
    /// was held against the answer goes with it.
    pub(super) async fn tried(
        &self,
        judged: Result<Gated<Patch>, Box<Report>>,
        review: &Review,
    ) -> Result<Result<Gated<Patch>, Box<Report>>> {
        let Ok(gated) = &judged else { return Ok(judged) };
        let (change, patch) = (self.change(review), gated.value().clone());
        let current = Current::new(self.inner.root.clone(), self.inner.documents.clone());
        let known = tokio::task::spawn_blocking(move || change.known(&patch, &current)).await;
        let Known { found, is_run } =
            known.map_err(|error| Error::new(ErrorKind::Internal, format!("look at the change: {error}")))?;
        let judged = gate::with_runs(judged, &self.inner.rules, found);
        if is_run { Ok(judged) } else { self.run_commands(judged, |_| ()).await }
    }

    /// A judge that was not asked, because something else blocked the change then, is asked before the change is made.
    pub(super) async fn seen_by_judge(
        &self,
        judged: Result<Gated<Patch>, Box<Report>>,
        task: &Task,
    ) -> Result<Result<Gated<Patch>, Box<Report>>> {
        let author = author(task);
        let Ok(gated) = judged else { return Ok(judged) };
        match self.word_on(task, gated.value(), author) {
            Word::None => return Ok(Ok(gated)),
            Word::Heard(heard) => return Ok(self.with_word(gated, heard)),
            Word::Open => {}
        }
        let bill = Bill::default();
        let nothing = Prompt { version: PROMPT_VERSION, intent: String::new(), focus: None, items: Vec::new() };
        let ask = Ask {
            task: task.id.clone(),
            prompt: redact(nothing).0,
            provider: None,
            model: None,
            max_output_tokens: self.settings().output_tokens,
            fresh: false,
            account: Account { bill: bill.clone(), ..Account::default() },
        };
        let (backend, rules) = (&self.inner.backend, &self.inner.rules);
        let seen = judging::look(backend, self.settings(), &task.intent, author, &ask, gated, rules).await;
        // Not while a hunk is being judged: what it comes to would take the place of what is kept here.
        let _turn = self.inner.reviewing.lock().await;
        let report = seen.as_ref().map_or_else(|report| &**report, Gated::report);
        self.inner.tasks.update(&task.id, |task| {
            task.calls.extend(bill.entries());
            hear(task, report);
        })?;
        Ok(seen)
    }

    /// The whole gate again, for what is about to be shown outside of a review: without what was rejected, under the policy
    /// of now. Blocking.
    pub(super) fn judged_again(&self, review: &Review) -> Result<Gated<Patch>> {
        self.no_objection(review)?;
        let blocks = |report: Box<Report>| blocked(&review.task.id, Some(&report));
        let current = Current::new(self.inner.root.clone(), self.inner.documents.clone());
        let gated = gate::run(chosen(review, None)?, &self.inner.rules, &current).map_err(blocks)?;
        let Known { found, is_run } = self.change(review).known(gated.value(), &current);
        let mut judged = gate::with_runs(Ok(gated), &self.inner.rules, found);
        if let (false, true, Ok(gated)) = (is_run, self.settings().commands.any(), &judged) {
            let commands = Arc::new(self.settings().commands.clone());
            let found = self.found_by_running(gated.value(), &commands, &Stop::default(), &|_| ())?;
            judged = gate::with_runs(judged, &self.inner.rules, found);
        }
        let gated = judged.map_err(blocks)?;
        match self.word_on(&review.task, gated.value(), author(&review.task)) {
            Word::None => Ok(gated),
            Word::Heard(heard) => self.with_word(gated, heard).map_err(blocks),
            Word::Open => {
                let id = &review.task.id;
                let why = format!("show task {id}: the judge has not seen the change");
                Err(Error::new(ErrorKind::GateFailed, why)
                    .hint("apply it, also as a dry run, which asks the judge first, or assign the task again"))
            }
        }
    }

    async fn run_commands(
        &self,
        judged: Result<Gated<Patch>, Box<Report>>,
        say: impl Fn(String) + Send + 'static,
    ) -> Result<Result<Gated<Patch>, Box<Report>>> {
        let commands = Arc::new(self.settings().commands.clone());
        let Ok(gated) = &judged else { return Ok(judged) };
        if !commands.any() {
            return Ok(judged);
        }
        let (engine, patch, stop) = (self.clone(), gated.value().clone(), Stop::default());
        let guard = StopOnDrop(stop.clone());
        let work = tokio::task::spawn_blocking(move || engine.found_by_running(&patch, &commands, &stop, &say));
        let found =
            work.await.map_err(|error| Error::new(ErrorKind::Internal, format!("run the commands: {error}")))??;
        drop(guard);
        Ok(gate::with_runs(judged, &self.inner.rules, found))
    }

    /// Blocking.
    fn found_by_running(
        &self,
        patch: &Patch,
        commands: &Arc<Commands>,
        stop: &Stop,
        say: &dyn Fn(String),
    ) -> Result<commands::Found> {
        let Inner { state, index, known, .. } = &*self.inner;
        let shop = commands::Shop { state, index, known, commands, stop, say, watch: &|_, _| () };
        commands::run(&shop, &self.snapshot().base(), patch)
    }

    /// Asks the model again for a change that the gate blocks, with what it found; at most so many rounds. Must run inside
    /// a tokio runtime.
    pub fn fix(&self, task: Option<&str>, rounds: Option<u32>) -> Result<Assigned> {
        let task = self.inner.tasks.find(task)?;
        let id = task.id.clone();
        let refused =
            |why: &str, hint: &str| Error::new(ErrorKind::BadParams, format!("fix task {id}: {why}")).hint(hint);
        let Some(report) = task.report.clone().filter(|_| task.state == TaskState::Blocked) else {
            return Err(refused("the gate does not block it", "`krins diff` shows what the gate says"));
        };
        if !task.locked.is_empty() {
            return Err(refused("its tests are locked", "assign it again in the spec mode"));
        }
        let answered = task.answered.clone().unwrap_or_default();
        let (provider, model) = answered.route.split_once('/').unwrap_or((&answered.route, ""));
        if provider == "builtin" {
            return Err(refused(
                "no model answered it",
                "the built-in refactorings give the same answer to the same words",
            ));
        }
        let patch = self.patch_of(&task)?;
        let base = Arc::new(self.snapshot().base());
        self.is_still_the_base(&id, &patch, &base)?;
        let rounds = rounds.unwrap_or(self.settings().commands.fix_rounds.max(1)).clamp(1, 10);
        let Some(cancel) = self.inner.tasks.resume(&id)? else {
            return Ok(Assigned { task: id, state: task.state, deduplicated: true });
        };
        let proposal = Proposal {
            text: String::new(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            usage: Default::default(),
            cached: false,
            why: Vec::new(),
            degraded: None,
        };
        let engine = self.clone();
        let span = tracing::info_span!("krins.fix", task = %id);
        let words = task.intent.clone();
        let work = async move {
            let teller = Arc::new(TaskReporter::new(&engine, &task.id));
            let reporter: Arc<dyn Reporter> = teller.clone();
            let intent = Intent { words, ..Intent::default() };
            let shop = engine.workshop(&task.id);
            let work = engine.mend(&shop, intent, base, (proposal, patch, report), rounds, &reporter);
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Error::cancelled()),
                outcome = catch_panic(work) => outcome,
            };
            teller.leave(&outcome);
            if let Err(error) = engine.settle_again(&task, outcome, &shop.bill) {
                tracing::error!(task = %task.id, %error, "the task's outcome could not be stored");
                engine.inner.tasks.fail_unstored(&task.id, error);
            }
        };
        tokio::spawn(krins_backend::propagation::carry(work.instrument(span)));
        Ok(Assigned { task: id, state: TaskState::Queued, deduplicated: false })
    }

    async fn mend(
        &self,
        shop: &Workshop,
        intent: Intent,
        base: Arc<Base>,
        (proposal, patch, report): (Proposal, Patch, Report),
        rounds: u32,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Proposed> {
        let mut clock = Clock::default();
        reporter.stage(Stage::Context);
        let pack = clock.time("context", pipeline::select(shop, &intent, base.clone())).await?.pack;
        let ask = pipeline::question(shop, &intent, &pack).await?;
        let first = Attempt { ask, proposal, patch, verdict: Err(Box::new(report)) };
        let last = fix::mend_up_to(rounds, shop, &intent, &base, &pack, first, &mut clock, reporter).await?;
        let Attempt { ask, proposal, patch, verdict } = last;
        let locked = Default::default();
        let proposed = Proposed {
            base,
            pack,
            ask,
            proposal,
            patch,
            verdict,
            choice: None,
            others: Vec::new(),
            steps: clock.steps,
            locked,
        };
        pipeline::explained(shop, &intent, proposed).await
    }

    /// A fix that came to nothing leaves the task as it was, and says so.
    fn settle_again(&self, before: &Task, outcome: Result<Proposed>, bill: &Bill) -> Result<()> {
        match outcome {
            Ok(proposed) => {
                self.settle(&before.id, Ok(proposed), bill)?;
                // What was paid before counts, too, and what could be taken can still be.
                self.inner.tasks.update(&before.id, |task| {
                    task.calls = before.calls.iter().cloned().chain(std::mem::take(&mut task.calls)).collect();
                    task.others.clone_from(&before.others);
                })?;
                Ok(())
            }
            Err(error) => {
                self.inner.tasks.update(&before.id, |task| {
                    let (seq, rounds) = (task.seq, std::mem::take(&mut task.rounds));
                    *task = before.clone();
                    (task.seq, task.rounds) = (seq, rounds);
                    task.calls.extend(bill.entries());
                    task.error = Some(error);
                })?;
                Ok(())
            }
        }
    }

    fn is_still_the_base(&self, id: &str, patch: &Patch, base: &Base) -> Result<()> {
        for file in patch.files() {
            let path = file.from.as_ref().unwrap_or(&file.path);
            let same = match (base.entry(path), &file.before) {
                (Entry::File { bytes, .. }, Some(before)) => bytes == *before,
                (Entry::Missing, None) => true,
                _ => false,
            };
            if !same {
                return Err(Error::new(ErrorKind::StaleBase, format!("fix task {id}: {path} went on since"))
                    .hint("assign the task again"));
            }
        }
        Ok(())
    }
}

/// The provider that answered.
fn author(task: &Task) -> &str {
    let route = task.answered.as_ref().map_or("", |answered| answered.route.as_str());
    route.split('/').next().unwrap_or(route)
}
