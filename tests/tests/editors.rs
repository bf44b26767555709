//! The journey in real editors without a plugin of ours: two Helixes in a terminal, two Emacsen with Eglot in batch, and, with
//! `KRINS_TEST_FULL=1`, a Kakoune with kakoune-lsp in a terminal.
//!
//! They are set up as their pages say, with the very files and blocks that stand there. What cannot be had is skipped, and the test
//! says why. `KRINS_SCREENS` names a directory that gets the screens of Helix, as the page shows them.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use krins_tests::terminal::Terminal;
use krins_tests::{binary, command, debian, figures, kept, model, suite, workspace::Workspace};

const PATIENCE: Duration = Duration::from_secs(300);
const OPEN: &str = "src/store/selectors.ts";
const CLOSED: &str = "src/stats.ts";
const RENAME: &str = "rename calculateProgress to completionRate";

#[test]
fn helix_of_debian_stable() {
    helix("trixie");
}

#[test]
fn the_next_helix() {
    helix("forky");
}

#[test]
fn emacs_of_this_system() {
    let program = "emacs";
    if !debian::runs(program) || !Path::new(ELPA).is_dir() {
        debian::install(&["emacs-nox", "elpa-eglot"]);
    }
    if !debian::runs(program) {
        debian::say("skipped: there is no Emacs, and it could not be installed here");
        return;
    }
    let packages = fs::read_dir(ELPA).into_iter().flatten().flatten().map(|entry| entry.path());
    let load = packages.flat_map(|path| ["-L".to_owned(), path.display().to_string()]).collect::<Vec<_>>();
    emacs(|| {
        let mut command = Command::new(program);
        command.args(["-Q", "--batch"]).args(&load);
        command
    });
}

#[test]
fn emacs_of_debian_stable() {
    match suite::program("trixie", "emacs-nox") {
        Ok(program) => emacs(|| unpacked(&program)),
        Err(why) => debian::say(&format!("skipped: no newer Emacs: {why}")),
    }
}

#[test]
fn kakoune_of_debian_stable() {
    match (suite::program("trixie", "kak"), kakoune_lsp()) {
        (Ok(kak), Ok(lsp)) if terminals() => kakoune(&kak, &lsp),
        (Err(why), _) | (_, Err(why)) => debian::say(&format!("skipped: no Kakoune with a language client: {why}")),
        _ => debian::say("skipped: there is no tmux, and it could not be installed here"),
    }
}

