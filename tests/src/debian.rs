//! Programs that tests need from the system's packages.

use std::process::{Command, Stdio};

/// Installs packages where that is possible; whether it was is for the caller to see.
pub fn install(packages: &[&str]) {
    if !cfg!(target_os = "linux") || !runs("apt-get") {
        return;
    }
    for arguments in [["update", "-qq"].as_slice(), ["install", "-y", "-qq", "--no-install-recommends"].as_slice()] {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        if arguments[0] == "install" {
            command.args(packages);
        }
        let _ = command.output();
    }
}

/// On standard error, where a test's skipping can be seen.
pub fn say(words: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{words}");
}

pub fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
