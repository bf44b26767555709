//! The binary `krins`: a table of contents. Everything is in the library beside it.

fn main() -> std::process::ExitCode {
    krins_server::cli::main()
}
