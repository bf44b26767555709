//! `kill -9` of the real process in the middle of a change over many files of a real package: after the next start the tree
//! is wholly what it was or wholly what it should be.
//!
//! 200 random points, and 50 for the sidecar. Half of them are anywhere in the life of the process, half are in
//! the short time in which it writes.

use krins_tests::client::Client;
use krins_tests::command::{command, krins};
use krins_tests::figures::{note, say};
use krins_tests::npm;
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

type Tree = BTreeMap<PathBuf, Vec<u8>>;

const POINTS: usize = 200;

/// xorshift64*: the points must differ, not be secret. The seed is printed with a failure.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = std::env::var("KRINS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(u64::from(now.subsec_nanos()) | 1);
        say(&format!("KRINS_TEST_SEED={seed}"));
        Self(seed)
    }

    /// A part of this time.
    fn part_of(&mut self, time: Duration) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let thousandths = (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % 1000;
        time.mul_f64(thousandths as f64 / 1000.0)
    }
}

/// A package, and a rename of it that is ready to be applied.
struct Scene {
    workspace: Workspace,
    old: Tree,
    new: Tree,
    /// From the start of an apply to its first write, and from there to its end.
    lead: Duration,
    writing: Duration,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    old: usize,
    new: usize,
    /// Trees that were neither before they were recovered: the kill came while files were replaced.
    torn: usize,
    /// Kills that came after the process had ended.
    late: usize,
}

impl Scene {
    fn set() -> Self {
        let workspace = Workspace::empty();
        npm::sources("rxjs", "7.8.2", &workspace);
        let old = workspace.snapshot();
        krins(&workspace, &["assign", "rename operate in src/internal/util/lift.ts to operateKrins"]).expect(0);
        krins(&workspace, &["apply"]).expect(0);
        let new = workspace.snapshot();
        let changed = old.iter().filter(|(path, text)| new.get(*path) != Some(text)).count();
        assert!(changed >= 70, "{changed} files");
        krins(&workspace, &["undo"]).expect(0);
        assert!(workspace.snapshot() == old, "undo restores every byte");
        let mut scene =
            Self { workspace, old, new, lead: Duration::ZERO, writing: Duration::ZERO, seen: Seen::default() };
        scene.measure();
        scene
    }

