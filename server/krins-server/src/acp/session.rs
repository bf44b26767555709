//! Sessions: each is one workspace, and runs one turn at a time.

use super::words;
use crate::setup::Setup;
use agent_client_protocol::Client;
use agent_client_protocol::v1::schema::{
    AvailableCommand, AvailableCommandsUpdate, ClientCapabilities, NewSessionRequest, NewSessionResponse, SessionId,
    SessionNotification, SessionUpdate,
};
use agent_client_protocol::v1::{ConnectionTo, Responder};
use krins_core::text::Encoding;
use krins_engine::workspace::Root;
use krins_engine::{Engine, Error, ErrorKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// More than a person has windows. A client need not say that it is done with one, so the one that was not used for longest
/// makes room.
const MOST: usize = 64;

/// Which of the client's files may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub read: bool,
    pub write: bool,
}

pub struct Sessions {
    setup: Setup,
    /// How long a question to the person may stay without an answer.
    pub patience: Duration,
    files: OnceLock<Files>,
    open: Mutex<BTreeMap<String, Session>>,
    /// Held while one is made: what is opened twice at once is one workspace.
    making: Mutex<()>,
    /// Counts uses.
    uses: AtomicU64,
    /// Turns that are at work.
    pub turns: TaskTracker,
}

struct Session {
    engine: Engine,
    /// The root as the client spells it.
    cwd: PathBuf,
    /// Of the turn that runs.
    turn: Option<CancellationToken>,
    /// The number of its last use.
    used: u64,
}

/// The session's only turn, until it is dropped.
pub struct Turn {
    sessions: Arc<Sessions>,
    pub session: SessionId,
    pub engine: Engine,
    /// The root as the client spells it: it knows its files by no other name.
    pub cwd: PathBuf,
    pub cancel: CancellationToken,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(session) = self.sessions.open().get_mut(&*self.session.0) {
            session.turn = None;
            session.used = self.sessions.use_one();
        }
    }
}

impl Sessions {
    pub fn new(setup: Setup, patience: Duration) -> Self {
        Self {
            setup,
            patience,
            files: OnceLock::new(),
            open: Mutex::default(),
            making: Mutex::default(),
            uses: AtomicU64::default(),
            turns: TaskTracker::new(),
        }
    }

    fn use_one(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the client offers. The first word counts.
    pub fn greet(&self, offered: &ClientCapabilities) {
        let _ = self.files.set(Files { read: offered.fs.read_text_file, write: offered.fs.write_text_file });
    }

    /// Nothing before it was said.
    pub fn files(&self) -> Files {
        self.files.get().copied().unwrap_or_default()
    }

    pub async fn make(
        self: &Arc<Self>,
        request: NewSessionRequest,
        responder: Responder<NewSessionResponse>,
        connection: &ConnectionTo<Client>,
    ) {
        let sessions = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || sessions.open_at(&request.cwd)).await;
        let opened =
            opened.unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, format!("open the workspace: {error}"))));
        // A client that is gone hears nothing.
        let _ = match opened {
            Ok(id) => {
                let answered = responder.respond(NewSessionResponse::new(id.clone()));
                let update = SessionUpdate::AvailableCommandsUpdate(AvailableCommandsUpdate::new(commands()));
                answered.and_then(|()| connection.send_notification(SessionNotification::new(id, update)))
            }
            Err(error) => responder.respond_with_error(words::failure(&error)),
        };
    }

    fn open_at(&self, cwd: &Path) -> Result<SessionId, Error> {
        if !cwd.is_absolute() {
            return Err(Error::new(ErrorKind::BadParams, "open a session: `cwd` is no absolute path")
                .hint("name the workspace's directory"));
        }
        let root = Root::open(cwd)?;
        let _one = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let known = {
            let open = self.open();
            open.values().find(|session| session.engine.root().path() == root.path()).map(|found| found.engine.clone())
        };
        // Two windows on one workspace share what is known of it.
        let engine = match known {
            Some(engine) => engine,
            None => {
                let engine = self.setup.engine(root, None, Encoding::Utf8)?;
                engine.keep_index_fresh();
                engine
            }
        };
        let id = format!("s-{}", Uuid::now_v7().simple());
        let used = self.use_one();
        let mut open = self.open();
        let dropped = room(&mut open)?;
        open.insert(id.clone(), Session { engine, cwd: cwd.to_owned(), turn: None, used });
        drop(open);
        // With it, perhaps, the last that is known of its workspace.
        drop(dropped);
        Ok(SessionId::new(id))
    }

    /// Stops its turn and forgets it. One that is not there is closed already.
    pub fn close(&self, session: &SessionId) {
        let closed = self.open().remove(&*session.0);
        if let Some(turn) = closed.and_then(|closed| closed.turn) {
            turn.cancel();
        }
    }

    /// Begins the session's turn.
    pub fn begin(self: &Arc<Self>, session: &SessionId) -> Result<Turn, Error> {
        let mut open = self.open();
        let id: String = session.0.chars().take(60).collect();
        let found = open.get_mut(&*session.0).ok_or_else(|| {
            Error::new(
                ErrorKind::BadParams,
                format!("find session {id:?}: it was closed, or {MOST} newer ones took its place"),
            )
            .hint("begin a new conversation (session/new)")
        })?;
        if found.turn.is_some() {
            return Err(Error::new(ErrorKind::Overloaded, "begin a turn: the one before is not over")
                .hint("cancel it, or wait for it"));
        }
        let cancel = CancellationToken::new();
        found.turn = Some(cancel.clone());
        found.used = self.use_one();
        let (engine, cwd) = (found.engine.clone(), found.cwd.clone());
        Ok(Turn { sessions: Arc::clone(self), session: session.clone(), engine, cwd, cancel })
    }

    /// Stops the session's turn, if one runs.
    pub fn cancel(&self, session: &SessionId) {
        if let Some(cancel) = self.open().get(&*session.0).and_then(|session| session.turn.as_ref()) {
            cancel.cancel();
        }
    }

    /// Stops every turn, and waits until they are over: what has begun to be written is written to its end.
    pub async fn end(&self) {
        let turns: Vec<CancellationToken> = self.open().values().filter_map(|session| session.turn.clone()).collect();
        for turn in turns {
            turn.cancel();
        }
        self.turns.close();
        self.turns.wait().await;
    }
}

/// Takes one out where there are as many as may be: of those without a turn, the one that was not used for longest.
fn room(open: &mut BTreeMap<String, Session>) -> Result<Option<Session>, Error> {
    if open.len() < MOST {
        return Ok(None);
    }
    let idle = open.iter().filter(|(_, session)| session.turn.is_none());
    match idle.min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone()) {
        Some(id) => Ok(open.remove(&id)),
        None => Err(Error::new(ErrorKind::Overloaded, format!("open another session: {MOST} are at work"))
            .hint("wait for one, or cancel one")),
    }
}

/// What may be said in place of a task.
fn commands() -> Vec<AvailableCommand> {
    vec![
        AvailableCommand::new("undo", "Take the last change of this workspace back, byte for byte"),
        AvailableCommand::new("redo", "Do again what undo took back"),
    ]
}
