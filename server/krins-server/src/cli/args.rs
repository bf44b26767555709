//! The command line's words: one definition gives parsing, `--help` and completions.

use clap::{Args, Parser, Subcommand, ValueEnum};
use krins_core::context::Reach;
use krins_core::gate::Day;
use krins_core::graph::export::Format;
use krins_protocol::report::Period;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  krins demo                                          the whole journey on a sample, no key needed
  krins assign \"rename calculateTotal to orderTotal\"  make a change and show it
  krins apply                                         apply the newest change
  krins undo                                          take it back, byte for byte
  krins lsp --stdio                                   what an editor starts

Exit codes: 0 done, 1 blocked or conflict, 2 refused or bad usage, 3 backend unavailable.";

/// Say what to change; get a checked diff that is applied safely.
#[derive(Debug, Parser)]
#[command(name = "krins", version, about, after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: Global,
}

#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The workspace root (default: the nearest directory upwards with .git or .krins, else the current one)
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours: auto (only on a terminal), always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Override the provider for this run (builtin, anthropic, openai, gemini, ollama, or a name from the settings)
    #[arg(long, global = true, value_name = "NAME")]
    pub provider: Option<String>,
    /// Override the model for this run
    #[arg(long, global = true, value_name = "MODEL")]
    pub model: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the sidecar that editors start
    Lsp {
        /// Speak over standard input and output (the only way there is, and the default)
        #[arg(long, action = clap::ArgAction::Count)]
        stdio: u8,
        /// The client's process, which some client libraries append: when it is gone, the sidecar ends
        #[arg(long = "clientProcessId", value_name = "PID", hide = true)]
        client_process_id: Option<u64>,
    },
    /// Run the agent that editors with the Agent Client Protocol start (Zed, JetBrains): their own chat, diff and permission
    #[command(after_help = ACP_EXAMPLES)]
    Acp {
        /// Seconds that a question may stay without an answer; then the answer is no
        #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        patience: u64,
    },
    /// Say what to change: context, answer, diff and gate; nothing is written without --apply
    Assign(Assign),
    /// Show a task's diff
    Diff {
        /// Default: the newest task
        task: Option<String>,
    },
    /// Apply a task's diff: merged onto what the files are now, all or nothing
    Apply {
        /// Default: the newest task
        task: Option<String>,
        /// Only these hunks (h1, h2, …)
        #[arg(long, value_delimiter = ',', value_name = "HUNKS")]
        hunks: Option<Vec<String>>,
        /// What to do where the file moved on in the same place
        #[arg(long, value_name = "HOW", default_value = "refuse")]
        on_conflict: Conflicts,
        /// Say what would be written, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Ask the model again for a change that the gate blocks, with what the gate found
    Fix {
        /// Default: the newest task
        task: Option<String>,
        /// The most rounds, 1 to 10 (default: gate.fix_rounds)
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10))]
        rounds: Option<u32>,
    },
    /// Put a task's change in a worktree beside, to run it; nothing is committed, and there is no branch yet
    Preview {
        /// Default: the newest task
        task: Option<String>,
    },
    /// Commit a task's change on a branch of its own; your branch and files stay as they are, and a preview you worked in
    Promote {
        /// Default: the newest task
        task: Option<String>,
    },
    /// Say of one hunk whether it is taken, left, or taken with a text of yours
    #[command(after_help = REVIEW_EXAMPLES)]
    Review(Review),
    /// Take an apply back, byte for byte
    Undo(Undo),
    /// Do again what undo took back
    Redo(Redo),
    /// Stop a running task
    Cancel { task: Option<String> },
    /// Drop a task's diff
    Discard { task: Option<String> },
    /// List tasks, or show one
    Task {
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Show what would be sent for an intent, without sending it
    Context(Context),
    /// Ask the code graph: neighbours, impact, references, owners, tests, paths, unused exports, cycles
    Graph(GraphArgs),
    /// Apply a patch from standard input, made by any tool or model
    Patch {
        #[command(subcommand)]
        command: PatchCommand,
    },
    /// Judge a patch from standard input, or a task's, by the quality gate
    #[command(after_help = GATE_EXAMPLES)]
    Gate(Gate),
    /// List the packages that a patch from standard input, or a task, brings: names, versions, licences, sources
    #[command(after_help = SBOM_EXAMPLES, args_conflicts_with_subcommands = true)]
    Sbom(Sbom),
    /// Run a command as the gate runs one: sandboxed, in a throw-away copy of the workspace
    #[command(after_help = SANDBOX_EXAMPLES)]
    Sandbox(Sandbox),
    /// Merge three versions of a file to standard output; exit 1 on conflict
    Merge {
        base: PathBuf,
        ours: PathBuf,
        theirs: PathBuf,
        /// The file's own name, where the three are temporary files (git's %P): the label of its conflict markers
        #[arg(long, value_name = "NAME")]
        path: Option<String>,
    },
    /// Run the remote backend, for this machine or for a team
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<Serve>),
    /// Tell others that somebody is at a file; the lock ends by itself
    Lock {
        file: String,
        /// Minutes until it ends, unless it is taken again
        #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1440))]
        minutes: u32,
        /// Who others are told of (default: you and this machine)
        #[arg(long, value_name = "NAME")]
        holder: Option<String>,
    },
    /// Say who is asked, who is asked next, what is switched off, and how a remote backend is
    Status,
    /// Give a lock back
    Unlock {
        file: String,
        /// Whoever holds it
        #[arg(long)]
        force: bool,
        /// The holder's name that it was taken under
        #[arg(long, value_name = "NAME")]
        holder: Option<String>,
    },
    /// List locks
    Locks,
    /// Turn providers off or on at once, also for programs that run already
    Switch {
        /// Without it, say what is off
        to: Option<SwitchTo>,
        /// Default: all of them
        providers: Vec<String>,
    },
    /// Watch a service: a small task of its own through the whole way, again and again if wished
    #[command(after_help = PROBE_EXAMPLES)]
    Probe(Probe),
    /// Judge the router's choices by what came of them
    Eval {
        #[command(subcommand)]
        command: EvalCommand,
    },
    /// What calls to models cost, and what came of it
    Report {
        #[command(subcommand)]
        command: ReportCommand,
    },
    /// Show what came of tasks, what they cost and how the routes are, on a page that keeps itself up to date
    #[command(after_help = DASHBOARD_EXAMPLES)]
    Dashboard(Dashboard),
    /// What was decided here, in a log that shows every change of it
    #[command(after_help = AUDIT_HELP)]
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Approve a change as one of its code owners, with your SSH key
    Approve(Approve),
    /// Check the approvals of a change, or take one in
    Approvals {
        #[command(subcommand)]
        command: ApprovalsCommand,
    },
    /// Live with a finding of the gate for a while; it is on record
    Waive(Waive),
    /// Trust this workspace's .krins/config.toml and .krins/policy.toml as they are now
    Trust {
        /// Take the trust back
        #[arg(long)]
        revoke: bool,
    },
    /// Say what is set up, what is missing and what to do about it
    Doctor,
    /// Run the whole journey on a sample application, or on a copy of your own project with --root
    Demo(Demo),
    /// Print the protocol's JSON Schema
    Schema,
    /// Print a shell completion script
    Completions { shell: clap_complete::Shell },
}

