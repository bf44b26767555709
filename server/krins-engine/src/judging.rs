//! The gate's last check: a second model's word on a change. It is asked by the same ways as the author, under the same
//! budget; what it says becomes findings like any other check's, so that they are shown, mended and answered alike.

use crate::gate::{self, Gated, Rulebook};
use crate::settings::Settings;
use krins_backend::judge::{self, ANSWER_TOKENS, Word};
use krins_backend::money::{Account, Purpose};
use krins_backend::provider::Kind;
use krins_backend::{Ask, Backend};
use krins_core::RelPath;
use krins_core::gate::{CheckRun, Finding, Policy, Report, Verdict};
use krins_core::patch::Patch;
use krins_core::redact::redact;
use std::sync::Arc;
use std::time::Instant;
use tracing::{Instrument as _, info_span};

/// What was not judged is not passed.
pub const UNJUDGED: &str = "judge/unjudged";

/// Adds the judge's verdict to the gate's. Without a judge, or for what no model made, there is none to add.
pub async fn look(
    backend: &Arc<dyn Backend>,
    settings: &Settings,
    words: &str,
    author: &str,
    ask: &Ask,
    gated: Gated<Patch>,
    rules: &Rulebook,
) -> Result<Gated<Patch>, Box<Report>> {
    let Some(wanted) = settings.judge.as_ref().filter(|_| !backend.is_builtin_for(Some(author))) else {
        return Ok(gated);
    };
    let started = Instant::now();
    let provider = wanted.provider.clone().unwrap_or_else(|| other_family(settings, author));
    let resting = backend.level().judge_off();
    let verdicts = match judge::prompt(words, gated.value().unified()) {
        // Said as a warning: there is too much to do, and what was not judged is not passed.
        _ if resting => judge::unjudged("there is too much to do: the judge is not asked"),
        None => judge::unjudged("the change is too long to be judged"),
        Some(prompt) => {
            // What was redacted before the author saw it comes out of the answer whole, and is redacted again.
            let (prompt, _) = redact(prompt);
            let account = Account { purpose: Purpose::Judge, ..ask.account.clone() };
            let ask = Ask {
                task: ask.task.clone(),
                prompt,
                provider: Some(provider.clone()),
                model: wanted.model.clone(),
                max_output_tokens: ANSWER_TOKENS,
                fresh: ask.fresh,
                account,
            };
            let asked = backend.ask(ask.clone(), Arc::new(|_| {})).instrument(info_span!("krins.judge")).await;
            match asked {
                Ok(proposal) => {
                    let verdicts = judge::read(&proposal.text);
                    if verdicts.iter().all(|verdict| verdict.word != Word::Unjudged) {
                        backend.keep(&ask);
                    } else {
                        // Asked once more, it may say it.
                        backend.forget(&ask);
                    }
                    verdicts
                }
                Err(error) => judge::unjudged(&format!("the judge did not answer: {}", error.message)),
            }
        }
    };
    let level = if wanted.warns || resting { Verdict::Warn } else { Verdict::Block };
    let findings = findings(&verdicts, level, gated.value(), &provider);
    gate::extend(gated, rules, (CHECK, started.elapsed().as_secs_f64() * 1000.0), findings)
}

/// A configured provider of another family than the author's; else another one, else the author's own.
fn other_family(settings: &Settings, author: &str) -> String {
    let kind = |name: &str| settings.providers.get(name).map(|provider| provider.kind).or_else(|| Kind::of_name(name));
    let family = |kind: Kind| match kind {
        // Two doors of one house.
        Kind::OpenAiChat => Kind::OpenAi,
        other => other,
    };
    let of_author = kind(author).map(family);
    let usable = || {
        settings.providers.iter().filter(|(name, provider)| {
            let model = !matches!(provider.kind, Kind::Builtin | Kind::Replay) && provider.model.is_some();
            model && name.as_str() != author
        })
    };
    usable()
        .find(|(_, provider)| Some(family(provider.kind)) != of_author)
        .or_else(|| usable().next())
        .map_or_else(|| author.to_owned(), |(name, _)| name.clone())
}

fn findings(verdicts: &[judge::Verdict], level: Verdict, patch: &Patch, judge: &str) -> Vec<Finding> {
    let Some(path) = patch.files().first().map(|file| file.path.clone()) else { return Vec::new() };
    let finding = |rule: String, message: String, fix: Option<String>, path: &RelPath| Finding {
        rule,
        verdict: level,
        path: path.clone(),
        lines: None,
        message,
        fix,
        link: None,
    };
    let objections = verdicts.iter().filter(|verdict| verdict.word == Word::Fail);
    let mut found: Vec<Finding> = objections
        .map(|verdict| {
            let message = format!("{judge} objects to its {}: {}", verdict.checkpoint.name(), verdict.reason);
            finding(format!("judge/{}", verdict.checkpoint.name()), message, None, &path)
        })
        .collect();
    let open: Vec<&judge::Verdict> = verdicts.iter().filter(|verdict| verdict.word == Word::Unjudged).collect();
    if let Some(first) = open.first() {
        let names: Vec<&str> = open.iter().map(|verdict| verdict.checkpoint.name()).collect();
        let message = format!("{judge} did not judge its {}: {}", names.join(", "), first.reason);
        let fix = "ask again; `judge.level = \"warn\"` lets through what is not judged".to_owned();
        found.push(finding(UNJUDGED.to_owned(), message, Some(fix), &path));
    }
    found
}

/// What the judge said of the change, as the policy of now weighs it. It is about the change as a whole, so it holds for each
/// part of it.
pub fn objections(report: &Report, patch: &Patch, policy: &Policy) -> Vec<Finding> {
    policy.weigh(patch, gate::as_found(report, is_judge)).findings
}

/// The name of the judge's check.
pub const CHECK: &str = "judge";

pub fn is_judge(check: &str) -> bool {
    check == CHECK
}

/// The judge's word on this very patch, where it said all of it: what it did not judge it may be asked for again.
pub fn word(report: &Report) -> Option<(&CheckRun, Vec<Finding>)> {
    let run = report.checks.iter().rev().find(|run| is_judge(&run.check))?;
    let said = gate::as_found(report, is_judge);
    said.iter().all(|finding| finding.rule != UNJUDGED).then_some((run, said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_backend::provider::ProviderConfig;

    #[test]
    fn the_judge_is_of_another_family_where_there_is_one() {
        let mut settings = Settings::default();
        let mut add = |name: &str, kind: Kind, model: Option<&str>| {
            let provider = ProviderConfig { model: model.map(str::to_owned), ..ProviderConfig::of(kind) };
            settings.providers.insert(name.to_owned(), provider);
            settings.clone()
        };
        assert_eq!(other_family(&add("a", Kind::OpenAi, Some("m")), "a"), "a");
        assert_eq!(other_family(&add("b", Kind::OpenAiChat, Some("m")), "a"), "b");
        assert_eq!(other_family(&add("c", Kind::Gemini, None), "a"), "b", "it has no model");
        let settings = add("d", Kind::Anthropic, Some("m"));
        assert_eq!([other_family(&settings, "a"), other_family(&settings, "d")], ["d", "a"]);
    }
}
