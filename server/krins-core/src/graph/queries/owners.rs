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
    /// How many of the owners have to approve: 1, or what a section says (GitLab).
    pub approvals: u32,
    /// 1-based.
    pub line: u32,
    /// GitLab: takes the path out of the section.
    exclude: bool,
    glob: Glob,
}

impl Rule {
    /// Whether it asks anybody.
    pub fn asks(&self) -> bool {
        !self.owners.is_empty()
    }
}

/// Everything one CODEOWNERS file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// Where it lies.
    pub path: RelPath,
    pub flavour: Flavour,
    rules: Vec<Rule>,
    index: Index,
    /// 1-based lines that were passed over, in whole or in part, and why.
    pub ignored: Vec<(u32, &'static str)>,
    /// What those lines could have meant.
    doubtful: Vec<Rule>,
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
        let (rules, doubtful, ignored) = (Vec::new(), Vec::new(), Vec::new());
        let mut owners = Self { path, flavour, rules, index: Index::default(), ignored, doubtful };
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
        owners.index = Index::of(&owners.rules);
        owners
    }

    fn add(&mut self, text: &str, line: u32, section: &Section) {
        let mut words = words(text);
        let Some(written) = words.next() else { return };
        let github = self.flavour == Flavour::GitHub;
        let exclude = !github && written.starts_with('!');
        let mut owners: Vec<String> = words.take_while(|word| !word.starts_with('#')).collect();
        let is_owner = |owner: &String| owner.contains('@');
        let mut why = (!owners.iter().all(is_owner)).then_some("an owner is neither a name with @ nor a mail address");
        owners.retain(is_owner);
        if owners.is_empty() && !github {
            owners.clone_from(&section.owners);
        }
        let mut pattern = written.trim_start_matches(if exclude { '!' } else { '\0' }).to_owned();
        let mut unread = why.is_some() && owners.is_empty() && github;
        if github && pattern.starts_with('!') {
            (why, unread, pattern) = (Some("`!` has no meaning here"), true, pattern[1..].to_owned());
        }
        let mut meant = pattern.clone();
        if github && pattern.contains(['[', ']']) {
            // Taken as it stands, as in the names of some frameworks; what its writer may have meant is in doubt.
            (why, meant) = (Some("`[…]` has no meaning here"), without_sets(&pattern));
        }
        let glob = Glob::new(&pattern, self.flavour);
        let (section, optional, approvals) = (section.name.clone(), section.optional, section.approvals.max(1));
        let rule = Rule { pattern, owners, section, optional, approvals, line, exclude, glob };
        if let Some(why) = why {
            self.ignored.push((line, why));
            self.doubtful.push(Rule { glob: Glob::new(&meant, self.flavour), ..rule.clone() });
        }
        if !unread {
            self.rules.push(rule);
        }
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Who owns the path; nobody when no line fits, or the last one that fits names nobody.
    pub fn of(&self, path: &RelPath) -> Ownership<'_> {
        self.of_those(path, |_| true)
    }

    /// Who would own the path if the lines that are in doubt were not there.
    pub fn of_sound(&self, path: &RelPath) -> Ownership<'_> {
        self.of_those(path, |rule| !self.doubtful.iter().any(|doubtful| doubtful.line == rule.line))
    }

    /// Lines that could not be read, or not in whole, and may mean the path.
    pub fn doubted(&self, path: &RelPath) -> Vec<&Rule> {
        let parts: Vec<&str> = path.components().collect();
        self.doubtful.iter().filter(|rule| rule.glob.fits(&parts)).collect()
    }

    fn of_those(&self, path: &RelPath, counts: impl Fn(&Rule) -> bool) -> Ownership<'_> {
        let parts: Vec<&str> = path.components().collect();
        let mut rules: Vec<&Rule> = Vec::new();
        // By section, as names are compared: without case.
        let (mut decided, mut excluded) = (Vec::new(), Vec::new());
        for at in self.index.candidates(&parts) {
            let rule = &self.rules[at];
            if !counts(rule) || !rule.glob.fits(&parts) {
                continue;
            }
            let section = rule.section.as_ref().map(|name| name.to_lowercase());
            if rule.exclude {
                excluded.push(section);
            } else if !decided.contains(&section) {
                decided.push(section);
                rules.push(rule);
            }
            if self.flavour == Flavour::GitHub {
                break;
            }
        }
        let is_in = |rule: &&Rule| !excluded.contains(&rule.section.as_ref().map(|name| name.to_lowercase()));
        rules.retain(is_in);
        rules.sort_by_key(|rule| rule.line);
        let mut owners: Vec<&str> = Vec::new();
        for owner in rules.iter().flat_map(|rule| &rule.owners) {
            if !owners.contains(&owner.as_str()) {
                owners.push(owner);
            }
        }
        Ownership { owners, rules }
    }
}

