//! The call policy, the one owner of retries: in which order the routes of a chain are called, how often, how long each
//! wait is, and when it is over. The taxonomy in `error.rs` says what a failure means; nothing here looks at its text.
//!
//! One deadline holds for the whole task. A route is called twice at most, a task calls a few times at most, and a call
//! begins only when there is time for a first token. What is silent or broke off is left at once, and called once more only
//! when everybody else has failed since. What a provider refuses is not asked of another one.

use super::{KeyId, Permit, Resilience, Resting, RouteKey};
use crate::error::{Effect, Fault, ProviderError};
use crate::provider::{DeltaSink, Finished, ModelRequest, Provider, Timing};
use crate::{BackendError, Usage};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A call needs at least so much of the first-token time to be worth making.
const LEAST_SHARE: u32 = 4;
/// How often a running call looks whether its provider was switched off.
const SWITCH_LOOK: Duration = Duration::from_millis(500);

/// One way to an answer.
pub struct Route<'a> {
    /// The provider's name in the settings.
    pub provider: &'a str,
    pub model: String,
    pub timing: Timing,
    /// Whether it sends anything to anybody; only such a route can be switched off or be sick.
    pub remote: bool,
    pub calls: &'a dyn Provider,
}

impl Route<'_> {
    /// `provider/model`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }
}

/// One call, as it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub route: String,
    pub took: Duration,
    pub outcome: Result<Usage, Fault>,
}

/// What happens on the way.
pub trait Listener: Send {
    /// A call goes out. `from` is the route that was left for this one, and why.
    fn sent(&mut self, route: &str, from: Option<(&str, Fault)>);
    /// Nothing can be called for so long.
    fn waiting(&mut self, route: &str, resting: Resting);
    fn received(&mut self, delta: &str);
    fn ended(&mut self, attempt: &Attempt);
}

/// A finished answer, and who gave it.
#[derive(Debug)]
pub struct Answered {
    /// The route's place in the chain.
    pub route: usize,
    pub finished: Finished,
    /// Why the first route did not answer, when it did not.
    pub detour: Option<(String, Fault)>,
}

/// No route answered.
#[derive(Clone, Debug)]
pub struct Unanswered {
    /// `provider/model` of the failure that counts.
    pub route: String,
    pub error: ProviderError,
    /// The other routes, and what each of them did.
    pub others: Vec<(String, Fault)>,
}

impl Unanswered {
    /// As the edge reports it.
    pub fn into_error(self) -> BackendError {
        let mut error = self.error.at(&self.route);
        for (route, fault) in &self.others {
            error.message.push_str(&format!("; {route} {}", fault.says()));
        }
        error
    }
}

/// Calls along the chain until there is a finished answer, the rules say stop, or the time is up. The chain is not empty;
/// the request's model is that of each route.
pub async fn call(
    board: &Arc<Resilience>,
    chain: &[Route<'_>],
    request: ModelRequest<'_>,
    listener: &mut dyn Listener,
) -> Result<Answered, Unanswered> {
    let began = board.clock().now();
    let total = chain.first().map_or(Duration::ZERO, |route| route.timing.total);
    let mut task = Task {
        board,
        chain,
        deadline: began + total,
        total,
        calls: 0,
        last: None,
        marks: chain.iter().map(|_| Mark::default()).collect(),
        listener,
    };
    let answered = task.run(request).await?;
    board.answered(board.clock().now().saturating_duration_since(began));
    Ok(answered)
}

/// What this task knows of one route.
#[derive(Default)]
struct Mark {
    calls: u32,
    left: Option<Left>,
    key: Option<KeyId>,
    /// Its first failure, which says more than a later one.
    failure: Option<ProviderError>,
}

/// Why a route is passed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Another one goes first.
    ForNow,
    /// It is not called again.
    ForGood,
}

/// Which routes are looked at; a later round only when nobody of an earlier one is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Fresh,
    /// Those that were left, when another one was called since.
    Again,
    /// Those that wait for a person.
    LastResort,
}

struct Task<'t> {
    board: &'t Arc<Resilience>,
    chain: &'t [Route<'t>],
    deadline: Instant,
    total: Duration,
    calls: u32,
    last: Option<usize>,
    marks: Vec<Mark>,
    listener: &'t mut dyn Listener,
}

/// What to do next.
enum Next {
    Call(usize, Permit),
    /// Every route that is left rests; the first one is free again after this.
    Wait(usize, Resting),
    Over,
}

