//! Renames an exported symbol everywhere: its declarations, every reference, and every module that passes it on.

use super::edits::Edits;
use super::module::{Export, Form, ImportName, Module, Origin};
use super::program::Program;
use super::{Outcome, RefactorError, finish, names, public};
use crate::path::RelPath;
use oxc_span::Span;
use oxc_syntax::symbol::SymbolId;
use std::collections::{BTreeMap, BTreeSet};

struct Rename<'p> {
    program: &'p Program<'p>,
    from: &'p str,
    to: &'p str,
    /// The module whose own export it is; the others pass it on.
    origin: RelPath,
    /// Modules whose export `from` is this symbol.
    carriers: BTreeSet<RelPath>,
    edits: BTreeMap<RelPath, Edits>,
    aliased: Vec<String>,
}

pub(super) fn rename(
    program: &Program<'_>,
    from: &str,
    to: &str,
    file: Option<&RelPath>,
) -> Result<Outcome, RefactorError> {
    if from == "default" {
        return Err(RefactorError::BadName {
            name: from.to_owned(),
            why: "a default export has no name of its own; turn it into a named export first",
        });
    }
    names::check(to)?;
    if from == to {
        return Err(RefactorError::NothingToDo { why: format!("the name is {to} already") });
    }
    program.refuse_broken(&[from])?;
    let origin = origin_of(program, from, file)?;
    let mut rename = Rename {
        carriers: carriers(program, &origin, from),
        program,
        from,
        to,
        origin,
        edits: BTreeMap::new(),
        aliased: Vec::new(),
    };
    rename.check_exports()?;
    for module in program.modules.values() {
        rename.module(module)?;
    }
    let why = rename.why()?;
    finish(program, rename.edits, why, true)
}

/// The module where the symbol called `name` is at home: the end of the re-exports that keep the name.
pub(super) fn origin_of(program: &Program<'_>, name: &str, file: Option<&RelPath>) -> Result<RelPath, RefactorError> {
    if let Some(file) = file {
        let module = program.module(file)?;
        if module.export(name).is_some() {
            return Ok(home(program, file, name));
        }
        let through_star = module.stars().find_map(|specifier| {
            let target = program.resolve(file, specifier)?;
            let carrier = program.modules.get(&target).filter(|_| program.exports(&target, name))?;
            star_home(program, &carrier.path, name, 0)
        });
        if let Some(found) = through_star {
            return Ok(found);
        }
        if module.top_level(name).is_some() {
            return Ok(match imported_home(program, module, name) {
                Some(found) => found,
                None => file.clone(),
            });
        }
    }
    let homes: BTreeSet<RelPath> = program
        .modules
        .values()
        .filter(|module| module.export(name).is_some())
        .map(|module| home(program, &module.path, name))
        .collect();
    if let Some(file) = file {
        return Err(names::no_such_symbol(program, name, Some(file)));
    }
    let homes = match homes.len() {
        0 => default_homes(program, name),
        _ => homes,
    };
    match homes.len() {
        0 => Err(names::no_such_symbol(program, name, None)),
        1 => homes.into_iter().next().ok_or_else(|| names::no_such_symbol(program, name, None)),
        _ => Err(RefactorError::Ambiguous { symbol: name.to_owned(), files: homes.into_iter().collect() }),
    }
}

/// Modules that export a declaration called `name` by default only.
fn default_homes(program: &Program<'_>, name: &str) -> BTreeSet<RelPath> {
    program
        .modules
        .values()
        .filter(|module| {
            matches!(
                module.export("default").map(|export| &export.origin),
                Some(Origin::Local { local, symbol: Some(symbol), .. })
                    if local == name && module.import_of(*symbol).is_none()
            )
        })
        .map(|module| module.path.clone())
        .collect()
}

fn imported_home(program: &Program<'_>, module: &Module, name: &str) -> Option<RelPath> {
    let (import, imported) = module.import_of(module.top_level(name)?)?;
    let target = program.resolve(&module.path, &import.specifier)?;
    (imported.imported.name() == Some(name) && program.exports(&target, name))
        .then(|| star_home(program, &target, name, 0))
        .flatten()
}

