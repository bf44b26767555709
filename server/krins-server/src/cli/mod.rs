//! The command line: the same engine and the same types as the sidecar, for people and scripts.

mod acp;
mod approve;
pub mod args;
mod assign;
mod audit;
mod changes;
mod completions;
mod context;
mod dashboard;
mod demo;
mod doctor;
mod eval;
mod fix;
mod gate;
pub mod graph;
mod lock;
mod lsp;
pub mod output;
mod patch;
mod probe;
pub mod report;
mod review;
mod sandbox;
mod sbom;
mod schema;
mod serve;
mod status;
mod switch;
mod task;
mod trust;

use crate::lsp::stdio;
use crate::setup::{Overrides, Setup};
use crate::telemetry::{self, Mode};
use args::{Cli, Command, Global};
use clap::Parser as _;
use krins_core::text::Encoding;
use krins_engine::workspace::Root;
use krins_engine::{Engine, Error, ErrorKind};
use output::Output;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Done = Result<ExitCode, Error>;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Before anything else: the helper of a command is started often, and must be nothing but that.
    if let Some(code) = krins_engine::sandbox::helper_of(std::env::args_os()) {
        return code;
    }
    let cli = Cli::parse();
    let mut out = Output::new(&cli.global);
    match run(cli, &mut out) {
        Ok(code) => code,
        Err(error) => out.failure(&error),
    }
}

fn run(cli: Cli, out: &mut Output) -> Done {
    let global = &cli.global;
    match cli.command {
        Command::Lsp { stdio: _, client_process_id } => lsp::run(global, client_process_id),
        Command::Acp { patience } => acp::run(global, patience),
        Command::Schema => schema::run(out),
        Command::Completions { shell } => completions::run(shell, out),
        Command::Merge { base, ours, theirs, path } => patch::merge([&base, &ours, &theirs], path.as_deref(), out),
        Command::Assign(args) => on_runtime(async { assign::run(global, args, out).await }),
        Command::Diff { task } => on_runtime(async { changes::diff(global, task.as_deref(), out) }),
        Command::Apply { task, hunks, on_conflict, dry_run } => {
            on_runtime(async { changes::apply(global, task.as_deref(), hunks, on_conflict, dry_run, out).await })
        }
        Command::Review(args) => on_runtime(async { review::run(global, args, out).await }),
        Command::Undo(args) => on_runtime(async { changes::undo(global, args, out).await }),
        Command::Redo(args) => on_runtime(async { changes::redo(global, args, out).await }),
        Command::Cancel { task } => on_runtime(async { task::cancel(global, task.as_deref(), out).await }),
        Command::Discard { task } => on_runtime(async { task::discard(global, task.as_deref(), out) }),
        Command::Task { command } => on_runtime(async { task::run(global, command, out) }),
        Command::Context(args) => on_runtime(async { context::run(global, args, out).await }),
        Command::Graph(args) => on_runtime(async { graph::run(global, args, out) }),
        Command::Patch { command } => on_runtime(async { patch::run(global, command, out).await }),
        Command::Gate(args) => on_runtime(async { gate::run(global, args, out).await }),
        Command::Sbom(args) => on_runtime(async { sbom::run(global, args, out) }),
        Command::Fix { task, rounds } => on_runtime(async { fix::run(global, task.as_deref(), rounds, out).await }),
        Command::Preview { task } => on_runtime(async { fix::preview(global, task.as_deref(), out) }),
        Command::Promote { task } => on_runtime(async { fix::promote(global, task.as_deref(), out) }),
        Command::Sandbox(args) => on_runtime(async { sandbox::run(global, args, out).await }),
        Command::Serve(args) => on_runtime_as(Mode::Serve, async { serve::run(global, *args, out).await }),
        Command::Lock { file, minutes, holder } => {
            on_runtime(async { lock::lock(global, &file, minutes, holder.as_deref(), out).await })
        }
        Command::Status => on_runtime(async { status::run(global, out).await }),
        Command::Switch { to, providers } => switch::run(global, to, providers, out),
        Command::Eval { command } => on_runtime(async { eval::run(global, command, out).await }),
        Command::Probe(args) => on_runtime(async { probe::run(global, args, out).await }),
        Command::Report { command } => on_runtime(async { report::run(global, command, out).await }),
        Command::Dashboard(args) => on_runtime(async { dashboard::run(global, args, out).await }),
        Command::Unlock { file, force, holder } => {
            on_runtime(async { lock::unlock(global, &file, force, holder.as_deref(), out).await })
        }
        Command::Locks => on_runtime(async { lock::list(global, out).await }),
        Command::Audit { command } => on_runtime(audit::run(global, command, out)),
        Command::Approve(args) => approve::approve(global, args, out),
        Command::Approvals { command } => approve::approvals(global, command, out),
        Command::Waive(args) => approve::waive(global, args, out),
        Command::Trust { revoke } => trust::run(global, revoke, out),
        Command::Doctor => on_runtime(async { doctor::run(global, out).await }),
        Command::Demo(args) => on_runtime(async { demo::run(global, args, out).await }),
    }
}

