//! What `krins serve` answers, as an OpenAPI 3.1 document: the routes from the table here, the bodies from the Rust types.

use crate::graph::Question;
use crate::schema;
use serde_json::{Map, Value, json};

/// One request that the service answers.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// In lower case.
    pub method: &'static str,
    /// With `{name}` for its variable parts.
    pub path: &'static str,
    pub summary: &'static str,
    /// Whether a token is asked for, where the service has some.
    pub guarded: bool,
    /// In the query or a header.
    pub parameters: &'static [Parameter],
    /// The schema of the JSON body that it takes.
    pub body: Option<&'static str>,
    pub answers: &'static [Answer],
}

#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    /// `query` or `header`.
    pub place: &'static str,
    pub kind: Kind,
    pub says: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    /// May stand there more than once.
    Texts,
}

/// What it answers when nothing went wrong; else a `Problem`.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub status: u16,
    pub says: &'static str,
    pub media: &'static str,
    pub body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Text,
    /// A schema of the protocol.
    Schema(&'static str),
    /// The document that belongs to the question.
    Question,
    /// Server-sent events, each with data of this schema.
    Events(&'static str),
    Any,
}

const JSON: &str = "application/json";

const fn query(name: &'static str, kind: Kind, says: &'static str) -> Parameter {
    Parameter { name, place: "query", kind, says }
}

const fn header(name: &'static str, kind: Kind, says: &'static str) -> Parameter {
    Parameter { name, place: "header", kind, says }
}

const fn answer(status: u16, says: &'static str, body: Body) -> Answer {
    Answer { status, says, media: JSON, body }
}

const GRAPH_QUERY: &[Parameter] = &[
    query("target", Kind::Texts, "A file or symbol: src/a.ts, src/a.ts#name, src/a.ts#Class.method, src/a.ts:12, name"),
    query("from", Kind::Text, "path: where it begins, written as a target"),
    query("to", Kind::Text, "path: where it ends, written as a target"),
    query("depth", Kind::Number, "impact: the most steps along uses (3)"),
    query("limit", Kind::Number, "The most entries of each list (200)"),
    query("patience", Kind::Number, "The most milliseconds to wait for files that are not read yet (no limit)"),
];

const GRAPH_ANSWERS: &[Answer] = &[answer(200, "The document that belongs to the question", Body::Question)];

const PROJECT: &[Parameter] =
    &[query("project", Kind::Text, "Which project the path belongs to; the same name on every machine")];

const AUDIT_SUBJECT: Parameter =
    query("subject", Kind::Text, "A person, a task, any name or hash that a record is about");

const TASK: Body = Body::Schema("RemoteTask");

const HEALTH: Body = Body::Schema("Health");

/// Every route, in the order of the document.
pub const ROUTES: &[Route] = &[
    Route {
        method: "post",
        path: "/tasks",
        summary: "Hand in a task; it is on the disk before it is acknowledged",
        guarded: true,
        parameters: &[header("Idempotency-Key", Kind::Text, "Without it the sha256 of the canonical body (RFC 8785)")],
        body: Some("NewTask"),
        answers: &[
            answer(202, "Accepted; `Location` names it. `Idempotent-Replayed: true` on a repeat", TASK),
            answer(200, "The repeat of one that has ended", TASK),
        ],
    },
    Route {
        method: "get",
        path: "/tasks/{id}",
        summary: "The task, with its answer or error",
        guarded: true,
        parameters: &[],
        body: None,
        answers: &[answer(200, "The task", TASK)],
    },
    Route {
        method: "delete",
        path: "/tasks/{id}",
        summary: "Cancel the task; the provider's connection is closed",
        guarded: true,
        parameters: &[],
        body: None,
        answers: &[answer(200, "The task as it is then", TASK)],
    },
    Route {
        method: "get",
        path: "/tasks/{id}/events",
        summary: "Follow the task; the last event is `end`",
        guarded: true,
        parameters: &[header("Last-Event-ID", Kind::Number, "Only events after this one")],
        body: None,
        answers: &[
            Answer {
                status: 200,
                says: "Events with `id: seq`",
                media: "text/event-stream",
                body: Body::Events("RemoteEvent"),
            },
            answer(204, "The end was seen before", Body::None),
        ],
    },
    Route {
        method: "get",
        path: "/dead",
        summary: "Tasks that were given up, with the reason and the history of each, the newest first",
        guarded: true,
        parameters: &[
            query("all", Kind::Text, "true: of every tenant, which takes the scope admin"),
            query("limit", Kind::Number, "The most letters (100)"),
        ],
        body: None,
        answers: &[answer(200, "The letters", Body::Schema("DeadLetters"))],
    },
    Route {
        method: "post",
        path: "/dead/{id}/requeue",
        summary: "Put a dead task back into the queue, its counters at zero",
        guarded: true,
        parameters: &[],
        body: None,
        answers: &[answer(200, "The task as it is then", TASK)],
    },
    Route {
        method: "get",
        path: "/queue/stats",
        summary: "The queue in figures",
        guarded: true,
        parameters: &[query("all", Kind::Text, "true: of every tenant, which takes the scope admin")],
        body: None,
        answers: &[answer(200, "The figures", Body::Schema("QueueStats"))],
    },
    Route {
        method: "get",
        path: "/admin/switch",
        summary: "The kill switch: what is off, and who changed it; takes the scope admin",
        guarded: true,
        parameters: &[],
        body: None,
        answers: &[answer(200, "The switch", Body::Schema("SwitchState"))],
    },
    Route {
        method: "post",
        path: "/admin/switch",
        summary: "Turn providers off or on, for every replica and for calls that are under way; takes the scope admin",
        guarded: true,
        parameters: &[],
        body: Some("SwitchRequest"),
        answers: &[answer(200, "The switch as it is then", Body::Schema("SwitchState"))],
    },
    Route {
        method: "get",
        path: "/reports/weekly",
        summary: "What calls to models cost, by day, person and route",
        guarded: true,
        parameters: &[
            query("all", Kind::Text, "true: of every tenant, which takes the scope admin"),
            query("days", Kind::Number, "So many days back, today included (7)"),
        ],
        body: None,
        answers: &[answer(200, "The report", Body::Schema("SpendingReport"))],
    },
    Route {
        method: "get",
        path: "/reports/open",
        summary: "Calls that were reserved and whose end nobody knows; takes the scope admin",
        guarded: true,
        parameters: &[],
        body: None,
        answers: &[answer(200, "The calls", Body::Schema("OpenCalls"))],
    },
    Route {
        method: "post",
        path: "/reports/open/{id}",
        summary: "Say what such a call really cost; takes the scope admin",
        guarded: true,
        parameters: &[],
        body: Some("Reconcile"),
        answers: &[answer(204, "It is charged with that", Body::None)],
    },
    Route {
        method: "get",
        path: "/locks",
        summary: "The locks of a project",
        guarded: true,
        parameters: PROJECT,
        body: None,
        answers: &[answer(200, "The locks, by path", Body::Schema("Locks"))],
    },
    Route {
        method: "get",
        path: "/locks/events",
        summary: "Follow a project's locks: first each as it is, then what changes",
        guarded: true,
        parameters: PROJECT,
        body: None,
        answers: &[Answer {
            status: 200,
            says: "Events `locked` and `unlocked`",
            media: "text/event-stream",
            body: Body::Events("LockEvent"),
        }],
    },
    Route {
        method: "put",
        path: "/locks/{path}",
        summary: "Lock a path, or renew the lock under the same token; 423 names the holder",
        guarded: true,
        parameters: PROJECT,
        body: Some("LockRequest"),
        answers: &[answer(200, "It is the caller's", Body::Schema("Lock"))],
    },
    Route {
        method: "delete",
        path: "/locks/{path}",
        summary: "Give a lock back",
        guarded: true,
        parameters: &[
            PROJECT[0],
            query("force", Kind::Text, "true: whoever holds it, which takes the scope admin"),
            header("Lock-Token", Kind::Text, "The token that it was taken under"),
        ],
        body: None,
        answers: &[answer(204, "It is nobody's", Body::None)],
    },
    Route {
        method: "post",
        path: "/audit",
        summary: "Keep the next records of a sidecar's audit; 409 when they do not follow on what is kept",
        guarded: true,
        parameters: &[],
        body: Some("AuditAppend"),
        answers: &[answer(200, "They are on the disk; the same again changes nothing", Body::Schema("AuditHead"))],
    },
    Route {
        method: "get",
        path: "/audit",
        summary: "How far a log is kept",
        guarded: true,
        parameters: &[query("log", Kind::Text, "The log's name")],
        body: None,
        answers: &[answer(200, "0 records of a log that is not known", Body::Schema("AuditHead"))],
    },
    Route {
        method: "get",
        path: "/audit/about",
        summary: "What is kept about a subject, page by page; takes the scope admin",
        guarded: true,
        parameters: &[AUDIT_SUBJECT, query("after", Kind::Text, "The `next` of the page before")],
        body: None,
        answers: &[answer(200, "The records with what they are about", Body::Schema("AuditKept"))],
    },
    Route {
        method: "delete",
        path: "/audit/about",
        summary: "Erase what is kept about a subject; the records stay. Takes the scope admin",
        guarded: true,
        parameters: &[AUDIT_SUBJECT],
        body: None,
        answers: &[answer(200, "How many records keep nothing of it any more", Body::Schema("AuditErased"))],
    },
    Route {
        method: "get",
        path: "/graph/{question}",
        summary: "Ask the code graph of the directory that is served",
        guarded: true,
        parameters: GRAPH_QUERY,
        body: None,
        answers: GRAPH_ANSWERS,
    },
    Route {
        method: "post",
        path: "/graph/{question}",
        summary: "Ask the code graph at length, as with a patch",
        guarded: true,
        parameters: &[],
        body: Some("GraphParams"),
        answers: GRAPH_ANSWERS,
    },
    Route {
        method: "post",
        path: "/v1/chat/completions",
        summary: "Answer a conversation, in OpenAI's words; errors are OpenAI's error objects",
        guarded: true,
        parameters: &[],
        body: None,
        answers: &[answer(200, "A chat completion, or its chunks as events with `stream`", Body::Any)],
    },
    Route {
        method: "get",
        path: "/v1/models",
        summary: "What a conversation may name as its model",
        guarded: true,
        parameters: &[],
        body: None,
        answers: &[answer(200, "OpenAI's list of models", Body::Any)],
    },
    Route {
        method: "post",
        path: "/router/select",
        summary: "Who should answer a task, and why",
        guarded: true,
        parameters: &[],
        body: Some("RouterSelect"),
        answers: &[answer(200, "The choice", Body::Schema("RouterChoice"))],
    },
    Route {
        method: "post",
        path: "/router/record",
        summary: "What came of a choice",
        guarded: true,
        parameters: &[],
        body: Some("RouterRecord"),
        answers: &[answer(204, "It is noted", Body::None)],
    },
    Route {
        method: "get",
        path: "/metrics",
        summary: "Figures for Prometheus",
        guarded: true,
        parameters: &[],
        body: None,
        answers: &[Answer {
            status: 200,
            says: "OpenMetrics, or the older text form where `Accept` names text/plain and not OpenMetrics",
            media: "application/openmetrics-text",
            body: Body::Text,
        }],
    },
    Route {
        method: "get",
        path: "/health",
        summary: "How the parts are",
        guarded: false,
        parameters: &[],
        body: None,
        answers: &[answer(200, "All is well", HEALTH)],
    },
    Route {
        method: "get",
        path: "/health/live",
        summary: "Whether the process answers",
        guarded: false,
        parameters: &[],
        body: None,
        answers: &[answer(200, "It does", HEALTH)],
    },
    Route {
        method: "get",
        path: "/health/ready",
        summary: "Whether tasks are taken; 503 while draining",
        guarded: false,
        parameters: &[],
        body: None,
        answers: &[answer(200, "They are", HEALTH), answer(503, "They are not", HEALTH)],
    },
    Route {
        method: "get",
        path: "/openapi.json",
        summary: "This document",
        guarded: false,
        parameters: &[],
        body: None,
        answers: &[answer(200, "OpenAPI 3.1", Body::Any)],
    },
];

/// The document that documents the answers of a question.
pub const fn result_of(question: Question) -> &'static str {
    match question {
        Question::Stats => "GraphStats",
        Question::Module => "ModuleResult",
        Question::Impact => "ImpactResult",
        Question::References => "ReferencesResult",
        Question::Owners => "OwnersResult",
        Question::Tests => "TestsResult",
        Question::Path => "PathResult",
        Question::Unused => "UnusedResult",
        Question::Cycles => "CyclesResult",
    }
}

