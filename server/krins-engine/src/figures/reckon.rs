//! From records to figures. Values in, values out: the moment is the caller's to say.

use super::Call;
use super::recorded::{Read, What};
use krins_backend::Usage;
use krins_backend::money::Purpose;
use krins_core::gate::Verdict;
use krins_protocol::report::{
    AgentFigures, Bucket, CacheFigures, Cause, Objective, Period, Quantiles, Report, Spent, TaskFigures, Tokens,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// Answers without a model call of their own.
const KEYLESS: &str = "builtin/";
/// A diff that took longer misses the objective `assign-to-diff` of slo/krins.yaml.
const SLOW: u64 = 45_000;
/// What that objective asks for, and `tasks-success`, in percent.
const IN_TIME: f64 = 95.0;
const ANSWERED: f64 = 99.0;
/// What is not named is no cause.
const UNNAMED: &str = "not recorded";

/// What is reckoned with.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub read: Read,
    /// Of every workspace, where the ledger is shared.
    pub calls: Vec<Call>,
    pub notes: Vec<String>,
}

/// What the records say of one task.
#[derive(Clone, Debug, Default)]
struct Life {
    assigned: Option<u64>,
    answered: Option<u64>,
    route: String,
    cached: bool,
    /// When its change first passed the gate.
    green: Option<u64>,
    verdict: Option<Verdict>,
    blocked_by: BTreeSet<String>,
    failed: Option<String>,
    cancelled: bool,
    applied: bool,
    rejected: bool,
}

/// Where a task is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Running,
    Waiting,
    Blocked,
    Accepted,
    Rejected,
    Failed,
    Cancelled,
}

impl Life {
    fn standing(&self) -> Standing {
        match self {
            Self { applied: true, .. } => Standing::Accepted,
            // What was discarded without a change was not rejected: there was nothing to judge.
            Self { rejected: true, answered: Some(_), .. } => Standing::Rejected,
            Self { failed: Some(_), .. } => Standing::Failed,
            Self { cancelled: true, .. } => Standing::Cancelled,
            Self { answered: None, .. } => Standing::Running,
            Self { verdict: Some(Verdict::Block) | None, .. } => Standing::Blocked,
            Self { .. } => Standing::Waiting,
        }
    }

    fn hear(&mut self, at: u64, what: &What) {
        match what {
            What::Assigned => self.assigned = Some(at),
            What::Answered { route, cached } => {
                self.answered.get_or_insert(at);
                (self.route, self.cached) = (route.clone(), *cached);
                // Another round may bring what the last one did not.
                (self.failed, self.cancelled) = (None, false);
            }
            What::Gated { verdict, blocking } => {
                self.verdict = Some(*verdict);
                match verdict {
                    Verdict::Block => self.block(blocking),
                    Verdict::Pass | Verdict::Warn => self.green = self.green.or(Some(at)),
                }
            }
            What::Denied { blocking } => self.block(blocking),
            // A round more that fails leaves the change that was there.
            What::Failed { why } if self.answered.is_none() => self.failed = Some(why.clone()),
            What::Cancelled if self.answered.is_none() => self.cancelled = true,
            What::Failed { .. } | What::Cancelled => {}
            What::Discarded => self.rejected = true,
            What::Applied => (self.applied, self.rejected) = (true, false),
            What::Undone => (self.applied, self.rejected) = (false, true),
        }
    }

    fn block(&mut self, rules: &[String]) {
        self.blocked_by.extend(rules.iter().cloned());
        if rules.is_empty() {
            self.blocked_by.insert(UNNAMED.to_owned());
        }
    }

    /// From the assignment until then.
    fn took(&self, end: Option<u64>) -> Option<u64> {
        Some(end?.saturating_sub(self.assigned?))
    }
}

/// How far back it is looked: buckets of a length, the last of them not over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    length: u64,
    count: u64,
}

impl Window {
    pub fn days(count: u32) -> Self {
        Self { length: DAY, count: u64::from(count.max(1)) }
    }

    /// The beginning of the first bucket.
    pub fn since(self, now: u64) -> u64 {
        (now / self.length * self.length).saturating_sub(self.length * (self.count - 1))
    }
}

