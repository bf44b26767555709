//! The checks that run something of the person's: build, types, tests. They come after all that only looks, and only for a
//! change that nothing blocks yet.

use super::{Watch, build, testing};
use crate::affected::{self, Known};
use crate::base::Base;
use crate::commands::Bench;
use crate::error::Result;
use crate::index::Index;
use crate::runner::{NotRun, Ran, Stop};
use crate::settings::Commands;
use crate::state::StateDir;
use crate::worktree::Side;
use krins_core::gate::{CheckRun, CommandRun, Finding, worst};
use krins_core::patch::Patch;
use krins_core::secrets;
use krins_core::text::visible;
use std::sync::Arc;
use std::time::Instant;

/// What the checks have to hand.
pub struct Shop<'a> {
    pub state: &'a StateDir,
    pub index: &'a Index,
    pub known: &'a Known,
    pub commands: &'a Arc<Commands>,
    pub stop: &'a Stop,
    /// Where the person hears how far it is.
    pub say: &'a dyn Fn(String),
    pub watch: Watch<'a>,
}

/// What they found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub checks: Vec<CheckRun>,
    pub findings: Vec<Finding>,
    pub runs: Vec<CommandRun>,
}

/// Runs what the settings say. Blocking; a stop ends the commands and leaves what was found so far.
pub fn run(shop: &Shop<'_>, base: &Base, patch: &Patch) -> Result<Found> {
    let mut found = Found::default();
    if !shop.commands.any() || patch.is_empty() {
        return Ok(found);
    }
    (shop.say)("copying the workspace".to_owned());
    let bench = Bench::new(shop.state, base, shop.commands.clone(), shop.stop.clone())?;
    bench.tree().put(patch, Side::After)?;
    if shop.commands.types || !shop.commands.build.is_empty() {
        (shop.say)("building with the change".to_owned());
        timed(shop, "build", &mut found, |found| build::check(&bench, shop.state, base, patch, found))?;
    }
    // A change that does not build fails its tests, too.
    let broken = worst(&found.findings) == krins_core::gate::Verdict::Block;
    if shop.commands.tests && !broken && !shop.stop.is_stopped() {
        let affected = affected::affected(shop.index, shop.known, base, patch, &shop.commands.test_commands);
        let (chosen, of) = (affected.chosen.tests.len(), affected.chosen.of);
        (shop.say)(format!("running {chosen} of {of} test files"));
        timed(shop, "tests", &mut found, |found| testing::check(&bench, patch, &affected, found))?;
        if let Some(first) = found.runs.iter_mut().find(|run| run.check == "tests") {
            first.note = Some(match &affected.chosen.everything {
                Some(why) => format!("all {of} test files, because {why}"),
                None => format!("{chosen} of {of} test files, chosen by what the change reaches"),
            });
        }
    }
    Ok(found)
}

fn timed(shop: &Shop<'_>, check: &str, found: &mut Found, work: impl FnOnce(&mut Found) -> Result<()>) -> Result<()> {
    let (began, before) = (Instant::now(), found.findings.len());
    (shop.watch)(check, None);
    work(found)?;
    let verdict = worst(&found.findings[before..]);
    let millis = began.elapsed().as_secs_f64() * 1000.0;
    (shop.watch)(check, Some((verdict, millis)));
    found.checks.push(CheckRun { check: check.to_owned(), verdict, millis });
    Ok(())
}

/// How a command went, with what was enforced on it.
pub fn note(check: &str, command: &str, ran: &Result<Ran, NotRun>) -> CommandRun {
    let command = quoted(command, 300);
    match ran {
        Ok(ran) => CommandRun {
            check: check.to_owned(),
            command,
            end: ran.end.describe(),
            sandbox: ran.enforced.level.as_str().to_owned(),
            held: ran.enforced.held.iter().map(|guard| guard.as_str().to_owned()).collect(),
            missing: ran.enforced.missing.iter().map(|guard| guard.as_str().to_owned()).collect(),
            by: ran.enforced.by.clone(),
            millis: ran.millis,
            note: None,
        },
        Err(why) => CommandRun {
            check: check.to_owned(),
            command,
            end: why.to_string(),
            sandbox: "none".to_owned(),
            ..CommandRun::default()
        },
    }
}

/// Somebody else's words, to be shown: plain, short, without secrets, and without what nobody sees.
pub fn quoted(text: &str, most: usize) -> String {
    let mut text = crate::runner::plain(text);
    let mut hits = secrets::scan(&text);
    hits.sort_by_key(|hit| std::cmp::Reverse(hit.range.start));
    for hit in hits {
        text.replace_range(hit.range, "[REDACTED:secret]");
    }
    let text = text.split('\n').map(str::trim_end).collect::<Vec<_>>().join("\n");
    let text = visible(&text);
    match text.trim().char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text.trim()[..at]),
        None => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn what_is_quoted_is_short_plain_and_holds_no_secret() {
        let key = format!("ghp_{}", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B");
        let text = quoted(&format!("\u{1b}[31mtoken = \"{key}\" failed\u{1b}[0m"), 200);
        assert!(!text.contains(&key[4..]) && !text.contains('\u{1b}') && text.contains("failed"), "{text}");
        assert_eq!(quoted(&"é".repeat(50), 10).chars().count(), 11);
    }
}