const ACP_EXAMPLES: &str = "\
Zed, in settings.json:
  \"agent_servers\": { \"Krins\": { \"type\": \"custom\", \"command\": \"krins\", \"args\": [\"acp\"] } }

Nothing is applied before the editor says that you allowed it.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SwitchTo {
    Off,
    On,
}

const SERVE_EXAMPLES: &str = "\
Examples:
  krins serve                                                  for this machine, tasks in a file
  KRINS_SERVE_DATABASE=postgres://krins@db/krins krins serve --addr 0.0.0.0:7117 --tls-cert c.pem --tls-key k.pem
  krins serve token add acme --scopes tasks --days 90          prints the token, once
  krins serve token rotate k1234567890 --overlap 24            a new one; the old one works for 24 hours more

Addresses that hold a password belong into the environment: what stands on a command line can be seen by others.";

#[derive(Debug, Args)]
pub struct Serve {
    #[command(subcommand)]
    pub command: Option<ServeCommand>,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:7117", value_name = "ADDR")]
    pub addr: String,
    /// A file, or postgres://… for several replicas (default: a file in the state directory). Without a password in it,
    /// that of PGPASSWORD
    #[arg(long, global = true, value_name = "FILE|URL", env = "KRINS_SERVE_DATABASE", hide_env_values = true)]
    pub database: Option<String>,
    /// redis://…, for what replicas tell each other and count together; everything works without it
    #[arg(long, value_name = "URL", env = "KRINS_SERVE_REDIS", hide_env_values = true)]
    pub redis: Option<String>,
    /// What this replica is called in a task's history (default: the host's name and the process)
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Tasks that run at the same time; 0 only takes tasks in
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub workers: u16,
    /// Tasks that may wait; one more is answered 429
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub queue: u32,
    /// Tasks of one tenant that may be unfinished (default: no limit but the queue)
    #[arg(long, value_name = "N")]
    pub tenant_queue: Option<u32>,
    /// Seconds a worker may be silent before its tasks are another's
    #[arg(long, default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub lease: u64,
    /// Seconds that running tasks get to end after SIGTERM; then they are put back
    #[arg(long, default_value_t = 25, value_name = "SECONDS")]
    pub grace: u32,
    /// Days that ended tasks and their keys are kept
    #[arg(long, default_value_t = 7, value_name = "DAYS")]
    pub keep: u32,
    /// Days that is kept what the records of sidecars' audits are about; the records stay
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub audit_days: u32,
    /// Requests per minute of one person, who may have several tokens; 0 is no limit
    #[arg(long, default_value_t = 1200, value_name = "N")]
    pub rate: u32,
    /// A proxy whose X-Forwarded-For is believed; may be given more than once
    #[arg(long, value_name = "IP")]
    pub proxy: Vec<std::net::IpAddr>,
    /// Faults on purpose, for drills: shares of the calls to providers, such as 429=0.1,529=0.05,500=0.01,reset=0.02,
    /// truncate=0.02,malformed=0.01,latency=0.2:800ms,seed=7. Only on an address that nobody else reaches
    #[arg(long, value_name = "FAULTS", env = "KRINS_CHAOS")]
    pub chaos: Option<String>,
    /// A PEM file with the certificate chain, for TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with the certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum ServeCommand {
    /// Make, list, change and end the tokens that open the service
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is printed once, and only its digest is kept
    Add {
        /// Whose it is: tenants see nothing of each other
        tenant: String,
        /// Some of tasks, metrics, admin
        #[arg(long, default_value = "tasks", value_delimiter = ',', value_name = "SCOPES")]
        scopes: Vec<String>,
        /// Days until it ends (default: never)
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
        /// Who uses it: tokens of one person share budgets and rates (default: somebody of their own)
        #[arg(long, value_name = "NAME")]
        person: Option<String>,
        /// Requests per minute of this person; 0 is no limit (default: what `krins serve --rate` says)
        #[arg(long, value_name = "N")]
        rate: Option<u32>,
        /// What this person's calls to models may cost a day, in millionths of a US dollar (default: what the setting
        /// budget.micros_per_person_per_day says)
        #[arg(long, value_name = "MICROS")]
        micros_per_day: Option<u64>,
    },
    /// List tokens, without their secrets
    List,
    /// End a token
    Revoke { id: String },
    /// Make a token like this one, which goes on to work for a while
    Rotate {
        id: String,
        /// Hours that the old one still works
        #[arg(long, default_value_t = 24, value_name = "HOURS")]
        overlap: u32,
        /// Days until the new one ends (default: never)
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
    },
}

