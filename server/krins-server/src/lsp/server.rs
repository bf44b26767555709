//! The language server: which method goes to which handler. Nothing is decided here.
//!
//! Document notifications run on the reader, in arrival order, and never wait for the client.

use crate::lsp::handlers;
use crate::lsp::session::Session;
use krins_protocol::graph::{GraphParams, Question};
use krins_protocol::lsp::{
    ApplyParams, ApplyResult, AssignParams, Assigned, AuditResult, ContextResult, DiffParams, DiffResult, FileLock,
    FixParams, GateParams, GateResult, IndexParams, IndexResult, LockParams, LocksParams, LocksResult, PreviewResult,
    PromoteResult, ReviewParams, StateResult, StatusResult, TaskParams, TaskStatus, TasksParams, TasksResult,
    UndoParams, UnlockParams, VariantParams, WaiveParams,
};
use krins_protocol::report::{DashboardParams, DashboardResult, Report, ReportParams};
use serde_json::Value;
use std::sync::Arc;
use tower_lsp::LanguageServer;
use tower_lsp::jsonrpc::Result;
use tower_lsp::ls_types::{
    CodeActionParams, CodeActionResponse, CodeLens, CodeLensParams, DidChangeTextDocumentParams,
    DidChangeWorkspaceFoldersParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams,
    ExecuteCommandParams, InitializeParams, InitializeResult, InitializedParams, LSPAny, WorkDoneProgressCancelParams,
};

pub struct Server {
    pub session: Arc<Session>,
}

/// The custom requests.
impl Server {
    pub async fn assign(&self, params: AssignParams) -> Result<Assigned> {
        handlers::assign::run(&self.session, params).await
    }

    pub async fn task(&self, params: TaskParams) -> Result<TaskStatus> {
        handlers::task::run(&self.session, params).await
    }

    pub async fn tasks(&self, params: TasksParams) -> Result<TasksResult> {
        handlers::tasks::run(&self.session, params).await
    }

    pub async fn waive(&self, params: WaiveParams) -> Result<DiffResult> {
        handlers::waive::run(&self.session, params).await
    }

    pub async fn diff(&self, params: DiffParams) -> Result<DiffResult> {
        handlers::diff::run(&self.session, params).await
    }

    pub async fn gate(&self, params: GateParams) -> Result<GateResult> {
        handlers::gate::run(&self.session, params).await
    }

    pub async fn apply(&self, params: ApplyParams) -> Result<ApplyResult> {
        handlers::apply::run(&self.session, params).await
    }

    pub async fn undo(&self, params: UndoParams) -> Result<ApplyResult> {
        handlers::apply::undo(&self.session, params).await
    }

    pub async fn redo(&self, params: UndoParams) -> Result<ApplyResult> {
        handlers::apply::redo(&self.session, params).await
    }

    pub async fn cancel(&self, params: TaskParams) -> Result<StateResult> {
        handlers::cancel::run(&self.session, params).await
    }

    pub async fn discard(&self, params: TaskParams) -> Result<StateResult> {
        handlers::cancel::discard(&self.session, params).await
    }

    pub async fn variant(&self, params: VariantParams) -> Result<DiffResult> {
        handlers::variant::run(&self.session, params).await
    }

    pub async fn fix(&self, params: FixParams) -> Result<Assigned> {
        handlers::fix::run(&self.session, params).await
    }

    pub async fn preview(&self, params: TaskParams) -> Result<PreviewResult> {
        handlers::preview::run(&self.session, params).await
    }

    pub async fn promote(&self, params: TaskParams) -> Result<PromoteResult> {
        handlers::preview::promote(&self.session, params).await
    }

    pub async fn review(&self, params: ReviewParams) -> Result<DiffResult> {
        handlers::review::run(&self.session, params).await
    }

    pub async fn context(&self, params: AssignParams) -> Result<ContextResult> {
        handlers::context::run(&self.session, params).await
    }

