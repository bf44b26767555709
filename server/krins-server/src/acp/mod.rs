//! The Agent Client Protocol over stdio: the same engine for editors that bring their own chat, diff and permission UI
//! (Zed, JetBrains, others). The only place that knows the protocol's types.
//!
//! A prompt is a task. What it would change is shown as the diff of a tool call, and permission is asked: **only an explicit
//! "allow" applies it**; a refusal, a cancel, an error, silence or another word is no. Text that is not saved comes from the
//! client where it offers to read files ([`buffers`]).

mod buffers;
mod lines;
mod session;
mod turn;
mod words;

use crate::lsp::parent::Watch;
use crate::lsp::stdio;
use crate::setup::Setup;
use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::schema::{
    AgentCapabilities, AuthenticateRequest, CancelNotification, CloseSessionRequest, CloseSessionResponse,
    Implementation, InitializeRequest, InitializeResponse, NewSessionRequest, PromptCapabilities, PromptRequest,
    SessionCapabilities, SessionCloseCapabilities,
};
use agent_client_protocol::{Agent, Lines, on_receive_notification, on_receive_request};
use session::Sessions;
use std::sync::Arc;
use std::time::Duration;

/// How long a change that has begun may take to end after the client is gone.
const LAST: Duration = Duration::from_secs(5);

/// Speaks until the client is gone. Whether it went in an orderly way.
pub async fn serve(setup: Setup, patience: Duration, watch: Watch, input: stdio::Input, output: stdio::Output) -> bool {
    let sessions = Arc::new(Sessions::new(setup, patience));
    let [greeted, made, asked, stopped, closed] = std::array::from_fn(|_| Arc::clone(&sessions));
    let connection = Agent
        .v1()
        .name("krins")
        .on_receive_request(
            async move |request: InitializeRequest, responder, _| {
                greeted.greet(&request.client_capabilities);
                responder.respond(greeting())
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |_: AuthenticateRequest, responder, _| {
                // Keys are the person's own settings; there is nothing to log in to.
                responder.respond_with_error(agent_client_protocol::Error::invalid_params())
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: NewSessionRequest, responder, connection| {
                let sessions = Arc::clone(&made);
                // Opening a workspace reads it; the next message need not wait for that.
                tokio::spawn(async move { sessions.make(request, responder, &connection).await });
                Ok(())
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: CloseSessionRequest, responder, _| {
                closed.close(&request.session_id);
                responder.respond(CloseSessionResponse::new())
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: PromptRequest, responder, connection| {
                turn::start(&asked, request, responder, connection);
                Ok(())
            },
            on_receive_request!(),
        )
        .on_receive_notification(
            async move |notification: CancelNotification, _| {
                stopped.cancel(&notification.session_id);
                Ok(())
            },
            on_receive_notification!(),
        )
        .connect_to(Lines::new(lines::write(output), lines::read(input)));
    let orderly = tokio::select! {
        ended = connection => ended.inspect_err(|error| tracing::warn!(%error, "the connection broke off")).is_ok(),
        () = watch.gone() => false,
    };
    if tokio::time::timeout(LAST, sessions.end()).await.is_err() {
        tracing::warn!("a change was still being made; the next start ends it");
    }
    orderly
}

fn greeting() -> InitializeResponse {
    let prompts = PromptCapabilities::new().embedded_context(true);
    let sessions = SessionCapabilities::new().close(SessionCloseCapabilities::new());
    // The one that is spoken here; a client that does not speak it says so and goes.
    InitializeResponse::new(ProtocolVersion::V1)
        .agent_capabilities(AgentCapabilities::new().prompt_capabilities(prompts).session_capabilities(sessions))
        .agent_info(Implementation::new("krins", env!("CARGO_PKG_VERSION")).title("Krins".to_owned()))
}