fn on_runtime(work: impl Future<Output = Done>) -> Done {
    on_runtime_as(Mode::Command, work)
}

/// A runtime with telemetry around it, flushed at the end.
fn on_runtime_as(mode: Mode, work: impl Future<Output = Done>) -> Done {
    let telemetry = telemetry::init(mode);
    // As every other line: what a panic says may quote anything.
    stdio::log_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers(mode))
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Internal, format!("start the runtime: {error}")))?;
    let done = runtime.block_on(work);
    // Work on the blocking pool that nobody waits for any more must not hold the exit.
    runtime.shutdown_background();
    telemetry.shutdown();
    done
}

/// Threads for asynchronous work. A service leaves one processor to its store and the kernel: a thread that is woken only
/// to find that another has done the work costs each request more than it gains.
fn workers(mode: Mode) -> usize {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    match mode {
        Mode::Serve => processors.saturating_sub(1).max(1),
        Mode::Sidecar | Mode::Command => 2,
    }
}

/// The engine of `--root`, or of the working directory.
pub fn engine(global: &Global) -> Result<Engine, Error> {
    engine_with(&setup(global)?, &root_dir(global)?)
}

pub fn engine_with(setup: &Setup, dir: &Path) -> Result<Engine, Error> {
    setup.engine(Root::open(dir)?, None, Encoding::Utf8)
}

pub fn setup(global: &Global) -> Result<Setup, Error> {
    Setup::load(overrides(global))
}

pub fn overrides(global: &Global) -> Overrides {
    Overrides { provider: global.provider.clone(), model: global.model.clone(), ..Overrides::default() }
}

pub fn root_dir(global: &Global) -> Result<PathBuf, Error> {
    if let Some(root) = &global.root {
        return Ok(root.clone());
    }
    let here = std::env::current_dir()
        .map_err(|error| Error::new(ErrorKind::BadParams, format!("find the working directory: {error}")))?;
    Ok(crate::setup::root_of(&here))
}

/// `FILE[:L[-L]]` below the root.
pub fn focus(engine: &Engine, place: &str) -> Result<krins_core::prompt::Focus, Error> {
    let (name, lines) = args::parse_place(place);
    let root = engine.root();
    let path = root.typed(Path::new(&name)).or_else(|| krins_core::RelPath::new(&name).ok());
    let path = path.ok_or_else(|| {
        Error::new(ErrorKind::BadParams, format!("use {name:?}: it is not below {}", root.path().display()))
            .hint("name a file of the workspace")
    })?;
    // A path may be relative to the working directory or, as tools print it, to the root.
    let path = match (engine.has(&path), krins_core::RelPath::new(&name)) {
        (false, Ok(of_root)) if engine.has(&of_root) => of_root,
        (false, _) => {
            return Err(Error::new(ErrorKind::BadParams, format!("read {name:?}: there is no such file"))
                .hint("paths are relative to the working directory or to the root"));
        }
        (true, _) => path,
    };
    Ok(krins_core::prompt::Focus { path, lines })
}
