//! Turns a module's default export into a named one, and every importer with it.

use super::edits::{Edits, newline_of};
use super::module::{Import, ImportName, Imported, Module, Origin};
use super::program::Program;
use super::rename::pair;
use super::{Outcome, RefactorError, finish, names};
use crate::path::RelPath;
use oxc_span::Span;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn name_default(
    program: &Program<'_>,
    file: &RelPath,
    name: Option<&str>,
) -> Result<Outcome, RefactorError> {
    let module = program.module(file)?;
    let stem = file.file_name().split('.').next().unwrap_or_default();
    program.refuse_broken(&[stem, file.dir().rsplit('/').next().unwrap_or_default()])?;
    let change = Change::plan(program, module, name)?;
    let mut edits = BTreeMap::new();
    let mut own = Edits::default();
    change.home(&mut own)?;
    edits.insert(file.clone(), own);
    let mut importers = Vec::new();
    for other in program.modules.values() {
        let mut file_edits = edits.remove(&other.path).unwrap_or_default();
        let before = file_edits.clone();
        change.importer(program, other, &mut file_edits)?;
        if other.path != *file && !file_edits.is_empty() || !same(&before, &file_edits) {
            importers.push(format!("{}:1", other.path));
        }
        if !file_edits.is_empty() {
            edits.insert(other.path.clone(), file_edits);
        }
    }
    let why = change.why(program, importers);
    finish(program, edits, why, false)
}

fn same(one: &Edits, other: &Edits) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

struct Change<'m> {
    module: &'m Module,
    /// The name that other modules see from now on.
    name: String,
    /// Of the `export default …` statement or the specifier `x as default`.
    span: Span,
    specifier: Option<Span>,
    /// The binding it exports, when it has one.
    local: Option<String>,
    /// Whether the statement itself declares the binding.
    declares: bool,
    /// Whether `name` is exported besides.
    exported_already: bool,
}

impl<'m> Change<'m> {
    fn plan(program: &Program<'_>, module: &'m Module, wanted: Option<&str>) -> Result<Self, RefactorError> {
        let export = module
            .export("default")
            .ok_or_else(|| RefactorError::NothingToDo { why: format!("{} has no default export", module.path) })?;
        let statement = module
            .statements
            .get(export.statement)
            .ok_or_else(|| unsupported(module, "this default export", export.name_span))?;
        let local = match &export.origin {
            Origin::Local { local, .. } => Some(local.clone()),
            Origin::From { .. } | Origin::Namespace { .. } | Origin::Star { .. } => {
                return Err(unsupported(module, "a default export that another module declares", statement.span));
            }
            Origin::Anonymous => None,
        };
        let declares = export.specifier.is_none() && !statement.declares.is_empty();
        let name = wanted
            .map(str::to_owned)
            .or_else(|| local.clone())
            .unwrap_or_else(|| name_of_file(module, &statement_text(module, statement.span)));
        names::check(&name)?;
        let change = Self {
            exported_already: local.as_ref().is_some_and(|local| {
                module
                    .export(&name)
                    .is_some_and(|other| matches!(&other.origin, Origin::Local { local: there, .. } if there == local))
            }),
            module,
            name,
            span: statement.span,
            specifier: export.specifier,
            local,
            declares,
        };
        change.check_free(program)?;
        Ok(change)
    }

