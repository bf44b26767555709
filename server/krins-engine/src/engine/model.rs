//! The order of the gate and what a verdict is bound to, against a model that fits on a page: whatever is proposed, edited,
//! rejected, waived, approved, applied, undone and changed in the policy, in whatever order, a file changes only by an apply
//! of hunks that the policy of that moment lets through, and what is on record of it names that patch and that policy. A judge
//! is asked about a change, or a part of it, once, whatever else happens, and never while something else blocks it.
//!
//! `KRINS_GATE_SEQUENCES=100000 cargo test --release -p krins-engine --lib engine::model` runs so many sequences.

use super::{ApplyWish, Engine, Judgement};
use crate::error::ErrorKind;
use crate::gate::{StoredWaiver, approvals};
use crate::pipeline::Intent;
use crate::settings::{ApprovalSettings, Judge, Settings};
use crate::state::StateDir;
use crate::tasks::TaskState;
use crate::workspace::Root;
use async_trait::async_trait;
use krins_backend::money::Purpose;
use krins_backend::{Ask, Backend, BackendError, ProgressSink, Proposal, Usage};
use krins_core::Digest;
use krins_core::gate::{Verdict, Waiver};
use krins_core::patch::Patch;
use krins_core::text::Encoding;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

/// What a hunk does that some check minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Charge {
    Clean,
    Secret,
    Syntax,
    Tls,
    Hidden,
    Package,
}

const CODE: [Charge; 5] = [Charge::Clean, Charge::Secret, Charge::Syntax, Charge::Tls, Charge::Hidden];
const FILES: [&str; 6] = ["src/a.ts", "src/b.ts", "src/c.ts", ".npmrc", "package.json", "src/owned.ts"];
const CHECKS: [&str; 8] = ["policy", "secrets", "licences", "owners", "syntax", "sast", "honesty", "judge"];
const LEVELS: [(&str, Option<Verdict>); 4] =
    [("off", Some(Verdict::Pass)), ("warn", Some(Verdict::Warn)), ("block", Some(Verdict::Block)), ("", None)];

/// A file's text with a number that is there nowhere else.
fn text(file: usize, charge: Charge, number: u32) -> String {
    match (FILES[file], charge) {
        (".npmrc", _) => format!("fund={number}\n"),
        ("package.json", Charge::Package) => {
            format!(
                "{{\"name\": \"x\", \"version\": \"0.0.{number}\", \"dependencies\": {{\"left-pad\": \"1.3.0\"}}}}\n"
            )
        }
        ("package.json", _) => format!("{{\"name\": \"x\", \"version\": \"0.0.{number}\", \"dependencies\": {{}}}}\n"),
        (_, Charge::Secret) => {
            format!("export const v = \"ghp_q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B\"; // {number}\n")
        }
        (_, Charge::Syntax) => format!("export const = {number};\n"),
        (_, Charge::Tls) => format!("export const v = {{ rejectUnauthorized: false, n: {number} }};\n"),
        (_, Charge::Hidden) => format!("export const v = {number}; // \u{202e}\n"),
        (_, Charge::Clean | Charge::Package) => format!("export const v = {number};\n"),
    }
}

/// What the checks find in it by themselves.
fn found(file: usize, charge: Charge) -> Vec<(&'static str, Verdict)> {
    let mut found = match charge {
        Charge::Clean => Vec::new(),
        Charge::Secret => vec![("secrets", Verdict::Block)],
        Charge::Syntax => vec![("syntax", Verdict::Block)],
        Charge::Tls => vec![("sast", Verdict::Block)],
        Charge::Hidden => vec![("honesty", Verdict::Block)],
        Charge::Package => vec![("licences", Verdict::Block)],
    };
    match FILES[file] {
        ".npmrc" => found.push(("policy", Verdict::Block)),
        "src/owned.ts" => found.push(("owners", Verdict::Warn)),
        _ => {}
    }
    found
}

#[derive(Clone, Debug)]
enum Op {
    /// Charges by file, and whether the judge would object.
    Propose(Vec<(usize, usize)>, bool),
    Review(usize, Word),
    /// Back to an earlier task.
    Earlier(usize),
    Level(usize, usize),
    Waive(usize, usize, bool),
    /// The last day of every waiver is over.
    Expire,
    Unwaive,
    Approve,
    Gate,
    Apply(Option<u8>, bool),
    Preview,
    Undo,
    Redo,
    /// Somebody else writes a file.
    Touch(usize),
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Accept,
    Reject,
    Open,
    Edit(usize),
}

