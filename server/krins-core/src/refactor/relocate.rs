//! Moves an exported declaration to another module and fixes every import.

use super::edits::{Edits, newline_of};
use super::loading::reaches;
use super::module::{
    Export, Form, Import, ImportName, Imported, Module, Name, Origin, SpecifierKind, Statement, StatementKind,
};
use super::program::Program;
use super::unused::{Span_, drop_from_list, drop_names, with_line};
use super::{Outcome, RefactorError, prove, rename, specifiers};
use crate::path::RelPath;
use crate::syntax::Language;
use oxc_span::Span;
use oxc_syntax::symbol::SymbolId;
use std::collections::{BTreeMap, BTreeSet};

/// What a target without an extension can mean, in order.
pub(super) const ENDINGS: [&str; 6] = [".ts", ".tsx", ".js", ".jsx", "/index.ts", "/index.js"];

pub(super) fn relocate(
    program: &Program<'_>,
    symbol: &str,
    file: Option<&RelPath>,
    to: &RelPath,
) -> Result<Outcome, RefactorError> {
    let target = target_of(program, to)?;
    let home = rename::origin_of(program, symbol, file)?;
    program.refuse_broken(&[symbol])?;
    if let Some(why) = program.broken.get(&target) {
        return Err(RefactorError::Unreadable { path: target, why: why.clone() });
    }
    let home = program.module(&home)?;
    let target = match Language::of(&target) {
        Some(_) => target,
        None => RelPath::new(&format!("{target}.{}", home.path.extension()))
            .map_err(|bad| RefactorError::Unsupported { what: bad.to_string(), place: format!("{to}:1") })?,
    };
    if home.path == target {
        return Err(RefactorError::NothingToDo { why: format!("{symbol} is in {target} already") });
    }
    let mut plan = Plan::new(program, home, symbol, target)?;
    plan.find_needs()?;
    plan.choose_reexport()?;
    plan.check_target()?;
    plan.check_cycles()?;
    plan.write_home()?;
    plan.write_target()?;
    for module in program.modules.values() {
        if module.path != home.path && module.path != plan.target {
            plan.write_importer(module)?;
        }
    }
    plan.finish()
}

fn target_of(program: &Program<'_>, to: &RelPath) -> Result<RelPath, RefactorError> {
    if Language::of(to).is_some() {
        return Ok(to.clone());
    }
    let extension = to.extension();
    if matches!(extension, "json" | "css" | "html" | "md" | "vue" | "svelte") {
        return Err(RefactorError::Unreadable { path: to.clone(), why: "it is not a script".to_owned() });
    }
    Ok(ENDINGS
        .iter()
        .filter_map(|ending| RelPath::new(&format!("{to}{ending}")).ok())
        .find(|path| program.files.contains_key(path))
        .unwrap_or_else(|| to.clone()))
}

/// A name that the moved text takes from elsewhere.
struct Need {
    /// Written in the target: the specifier.
    specifier: String,
    /// Where that leads, when it is a file here.
    source: Option<RelPath>,
    imported: Imported,
    local: String,
    type_only: bool,
    /// Read while the module loads.
    eager: bool,
}

struct Plan<'p> {
    program: &'p Program<'p>,
    home: &'p Module,
    name: &'p str,
    symbol: SymbolId,
    target: RelPath,
    statements: Vec<&'p Statement>,
    export: &'p Export,
    needs: Vec<Need>,
    /// Bindings of the home that must become exports.
    to_export: Vec<SymbolId>,
    /// Why the home keeps passing the name on, if it does.
    reexport: Option<(String, Vec<String>)>,
    edits: BTreeMap<RelPath, Edits>,
    created: Option<String>,
    fixed: Vec<String>,
}

