//! `krins switch`: the kill switch. It is a file in the state directory, which every running program of this person
//! looks at before each call, and several times a second during one.

use super::args::{Global, SwitchTo};
use super::output::{BAD, GOOD, Output, PLACE, paint};
use super::{Done, setup};
use krins_backend::provider::provider_names;
use krins_backend::resilience::switch::{self, ALL, Turn};
use krins_engine::{Error, ErrorKind};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

pub fn run(global: &Global, to: Option<SwitchTo>, providers: Vec<String>, out: &mut Output) -> Done {
    let setup = setup(global)?;
    let path = setup.switch_file().ok_or_else(|| {
        Error::new(ErrorKind::Internal, "find the state directory").hint("set HOME or KRINS_STATE_DIR")
    })?;
    let settings = setup.settings(None, None)?;
    let known = provider_names(&settings.providers);
    if let Some(unknown) = providers.iter().find(|name| *name != ALL && !known.contains(*name)) {
        return Err(Error::new(ErrorKind::BadParams, format!("switch {unknown:?}: there is no such provider"))
            .hint(format!("the providers are {}", Vec::from_iter(known).join(", "))));
    }
    let mut off = read(&path)?;
    let mut names: BTreeSet<String> = providers.into_iter().collect();
    if names.remove(ALL) {
        names.clear();
    }
    off = match to {
        Some(SwitchTo::Off) => Turn::Off(names).of(off),
        Some(SwitchTo::On) => Turn::On { names, known }.of(off),
        None => off,
    };
    if to.is_some() {
        switch::write(&path, &off).map_err(|error| failed("write", &path, &error))?;
    }
    // What the settings say can only be taken back there.
    let all: BTreeSet<String> = off.union(&settings.resilience.off).cloned().collect();
    out.document(&json!({"off": all, "file": path, "settings": settings.resilience.off}));
    match all.is_empty() {
        true => out.line(format!("{} every provider may be asked", paint(GOOD, "on"))),
        false => out.line(format!("{} {}", paint(BAD, "off"), Vec::from_iter(all).join(", "))),
    }
    for name in settings.resilience.off {
        out.line(format!("{name} is switched off by the settings (switched_off)"));
    }
    out.line(paint(PLACE, path.display().to_string()));
    Ok(ExitCode::SUCCESS)
}

pub fn read(path: &Path) -> Result<BTreeSet<String>, Error> {
    switch::read(path).map_err(|error| failed("read", path, &error))
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("{what} {}: {error}", path.display()))
        .hint("remove the file by hand to switch everything on")
}