fn ops() -> impl Strategy<Value = (bool, Vec<Op>)> {
    let file = || prop_oneof![8 => 0..3usize, 1 => Just(3), 1 => Just(4), 2 => Just(5)];
    let charge = || prop_oneof![3 => Just(0), 2 => 1..CODE.len()];
    let charges = move || proptest::collection::vec((file(), charge()), 1..4);
    let word = prop_oneof![
        1 => Just(Word::Accept),
        2 => Just(Word::Reject),
        1 => Just(Word::Open),
        3 => (0..CODE.len()).prop_map(Word::Edit)
    ];
    let op = prop_oneof![
        3 => (charges(), proptest::bool::weighted(0.2)).prop_map(|(charges, objects)| Op::Propose(charges, objects)),
        3 => (0..3usize, word).prop_map(|(hunk, word)| Op::Review(hunk, word)),
        1 => (0..3usize).prop_map(Op::Earlier),
        3 => (0..CHECKS.len(), 0..LEVELS.len()).prop_map(|(check, level)| Op::Level(check, level)),
        2 => (0..CHECKS.len(), 0..FILES.len(), proptest::bool::weighted(0.7)).prop_map(|(check, file, live)| Op::Waive(check, file, live)),
        1 => Just(Op::Unwaive),
        1 => Just(Op::Expire),
        1 => proptest::bool::weighted(0.1).prop_map(|approves| if approves { Op::Approve } else { Op::Gate }),
        1 => Just(Op::Gate),
        6 => (proptest::option::weighted(0.4, any::<u8>()), proptest::bool::weighted(0.1)).prop_map(|(mask, dry)| Op::Apply(mask, dry)),
        1 => Just(Op::Preview),
        2 => Just(Op::Undo),
        1 => Just(Op::Redo),
        1 => (0..FILES.len()).prop_map(Op::Touch),
    ];
    let first = (charges(), any::<bool>()).prop_map(|(charges, objects)| Op::Propose(charges, objects));
    (proptest::bool::weighted(0.3), first, proptest::collection::vec(op, 3..10)).prop_map(|(judge, first, mut rest)| {
        rest.insert(0, first);
        (judge, rest)
    })
}

/// Says what it is told to, as author and as judge.
#[derive(Debug, Default)]
struct Told {
    answer: Mutex<String>,
    objects: Mutex<bool>,
    /// How often the judge was asked.
    judged: Mutex<usize>,
}

#[async_trait]
impl Backend for Told {
    async fn ask(&self, ask: Ask, _: ProgressSink) -> Result<Proposal, BackendError> {
        let text = match ask.account.purpose {
            Purpose::Judge => {
                *self.judged.lock().unwrap() += 1;
                let names = ["correctness", "security", "performance", "architecture", "tests", "scope", "readability"];
                let word = |name: &str| if *self.objects.lock().unwrap() && name == "scope" { "fail" } else { "pass" };
                let said = names
                    .map(|name| format!("\"{name}\": {{\"verdict\": \"{}\", \"reason\": \"of {name}\"}}", word(name)));
                format!("{{{}}}", said.join(", "))
            }
            _ => self.answer.lock().unwrap().clone(),
        };
        let provider = ask.provider.unwrap_or_else(|| "fake".into());
        let usage = Usage::default();
        Ok(Proposal { text, provider, model: "m".into(), usage, cached: false, why: Vec::new(), degraded: None })
    }

    fn route(&self) -> String {
        "fake/m".into()
    }

    fn is_builtin(&self) -> bool {
        false
    }

    fn forget(&self, _: &Ask) {}

