//! `krins context`: what would be sent, without sending it.

use super::args::{Context, Global};
use super::output::{DIM, Output, PLACE, STRONG, paint};
use super::{Done, engine, focus};
use crate::{from_proto, to_proto};
use krins_engine::pipeline::{Chosen, Intent};
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::cli::{ContextQuery, Failure};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::ExitCode;

pub async fn run(global: &Global, args: Context, out: &mut Output) -> Done {
    let engine = engine(global)?;
    if let Some(batch) = &args.batch {
        return run_batch(&engine, batch, &args, out).await;
    }
    let intent = Intent {
        words: args.intent.unwrap_or_default(),
        focus: args.file.as_deref().map(|place| focus(&engine, place)).transpose()?,
        reach: args.scope.into(),
        budget: args.budget,
        patience: from_proto::patience(args.patience),
        ..Intent::default()
    };
    let chosen = engine.context(&intent).await?;
    out.document(&to_proto::cli_context(&chosen));
    show(&chosen, out);
    Ok(ExitCode::SUCCESS)
}

/// Items with their reasons, then what was left out.
pub fn show(Chosen { pack, micros, partial }: &Chosen, out: &mut Output) {
    for item in &pack.items {
        let lines: Vec<String> = item.ranges.iter().map(|[first, last]| format!("{first}-{last}")).collect();
        let form = if item.verbatim { "" } else { " outline" };
        out.line(format!(
            "{:>6} tok  {}{form}  {}",
            item.tokens,
            paint(PLACE, format!("{}:{}", item.path, lines.join(","))),
            paint(DIM, &item.reason)
        ));
    }
    if !pack.pruned.is_empty() {
        let shown: Vec<String> = pack.pruned.iter().take(8).map(ToString::to_string).collect();
        let more = pack.pruned.len().saturating_sub(shown.len());
        let tail = if more > 0 { format!(" +{more}") } else { String::new() };
        out.line(format!("{} {}{tail}", paint(STRONG, "pruned"), shown.join(", ")));
    }
    out.line(format!(
        "{} {} tokens, {} items, at most {}",
        paint(STRONG, "total"),
        pack.tokens,
        pack.items.len(),
        super::report::price(*micros)
    ));
    if let Some(partial) = partial {
        out.line(super::graph::early(&to_proto::partial(*partial)));
    }
}

/// One query a line in, one answer a line out, in order; a bad line is answered with an error and the rest goes on.
async fn run_batch(engine: &Engine, batch: &Path, args: &Context, out: &mut Output) -> Done {
    let file = std::fs::File::open(batch)
        .map_err(|error| Error::new(ErrorKind::BadParams, format!("read {}: {error}", batch.display())))?;
    let mut code = ExitCode::SUCCESS;
    for line in BufReader::new(file).lines() {
        let line =
            line.map_err(|error| Error::new(ErrorKind::BadParams, format!("read {}: {error}", batch.display())))?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match answer(engine, &line, args).await {
            Ok(chosen) => serde_json::to_string(&to_proto::cli_context(&chosen)),
            Err(error) => {
                code = ExitCode::from(error.kind.exit_code());
                serde_json::to_string(&Failure { error: to_proto::error(&error) })
            }
        };
        let answer = answer.map_err(|error| Error::new(ErrorKind::Internal, format!("write an answer: {error}")))?;
        out.raw(format!("{answer}\n").as_bytes());
    }
    Ok(code)
}

async fn answer(engine: &Engine, line: &str, args: &Context) -> Result<Chosen, Error> {
    let query: ContextQuery = serde_json::from_str(line).map_err(|error| {
        Error::new(ErrorKind::BadParams, format!("read a query: {error}"))
            .hint("one JSON object a line: {\"intent\", \"file\"?, \"budget\"?}")
    })?;
    let intent = Intent {
        words: query.intent,
        focus: query.file.as_deref().map(|place| focus(engine, place)).transpose()?,
        reach: args.scope.into(),
        budget: query.budget.or(args.budget),
        patience: from_proto::patience(args.patience),
        ..Intent::default()
    };
    engine.context(&intent).await
}
