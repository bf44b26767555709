//! A throw-away tree in which the person's commands run: what every check that runs something shares.

use crate::base::Base;
use crate::error::{Error, ErrorKind, Result};
use crate::runner::{self, Job, NotRun, Ran, Stop};
use crate::sandbox::Readable;
use crate::settings::Commands;
use crate::state::StateDir;
use crate::worktree::ThrowAway;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// A tree, and the rules that commands in it are under.
pub struct Bench {
    tree: ThrowAway,
    reads: Readable,
    commands: Arc<Commands>,
    stop: Stop,
}

impl Bench {
    /// A copy of the base. Blocking.
    pub fn new(state: &StateDir, base: &Base, commands: Arc<Commands>, stop: Stop) -> Result<Self> {
        let tree = ThrowAway::of(state, base, &stop)?;
        let mut reads = Readable::usual(&|name| std::env::var_os(name));
        reads.extend(tree.linked().iter().cloned());
        reads.extend(commands.reads.iter().cloned());
        Ok(Self { tree, reads, commands, stop })
    }

    pub fn tree(&self) -> &ThrowAway {
        &self.tree
    }

    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Runs one command in a directory of the tree, `""` for the root.
    pub fn run(&self, argv: &[OsString], dir: &str) -> Result<Ran, NotRun> {
        let job = Job {
            argv: argv.to_vec(),
            dir: self.tree.tree().join(dir),
            env: Vec::new(),
            reads: self.reads.clone(),
            writes: vec![self.tree.tree()],
            tmp: self.tree.tmp(),
            network: self.commands.network,
            require: self.commands.sandbox,
            timeout: self.commands.timeout,
            namespaces: self.commands.namespaces,
        };
        runner::run(&job, &self.stop)
    }

    /// The spelling of the tree, which commands say in place of the workspace.
    pub fn root(&self) -> PathBuf {
        self.tree.tree()
    }
}

impl From<NotRun> for Error {
    fn from(not: NotRun) -> Self {
        let hint = match &not {
            NotRun::Sandbox(_) => {
                "install bubblewrap or use a kernel with Landlock; `gate.sandbox` says how much must hold"
            }
            NotRun::NotFound { .. } => "install it, or name it by its path",
            NotRun::Nothing | NotRun::Failed { .. } => "",
        };
        Self::new(ErrorKind::BadParams, not.to_string()).hint(hint)
    }
}