    fn cache_counts(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// A hunk as the model sees it.
#[derive(Clone, Debug)]
struct Hunk {
    id: String,
    before: String,
    proposed: (Charge, String),
    edited: Option<(Charge, String)>,
    rejected: bool,
}

impl Hunk {
    fn now(&self) -> &(Charge, String) {
        self.edited.as_ref().unwrap_or(&self.proposed)
    }
}

/// A task as the model sees it.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    /// By file.
    hunks: BTreeMap<usize, Hunk>,
    objects: bool,
    /// The judge has seen it.
    seen: bool,
    /// The same of what was proposed, while a hunk is edited.
    seen_unedited: bool,
    /// Parts of it that the judge has seen, the newest last, and the first file of each.
    heard: Vec<(Digest, usize)>,
    /// The file that the judge's word is kept with.
    first: usize,
}

impl Known {
    fn is_edited(&self) -> bool {
        self.hunks.values().any(|hunk| hunk.edited.is_some())
    }
}

/// The keys that sign approvals, made once.
static KEY: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "ann", "-f"])
        .arg(dir.path().join("ann"))
        .status()
        .expect("ssh-keygen, of the package openssh-client");
    assert!(made.success());
    let public = std::fs::read_to_string(dir.path().join("ann.pub")).unwrap();
    std::fs::write(dir.path().join("signers"), format!("@ann {public}")).unwrap();
    dir
});

struct World {
    dir: tempfile::TempDir,
    engine: Engine,
    told: Arc<Told>,
    judge: bool,
    number: u32,
    /// What the files hold, and what each text is charged with.
    files: Vec<String>,
    charges: BTreeMap<String, Charge>,
    levels: BTreeMap<&'static str, &'static str>,
    waivers: Vec<(usize, usize, bool)>,
    approved: BTreeSet<(Digest, Digest)>,
    tasks: Vec<Known>,
    at: usize,
    applied: usize,
    refused: usize,
}

fn place() -> tempfile::TempDir {
    // Nothing here is about what survives a power cut, and memory is faster.
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()) } else { tempfile::tempdir() }
        .unwrap()
}

impl World {
    fn new(judge: bool) -> Self {
        let dir = place();
        let (place, home) = (dir.path().join("root"), dir.path().join("home"));
        std::fs::create_dir_all(place.join("src")).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(place.join("CODEOWNERS"), "/src/owned.ts @ann\n").unwrap();
        let files: Vec<String> = (0..FILES.len()).map(|file| text(file, Charge::Clean, file as u32)).collect();
        for (name, text) in FILES.iter().zip(&files) {
            std::fs::write(place.join(name), text).unwrap();
        }
        let root = Root::open(&place).unwrap();
        let state = StateDir::open_at(&dir.path().join("state"), &root).unwrap();
        let mut settings = Settings { user_dir: Some(home), ..Settings::default() };
        settings.commands.fix_rounds = 0;
        settings.approvals = ApprovalSettings {
            identity: Some("@req".into()),
            key: Some(KEY.path().join("ann")),
            signers: Some(KEY.path().join("signers")),
        };
        settings.judge = judge.then(|| Judge { provider: Some("judge".into()), model: None, warns: false });
        let told = Arc::new(Told::default());
        let engine = Engine::open(root, state, Arc::new(settings), told.clone(), Encoding::Utf8).unwrap();
        let charges = files.iter().map(|text| (text.clone(), Charge::Clean)).collect();
        Self {
            dir,
            engine,
            told,
            judge,
            number: 100,
            files,
            charges,
            levels: BTreeMap::new(),
            waivers: Vec::new(),
            approved: BTreeSet::new(),
            tasks: Vec::new(),
            at: 0,
            applied: 0,
            refused: 0,
        }
    }

    fn on_disk(&self, file: usize) -> String {
        std::fs::read_to_string(self.dir.path().join("root").join(FILES[file])).unwrap()
    }

    fn disk(&self) -> Vec<String> {
        (0..FILES.len()).map(|file| self.on_disk(file)).collect()
    }

    fn policy(&self) -> Digest {
        self.engine.rules().standing().unwrap().policy.digest()
    }

    /// A new text for a file whose text is `before`: over what is charged only what is clean, so that all of it is new.
    fn fresh(&mut self, file: usize, charge: usize, before: &str) -> (Charge, String) {
        let wanted = match FILES[file] {
            ".npmrc" => Charge::Clean,
            "package.json" if charge == 0 => Charge::Clean,
            "package.json" => Charge::Package,
            _ => CODE[charge],
        };
        let charge = if self.charges[before] == Charge::Clean { wanted } else { Charge::Clean };
        self.number += 1;
        let text = text(file, charge, self.number);
        self.charges.insert(text.clone(), charge);
        (charge, text)
    }