impl<'p> Plan<'p> {
    fn new(program: &'p Program<'p>, home: &'p Module, name: &'p str, target: RelPath) -> Result<Self, RefactorError> {
        let missing = || super::names::no_such_symbol(program, name, Some(&home.path));
        let export = home.export(name).ok_or_else(missing)?;
        let symbol = match &export.origin {
            Origin::Local { symbol: Some(symbol), local, .. } if local == name && home.import_of(*symbol).is_none() => {
                *symbol
            }
            _ => {
                return Err(unsupported(
                    home,
                    "an export that this file does not declare under that name",
                    export.name_span,
                ));
            }
        };
        let twice = home.exports.iter().find(|other| {
            other.name != name && matches!(&other.origin, Origin::Local { symbol: Some(there), .. } if *there == symbol)
        });
        if let Some(other) = twice {
            return Err(unsupported(home, "a declaration that is exported under a second name", other.name_span));
        }
        let statements: Vec<&Statement> =
            home.statements.iter().filter(|statement| statement.declares.contains(&symbol)).collect();
        let odd = statements.iter().find(|statement| statement.compound);
        if let Some(statement) = odd {
            return Err(unsupported(home, "a statement that declares several names", statement.span));
        }
        if statements.is_empty() {
            return Err(unsupported(home, "this declaration", export.name_span));
        }
        Ok(Self {
            program,
            home,
            name,
            symbol,
            target,
            statements,
            export,
            needs: Vec::new(),
            to_export: Vec::new(),
            reexport: None,
            edits: BTreeMap::new(),
            created: None,
            fixed: Vec::new(),
        })
    }

    fn is_moved(&self, span: Span) -> bool {
        self.statements.iter().any(|moved| moved.span.start <= span.start && span.end <= moved.span.end)
    }

    fn is_type(&self) -> bool {
        !self.home.scoping.symbol_flags(self.symbol).is_value()
    }

