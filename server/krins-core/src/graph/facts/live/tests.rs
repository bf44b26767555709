//! What is known of a text while it is typed.

use super::*;
use crate::graph::analyse;
use proptest::prelude::*;

fn live(name: &str, text: &str) -> LiveFile {
    LiveFile::new(RelPath::new(name).unwrap(), Arc::from(text))
}

fn names(facts: &FileFacts) -> Vec<&str> {
    facts.symbols.iter().map(|symbol| symbol.name.as_str()).collect()
}

const TEXT: &str = "\
import { a } from './a';

/** Adds. */
export function add(x: number): number {
  const inner = () => a(x);
  if (x > 1) {
    return inner();
  }
  return add(x - 1);
}

export class Store extends Base {
  items: string[] = [];
  size(): number {
    return this.items.length;
  }
  #own = 1;
  other() { return this.#own; }
}

const last = add(1);
await last;
export { last };
";

#[test]
fn a_half_typed_statement_costs_no_more_than_itself() {
    for (before, typed) in [
        ("  if (x > 1) {", "foo(\n"),
        ("  if (x > 1) {", "const y = `\n"),
        ("  if (x > 1) {", "{\n"),
        ("  if (x > 1) {", "'\n"),
        ("  return add", "if (\n"),
        ("/** Adds. */", "function f(\n"),
        ("/** Adds. */", "import {\n"),
        ("/** Adds. */", "class A {\n"),
        ("  size()", "  half(\n"),
        ("  size()", "  @dec(\n"),
        ("const last", "x ?\n"),
        ("const last", "}\n"),
    ] {
        let mut file = live("a.ts", TEXT);
        let whole: Vec<String> = names(&file.indexed().facts()).into_iter().map(str::to_owned).collect();
        let references = file.indexed().facts().references.len();
        let at = TEXT.find(before).unwrap();
        file.edit(at..at, typed);
        let facts = file.indexed().facts();
        assert!(facts.broken, "{typed}");
        let found = names(&facts);
        for name in &whole {
            assert!(found.contains(&name.as_str()), "{typed}: {name} is lost of {found:?}");
        }
        assert!(facts.references.len() >= references, "{typed}");
        for symbol in &facts.symbols {
            assert_eq!(&file.text()[symbol.name_range.clone()], symbol.name, "{typed}");
        }
        // And it is whole again when the text is.
        file.edit(at..at + typed.len(), "");
        assert_eq!(*file.indexed().facts(), analyse(file.path(), TEXT).facts);
    }
}

#[test]
fn what_is_typed_is_known_before_it_is_finished() {
    let mut file = live("a.ts", TEXT);
    let at = TEXT.find("const last").unwrap();
    file.edit(at..at, "export function fresh(a: number) { return add(a\n");
    let facts = file.indexed().facts();
    assert!(names(&facts).contains(&"fresh"));
    let calls = facts.references.iter().filter(|reference| {
        &file.text()[reference.range.start as usize..reference.range.end as usize] == "add"
            && reference.target == crate::graph::Target::Symbol(0)
    });
    assert_eq!(calls.count(), 3);
    assert!(facts.exports.iter().any(|export| export.name == "fresh"));
}

#[test]
fn what_only_its_neighbour_makes_sound_is_sound() {
    for (before, typed) in [
        ("  return add(x - 1)", "if (x)"),
        ("  return add(x - 1)", "else x;"),
        ("  other()", "@d"),
        ("export class", "@d"),
        ("const last", "x:"),
        ("await last", "for (;;)"),
    ] {
        let mut file = live("a.ts", TEXT);
        let at = TEXT.find(before).unwrap() - 1;
        // Letter by letter, a line of its own away from its neighbours.
        let spaced = format!("\n  {typed}\n");
        for (offset, letter) in spaced.char_indices() {
            file.edit(at + offset..at + offset, letter.encode_utf8(&mut [0; 4]));
        }
        let rest = analyse(file.path(), &file.text().clone()).facts;
        assert_eq!(file.indexed().facts().broken, rest.broken, "{}", file.text());
    }
}

#[test]
fn a_declaration_in_error_is_still_what_others_refer_to() {
    let mut file = live("a.ts", TEXT);
    let at = TEXT.find("  if (x > 1)").unwrap();
    file.edit(at..at, "(");
    // Now the edits span the head and the body.
    let at = TEXT.find("x: number").unwrap();
    file.edit(at..at, "y, ");
    let facts = file.indexed().facts();
    let position = facts.symbols.iter().position(|symbol| symbol.name == "add").unwrap();
    let target = crate::graph::Target::Symbol(position as u32);
    assert!(facts.references.iter().any(|reference| {
        reference.target == target && reference.range.start as usize > file.text().find("const last").unwrap()
    }));
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, String)>> {
    let typed = "(a|x|foo|\\.|\\(|\\)|\\{|\\}|;|=|'|`|\"| |\n|/|\\*|<|>|,|:|const y = |if \\(|import \\{ |class A \\{|return |@d|é){0,3}";
    prop::collection::vec((any::<prop::sample::Index>(), 0usize..6, typed.prop_map(String::from)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn after_any_edits_the_facts_are_those_of_the_text(edits in edits(), tsx in any::<bool>()) {
        let name = if tsx { "a.tsx" } else { "a.ts" };
        let mut file = live(name, TEXT);
        let mut text = TEXT.to_owned();
        for (at, removed, typed) in edits {
            let start = floor(&text, at.index(text.len() + 1));
            let end = floor(&text, start + removed).max(start);
            text.replace_range(start..end, &typed);
            file.edit(start..end, &typed);
            prop_assert_eq!(&**file.text(), &text);
            let facts = file.indexed().facts();
            let rest = analyse(file.path(), &text).facts;
            prop_assert_eq!(facts.broken, rest.broken, "{}", text);
            if !rest.broken {
                prop_assert_eq!(&*facts, &rest, "{}", text);
            }
            for symbol in &facts.symbols {
                prop_assert!(text.get(symbol.range.clone()).is_some());
                let named = text.get(symbol.name_range.clone()).is_some_and(|name| name.trim_matches(['"', '\'']) == symbol.name.trim_matches(['"', '\'']));
                prop_assert!(named || symbol.name == "default", "{:?} in {}", symbol, text);
                prop_assert!(symbol.parent.is_none_or(|parent| parent < facts.symbols.len()));
            }
            for reference in &facts.references {
                prop_assert!(text.get(reference.range.start as usize..reference.range.end as usize).is_some());
            }
            for pair in facts.chunks.windows(2) {
                prop_assert!(pair[0].lines[1] < pair[1].lines[0]);
            }
            let mut again = live(name, TEXT);
            again.update(Arc::from(text.as_str()));
            prop_assert_eq!(again.indexed().facts().broken, facts.broken);
        }
    }
}