    /// What the policy of now makes of a finding at a file.
    fn weighed(&self, check: &str, verdict: Verdict, file: usize) -> Verdict {
        let level = self.levels.get(check).and_then(|name| LEVELS.iter().find(|(level, _)| level == name));
        let verdict = level.and_then(|(_, level)| *level).unwrap_or(verdict);
        let waived = self.waivers.iter().any(|(of, at, live)| CHECKS[*of] == check && *at == file && *live);
        if waived { Verdict::Pass } else { verdict }
    }

    fn verdict(&self, hunks: &[(usize, Hunk)], approved: bool) -> Verdict {
        let of = |(file, hunk): &(usize, Hunk)| {
            let charge = hunk.now().0;
            let found = found(*file, charge).into_iter().filter(|(check, _)| !(approved && *check == "owners"));
            found.map(|(check, verdict)| self.weighed(check, verdict, *file)).max().unwrap_or(Verdict::Pass)
        };
        hunks.iter().map(of).max().unwrap_or(Verdict::Pass)
    }

    fn task(&self) -> &Known {
        &self.tasks[self.at]
    }

    /// The hunks that an apply would be of.
    fn chosen(&self, mask: Option<u8>) -> Vec<(usize, Hunk)> {
        let wanted = |(at, hunk): &(usize, (&usize, &Hunk))| match mask {
            Some(mask) => mask >> at & 1 == 1,
            None => !hunk.1.rejected,
        };
        let hunks = self.task().hunks.iter().enumerate();
        hunks.filter(wanted).map(|(_, (file, hunk))| (*file, hunk.clone())).collect()
    }

    fn part(&self, hunks: &[(usize, Hunk)]) -> Patch {
        let ids: Vec<&str> = hunks.iter().map(|(_, hunk)| hunk.id.as_str()).collect();
        let review = self.engine.review(Some(&self.task().id)).unwrap();
        review.patch.subset(&|hunk| ids.contains(&hunk.id.as_str()))
    }

    fn objection(&self) -> bool {
        let task = self.task();
        self.judge && task.seen && self.objects_to(task.first)
    }

    async fn step(&mut self, op: &Op) {
        let before = self.disk();
        assert_eq!(before, self.files, "something changed a file between two steps");
        match op {
            Op::Propose(charges, objects) => self.propose(charges, *objects).await,
            _ if self.tasks.is_empty() => {}
            Op::Review(hunk, word) => self.review(*hunk, *word).await,
            Op::Earlier(back) => self.at = self.tasks.len().saturating_sub(back + 1),
            Op::Level(check, level) => self.level(*check, *level),
            Op::Waive(check, file, live) => {
                self.waivers.push((*check, *file, *live));
                self.put_waivers();
            }
            Op::Expire => {
                self.waivers.iter_mut().for_each(|(_, _, live)| *live = false);
                self.put_waivers();
            }
            Op::Unwaive => {
                self.waivers.clear();
                self.put_waivers();
            }
            Op::Approve => self.approve(),
            Op::Gate => self.gate().await,
            Op::Apply(mask, dry) => return self.apply(*mask, *dry).await,
            Op::Preview => self.preview(),
            Op::Undo | Op::Redo => return self.turn(matches!(op, Op::Undo)).await,
            Op::Touch(file) => {
                let number = self.number + 1;
                self.number = number;
                let text = text(*file, Charge::Clean, number);
                std::fs::write(self.dir.path().join("root").join(FILES[*file]), &text).unwrap();
                self.charges.insert(text.clone(), Charge::Clean);
                self.files[*file] = text;
                return;
            }
        }
        assert_eq!(self.disk(), before, "{op:?} changed a file");
    }