const PROBE_EXAMPLES: &str = "\
Examples:
  krins probe                                          this machine, keyless
  krins probe --url https://krins.example.com --json   the team's service; its token in KRINS_TOKEN
  krins probe --provider anthropic                     a real model answers, and is paid for
  krins probe --url URL --every 60 --textfile /var/lib/node_exporter/krins.prom

Exit codes: 0 the right diff came, 3 it did not.";

#[derive(Debug, Args)]
pub struct Probe {
    /// The `krins serve` that is probed (default: what the settings say)
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Go on, with so many seconds between two rounds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub every: Option<u64>,
    /// How long one round may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub timeout: u64,
    /// Write the last round's figures here, for Prometheus' node exporter
    #[arg(long, value_name = "FILE")]
    pub textfile: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Assign {
    /// What to change, in words
    pub intent: String,
    /// The file the change is about, with a line or lines: FILE[:L[-L]]
    #[arg(long, value_name = "FILE[:L[-L]]")]
    pub file: Option<String>,
    /// How far the context may reach
    #[arg(long, default_value = "normal", value_name = "SCOPE")]
    pub scope: Scope,
    /// The most tokens of context
    #[arg(long, value_name = "TOKENS")]
    pub budget: Option<u32>,
    /// The most that the task may cost, in millionths of a US dollar
    #[arg(long, value_name = "MICROS")]
    pub micros: Option<u64>,
    /// Ask for so many answers side by side; the best is shown, and the others can be taken
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub variants: u8,
    /// patch, or spec: tests first, which fail and are locked, then the code that passes them (needs gate.tests)
    #[arg(long, default_value = "patch", value_name = "MODE")]
    pub mode: Mode,
    /// Apply the change when the gate passes
    #[arg(long)]
    pub apply: bool,
    /// Do not answer from the cache
    #[arg(long)]
    pub fresh: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    Patch,
    Spec,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    Narrow,
    Normal,
    Broad,
}

impl From<Scope> for Reach {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Narrow => Self::Narrow,
            Scope::Normal => Self::Normal,
            Scope::Broad => Self::Broad,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Conflicts {
    Refuse,
    Markers,
}

const DASHBOARD_EXAMPLES: &str = "\
Examples:
  krins dashboard                          opens the browser; Ctrl-C ends it
  krins dashboard --no-open --port 7118    prints the address
  krins dashboard --html figures.html      one file with everything in it, as of now

The page is served to this machine only. Its address holds a secret: who knows it can read the page until the command ends.";

#[derive(Debug, Args)]
pub struct Dashboard {
    /// Do not open a browser; the address is printed anyway
    #[arg(long)]
    pub no_open: bool,
    /// Where to listen on 127.0.0.1 (default: a port that is free)
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "PORT")]
    pub port: u16,
    /// How far back it is looked at first
    #[arg(long, default_value = "week", value_name = "PERIOD")]
    pub period: Span,
    /// Write the page to this file, as of now, and end
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_open", "port"])]
    pub html: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Span {
    Day,
    Week,
    Month,
}

impl From<Span> for Period {
    fn from(span: Span) -> Self {
        match span {
            Span::Day => Self::Day,
            Span::Week => Self::Week,
            Span::Month => Self::Month,
        }
    }
}

const AUDIT_HELP: &str = "Exit codes of verify: 0 sound, 1 changed, 2 it cannot be read.";

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check the chain, the checkpoints and their signatures, and what is kept
    Verify {
        /// A checkpoint that was kept elsewhere
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// The key that signed first, as name+id+base64
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// The last records
    Tail {
        #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
        count: usize,
        /// Only what is about this task
        #[arg(long, value_name = "TASK")]
        task: Option<String>,
        /// Only records of this kind, or of all kinds that begin with it: `fix`, `task.gated`
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
    },
    /// How many records of each kind
    Report,
    /// Hand what is new over to the remote backend, which keeps a copy (`audit.share`)
    Share,
    /// Sign a checkpoint and print it, to be kept where nobody who writes here can reach
    Checkpoint,
    /// Go over to a new signing key
    Rotate,
    /// What is kept, one JSON object a record
    Export {
        /// Only what is about this person, task, path or hash
        #[arg(long, value_name = "WHO")]
        subject: Option<String>,
    },
    /// Erase what is kept about a person, task, path or hash; the chain stays whole
    Forget {
        #[arg(long, value_name = "WHO")]
        subject: String,
    },
}

#[derive(Debug, Args)]
pub struct Approve {
    /// A task's id, or the sha256 of its patch
    #[arg(value_name = "TASK|HASH")]
    pub what: String,
    /// Who you are to the code owners: @name or a mail address (default: approvals.identity)
    #[arg(long = "as", value_name = "OWNER")]
    pub owner: Option<String>,
    /// The SSH key; a public one has the agent sign (default: approvals.key, else a usual one in ~/.ssh)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The last day on which it counts (default: in a week)
    #[arg(long, value_name = "DAY")]
    pub expires: Option<Day>,
    /// Write the approval to a file too, to be passed on
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// Exit 0 when there are approvals and all of them count, else 1 with the reasons
    Verify {
        /// A task's id, or the sha256 of its patch (default: the newest task)
        #[arg(value_name = "TASK|HASH")]
        what: Option<String>,
    },
    /// Take in an approval that was made elsewhere
    Import { file: PathBuf },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  krins waive sast/eval --path src/legacy.ts --reason \"goes with 2.0\" --expires 2027-01-31"
)]
pub struct Waive {
    /// The rule, or a check for all of its rules
    pub rule: String,
    /// A path or pattern: dir/, dir/**, *.gen.ts
    #[arg(long, value_name = "PATTERN")]
    pub path: String,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The last day on which it counts
    #[arg(long, value_name = "DAY")]
    pub expires: Day,
    /// Only while the lines that were found in this task read as they do
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
}

