//! Previews and promotions in repositories of git's: what is run is what is promoted, and what a person did stays.

use super::*;
use crate::pipeline::Intent;
use crate::settings::Settings;
use crate::tasks::HunkVerdict;
use crate::workspace::Root;
use async_trait::async_trait;
use krins_backend::{Ask, Backend, BackendError, ProgressSink, Proposal};
use krins_core::patch::Change as Edit;
use krins_core::text::Encoding;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Is never asked for an answer that there is.
struct Nobody;

#[async_trait]
impl Backend for Nobody {
    async fn ask(&self, _: Ask, _: ProgressSink) -> Result<Proposal, BackendError> {
        Err(BackendError::new(ErrorKind::ProviderRefused, "ask: nobody is there"))
    }

    fn route(&self) -> String {
        "fake/m".into()
    }

    fn is_builtin(&self) -> bool {
        true
    }

    fn forget(&self, _: &Ask) {}

    fn cache_counts(&self) -> (u64, u64) {
        (0, 0)
    }
}

struct Scene {
    dir: tempfile::TempDir,
    engine: Engine,
}

const A: &str = "export const a = 1;\n";
const B: &str = "export const b = 1;\n";

/// A repository with two files in one commit, and a task `t` that changes both and adds a third.
fn scene() -> Scene {
    let scene = scene_below("");
    scene.git(&["init", "-q", "-b", "main"]);
    scene.commit("first");
    scene.propose("t", &["src/a.ts", "src/b.ts"]);
    scene
}

/// The root with its files, so far below the place that git is asked in.
fn scene_below(below: &str) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("work").join(below);
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(root.join("src/a.ts"), A).unwrap();
    fs::write(root.join("src/b.ts"), B).unwrap();
    fs::write(root.join(".gitignore"), "node_modules\n").unwrap();
    let root = Root::open(&root).unwrap();
    let state = StateDir::open_at(&dir.path().join("state"), &root).unwrap();
    let engine = Engine::open(root, state, Arc::new(Settings::default()), Arc::new(Nobody), Encoding::Utf8).unwrap();
    Scene { dir, engine }
}

impl Scene {
    fn git_in(&self, dir: &Path, words: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.com"]).args(words).current_dir(dir);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let done = git.output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn git(&self, words: &[&str]) -> String {
        self.git_in(&self.dir.path().join("work"), words)
    }

    fn commit(&self, message: &str) -> String {
        self.git(&["config", "user.name", "x"]);
        self.git(&["config", "user.email", "x@example.com"]);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// A task that has an answer: `1` becomes `2` in each file, and there is a new one.
    fn propose(&self, id: &str, files: &[&str]) {
        let bytes = |text: String| Some(Arc::from(text.into_bytes()));
        let edit = |path: &&str| {
            let before = fs::read_to_string(self.engine.root().path().join(path)).unwrap();
            let after = before.replace('1', "2");
            let path = RelPath::new(path).unwrap();
            Edit { path, from: None, before: bytes(before), after: bytes(after), executable: false }
        };
        let path = RelPath::new("src/new/c.ts").unwrap();
        let added = bytes("export const c = 2;\n".into());
        let new = Edit { path, from: None, before: None, after: added, executable: false };
        let patch = Patch::between(files.iter().map(edit).chain([new]).collect());
        let files = self.engine.store_files(&patch).unwrap();
        self.engine.tasks().assign(Some(id.into()), "count on", 1, None).unwrap();
        let ready = |task: &mut crate::tasks::Task| {
            task.files = files;
            task.state = TaskState::Ready;
        };
        self.engine.tasks().update(id, ready).unwrap();
    }

    fn preview(&self) -> Result<Preview> {
        self.engine.preview(Some("t"))
    }

    fn promote(&self) -> Promoted {
        self.engine.promote(Some("t")).unwrap()
    }

    fn reject(&self, path: &str) {
        let patch = self.engine.review(Some("t")).unwrap().patch;
        let hunk = patch.files().iter().find(|file| file.path.as_str() == path).unwrap().hunks[0].id.clone();
        self.engine.tasks().update("t", |task| task.verdicts.extend([(hunk, HunkVerdict::Reject)])).unwrap();
    }

    /// The tree of everything that is in the worktree, and not ignored.
    fn tree_in(&self, worktree: &Path) -> String {
        let index = self.dir.path().join("looked");
        let _ = fs::remove_file(&index);
        let run = |words: &[&str]| {
            let mut git = Command::new("git");
            let done = git.args(words).current_dir(worktree).env("GIT_INDEX_FILE", &index).output().unwrap();
            assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap().trim().to_owned()
        };
        run(&["add", "-A"]);
        run(&["write-tree"])
    }

    fn tree_of(&self, commit: &str) -> String {
        self.git(&["rev-parse", &format!("{commit}^{{tree}}")])
    }

    fn conflict(&self, worktree: &Path) {
        let refused = self.preview().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict, "{refused:?}");
        assert!(refused.message.contains(&worktree.display().to_string()), "{refused:?}");
        assert!(refused.hint.unwrap().contains("git worktree remove"));
    }
}