    async fn propose(&mut self, charges: &[(usize, usize)], objects: bool) {
        let wanted: BTreeMap<usize, usize> = charges.iter().copied().collect();
        let mut hunks = BTreeMap::new();
        let mut answer = String::new();
        for (file, charge) in wanted {
            let before = self.files[file].clone();
            let proposed = self.fresh(file, charge, &before);
            answer.push_str(&format!(
                "{}\n<<<<<<< SEARCH\n{before}=======\n{}>>>>>>> REPLACE\n",
                FILES[file], proposed.1
            ));
            hunks.insert(file, Hunk { id: String::new(), before, proposed, edited: None, rejected: false });
        }
        *self.told.answer.lock().unwrap() = answer;
        *self.told.objects.lock().unwrap() = objects;
        let intent = Intent { words: "change them".into(), ..Intent::default() };
        let assigned = self.engine.assign(intent, None, None).unwrap();
        let task = self.engine.tasks().settled(&assigned.task).await.unwrap();
        let review = self.engine.review(Some(&task.id)).unwrap_or_else(|error| panic!("{error:?} {:?}", task.error));
        for file in review.patch.files() {
            let known = FILES.iter().position(|name| *name == file.path.as_str()).unwrap();
            hunks.get_mut(&known).unwrap().id.clone_from(&file.hunks[0].id);
        }
        let first = FILES.iter().position(|name| *name == review.patch.files()[0].path.as_str()).unwrap();
        let all: Vec<(usize, Hunk)> = hunks.iter().map(|(file, hunk)| (*file, hunk.clone())).collect();
        let plain = self.verdict(&all, false);
        let seen = self.judge && plain != Verdict::Block;
        let (id, seen_unedited, heard) = (task.id.clone(), seen, Vec::new());
        self.tasks.push(Known { id, hunks, objects, seen, seen_unedited, heard, first });
        self.at = self.tasks.len() - 1;
        let report = task.report.unwrap();
        let expected = if self.objection() { Verdict::Block } else { plain };
        assert_eq!(report.verdict == Verdict::Block, expected == Verdict::Block, "{:?}", report.findings);
        assert_eq!((report.patch, report.policy), (review.patch.digest(), self.policy()));
        let order: Vec<&str> = report.checks.iter().map(|run| run.check.as_str()).collect();
        let looked = ["policy", "secrets", "licences", "packages", "owners", "syntax", "sast", "honesty"];
        assert_eq!(order[..looked.len()], looked, "secrets, licences and packages come before anybody sees anything");
        assert_eq!(order[looked.len()..], if seen { vec!["judge"] } else { vec![] });
        assert_eq!(self.recorded("task.gated"), (review.patch.digest().to_string(), self.policy().to_string()));
    }

    /// Patch and policy of the last record of a kind.
    fn recorded(&self, kind: &str) -> (String, String) {
        let tail = self.engine.audit().tail(20).unwrap();
        let (_, about) = tail.iter().rev().find(|(record, _)| record.kind == kind).unwrap();
        let about = about.as_ref().unwrap();
        (
            about["patch"].as_str().unwrap_or_default().to_owned(),
            about["policy"].as_str().unwrap_or_default().to_owned(),
        )
    }

    async fn review(&mut self, hunk: usize, word: Word) {
        let files: Vec<usize> = self.task().hunks.keys().copied().collect();
        let file = files[hunk % files.len()];
        let (task, hunk) = (self.task().id.clone(), self.task().hunks[&file].clone());
        let (judgement, edited, rejected) = match word {
            Word::Accept => (Judgement::Accept, hunk.edited.clone(), false),
            Word::Reject => (Judgement::Reject, hunk.edited.clone(), true),
            Word::Open => (Judgement::Open, None, false),
            Word::Edit(charge) => {
                let edit = self.fresh(file, charge, &hunk.before);
                (Judgement::Edit(edit.1.clone()), Some(edit), false)
            }
        };
        let now = self.engine.review(Some(&task)).unwrap().task;
        let applied = now.state == TaskState::Applied && !now.left.contains(&hunk.id);
        let judged = self.engine.judge_hunk(Some(&task), &hunk.id, judgement).await;
        if applied && edited != hunk.edited {
            assert_eq!(judged.map(|_| ()).unwrap_err().kind, ErrorKind::BadParams, "what is applied is not edited");
            return;
        }
        judged.unwrap();
        let known = &mut self.tasks[self.at];
        let was_edited = known.is_edited();
        let kept = known.hunks.get_mut(&file).unwrap();
        (kept.edited, kept.rejected) = (edited, rejected);
        let text = kept.now().1.clone();
        match (was_edited, known.is_edited()) {
            (false, true) => known.seen_unedited = known.seen,
            // What was said of the edits went with them.
            (true, false) => known.seen = known.seen_unedited,
            _ => {}
        }
        let shown = self.engine.review(Some(&task)).unwrap().patch;
        let shown = shown.files().iter().find(|shown| shown.path.as_str() == FILES[file]).unwrap();
        assert_eq!(shown.after.as_deref(), Some(text.as_bytes()));
    }