const REVIEW_EXAMPLES: &str = "\
Examples:
  krins review t-1 h2 reject
  krins review t-1 h2 edit                  with $VISUAL or $EDITOR
  krins review t-1 h2 edit --text new.txt   what stands in the file is what will be applied; - is standard input
  krins review t-1 h2 open                  takes the verdict and the edit back

Exit codes: 1 when the gate blocks the change as it is now.";

#[derive(Debug, Args)]
pub struct Review {
    pub task: String,
    /// h1, h2, …
    pub hunk: String,
    pub verdict: Say,
    /// With edit: what shall stand where the hunk's new lines stand, context lines included; - is standard input
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Say {
    Accept,
    Reject,
    Edit,
    Open,
}

#[derive(Debug, Args)]
pub struct Undo {
    /// An undo id or a task id (default: the last)
    pub undo: Option<String>,
    /// Only these hunks (h1, h2, …) of the task (default: the newest); the rest of the change stays
    #[arg(long, value_delimiter = ',', value_name = "HUNKS")]
    pub hunks: Option<Vec<String>>,
    /// Say what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Redo {
    /// An undo id or a task id (default: the last)
    pub undo: Option<String>,
    /// Say what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Newest first
    List,
    Show {
        task: Option<String>,
    },
    /// Show another of a task's answers instead (krins assign --variants)
    Select {
        task: String,
        /// Its number, as `krins task show` lists it
        variant: u32,
    },
}

#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// What each arm of the router, and each policy, would have brought, from the log of choices and outcomes
    Replay {
        #[arg(long, default_value_t = 1, value_name = "N")]
        seed: u64,
    },
    /// Try the policies on arms whose rewards you name, and show the regret against the best of them
    Run {
        /// Arms and their true rewards, such as a/x=0.7,b/y=0.4
        #[arg(long, required = true, value_delimiter = ',', value_name = "ROUTE=REWARD")]
        arms: Vec<String>,
        #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rounds: u32,
        #[arg(long, default_value_t = 1, value_name = "N")]
        seed: u64,
    },
}

