//! A PostgreSQL server of a test's own: on the loopback interface, in a directory that is deleted with it.
//!
//! The programs are installed by their package's name where they are missing and that is allowed. `initdb` and the server
//! refuse to run as root, so there they run as `postgres` or `nobody`.

use std::fs;
use std::io::{Read as _, Seek as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest a server takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "a-password-that-must-not-be-seen";

/// A running server. Dropping it stops it.
pub struct Postgres {
    child: Child,
    port: u16,
    names: Mutex<u32>,
    _directory: TempDir,
}

impl Postgres {
    /// A new server; `None`, with the reason on standard error, where the programs are missing and cannot be installed.
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// One that speaks TLS with this certificate and key, both PEM.
    pub fn start_with_tls(certificate: &str, key: &str) -> Option<Self> {
        Self::start_with(Some((certificate, key)))
    }

    fn start_with(tls: Option<(&str, &str)>) -> Option<Self> {
        let programs = programs()?;
        let directory = tempfile::Builder::new().prefix("krins-pg-").tempdir().expect("a temporary directory");
        let user = unprivileged();
        if let Some(user) = &user {
            run(Command::new("chown").arg(user).arg(directory.path()));
        }
        let data = directory.path().join("data");
        let secret = directory.path().join("secret");
        fs::write(&secret, PASSWORD).expect("the directory is ours");
        if let Some(user) = &user {
            run(Command::new("chown").arg(user).arg(&secret));
        }
        run(as_user(user.as_deref(), &programs.join("initdb"))
            .args(["--auth=scram-sha-256", "--username=krins", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg(format!("--pwfile={}", secret.display()))
            .arg("-D")
            .arg(&data));
        let mut settings = vec![
            format!("unix_socket_directories={}", directory.path().display()),
            "max_connections=200".into(),
            "shared_buffers=32MB".into(),
            "fsync=on".into(),
        ];
        if let Some((certificate, key)) = tls {
            settings.push("ssl=on".into());
            for (setting, text) in [("ssl_cert_file", certificate), ("ssl_key_file", key)] {
                let file = directory.path().join(setting);
                write_private(&file, text, user.as_deref());
                settings.push(format!("{setting}={}", file.display()));
            }
        }
        let log = directory.path().join("log");
        // Another program may take the port between the two steps, so there is more than one try.
        for _ in 0..5 {
            let port = free_port();
            let file = fs::File::create(&log).expect("the directory is ours");
            let mut command = as_user(user.as_deref(), &programs.join("postgres"));
            command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
            for setting in &settings {
                command.args(["-c", setting]);
            }
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
            let mut child = command.spawn().expect("postgres starts");
            if answers(&mut child, port, &log) {
                return Some(Self { child, port, names: Mutex::new(0), _directory: directory });
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let mut said = String::new();
        let _ = fs::File::open(&log).and_then(|mut log| log.rewind().and_then(|()| log.read_to_string(&mut said)));
        panic!("PostgreSQL did not start: {said}");
    }

    /// One server for the tests of this process that run at the same time.
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// The address of a new, empty database.
    pub fn database(&self) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        *names += 1;
        let name = format!("test_{names}");
        let made = self.sql("postgres", &format!("CREATE DATABASE {name}"));
        assert!(made.is_ok(), "{made:?}");
        self.address(&name)
    }

    fn address(&self, name: &str) -> String {
        format!("postgres://krins:{PASSWORD}@127.0.0.1:{}/{name}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What `psql` prints for one statement, columns apart by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let beside = programs().map(|programs| programs.join("psql")).filter(|psql| psql.is_file());
        let output = Command::new(beside.unwrap_or_else(|| "psql".into()))
            .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(self.address(database))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
        if output.status.success() { Ok(said.trim().to_owned()) } else { Err(said.into_owned()) }
    }

    /// A name that must not be found where it does not belong.
    pub fn password() -> &'static str {
        PASSWORD
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: at once, children too.
        let _ = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until && !matches!(self.child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server refuses a key that others can read.
fn write_private(file: &Path, text: &str, user: Option<&str>) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(file, text).expect("the directory is ours");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    if let Some(user) = user {
        run(Command::new("chown").arg(user).arg(file));
    }
}

/// The name of a database in its address.
pub fn name_of(address: &str) -> &str {
    address.rsplit('/').next().expect("an address has a path")
}

fn answers(child: &mut Child, port: u16, log: &Path) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return false;
        }
        let ready = fs::read_to_string(log).is_ok_and(|log| log.contains("ready to accept connections"));
        if ready && std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Where `initdb` and `postgres` are.
fn programs() -> Option<PathBuf> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAMS
        .get_or_init(|| {
            let found = find();
            if found.is_none() {
                super::debian::install(&["postgresql"]);
            }
            let found = found.or_else(find);
            if found.is_none() {
                super::debian::say("PostgreSQL is missing and could not be installed: tests over it are skipped");
            }
            found
        })
        .clone()
}

fn find() -> Option<PathBuf> {
    let debian = Path::new("/usr/lib/postgresql");
    let mut places: Vec<PathBuf> = fs::read_dir(debian)
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    // The newest version first, then whatever is on the path.
    places.sort();
    places.reverse();
    places.extend(std::env::var_os("PATH").iter().flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>()));
    places.into_iter().find(|place| place.join("initdb").is_file() && place.join("postgres").is_file())
}

/// Whom to be where we are root.
fn unprivileged() -> Option<String> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if String::from_utf8_lossy(&id.stdout).trim() != "0" {
        return None;
    }
    let known = |user: &str| Command::new("id").arg(user).output().is_ok_and(|output| output.status.success());
    ["postgres", "nobody"].into_iter().find(|user| known(user)).map(str::to_owned)
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    match user {
        Some(user) => {
            // setpriv replaces itself, so the process we know is the server.
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", &group_of(user), "--clear-groups"]);
            command.arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn group_of(user: &str) -> String {
    let output = Command::new("id").args(["-g", user]).output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