    fn level(&mut self, check: usize, level: usize) {
        match LEVELS[level].0 {
            "" => drop(self.levels.remove(CHECKS[check])),
            level => drop(self.levels.insert(CHECKS[check], level)),
        }
        let mut text = "[levels]\n".to_owned();
        for (check, level) in &self.levels {
            text.push_str(&format!("{check} = \"{level}\"\n"));
        }
        std::fs::write(self.dir.path().join("home/policy.toml"), text).unwrap();
    }

    fn put_waivers(&self) {
        let waiver = |(check, file, live): &(usize, usize, bool)| StoredWaiver {
            waiver: Waiver {
                rule: CHECKS[*check].into(),
                path: FILES[*file].into(),
                fingerprint: None,
                reason: "r".into(),
                expires: if *live { "2999-01-01" } else { "2020-01-01" }.parse().unwrap(),
            },
            given: 0,
        };
        let waivers: Vec<StoredWaiver> = self.waivers.iter().map(waiver).collect();
        self.engine.state().put_document("policy", "waivers", &waivers).unwrap();
    }

    fn approve(&mut self) {
        let Ok(patch) = self.engine.wanted(Some(&self.task().id)) else { return };
        let policy = self.engine.rules().standing().unwrap().policy;
        let (key, day) = (KEY.path().join("ann"), "2999-01-01".parse().unwrap());
        approvals::approve(&patch, &policy, "@ann", &key, day, self.engine.settings(), self.engine.state()).unwrap();
        self.approved.insert((patch.digest(), policy.digest()));
    }

    async fn gate(&self) {
        let hunks = self.chosen(None);
        let Ok(patch) = self.engine.wanted(Some(&self.task().id)) else { return };
        let approved = self.approved.contains(&(patch.digest(), self.policy()));
        let report = self.engine.judge_patch(patch.clone(), |_| ()).await.unwrap();
        let expected = self.verdict(&hunks, approved) == Verdict::Block;
        assert_eq!(report.verdict == Verdict::Block, expected, "{:?}", report.findings);
        assert_eq!((report.patch, report.policy), (patch.digest(), self.policy()));
    }

    async fn apply(&mut self, mask: Option<u8>, dry_run: bool) {
        let chosen = self.chosen(mask);
        let ids = chosen.iter().map(|(_, hunk)| hunk.id.clone()).collect::<Vec<_>>();
        let task = self.task().clone();
        let before = self.files.clone();
        let part = if chosen.is_empty() { None } else { Some(self.part(&chosen)) };
        let policy = self.policy();
        let approved = part.as_ref().is_some_and(|part| self.approved.contains(&(part.digest(), policy)));
        let looked = !chosen.is_empty() && self.verdict(&chosen, approved) != Verdict::Block;
        let heard = part.as_ref().is_some_and(|part| task.heard.iter().any(|(digest, _)| *digest == part.digest()));
        let asks = looked && self.judge && !task.seen && !heard;
        // The judge's word is kept with the first file of what it is asked about.
        let first = chosen.iter().map(|(file, _)| FILES[*file]).min().unwrap_or_default();
        let first = FILES.iter().position(|name| *name == first).unwrap_or_default();
        let objects = looked && self.judge && !task.seen && self.objects_to(first);
        *self.told.objects.lock().unwrap() = task.objects;
        let judged = *self.told.judged.lock().unwrap();
        let blocked =
            chosen.is_empty() || self.objection() || objects || self.verdict(&chosen, approved) == Verdict::Block;
        let moved = |(file, hunk): &(usize, Hunk)| before[*file] != hunk.before && before[*file] != hunk.now().1;
        let expected = match blocked || dry_run || chosen.iter().any(moved) {
            true => before.clone(),
            false => {
                let mut after = before.clone();
                chosen.iter().for_each(|(file, hunk)| after[*file].clone_from(&hunk.now().1));
                after
            }
        };
        let wish = ApplyWish { hunks: mask.map(|_| ids), markers: false, dry_run };
        let outcome = self.engine.apply(Some(&task.id), wish, None).await;
        assert_eq!(self.disk(), expected, "{outcome:?}");
        assert_eq!(*self.told.judged.lock().unwrap() - judged, usize::from(asks), "how often the judge was asked");
        if let Some(part) = part.as_ref().filter(|_| asks) {
            let whole = self.engine.review(Some(&task.id)).unwrap().patch.digest() == part.digest();
            let known = &mut self.tasks[self.at];
            known.seen |= whole;
            known.heard.extend((!whole).then(|| (part.digest(), first)));
            if known.heard.len() > 8 {
                known.heard.remove(0);
            }
        }
        match &outcome {
            Ok(_) => assert!(!blocked, "{outcome:?}"),
            Err(error) if blocked && !chosen.is_empty() => assert_eq!(error.kind, ErrorKind::GateFailed, "{error:?}"),
            Err(_) => {}
        }
        if expected != before {
            let (patch, by) = self.recorded("change.intended");
            let part = part.unwrap();
            assert_eq!((patch, by), (part.digest().to_string(), policy.to_string()), "what is on record of the change");
            self.applied += 1;
        }
        self.refused += usize::from(blocked);
        self.files = expected;
    }

