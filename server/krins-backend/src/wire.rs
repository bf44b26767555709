//! Between the domain's prompt and answer and their HTTP bodies. Nothing here trusts what came over the wire.

use crate::error::sanitise;
use crate::{BackendError, Progress, Proposal, Usage};
use krins_core::RelPath;
use krins_core::prompt::{Focus, Item, Prompt};
use krins_protocol::error::{ErrorData, ErrorKind, ErrorReport};
use krins_protocol::http;
use krins_protocol::lsp;

/// Items one prompt may hold: more than any token budget fits.
const MAX_ITEMS: usize = 20_000;

pub fn prompt_to_wire(prompt: &Prompt) -> http::Prompt {
    http::Prompt {
        version: prompt.version,
        intent: prompt.intent.clone(),
        items: prompt.items.iter().map(item_to_wire).collect(),
        focus: prompt.focus.as_ref().map(|focus| (focus.path.as_str().to_owned(), focus.lines)),
    }
}

/// Refuses paths outside the root, ranges that are none, and digests that are none, naming the item.
pub fn prompt_from_wire(prompt: http::Prompt) -> Result<Prompt, BackendError> {
    if prompt.items.len() > MAX_ITEMS {
        return Err(bad_params(format!("read the prompt: it has {} items, more than {MAX_ITEMS}", prompt.items.len())));
    }
    let focus = prompt
        .focus
        .map(|(path, lines)| {
            Ok::<_, BackendError>(Focus {
                path: path_from_wire(&path)?,
                lines: lines.map(|lines| range_from_wire(&path, lines)).transpose()?,
            })
        })
        .transpose()?;
    Ok(Prompt {
        version: prompt.version,
        intent: prompt.intent,
        focus,
        items: prompt.items.into_iter().map(item_from_wire).collect::<Result<_, _>>()?,
    })
}

/// What a check of the gate said; a word that is no verdict counts as the worst.
pub fn verdict_to_wire(check: &str, verdict: &str) -> http::CheckVerdict {
    let verdict = match verdict {
        "pass" => lsp::Verdict::Pass,
        "warn" => lsp::Verdict::Warn,
        _ => lsp::Verdict::Block,
    };
    http::CheckVerdict { check: check.to_owned(), verdict }
}

pub fn verdict_from_wire(told: &http::CheckVerdict) -> (&str, &'static str) {
    let verdict = match told.verdict {
        lsp::Verdict::Pass => "pass",
        lsp::Verdict::Warn => "warn",
        lsp::Verdict::Block => "block",
    };
    (&told.check, verdict)
}

pub fn answer_to_wire(proposal: Proposal, cost: Option<u64>) -> http::Answer {
    http::Answer {
        text: proposal.text,
        provider: proposal.provider,
        model: proposal.model,
        usage: usage_to_wire(proposal.usage),
        cost,
        cached: proposal.cached,
        why: proposal.why.into_iter().map(|(reason, lines)| lsp::Why { reason, lines }).collect(),
        degraded: proposal.degraded,
    }
}

pub fn answer_from_wire(answer: http::Answer) -> Proposal {
    Proposal {
        text: answer.text,
        provider: answer.provider,
        model: answer.model,
        usage: usage_from_wire(answer.usage),
        cached: answer.cached,
        why: answer.why.into_iter().map(|why| (why.reason, why.lines)).collect(),
        degraded: answer.degraded,
    }
}

/// Where an ask is; the error is how many characters came, which travel by themselves.
pub fn step_to_wire(progress: Progress) -> Result<http::AskStep, u64> {
    Ok(match progress {
        Progress::Sent { route } => http::AskStep::Sent { route },
        Progress::Moved { to, from, why } => http::AskStep::Moved { to, from, why },
        Progress::Waiting { route, why, seconds } => http::AskStep::Waiting { route, why, seconds },
        Progress::Level { level } => http::AskStep::Level { level },
        Progress::Received { characters } => return Err(characters),
    })
}

/// The same words as near, as far as they are fit to be shown.
pub fn step_from_wire(step: http::AskStep) -> Progress {
    let clean = |text: String| sanitise(&text, &[]);
    match step {
        http::AskStep::Sent { route } => Progress::Sent { route: clean(route) },
        http::AskStep::Moved { to, from, why } => Progress::Moved { to: clean(to), from: clean(from), why: clean(why) },
        http::AskStep::Waiting { route, why, seconds } => {
            Progress::Waiting { route: clean(route), why: clean(why), seconds }
        }
        http::AskStep::Level { level } => Progress::Level { level: clean(level) },
    }
}

pub fn error_to_wire(error: &BackendError) -> ErrorReport {
    ErrorReport {
        message: error.message.clone(),
        data: ErrorData { kind: error.kind, retryable: error.kind.retryable(), detail: None, hint: error.hint.clone() },
    }
}

pub fn error_from_wire(report: ErrorReport) -> BackendError {
    BackendError::of_kind(report.data.kind, report.message, report.data.hint)
}

pub fn problem_to_error(problem: http::Problem) -> BackendError {
    BackendError::of_kind(problem.kind, problem.detail, problem.hint)
}

/// Token counts as every door says them.
pub fn usage_to_wire(usage: Usage) -> lsp::Usage {
    lsp::Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        cache_write_long_tokens: usage.cache_write_long_tokens,
        estimated: usage.estimated,
    }
}

