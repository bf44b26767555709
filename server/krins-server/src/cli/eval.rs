//! `krins eval`: the router's choices, judged by what came of them.

use super::args::{EvalCommand, Global};
use super::output::{Output, STRONG, paint};
use super::{Done, engine};
use krins_backend::router::replay::{Game, Replay, Value, play, replay};
use krins_backend::router::{Policy, log};
use krins_engine::{Error, ErrorKind};
use std::process::ExitCode;

pub async fn run(global: &Global, command: EvalCommand, out: &mut Output) -> Done {
    match command {
        EvalCommand::Replay { seed } => {
            let engine = engine(global)?;
            let books = engine.backend().books().ok_or_else(|| {
                Error::new(ErrorKind::BadParams, "read the router's log: a remote backend keeps its own")
                    .hint("replay it where `krins serve` runs")
            })?;
            let known = log::known(&books, "").await.map_err(|error| {
                Error::new(ErrorKind::Internal, error.to_string())
                    .hint("the log is in books.sqlite in the state directory")
            })?;
            show(&replay(&known, seed), out);
        }
        EvalCommand::Run { arms, rounds, seed } => try_out(&arms, rounds, seed, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(replay: &Replay, out: &mut Output) {
    out.document(replay);
    out.line(format!("{} choices with an outcome, reward {:.3} on average", replay.decisions, replay.reward));
    for (title, values) in [("arm alone", &replay.arms), ("policy", &replay.policies)] {
        for Value { name, matched, effective, ips, snips } in values {
            out.line(format!(
                "{} {name}  {snips:.3} (IPS {ips:.3})  n={matched}, as good as {effective:.0}",
                paint(STRONG, title)
            ));
        }
    }
    match replay.regret {
        Some(regret) => out.line(format!("regret against the best arm alone: {regret:.3} a choice")),
        None => {
            out.line("nothing is known of any arm: `router.policy` makes choices, applying and discarding judges them")
        }
    }
}

/// Each policy plays the same game: what it lost against always taking the best arm.
fn try_out(arms: &[String], rounds: u32, seed: u64, out: &mut Output) -> Result<(), Error> {
    let truth: Vec<(String, f64)> = arms.iter().map(|arm| parse(arm)).collect::<Result<_, _>>()?;
    let games: Vec<Game> = Policy::all().iter().map(|policy| play(policy, &truth, rounds, seed)).collect();
    for Game { policy, regret, pulls } in &games {
        let pulls: Vec<String> = pulls.iter().map(|(route, n)| format!("{route} {n}")).collect();
        out.line(format!("{} regret {regret:.1} of {rounds} rounds  ({})", paint(STRONG, policy), pulls.join(", ")));
    }
    out.document(&games);
    Ok(())
}

fn parse(arm: &str) -> Result<(String, f64), Error> {
    let parsed = arm.rsplit_once('=').and_then(|(route, reward)| {
        let reward: f64 = reward.parse().ok()?;
        (!route.is_empty() && (0.0..=1.0).contains(&reward)).then(|| (route.to_owned(), reward))
    });
    parsed.ok_or_else(|| {
        Error::new(ErrorKind::BadParams, format!("read the arm {arm:?}"))
            .hint("write ROUTE=REWARD, the reward from 0 to 1")
    })
}