/// The pattern with anything in place of each `[…]`: what it could have meant.
fn without_sets(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(open) = rest.find(['[', ']']) {
        out.push_str(&rest[..open]);
        out.push('*');
        rest = match rest[open..].find(']') {
            Some(close) => &rest[open + close + 1..],
            None => &rest[open + 1..],
        };
    }
    out.push_str(rest);
    out
}

/// A pattern, read once: any of its forms may fit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    forms: Vec<Form>,
}

/// Pieces of a path, and how many components a last `**` stands for at least.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Form {
    pieces: Vec<Piece>,
    least: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// `**`: any number of components.
    Many,
    Exact(String),
    /// With `*` or `?` in it.
    Loose(Vec<Token>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    One,
}

impl Glob {
    fn new(pattern: &str, flavour: Flavour) -> Self {
        let body = pattern.trim_start_matches('/');
        let directory = body.ends_with('/');
        let body = body.trim_end_matches('/');
        // GitHub anchors what has a slash in the middle, as a .gitignore does; GitLab only what begins with one.
        let anchored = pattern.starts_with('/') || flavour == Flavour::GitHub && body.contains('/');
        let mut pieces: Vec<Piece> = body.split('/').filter(|piece| !piece.is_empty()).map(Piece::new).collect();
        // A name may be a directory's: everything below. Not on GitLab after a leading slash, and not after `*`.
        let loose = matches!(pieces.last(), Some(Piece::Many | Piece::Loose(_)));
        let below = flavour == Flavour::GitHub || !pattern.starts_with('/');
        let below = below && !(loose && body.contains('/')) && pattern != "/*";
        if !anchored {
            pieces.insert(0, Piece::Many);
        }
        let everything_below = |mut pieces: Vec<Piece>| {
            pieces.push(Piece::Many);
            // The directory itself is no file.
            Form { pieces, least: 1 }
        };
        if directory {
            return Self { forms: vec![everything_below(pieces)] };
        }
        let mut forms = vec![Form { pieces: pieces.clone(), least: 0 }];
        forms.extend(below.then(|| everything_below(pieces)));
        Self { forms }
    }

    fn fits(&self, parts: &[&str]) -> bool {
        self.forms.iter().any(|form| path_fits(&form.pieces, parts, form.least))
    }
}

impl Piece {
    fn new(text: &str) -> Self {
        if text == "**" {
            return Self::Many;
        }
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(next) = chars.next() {
            tokens.push(match next {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => Token::Char(chars.next().unwrap_or('\\')),
                plain => Token::Char(plain),
            });
        }
        let plain = |token: &Token| match token {
            Token::Char(plain) => Some(*plain),
            Token::Any | Token::One => None,
        };
        match tokens.iter().map(plain).collect::<Option<String>>() {
            Some(exact) => Self::Exact(exact),
            None => Self::Loose(tokens),
        }
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Many => true,
            Self::Exact(exact) => exact == name,
            Self::Loose(tokens) => name_fits(tokens, name),
        }
    }

    /// What follows the last dot of every name that fits.
    fn ending(&self) -> Option<String> {
        let Self::Loose(tokens) = self else { return None };
        let tail = tokens.iter().rev().map_while(|token| match token {
            Token::Char(plain) => Some(*plain),
            Token::Any | Token::One => None,
        });
        let tail: Vec<char> = tail.collect();
        let dot = tail.iter().position(|c| *c == '.')?;
        Some(tail[..dot].iter().rev().collect())
    }
}

/// Which rules can fit a path, by what has to be in it: a rule is looked at only for paths that hold the rarest name, or
/// the ending, of its pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Index {
    by_name: BTreeMap<String, Vec<usize>>,
    by_ending: BTreeMap<String, Vec<usize>>,
    others: Vec<usize>,
}

