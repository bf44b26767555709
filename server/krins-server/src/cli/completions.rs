//! `krins completions`.

use super::Done;
use super::args::Cli;
use super::output::Output;
use clap::CommandFactory as _;
use std::process::ExitCode;

pub fn run(shell: clap_complete::Shell, out: &mut Output) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "krins", &mut script);
    out.raw(&script);
    Ok(ExitCode::SUCCESS)
}