/// What no test can start is at least what its editor can read.
#[test]
fn the_pages_configurations_are_well_formed() {
    for page in ["kate.md", "zed.md"] {
        let text = fs::read_to_string(repository().join("docs/editors").join(page)).expect("the page is there");
        let block = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has one");
        let parsed: serde_json::Value = serde_json::from_str(block).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(parsed.to_string().contains(r#""lsp","--stdio""#), "{page}");
    }
}

/// Where Debian's packages of Emacs Lisp lie.
const ELPA: &str = "/usr/share/emacs/site-lisp/elpa";

/// An Emacs that lies elsewhere than it was built for has to be told where its own files are.
fn unpacked(program: &Path) -> Command {
    let root = program.ancestors().nth(3).expect("root/usr/bin/program");
    let share = only(&root.join("usr/share/emacs"), |name| name.starts_with(|first: char| first.is_ascii_digit()));
    let mut lisp = vec![share.join("lisp")];
    let mut at = 0;
    while let Some(directory) = lisp.get(at) {
        let below = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let below: Vec<PathBuf> = below.filter(|path| path.is_dir()).collect();
        lisp.extend(below);
        at += 1;
    }
    let image = only(&only(&root.join("usr/libexec/emacs"), |_| true), |_| true);
    let mut command = Command::new(program);
    command.arg(format!("--dump-file={}", only(&image, |name| name.ends_with(".pdmp")).display()));
    command.args(["-Q", "--batch"]);
    command.env("EMACSLOADPATH", std::env::join_paths(lisp).expect("no path has a colon"));
    command.env("EMACSDATA", share.join("etc")).env("EMACSDOC", share.join("etc"));
    command
}

/// The one entry of a directory whose name fits.
fn only(directory: &Path, fits: impl Fn(&str) -> bool) -> PathBuf {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("failed to read {}: {error}", directory.display()));
    let mut paths = entries.flatten().map(|entry| entry.path());
    let found = paths.find(|path| fits(&path.file_name().unwrap_or_default().to_string_lossy()));
    found.unwrap_or_else(|| panic!("nothing in {} fits", directory.display()))
}

/// The journey, then a cancel; the configuration is the page's.
fn emacs(program: impl Fn() -> Command) {
    for slow in [false, true] {
        let workspace = sample();
        let _silent = slow.then(|| model::Silent::behind(&workspace));
        let mut command = program();
        command.arg("-l").arg(repository().join("tests/editors/emacs.el"));
        let kept: Vec<_> = ["EMACSLOADPATH", "EMACSDATA", "EMACSDOC"]
            .iter()
            .filter_map(|name| {
                let value = command.get_envs().find(|(known, _)| known == name)?.1?.to_owned();
                Some((*name, value))
            })
            .collect();
        command.env_clear().envs(kept).envs(environment(&workspace)).env("APP", workspace.root());
        command.env("PAGE", repository().join("docs/editors/emacs.md")).current_dir(workspace.root());
        if slow {
            command.env("SLOW", "1");
        }
        let (status, said) = command::ended(&mut command, PATIENCE);
        assert!(status.success() && said.contains("ok - ") && !said.contains("not ok"), "{status}:\n{said}");
    }
}

/// A Helix in a terminal.
struct Helix {
    terminal: Terminal,
    workspace: Workspace,
    /// What its screens are called.
    suite: &'static str,
}

/// Whether a file on disk holds a text. An editor that keeps the old one takes it away for a moment while it saves.
fn holds(workspace: &Workspace, path: &str, text: &str) -> bool {
    fs::read_to_string(workspace.path(path)).is_ok_and(|now| now.contains(text))
}

impl Helix {
    /// Starts it at the sample with the configuration of `editors/helix`.
    fn start(program: &Path, suite: &'static str, workspace: Workspace) -> Self {
        let config = workspace.home().join(".config/helix");
        fs::create_dir_all(&config).expect("the home is ours");
        for file in ["languages.toml", "config.toml"] {
            fs::copy(repository().join("editors/helix").join(file), config.join(file))
                .expect("the page's files are there");
        }
        let base = workspace.home();
        let (program, root) = (program.display().to_string(), workspace.root().to_owned());
        let terminal = Terminal::start(&base, &root, [100, 28], &environment(&workspace), &[&program, OPEN]);
        terminal.await_text("selectors.ts");
        Self { terminal, workspace, suite }
    }

    /// A `:` command.
    fn command(&self, text: &str) {
        self.terminal.press(&["Escape"]);
        self.terminal.type_text(&format!(":{text}"));
        self.terminal.press(&["Enter"]);
    }

    /// Opens the menu of code actions until an action is in it, and keeps its screen.
    fn menu(&self, title: &str, screen: &str) {
        let opened = self.terminal.until(|shown| {
            if shown.contains(title) {
                return true;
            }
            // The server may still be starting, or the task be at work: the menu is asked for again.
            self.terminal.press(&["Escape", "Space", "a"]);
            std::thread::sleep(Duration::from_millis(400));
            false
        });
        assert!(opened, "{title:?} is not offered; the screen is\n{}", self.terminal.screen());
        self.keep(screen);
    }

    /// Chooses an action of the menu.
    fn choose(&self, title: &str, screen: &str) {
        self.menu(title, screen);
        let shown = self.terminal.screen();
        let above = shown.lines().filter(|line| line.contains("Krins: ")).position(|line| line.contains(title));
        // The first is chosen when the menu opens.
        for _ in 0..above.expect("it is on the screen") {
            self.terminal.press(&["Down"]);
        }
        self.terminal.press(&["Enter"]);
    }

    fn keep(&self, screen: &str) {
        if let Some(directory) = std::env::var_os("KRINS_SCREENS").filter(|_| !screen.is_empty()) {
            let path = PathBuf::from(directory).join(format!("{}-{screen}.txt", self.suite));
            fs::write(&path, self.terminal.screen() + "\n")
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// Waits until a file on disk holds a text.
    fn await_file(&self, path: &str, text: &str) {
        let there = self.terminal.until(|_| holds(&self.workspace, path, text));
        assert!(there, "{path} does not get {text:?}; the screen is\n{}", self.terminal.screen());
    }

    /// Writes the comment above the first line.
    fn ask_by_comment(&self, words: &str) {
        self.command("goto 1");
        self.terminal.press(&["O"]);
        self.terminal.type_text(&format!("// krins: {words}"));
        self.terminal.press(&["Escape"]);
        self.terminal.await_text(&format!("// krins: {words}"));
    }

    fn quit(self) {
        self.command("quit-all!");
        let left = self.terminal.until(|_| !self.terminal.runs());
        assert!(left, "it does not leave; the screen is\n{}", self.terminal.screen());
    }
}

fn helix(suite: &'static str) {
    let program = match suite::program(suite, "hx") {
        Ok(program) => program,
        Err(why) => return debian::say(&format!("skipped: no Helix of {suite}: {why}")),
    };
    if !terminals() {
        return debian::say("skipped: there is no tmux, and it could not be installed here");
    }
    helix_journey(&program, suite);
    helix_cancel(&program, suite);
}

fn terminals() -> bool {
    if !debian::runs_with("tmux", "-V") {
        debian::install(&["tmux"]);
    }
    debian::runs_with("tmux", "-V")
}

fn helix_journey(program: &Path, suite: &'static str) {
    let workspace = sample();
    let (open, closed) = (workspace.read(OPEN), workspace.read(CLOSED));
    let helix = Helix::start(program, suite, workspace);
    helix.ask_by_comment(RENAME);
    helix.choose("Krins: rename", "ask");
    helix.terminal.await_text("is ready");
    helix.keep("ready");
    assert_eq!(helix.workspace.read(CLOSED), closed, "nothing is written before the word");

    helix.choose("Krins: show the diff", "");
    helix.terminal.await_text("diff --git");
    helix.keep("diff");
    helix.command("buffer-close");
    helix.terminal.await_text("selectors.ts");
    // The import, below the comment.
    helix.command("goto 5");
    helix.choose("Krins: reject this hunk", "decide");
    helix.choose("Krins: take back the rejection", "");
    helix.menu("Krins: reject this hunk", "");
    helix.choose("Krins: apply the change", "");
    helix.await_file(CLOSED, "completionRate");
    helix.terminal.await_text("import { completionRate");
    helix.terminal.await_text("1 buffer is unsaved");
    helix.keep("applied");
    assert_eq!(helix.workspace.read(OPEN), open, "an open file is the editor's to save");
    helix.command("write");
    helix.await_file(OPEN, "import { completionRate");

    helix.choose("Krins: undo", "undo");
    helix.await_file(CLOSED, &closed);
    helix.terminal.await_text("import { calculateProgress");
    helix.command("write");
    helix.await_file(OPEN, &open);
    // 25.01 opens a picker, and takes no object.
    if suite != "trixie" {
        by_command(&helix, &closed);
    }
    helix.quit();
}

/// Everything without the menu.
fn by_command(helix: &Helix, closed: &str) {
    // The editor drops what a command answers: it is told.
    helix.command("lsp-workspace-command krins.status {}");
    helix.terminal.await_text("asks: builtin");
    helix.command("buffer-close");
    helix.command(&format!("lsp-workspace-command krins.context {{\"intent\": \"{RENAME}\"}}"));
    helix.terminal.await_text("would be sent");
    helix.terminal.await_text("tokens  src/model/progress.ts");
    helix.command("buffer-close");
    helix.command("lsp-workspace-command krins.fix {}");
    helix.terminal.await_text("failed to");
    helix.command(&format!("lsp-workspace-command krins.assign {{\"intent\": \"{RENAME}\"}}"));
    helix.terminal.await_text("is ready");
    helix.command("lsp-workspace-command krins.apply {}");
    helix.await_file(CLOSED, "completionRate");
    helix.command("lsp-workspace-command krins.undo {}");
    helix.await_file(CLOSED, closed);
    helix.command("lsp-workspace-command krins.assign {\"intent\": \"make the sky blue\"}");
    helix.terminal.await_text("without a model");
}

fn helix_cancel(program: &Path, suite: &'static str) {
    let workspace = sample();
    let _silent = model::Silent::behind(&workspace);
    let helix = Helix::start(program, suite, workspace);
    let before = helix.workspace.snapshot();
    helix.ask_by_comment("sort the views by name");
    helix.choose("Krins: sort", "");
    helix.choose("Krins: cancel", "cancel");
    helix.terminal.await_text("was cancelled");
    assert_eq!(helix.workspace.snapshot(), before);
    helix.quit();
}

/// The version of kakoune-lsp that is played.
const KAKOUNE_LSP: &str = "22.0.0";

/// kakoune-lsp, which takes minutes to build: once, and where everything was asked for.
fn kakoune_lsp() -> Result<PathBuf, String> {
    let store = kept::store("krins-kakoune-lsp");
    let program = store.join("bin/kak-lsp");
    let _lock = kept::lock(&store);
    if program.is_file() {
        return Ok(program);
    }
    if !figures::is_full() {
        return Err("kakoune-lsp takes minutes to build: KRINS_TEST_FULL=1 does".to_owned());
    }
    let mut command = Command::new("cargo");
    command.args(["install", "--quiet", "--locked", "--version", KAKOUNE_LSP, "kak-lsp", "--root"]).arg(&store);
    let (status, said) = command::ended(&mut command, Duration::from_secs(1800));
    if status.success() { Ok(program) } else { Err(said) }
}

/// The journey by the page's commands and menu; the block is the page's.
fn kakoune(program: &Path, lsp: &Path) {
    let workspace = sample();
    let (open, closed) = (workspace.read(OPEN), workspace.read(CLOSED));
    let mut env = environment(&workspace);
    let runtime = workspace.home().join("run");
    let config = workspace.home().join(".config/kak");
    [&runtime, &config].iter().try_for_each(fs::create_dir_all).expect("the home is ours");
    std::os::unix::fs::symlink(lsp, workspace.home().join("bin/kak-lsp")).expect("the home is ours");
    env.push(("XDG_RUNTIME_DIR".to_owned(), runtime.display().to_string()));
    let page = fs::read_to_string(repository().join("docs/editors/kakoune.md")).expect("the page is there");
    let block = page.split("```\n").nth(1).expect("it has a block");
    let start = "eval %sh{kak-lsp}\nhook global WinSetOption filetype=(javascript|typescript) %{ lsp-enable-window }\n";
    fs::write(config.join("kakrc"), format!("{start}{block}")).expect("the home is ours");

    let (base, root) = (workspace.home(), workspace.root().to_owned());
    let terminal = Terminal::start(&base, &root, [160, 30], &env, &[&program.display().to_string(), OPEN]);
    terminal.await_text("selectors.ts");
    let command = |text: &str| {
        terminal.press(&["Escape"]);
        terminal.type_text(&format!(":{text}"));
        terminal.press(&["Enter"]);
    };
    let choose = |title: &str| {
        // One menu at a time: a second one would come between the words that choose in the first.
        let offered = (0..10).any(|_| {
            command("lsp-code-actions");
            let asked = Instant::now();
            terminal.until(|shown| shown.contains(title) || asked.elapsed() > Duration::from_secs(4));
            terminal.screen().contains(title)
        });
        assert!(offered, "{title:?} is not offered; the screen is\n{}", terminal.screen());
        terminal.type_text(title);
        // In the menu and in what was typed: Enter takes what the menu has chosen by then.
        let chosen = terminal.until(|shown| shown.matches("Krins: ").count() == 2);
        assert!(chosen, "{title:?} does not choose; the screen is\n{}", terminal.screen());
        terminal.press(&["Enter"]);
    };
    let await_file = |path: &str, text: &str| {
        let there = terminal.until(|_| holds(&workspace, path, text));
        assert!(there, "{path} does not get {text:?}; the screen is\n{}", terminal.screen());
    };

    terminal.press(&["Escape", "g", "g", "O"]);
    terminal.type_text(&format!("// krins: {RENAME}"));
    terminal.press(&["Escape"]);
    choose(&format!("Krins: {RENAME}"));
    terminal.await_text("is ready");
    assert_eq!(workspace.read(CLOSED), closed, "nothing is written before the word");
    terminal.press(&["5", "g"]);
    choose("Krins: reject this hunk");
    choose("Krins: take back the rejection");
    choose("Krins: apply the change");
    await_file(CLOSED, "completionRate");
    terminal.await_text("import { completionRate");
    assert_eq!(workspace.read(OPEN), open, "an open file is the editor's to save");
    command("write-all");
    await_file(OPEN, "import { completionRate");
    command("lsp-execute-command krins.undo '[{}]'");
    await_file(CLOSED, &closed);
    terminal.await_text("import { calculateProgress");
    command("write-all");
    await_file(OPEN, &open);
    command("kill!");
    assert!(terminal.until(|_| !terminal.runs()), "it does not leave; the screen is\n{}", terminal.screen());
}

fn sample() -> Workspace {
    Workspace::copy_of(&repository().join("fixtures/todo-app"))
}

/// The workspace's environment, with `krins` on the path, and the key that a model's settings may name.
fn environment(workspace: &Workspace) -> Vec<(String, String)> {
    let bin = workspace.home().join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).expect("the home is ours");
        std::os::unix::fs::symlink(binary::krins(), bin.join("krins")).expect("the home is ours");
    }
    let mut env = workspace.env();
    env.retain(|(name, _)| name != "PATH");
    env.push(("PATH".to_owned(), format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default())));
    env.push((model::KEY.0.to_owned(), model::KEY.1.to_owned()));
    env
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}
