//! `krins acp`: the Agent Client Protocol. stdout carries its messages and nothing else, from the first line of this
//! function on.

use super::{Done, args::Global, overrides};
use crate::acp;
use crate::lsp::{parent, stdio};
use crate::setup::Setup;
use crate::telemetry;
use krins_engine::{Error, ErrorKind};
use std::time::Duration;

pub fn run(global: &Global, patience: u64) -> Done {
    let failed = |what: &str, error: std::io::Error| Error::new(ErrorKind::Internal, format!("{what}: {error}"));
    let (input, output) = stdio::take().map_err(|error| failed("take standard input and output", error))?;
    stdio::log_panics();
    let telemetry = telemetry::init(telemetry::Mode::Sidecar);
    // Bad settings are said in the session; they must not keep the agent from starting.
    let setup = Setup::new(overrides(global));
    let watch = parent::Watch::start().map_err(|error| failed("watch the parent process", error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", error))?;
    let orderly = runtime.block_on(acp::serve(setup, Duration::from_secs(patience), watch, input, output));
    telemetry.shutdown();
    // A read of standard input cannot be interrupted; leaving is the only way not to wait for it.
    std::process::exit(i32::from(!orderly))
}
