//! In which order modules load: who reaches whom by imports that exist when the program runs.

use super::module::{Module, Origin};
use super::program::Program;
use crate::path::RelPath;
use std::collections::BTreeSet;

/// Whether loading `from` loads `to`, with the edges that a change adds.
pub(super) fn reaches(program: &Program<'_>, from: &RelPath, to: &RelPath, added: &[(RelPath, RelPath)]) -> bool {
    let mut seen = BTreeSet::new();
    let mut front = vec![from.clone()];
    while let Some(path) = front.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let known = program.modules.get(&path).into_iter().flat_map(|module| loads(program, module));
        let more = added.iter().filter(|(importer, _)| *importer == path).map(|(_, imported)| imported.clone());
        for next in known.chain(more) {
            if next == *to {
                return true;
            }
            front.push(next);
        }
    }
    false
}

fn loads(program: &Program<'_>, module: &Module) -> Vec<RelPath> {
    let imports = module
        .imports
        .iter()
        .filter(|import| {
            !import.type_only
                && import.names.as_ref().is_none_or(|names| names.is_empty() || names.iter().any(|n| !n.type_only))
        })
        .map(|import| import.specifier.as_str());
    let exports = module.exports.iter().filter(|export| !export.type_only).filter_map(|export| match &export.origin {
        Origin::From { specifier, .. } | Origin::Namespace { specifier } | Origin::Star { specifier } => {
            Some(specifier.as_str())
        }
        Origin::Local { .. } | Origin::Anonymous => None,
    });
    imports.chain(exports).filter_map(|specifier| program.resolve(&module.path, specifier)).collect()
}