fn star_home(program: &Program<'_>, path: &RelPath, name: &str, hops: usize) -> Option<RelPath> {
    let module = program.modules.get(path)?;
    if module.export(name).is_some() {
        return Some(home(program, path, name));
    }
    if hops > 100 {
        return None;
    }
    module.stars().find_map(|specifier| {
        let target = program.resolve(path, specifier)?;
        star_home(program, &target, name, hops + 1)
    })
}

fn home(program: &Program<'_>, path: &RelPath, name: &str) -> RelPath {
    let mut at = path.clone();
    let mut seen = BTreeSet::new();
    while seen.insert(at.clone()) {
        let next = program
            .modules
            .get(&at)
            .and_then(|module| Some((module, module.export(name)?)))
            .and_then(|(module, export)| passes_on(program, module, export, name))
            .and_then(|target| {
                let module = program.modules.get(&target)?;
                if module.export(name).is_some() { Some(target) } else { star_home(program, &target, name, 0) }
            });
        match next {
            Some(target) => at = target,
            None => break,
        }
    }
    at
}

/// The module whose export of the same name this export passes on.
fn passes_on(program: &Program<'_>, module: &Module, export: &Export, name: &str) -> Option<RelPath> {
    let specifier = match &export.origin {
        Origin::From { specifier, imported, .. } if imported == name => specifier,
        Origin::Local { symbol: Some(symbol), .. } => {
            let (import, imported) = module.import_of(*symbol)?;
            (imported.imported.name() == Some(name)).then_some(&import.specifier)?
        }
        _ => return None,
    };
    program.resolve(&module.path, specifier)
}

/// All modules whose export `name` is the one of `origin`.
pub(super) fn carriers(program: &Program<'_>, origin: &RelPath, name: &str) -> BTreeSet<RelPath> {
    let mut carriers = BTreeSet::new();
    if program.modules.get(origin).is_some_and(|module| module.export(name).is_some()) {
        carriers.insert(origin.clone());
    }
    loop {
        let more: Vec<RelPath> = program
            .modules
            .values()
            .filter(|module| !carriers.contains(&module.path))
            .filter(|module| match module.export(name) {
                Some(export) => {
                    passes_on(program, module, export, name).is_some_and(|target| carriers.contains(&target))
                }
                None => module
                    .stars()
                    .filter_map(|specifier| program.resolve(&module.path, specifier))
                    .any(|target| carriers.contains(&target)),
            })
            .map(|module| module.path.clone())
            .collect();
        if more.is_empty() {
            return carriers;
        }
        carriers.extend(more);
    }
}

