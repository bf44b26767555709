//! What one connection has agreed on, and the engines of its folders.

use crate::locks::Locker;
use crate::lsp::conflicts::LastConflicts;
use crate::lsp::order::Order;
use crate::lsp::quirks::{self, Quirks};
use crate::setup::Setup;
use krins_core::text::Encoding;
use krins_engine::tasks::Task;
use krins_engine::workspace::{Root, file_path};
use krins_engine::{Engine, Error, ErrorKind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tower_lsp::Client;
use tower_lsp::ls_types::{DidChangeTextDocumentParams, InitializeParams, ProgressToken};

/// Agreed at `initialize`, never changed after.
pub struct Agreed {
    pub encoding: Encoding,
    pub quirks: Quirks,
    /// The client has a Krins plugin: it draws reviews and progress itself.
    pub plugin: bool,
    /// It wants to hear where each check of the gate is.
    pub gate_status: bool,
    pub progress: bool,
    pub show_document: bool,
    /// Edits may be said as `documentChanges`, with versions.
    pub document_changes: bool,
    /// Lenses can be asked for anew.
    pub refreshes_lenses: bool,
    /// `initializationOptions.krins.settings`.
    pub settings: Option<Value>,
}

/// Folders of one connection, those that were taken away among them: each has an engine until the session ends.
const MOST_FOLDERS: usize = 200;

/// The folders that the client has open, in its order, and the roots of those that it took away.
#[derive(Default)]
struct Folders {
    there: Vec<PathBuf>,
    gone: BTreeSet<PathBuf>,
}

pub struct Session {
    pub client: Client,
    setup: Setup,
    agreed: OnceLock<Agreed>,
    /// Locked for a moment only, never while an engine opens.
    folders: Mutex<Folders>,
    engines: Mutex<Vec<Engine>>,
    /// No workspace is read in the background, whichever opens.
    paused: AtomicBool,
    /// Open documents whose engine could not be opened, so that nobody knows their text.
    unknown: Mutex<BTreeSet<String>>,
    /// Changes that came before those that they follow, for clients that shuffle them.
    pub order: Order<DidChangeTextDocumentParams>,
    /// Where the last apply found that the files had gone on.
    pub conflicts: LastConflicts,
    /// Held by an apply, an undo, a redo or a review until it has its place in the queue of its root: they are done in the order in which
    /// they came.
    pub turning: tokio::sync::Mutex<()>,
    /// Progress tokens that came with an assign, by task.
    tokens: Mutex<BTreeMap<String, ProgressToken>>,
    /// Starts the reporter of an engine. Must not ask for engines itself.
    on_open: fn(&Arc<Session>, &Engine),
}

impl Session {
    pub fn new(client: Client, setup: Setup, on_open: fn(&Arc<Session>, &Engine)) -> Self {
        Self {
            client,
            setup,
            agreed: OnceLock::new(),
            folders: Mutex::default(),
            engines: Mutex::default(),
            paused: AtomicBool::default(),
            unknown: Mutex::default(),
            order: Order::default(),
            conflicts: LastConflicts::default(),
            turning: tokio::sync::Mutex::default(),
            tokens: Mutex::default(),
            on_open,
        }
    }

    /// Reads `initialize`. No disk is touched: the reply must be fast.
    pub fn agree(&self, params: &InitializeParams) -> &Agreed {
        self.agreed.get_or_init(|| {
            self.lock_folders().there = folders(params);
            agreed(params)
        })
    }

    /// Whether the client is known to leave what it reads together with a reply lying. May be asked before anything is agreed.
    pub fn stops_at_replies(&self) -> bool {
        self.agreed.get().is_some_and(|agreed| agreed.quirks.stops_at_replies)
    }

    /// What was agreed; the defaults of an unknown client before `initialize`.
    pub fn agreed(&self) -> &Agreed {
        self.agreed.get_or_init(|| agreed(&InitializeParams::default()))
    }

    /// The engine of the folder that holds the document, opened at first use. A document outside every folder gets an
    /// engine of its own root: the nearest directory upwards with `.git` or `.krins`, else its directory.
    pub fn engine(self: &Arc<Self>, uri: Option<&str>) -> Result<Engine, Error> {
        let path = uri.map(|uri| {
            file_path(uri).ok_or_else(|| Error::new(ErrorKind::BadParams, format!("use {uri:?}: it is not a file URI")))
        });
        match path.transpose()? {
            Some(path) => self.engine_at(&path),
            None => self.first_engine(),
        }
    }

    fn engine_at(self: &Arc<Self>, path: &Path) -> Result<Engine, Error> {
        let around = self.folders().into_iter().filter(|folder| path.starts_with(folder));
        if let Some(folder) = around.max_by_key(|folder| folder.as_os_str().len()) {
            return self.open(&folder);
        }
        let dir = path.parent().unwrap_or(path);
        let depth = |root: &Path| root.as_os_str().len();
        let around = self.engines().into_iter().filter(|engine| engine.root().relative(path).is_some());
        let around = around.max_by_key(|engine| depth(engine.root().path()));
        let root = crate::setup::marked_root(dir).map(|root| root.canonicalize().unwrap_or_else(|_| root.to_owned()));
        match (root, around) {
            // A repository inside of what is open is one of its own.
            (Some(root), Some(around)) if depth(&root) > depth(around.root().path()) => self.open(&root),
            (_, Some(around)) => Ok(around),
            (root, None) => self.open(root.as_deref().unwrap_or(dir)),
        }
    }

    fn first_engine(self: &Arc<Self>) -> Result<Engine, Error> {
        if let Some(folder) = self.folders().first() {
            return self.open(folder);
        }
        if let Some(engine) = self.engines_here().into_iter().next() {
            return Ok(engine);
        }
        Err(Error::new(ErrorKind::BadParams, "find a workspace: no folder and no file is open")
            .hint("open a folder, or name a `textDocument`"))
    }

    /// The locks of an engine's root.
    pub fn locker(&self, engine: &Engine, holder: Option<&str>) -> Result<Locker, Error> {
        Locker::open(&self.setup, engine.root(), self.agreed().settings.as_ref(), holder)
    }

    /// The folders that the client has open now, in its order.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.lock_folders().there.clone()
    }

    fn lock_folders(&self) -> MutexGuard<'_, Folders> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes folders away and others in; gives those that are new, which nobody has opened yet, and those that are too
    /// many. What runs in a folder that was taken away ends as it would, and its tasks can be asked for by name; the
    /// background reads nothing there any more.
    pub fn change_folders(&self, added: Vec<PathBuf>, removed: &[PathBuf]) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let mut folders = self.lock_folders();
        for folder in removed.iter().filter(|folder| !added.contains(folder)) {
            let Some(at) = folders.there.iter().position(|there| there == folder) else { continue };
            folders.there.remove(at);
            folders.gone.insert(root_of(folder));
        }
        let (mut new, mut surplus) = (Vec::new(), Vec::new());
        for folder in added {
            if folders.there.contains(&folder) {
                continue;
            }
            let known = folders.gone.remove(&root_of(&folder));
            if !known && folders.there.len() + folders.gone.len() >= MOST_FOLDERS {
                surplus.push(folder);
                continue;
            }
            folders.there.push(folder.clone());
            new.push(folder);
        }
        drop(folders);
        let paused = self.paused.load(Ordering::Relaxed);
        for engine in self.lock().iter() {
            engine.index().pause(paused || self.is_gone(engine));
        }
        (new, surplus)
    }

    /// Whether the engine's folder was taken away.
    fn is_gone(&self, engine: &Engine) -> bool {
        self.lock_folders().gone.contains(engine.root().path())
    }

    /// A folder that was taken away takes no new tasks.
    pub fn refuse_gone(&self, engine: &Engine) -> Result<(), Error> {
        if !self.is_gone(engine) {
            return Ok(());
        }
        let folder = engine.root().path().display();
        Err(Error::new(
            ErrorKind::BadParams,
            format!("assign a task in {folder}: the folder was taken out of the workspace"),
        )
        .hint("add the folder again"))
    }

    /// Every engine but those of folders that were taken away: where to look when nobody says where.
    pub fn engines_here(&self) -> Vec<Engine> {
        self.engines().into_iter().filter(|engine| !self.is_gone(engine)).collect()
    }

    /// Opens every folder, and waits for those that are just opening. The first error is that of a folder that cannot be
    /// opened; the others are open all the same.
    pub fn open_folders(self: &Arc<Self>) -> Result<(), Error> {
        let opened: Vec<_> = self.folders().iter().map(|folder| self.open(folder).map(drop)).collect();
        opened.into_iter().collect()
    }

    /// The engine that knows the task; without a task, the one with the newest. A folder that is not open yet may be the
    /// one that knows it.
    pub fn engine_of_task(self: &Arc<Self>, task: Option<&str>) -> Result<Engine, Error> {
        let Some(task) = task else { return self.newest() };
        if let Some(engine) = self.open_engine_of(task) {
            return Ok(engine);
        }
        // Nobody may say that it is unknown while there is a folder that could not be asked.
        self.open_folders()?;
        match self.open_engine_of(task) {
            Some(engine) => Ok(engine),
            None => self.first_engine().and_then(|engine| engine.tasks().get(task).map(|_| engine)),
        }
    }

    /// The same of what is open: where the task runs, it is.
    pub fn open_engine_of(&self, task: &str) -> Option<Engine> {
        self.engines().into_iter().find(|engine| engine.tasks().get(task).is_ok())
    }

    /// The engine with the newest task.
    fn newest(self: &Arc<Self>) -> Result<Engine, Error> {
        let newest = |engine: &Engine| engine.tasks().newest(|_| true).map(|task| task.created);
        self.open_those_there_are();
        match self.engines_here().into_iter().max_by_key(newest) {
            Some(engine) => Ok(engine),
            None => self.first_engine(),
        }
    }

    /// A folder that cannot be opened was told of when it was to be; what is asked of no folder by name is asked of the
    /// others.
    pub fn open_those_there_are(self: &Arc<Self>) {
        if let Err(error) = self.open_folders() {
            tracing::debug!(%error, "a folder is not asked");
        }
    }

    /// The engine whose change an undo takes back, or (`undone`) a redo makes again: that of the named one, else that of
    /// the newest.
    pub async fn engine_of_change(self: &Arc<Self>, which: Option<&str>, undone: bool) -> Result<Engine, Error> {
        let engines = match which {
            Some(which) => {
                let known = |task: &Task| task.id == which || task.undo.as_deref() == Some(which);
                let knows = |engine: &Engine| engine.tasks().newest(known).is_some();
                if let Some(engine) = self.engines().into_iter().find(knows) {
                    return Ok(engine);
                }
                self.open_folders()?;
                if let Some(engine) = self.engines().into_iter().find(knows) {
                    return Ok(engine);
                }
                self.engines()
            }
            None => {
                self.open_those_there_are();
                self.engines_here()
            }
        };
        if let [engine] = engines.as_slice() {
            return Ok(engine.clone());
        }
        let mut newest = None;
        for engine in engines {
            engine.settled().await;
            // A history that cannot be read may hold it: what another holds would be the wrong one.
            let turn = engine.applier().last_turn(which, undone).await?;
            if turn.is_some() && newest.as_ref().is_none_or(|(known, _)| *known < turn) {
                newest = Some((turn, engine));
            }
        }
        match newest {
            Some((_, engine)) => Ok(engine),
            None => self.newest(),
        }
    }

    /// The engine of a folder.
    pub fn engine_in(self: &Arc<Self>, folder: &Path) -> Result<Engine, Error> {
        self.open(folder)
    }

    /// Tells every engine whose root holds the document, and the one that opened for it. Roots may lie in each other,
    /// and whoever plans a change has to know what is open. No engine opens meanwhile.
    pub fn tell(&self, uri: &str, opened: Option<&Engine>, tell: impl Fn(&Engine)) {
        for engine in self.lock().iter() {
            let opened = opened.is_some_and(|opened| opened.root().path() == engine.root().path());
            if opened || engine.root().relative_uri(uri).is_some() || engine.documents().get(uri).is_some() {
                tell(engine);
            }
        }
    }

    /// Notes a document that is open and whose text nobody takes; an engine that opens later must not read it from disk.
    pub fn set_unknown(&self, uri: &str, unknown: bool) {
        let mut known = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown {
            known.insert(uri.to_owned());
        } else {
            known.remove(uri);
        }
    }

    /// Gives a new engine the documents that are open in its root.
    fn hand_over(&self, engine: &Engine, others: &[Engine]) {
        let (root, documents) = (engine.root(), engine.documents());
        for document in others.iter().flat_map(|other| other.documents().snapshot().iter().cloned().collect::<Vec<_>>())
        {
            if root.relative_uri(&document.uri).is_some() {
                documents.open(&document.uri, document.version, document.text.to_string());
                if document.desynchronised {
                    documents.desynchronise(&document.uri);
                }
            }
        }
        for uri in self.unknown.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if root.relative_uri(uri).is_some() {
                documents.open(uri, 0, String::new());
                documents.desynchronise(uri);
            }
        }
    }

    /// A document that a lost notification was about cannot be trusted until it is opened again.
    pub fn desynchronise(&self, uri: &str) {
        for engine in self.engines() {
            engine.documents().desynchronise(uri);
        }
    }

    /// Every open engine.
    pub fn engines(&self) -> Vec<Engine> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Engine>> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(self: &Arc<Self>, path: &Path) -> Result<Engine, Error> {
        let mut engines = self.lock();
        let root = Root::open(path)?;
        if let Some(engine) = engines.iter().find(|engine| engine.root().path() == root.path()) {
            return Ok(engine.clone());
        }
        let engine = self.setup.engine(root, self.agreed().settings.as_ref(), self.agreed().encoding)?;
        self.hand_over(&engine, &engines);
        // Before anybody can assign a task to it, so that the reporter misses none.
        (self.on_open)(self, &engine);
        engine.index().pause(self.paused.load(Ordering::Relaxed) || self.is_gone(&engine));
        engine.keep_index_fresh();
        engines.push(engine.clone());
        Ok(engine)
    }

    /// Holds the background's reading of every workspace, or lets it go on; and gives the engines that there are.
    pub fn pause(&self, pause: bool) -> Vec<Engine> {
        let engines = self.lock();
        self.paused.store(pause, Ordering::Relaxed);
        engines.iter().for_each(|engine| engine.index().pause(pause || self.is_gone(engine)));
        engines.clone()
    }

    pub fn remember_token(&self, task: &str, token: ProgressToken) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(task.to_owned(), token);
    }

    pub fn token(&self, task: &str) -> Option<ProgressToken> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(task).cloned()
    }

    pub fn forget_token(&self, task: &str) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(task);
    }

    /// The task that a progress token stands for.
    pub fn task_of_token(&self, token: &ProgressToken) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().find(|(_, known)| *known == token).map(|(task, _)| task.clone())
    }
}