#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Tasks, tokens, money and agents of the last seven days, a day a row
    Weekly {
        #[command(flatten)]
        written: Written,
    },
    /// What an accepted change costs, over the last 30 days; and what it is worth, when you say what it saves
    Roi {
        /// So many days back
        #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=400))]
        days: u32,
        /// Minutes that an accepted change saves, as you say
        #[arg(long, value_name = "MINUTES", requires = "hourly")]
        minutes: Option<f64>,
        /// What an hour is worth, in dollars
        #[arg(long, value_name = "DOLLARS", requires = "minutes")]
        hourly: Option<f64>,
        #[command(flatten)]
        written: Written,
    },
    /// The objectives of the last 30 days, and how much of each may still go wrong. Exit 1 when one is missed
    Slo {
        #[command(flatten)]
        written: Written,
    },
    /// Calls that were reserved and never charged, because their process died
    Open,
    /// Say what such a call really cost
    Reconcile {
        id: String,
        /// In millionths of a US dollar
        #[arg(long, value_name = "MICROS")]
        micros: u64,
    },
}

/// How a report is written.
#[derive(Debug, Args)]
pub struct Written {
    /// text, md, csv (the first table, plain numbers), html (the dashboard as of now, one file) or pdf
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub format: Form,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Text,
    Md,
    Csv,
    Html,
    Pdf,
}

#[derive(Debug, Args)]
pub struct Context {
    /// What to change, in words
    #[arg(required_unless_present = "batch")]
    pub intent: Option<String>,
    #[arg(long, value_name = "FILE[:L[-L]]")]
    pub file: Option<String>,
    #[arg(long, default_value = "normal", value_name = "SCOPE")]
    pub scope: Scope,
    /// The most tokens of context
    #[arg(long, value_name = "TOKENS")]
    pub budget: Option<u32>,
    /// Answer after about so many milliseconds from what is read by then (default: from everything)
    #[arg(long, value_name = "MS")]
    pub patience: Option<u32>,
    /// One JSON query a line in ({"intent", "file"?, "budget"?}), one answer a line out
    #[arg(long, value_name = "FILE", conflicts_with_all = ["intent", "file"])]
    pub batch: Option<PathBuf>,
}