    /// One whole redo, watched.
    fn measure(&mut self) {
        let before = self.journal();
        let started = Instant::now();
        let mut child =
            command(&self.workspace, &["redo"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.await_writing(&before, &mut child);
        self.lead = started.elapsed();
        assert!(child.wait().unwrap().success());
        self.writing = started.elapsed() - self.lead;
        assert!(self.workspace.snapshot() == self.new, "redo does it again");
        krins(&self.workspace, &["undo"]).expect(0);
    }

    /// The names in the directory of the journal.
    fn journal(&self) -> Vec<PathBuf> {
        let roots = self.workspace.home().join(".local/state/krins/roots");
        let root = fs::read_dir(roots).unwrap().next().unwrap().unwrap().path();
        let mut names: Vec<PathBuf> =
            fs::read_dir(root.join("apply")).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    fn await_writing(&self, before: &[PathBuf], child: &mut std::process::Child) {
        while self.journal() == before && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// What the tree is now: `Some(true)` for new, `Some(false)` for old, `None` for a mixture of whole files.
    fn look(&self) -> Option<bool> {
        let now = self.workspace.snapshot();
        if now == self.old {
            return Some(false);
        }
        if now == self.new {
            return Some(true);
        }
        for (path, bytes) in &now {
            let (old, new) = (self.old.get(path), self.new.get(path));
            let whole = old == Some(bytes) || new == Some(bytes);
            // A file that is being written beside its place has a name of its own.
            assert!(whole || (old.is_none() && new.is_none()), "{} is neither old nor new", path.display());
        }
        let gone = self.old.keys().find(|path| !now.contains_key(*path));
        assert_eq!(gone, None, "a file is gone");
        None
    }

    /// After a kill: looks, starts any command, and looks again. Gives whether the tree is new.
    fn recover(&mut self, at: &str) -> bool {
        let torn = self.look().is_none();
        self.seen.torn += usize::from(torn);
        krins(&self.workspace, &["task", "list", "--json"]).expect(0).json();
        let now = self.workspace.snapshot();
        let strange: Vec<&PathBuf> = now
            .iter()
            .filter(|(path, text)| self.old.get(*path) != Some(text) && self.new.get(*path) != Some(text))
            .map(|(path, _)| path)
            .collect();
        assert!(strange.is_empty(), "{at}: left behind or broken: {strange:?}");
        let is_new = self.look().unwrap_or_else(|| panic!("{at}: the tree is mixed after the restart"));
        if is_new {
            self.seen.new += 1;
        } else {
            self.seen.old += 1;
        }
        is_new
    }

    fn report(&self, what: &str, points: usize) {
        let Seen { old, new, torn, late } = self.seen;
        assert!(torn > 0, "no kill came while files were replaced: the points prove nothing");
        note(&format!(
            "kill -9 of {what} at {points} points ({:?} before and {:?} while writing): {old} times all old, {new} times all new, \
             0 mixed; {torn} were mixed before the restart, {late} kills came too late",
            self.lead, self.writing
        ));
    }
}

/// What is not there yet is applied, what is there is taken back, and either is killed.
#[test]
fn a_killed_command_leaves_all_or_nothing() {
    let (mut scene, mut random) = (Scene::set(), Random::seeded());
    let mut is_new = false;
    for point in 0..POINTS {
        let what = if is_new { "undo" } else { "apply" };
        let before = scene.journal();
        let mut child = command(&scene.workspace, &[what]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let wait = if point % 2 == 0 {
            random.part_of(scene.lead + scene.writing)
        } else {
            scene.await_writing(&before, &mut child);
            random.part_of(scene.writing)
        };
        thread::sleep(wait);
        scene.seen.late += usize::from(child.try_wait().unwrap().is_some());
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
        is_new = scene.recover(&format!("{what} at point {point} ({wait:?})"));
        let state = krins(&scene.workspace, &["task", "show", "--json"]).expect(0).json()["state"].clone();
        let fits = if is_new { state == "applied" } else { state == "ready" || state == "undone" };
        assert!(fits, "point {point}: the tree is {}, the task {state}", if is_new { "new" } else { "old" });
    }
    scene.report("apply and undo", POINTS);
    if !is_new {
        krins(&scene.workspace, &["apply"]).expect(0);
    }
    assert_eq!(scene.look(), Some(true), "it can still be applied");
    krins(&scene.workspace, &["undo"]).expect(0);
    assert_eq!(scene.look(), Some(false), "and taken back");
}

/// The same for the sidecar, which somebody kills while an editor waits for its apply.
#[test]
fn a_killed_sidecar_leaves_all_or_nothing() {
    let (mut scene, mut random) = (Scene::set(), Random::seeded());
    let count = POINTS / 4;
    for point in 0..count {
        let mut client = Client::start(&scene.workspace, Persona::VSCODE);
        // The process is up: what is left is the writing and a little before.
        let before = scene.journal();
        let _unanswered = client.send_request("krins/apply", json!({}));
        let deadline = Instant::now() + Duration::from_secs(20);
        while scene.journal() == before && Instant::now() < deadline {
            thread::sleep(Duration::from_micros(200));
        }
        let wait = random.part_of(scene.writing);
        thread::sleep(wait);
        client.kill();
        client.wait_exit(Duration::from_secs(10)).expect("it was killed");
        drop(client);
        if scene.recover(&format!("sidecar at point {point} ({wait:?})")) {
            krins(&scene.workspace, &["undo"]).expect(0);
        }
        assert_eq!(scene.look(), Some(false));
    }
    scene.report("the sidecar", count);
}
