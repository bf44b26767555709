//! `krins schema`.

use super::Done;
use super::output::Output;
use std::process::ExitCode;

pub fn run(out: &mut Output) -> Done {
    let text = serde_json::to_string_pretty(&krins_protocol::schema::document()).unwrap_or_default();
    out.raw(format!("{text}\n").as_bytes());
    Ok(ExitCode::SUCCESS)
}
