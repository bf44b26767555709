//! CODEOWNERS, as GitHub and as GitLab read it: who owns a path, and by which line.
//!
//! GitHub: patterns as in a .gitignore, without `!` and `[…]`; the last one that fits wins. GitLab: the same in each section
//! (`[Name]`, `^[Name]`, `[Name][2]`, with owners of its own for lines without), `!` takes a path out of its section, and the owners
//! of all sections count. Sources: "About code owners" (GitHub), "Syntax of CODEOWNERS file" (GitLab).

use crate::path::RelPath;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whose rules a file follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    GitHub,
    GitLab,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub pattern: String,
    /// With `@`, or mail addresses; empty takes owners away (GitHub).
    pub owners: Vec<String>,
    /// The section's name, as it was written first.
    pub section: Option<String>,
    /// GitLab: a section whose approval is not asked for.
    pub optional: bool,
    /// 1-based.
    pub line: u32,
    /// GitLab: takes the path out of the section.
    exclude: bool,
}

/// Everything one CODEOWNERS file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// Where it lies.
    pub path: RelPath,
    pub flavour: Flavour,
    rules: Vec<Rule>,
    /// 1-based lines that were passed over, and why.
    pub ignored: Vec<(u32, &'static str)>,
}

/// Who owns a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership<'o> {
    /// Each once, in the order of the rules.
    pub owners: Vec<&'o str>,
    /// The line that won, or one of each section.
    pub rules: Vec<&'o Rule>,
}

/// Where the file may lie; the first that is there counts. GitHub looks into `.github` first, GitLab into the root.
const PLACES: [(&str, Option<Flavour>); 4] = [
    (".github/CODEOWNERS", Some(Flavour::GitHub)),
    ("CODEOWNERS", None),
    ("docs/CODEOWNERS", None),
    (".gitlab/CODEOWNERS", Some(Flavour::GitLab)),
];

impl Owners {
    /// The paths to hand in to [`Owners::choose`].
    pub fn places() -> impl Iterator<Item = &'static str> {
        PLACES.iter().map(|(path, _)| *path)
    }

    /// Reads the file that counts, of those that are there.
    pub fn choose(texts: &BTreeMap<RelPath, Arc<str>>) -> Option<Self> {
        PLACES.iter().find_map(|(place, flavour)| {
            let path = RelPath::new(place).ok()?;
            let text = texts.get(&path)?;
            Some(Self::parse(path, text, flavour.unwrap_or_else(|| flavour_of(text))))
        })
    }

    /// Total: a line that cannot be understood is passed over and listed.
    pub fn parse(path: RelPath, text: &str, flavour: Flavour) -> Self {
        let mut owners = Self { path, flavour, rules: Vec::new(), ignored: Vec::new() };
        let mut section = Section::default();
        for (line, text) in (1u32..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if flavour == Flavour::GitLab
                && let Some(next) = Section::read(text)
            {
                section = next;
                continue;
            }
            owners.add(text, line, &section);
        }
        owners
    }

    fn add(&mut self, text: &str, line: u32, section: &Section) {
        let mut words = words(text);
        let Some(written) = words.next() else { return };
        let exclude = self.flavour == Flavour::GitLab && written.starts_with('!');
        if self.flavour == Flavour::GitHub && written.starts_with('!') {
            return self.ignored.push((line, "`!` has no meaning here"));
        }
        if self.flavour == Flavour::GitHub && written.contains(['[', ']']) {
            return self.ignored.push((line, "`[…]` has no meaning here"));
        }
        let mut owners: Vec<String> = words.take_while(|word| !word.starts_with('#')).collect();
        let is_owner = |owner: &String| owner.contains('@');
        if !owners.iter().all(is_owner) {
            self.ignored.push((line, "an owner is neither a name with @ nor a mail address"));
            owners.retain(is_owner);
            if owners.is_empty() && self.flavour == Flavour::GitHub {
                return;
            }
        }
        if owners.is_empty() && self.flavour == Flavour::GitLab {
            owners.clone_from(&section.owners);
        }
        self.rules.push(Rule {
            pattern: written.trim_start_matches(if exclude { '!' } else { '\0' }).to_owned(),
            owners,
            section: section.name.clone(),
            optional: section.optional,
            line,
            exclude,
        });
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Who owns the path; nobody when no line fits, or the last one that fits names nobody.
    pub fn of(&self, path: &RelPath) -> Ownership<'_> {
        // By section, as names are compared: without case.
        let mut last: BTreeMap<Option<String>, &Rule> = BTreeMap::new();
        let mut excluded: Vec<Option<String>> = Vec::new();
        for rule in self.rules.iter().filter(|rule| self.fits(&rule.pattern, path)) {
            let section = rule.section.as_ref().map(|name| name.to_lowercase());
            if rule.exclude {
                excluded.push(section);
            } else {
                last.insert(section, rule);
            }
        }
        let mut rules: Vec<&Rule> =
            last.into_iter().filter(|(section, _)| !excluded.contains(section)).map(|(_, rule)| rule).collect();
        rules.sort_by_key(|rule| rule.line);
        let mut owners: Vec<&str> = Vec::new();
        for owner in rules.iter().flat_map(|rule| &rule.owners) {
            if !owners.contains(&owner.as_str()) {
                owners.push(owner);
            }
        }
        Ownership { owners, rules }
    }

    fn fits(&self, pattern: &str, path: &RelPath) -> bool {
        let parts: Vec<&str> = path.components().collect();
        let body = pattern.trim_start_matches('/');
        let directory = body.ends_with('/');
        let body = body.trim_end_matches('/');
        // GitHub anchors what has a slash in the middle, as a .gitignore does; GitLab only what begins with one.
        let anchored = pattern.starts_with('/') || self.flavour == Flavour::GitHub && body.contains('/');
        let mut pieces: Vec<&str> = body.split('/').filter(|piece| !piece.is_empty()).collect();
        if !anchored {
            pieces.insert(0, "**");
        }
        if directory {
            pieces.push("**");
            // The directory itself is no file.
            return path_fits(&pieces, &parts, 1);
        }
        if path_fits(&pieces, &parts, 0) {
            return true;
        }
        // A name may be a directory's: everything below. Not on GitLab after a leading slash, and not after `*`.
        let star = pieces.last().is_some_and(|piece| piece.contains('*'));
        let below = self.flavour == Flavour::GitHub || !pattern.starts_with('/');
        if star && body.contains('/') || !below {
            return false;
        }
        pieces.push("**");
        path_fits(&pieces, &parts, 1)
    }
}