impl Index {
    fn of(rules: &[Rule]) -> Self {
        let mut frequency: BTreeMap<&str, usize> = BTreeMap::new();
        let names = |rule: &'_ Rule| -> Vec<String> {
            let exact = |piece: &Piece| match piece {
                Piece::Exact(name) => Some(name.clone()),
                Piece::Many | Piece::Loose(_) => None,
            };
            rule.glob.forms.first().map_or_else(Vec::new, |form| form.pieces.iter().filter_map(exact).collect())
        };
        let all: Vec<Vec<String>> = rules.iter().map(names).collect();
        for name in all.iter().flatten() {
            *frequency.entry(name).or_default() += 1;
        }
        let mut index = Self::default();
        for (at, (rule, names)) in rules.iter().zip(&all).enumerate() {
            let rarest = names.iter().min_by_key(|name| frequency.get(name.as_str()).copied().unwrap_or(0));
            let ending = || rule.glob.forms.first()?.pieces.iter().find_map(Piece::ending);
            match (rarest, ending()) {
                (Some(name), _) => index.by_name.entry(name.clone()).or_default().push(at),
                (None, Some(ending)) => index.by_ending.entry(ending).or_default().push(at),
                (None, None) => index.others.push(at),
            }
        }
        index
    }

    /// Positions of rules, the last first.
    fn candidates(&self, parts: &[&str]) -> Vec<usize> {
        let mut found = self.others.clone();
        for part in parts {
            found.extend(self.by_name.get(*part).into_iter().flatten());
            let ending = part.rsplit_once('.').map(|(_, ending)| ending);
            found.extend(ending.and_then(|ending| self.by_ending.get(ending)).into_iter().flatten());
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        found
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
    approvals: u32,
}

impl Section {
    /// `[Name]`, `^[Name]`, `[Name][2] @owner`.
    fn read(line: &str) -> Option<Self> {
        let (optional, rest) = line.strip_prefix('^').map_or((false, line), |rest| (true, rest));
        let (name, rest) = rest.strip_prefix('[')?.split_once(']')?;
        let (approvals, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((count, rest)) if count.bytes().all(|byte| byte.is_ascii_digit()) => {
                // A number that no file means asks for more than there are.
                (count.parse().unwrap_or(u32::MAX), rest)
            }
            Some(_) => return None,
            None => (1, rest),
        };
        let blank = rest.is_empty() || rest.starts_with(char::is_whitespace);
        let owners = words(rest).take_while(|word| !word.starts_with('#')).filter(|word| word.contains('@'));
        (blank && !name.trim().is_empty()).then(|| Self {
            name: Some(name.trim().to_owned()),
            owners: owners.collect(),
            optional,
            approvals,
        })
    }
}

/// Words between blanks; `\ ` is a blank in a word, `\#` a number sign. Other escapes are the pattern's.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut chars = text.chars().peekable();
    std::iter::from_fn(move || {
        while chars.next_if(|next| next.is_whitespace()).is_some() {}
        let mut word = String::new();
        while let Some(next) = chars.next_if(|next| !next.is_whitespace()) {
            match (next, chars.peek()) {
                ('\\', Some(' ' | '#')) => word.extend(chars.next()),
                ('\\', Some('\\')) => {
                    word.push(next);
                    word.extend(chars.next());
                }
                _ => word.push(next),
            }
        }
        (!word.is_empty()).then_some(word)
    })
}

/// Whether the pieces of a pattern fit the parts of a path, a last `**` at least `least` of them.
fn path_fits(pieces: &[Piece], parts: &[&str], least: usize) -> bool {
    // What is before the first `**` stands for one part each: most patterns are decided here.
    let plain = pieces.iter().take_while(|piece| **piece != Piece::Many).count();
    if parts.len() < plain || !pieces[..plain].iter().zip(parts).all(|(piece, part)| piece.fits(part)) {
        return false;
    }
    let (pieces, parts) = (&pieces[plain..], &parts[plain..]);
    match pieces {
        [] => parts.is_empty(),
        [Piece::Many] => parts.len() >= least.max(usize::from(plain > 0)),
        _ => open_path_fits(pieces, parts, least),
    }
}