impl From<Period> for Window {
    fn from(period: Period) -> Self {
        match period {
            Period::Day => Self { length: HOUR, count: 24 },
            Period::Week => Self::days(7),
            Period::Month => Self::days(30),
        }
    }
}

pub(super) fn report(records: &Records, window: Window, now: u64) -> Report {
    let lives = lives(&records.read);
    let since = window.since(now);
    let month = Window::from(Period::Month).since(now);
    let authors = authors(&records.calls);
    let within = |life: &&Life| life.assigned.is_some_and(|at| (since..=now).contains(&at));
    let chosen: Vec<(&str, &Life)> =
        lives.iter().filter(|(_, life)| within(life)).map(|(id, life)| (id.as_str(), life)).collect();
    let (calls, elsewhere): (Vec<&Call>, Vec<&Call>) =
        records.calls.iter().filter(|call| call.at >= since).partition(|call| lives.contains_key(&call.task));
    let tasks = tasks(chosen.iter().map(|(_, life)| *life));
    let spent = spent(&calls, &elsewhere, &tasks);
    let mut notes = records.notes.clone();
    if records.read.erased > 0 {
        let erased = records.read.erased;
        notes.push(format!("{erased} records of this time say nothing any more: what they were about was erased."));
    }
    if spent.unpriced > 0 {
        notes.push(format!(
            "{} calls have no known price: their cost is in no sum. `prices` in the settings can name it.",
            spent.unpriced
        ));
    }
    Report {
        since,
        until: now,
        green: quantiles(chosen.iter().filter_map(|(_, life)| life.took(life.green))),
        cache: cache(&chosen, &spent.tokens),
        agents: agents(&chosen, &calls, &authors),
        blocks: causes(chosen.iter().map(|(_, life)| life.blocked_by.iter().map(String::as_str).collect())),
        failures: causes(chosen.iter().map(|(_, life)| life.failed.as_deref().into_iter().collect())),
        objectives: objectives(lives.values().filter(|life| life.assigned.is_some_and(|at| at >= month))),
        buckets: series(window, since, &chosen, &calls),
        tasks,
        spent,
        notes,
        ..Report::default()
    }
}

fn lives(read: &Read) -> BTreeMap<String, Life> {
    let mut lives = BTreeMap::<String, Life>::new();
    for happening in read.happenings.iter().filter(|happening| !happening.task.is_empty()) {
        lives.entry(happening.task.clone()).or_default().hear(happening.at, &happening.what);
    }
    lives
}

fn tasks<'l>(lives: impl Iterator<Item = &'l Life>) -> TaskFigures {
    let mut figures = TaskFigures::default();
    for life in lives {
        figures.assigned += 1;
        figures.answered += u64::from(life.answered.is_some());
        match life.standing() {
            Standing::Accepted => figures.accepted += 1,
            Standing::Rejected => figures.rejected += 1,
            Standing::Waiting => figures.waiting += 1,
            Standing::Blocked => figures.blocked += 1,
            Standing::Failed => figures.failed += 1,
            Standing::Cancelled => figures.cancelled += 1,
            Standing::Running => figures.running += 1,
        }
    }
    figures.accepted_share = share(figures.accepted, figures.accepted + figures.rejected);
    figures
}

fn spent(calls: &[&Call], elsewhere: &[&Call], tasks: &TaskFigures) -> Spent {
    let sum = Sum::of(calls.iter().copied());
    let micros = sum.micros();
    Spent {
        calls: sum.calls,
        tasks: calls.iter().map(|call| call.task.as_str()).collect::<BTreeSet<_>>().len() as u64,
        open: sum.open,
        tokens: sum.tokens,
        estimated: sum.estimated,
        micros,
        known_micros: sum.micros,
        unpriced: sum.unpriced,
        tokens_per_patch: sum.tokens.all().checked_div(tasks.answered),
        micros_per_patch: micros.and_then(|micros| micros.checked_div(tasks.answered)),
        micros_per_accepted: micros.and_then(|micros| micros.checked_div(tasks.accepted)),
        elsewhere_micros: Sum::of(elsewhere.iter().copied()).micros,
    }
}

/// What some calls took together.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    calls: u64,
    open: u64,
    failed: u64,
    tokens: Tokens,
    estimated: bool,
    /// Of the calls whose price is known.
    micros: u64,
    unpriced: u64,
}