/// A file with sections is GitLab's.
fn flavour_of(text: &str) -> Flavour {
    let sections = text.lines().map(str::trim).any(|line| Section::read(line).is_some());
    if sections { Flavour::GitLab } else { Flavour::GitHub }
}

#[derive(Default)]
struct Section {
    name: Option<String>,
    owners: Vec<String>,
    optional: bool,
}

impl Section {
    /// `[Name]`, `^[Name]`, `[Name][2] @owner`.
    fn read(line: &str) -> Option<Self> {
        let (optional, rest) = line.strip_prefix('^').map_or((false, line), |rest| (true, rest));
        let (name, rest) = rest.strip_prefix('[')?.split_once(']')?;
        let rest = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((count, rest)) if count.bytes().all(|byte| byte.is_ascii_digit()) => rest,
            Some(_) => return None,
            None => rest,
        };
        let blank = rest.is_empty() || rest.starts_with(char::is_whitespace);
        let owners = words(rest).take_while(|word| !word.starts_with('#')).filter(|word| word.contains('@'));
        (blank && !name.trim().is_empty()).then(|| Self {
            name: Some(name.trim().to_owned()),
            owners: owners.collect(),
            optional,
        })
    }
}

/// Words between blanks; `\ ` is a blank in a word, `\#` a number sign.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut chars = text.chars().peekable();
    std::iter::from_fn(move || {
        while chars.next_if(|next| next.is_whitespace()).is_some() {}
        let mut word = String::new();
        while let Some(next) = chars.next_if(|next| !next.is_whitespace()) {
            match (next, chars.peek()) {
                ('\\', Some(' ' | '#' | '\\')) => word.extend(chars.next()),
                _ => word.push(next),
            }
        }
        (!word.is_empty()).then_some(word)
    })
}

/// Whether the pieces of a pattern fit the parts of a path, a last `**` at least `least` of them.
fn path_fits(pieces: &[&str], parts: &[&str], least: usize) -> bool {
    // fits[at]: the pieces so far fit the parts before `at`.
    let mut fits = vec![false; parts.len() + 1];
    fits[0] = true;
    for (number, piece) in pieces.iter().enumerate() {
        let last = number + 1 == pieces.len();
        let mut next = vec![false; parts.len() + 1];
        if *piece == "**" {
            let least = if last { least.max(usize::from(number > 0)) } else { 0 };
            for at in 0..=parts.len() {
                next[at] = at >= least && fits[..=at - least].iter().any(|fits| *fits);
            }
        } else {
            for at in 0..parts.len() {
                next[at + 1] = fits[at] && name_fits(piece, parts[at]);
            }
        }
        fits = next;
    }
    fits[parts.len()]
}