/// The same where the pattern begins with a `**` that is not its last piece.
fn open_path_fits(pieces: &[Piece], parts: &[&str], least: usize) -> bool {
    // fits[at]: the pieces so far fit the parts before `at`.
    let mut fits = vec![false; parts.len() + 1];
    fits[0] = true;
    for (number, piece) in pieces.iter().enumerate() {
        let last = number + 1 == pieces.len();
        let mut next = vec![false; parts.len() + 1];
        if *piece == Piece::Many {
            let least = if last { least.max(1) } else { 0 };
            for at in 0..=parts.len() {
                next[at] = at >= least && fits[..=at - least].iter().any(|fits| *fits);
            }
        } else {
            for at in 0..parts.len() {
                next[at + 1] = fits[at] && piece.fits(parts[at]);
            }
        }
        fits = next;
    }
    fits[parts.len()]
}

/// `*` for any run of characters, `?` for one.
fn name_fits(pattern: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(of) {
            Some(Token::Any) => {
                star = Some((of, at));
                of += 1;
            }
            Some(Token::One) => {
                at += 1;
                of += 1;
            }
            Some(Token::Char(wanted)) if *wanted == name[at] => {
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
    pattern[of..].iter().all(|rest| *rest == Token::Any)
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

    /// The vectors of github.com/hmarr/codeowners (see the data file's notice), which follow what GitHub was seen to do.
    #[test]
    fn every_vector_of_the_reference_holds() {
        let vectors: serde_json::Value = serde_json::from_str(include_str!("owners_patterns.json")).unwrap();
        let (mut held, mut wrong) = (0, Vec::new());
        for vector in vectors["patterns"].as_array().unwrap() {
            let pattern = vector["pattern"].as_str().unwrap().replace(' ', "\\ ");
            let text = format!("{pattern} @owner\n");
            for (path, fits) in vector["paths"].as_object().unwrap() {
                let parsed = Owners::parse(RelPath::new("CODEOWNERS").unwrap(), &text, Flavour::GitHub);
                // Some paths end with a slash, which no path of a workspace does.
                let parts: Vec<&str> = path.split('/').collect();
                let found = parsed.rules[0].glob.fits(&parts);
                if Some(found) == fits.as_bool() { held += 1 } else { wrong.push(format!("{pattern} {path}")) }
            }
        }
        assert_eq!((held, wrong), (153, Vec::new()));
    }

    /// The index may only leave out what does not fit.
    #[test]
    fn looking_up_finds_what_looking_through_finds() {
        let names = ["a", "b", "*", "**", "a*", "*.ts", "?", "lib", "x.ts", "*.*.ts"];
        let mut text = String::new();
        let mut seed = 7u64;
        let mut pick = |most: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % most
        };
        for line in 0..400 {
            let start = ["", "/"][pick(2)];
            let parts: Vec<&str> = (0..1 + pick(3)).map(|_| names[pick(names.len())]).collect();
            let end = ["", "/"][pick(2)];
            text.push_str(&format!("{start}{}{end} @o{line}\n", parts.join("/")));
        }
        for flavour in [Flavour::GitHub, Flavour::GitLab] {
            let parsed = Owners::parse(RelPath::new("CODEOWNERS").unwrap(), &text, flavour);
            for _ in 0..500 {
                let parts: Vec<&str> =
                    (0..1 + pick(4)).map(|_| ["a", "b", "ab", "lib", "x.ts", "y.d.ts"][pick(6)]).collect();
                let through = parsed.rules.iter().rev().find(|rule| rule.glob.fits(&parts)).map(|rule| rule.line);
                let path = RelPath::new(&parts.join("/")).unwrap();
                assert_eq!(parsed.of(&path).rules.first().map(|rule| rule.line), through, "{path}");
            }
        }
    }

    #[test]
    fn gitlab_sections_count_and_lines_in_doubt_are_kept() {
        let parsed = |text: &str, flavour| Owners::parse(RelPath::new("CODEOWNERS").unwrap(), text, flavour);
        let path = RelPath::new("a.rb").unwrap();
        let gitlab = parsed("[Code][3] @dev @@maintainer\n*.rb\n", Flavour::GitLab);
        let ownership = gitlab.of(&path);
        assert_eq!((ownership.rules[0].approvals, &ownership.owners[..]), (3, &["@dev", "@@maintainer"][..]));
        let github = parsed("* @a\n*.rb bob @b\n!a.rb @c\na.[rb]b @d\n", Flavour::GitHub);
        assert_eq!(github.doubted(&path).iter().map(|rule| rule.line).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((&github.of(&path).owners[..], &github.of_sound(&path).owners[..]), (&["@b"][..], &["@a"][..]));
    }
}