const GRAPH_EXAMPLES: &str = "\
A file or symbol is written src/a.ts, src/a.ts#name, src/a.ts#Class.method, src/a.ts:12 (the declaration at the line),
or as a name that one file declares.

Examples:
  krins graph refs calculateTotal                     every use, through aliases and barrels
  krins graph impact src/cart.ts#total --depth 2      what a change of it reaches, nearest first
  git diff | krins graph impact --patch -             what your changes reach, with tests and owners
  krins graph tests src/cart.ts                       the tests that say something about it
  krins graph path src/main.ts calculateTotal         how two places hang together
  krins graph unused --json | jq '.unused[].symbol'   exports that nothing takes
  krins graph export --format html -o graph.html      a map of the files";

#[derive(Debug, Args)]
#[command(after_help = GRAPH_EXAMPLES)]
pub struct GraphArgs {
    #[command(subcommand)]
    pub command: GraphCommand,
    /// The most entries of each list (default: 200)
    #[arg(long, global = true, value_name = "N")]
    pub limit: Option<u32>,
    /// Answer after about so many milliseconds from what is read by then (default: from everything)
    #[arg(long, global = true, value_name = "MS")]
    pub patience: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub enum GraphCommand {
    /// Index the workspace and say how long it took
    Build,
    /// Files, symbols and edges
    Stats,
    /// A module's symbols, imports and importers
    Module { file: String },
    /// What a change of files or symbols, or a patch, reaches: nearest first, with tests and owners
    #[command(
        after_help = "Examples:\n  krins graph impact src/cart.ts#total\n  git diff | krins graph impact --patch -"
    )]
    Impact {
        /// Files or symbols that change
        #[arg(required_unless_present = "patch")]
        targets: Vec<String>,
        /// A unified diff, applied or not yet; - is standard input
        #[arg(long, value_name = "FILE")]
        patch: Option<PathBuf>,
        /// The most steps along uses (default: 3)
        #[arg(long, value_name = "N")]
        depth: Option<u32>,
    },
    /// Every declaration and use of a symbol, through re-exports, aliases and namespaces
    #[command(
        visible_alias = "references",
        after_help = "Examples:\n  krins graph refs calculateTotal\n  krins graph refs src/a.ts:12"
    )]
    Refs { symbol: String },
    /// Who owns files by CODEOWNERS (default: how many each owner has)
    Owners { files: Vec<String> },
    /// The tests of a file or symbol, the one that says most first; or all that a patch can make fail, and why each
    #[command(after_help = "Example:\n  git diff | krins graph tests --patch -")]
    Tests {
        #[arg(required_unless_present = "patch")]
        target: Option<String>,
        /// A patch of the files as they are, not applied yet; - is standard input
        #[arg(long, value_name = "FILE", conflicts_with = "target")]
        patch: Option<PathBuf>,
    },
    /// The shortest way from one file or symbol to another
    #[command(after_help = "Example:\n  krins graph path src/main.ts calculateTotal")]
    Path { from: String, to: String },
    /// Exports that nothing takes, with how sure that is
    Unused {
        /// Only in these files
        files: Vec<String>,
    },
    /// Files that import each other in circles
    Cycles,
    /// A picture of the graph
    #[command(
        after_help = "Examples:\n  krins graph export --format html -o graph.html\n  krins graph export --format dot --focus src/cart.ts --depth 2 | dot -Tsvg > cart.svg"
    )]
    Export {
        /// dot, mermaid, html or json
        #[arg(long, default_value = "html", value_name = "FORMAT")]
        format: Picture,
        /// Only this file and what is near it
        #[arg(long, value_name = "FILE")]
        focus: Option<String>,
        /// How many imports away from the focus a file may be
        #[arg(long, default_value_t = 1, value_name = "N")]
        depth: u32,
        /// Directories in place of files
        #[arg(long)]
        dirs: bool,
        /// Write to this file instead of standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Picture {
    Dot,
    Mermaid,
    Html,
    Json,
}