    /// Uses of the name in its old home that stay there.
    fn left_behind(&self) -> impl Iterator<Item = &'p Name> {
        let moved: Vec<Span> = self.statements.iter().map(|s| s.span).collect();
        self.home.uses(self.symbol).filter(move |name| {
            name.form != Form::Specifier
                && !moved.iter().any(|span| span.start <= name.span.start && name.span.end <= span.end)
        })
    }

    fn find_needs(&mut self) -> Result<(), RefactorError> {
        if let Some(write) = self.left_behind().find(|name| name.flags.is_some_and(|flags| flags.is_write())) {
            return Err(unsupported(self.home, "an assignment to what would become an import", write.span));
        }
        if let Some(bound) = self.home.place_bound.iter().find(|s| self.is_moved(**s)) {
            return Err(unsupported(self.home, "a value that depends on the file's own place", *bound));
        }
        let mut wanted: BTreeMap<SymbolId, (bool, bool)> = BTreeMap::new();
        for name in &self.home.names {
            let (Some(symbol), Some(flags)) = (name.symbol, name.flags) else {
                continue;
            };
            let outer =
                self.home.scoping.symbol_scope_id(symbol) == self.home.scoping.root_scope_id() && symbol != self.symbol;
            if !outer || !self.is_moved(name.span) {
                continue;
            }
            if flags.is_write() {
                return Err(unsupported(self.home, "an assignment to what would become an import", name.span));
            }
            let entry = wanted.entry(symbol).or_insert((true, false));
            entry.0 &= name.is_type_reference();
            entry.1 |= !name.lazy && !name.is_type_reference();
        }
        for (symbol, (as_type, eager)) in wanted {
            let need = match self.home.import_of(symbol) {
                Some((import, name)) => self.imported_need(import, name, eager)?,
                None => self.own_need(symbol, as_type, eager)?,
            };
            self.needs.extend(need);
        }
        Ok(())
    }

    fn imported_need(&self, import: &Import, name: &ImportName, eager: bool) -> Result<Option<Need>, RefactorError> {
        if import.has_attributes {
            return Err(unsupported(self.home, "an import with attributes", import.span));
        }
        let source = self.program.resolve(&self.home.path, &import.specifier);
        if source.as_ref() == Some(&self.target) {
            let direct = self
                .program
                .modules
                .get(&self.target)
                .and_then(|target| target.export(name.imported.name()?))
                .is_some_and(|export| matches!(&export.origin, Origin::Local { local, .. } if *local == name.local));
            return if direct {
                Ok(None)
            } else {
                Err(unsupported(self.home, "an import from the target under another name", name.span))
            };
        }
        let specifier = specifiers::rebased(&import.specifier, &self.home.path, &self.target)
            .ok_or_else(|| unsupported(self.home, "this module specifier", import.span))?;
        Ok(Some(Need {
            specifier,
            source,
            imported: name.imported.clone(),
            local: name.local.clone(),
            type_only: import.type_only || name.type_only,
            eager,
        }))
    }

    fn own_need(&mut self, symbol: SymbolId, as_type: bool, eager: bool) -> Result<Option<Need>, RefactorError> {
        let local = self.home.scoping.symbol_name(symbol).to_owned();
        let mut exported: Vec<&Export> = self
            .home
            .exports
            .iter()
            .filter(|export| matches!(&export.origin, Origin::Local { symbol: Some(there), .. } if *there == symbol))
            .collect();
        exported.sort_by_key(|export| (export.name != local, export.name == "default"));
        let imported = match exported.first() {
            Some(export) => export.name.clone(),
            None => {
                self.check_new_export(&local)?;
                self.to_export.push(symbol);
                local.clone()
            }
        };
        let is_type = !self.home.scoping.symbol_flags(symbol).is_value();
        Ok(Some(Need {
            specifier: specifiers::to_module(self.program, &self.target, &self.home.path, None),
            source: Some(self.home.path.clone()),
            imported: match imported.as_str() {
                "default" => Imported::Default,
                _ => Imported::Name(imported),
            },
            local,
            type_only: self.home.is_typescript && (is_type || as_type),
            eager,
        }))
    }

    fn check_new_export(&self, name: &str) -> Result<(), RefactorError> {
        let mut places = Vec::new();
        if let Some(export) = self.home.export(name) {
            places.push(self.home.place(export.name_span.start));
        }
        for barrel in self.program.modules.values() {
            let passes = barrel.stars().any(|star| self.program.resolves_to(barrel, star, &self.home.path));
            if passes && self.program.exports(&barrel.path, name) && barrel.export(name).is_none() {
                places.push(barrel.place(0));
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        Err(RefactorError::NameTaken { name: name.to_owned(), places })
    }

    /// Whether something reaches the name through its old home in a way that an import cannot replace.
    fn choose_reexport(&mut self) -> Result<(), RefactorError> {
        let home = BTreeSet::from([self.home.path.clone()]);
        let mut places = Vec::new();
        for module in self.program.modules.values() {
            for augmentation in &module.augmentations {
                if self.leads_home(module, &augmentation.specifier)
                    && module.scoping.get_binding(augmentation.scope, self.name.into()).is_some()
                {
                    return Err(unsupported(module, "a module augmentation of it", augmentation.span));
                }
            }
            let mock = module
                .specifiers
                .iter()
                .find(|specifier| specifier.kind == SpecifierKind::Mock && self.leads_home(module, &specifier.text));
            if let Some(mock) = mock {
                return Err(unsupported(module, "a mock of its module", mock.span));
            }
            places.extend(
                self.program
                    .members(module, self.name)
                    .into_iter()
                    .filter(|(path, _)| *path == self.home.path)
                    .map(|(_, segment)| module.place(segment.span.start)),
            );
            places.extend(self.program.escapes(module, &home).into_iter().map(|at| module.place(at)));
        }
        places.truncate(5);
        if !places.is_empty() {
            self.reexport = Some((
                format!(
                    "{} keeps passing {} on, because it is read through the module object here",
                    self.home.path, self.name
                ),
                places,
            ));
        } else if let Some(entry) = super::public::entry_of(self.program, &self.home.path) {
            self.reexport = Some((
                format!("{} keeps passing {} on, because the package offers it", self.home.path, self.name),
                vec![entry],
            ));
        }
        Ok(())
    }

    fn leads_home(&self, module: &Module, specifier: &str) -> bool {
        self.program.resolves_to(module, specifier, &self.home.path)
    }

    /// The target must have no other meaning for the name, nor for any name that comes along.
    fn check_target(&self) -> Result<(), RefactorError> {
        let Some(target) = self.program.modules.get(&self.target) else {
            return Ok(());
        };
        if let Some(symbol) = target.top_level(self.name) {
            let from_home = target.import_of(symbol).is_some_and(|(import, name)| {
                name.imported.name() == Some(self.name) && self.leads_home(target, &import.specifier)
            });
            if !from_home {
                return Err(self.taken(self.name, target, symbol));
            }
        }
        for need in &self.needs {
            if let Some(symbol) = target.top_level(&need.local)
                && !self.has_already(target, need)
            {
                return Err(self.taken(&need.local, target, symbol));
            }
        }
        for name in &self.home.names {
            if name.symbol.is_none()
                && name.flags.is_some()
                && self.is_moved(name.span)
                && let Some(symbol) = target.top_level(self.home.slice(name.span))
            {
                return Err(self.taken(self.home.slice(name.span), target, symbol));
            }
        }
        Ok(())
    }

    fn taken(&self, name: &str, module: &Module, symbol: SymbolId) -> RefactorError {
        RefactorError::NameTaken {
            name: name.to_owned(),
            places: vec![module.place(module.scoping.symbol_span(symbol).start)],
        }
    }

    /// Whether the target imports the needed thing under that name.
    fn has_already(&self, target: &Module, need: &Need) -> bool {
        target.top_level(&need.local).and_then(|symbol| target.import_of(symbol)).is_some_and(|(import, name)| {
            let source = self.program.resolve(&target.path, &import.specifier);
            let same = match (&source, &need.source) {
                (Some(one), Some(other)) => one == other,
                (None, None) => import.specifier == need.specifier,
                _ => false,
            };
            same && name.imported.name() == need.imported.name()
                && (need.type_only || !(import.type_only || name.type_only))
        })
    }

    /// A value that is read while modules load must not come out of a module that is still waiting for this one.
    fn check_cycles(&self) -> Result<(), RefactorError> {
        let refuse = |place: String| {
            Err(RefactorError::Unsupported {
                what: format!(
                    "{} through an import cycle that the move would close (a value is read while the modules load)",
                    self.name
                ),
                place,
            })
        };
        let mut added: Vec<(RelPath, RelPath)> = self
            .needs
            .iter()
            .filter(|need| !need.type_only)
            .filter_map(|need| Some((self.target.clone(), need.source.clone()?)))
            .collect();
        let stays = self.left_behind().any(|name| !name.is_type_reference());
        if stays || self.reexport.is_some() {
            added.push((self.home.path.clone(), self.target.clone()));
        }
        for need in self.needs.iter().filter(|need| need.eager) {
            if let Some(source) = &need.source
                && reaches(self.program, source, &self.target, &added)
            {
                return refuse(self.home.place(self.export.name_span.start));
            }
        }
        let hoisted = self.home.scoping.symbol_flags(self.symbol).is_function();
        if self.is_type() || hoisted {
            return Ok(());
        }
        let eager = |name: &&Name| !name.lazy && !name.is_type_reference() && name.flags.is_some();
        if let Some(read) = self.left_behind().find(eager)
            && reaches(self.program, &self.target, &self.home.path, &added)
        {
            return refuse(self.home.place(read.span.start));
        }
        for module in self.program.modules.values() {
            for (_, name) in self.imports_of(module) {
                let read = module.uses(name.symbol).find(|name| eager(name) && name.form != Form::Specifier);
                if let Some(read) = read
                    && module.path != self.target
                    && reaches(self.program, &self.target, &module.path, &added)
                    && !reaches(self.program, &self.home.path, &module.path, &[])
                {
                    return refuse(module.place(read.span.start));
                }
            }
        }
        Ok(())
    }

    /// The import names in `module` that mean the moved symbol.
    fn imports_of<'m>(&self, module: &'m Module) -> Vec<(&'m Import, &'m ImportName)> {
        module
            .imports
            .iter()
            .filter(|import| self.leads_home(module, &import.specifier))
            .flat_map(|import| import.names.iter().flatten().map(move |name| (import, name)))
            .filter(|(_, name)| name.imported == Imported::Name(self.name.to_owned()))
            .collect()
    }

    fn write_home(&mut self) -> Result<(), RefactorError> {
        let home = self.home;
        let mut edits = Edits::default();
        for gap in gaps(home, &self.statements) {
            edits.delete(gap);
        }
        if let Some(specifier) = self.export.specifier {
            self.drop_export(home, self.export, specifier, &mut edits);
        }
        for symbol in &self.to_export {
            let name = home.scoping.symbol_name(*symbol);
            for statement in home.statements.iter().filter(|s| s.declares.contains(symbol)) {
                if statement.compound {
                    let newline = newline_of(&home.text);
                    edits.insert(statement.span.end, &format!("{newline}export {{ {name} }};"));
                } else if statement.kind == StatementKind::Declaration {
                    edits.insert(statement.span.start, "export ");
                }
            }
        }
        let gone: BTreeSet<Span_> = home
            .imports
            .iter()
            .flat_map(|import| import.names.iter().flatten())
            .filter(|name| {
                let mut uses = home.uses(name.symbol).filter(|use_| use_.flags.is_some());
                let mut any = false;
                let all = uses.all(|use_| {
                    any = true;
                    self.is_moved(use_.span)
                });
                any && all
            })
            .map(|name| name.span.into())
            .collect();
        let stays: Vec<&Name> = self.left_behind().collect();
        let mut lines = Vec::new();
        if !stays.is_empty() {
            let as_type = self.is_type() || stays.iter().all(|name| name.is_type_reference());
            lines.push(self.line(home, "import", as_type, self.name, None));
        }
        if self.reexport.is_some() {
            lines.push(self.line(home, "export", self.is_type(), self.name, None));
        }
        let leaves_nothing = lines.is_empty()
            && home.statements.iter().all(|s| s.kind == StatementKind::Import || self.is_moved(s.span));
        if leaves_nothing {
            lines.push("export {};".to_owned());
        }
        drop_names(home, &gone, &mut edits);
        add_imports(home, &lines, !leaves_nothing, &mut edits);
        self.edits.insert(home.path.clone(), edits);
        Ok(())
    }

    /// `import { X } from "target"` in the style of `module`.
    fn line(&self, module: &Module, verb: &str, as_type: bool, listed: &str, like: Option<&str>) -> String {
        let near = like.map(|sample| (sample, &self.home.path));
        let specifier = specifiers::to_module(self.program, &module.path, &self.target, near);
        let kind = if as_type && module.is_typescript { " type" } else { "" };
        let (quote, end) = style(self.program, module);
        format!("{verb}{kind} {{ {listed} }} from {quote}{specifier}{quote}{end}")
    }

    fn write_target(&mut self) -> Result<(), RefactorError> {
        let newline = newline_of(&self.home.text);
        let text = self.moved_text()?;
        let Some(target) = self.program.modules.get(&self.target) else {
            let mut out = String::new();
            let body = self.home.text.trim_start_matches('\u{feff}');
            for directive in ["use client", "use server", "use strict"] {
                for quote in ['"', '\''] {
                    if body.starts_with(&format!("{quote}{directive}{quote}")) {
                        out.push_str(&format!("{quote}{directive}{quote};{newline}{newline}"));
                    }
                }
            }
            let lines = self.need_lines(self.home, None);
            for line in &lines {
                out.push_str(line);
                out.push_str(newline);
            }
            if !lines.is_empty() {
                out.push_str(newline);
            }
            out.push_str(&text);
            self.created = Some(out);
            return Ok(());
        };
        let mut edits = Edits::default();
        let mut gone = BTreeSet::new();
        for (_, name) in self.imports_of(target) {
            if name.local != self.name {
                return Err(unsupported(target, "an import under another name in the target", name.span));
            }
            gone.insert(Span_::from(name.span));
        }
        drop_names(target, &gone, &mut edits);
        for export in &target.exports {
            if let Some(specifier) = self.passes_on(target, export) {
                if export.name != self.name {
                    return Err(unsupported(target, "a re-export under another name in the target", export.name_span));
                }
                self.drop_export(target, export, specifier, &mut edits);
            }
        }
        let lines = self.need_lines(target, Some(target));
        add_imports(target, &lines, true, &mut edits);
        let own = newline_of(&target.text);
        let text = if own == newline { text } else { text.replace("\r\n", "\n").replace('\n', own) };
        let gap = match &target.text {
            text if text.trim().is_empty() => "",
            text if text.ends_with('\n') => own,
            _ => &format!("{own}{own}"),
        };
        edits.insert(target.text.len() as u32, &format!("{gap}{text}"));
        self.edits.insert(target.path.clone(), edits);
        Ok(())
    }

    /// The specifier of `export { X } from "home"`.
    fn passes_on(&self, module: &Module, export: &Export) -> Option<Span> {
        match &export.origin {
            Origin::From { specifier, imported, .. } if imported == self.name && self.leads_home(module, specifier) => {
                export.specifier
            }
            _ => None,
        }
    }

    /// The import statements that the moved text needs, those left out that `target` has.
    fn need_lines(&self, styled: &Module, target: Option<&Module>) -> Vec<String> {
        let (quote, end) = style(self.program, styled);
        let mut named: BTreeMap<(String, bool), Vec<String>> = BTreeMap::new();
        let mut lines = Vec::new();
        for need in &self.needs {
            if target.is_some_and(|target| self.has_already(target, need)) {
                continue;
            }
            let kind = if need.type_only { " type" } else { "" };
            let from = format!("from {quote}{}{quote}{end}", need.specifier);
            match &need.imported {
                Imported::Default => lines.push(format!("import{kind} {} {from}", need.local)),
                Imported::Namespace => {
                    lines.push(format!("import{kind} * as {} {from}", need.local));
                }
                Imported::Name(name) => {
                    let listed = if *name == need.local {
                        name.clone()
                    } else {
                        format!("{} as {}", super::names::spelled(name), need.local)
                    };
                    named.entry((need.specifier.clone(), need.type_only)).or_default().push(listed);
                }
            }
        }
        for ((specifier, type_only), names) in named {
            let kind = if type_only { " type" } else { "" };
            lines.push(format!("import{kind} {{ {} }} from {quote}{specifier}{quote}{end}", names.join(", ")));
        }
        lines
    }

    fn moved_text(&self) -> Result<String, RefactorError> {
        let newline = newline_of(&self.home.text);
        let mut pieces = Vec::new();
        for statement in &self.statements {
            let span = piece(self.home, statement);
            let mut edits = Edits::default();
            let shift = |inner: Span| Span::new(inner.start - span.start, inner.end - span.start);
            if statement.kind == StatementKind::Declaration {
                edits.insert(statement.span.start - span.start, "export ");
            }
            for specifier in &self.home.specifiers {
                if self.is_moved(specifier.span) {
                    let text = specifiers::rebased(&specifier.text, &self.home.path, &self.target)
                        .ok_or_else(|| unsupported(self.home, "this module specifier", specifier.span))?;
                    edits.replace(shift(specifier.span), text);
                }
            }
            let text = edits
                .apply(self.home.slice(span))
                .map_err(|at| unsupported(self.home, "this text", Span::new(at, at)))?;
            pieces.push(format!("{}{newline}", text.trim_matches(['\n', '\r']).trim_end()));
        }
        Ok(pieces.join(newline))
    }

    fn write_importer(&mut self, module: &Module) -> Result<(), RefactorError> {
        let mut edits = Edits::default();
        for (import, name) in self.imports_of(module) {
            let names = import.names.as_deref().unwrap_or_default();
            if names.len() == 1 {
                let specifier = specifiers::to_module(
                    self.program,
                    &module.path,
                    &self.target,
                    Some((&import.specifier, &self.home.path)),
                );
                edits.replace(import.specifier_span, specifier);
                continue;
            }
            let gone = BTreeSet::from([Span_::from(name.span)]);
            drop_names(module, &gone, &mut edits);
            let listed =
                if name.local == self.name { self.name.to_owned() } else { format!("{} as {}", self.name, name.local) };
            let line =
                self.line(module, "import", import.type_only || name.type_only, &listed, Some(&import.specifier));
            let newline = newline_of(&module.text);
            edits.insert(import.span.end, &format!("{newline}{line}"));
        }
        for export in &module.exports {
            self.write_barrel(module, export, &mut edits);
        }
        if !edits.is_empty() {
            self.fixed.push(format!("{}:1", module.path));
            self.edits.insert(module.path.clone(), edits);
        }
        Ok(())
    }

    fn write_barrel(&self, module: &Module, export: &Export, edits: &mut Edits) {
        let Some(statement) = module.statements.get(export.statement) else {
            return;
        };
        let newline = newline_of(&module.text);
        if let (Some(specifier_span), Origin::From { specifier, .. }) = (self.passes_on(module, export), &export.origin)
        {
            let listed = if export.name == self.name {
                self.name.to_owned()
            } else {
                format!("{} as {}", self.name, super::names::spelled(&export.name))
            };
            let line = self.line(module, "export", export.type_only, &listed, Some(specifier));
            let alone = module.exports.iter().filter(|other| other.statement == export.statement).count() == 1;
            if alone {
                edits.replace(statement.span, line);
            } else {
                self.drop_export(module, export, specifier_span, edits);
                edits.insert(statement.span.end, &format!("{newline}{line}"));
            }
        }
        if let Origin::Star { specifier } = &export.origin
            && self.reexport.is_none()
            && self.leads_home(module, specifier)
            && module.export(self.name).is_none()
            && !self.star_reaches(&module.path, &mut BTreeSet::new())
        {
            let as_type = export.type_only || self.is_type();
            let line = self.line(module, "export", as_type, self.name, Some(specifier));
            edits.insert(statement.span.end, &format!("{newline}{line}"));
        }
    }

    /// Whether `export *` leads from `path` to the target.
    fn star_reaches(&self, path: &RelPath, seen: &mut BTreeSet<RelPath>) -> bool {
        if *path == self.target {
            return true;
        }
        if !seen.insert(path.clone()) {
            return false;
        }
        let Some(module) = self.program.modules.get(path) else {
            return false;
        };
        module.stars().any(|specifier| {
            self.program.resolve_with(path, specifier, &self.target).is_some_and(|next| self.star_reaches(&next, seen))
        })
    }

    /// Takes one specifier out of an export list, and the statement when it was the only one.
    fn drop_export(&self, module: &Module, export: &Export, specifier: Span, edits: &mut Edits) {
        let Some(statement) = module.statements.get(export.statement) else {
            return;
        };
        let list: Vec<Span> = module
            .exports
            .iter()
            .filter(|other| other.statement == export.statement)
            .filter_map(|other| other.specifier)
            .collect();
        if list.len() < 2 {
            edits.delete(with_line(module, statement.span));
            return;
        }
        let last = list.last().map_or(specifier.end, |last| last.end);
        let close = module.text[last as usize..].find('}').map_or(last, |at| last + at as u32);
        let gone = BTreeSet::from([Span_::from(specifier)]);
        drop_from_list(module, &list, &gone, close, edits);
    }

    fn finish(self) -> Result<Outcome, RefactorError> {
        let count = self.fixed.len();
        let mut why = vec![(
            format!("{} moves to {}", self.name, self.target),
            vec![self.home.place(self.export.name_span.start)],
        )];
        why.extend(self.reexport);
        if count > 0 {
            why.push((
                format!("{count} file{} from where it is now", if count == 1 { " imports it" } else { "s import it" }),
                self.fixed.into_iter().take(5).collect(),
            ));
        }
        if !self.to_export.is_empty() {
            why.push((
                "these must be exported, because the moved code uses them".to_owned(),
                self.to_export
                    .iter()
                    .map(|symbol| self.home.place(self.home.scoping.symbol_span(*symbol).start))
                    .collect(),
            ));
        }
        why.truncate(3);
        let mut outcome = super::finish(self.program, self.edits, why, false)?;
        if let Some(text) = self.created {
            prove(&self.target, &text)?;
            outcome.files.insert(self.target, Some(text));
        }
        check_imports(self.program, &outcome)?;
        Ok(outcome)
    }
}

