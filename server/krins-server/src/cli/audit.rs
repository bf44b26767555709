//! `krins audit`: what was decided in this workspace, and whether anybody changed the record of it.

use super::args::{AuditCommand, Global};
use super::output::{BAD, CARE, DIM, GOOD, Output, PLACE, STRONG, paint};
use super::{Done, engine, root_dir, setup};
use krins_core::audit::Record;
use krins_core::gate::Day;
use krins_engine::audit::{About, Audit, Trusted, Verification};
use krins_engine::settings::Settings;
use krins_engine::state::StateDir;
use krins_engine::workspace::Root;
use krins_engine::{Error, ErrorKind};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// The root's state, settings and audit, without an engine.
pub(super) fn open(global: &Global) -> Result<(Root, StateDir, Settings, Audit), Error> {
    let root = Root::open(&root_dir(global)?)?;
    let state = StateDir::open(&root)?;
    // Settings that cannot be taken must not keep anybody from the record, nor from taking a trust back.
    let settings = setup(global).and_then(|setup| setup.settings(Some((&root, &state)), None)).unwrap_or_default();
    let audit = Audit::open(&state, settings.audit_days)?;
    Ok((root, state, settings, audit))
}

pub async fn run(global: &Global, command: AuditCommand, out: &mut Output) -> Done {
    let (_, _, _, audit) = open(global)?;
    match command {
        AuditCommand::Verify { checkpoint, key } => verify(&audit, checkpoint.as_deref(), key.as_deref(), out),
        AuditCommand::Tail { count, task, kind } => {
            tail(&audit, count, &About { task: task.as_deref(), kind: kind.as_deref() }, out)
        }
        AuditCommand::Report => report(&audit, out),
        AuditCommand::Share => share(global, out).await,
        AuditCommand::Checkpoint => {
            let note = audit.checkpoint()?;
            out.document(&json!({"checkpoint": note}));
            out.line(note.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Rotate => {
            let key = audit.rotate()?.to_string();
            out.document(&json!({"key": key}));
            out.line(format!("the key is now {}", paint(PLACE, key)));
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Export { subject } => {
            let records = audit.export(subject.as_deref())?;
            if out.is_json() {
                out.document(&records);
            }
            for record in &records {
                out.line(record.to_string());
            }
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Forget { subject } => {
            let gone = audit.forget(&subject)?;
            out.document(&json!({"erased": gone}));
            out.line(format!("{gone} records keep nothing of it any more; they are still in the chain"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn share(global: &Global, out: &mut Output) -> Done {
    let kept = engine(global)?.share_audit().await?;
    out.document(&json!({"records": kept}));
    match kept {
        Some(records) => out.line(format!("the copy holds {records} records")),
        None => {
            return Err(Error::new(
                ErrorKind::BadParams,
                "share the audit: nothing of it is to leave this machine, or nobody keeps it",
            )
            .hint("set `audit.share = \"records\"` and `backend.url` in your own settings"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(audit: &Audit, checkpoint: Option<&Path>, key: Option<&str>, out: &mut Output) -> Done {
    let note = match checkpoint {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| Error::new(ErrorKind::BadParams, format!("read {}: {error}", path.display())))?,
        ),
        None => None,
    };
    let key = key.map(str::parse).transpose();
    let key =
        key.map_err(|error: krins_core::audit::note::NotAKey| Error::new(ErrorKind::BadParams, error.to_string()))?;
    let found = audit.verify(&Trusted { key, note })?;
    out.document(&found);
    show(&found, out);
    Ok(ExitCode::from(u8::from(!found.sound)))
}

fn show(found: &Verification, out: &mut Output) {
    let verdict = if found.sound { paint(GOOD, "sound") } else { paint(BAD, "broken") };
    let Verification { records, checkpoints, covered, kept, erased, .. } = found;
    out.line(format!(
        "{} {verdict}  {records} records, {covered} of them signed for by {checkpoints} checkpoints",
        paint(STRONG, "audit")
    ));
    out.line(format!("  {kept} with what they are about, {erased} erased"));
    if found.torn > 0 {
        out.line(format!(
            "  {} a killed process left {} bytes of a record; the next one says so",
            paint(CARE, "note"),
            found.torn
        ));
    }
    if found.epochs > 1 {
        out.line(format!(
            "  {} {} times a key was lost and another began without its word",
            paint(CARE, "note"),
            found.epochs - 1
        ));
    }
    if let Some(key) = &found.key {
        out.line(paint(DIM, format!("  key {key}")));
    }
    for finding in &found.findings {
        let line = finding.line.map_or(String::new(), |line| format!(":{line}"));
        out.line(format!("  {} {}{line} {}", paint(BAD, "changed"), paint(PLACE, &finding.file), finding.what));
    }
}

fn tail(audit: &Audit, count: usize, of: &About<'_>, out: &mut Output) -> Done {
    let records = audit.tail_of(count, of)?;
    let document = |(record, about): &(Record, Option<Value>)| json!({"seq": record.seq, "ts": record.ts, "kind": record.kind, "by": record.by, "about": about});
    out.document(&records.iter().map(document).collect::<Vec<_>>());
    if records.is_empty() {
        out.line("nothing is recorded yet");
    }
    for (record, about) in &records {
        let about = about.as_ref().map_or_else(|| "erased".to_owned(), |about| in_words(&record.kind, about));
        let about: String = about.chars().take(200).collect();
        out.line(format!(
            "{} {} {:16} {}",
            paint(STRONG, format!("{:6}", record.seq)),
            time(record.ts),
            record.kind,
            paint(DIM, about)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a record is about: a round in words, everything else as it is kept.
fn in_words(kind: &str, about: &Value) -> String {
    let word = |key: &str| about[key].as_str().unwrap_or_default();
    let count = |key: &str| about[key].as_array().map_or(0, Vec::len);
    match kind {
        "fix.round" => {
            let rules: Vec<&str> = about["rules"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let rules = if rules.is_empty() { String::new() } else { format!(": {}", rules.join(", ")) };
            format!(
                "{} round {} of the {}: {} findings sent back, {} ({} block{rules})",
                word("task"),
                about["round"],
                word("part"),
                count("sent"),
                word("verdict"),
                about["blocking"],
            )
        }
        "fix.ended" => {
            let kept =
                if word("kept").is_empty() { "nothing kept".to_owned() } else { format!("kept {:.12}", word("kept")) };
            format!("{} the {} ended: {}, {kept}", word("task"), word("part"), word("why"))
        }
        _ => about.to_string(),
    }
}

fn report(audit: &Audit, out: &mut Output) -> Done {
    let report = audit.report()?;
    out.document(&report);
    let span = report.first.zip(report.last);
    let span = span.map_or(String::new(), |(first, last)| format!(", from {} to {}", time(first), time(last)));
    out.line(format!("{} records{span}", report.records));
    for (kind, count) in &report.kinds {
        out.line(format!("{count:8}  {kind}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn time(ts: u64) -> String {
    let seconds = ts / 1000;
    let of_day = seconds % 86_400;
    format!("{} {:02}:{:02}:{:02}Z", Day::of_unix(seconds), of_day / 3600, of_day / 60 % 60, of_day % 60)
}