impl Task<'_> {
    async fn run(&mut self, request: ModelRequest<'_>) -> Result<Answered, Unanswered> {
        loop {
            match self.next().await {
                Next::Call(at, permit) => match self.call(at, permit, request).await {
                    Ok(finished) => return Ok(self.answered(at, finished)),
                    Err(error) => self.judge(at, error).await?,
                },
                Next::Wait(at, resting) => {
                    self.listener.waiting(&self.chain[at].label(), resting);
                    self.board.clock().sleep(resting.wait).await;
                }
                Next::Over => return Err(self.unanswered(None)),
            }
        }
    }

    /// Which key the route would be called with; a route without its key is left before it is called.
    async fn key(&mut self, at: usize) -> Option<RouteKey> {
        let route = &self.chain[at];
        let key = match self.marks[at].key {
            Some(key) => key,
            None => match route.calls.key_id().await {
                Ok(key) => *self.marks[at].key.insert(key),
                Err(error) => {
                    self.marks[at].left = Some(Left::ForGood);
                    self.marks[at].failure.get_or_insert(error);
                    return None;
                }
            },
        };
        Some(RouteKey { provider: route.provider.to_owned(), model: route.model.clone(), key })
    }

    async fn next(&mut self) -> Next {
        if self.calls >= self.board.calls().per_task {
            return Next::Over;
        }
        let mut waits: Option<(usize, Resting)> = None;
        for round in [Round::Fresh, Round::Again, Round::LastResort] {
            for (at, route) in self.chain.iter().enumerate() {
                if route.remote && self.board.switch().is_off(route.provider) {
                    let mark = &mut self.marks[at];
                    mark.left = Some(Left::ForGood);
                    mark.failure.get_or_insert_with(switched_off);
                }
                if !self.is_open_to(round, at) || self.time_left() < least(&route.timing) {
                    continue;
                }
                let Some(key) = self.key(at).await else { continue };
                match self.board.admit(&key, round == Round::LastResort) {
                    // A repeat, even if others were called in between.
                    Ok(_) if round == Round::Again && !self.board.take_retry(route.provider) => {}
                    Ok(permit) => return Next::Call(at, permit),
                    Err(_) if round == Round::Again => {}
                    Err(resting) => {
                        self.marks[at].failure.get_or_insert_with(|| rests(resting));
                        if waits.is_none_or(|(_, known)| resting.wait < known.wait) {
                            waits = Some((at, resting));
                        }
                    }
                }
            }
        }
        match waits {
            Some((at, resting)) if resting.wait + least(&self.chain[at].timing) <= self.time_left() => {
                Next::Wait(at, resting)
            }
            _ => Next::Over,
        }
    }

    fn is_open_to(&self, round: Round, at: usize) -> bool {
        let mark = &self.marks[at];
        let called_since = self.last.is_some_and(|last| last != at);
        mark.calls < self.chain[at].timing.calls
            && match mark.left {
                None => round != Round::Again,
                Some(Left::ForNow) => round == Round::Again && called_since,
                Some(Left::ForGood) => false,
            }
    }

    async fn call(&mut self, at: usize, permit: Permit, request: ModelRequest<'_>) -> Result<Finished, ProviderError> {
        let (route, clock) = (&self.chain[at], self.board.clock().clone());
        let label = route.label();
        let from = self.left_before(at);
        self.listener.sent(&label, from.as_ref().map(|(route, fault)| (route.as_str(), *fault)));
        self.calls += 1;
        self.last = Some(at);
        self.marks[at].calls += 1;
        match self.marks[at].calls {
            1 => self.board.count_call(route.provider),
            _ => permit.repeats(),
        }
        let (began, left) = (clock.now(), self.time_left());
        let elsewhere = self.somebody_else(at);
        let listener = &mut *self.listener;
        let mut first = None;
        let mut sink = |delta: &str| {
            first.get_or_insert_with(|| clock.now().saturating_duration_since(began));
            listener.received(delta);
        };
        let sink: &mut dyn DeltaSink = &mut sink;
        let resend = self.marks[at].calls - 1;
        let request = ModelRequest { model: &route.model, elsewhere, resend, ..request };
        let result = tokio::select! {
            biased;
            result = route.calls.call(&request, sink) => result,
            () = clock.sleep(left) => Err(out_of_time(self.total)),
            () = turned_off(self.board, route) => Err(switched_off()),
        };
        first.into_iter().for_each(|after| permit.first_words(after));
        permit.finish(&result, route.timing.first_token);
        let outcome = result.as_ref().map(|finished| finished.usage).map_err(|error| error.fault);
        let took = clock.now().saturating_duration_since(began);
        if let Err(fault) = outcome {
            tracing::info!(route = %label, ?fault, took_ms = took.as_millis() as u64, "a call gave no answer");
        }
        self.listener.ended(&Attempt { route: label, took, outcome });
        result
    }

    /// Whether the task goes on after this failure, and after which wait.
    async fn judge(&mut self, at: usize, error: ProviderError) -> Result<(), Unanswered> {
        let rule = error.fault.rule();
        let again = error.should_retry.unwrap_or(rule.retry);
        if !again && !rule.fallback {
            return Err(self.unanswered(Some((at, error))));
        }
        let pause = if again { self.pause(at, &error) } else { None };
        let for_good = matches!(rule.effect, Effect::Disables | Effect::Nothing) || error.should_retry == Some(false);
        let mark = &mut self.marks[at];
        // A repeat that fails otherwise does not hide what the first call said.
        mark.failure.get_or_insert(error);
        match pause {
            Some(pause) => self.board.clock().sleep(pause).await,
            None => mark.left = Some(if for_good { Left::ForGood } else { Left::ForNow }),
        }
        Ok(())
    }

    /// How long to wait before the same route is called again; `None`: not again.
    fn pause(&self, at: usize, error: &ProviderError) -> Option<Duration> {
        let (route, calls) = (&self.chain[at], self.marks[at].calls);
        if calls >= route.timing.calls || self.calls >= self.board.calls().per_task {
            return None;
        }
        let pause =
            backoff(&route.timing, calls, self.board.clock().chance()).max(error.retry_after.unwrap_or_default());
        // Where somebody else can answer, nobody waits longer than the backoff's cap.
        let too_long = self.somebody_else(at) && pause > route.timing.backoff_cap;
        let fits = pause + least(&route.timing) <= self.time_left();
        (fits && !too_long && self.board.take_retry(route.provider)).then_some(pause)
    }

    /// Whether there is another route that was not called yet.
    fn somebody_else(&self, at: usize) -> bool {
        self.marks.iter().enumerate().any(|(other, mark)| other != at && mark.left.is_none() && mark.calls == 0)
    }

    fn answered(&mut self, at: usize, finished: Finished) -> Answered {
        let first = self.marks.first_mut().and_then(|mark| mark.failure.take());
        let detour = first.filter(|_| at > 0).map(|error| (self.chain[0].label(), error.fault));
        if detour.is_some() {
            self.board.detoured();
        }
        Answered { route: at, finished, detour }
    }

    /// `last` outranks what came before; else the first route's own failure is what a person should hear of.
    fn unanswered(&mut self, last: Option<(usize, ProviderError)>) -> Unanswered {
        let failures = self.marks.iter_mut().enumerate().filter_map(|(at, mark)| Some((at, mark.failure.take()?)));
        let mut failures: Vec<(usize, ProviderError)> = failures.collect();
        let (at, error) = match last {
            Some(last) => last,
            None if failures.is_empty() => (0, out_of_time(self.total)),
            None => failures.remove(0),
        };
        let others = failures.into_iter().filter(|(other, _)| *other != at);
        Unanswered {
            route: self.chain[at].label(),
            error,
            others: others.map(|(other, error)| (self.chain[other].label(), error.fault)).collect(),
        }
    }

    /// The route before this one in the chain that failed or rests, for saying why this one is asked.
    fn left_before(&self, at: usize) -> Option<(String, Fault)> {
        let before = self.marks[..at].iter().enumerate().rev();
        let failed = before.filter_map(|(other, mark)| Some((other, mark.failure.as_ref()?.fault)));
        failed.map(|(other, fault)| (self.chain[other].label(), fault)).next()
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(self.board.clock().now())
    }
}