/// No import may lead nowhere that led somewhere before.
fn check_imports(program: &Program<'_>, outcome: &Outcome) -> Result<(), RefactorError> {
    let mut files = program.files.clone();
    for (path, text) in &outcome.files {
        match text {
            Some(text) => files.insert(path.clone(), text.as_str().into()),
            None => files.remove(path),
        };
    }
    let after = Program::read(&files);
    let before: BTreeSet<(RelPath, String, String)> = lost(program);
    match lost(&after).difference(&before).next() {
        Some((path, specifier, name)) => Err(RefactorError::Unsupported {
            what: format!("{name} of {specifier}, which would lead nowhere"),
            place: format!("{path}:1"),
        }),
        None => Ok(()),
    }
}

/// Imports and re-exports of files here that these do not export: (file, specifier, name).
fn lost(program: &Program<'_>) -> BTreeSet<(RelPath, String, String)> {
    let mut lost = BTreeSet::new();
    for module in program.modules.values() {
        let imports = module.imports.iter().flat_map(|import| {
            import.names.iter().flatten().filter_map(|name| Some((&import.specifier, name.imported.name()?)))
        });
        let exports = module.exports.iter().filter_map(|export| match &export.origin {
            Origin::From { specifier, imported, .. } => Some((specifier, imported.as_str())),
            _ => None,
        });
        for (specifier, name) in imports.chain(exports) {
            if let Some(target) = program.resolve(&module.path, specifier)
                && program.modules.contains_key(&target)
                && !program.exports(&target, name)
            {
                lost.insert((module.path.clone(), specifier.clone(), name.to_owned()));
            }
        }
    }
    lost
}