impl From<Picture> for Format {
    fn from(picture: Picture) -> Self {
        match picture {
            Picture::Dot => Self::Dot,
            Picture::Mermaid => Self::Mermaid,
            Picture::Html => Self::Html,
            Picture::Json => Self::Json,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum PatchCommand {
    /// Exit 0 applied or nothing to do, 1 conflict, 2 refused; nothing is written unless all of it is
    Apply {
        /// A directory with the files as the patch's author saw them
        #[arg(long, value_name = "DIR")]
        base: Option<PathBuf>,
    },
}

const GATE_EXAMPLES: &str = "\
Examples:
  git diff | krins gate
  git diff | krins gate --format sarif > krins.sarif    what forges and editors read
  krins gate --task t-1 --json

Exit codes: 0 passed, perhaps with warnings; 1 blocked; 2 no patch.";

#[derive(Debug, Args)]
pub struct Gate {
    /// Judge this task's diff as the files are now, in place of standard input
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// How the report is written: terminal, json or sarif (2.1.0)
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ReportFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Terminal,
    Json,
    Sarif,
}

const SBOM_EXAMPLES: &str = "\
Examples:
  git diff | krins sbom                              CycloneDX 1.6 of what the patch brings
  krins sbom --task t-1 --format pdf -o change.pdf
  krins sbom --whole --format spdx < /dev/null       everything that is locked now
  krins sbom check bom.json                          schema, references, expressions, package URLs

The same patch gives the same bytes. The time in a document is --timestamp, else SOURCE_DATE_EPOCH, else the task's, else none.";

#[derive(Debug, Args)]
pub struct Sbom {
    #[command(subcommand)]
    pub command: Option<SbomCommand>,
    /// This task's packages, in place of those of a patch from standard input
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// cyclonedx (1.6, JSON), spdx (2.3, JSON), csv or pdf
    #[arg(long, default_value = "cyclonedx", value_name = "FORMAT")]
    pub format: SbomFormat,
    /// Every locked package as it is after the patch, not only what the patch brings
    #[arg(long)]
    pub whole: bool,
    /// The time that the document says, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub timestamp: Option<String>,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum SbomCommand {
    /// Check a CycloneDX 1.6 document: by its schema, and by what a schema cannot say. Exit 1 when it is wrong
    Check {
        /// - is standard input
        file: PathBuf,
        /// A document that says too little (packages without a version or a package URL) is wrong too
        #[arg(long)]
        strict: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SbomFormat {
    #[value(name = "cyclonedx")]
    CycloneDx,
    Spdx,
    Csv,
    Pdf,
}

const SANDBOX_EXAMPLES: &str = "\
Examples:
  krins sandbox -- npx tsc --noEmit        what the type check of the gate would say
  krins sandbox --json -- node --test      its output, its end, and what the sandbox held

Exit codes: the command's own; 1 when it was ended or timed out, 2 when it was not run.";

#[derive(Debug, Args)]
pub struct Sandbox {
    /// Seconds until it is ended (default: gate.timeout_seconds)
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Do without bwrap, as where it is missing: Landlock and seccomp alone
    #[arg(long)]
    pub without_namespaces: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// The task (default: a rename that the sample, or the most imported symbol of your project, offers)
    pub intent: Option<String>,
    /// Keep the copy and print where it is
    #[arg(long)]
    pub keep: bool,
}

/// A `FILE[:L[-L]]` argument: path as written and 1-based inclusive lines.
pub fn parse_place(place: &str) -> (String, Option<[u32; 2]>) {
    let parse = |lines: &str| -> Option<[u32; 2]> {
        let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (1 <= first && first <= last).then_some([first, last])
    };
    match place.rsplit_once(':').and_then(|(path, lines)| Some((path, parse(lines)?))) {
        Some((path, lines)) => (path.to_owned(), Some(lines)),
        None => (place.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// What vscode-languageclient makes of `["lsp", "--stdio"]`.
    #[test]
    fn a_client_library_may_append_its_words() {
        let cli = Cli::try_parse_from(["krins", "lsp", "--stdio", "--stdio", "--clientProcessId=42"]).unwrap();
        assert!(matches!(cli.command, Command::Lsp { stdio: 2, client_process_id: Some(42) }));
    }

    #[test]
    fn places_are_read_and_drive_letters_are_not_lines() {
        assert_eq!(parse_place("src/a.ts"), ("src/a.ts".into(), None));
        assert_eq!(parse_place("src/a.ts:7"), ("src/a.ts".into(), Some([7, 7])));
        assert_eq!(parse_place("src/a.ts:7-9"), ("src/a.ts".into(), Some([7, 9])));
        assert_eq!(parse_place("C:\\a.ts"), ("C:\\a.ts".into(), None));
        assert_eq!(parse_place("a.ts:9-7"), ("a.ts:9-7".into(), None));
    }
}
