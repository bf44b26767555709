//! The JSON Schema document that `krins schema` prints.

use crate::{cli, error, graph, http, lsp, report};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

/// One method of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    pub name: &'static str,
    /// Names of entries of the schema's `$defs`.
    pub params: &'static str,
    pub result: &'static str,
}

/// Every custom request the sidecar answers.
pub const METHODS: &[Method] = &[
    Method { name: "krins/assign", params: "AssignParams", result: "Assigned" },
    Method { name: "krins/task", params: "TaskParams", result: "TaskStatus" },
    Method { name: "krins/tasks", params: "TasksParams", result: "TasksResult" },
    Method { name: "krins/waive", params: "WaiveParams", result: "DiffResult" },
    Method { name: "krins/diff", params: "DiffParams", result: "DiffResult" },
    Method { name: "krins/gate", params: "GateParams", result: "GateResult" },
    Method { name: "krins/apply", params: "ApplyParams", result: "ApplyResult" },
    Method { name: "krins/undo", params: "UndoParams", result: "ApplyResult" },
    Method { name: "krins/redo", params: "UndoParams", result: "ApplyResult" },
    Method { name: "krins/cancel", params: "TaskParams", result: "StateResult" },
    Method { name: "krins/discard", params: "TaskParams", result: "StateResult" },
    Method { name: "krins/fix", params: "FixParams", result: "Assigned" },
    Method { name: "krins/preview", params: "TaskParams", result: "PreviewResult" },
    Method { name: "krins/promote", params: "TaskParams", result: "PromoteResult" },
    Method { name: "krins/review", params: "ReviewParams", result: "DiffResult" },
    Method { name: "krins/variant", params: "VariantParams", result: "DiffResult" },
    Method { name: "krins/context", params: "AssignParams", result: "ContextResult" },
    Method { name: "krins/graph/stats", params: "GraphParams", result: "GraphStats" },
    Method { name: "krins/graph/module", params: "GraphParams", result: "ModuleResult" },
    Method { name: "krins/graph/impact", params: "GraphParams", result: "ImpactResult" },
    Method { name: "krins/graph/references", params: "GraphParams", result: "ReferencesResult" },
    Method { name: "krins/graph/owners", params: "GraphParams", result: "OwnersResult" },
    Method { name: "krins/graph/tests", params: "GraphParams", result: "TestsResult" },
    Method { name: "krins/graph/path", params: "GraphParams", result: "PathResult" },
    Method { name: "krins/graph/unused", params: "GraphParams", result: "UnusedResult" },
    Method { name: "krins/graph/cycles", params: "GraphParams", result: "CyclesResult" },
    Method { name: "krins/graph/pause", params: "IndexParams", result: "IndexResult" },
    Method { name: "krins/graph/resume", params: "IndexParams", result: "IndexResult" },
    Method { name: "krins/lock", params: "LockParams", result: "FileLock" },
    Method { name: "krins/unlock", params: "UnlockParams", result: "LocksResult" },
    Method { name: "krins/locks", params: "LocksParams", result: "LocksResult" },
    Method { name: "krins/audit/verify", params: "Null", result: "AuditResult" },
    Method { name: "krins/status", params: "Null", result: "StatusResult" },
    Method { name: "krins/report", params: "ReportParams", result: "Report" },
    Method { name: "krins/dashboard", params: "DashboardParams", result: "DashboardResult" },
];