/// `*` for any run of characters, `?` for one.
fn name_fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == name[at] => {
                at += 1;
                of += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    at = taken + 1;
                    of = place + 1;
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(text: &str, flavour: Flavour, path: &str) -> Vec<String> {
        let owners = Owners::parse(RelPath::new("CODEOWNERS").unwrap(), text, flavour);
        owners.of(&RelPath::new(path).unwrap()).owners.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn github_takes_the_last_pattern_that_fits() {
        // The example of GitHub's own page.
        let text = "\
*       @global-owner1 @global-owner2
*.js    @js-owner #This is an inline comment.
*.go docs@example.com
*.txt @octo-org/octocats
/build/logs/ @doctocat
docs/* docs@example.com
apps/ @octocat
/docs/ @doctocat
/scripts/ @doctocat @octocat
**/logs @octocat
/apps/ @octocat
/apps/github
/apps/with\\ blank @blank
/exact/*.ts @exact
deep/**/end.ts @deep
!not.ts @never
[x].ts @never
";
        for (path, expect) in [
            ("README.md", &["@global-owner1", "@global-owner2"][..]),
            ("src/a.js", &["@js-owner"]),
            ("a/b/c.go", &["docs@example.com"]),
            ("build/logs/x/y.txt", &["@octocat"]),
            ("build/log.x", &["@global-owner1", "@global-owner2"]),
            ("sub/build/logs", &["@octocat"]),
            ("docs/a.md", &["@doctocat"]),
            ("x/docs/a.md", &["@global-owner1", "@global-owner2"]),
            ("apps/a/b.md", &["@octocat"]),
            ("x/apps/a/b.md", &["@octocat"]),
            ("apps/github/a.md", &[]),
            ("apps/github", &[]),
            ("apps/with blank/a", &["@blank"]),
            ("exact/a.ts", &["@exact"]),
            ("exact/b/a.ts", &["@global-owner1", "@global-owner2"]),
            ("deep/end.ts", &["@deep"]),
            ("deep/a/b/end.ts", &["@deep"]),
            ("not.ts", &["@global-owner1", "@global-owner2"]),
        ] {
            assert_eq!(owners(text, Flavour::GitHub, path), expect, "{path}");
        }
        let parsed = Owners::parse(RelPath::new("CODEOWNERS").unwrap(), text, Flavour::GitHub);
        assert_eq!(parsed.ignored.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [16, 17]);
    }

    #[test]
    fn gitlab_takes_one_of_each_section() {
        let text = "\
* @default
/docs @docs-file
/docs/ @docs

[Code][2] @dev
*.rb
/special.rb @special
!/vendor/

^[Security] @sec
config/db/
[code]
*.py @py
";
        for (path, expect) in [
            ("a.md", &["@default"][..]),
            ("docs/a/b.md", &["@docs"]),
            ("lib/a.rb", &["@default", "@dev"]),
            ("special.rb", &["@default", "@special"]),
            ("vendor/x.rb", &["@default"]),
            ("sub/config/db/a.sql", &["@default", "@sec"]),
            // The same section, written again.
            ("a.py", &["@default", "@py"]),
        ] {
            assert_eq!(owners(text, Flavour::GitLab, path), expect, "{path}");
        }
        let parsed = Owners::parse(RelPath::new("CODEOWNERS").unwrap(), text, Flavour::GitLab);
        assert!(parsed.rules().iter().any(|rule| rule.optional && rule.section.as_deref() == Some("Security")));
    }

    #[test]
    fn the_file_that_counts_is_found_and_its_flavour_told() {
        let text = |text: &str| Arc::from(text);
        let path = |path: &str| RelPath::new(path).unwrap();
        let mut files = BTreeMap::from([(path("docs/CODEOWNERS"), text("[A]\n* @a\n"))]);
        assert_eq!(Owners::choose(&files).unwrap().flavour, Flavour::GitLab);
        files.insert(path(".github/CODEOWNERS"), text("* @b\n"));
        let owners = Owners::choose(&files).unwrap();
        assert_eq!((owners.path.as_str(), owners.flavour), (".github/CODEOWNERS", Flavour::GitHub));
        assert_eq!(Owners::choose(&BTreeMap::new()), None);
    }
}
