//! Hints to and from the other replicas: through Redis where there is one that answers, else through the database. Many
//! small ones are sent together, and none is waited for.

use crate::shared::Redis;
use crate::store::{Hint, Store, of_message, to_messages};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot};

/// How long hints are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(5);
/// Hints that wait to be sent, or to be read here.
const BACKLOG: usize = 4096;
/// Hints sent together.
const TOGETHER: usize = 1000;
/// How long the last hints of a replica may take.
const FLUSH: Duration = Duration::from_secs(1);

/// A handle; clones share it.
#[derive(Clone)]
pub struct Fan {
    /// None where nobody else could hear.
    out: Option<mpsc::Sender<Out>>,
    heard: broadcast::Sender<Hint>,
}

enum Out {
    Hint(Hint),
    Flush(oneshot::Sender<()>),
}

impl Fan {
    pub fn start(store: Arc<dyn Store>, redis: Option<Redis>) -> Self {
        let heard = broadcast::channel(BACKLOG).0;
        let mut fan = Self { out: None, heard };
        if !store.is_shared() {
            return fan;
        }
        if let Some(hints) = store.hints() {
            tokio::spawn(pass_on(hints, fan.heard.clone()));
        }
        if let Some(redis) = &redis {
            tokio::spawn(pass_on_messages(redis.listen(), fan.heard.clone()));
        }
        let (out, queue) = mpsc::channel(BACKLOG);
        tokio::spawn(send(queue, store, redis));
        fan.out = Some(out);
        fan
    }

    /// Tells everybody, this replica too. A full backlog loses the hint, which costs a moment.
    pub fn tell(&self, hint: Hint) {
        if matches!(hint, Hint::Locks(..) | Hint::Tokens | Hint::Switch) {
            let _ = self.heard.send(hint.clone());
        }
        if let Some(out) = &self.out {
            let _ = out.try_send(Out::Hint(hint));
        }
    }

    /// What others tell.
    pub fn hear(&self) -> broadcast::Receiver<Hint> {
        self.heard.subscribe()
    }

    /// Until what was told is sent, if that is soon.
    pub async fn flush(&self) {
        let Some(out) = &self.out else { return };
        let (done, sent) = oneshot::channel();
        if out.try_send(Out::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(FLUSH, sent).await;
        }
    }
}

async fn pass_on(mut hints: mpsc::Receiver<Hint>, heard: broadcast::Sender<Hint>) {
    while let Some(hint) = hints.recv().await {
        // Without a listener it is for nobody.
        let _ = heard.send(hint);
    }
}

async fn pass_on_messages(mut messages: mpsc::Receiver<String>, heard: broadcast::Sender<Hint>) {
    while let Some(message) = messages.recv().await {
        of_message(&message).for_each(|hint| drop(heard.send(hint)));
    }
}

async fn send(mut queue: mpsc::Receiver<Out>, store: Arc<dyn Store>, redis: Option<Redis>) {
    let mut together = Vec::new();
    while queue.recv_many(&mut together, TOGETHER).await > 0 {
        if together.len() < TOGETHER {
            tokio::time::sleep(GATHER).await;
            while let Ok(more) = queue.try_recv() {
                together.push(more);
            }
        }
        let mut hints = Vec::new();
        let mut waiting = Vec::new();
        for out in together.drain(..) {
            match out {
                Out::Hint(hint) => hints.push(hint),
                Out::Flush(done) => waiting.push(done),
            }
        }
        publish(&hints, store.as_ref(), redis.as_ref()).await;
        for done in waiting {
            let _ = done.send(());
        }
    }
}

async fn publish(hints: &[Hint], store: &dyn Store, redis: Option<&Redis>) {
    if let Some(redis) = redis {
        let mut all = true;
        for message in to_messages(hints) {
            all &= redis.publish(&message).await;
        }
        if all {
            return;
        }
    }
    if let Err(error) = store.publish(hints).await {
        tracing::debug!(%error, "failed to tell the other replicas; they look regularly");
    }
}
