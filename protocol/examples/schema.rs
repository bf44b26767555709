//! Prints the protocol's JSON Schema: `cargo run -q -p krins-protocol --example schema`.
//!
//! The same document as `krins schema`, from a build that needs nothing but this crate.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let document = krins_protocol::schema::document();
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, &document)?;
    writeln!(stdout)
}
