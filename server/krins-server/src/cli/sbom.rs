//! `krins sbom`: the packages that a change brings, as a document; and the check of such a document.

use super::args::{Global, Sbom, SbomCommand, SbomFormat};
use super::output::{BAD, CARE, GOOD, Output, PLACE, paint};
use super::{Done, engine, patch};
use krins_core::gate::sbom::{Bom, Format, Wish, check, schema};
use krins_core::patch::Patch;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::cli::{SbomFault, SbomReport};
use serde_json::Value;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::process::ExitCode;

/// Larger than any list of packages.
const LARGEST: u64 = 256 << 20;
/// Faults of a document that are shown.
const MOST_FAULTS: usize = 200;

pub fn run(global: &Global, args: Sbom, out: &mut Output) -> Done {
    match args.command {
        Some(SbomCommand::Check { file, strict }) => check_file(&file, strict, out),
        None => make(global, &args, out),
    }
}

fn make(global: &Global, args: &Sbom, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let task = args.task.as_deref().map(|task| engine.review(Some(task))).transpose()?;
    let of_task = task.as_ref().map(|review| review.task.created);
    let timestamp = timestamp(args.timestamp.as_deref(), of_task)?;
    let patch = match task {
        Some(review) => review.patch,
        None => from_input(&engine, args.whole)?,
    };
    let name =
        engine.root().path().file_name().map_or_else(|| "workspace".into(), |name| name.to_string_lossy().into_owned());
    let wish = Wish {
        subject: name,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        timestamp,
        whole: args.whole,
        rules: engine.rules().standing()?.policy.licences,
    };
    let bytes = Bom::of(&patch, &patch::current(&engine), wish).render(format(args.format));
    match &args.output {
        None => out.raw(&bytes),
        Some(path) => {
            std::fs::write(path, bytes)
                .map_err(|error| Error::new(ErrorKind::BadParams, format!("write {}: {error}", path.display())))?;
            out.line(format!("{} {}", paint(GOOD, "wrote"), paint(PLACE, path.display())));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The patch on standard input; with `--whole`, nothing there means no change.
fn from_input(engine: &Engine, whole: bool) -> Result<Patch, Error> {
    if whole && std::io::stdin().is_terminal() {
        return Ok(Patch::between(Vec::new()));
    }
    let text = patch::standard_input()?;
    if whole && text.trim().is_empty() {
        return Ok(Patch::between(Vec::new()));
    }
    patch::place(engine, &text, None)?.map_err(Error::from)
}

const fn format(format: SbomFormat) -> Format {
    match format {
        SbomFormat::CycloneDx => Format::CycloneDx,
        SbomFormat::Spdx => Format::Spdx,
        SbomFormat::Csv => Format::Csv,
        SbomFormat::Pdf => Format::Pdf,
    }
}

/// What the person said, else the build's date, else the task's, all in UTC to the second.
fn timestamp(said: Option<&str>, of_task: Option<u64>) -> Result<Option<String>, Error> {
    if let Some(said) = said {
        return match is_time(said) {
            true => Ok(Some(said.to_owned())),
            false => Err(Error::new(ErrorKind::BadParams, format!("read the time {said:?}"))
                .hint("write it in UTC to the second, such as 2026-01-31T12:00:00Z")),
        };
    }
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty());
    let seconds = match epoch {
        Some(text) => Some(text.parse::<u64>().ok().filter(|seconds| *seconds < 253_402_300_800).ok_or_else(|| {
            Error::new(ErrorKind::BadParams, format!("read SOURCE_DATE_EPOCH {text:?}"))
                .hint("set it to seconds since 1970")
        })?),
        None => of_task.map(|millis| millis / 1000),
    };
    Ok(seconds.map(rfc3339))
}

/// `2026-01-31T12:00:00Z`, each part in its bounds.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 20
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            19 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let part =
        |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u32>().ok()).unwrap_or(u32::MAX);
    let leap = part(0, 4) % 4 == 0 && (part(0, 4) % 100 != 0 || part(0, 4) % 400 == 0);
    let days = match part(5, 7) {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1..=12 => 31,
        _ => 0,
    };
    shape && (1..=days).contains(&part(8, 10)) && part(11, 13) < 24 && part(14, 16) < 60 && part(17, 19) < 60
}

fn rfc3339(seconds: u64) -> String {
    let days = seconds / 86_400;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (mut year, mut left) = (1970, days);
    let length = |year: u64| {
        if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) { 366 } else { 365 }
    };
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let months = [31, if length(year) == 366 { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for days in months {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", left + 1)
}

fn check_file(file: &Path, strict: bool, out: &mut Output) -> Done {
    let text = read(file)?;
    let report = match serde_json::from_str::<Value>(&text) {
        Ok(document) => judged(&document, strict),
        Err(error) => {
            SbomReport { valid: false, faults: vec![fault("schema", "", format!("it is not JSON: {error}"))] }
        }
    };
    out.document(&report);
    for fault in &report.faults {
        let word =
            if fault.kind == "incomplete" && !strict { paint(CARE, "incomplete") } else { paint(BAD, &fault.kind) };
        out.line(format!(
            "{word} {} {}",
            paint(PLACE, if fault.place.is_empty() { "/" } else { &fault.place }),
            fault.what
        ));
    }
    out.line(if report.valid { paint(GOOD, "valid CycloneDX 1.6") } else { paint(BAD, "not valid") });
    Ok(ExitCode::from(u8::from(!report.valid)))
}

fn read(file: &Path) -> Result<String, Error> {
    let bad = |why: String| Error::new(ErrorKind::BadParams, format!("read {}: {why}", file.display()));
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(LARGEST).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LARGEST).read_to_string(&mut text))
    };
    read.map(|_| text).map_err(|error| bad(error.to_string()))
}

fn fault(kind: &str, place: &str, what: String) -> SbomFault {
    SbomFault { kind: kind.to_owned(), place: place.to_owned(), what }
}

/// The schema first; then what it cannot say.
fn judged(document: &Value, strict: bool) -> SbomReport {
    let mut faults: Vec<SbomFault> = schema::errors(document)
        .into_iter()
        .take(MOST_FAULTS)
        .map(|(place, what)| fault("schema", &place, what))
        .collect();
    for found in check::faults(document).into_iter().take(MOST_FAULTS) {
        let kind = match found.severity {
            check::Severity::Wrong => "wrong",
            check::Severity::Incomplete => "incomplete",
        };
        faults.push(fault(kind, &found.place, found.what));
    }
    let valid = faults.iter().all(|fault| fault.kind == "incomplete" && !strict);
    SbomReport { valid, faults }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates_and_dates_are_read() {
        for (seconds, expect) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), expect);
            assert!(is_time(expect));
        }
        for bad in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31",
            "2026-01-31T12:00:00+00",
            "é",
        ] {
            assert!(!is_time(bad), "{bad}");
        }
    }
}