/// The document; `version` is that of the service.
pub fn document(version: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method] = operation(route);
    }
    let mut schemas = schema::document()["$defs"].take();
    rebase(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "krins serve",
            "version": version,
            "description": "Errors are problems (RFC 9457) with a kind, whether trying again may help, and a hint.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(route: &Route) -> Value {
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = names.map(in_path).collect();
    parameters.extend(route.parameters.iter().map(parameter));
    let mut responses: Map<String, Value> = Map::new();
    for answer in route.answers {
        responses.insert(answer.status.to_string(), response(answer));
    }
    let problem = match route.path.starts_with("/v1/") {
        // OpenAI's own error objects.
        true => json!({JSON: {"schema": {"type": "object"}}}),
        false => json!({"application/problem+json": {"schema": reference("Problem")}}),
    };
    responses.insert("default".to_owned(), json!({"description": "What went wrong", "content": problem}));
    let mut operation = json!({"summary": route.summary, "parameters": parameters, "responses": responses});
    // A service without tokens asks for none.
    operation["security"] = if route.guarded { json!([{"bearer": []}, {}]) } else { json!([]) };
    if let Some(body) = route.body {
        operation["requestBody"] = json!({"required": true, "content": {JSON: {"schema": reference(body)}}});
    }
    operation
}

