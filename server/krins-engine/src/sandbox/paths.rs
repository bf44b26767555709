//! What a command may read: the system's programs and libraries, the tools on the path, and what it is given. Nothing of
//! the person's home, no configuration that may hold a secret, no state of Krins.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What programs need everywhere. Of `/etc` only what holds no secret; of `/proc` the kernel itself guards what other
/// processes have.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix/store",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/debian_version",
    "/etc/fonts",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/etc/timezone",
];

/// Below the home directory: tool chains, which hold no keys.
const TOOLS: &[&str] = &[
    ".rustup",
    ".cargo/bin",
    ".cargo/registry",
    ".cargo/git",
    ".nvm/versions",
    ".volta/tools",
    ".volta/bin",
    ".pyenv",
    ".asdf/installs",
    ".asdf/shims",
    ".local/share/mise/installs",
    ".local/share/fnm",
    ".bun/bin",
    ".deno/bin",
];

/// A set of paths, without links.
#[derive(Clone, Debug, Default)]
pub struct Readable {
    paths: BTreeSet<PathBuf>,
}

impl Readable {
    /// The system and the tools on the person's path.
    pub fn usual(env: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        let mut readable = Self::default();
        for path in SYSTEM {
            // As it is named: a link of the system's (`/bin`) has to be there under its name, too.
            readable.paths.insert(PathBuf::from(path));
        }
        let home = env("HOME").map(PathBuf::from).filter(|home| home.is_absolute() && home.parent().is_some());
        for tool in TOOLS {
            readable.extend(home.iter().map(|home| home.join(tool)));
        }
        let path = env("PATH").unwrap_or_default();
        for dir in std::env::split_paths(&path).filter(|dir| dir.is_absolute()) {
            readable.tool(&dir, home.as_deref());
        }
        readable
    }

    /// A directory of programs; with what lies beside it, when that is a tool's own place and not the home directory.
    pub fn tool(&mut self, dir: &Path, home: Option<&Path>) {
        let Ok(dir) = dir.canonicalize() else { return };
        let too_much = |dir: &Path| {
            let above = |path: &Path| path.starts_with(dir);
            dir.parent().is_none()
                || home.is_some_and(above)
                || ["/home", "/root", "/etc", "/tmp", "/var"].iter().map(Path::new).any(above)
        };
        if too_much(&dir) {
            return;
        }
        let beside = dir.parent().filter(|_| dir.ends_with("bin")).filter(|parent| {
            let own = ["lib", "include", "share"].iter().any(|part| parent.join(part).is_dir());
            own && !too_much(parent) && !parent.ends_with(".local")
        });
        let place = beside.map(Path::to_owned);
        self.paths.insert(place.unwrap_or(dir));
    }

    /// Paths that are there.
    pub fn extend(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            if let Ok(real) = path.canonicalize() {
                self.paths.insert(real);
            }
        }
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.paths.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_directory_is_never_readable_whatever_the_path_says() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap().join("home/me");
        for place in [".ssh", "bin", ".local/bin", ".local/share", "node/v22/bin", "node/v22/lib", ".cargo/bin"] {
            std::fs::create_dir_all(home.join(place)).unwrap();
        }
        let on_path = ["", ".local/bin", "bin", "node/v22/bin", "..", "../.."].map(|place| home.join(place));
        let path = std::env::join_paths(on_path).unwrap();
        let env = |name: &str| match name {
            "HOME" => Some(home.clone().into()),
            "PATH" => Some(path.clone()),
            _ => None,
        };
        let readable = Readable::usual(&env);
        let may = |path: &Path| readable.paths().iter().any(|allowed| path.starts_with(allowed));
        for secret in
            [".ssh/id_ed25519", ".aws/credentials", ".local/share/keyrings/x", ".cargo/credentials.toml", ".bashrc"]
        {
            assert!(!may(&home.join(secret)), "{secret}: {readable:?}");
        }
        for secret in ["/etc/shadow", "/root/.ssh/id_rsa", "/run/secrets/x", "/var/lib/x"] {
            assert!(!may(Path::new(secret)), "{secret}");
        }
        for tool in ["node/v22/lib/node_modules/npm", ".local/bin/tool", "bin/tool", ".cargo/bin/cargo"] {
            assert!(may(&home.join(tool)), "{tool}: {readable:?}");
        }
        assert!(may(Path::new("/usr/bin/node")));
    }
}
