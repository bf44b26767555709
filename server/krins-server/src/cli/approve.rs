//! `krins approve`, `krins approvals`, `krins waive`: what a person takes upon them, on record.

use super::args::{ApprovalsCommand, Approve, Global, Waive};
use super::output::{BAD, CARE, GOOD, Output, PLACE, STRONG, paint};
use super::{Done, audit, engine};
use krins_core::Digest;
use krins_core::gate::{self, Day, Waiver};
use krins_core::patch::Patch;
use krins_engine::audit::Event;
use krins_engine::gate::{approvals, waivers};
use krins_engine::{Engine, Error, ErrorKind};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long an approval counts where nothing is said: a week.
const DAYS: u64 = 7;

pub fn approve(global: &Global, args: Approve, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let patch = patch_of(&engine, &args.what)?;
    let settings = engine.settings();
    let owner = args.owner.or_else(|| settings.approvals.identity.clone()).ok_or_else(|| {
        Error::new(ErrorKind::BadParams, "approve: nobody says who you are")
            .hint("pass --as @name, or set approvals.identity in your settings")
    })?;
    let key = args.key.or_else(|| settings.approvals.key.clone()).or_else(usual_key).ok_or_else(|| {
        Error::new(ErrorKind::BadParams, "approve: there is no SSH key to sign with")
            .hint("pass --key FILE, or set approvals.key in your settings")
    })?;
    let expires = match args.expires {
        Some(day) => day,
        None => Day::of_unix(seconds() + DAYS * 86_400),
    };
    let policy = engine.rules().standing()?.policy;
    let signed = approvals::approve(&patch, &policy, &owner, &key, expires, settings, engine.state())?;
    engine.audit().record(
        Event::of(
            "approved",
            json!({
                "patch": patch.digest().to_string(),
                "policy": policy.digest().to_string(),
                "owner": owner,
                "expires": expires.to_string(),
                "signature": Digest::of(&signed.signature).to_string(),
            }),
        )
        .by(settings.approvals.identity.as_deref()),
    )?;
    let checked = approvals::check(std::slice::from_ref(&signed), &patch, &policy, engine.root(), settings);
    let refused = checked.into_iter().find_map(|checked| checked.refused);
    out.document(&json!({
        "patch": patch.digest(), "owner": owner, "expires": expires, "approval": signed, "counts_here": refused.is_none(), "why": refused
    }));
    out.line(format!("{} approves {} until {expires}", paint(STRONG, &owner), paint(PLACE, patch.digest())));
    if let Some(why) = refused {
        out.line(format!("{} it does not count here: {why}", paint(CARE, "note")));
    }
    if let Some(path) = args.output {
        let text = serde_json::to_string_pretty(&[&signed]).unwrap_or_default();
        std::fs::write(&path, text)
            .map_err(|error| Error::new(ErrorKind::BadParams, format!("write {}: {error}", path.display())))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub fn approvals(global: &Global, command: ApprovalsCommand, out: &mut Output) -> Done {
    let engine = engine(global)?;
    match command {
        ApprovalsCommand::Verify { what } => verify(&engine, what.as_deref(), out),
        ApprovalsCommand::Import { file } => {
            let mut count = 0;
            for signed in approvals::read(&file)? {
                let document = gate::Document::read(&signed.document).map_err(|why| {
                    Error::new(ErrorKind::BadParams, format!("take an approval of {}: {why}", file.display()))
                })?;
                approvals::keep(signed, &document.patch, engine.state())?;
                count += 1;
            }
            out.document(&json!({"imported": count}));
            out.line(format!("{count} approvals are kept; each is checked when it counts"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Exit 0 when at least one approval counts and every one that there is does.
fn verify(engine: &Engine, what: Option<&str>, out: &mut Output) -> Done {
    let patch = match what {
        Some(what) => patch_of(engine, what)?,
        None => engine.wanted(None)?,
    };
    let policy = engine.rules().standing()?.policy;
    let found = approvals::stored(&patch.digest(), engine.root(), engine.state());
    let checked = approvals::check(&found, &patch, &policy, engine.root(), engine.settings());
    let owner = |of: &approvals::Checked| of.document.as_ref().map(|document| document.owner.clone());
    let rows = checked.iter().map(|of| json!({"owner": owner(of), "counts": of.refused.is_none(), "why": of.refused}));
    out.document(&json!({"patch": patch.digest(), "approvals": rows.collect::<Vec<_>>()}));
    if checked.is_empty() {
        out.line(format!("nobody approved {}", paint(PLACE, patch.digest())));
    }
    for of in &checked {
        let owner = owner(of).unwrap_or_else(|| "?".to_owned());
        out.line(match &of.refused {
            None => format!("{} {owner}", paint(GOOD, "counts")),
            Some(why) => format!("{} {owner}: {why}", paint(BAD, "does not count")),
        });
    }
    let good = !checked.is_empty() && checked.iter().all(|of| of.refused.is_none());
    Ok(ExitCode::from(u8::from(!good)))
}

/// The patch of a task as it would be applied, by the task's id or the patch's hash.
fn patch_of(engine: &Engine, what: &str) -> Result<Patch, Error> {
    let Ok(digest) = what.parse::<Digest>() else { return engine.wanted(Some(what)) };
    let tasks = engine.tasks().list();
    let found = tasks.iter().filter(|task| !task.files.is_empty()).find_map(|task| {
        let patch = engine.wanted(Some(&task.id)).ok()?;
        (patch.digest() == digest).then_some(patch)
    });
    found.ok_or_else(|| {
        Error::new(ErrorKind::UnknownTask, format!("find the patch {digest}"))
            .hint("a task's patch changes with its edits and rejected hunks: `krins approvals verify TASK` names it")
    })
}

fn usual_key() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let names = ["id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_rsa"];
    names.iter().map(|name| home.join(".ssh").join(name)).find(|path| path.exists())
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub fn waive(global: &Global, args: Waive, out: &mut Output) -> Done {
    let (_, state, settings, log) = audit::open(global)?;
    let fingerprint = match &args.task {
        Some(task) => Some(waivers::fingerprint_of(&engine(global)?.review(Some(task))?, &args.rule, &args.path)?),
        None => None,
    };
    let (rule, path, expires) = (args.rule, args.path, args.expires);
    let waiver = Waiver { rule, path, fingerprint, reason: args.reason, expires };
    waivers::keep(waiver.clone(), &log, &state, settings.approvals.identity.as_deref())?;
    out.document(&json!({"waiver": waiver}));
    out.line(format!(
        "{} is waived for {} until {}",
        paint(STRONG, &waiver.rule),
        paint(PLACE, &waiver.path),
        waiver.expires
    ));
    Ok(ExitCode::SUCCESS)
}