impl Sum {
    fn of<'c>(calls: impl Iterator<Item = &'c Call>) -> Self {
        let mut sum = Self::default();
        for call in calls {
            sum.add(call);
        }
        sum
    }

    fn add(&mut self, call: &Call) {
        self.calls += 1;
        self.open += u64::from(call.open);
        self.failed += u64::from(!call.open && !call.ok);
        add(&mut self.tokens, &call.usage);
        self.estimated |= call.usage.estimated;
        self.micros = self.micros.saturating_add(call.micros.unwrap_or(0));
        self.unpriced += u64::from(call.micros.is_none());
    }

    fn micros(&self) -> Option<u64> {
        (self.unpriced == 0).then_some(self.micros)
    }
}

fn add(tokens: &mut Tokens, usage: &Usage) {
    tokens.input = tokens.input.saturating_add(usage.input_tokens);
    tokens.output = tokens.output.saturating_add(usage.output_tokens);
    tokens.cache_read = tokens.cache_read.saturating_add(usage.cache_read_tokens);
    tokens.cache_write = tokens.cache_write.saturating_add(usage.cache_write_tokens);
}

fn cache(lives: &[(&str, &Life)], tokens: &Tokens) -> CacheFigures {
    let by_model = lives.iter().filter(|(_, life)| life.answered.is_some() && !life.route.starts_with(KEYLESS));
    let (mut hits, mut answers) = (0, 0);
    for (_, life) in by_model {
        answers += 1;
        hits += u64::from(life.cached);
    }
    CacheFigures { hits, answers, share: share(hits, answers), prompt_share: share(tokens.cache_read, tokens.sent()) }
}

/// Whose answers came for each task, as the ledger calls them, in their order.
fn authors(calls: &[Call]) -> BTreeMap<&str, Vec<&str>> {
    let mut authors = BTreeMap::<&str, Vec<&str>>::new();
    for call in calls.iter().filter(|call| call.ok && call.purpose == Purpose::Author) {
        authors.entry(&call.task).or_default().push(&call.route);
    }
    authors
}

/// Who wrote a task's change: of several answers the one that is shown, else the last. A provider may call its model by
/// another name than it was asked by, mostly by a longer one.
fn author<'c>(id: &str, life: &Life, authors: &BTreeMap<&str, Vec<&'c str>>) -> Option<&'c str> {
    if life.route.starts_with(KEYLESS) {
        return None;
    }
    let likeness = |route: &str| {
        let begins = if life.route.starts_with(route) { route.len() } else { 0 };
        (begins, provider(route) == provider(&life.route))
    };
    authors.get(id)?.iter().copied().max_by_key(|route| likeness(route))
}

fn provider(route: &str) -> &str {
    route.split_once('/').map_or(route, |(provider, _)| provider)
}

fn agents(lives: &[(&str, &Life)], calls: &[&Call], authors: &BTreeMap<&str, Vec<&str>>) -> Vec<AgentFigures> {
    let mut sums = BTreeMap::<&str, Sum>::new();
    for call in calls {
        sums.entry(&call.route).or_default().add(call);
    }
    let answered = || lives.iter().filter(|(_, life)| life.answered.is_some());
    // What was kept has no call, and goes by the name that the provider gave.
    let asked = answered().filter(|(_, life)| !life.cached);
    let asked: BTreeMap<&str, &str> =
        asked.filter_map(|(id, life)| Some((life.route.as_str(), author(id, life, authors)?))).collect();
    let mut changes = BTreeMap::<&str, Vec<&Life>>::new();
    for (id, life) in answered() {
        let route = if life.cached { asked.get(life.route.as_str()).copied() } else { author(id, life, authors) };
        changes.entry(route.unwrap_or(&life.route)).or_default().push(life);
    }
    let routes: BTreeSet<&str> = sums.keys().chain(changes.keys()).copied().collect();
    let mut agents: Vec<AgentFigures> = routes
        .into_iter()
        .map(|route| {
            let sum = sums.get(route).copied().unwrap_or_default();
            let changes = changes.get(route).map(Vec::as_slice).unwrap_or_default();
            agent(route, &sum, changes)
        })
        .collect();
    agents.sort_by_key(|agent| (Reverse(agent.micros), Reverse(agent.patches)));
    agents
}