fn agreed(params: &InitializeParams) -> Agreed {
    let options = params.initialization_options.as_ref().and_then(|options| options.get("krins"));
    let plugin = options.is_some_and(|options| options.get("client").is_some_and(|client| !client.is_null()))
        || params.capabilities.experimental.as_ref().is_some_and(|experimental| experimental.get("krins").is_some());
    let window = params.capabilities.window.as_ref();
    let workspace = params.capabilities.workspace.as_ref();
    let edits = workspace.and_then(|workspace| workspace.workspace_edit.as_ref());
    let quirks = quirks::of(params.client_info.as_ref());
    let show_document = window.and_then(|window| window.show_document.as_ref()).is_some_and(|show| show.support)
        || quirks.shows_documents_unasked;
    Agreed {
        encoding: crate::from_proto::encoding(&params.capabilities),
        plugin,
        gate_status: wants(options, "gateStatus"),
        progress: window.and_then(|window| window.work_done_progress).unwrap_or(false),
        show_document,
        // Neovim reads them and does not say so; resource operations, which it does name, are part of nothing else.
        document_changes: edits.is_some_and(|edits| {
            edits.document_changes == Some(true)
                || edits.resource_operations.as_ref().is_some_and(|all| !all.is_empty())
        }),
        refreshes_lenses: workspace
            .and_then(|workspace| workspace.code_lens.as_ref())
            .and_then(|lenses| lenses.refresh_support)
            .unwrap_or(false),
        settings: options.and_then(|options| options.get("settings")).cloned(),
        quirks,
    }
}

/// The folder as its engine's root is called, also when it is no longer there.
fn root_of(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// Whether the client names a feature.
fn wants(options: Option<&Value>, feature: &str) -> bool {
    let features = options.and_then(|options| options.pointer("/client/features")?.as_array());
    features.is_some_and(|features| features.iter().any(|named| named == feature))
}

#[expect(deprecated, reason = "clients older than workspace folders send rootUri alone")]
fn folders(params: &InitializeParams) -> Vec<PathBuf> {
    let folders: Vec<PathBuf> =
        params.workspace_folders.iter().flatten().filter_map(|folder| file_path(folder.uri.as_str())).collect();
    if !folders.is_empty() {
        return folders;
    }
    params.root_uri.iter().filter_map(|uri| file_path(uri.as_str())).collect()
}