/// The protocol as one JSON Schema (2020-12) document: `$defs` for every type, `x-methods` for the LSP requests.
pub fn document() -> Value {
    let mut generator = SchemaGenerator::default();
    fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
        let _ = generator.subschema_for::<T>();
    }
    add::<lsp::AssignParams>(&mut generator);
    add::<lsp::Assigned>(&mut generator);
    add::<lsp::TaskParams>(&mut generator);
    add::<lsp::TaskStatus>(&mut generator);
    add::<lsp::TasksParams>(&mut generator);
    add::<lsp::TasksResult>(&mut generator);
    add::<lsp::WaiveParams>(&mut generator);
    add::<lsp::DiffParams>(&mut generator);
    add::<lsp::DiffResult>(&mut generator);
    add::<lsp::GateParams>(&mut generator);
    add::<lsp::GateResult>(&mut generator);
    add::<lsp::GateStatus>(&mut generator);
    add::<lsp::ApplyParams>(&mut generator);
    add::<lsp::ApplyResult>(&mut generator);
    add::<lsp::UndoParams>(&mut generator);
    add::<lsp::StateResult>(&mut generator);
    add::<lsp::FixParams>(&mut generator);
    add::<lsp::PreviewResult>(&mut generator);
    add::<lsp::PromoteResult>(&mut generator);
    add::<lsp::ReviewParams>(&mut generator);
    add::<lsp::VariantParams>(&mut generator);
    add::<lsp::ContextResult>(&mut generator);
    add::<lsp::StatusResult>(&mut generator);
    add::<lsp::LockParams>(&mut generator);
    add::<lsp::UnlockParams>(&mut generator);
    add::<lsp::LocksParams>(&mut generator);
    add::<lsp::FileLock>(&mut generator);
    add::<lsp::LocksResult>(&mut generator);
    add::<lsp::AuditResult>(&mut generator);
    add::<lsp::IndexParams>(&mut generator);
    add::<lsp::IndexResult>(&mut generator);
    add::<graph::GraphParams>(&mut generator);
    add::<graph::GraphStats>(&mut generator);
    add::<graph::ModuleResult>(&mut generator);
    add::<graph::ImpactResult>(&mut generator);
    add::<graph::ReferencesResult>(&mut generator);
    add::<graph::OwnersResult>(&mut generator);
    add::<graph::TestsResult>(&mut generator);
    add::<graph::PathResult>(&mut generator);
    add::<graph::UnusedResult>(&mut generator);
    add::<graph::CyclesResult>(&mut generator);
    add::<report::ReportParams>(&mut generator);
    add::<report::Report>(&mut generator);
    add::<report::DashboardParams>(&mut generator);
    add::<report::DashboardResult>(&mut generator);
    add::<error::ErrorReport>(&mut generator);
    add::<http::NewTask>(&mut generator);
    add::<http::RouterSelect>(&mut generator);
    add::<http::RouterChoice>(&mut generator);
    add::<http::RouterRecord>(&mut generator);
    add::<http::RemoteTask>(&mut generator);
    add::<http::RemoteEvent>(&mut generator);
    add::<http::DeadLetters>(&mut generator);
    add::<http::QueueStats>(&mut generator);
    add::<http::SwitchRequest>(&mut generator);
    add::<http::SwitchState>(&mut generator);
    add::<http::SpendingReport>(&mut generator);
    add::<http::OpenCalls>(&mut generator);
    add::<http::Reconcile>(&mut generator);
    add::<http::LockRequest>(&mut generator);
    add::<http::Locks>(&mut generator);
    add::<http::LockEvent>(&mut generator);
    add::<http::AuditAppend>(&mut generator);
    add::<http::AuditHead>(&mut generator);
    add::<http::AuditKept>(&mut generator);
    add::<http::AuditErased>(&mut generator);
    add::<http::Problem>(&mut generator);
    add::<http::Health>(&mut generator);
    add::<cli::Context>(&mut generator);
    add::<cli::ContextQuery>(&mut generator);
    add::<cli::PatchReport>(&mut generator);
    add::<cli::SbomReport>(&mut generator);
    add::<cli::Failure>(&mut generator);
    let definitions = generator.take_definitions(true);
    let methods: Vec<Value> = METHODS
        .iter()
        .map(|method| json!({"method": method.name, "params": method.params, "result": method.result}))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Krins protocol",
        "x-protocol": {"major": crate::PROTOCOL, "minor": crate::PROTOCOL_MINOR},
        "x-methods": methods,
        "$defs": definitions,
    })
}
