//! How one module spells the way to another: relative or by an alias, with or without an extension, as its project does.

use super::module::Module;
use super::program::Program;
use crate::path::RelPath;

/// How specifiers end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// `./a`
    None,
    /// `./a.js` for `a.ts`
    Emitted,
    /// `./a.ts`
    Written,
}

/// A specifier in `from` for `to`. `like` is one that `from` uses for `near`, a file beside which `to` may lie.
pub(super) fn to_module(program: &Program<'_>, from: &RelPath, to: &RelPath, like: Option<(&str, &RelPath)>) -> String {
    if let Some((sample, near)) = like
        && !sample.starts_with('.')
        && let Some(alias) = by_alias(program, from, to, sample, near)
    {
        return alias;
    }
    let ending = like
        .filter(|(sample, _)| sample.starts_with('.'))
        .map(|(sample, _)| ending_of(sample))
        .or_else(|| program.modules.get(from).and_then(habit))
        .or_else(|| program.modules.values().find_map(habit))
        .unwrap_or(Ending::None);
    relative(from.dir(), &spelled(to, ending))
}

/// A relative specifier written in `home`, rewritten for `to`'s folder; others stay. `None` when it leads to a root.
pub(super) fn rebased(specifier: &str, home: &RelPath, to: &RelPath) -> Option<String> {
    if !specifier.starts_with('.') {
        return Some(specifier.to_owned());
    }
    let path = home.join_relative(specifier)?;
    Some(relative(to.dir(), path.as_str()))
}

fn relative(dir: &str, path: &str) -> String {
    let here: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    let there: Vec<&str> = path.split('/').collect();
    let common =
        here.iter().zip(&there).take(there.len().saturating_sub(1)).take_while(|(one, other)| one == other).count();
    let up = "../".repeat(here.len() - common);
    let down = there.get(common..).unwrap_or_default().join("/");
    if up.is_empty() { format!("./{down}") } else { format!("{up}{down}") }
}

fn ending_of(specifier: &str) -> Ending {
    let name = specifier.rsplit('/').next().unwrap_or(specifier);
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js" | "mjs" | "cjs" | "jsx") => Ending::Emitted,
        Some("ts" | "tsx" | "mts" | "cts") => Ending::Written,
        _ => Ending::None,
    }
}

/// What a file's own relative specifiers of code end in.
fn habit(module: &Module) -> Option<Ending> {
    module
        .specifiers
        .iter()
        .find(|specifier| {
            let name = specifier.text.rsplit('/').next().unwrap_or_default();
            specifier.text.starts_with('.') && (!name.contains('.') || ending_of(&specifier.text) != Ending::None)
        })
        .map(|specifier| ending_of(&specifier.text))
}

fn split(path: &RelPath) -> (&str, &str) {
    let extension = path.extension();
    let stem = path.as_str().strip_suffix(extension).and_then(|stem| stem.strip_suffix('.')).unwrap_or(path.as_str());
    (stem, extension)
}

fn spelled(path: &RelPath, ending: Ending) -> String {
    let (stem, extension) = split(path);
    match ending {
        Ending::Written => path.as_str().to_owned(),
        Ending::Emitted => {
            let emitted = match extension {
                "ts" | "tsx" => "js",
                "mts" => "mjs",
                "cts" => "cjs",
                other => other,
            };
            format!("{stem}.{emitted}")
        }
        Ending::None => match stem.strip_suffix("/index") {
            Some(folder) => folder.to_owned(),
            None => stem.to_owned(),
        },
    }
}

/// `@/a/b` for `src/a/b.ts` says that `@/` stands for `src/`.
fn by_alias(program: &Program<'_>, from: &RelPath, to: &RelPath, sample: &str, near: &RelPath) -> Option<String> {
    let ending = ending_of(sample);
    let spelled_near = spelled(near, ending);
    let common: usize = sample
        .rsplit('/')
        .zip(spelled_near.rsplit('/'))
        .take_while(|(one, other)| one == other)
        .map(|(part, _)| part.len() + 1)
        .sum();
    let alias = sample.get(..(sample.len() + 1).checked_sub(common)?)?;
    let folder = spelled_near.get(..(spelled_near.len() + 1).saturating_sub(common))?;
    let spelled = spelled(to, ending);
    let candidate = format!("{alias}{}", spelled.strip_prefix(folder)?);
    (program.resolve_with(from, &candidate, to).as_ref() == Some(to)).then_some(candidate)
}