pub(crate) fn usage_from_wire(usage: lsp::Usage) -> Usage {
    Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        cache_write_long_tokens: usage.cache_write_long_tokens,
        estimated: usage.estimated,
    }
}

fn item_to_wire(item: &Item) -> http::PromptItem {
    http::PromptItem {
        path: item.path.as_str().to_owned(),
        sha256: item.digest.to_string(),
        ranges: item.ranges.clone(),
        verbatim: item.verbatim,
        text: item.text.clone(),
        tokens: item.tokens,
        reason: item.reason.clone(),
    }
}

fn item_from_wire(item: http::PromptItem) -> Result<Item, BackendError> {
    let digest = item.sha256.parse().map_err(|_| bad_params(format!("read the digest of {}", shown(&item.path))))?;
    Ok(Item {
        path: path_from_wire(&item.path)?,
        digest,
        ranges: item.ranges.into_iter().map(|range| range_from_wire(&item.path, range)).collect::<Result<_, _>>()?,
        verbatim: item.verbatim,
        text: item.text,
        tokens: item.tokens,
        reason: item.reason,
    })
}

fn path_from_wire(path: &str) -> Result<RelPath, BackendError> {
    RelPath::new(path).map_err(|error| bad_params(error.to_string()))
}

fn range_from_wire(path: &str, range: [u32; 2]) -> Result<[u32; 2], BackendError> {
    match range {
        [first, last] if first >= 1 && first <= last => Ok(range),
        [first, last] => {
            Err(bad_params(format!("read lines {first} to {last} of {}: lines are 1-based and inclusive", shown(path))))
        }
    }
}

fn bad_params(message: String) -> BackendError {
    BackendError::new(ErrorKind::BadParams, message)
}

fn shown(path: &str) -> String {
    format!("{:?}", path.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_core::Digest;

    fn prompt() -> Prompt {
        Prompt {
            version: 3,
            intent: "rename a to b".into(),
            focus: Some(Focus { path: RelPath::new("src/a.ts").unwrap(), lines: Some([2, 4]) }),
            items: vec![Item {
                path: RelPath::new("src/a.ts").unwrap(),
                digest: Digest::of("text"),
                ranges: vec![[1, 1], [3, 9]],
                verbatim: true,
                text: "text".into(),
                tokens: 7,
                reason: "the active file".into(),
            }],
        }
    }

    #[test]
    fn a_prompt_survives_the_wire_whole() {
        let json = serde_json::to_string(&prompt_to_wire(&prompt())).unwrap();
        let back = prompt_from_wire(serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!(back, prompt());
    }

    #[test]
    fn the_way_of_an_ask_survives_the_wire_and_hostile_words_do_not() {
        let (route, why) = ("p/m".to_owned(), "is overloaded".to_owned());
        for progress in [
            Progress::Sent { route: route.clone() },
            Progress::Moved { to: "q/n".into(), from: route.clone(), why: why.clone() },
            Progress::Waiting { route: route.clone(), why, seconds: 7 },
            Progress::Level { level: "cheaper-model".into() },
        ] {
            let step = step_to_wire(progress.clone()).unwrap();
            let event = http::RemoteEvent::Step { seq: 3, step };
            let json = serde_json::to_string(&event).unwrap();
            let http::RemoteEvent::Step { step, .. } = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
            assert_eq!(step_from_wire(step), progress);
        }
        assert_eq!(step_to_wire(Progress::Received { characters: 9 }), Err(9));
        let hostile = http::AskStep::Sent { route: format!("a\u{1b}[2J\n{}", "x ".repeat(2000)) };
        let Progress::Sent { route } = step_from_wire(hostile) else { panic!() };
        assert!(!route.contains(['\u{1b}', '\n']) && route.chars().count() < 1000, "{route}");
    }

    #[test]
    fn an_answer_survives_the_wire_whole() {
        let proposal = Proposal {
            text: "diff".into(),
            provider: "builtin".into(),
            model: "rename".into(),
            usage: Usage {
                input_tokens: 1,
                output_tokens: 2,
                cache_read_tokens: 3,
                cache_write_tokens: 4,
                cache_write_long_tokens: 0,
                estimated: true,
            },
            cached: true,
            why: vec![("it is exported".into(), vec!["src/a.ts:1".into()])],
            degraded: Some("anthropic/a is overloaded".into()),
        };
        assert_eq!(answer_from_wire(answer_to_wire(proposal.clone(), None)), proposal);
    }

    #[test]
    fn what_could_mean_a_place_outside_the_root_is_refused() {
        let break_it: [fn(&mut http::Prompt); 6] = [
            |prompt| prompt.items[0].path = "../etc/passwd".into(),
            |prompt| prompt.items[0].path = "/etc/passwd".into(),
            |prompt| prompt.items[0].sha256 = "abc".into(),
            |prompt| prompt.items[0].ranges = vec![[0, 1]],
            |prompt| prompt.items[0].ranges = vec![[5, 1]],
            |prompt| prompt.focus = Some(("a/../../b".into(), None)),
        ];
        for spoil in break_it {
            let mut wire = prompt_to_wire(&prompt());
            spoil(&mut wire);
            let error = prompt_from_wire(wire).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadParams, "{error}");
        }
    }
}