/// Full-jitter exponential backoff before the call after this many. `chance` is in `[0, 1)`.
pub fn backoff(timing: &Timing, calls: u32, chance: f64) -> Duration {
    let doubled = timing.backoff.saturating_mul(2u32.saturating_pow(calls.saturating_sub(1)));
    doubled.min(timing.backoff_cap).mul_f64(chance.clamp(0.0, 1.0))
}

/// The time without which a call is not begun.
fn least(timing: &Timing) -> Duration {
    timing.first_token.min(timing.total) / LEAST_SHARE
}

async fn turned_off(board: &Arc<Resilience>, route: &Route<'_>) {
    if !route.remote {
        return std::future::pending().await;
    }
    while !board.switch().is_off(route.provider) {
        board.clock().sleep(SWITCH_LOOK).await;
    }
}

fn out_of_time(total: Duration) -> ProviderError {
    ProviderError::new(Fault::Deadline, format!("no finished answer within {} s", total.as_secs_f64()))
}

fn switched_off() -> ProviderError {
    ProviderError::new(Fault::SwitchedOff, "the provider is switched off")
}

fn rests(resting: Resting) -> ProviderError {
    let seconds = resting.wait.as_secs_f64().ceil();
    let mut error = ProviderError::new(
        resting.cause,
        format!("it {} and is not asked for another {seconds} s", resting.cause.says()),
    );
    error.retry_after = Some(resting.wait);
    error
}

#[cfg(test)]
mod tests;