    /// Whether the judge objects to the task's change, as the policy of now weighs what it says of a file.
    fn objects_to(&self, first: usize) -> bool {
        self.task().objects && self.weighed("judge", Verdict::Block, first) == Verdict::Block
    }

    fn preview(&mut self) {
        let chosen = self.chosen(None);
        let shown = self.engine.preview(Some(&self.task().id)).unwrap_err();
        let patch = self.engine.wanted(Some(&self.task().id)).ok();
        let digest = patch.map(|patch| patch.digest());
        let approved = digest.is_some_and(|digest| self.approved.contains(&(digest, self.policy())));
        let heard = self.task().heard.iter().find(|(of, _)| digest == Some(*of));
        let unseen = self.judge && !self.task().seen && heard.is_none_or(|(_, first)| self.objects_to(*first));
        let blocked = self.objection() || unseen || self.verdict(&chosen, approved) == Verdict::Block;
        // Where the gate lets it through it comes as far as git, which has no repository here.
        match (chosen.is_empty(), blocked) {
            (true, _) => {}
            (false, true) => assert_eq!(shown.kind, ErrorKind::GateFailed, "{shown:?}"),
            (false, false) => assert!(shown.message.contains("git"), "{shown:?}"),
        }
    }

    /// Whatever the history does, it does to all files of a change or to none, and brings only what was there before.
    async fn turn(&mut self, undo: bool) {
        let before = self.files.clone();
        let outcome = match undo {
            true => self.engine.undo(None, false, None).await,
            false => self.engine.redo(None, false, None).await,
        };
        let after = self.disk();
        let changed: Vec<usize> = (0..FILES.len()).filter(|file| after[*file] != before[*file]).collect();
        let count = outcome.as_ref().map_or(0, |outcome| outcome.applied.files.len());
        assert!(changed.is_empty() || changed.len() == count, "{outcome:?}");
        for file in changed {
            assert!(self.charges.contains_key(&after[file]), "{}", after[file]);
        }
        self.files = after;
    }
}

fn play(sequences: u32) -> (usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: sequences, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let totals = std::cell::Cell::new((0, 0));
    let played = TestRunner::new(config).run(&ops(), |(judge, ops)| {
        runtime.block_on(async {
            let mut world = World::new(judge);
            for op in &ops {
                world.step(op).await;
            }
            let (applied, refused) = totals.get();
            totals.set((applied + world.applied, refused + world.refused));
            assert!(world.engine.audit().verify(&Default::default()).unwrap().sound);
        });
        Ok(())
    });
    played.unwrap_or_else(|error| panic!("{error}"));
    totals.get()
}

#[test]
fn nothing_is_applied_whose_verdict_is_not_of_this_patch_and_this_policy() {
    let sequences = std::env::var("KRINS_GATE_SEQUENCES").ok().and_then(|count| count.parse().ok());
    let sequences: u32 = sequences.unwrap_or(1_000);
    let (applied, refused) = play(sequences);
    let said = format!("{applied} applies changed files, {refused} were refused\n");
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    let enough = sequences as usize / 8;
    assert!(applied > enough && refused > enough, "the sequences say nothing: {said}");
}