impl Rename<'_> {
    /// No carrier may export the new name already: it would be a duplicate, or two stars would cancel each other.
    fn check_exports(&self) -> Result<(), RefactorError> {
        let mut places = Vec::new();
        for path in &self.carriers {
            let Ok(module) = self.program.module(path) else {
                continue;
            };
            if let Some(export) = module.export(self.to) {
                // `export { a as b }` beside `export { a }`: renaming a to b makes it one export.
                places.push(module.place(export.name_span.start));
            } else if self.program.exports(path, self.to) {
                places.push(format!("{path}:1"));
            }
        }
        self.taken(places)
    }

    fn taken(&self, mut places: Vec<String>) -> Result<(), RefactorError> {
        places.sort();
        places.dedup();
        if places.is_empty() {
            return Ok(());
        }
        Err(RefactorError::NameTaken { name: self.to.to_owned(), places })
    }

    fn carries(&self, module: &Module, specifier: &str) -> bool {
        self.program.resolve(&module.path, specifier).is_some_and(|target| self.carriers.contains(&target))
    }

    fn module(&mut self, module: &Module) -> Result<(), RefactorError> {
        let mut edits = Edits::default();
        let mut renamed = BTreeSet::new();
        if let Some(symbol) = self.declared(module) {
            self.taken(module.collisions(symbol, self.to))?;
            self.check_tags(module, symbol)?;
            renamed.insert(symbol);
        }
        for symbol in self.augmented(module) {
            self.taken(module.collisions(symbol, self.to))?;
            renamed.insert(symbol);
        }
        self.imports(module, &mut renamed, &mut edits)?;
        for symbol in &renamed {
            self.uses(module, *symbol, &mut edits);
        }
        self.exports(module, &renamed, &mut edits);
        self.augmentation_references(module, &mut edits);
        for (path, segment) in self.program.members(module, self.from) {
            if !self.carriers.contains(&path) {
                continue;
            }
            let text = if segment.shorthand { format!("{}: {}", self.to, self.from) } else { self.to.to_owned() };
            edits.replace(segment.span, text);
        }
        if !edits.is_empty() {
            self.edits.insert(module.path.clone(), edits);
        }
        Ok(())
    }

    /// The binding that the symbol's own module declares under the old name.
    fn declared(&self, module: &Module) -> Option<SymbolId> {
        if module.path != self.origin {
            return None;
        }
        let symbol = match module.export(self.from).map(|export| &export.origin) {
            Some(Origin::Local { symbol, local, .. }) if local == self.from => (*symbol)?,
            Some(_) => return None,
            None => module.top_level(self.from)?,
        };
        module.import_of(symbol).is_none().then_some(symbol)
    }

    /// `<Button />` with a small letter would be an HTML element.
    fn check_tags(&self, module: &Module, symbol: SymbolId) -> Result<(), RefactorError> {
        let tagged = module.uses(symbol).any(|name| module.tags.contains(&name.span.start));
        if tagged && self.to.chars().next().is_some_and(char::is_lowercase) {
            return Err(RefactorError::BadName {
                name: self.to.to_owned(),
                why: "it is used as a JSX tag, and a tag with a small first letter is an HTML element",
            });
        }
        Ok(())
    }

    /// Declarations that `declare module "./x" { … }` merges with the symbol.
    fn augmented(&self, module: &Module) -> Vec<SymbolId> {
        module
            .augmentations
            .iter()
            .filter(|augmentation| self.carries(module, &augmentation.specifier))
            .filter_map(|augmentation| module.scoping.get_binding(augmentation.scope, self.from.into()))
            .collect()
    }

    /// Inside `declare module "./x" { … }` the exports of that module are in scope, before those of the file.
    fn augmentation_references(&self, module: &Module, edits: &mut Edits) {
        for augmentation in &module.augmentations {
            if !self.carries(module, &augmentation.specifier) {
                continue;
            }
            for name in &module.names {
                let within = augmentation.span.start <= name.span.start && name.span.end <= augmentation.span.end;
                let bound_inside = name.symbol.is_some_and(|symbol| {
                    module
                        .scoping
                        .scope_ancestors(module.scoping.symbol_scope_id(symbol))
                        .any(|scope| scope == augmentation.scope)
                });
                if within
                    && name.flags.is_some()
                    && !bound_inside
                    && name.form == Form::Plain
                    && module.slice(name.span) == self.from
                {
                    edits.replace(name.span, self.to);
                }
            }
        }
    }

    fn imports(
        &mut self,
        module: &Module,
        renamed: &mut BTreeSet<SymbolId>,
        edits: &mut Edits,
    ) -> Result<(), RefactorError> {
        for import in &module.imports {
            let Some(target) = self.program.resolve(&module.path, &import.specifier) else {
                continue;
            };
            for name in import.names.iter().flatten() {
                match name.imported.name() {
                    Some(imported) if imported == self.from && self.carriers.contains(&target) => {
                        self.import_name(module, name, renamed, edits)?;
                    }
                    Some("default") if target == self.origin => {
                        self.default_import(module, name, renamed, edits);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn import_name(
        &mut self,
        module: &Module,
        name: &ImportName,
        renamed: &mut BTreeSet<SymbolId>,
        edits: &mut Edits,
    ) -> Result<(), RefactorError> {
        let mut local = name.local.as_str();
        if local == self.from {
            self.check_tags(module, name.symbol)?;
            if module.collisions(name.symbol, self.to).is_empty() {
                renamed.insert(name.symbol);
                local = self.to;
            } else {
                self.aliased.push(module.place(name.span.start));
            }
        }
        pair(edits, name.imported_span, name.local_span, self.to, local);
        Ok(())
    }

    /// `import total from "./total"` keeps in step with a default export that is declared under the same name.
    fn default_import(&self, module: &Module, name: &ImportName, renamed: &mut BTreeSet<SymbolId>, edits: &mut Edits) {
        let ours = self
            .program
            .modules
            .get(&self.origin)
            .and_then(|origin| Some((origin.export("default")?, self.declared(origin)?)))
            .is_some_and(|(export, ours)| {
                matches!(&export.origin, Origin::Local { symbol: Some(symbol), .. } if *symbol == ours)
            });
        if ours && name.local == self.from && module.collisions(name.symbol, self.to).is_empty() {
            renamed.insert(name.symbol);
            edits.replace(name.local_span, self.to);
        }
    }

    fn uses(&self, module: &Module, symbol: SymbolId, edits: &mut Edits) {
        for name in module.uses(symbol) {
            match name.form {
                Form::Plain => edits.replace(name.span, self.to),
                Form::Shorthand => {
                    edits.replace(name.span, format!("{}: {}", self.from, self.to));
                }
                Form::NestedExport => {
                    edits.replace(name.span, format!("{} as {}", self.to, self.from));
                }
                Form::Specifier => {}
            }
        }
    }

    fn exports(&self, module: &Module, renamed: &BTreeSet<SymbolId>, edits: &mut Edits) {
        let carrier = self.carriers.contains(&module.path);
        for export in &module.exports {
            let name = if carrier && export.name == self.from { self.to } else { &export.name };
            match &export.origin {
                Origin::Local { symbol, local, local_span } if export.specifier.is_some() => {
                    let moved = symbol.is_some_and(|symbol| renamed.contains(&symbol));
                    let local = if moved { self.to } else { local };
                    if moved || name != export.name {
                        pair(edits, *local_span, export.name_span, local, &unchanged(module, export.name_span, name));
                    }
                }
                Origin::From { specifier, imported, imported_span } => {
                    let moved = imported == self.from && self.carries(module, specifier);
                    let imported = if moved { self.to } else { imported };
                    if moved || name != export.name {
                        let imported = unchanged(module, *imported_span, imported);
                        pair(
                            edits,
                            *imported_span,
                            export.name_span,
                            &imported,
                            &unchanged(module, export.name_span, name),
                        );
                    }
                }
                Origin::Namespace { .. } if name != export.name => {
                    edits.replace(export.name_span, name);
                }
                _ => {}
            }
        }
    }

    fn why(&self) -> Result<Vec<(String, Vec<String>)>, RefactorError> {
        let origin = self.program.module(&self.origin)?;
        let at = origin
            .export(self.from)
            .map(|export| export.name_span.start)
            .or_else(|| Some(origin.scoping.symbol_span(origin.top_level(self.from)?).start));
        let declared = at.map(|at| origin.place(at)).into_iter().collect();
        let files = self.edits.len();
        let mut why = vec![(
            format!("{} is declared here and used in {files} file{}", self.from, if files == 1 { "" } else { "s" }),
            declared,
        )];
        why.extend(public::reason(self.program, &self.carriers, self.from));
        let escapes: Vec<String> = self
            .program
            .modules
            .values()
            .flat_map(|module| self.program.escapes(module, &self.carriers).into_iter().map(|at| module.place(at)))
            .take(5)
            .collect();
        if !escapes.is_empty() {
            why.push((
                "a module object is passed on whole here; reads by a computed name are not followed".to_owned(),
                escapes,
            ));
        }
        if !self.aliased.is_empty() {
            why.push((
                format!("{} is taken in these files, so they import it under the old name", self.to),
                self.aliased.clone(),
            ));
        }
        why.truncate(3);
        Ok(why)
    }
}

/// A name as the text has it, quotes and all, when it is still that name.
fn unchanged(module: &Module, span: Span, name: &str) -> String {
    let written = module.slice(span);
    if written.trim_matches(['"', '\'']) == name { written.to_owned() } else { name.to_owned() }
}

/// Writes the specifier `first as second`, and only `first` when both are one word.
pub(super) fn pair(edits: &mut Edits, first: Span, second: Span, new_first: &str, new_second: &str) {
    if first == second {
        let text = if new_first == new_second { new_first.to_owned() } else { format!("{new_first} as {new_second}") };
        edits.replace(first, text);
    } else if new_first == new_second {
        edits.replace(Span::new(first.start, second.end), new_first);
    } else {
        edits.replace(first, new_first);
        edits.replace(second, new_second);
    }
}