fn unsupported(module: &Module, what: &str, span: Span) -> RefactorError {
    RefactorError::Unsupported { what: what.to_owned(), place: module.place(span.start) }
}

/// Quote and statement end, as the file's imports have them, or those of its project.
fn style(program: &Program<'_>, module: &Module) -> (char, &'static str) {
    own_style(module).or_else(|| program.modules.values().find_map(own_style)).unwrap_or(('"', ";"))
}

fn own_style(module: &Module) -> Option<(char, &'static str)> {
    let statement =
        module.statements.iter().find(|s| matches!(s.kind, StatementKind::Import | StatementKind::ExportFrom))?;
    let text = module.slice(statement.span);
    let quote = text.chars().rfind(|c| matches!(c, '"' | '\''))?;
    Some((quote, if text.ends_with(';') { ";" } else { "" }))
}

/// A statement with its doc comments and the rest of its line.
fn piece(module: &Module, statement: &Statement) -> Span {
    let mut start = statement.span.start;
    for comment in module.comments.iter().rev() {
        if comment.end > start {
            continue;
        }
        let between = module.slice(Span::new(comment.end, start));
        let alone = with_line(module, *comment) != *comment;
        if !between.trim().is_empty() || between.matches('\n').count() > 1 || !alone {
            break;
        }
        start = comment.start;
    }
    let rest = &module.text[statement.span.end as usize..];
    let line_end = rest.find('\n').map_or(rest.len(), |at| at + 1);
    let tail = rest[..line_end].trim();
    let whole = tail.is_empty() || tail.starts_with("//");
    Span::new(start, statement.span.end + if whole { line_end as u32 } else { 0 })
}