#[test]
fn a_preview_makes_no_branch_and_what_it_holds_is_what_is_promoted() {
    let scene = scene();
    let made = scene.preview().unwrap();
    let dir = scene.engine.state().path().join("previews/t");
    assert_eq!((made.branch.as_str(), made.worktree.as_os_str()), ("krins/t", dir.as_os_str()));
    assert_eq!(scene.git(&["branch", "--format=%(refname:short)"]), "main");
    assert_eq!(scene.git_in(&made.worktree, &["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    let run = scene.tree_in(&made.worktree);
    assert_eq!(scene.preview().unwrap(), made, "again it is the same");
    let promoted = scene.promote();
    assert_eq!((promoted.branch.as_str(), &promoted.kept), ("krins/t", &None));
    assert_eq!(scene.tree_of(&promoted.commit), run);
    assert_eq!(scene.git(&["rev-parse", "krins/t^"]), scene.git(&["rev-parse", "main"]));
    assert!(!made.worktree.exists());
    assert_eq!(scene.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(scene.promote(), promoted, "no second commit of the same");
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
}

/// Whatever was said or committed since: an earlier preview is not shown for the change that it is now.
#[test]
fn what_is_run_is_the_change_as_it_is_now() {
    let scene = scene();
    let made = scene.preview().unwrap();
    scene.reject("src/b.ts");
    assert_eq!(scene.preview().unwrap(), made);
    assert_eq!(fs::read_to_string(made.worktree.join("src/b.ts")).unwrap(), B, "rejected");
    let head = {
        fs::write(scene.dir.path().join("work/README.md"), "read me\n").unwrap();
        scene.commit("second")
    };
    scene.preview().unwrap();
    assert_eq!(scene.git_in(&made.worktree, &["rev-parse", "HEAD"]), head);
    assert!(made.worktree.join("README.md").is_file());
    let run = scene.tree_in(&made.worktree);
    assert_eq!(scene.tree_of(&scene.promote().commit), run);
}

#[test]
fn what_a_person_did_in_a_preview_stays() {
    let write = |path: &'static str, text: &'static str| {
        move |_: &Scene, worktree: &Path| fs::write(worktree.join(path), text).unwrap()
    };
    type Work = Box<dyn Fn(&Scene, &Path)>;
    let works: [(&str, Work); 6] = [
        ("edits a file", Box::new(write("src/a.ts", "export const a = 3;\n"))),
        ("edits a file that the change leaves alone", Box::new(write(".gitignore", "dist\n"))),
        ("writes a file", Box::new(write("src/mine.ts", "export {};\n"))),
        ("deletes a file", Box::new(|_, worktree| fs::remove_file(worktree.join("src/b.ts")).unwrap())),
        (
            "commits",
            Box::new(|scene, worktree| {
                scene.git_in(worktree, &["add", "-A"]);
                scene.git_in(worktree, &["commit", "-q", "-m", "mine"]);
            }),
        ),
        (
            "has something in the index alone",
            Box::new(|scene, worktree| {
                let after = fs::read_to_string(worktree.join("src/a.ts")).unwrap();
                fs::write(worktree.join("src/a.ts"), "staged\n").unwrap();
                scene.git_in(worktree, &["add", "src/a.ts"]);
                fs::write(worktree.join("src/a.ts"), after).unwrap();
            }),
        ),
    ];
    for (what, work) in works {
        let scene = scene();
        let made = scene.preview().unwrap();
        let untouched = scene.tree_in(&made.worktree);
        work(&scene, &made.worktree);
        let before = scene.tree_in(&made.worktree);
        assert_eq!(scene.preview().unwrap(), made, "{what}: the change is the same");
        let promoted = scene.promote();
        assert_eq!(promoted.kept.as_ref(), Some(&made.worktree), "{what}");
        assert_eq!(scene.tree_of(&promoted.commit), untouched, "{what}: the commit is the change alone");
        scene.reject("src/b.ts");
        scene.conflict(&made.worktree);
        scene.engine.discard(Some("t")).unwrap();
        assert_eq!(scene.tree_in(&made.worktree), before, "{what}");
        assert_eq!(scene.git(&["branch", "--list", "krins/*", "--format=%(refname:short)"]), "krins/t");
    }
}

#[test]
fn what_ignore_rules_keep_out_and_a_staged_change_hold_nothing_up() {
    let scene = scene();
    let made = scene.preview().unwrap();
    fs::create_dir(made.worktree.join("node_modules")).unwrap();
    fs::write(made.worktree.join("node_modules/x.js"), "x").unwrap();
    scene.git_in(&made.worktree, &["add", "-A"]);
    assert_eq!(scene.promote().kept, None);
    assert!(!made.worktree.exists());
}

#[test]
fn no_commit_is_taken_from_a_branch() {
    let scene = scene();
    let first = scene.promote();
    scene.reject("src/b.ts");
    let second = scene.promote();
    assert_eq!((first.branch.as_str(), second.branch.as_str()), ("krins/t", "krins/t-2"));
    assert_eq!(scene.git(&["rev-parse", "krins/t"]), first.commit);
    // A person's commit on it.
    scene.git(&["switch", "-q", "krins/t-2"]);
    let mine = scene.commit("mine");
    scene.git(&["switch", "-q", "main"]);
    let third = scene.promote();
    assert_eq!(third.branch, "krins/t-3");
    assert_eq!(scene.git(&["rev-parse", "krins/t-2"]), mine);
    assert_eq!(scene.preview().unwrap().branch, "krins/t-3", "it is the change already");
    // One that stands on what is checked out loses nothing when it moves on.
    scene.git(&["branch", "-f", "krins/t", "main"]);
    assert_eq!(scene.preview().unwrap().branch, "krins/t");
    let beside = scene.dir.path().join("beside");
    scene.git(&["worktree", "add", "-q", beside.to_str().unwrap(), "krins/t"]);
    assert_eq!(scene.promote().branch, "krins/t-3", "what is checked out is not moved");
    scene.git(&["worktree", "remove", beside.to_str().unwrap()]);
    scene.git(&["symbolic-ref", "refs/heads/krins/t", "refs/heads/main"]);
    let main = scene.git(&["rev-parse", "main"]);
    assert_eq!((scene.promote().branch.as_str(), scene.git(&["rev-parse", "main"])), ("krins/t-3", main));
}

/// Somebody makes the branch between the look at it and its move.
#[test]
fn a_branch_that_came_in_between_is_not_moved() {
    let scene = scene();
    let (_, patch) = scene.engine.gated_change(Some("t")).unwrap();
    let place = scene.engine.place("t", PATIENCE).unwrap();
    let change = place.change(&patch).unwrap();
    let Name::Free { branch, tip } = place.name(&change).unwrap() else { panic!("there is no branch") };
    assert_eq!((branch.as_str(), tip.as_str()), ("krins/t", ""));
    let theirs = scene.git(&["commit-tree", "main^{tree}", "-p", "main", "-m", "theirs"]);
    scene.git(&["branch", "krins/t", &theirs]);
    let ours = scene.git(&["commit-tree", &change.tree, "-p", &change.base, "-m", "ours"]);
    assert!(place.move_branch(&branch, &ours, &tip).is_err());
    let (branch, _) = place.commit(&change, "ours").unwrap();
    assert_eq!((branch.as_str(), scene.git(&["rev-parse", "krins/t"])), ("krins/t-2", theirs));
}

/// Cut off at any of its steps: it is made anew, unless somebody else's work is in it.
#[test]
fn a_preview_that_is_half_made_is_made_anew() {
    type Cut = fn(&Place<'_>, &Change);
    let added = |place: &Place<'_>, change: &Change| {
        let dir = place.dir.to_str().unwrap();
        place.git.run(&["worktree", "add", "-q", "--detach", "--no-checkout", dir, &change.base]).unwrap();
    };
    let cuts: [(&str, Cut); 5] = [
        ("on record", |_, _| ()),
        ("an empty directory", |place, _| fs::create_dir(&place.dir).unwrap()),
        ("on git's list", added),
        ("locked by git", |place, change| {
            let dir = place.dir.to_str().unwrap();
            let add = ["worktree", "add", "-q", "--lock", "--detach", "--no-checkout", dir, &change.base];
            place.git.run(&add).unwrap();
        }),
        ("some files", |place, change| {
            let dir = place.dir.to_str().unwrap();
            place.git.run(&["worktree", "add", "-q", "--detach", dir, &change.base]).unwrap();
            fs::remove_file(place.dir.join("src/b.ts")).unwrap();
            fs::write(place.dir.join("src/a.ts"), A.replace('1', "2")).unwrap();
        }),
    ];
    for (what, cut) in cuts {
        let scene = scene();
        let (_, patch) = scene.engine.gated_change(Some("t")).unwrap();
        let place = scene.engine.place("t", PATIENCE).unwrap();
        let change = place.change(&patch).unwrap();
        let half = Made { base: change.base.clone(), tree: change.tree.clone(), whole: false };
        place.state.put_document(MADE, "t", &half).unwrap();
        cut(&place, &change);
        let dir = place.dir.clone();
        drop(place);
        if what == "some files" {
            fs::write(dir.join("src/a.ts"), "mine\n").unwrap();
            scene.conflict(&dir);
            fs::write(dir.join("src/a.ts"), A).unwrap();
            fs::write(dir.join("src/mine.ts"), "mine\n").unwrap();
            scene.conflict(&dir);
            fs::remove_file(dir.join("src/mine.ts")).unwrap();
        }
        let made = scene.preview().unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let run = scene.tree_in(&made.worktree);
        let promoted = scene.promote();
        assert_eq!((scene.tree_of(&promoted.commit), promoted.kept), (run, None), "{what}");
    }
}

#[test]
fn a_directory_that_is_no_preview_is_left_alone() {
    let scene = scene();
    let dir = scene.engine.state().subdir("previews").unwrap().join("t");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("mine"), "mine").unwrap();
    scene.conflict(&dir);
    assert_eq!(scene.promote().kept, Some(dir.clone()));
    assert_eq!(fs::read_to_string(dir.join("mine")).unwrap(), "mine");
    fs::remove_dir_all(&dir).unwrap();
    scene.preview().unwrap();
    fs::remove_file(dir.join(".git")).unwrap();
    assert_eq!(scene.promote().kept, Some(dir), "it is none of git's any more");
    // Git is not asked about a repository that happens to be around it, nor about another one.
    let (git, _) = Git::around(scene.engine.root().path()).unwrap();
    assert!(git.beside(&scene.engine.root().path().join("src")).is_err());
    let other = scene.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    scene.git_in(&other, &["init", "-q"]);
    assert!(git.beside(&other).is_err());
}

#[test]
fn a_deleted_preview_is_made_anew_and_other_worktrees_stay_on_gits_list() {
    let scene = scene();
    let elsewhere = scene.dir.path().join("elsewhere");
    scene.git(&["worktree", "add", "-q", "--detach", elsewhere.to_str().unwrap()]);
    // Like a disk that is not there at the moment.
    fs::rename(&elsewhere, scene.dir.path().join("unplugged")).unwrap();
    let made = scene.preview().unwrap();
    fs::remove_dir_all(&made.worktree).unwrap();
    assert_eq!(scene.preview().unwrap(), made);
    assert!(made.worktree.join("src/new/c.ts").is_file());
    assert!(scene.git(&["worktree", "list"]).contains("elsewhere"));
}

#[tokio::test]
async fn a_preview_goes_with_its_task_and_a_branch_never_does() {
    let scene = scene();
    let made = scene.preview().unwrap();
    scene.engine.discard(Some("t")).unwrap();
    assert!(!made.worktree.exists());
    assert_eq!(scene.git(&["worktree", "list"]).lines().count(), 1);
    // The history forgets the oldest tasks.
    scene.propose("old", &["src/a.ts"]);
    scene.propose("worked-in", &["src/a.ts"]);
    scene.engine.promote(Some("old")).unwrap();
    let [old, worked] = ["old", "worked-in"].map(|id| scene.engine.preview(Some(id)).unwrap().worktree);
    fs::write(worked.join("mine"), "mine").unwrap();
    for number in 0..210 {
        let id = format!("n{number}");
        scene.engine.tasks().assign(Some(id.clone()), "x", 10 + number, None).unwrap();
        scene.engine.tasks().update(&id, |task| task.state = TaskState::Failed).unwrap();
    }
    assert!(scene.engine.tasks().get("old").is_err() && old.is_dir());
    let asked = Intent { words: "rename a to b".into(), ..Intent::default() };
    let assigned = scene.engine.assign(asked, None, None).unwrap();
    scene.engine.tasks().settled(&assigned.task).await.unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while old.exists() || !scene.engine.state().documents(MADE).is_empty() {
        assert!(Instant::now() < until, "the preview of a forgotten task stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fs::read_to_string(worked.join("mine")).unwrap(), "mine");
    assert_eq!(scene.git(&["branch", "--list", "krins/*", "--format=%(refname:short)"]), "krins/old");
}

#[test]
fn a_root_below_the_top_of_a_repository_is_a_part_of_it() {
    let scene = scene_below("packages/app");
    fs::write(scene.dir.path().join("work/top.md"), "top\n").unwrap();
    let refused = |scene: &Scene| {
        let refused = scene.preview().unwrap_err();
        (refused.message, refused.hint.unwrap())
    };
    scene.propose("t", &["src/a.ts", "src/b.ts"]);
    let (said, hint) = refused(&scene);
    assert!(said.contains("not a git repository") && hint.contains("git init"), "{said} {hint}");
    scene.git(&["init", "-q", "-b", "main"]);
    let (said, hint) = refused(&scene);
    assert!(said.contains("no commit") && hint.contains("git commit"), "{said} {hint}");
    scene.git(&["-c", "user.name=x", "commit", "-q", "--allow-empty", "-m", "nothing"]);
    let (said, hint) = refused(&scene);
    assert!(said.contains("packages/app is committed") && hint.contains("git init"), "{said} {hint}");
    scene.commit("first");
    let made = scene.preview().unwrap();
    let top = scene.engine.state().path().join("previews/t");
    assert_eq!(made.worktree, top.join("packages/app"));
    assert_eq!(fs::read_to_string(made.worktree.join("src/a.ts")).unwrap(), A.replace('1', "2"));
    assert_eq!(fs::read_to_string(top.join("top.md")).unwrap(), "top\n");
    let run = scene.tree_in(&top);
    let promoted = scene.promote();
    assert_eq!((scene.tree_of(&promoted.commit), promoted.kept), (run, None));
    let changed = scene.git(&["diff", "--name-only", "main", "krins/t"]);
    assert_eq!(changed, "packages/app/src/a.ts\npackages/app/src/b.ts\npackages/app/src/new/c.ts");
    assert!(!top.exists());
    // What lies outside of the root is the person's all the same.
    scene.preview().unwrap();
    fs::write(top.join("top.md"), "mine\n").unwrap();
    assert_eq!(scene.promote().kept, Some(top));
}

/// By its attributes or its configuration; what is committed with the line ends of Windows is left alone.
#[test]
fn line_ends_that_git_converts_are_committed_as_git_would() {
    let cases = [
        ("by attributes", "*.ts text eol=crlf\n", ["false", "false"], A.len()),
        ("by configuration", "", ["true", "true"], A.len()),
        ("committed before that", "", ["false", "true"], A.len() + 1),
    ];
    for (what, attributes, [before, now], size) in cases {
        let scene = scene_below("");
        let work = scene.dir.path().join("work");
        scene.git(&["init", "-q", "-b", "main"]);
        fs::write(work.join(".gitattributes"), attributes).unwrap();
        fs::write(work.join("src/a.ts"), A.replace('\n', "\r\n")).unwrap();
        scene.git(&["config", "core.autocrlf", before]);
        scene.commit("first");
        scene.git(&["config", "core.autocrlf", now]);
        scene.propose("t", &["src/a.ts", "src/b.ts"]);
        let made = scene.preview().unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let shown = fs::read_to_string(made.worktree.join("src/a.ts")).unwrap();
        assert_eq!(shown, "export const a = 2;\r\n", "{what}");
        let promoted = scene.promote();
        assert_eq!(promoted.kept, None, "{what}: nobody did anything in it");
        let committed = |file: &str| scene.git(&["cat-file", "-s", &format!("{}:{file}", promoted.commit)]);
        assert_eq!(committed("src/a.ts"), size.to_string(), "{what}");
        assert_eq!(committed("src/b.ts"), B.len().to_string(), "{what}");
        let changed = scene.git(&["diff", "--name-only", "main", &promoted.commit]);
        assert_eq!(changed, "src/a.ts\nsrc/b.ts\nsrc/new/c.ts", "{what}");
        fs::write(work.join("src/a.ts"), "export const a = 11;\r\n").unwrap();
        scene.propose("later", &["src/a.ts"]);
        let refused = scene.engine.preview(Some("later")).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict, "{what}: {refused:?}");
    }
}

#[test]
fn one_preview_of_a_task_at_a_time() {
    let scene = scene();
    let turn = scene.engine.state().hold("preview-t").unwrap().unwrap();
    let refused = scene.engine.place("t", Duration::from_millis(50)).err().unwrap();
    assert_eq!(refused.kind, ErrorKind::LockHeld);
    std::thread::scope(|scope| {
        let made = scope.spawn(|| scene.preview());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!made.is_finished());
        drop(turn);
        assert!(made.join().unwrap().is_ok());
    });
}

/// A filter whose name a command line cannot say cannot be switched off.
#[test]
fn a_filter_that_cannot_be_switched_off_is_refused() {
    let scene = scene();
    scene.git(&["config", "filter.a=b.smudge", "touch ran; cat"]);
    fs::write(scene.dir.path().join("work/.git/info/attributes"), "* filter=a=b\n").unwrap();
    let refused = scene.preview().unwrap_err();
    assert!(refused.message.contains("filter"), "{refused:?}");
    assert!(!scene.engine.state().path().join("previews/t").exists());
}