    /// The name must be free among the exports, in the module's scope when it becomes a binding, and in every barrel.
    fn check_free(&self, program: &Program<'_>) -> Result<(), RefactorError> {
        let mut places = Vec::new();
        if !self.exported_already {
            if let Some(other) = self.module.export(&self.name) {
                places.push(self.module.place(other.name_span.start));
            }
            let barrels = program.modules.values().filter(|barrel| {
                barrel.export(&self.name).is_none()
                    && barrel.stars().any(|star| program.resolves_to(barrel, star, &self.module.path))
            });
            for barrel in barrels {
                if program.exports(&barrel.path, &self.name) {
                    places.push(barrel.place(0));
                }
            }
        }
        if self.local.is_none() {
            if let Some(other) = self.module.top_level(&self.name) {
                places.push(self.module.place(self.module.scoping.symbol_span(other).start));
            } else if let Some(global) = self.module.global_use(&self.name) {
                places.push(self.module.place(global.span.start));
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        Err(RefactorError::NameTaken { name: self.name.clone(), places })
    }

    fn home(&self, edits: &mut Edits) -> Result<(), RefactorError> {
        let module = self.module;
        let text = statement_text(module, self.span);
        let local = self.local.as_deref();
        let listed = match local {
            Some(local) if local != self.name => format!("{local} as {}", self.name),
            _ => self.name.clone(),
        };
        if let Some(specifier) = self.specifier {
            if self.exported_already {
                return Err(unsupported(module, "a name that is exported twice", specifier));
            }
            edits.replace(specifier, listed);
            return Ok(());
        }
        let (head, body) = default_head(&text).ok_or_else(|| unsupported(module, "this default export", self.span))?;
        let body_at = self.span.start + body as u32;
        let rest = &text[body..];
        if self.declares {
            let head_span = Span::new(self.span.start + head as u32, body_at);
            if local == Some(self.name.as_str()) {
                edits.delete(head_span);
            } else {
                // The binding keeps its name: only what other modules see changes.
                edits.delete(Span::new(self.span.start, body_at));
                let newline = newline_of(&module.text);
                edits.insert(self.span.end, &format!("{newline}export {{ {listed} }};"));
            }
            return Ok(());
        }
        if local.is_some() {
            if self.exported_already {
                edits.delete(super::unused::with_line(module, self.span));
            } else {
                let end = if rest.trim_end().ends_with(';') { ";" } else { "" };
                edits.replace(self.span, format!("export {{ {listed} }}{end}"));
            }
            return Ok(());
        }
        match anonymous_declaration(rest) {
            Some(at) => {
                edits.delete(Span::new(self.span.start + head as u32, body_at));
                let gap = match rest.as_bytes().get(at.wrapping_sub(1)) {
                    Some(byte) if byte.is_ascii_whitespace() || *byte == b'*' => "",
                    _ => " ",
                };
                let after = match rest.as_bytes().get(at) {
                    Some(b'(' | b'<') => "",
                    _ => " ",
                };
                edits.insert(body_at + at as u32, &format!("{gap}{}{after}", self.name));
            }
            None => edits.replace(Span::new(self.span.start + head as u32, body_at), format!("const {} = ", self.name)),
        }
        Ok(())
    }

    fn leads_home(&self, program: &Program<'_>, other: &Module, specifier: &str) -> bool {
        program.resolves_to(other, specifier, &self.module.path)
    }

    fn importer(&self, program: &Program<'_>, other: &Module, edits: &mut Edits) -> Result<(), RefactorError> {
        for import in &other.imports {
            if self.leads_home(program, other, &import.specifier) {
                self.import(other, import, edits);
            }
        }
        for export in &other.exports {
            if let Origin::From { specifier, imported, imported_span } = &export.origin
                && imported == "default"
                && self.leads_home(program, other, specifier)
            {
                pair(edits, *imported_span, export.name_span, &self.name, &names::spelled(&export.name));
            }
        }
        for (path, segment) in program.members(other, "default") {
            if path == self.module.path {
                if segment.shorthand {
                    return Err(unsupported(other, "a `default` without a name", segment.span));
                }
                edits.replace(segment.span, self.name.as_str());
            }
        }
        let target = BTreeSet::from([self.module.path.clone()]);
        if let Some(at) = program.escapes(other, &target).first() {
            return Err(unsupported(
                other,
                "a module object that is passed on whole (its `default` may be read, as React.lazy does)",
                Span::new(*at, *at),
            ));
        }
        Ok(())
    }

    fn import(&self, other: &Module, import: &Import, edits: &mut Edits) {
        let names: &[ImportName] = import.names.as_deref().unwrap_or_default();
        for name in names {
            if name.imported == Imported::Name("default".to_owned()) {
                pair(edits, name.imported_span, name.local_span, &self.name, &name.local);
            }
        }
        let Some(head) = names.iter().find(|name| name.imported == Imported::Default) else {
            return;
        };
        let listed =
            if head.local == self.name { self.name.clone() } else { format!("{} as {}", self.name, head.local) };
        let text = &other.text;
        let rest = &text[head.span.end as usize..import.specifier_span.start as usize];
        if names.len() == 1 && !rest.contains('{') {
            edits.replace(head.span, format!("{{ {listed} }}"));
            return;
        }
        if let Some(namespace) = names.iter().find(|name| name.imported == Imported::Namespace) {
            // `import a, * as ns` has no form with braces, so it becomes two statements.
            let newline = newline_of(text);
            let kind = if import.type_only { "import type" } else { "import" };
            let source = other.slice(Span::new(namespace.span.end, import.span.end));
            edits.insert(import.span.start, &format!("{kind} {{ {listed} }}{source}{newline}"));
            edits.delete(Span::new(head.span.start, namespace.span.start));
            return;
        }
        // `import a, { b } from`: a goes into the braces, which already stand there.
        let open = rest.find('{').map(|at| head.span.end + at as u32 + 1);
        if let Some(open) = open {
            edits.delete(Span::new(head.span.start, open - 1));
            let empty = names.len() == 1;
            let blank = text.as_bytes().get(open as usize) == Some(&b' ');
            let before = if blank { " " } else { "" };
            let after = if empty { "" } else { "," };
            let tail = if blank || empty { "" } else { " " };
            edits.insert(open, &format!("{before}{listed}{after}{tail}"));
        }
    }

    fn why(&self, program: &Program<'_>, importers: Vec<String>) -> Vec<(String, Vec<String>)> {
        let place = self.module.place(self.span.start);
        let mut why = vec![(format!("the default export is called {} from now on", self.name), vec![place])];
        if importers.is_empty() {
            why.push((
                "nothing here imports it: if a framework or a tool expects a default export in this file, undo this"
                    .to_owned(),
                vec![self.module.place(self.span.start)],
            ));
        } else {
            let count = importers.len();
            why.push((
                format!("{count} file{} import it", if count == 1 { "" } else { "s" }),
                importers.into_iter().take(5).collect(),
            ));
        }
        why.extend(super::public::reason(program, &BTreeSet::from([self.module.path.clone()]), "the default export"));
        why
    }
}

fn unsupported(module: &Module, what: &str, span: Span) -> RefactorError {
    RefactorError::Unsupported { what: what.to_owned(), place: module.place(span.start) }
}

fn statement_text(module: &Module, span: Span) -> String {
    module.slice(span).to_owned()
}

/// Offsets of `default` and of what follows it in `export default …`, decorators before `export` included.
fn default_head(text: &str) -> Option<(usize, usize)> {
    let export = text.find("export")?;
    let after = export + "export".len();
    let head = after + text[after..].find("default")?;
    text[after..head].trim().is_empty().then_some(())?;
    let body = head + "default".len();
    let blanks = text[body..].len() - text[body..].trim_start().len();
    Some((head, body + blanks))
}

/// Where the name goes in `function (`, `async function* (`, `class {`, `abstract class extends`.
fn anonymous_declaration(body: &str) -> Option<usize> {
    let mut at = 0;
    let word = |at: usize, word: &str| {
        let rest = body.get(at..)?.strip_prefix(word)?;
        let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        ends.then(|| at + word.len() + (rest.len() - rest.trim_start().len()))
    };
    for modifier in ["async", "abstract"] {
        at = word(at, modifier).unwrap_or(at);
    }
    if let Some(end) = word(at, "class") {
        return Some(end);
    }
    let end = word(at, "function")?;
    Some(match body.get(end..)?.strip_prefix('*') {
        Some(rest) => end + 1 + (rest.len() - rest.trim_start().len()),
        None => end,
    })
}

/// `order-list.tsx` → `orderList`, `OrderList` for a class or when the file is written so; a folder's name for `index`.
fn name_of_file(module: &Module, text: &str) -> String {
    let stem = module.path.file_name().split('.').next().unwrap_or_default();
    let stem = match stem {
        "index" => module.path.dir().rsplit('/').next().unwrap_or_default(),
        stem => stem,
    };
    let class = default_head(text).is_some_and(|(_, body)| {
        let body = text[body..].trim_start_matches("abstract ");
        body.starts_with("class")
    });
    let mut name = String::new();
    let mut upper = class;
    for c in stem.chars() {
        if c.is_alphanumeric() || c == '_' || c == '$' {
            if upper {
                name.extend(c.to_uppercase());
            } else {
                name.push(c);
            }
            upper = false;
        } else {
            upper = !name.is_empty() || class;
        }
    }
    name
}