/// The pieces joined where only blanks part them, each with the blank lines after it when some stand before it too.
fn gaps(module: &Module, statements: &[&Statement]) -> Vec<Span> {
    let mut gaps: Vec<Span> = Vec::new();
    for statement in statements {
        let piece = piece(module, statement);
        match gaps.last_mut() {
            Some(last) if module.slice(Span::new(last.end, piece.start)).trim().is_empty() => {
                last.end = piece.end;
            }
            _ => gaps.push(piece),
        }
    }
    for gap in &mut gaps {
        let before = module.text[..gap.start as usize].replace('\r', "");
        let rest = &module.text[gap.end as usize..];
        if before.is_empty() || before.ends_with("\n\n") {
            gap.end += (rest.len() - rest.trim_start_matches(['\r', '\n']).len()) as u32;
        }
    }
    gaps
}

/// Puts statements after the file's last import, or before its first statement.
fn add_imports(module: &Module, lines: &[String], more: bool, edits: &mut Edits) {
    if lines.is_empty() {
        return;
    }
    let newline = newline_of(&module.text);
    let joined = lines.join(newline);
    let last = module.statements.iter().rfind(|statement| statement.kind == StatementKind::Import);
    if let Some(last) = last {
        let whole = with_line(module, last.span);
        if whole.end > last.span.end {
            edits.insert(whole.end, &format!("{joined}{newline}"));
        } else {
            edits.insert(last.span.end, &format!("{newline}{joined}"));
        }
        return;
    }
    // Behind directives and the file's own header comment, before the first statement with its comments.
    let at = module.statements.first().map_or_else(|| module.text.len() as u32, |first| piece(module, first).start);
    let gap = if more { newline } else { "" };
    edits.insert(at, &format!("{joined}{newline}{gap}"));
}