fn agent(route: &str, sum: &Sum, changes: &[&Life]) -> AgentFigures {
    let patches = changes.len() as u64;
    AgentFigures {
        route: route.to_owned(),
        calls: sum.calls,
        failed: sum.failed,
        tokens: sum.tokens,
        micros: sum.micros(),
        patches,
        accepted: changes.iter().filter(|life| life.standing() == Standing::Accepted).count() as u64,
        tokens_per_patch: sum.tokens.all().checked_div(patches),
        micros_per_patch: sum.micros().and_then(|micros| micros.checked_div(patches)),
        green: quantiles(changes.iter().filter_map(|life| life.took(life.green))),
    }
}

/// How many tasks each name has, the most frequent first.
fn causes<'n>(named: impl Iterator<Item = Vec<&'n str>>) -> Vec<Cause> {
    let mut counts = BTreeMap::<&str, u64>::new();
    for name in named.flatten() {
        *counts.entry(name).or_default() += 1;
    }
    let mut causes: Vec<Cause> =
        counts.into_iter().map(|(name, tasks)| Cause { name: name.to_owned(), tasks }).collect();
    causes.sort_by_key(|cause| Reverse(cause.tasks));
    causes
}

/// The objectives of slo/krins.yaml that are about tasks. Those of the interface are measured where `krins serve` runs.
fn objectives<'l>(lives: impl Iterator<Item = &'l Life>) -> Vec<Objective> {
    let (mut diffs, mut in_time, mut answered, mut ended) = (0, 0, 0, 0);
    for life in lives {
        let took = life.took(life.answered);
        diffs += u64::from(took.is_some());
        in_time += u64::from(took.is_some_and(|took| took <= SLOW));
        answered += u64::from(took.is_some());
        ended += u64::from(took.is_some() || life.standing() == Standing::Failed);
    }
    vec![
        objective(
            "assign-to-diff",
            "A task has its diff within 45 seconds, waiting included.",
            IN_TIME,
            in_time,
            diffs,
        ),
        objective(
            "tasks-success",
            "A task that was accepted and not cancelled ends with an answer.",
            ANSWERED,
            answered,
            ended,
        ),
    ]
}

fn objective(name: &str, description: &str, objective: f64, good: u64, total: u64) -> Objective {
    let allowed = (100.0 - objective) / 100.0 * total as f64;
    Objective {
        name: name.to_owned(),
        description: description.to_owned(),
        objective,
        good,
        total,
        reached: share(good, total).map(|share| share * 100.0),
        budget_left: (total > 0).then(|| 1.0 - (total - good) as f64 / allowed),
    }
}

fn series(window: Window, since: u64, lives: &[(&str, &Life)], calls: &[&Call]) -> Vec<Bucket> {
    let Window { length, count } = window;
    let mut all: Vec<Bucket> =
        (0..count).map(|at| Bucket { start: since + at * length, ..Bucket::default() }).collect();
    let mut greens: Vec<Vec<u64>> = vec![Vec::new(); all.len()];
    let place = |at: u64| usize::try_from(at.saturating_sub(since) / length).unwrap_or(usize::MAX);
    for (_, life) in lives {
        let Some(at) = life.assigned.map(place) else { continue };
        let (Some(bucket), Some(green)) = (all.get_mut(at), greens.get_mut(at)) else { continue };
        bucket.assigned += 1;
        match life.standing() {
            Standing::Accepted => bucket.accepted += 1,
            Standing::Rejected => bucket.rejected += 1,
            Standing::Waiting | Standing::Blocked | Standing::Running => bucket.open += 1,
            Standing::Failed | Standing::Cancelled => bucket.unanswered += 1,
        }
        green.extend(life.took(life.green));
    }
    for call in calls {
        let Some(bucket) = all.get_mut(place(call.at)) else { continue };
        add(&mut bucket.tokens, &call.usage);
        bucket.micros = bucket.micros.saturating_add(call.micros.unwrap_or(0));
    }
    for (bucket, green) in all.iter_mut().zip(greens) {
        bucket.green = quantiles(green.into_iter());
    }
    all
}

/// By nearest rank.
fn quantiles(values: impl Iterator<Item = u64>) -> Quantiles {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let rank = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100);
        values.get(rank.saturating_sub(1)).copied()
    };
    Quantiles { count: values.len() as u64, p50: rank(50), p95: rank(95) }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