fn in_path(name: &str) -> Value {
    let schema = match name {
        "question" => json!({"type": "string", "enum": Question::ALL.map(Question::name)}),
        _ => json!({"type": "string"}),
    };
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
    };
    json!({"name": parameter.name, "in": parameter.place, "description": parameter.says, "schema": schema})
}

fn response(answer: &Answer) -> Value {
    let schema = match answer.body {
        Body::None => return json!({"description": answer.says}),
        Body::Text => json!({"type": "string"}),
        Body::Schema(name) => reference(name),
        Body::Question => json!({"anyOf": Question::ALL.map(|question| reference(result_of(question)))}),
        Body::Events(name) => json!({"type": "string", "contentSchema": reference(name)}),
        Body::Any => json!({"type": "object"}),
    };
    json!({"description": answer.says, "content": {answer.media: {"schema": schema}}})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Lets references among the schemas lead to where they are in this document.
fn rebase(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                match value {
                    Value::String(place) if key == "$ref" => {
                        *place = place.replace("#/$defs/", "#/components/schemas/");
                    }
                    value => rebase(value),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(rebase),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(parts) => parts.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_in_the_document() {
        let document = document("0");
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let place = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(place).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_route_has_an_answer_and_names_its_parts_once() {
        let mut known = BTreeSet::new();
        for route in ROUTES {
            assert!(known.insert((route.method, route.path)), "{route:?}");
            assert!(!route.answers.is_empty(), "{route:?}");
        }
        let document = document("1.2.3");
        assert_eq!(document["info"]["version"], "1.2.3");
        let ask = &document["paths"]["/graph/{question}"];
        assert_eq!(ask["get"]["parameters"][0]["schema"]["enum"][0], "stats");
        assert_eq!(ask["post"]["requestBody"]["content"][JSON]["schema"]["$ref"], "#/components/schemas/GraphParams");
        assert_eq!(document["paths"]["/health"]["get"]["security"], json!([]));
    }
}