    pub async fn graph_stats(&self, params: GraphParams) -> Result<Value> {
        handlers::graph::run(&self.session, Question::Stats, params).await
    }

    pub async fn graph_module(&self, params: GraphParams) -> Result<Value> {
        handlers::graph::run(&self.session, Question::Module, params).await
    }

    pub async fn graph_impact(&self, params: GraphParams) -> Result<Value> {
        handlers::graph::run(&self.session, Question::Impact, params).await
    }

    pub async fn graph_references(&self, params: GraphParams) -> Result<Value> {
        handlers::graph::run(&self.session, Question::References, params).await
    }

    pub async fn graph_owners(&self, params: GraphParams) -> Result<Value> {
        handlers::graph::run(&self.session, Question::Owners, params).await
    }

    pub async fn graph_tests(&self, params: GraphParams) -> Result<Value> {
        handlers::graph::run(&self.session, Question::Tests, params).await
    }

    pub async fn graph_path(&self, params: GraphParams) -> Result<Value> {
        handlers::graph::run(&self.session, Question::Path, params).await
    }

    pub async fn graph_unused(&self, params: GraphParams) -> Result<Value> {
        handlers::graph::run(&self.session, Question::Unused, params).await
    }

    pub async fn graph_cycles(&self, params: GraphParams) -> Result<Value> {
        handlers::graph::run(&self.session, Question::Cycles, params).await
    }

    pub async fn graph_pause(&self, params: IndexParams) -> Result<IndexResult> {
        handlers::pause::run(&self.session, true, &params)
    }

    pub async fn graph_resume(&self, params: IndexParams) -> Result<IndexResult> {
        handlers::pause::run(&self.session, false, &params)
    }

    pub async fn lock(&self, params: LockParams) -> Result<FileLock> {
        handlers::lock::lock(&self.session, params).await
    }

    pub async fn unlock(&self, params: UnlockParams) -> Result<LocksResult> {
        handlers::lock::unlock(&self.session, params).await
    }

    pub async fn locks(&self, params: LocksParams) -> Result<LocksResult> {
        handlers::lock::list(&self.session, params).await
    }

    /// `window/workDoneProgress/cancel`, which the trait does not have.
    pub async fn cancel_progress(&self, params: WorkDoneProgressCancelParams) {
        handlers::cancel::by_token(&self.session, &params.token);
    }

    pub async fn audit_verify(&self, _: Value) -> Result<AuditResult> {
        handlers::audit::verify(&self.session).await
    }

    pub async fn status(&self, _: Value) -> Result<StatusResult> {
        handlers::status::run(&self.session).await
    }

    pub async fn report(&self, params: ReportParams) -> Result<Report> {
        handlers::report::run(&self.session, params).await
    }

    pub async fn dashboard(&self, params: DashboardParams) -> Result<DashboardResult> {
        handlers::report::page(&self.session, params).await
    }
}

impl LanguageServer for Server {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        Ok(handlers::initialize::run(&self.session, &params))
    }

    async fn initialized(&self, _: InitializedParams) {
        handlers::initialize::warm_up(&self.session);
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    async fn did_change_workspace_folders(&self, params: DidChangeWorkspaceFoldersParams) {
        handlers::initialize::change_folders(&self.session, &params);
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        handlers::documents::open(&self.session, params);
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        handlers::documents::change(&self.session, params);
    }

    async fn did_save(&self, params: DidSaveTextDocumentParams) {
        handlers::documents::save(&self.session, params);
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        handlers::documents::close(&self.session, params);
    }

    async fn code_action(&self, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        Ok(Some(handlers::code_action::run(&self.session, &params)))
    }

    async fn code_lens(&self, params: CodeLensParams) -> Result<Option<Vec<CodeLens>>> {
        Ok(Some(handlers::code_lens::run(&self.session, &params)))
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Option<LSPAny>> {
        handlers::execute_command::run(&self.session, params).await
    }
}
